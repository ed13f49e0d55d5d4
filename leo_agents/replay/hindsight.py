"""Hindsight relabeling of rollouts (the on-policy counterpart of HER)."""

import torch as th

from leo_agents.replay.goal_rollout_buffer import GoalRolloutBuffer


def hindsight_goals(rollout: GoalRolloutBuffer) -> th.Tensor:
    """
    Draw a hindsight goal for each transition, with HER's "future" strategy.

    A step is drawn uniformly from the transition's own to the last one of its episode in the rollout, then a goal uniformly
    from those achieved at that step.

    :param rollout: a full rollout
    :return: goal ids ``[T * N]``, -1 where the drawn step achieved no goal
    """
    num_steps, num_envs = rollout.n_steps, rollout.n_envs
    steps = th.arange(num_steps, device=rollout.device).unsqueeze(1)
    # The last step of each step's episode: a running minimum backwards in time over the steps with done.
    last = th.where(rollout.dones, steps, num_steps - 1)
    last = last.flip(0).cummin(dim=0).values.flip(0)
    drawn = steps + (th.rand(num_steps, num_envs, device=rollout.device) * (last - steps + 1)).long()
    rows = (drawn.clamp(max=num_steps - 1) * num_envs + th.arange(num_envs, device=rollout.device)).flatten()
    masks = rollout.goals_achieved(rows)
    # The largest of random keys of the achieved goals. The offset keeps the key of an achieved goal above 0.
    chosen = (masks * th.rand_like(masks).add_(1e-3)).max(dim=1)
    return th.where(chosen.values > 0.0, chosen.indices, -1)
