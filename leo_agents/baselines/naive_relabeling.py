"""
Naive all-goals relabeling: single-goal Q-learning for one goal after the other, with one forward pass per goal.

Loss and gradients equal those of LEODQN's update of all goals in one pass. It serves as the reference in tests and benchmarks.
"""

from collections.abc import Iterator
from typing import Literal

import torch as th
from torch.nn import functional as F

from leo_agents.networks.q_network import GoalQNetwork
from leo_agents.replay.goal_replay_buffer import GoalReplayBufferSamples
from leo_wrappers.validation import check_choice


def naive_goal_losses(
    q_net: GoalQNetwork,
    q_net_target: GoalQNetwork,
    batch: GoalReplayBufferSamples,
    gamma: float,
    loss: Literal["bce", "squared"] = "bce",
) -> Iterator[th.Tensor]:
    """
    Yield the single-goal Q-learning loss of each goal, on the batch relabeled with that goal.

    Each loss has a graph of its own: call ``(loss / num_goals).backward()`` on each in turn to keep only one in memory.

    :param q_net: online network
    :param q_net_target: target network
    :param batch: one-step transitions with masks
    :param gamma: discount factor
    :param loss: ``"bce"`` or ``"squared"``, as in LEODQN
    :return: iterator over the scalar losses of goals 0 to G - 1
    """
    check_choice("loss", loss, ("bce", "squared"))
    if batch.discounts is not None:
        raise ValueError("expected one-step transitions, got n-step windows; use n_steps=1")
    for goal_id in range(batch.goals_achieved.shape[1]):
        goal = th.tensor([goal_id], device=batch.goals_achieved.device)
        reward = batch.goals_achieved[:, goal]
        done = th.maximum(reward, batch.dones)
        with th.no_grad():
            next_outputs = q_net_target.head.max_over_actions(q_net_target.features(batch.next_observations), goal)
            target = reward + gamma * (1 - done) * q_net_target.values(next_outputs)
        outputs = q_net.head.taken(q_net.features(batch.observations), batch.actions.long(), goal)
        if loss == "bce":
            yield F.binary_cross_entropy_with_logits(outputs, target)
        else:
            yield 0.5 * F.mse_loss(q_net.values(outputs), target)


def naive_all_goals_loss(
    q_net: GoalQNetwork,
    q_net_target: GoalQNetwork,
    batch: GoalReplayBufferSamples,
    gamma: float,
    loss: Literal["bce", "squared"] = "bce",
) -> th.Tensor:
    """
    Compute the mean of :func:`naive_goal_losses` over goals, which equals LEODQN's loss.

    :param q_net: online network
    :param q_net_target: target network
    :param batch: one-step transitions with masks
    :param gamma: discount factor
    :param loss: ``"bce"`` or ``"squared"``, as in LEODQN
    :return: scalar loss
    """
    return th.stack(list(naive_goal_losses(q_net, q_net_target, batch, gamma, loss))).mean()
