"""Hindsight within a rollout."""

import torch as th

from leo_agents.replay.goal_rollout_buffer import GoalRolloutBuffer


def hindsight_goals(rollout: GoalRolloutBuffer) -> th.Tensor:
    """
    A goal for each transition that was achieved later on: a step is drawn, from the transition's own to the last of its
    episode in the rollout, and one of the goals that it achieved.

    :param rollout: what happened
    :return: goals of shape ``[T * N]``, -1 where the step drawn achieved none
    """
    num_steps, num_envs = rollout.n_steps, rollout.n_envs
    steps = th.arange(num_steps, device=rollout.device).unsqueeze(1)
    # The first end from each step on: a running minimum backwards in time.
    ends = th.where(rollout.dones, steps, num_steps - 1)
    ends = ends.flip(0).cummin(dim=0).values.flip(0)
    drawn = steps + (th.rand(num_steps, num_envs, device=rollout.device) * (ends - steps + 1)).long()
    rows = (drawn.clamp(max=num_steps - 1) * num_envs + th.arange(num_envs, device=rollout.device)).flatten()
    masks = rollout.goals_achieved(rows)
    chosen = (masks * th.rand_like(masks).add_(1e-3)).max(dim=1)
    return th.where(chosen.values > 0.0, chosen.indices, -1)
