"""
All-goals learning the long way: one pass of LEO's own network for each goal.

It has the loss and the gradients of the update that takes all goals at once, which the tests hold it against, and the cost
that the update avoids.
"""

from collections.abc import Iterator
from typing import Literal

import torch as th
from torch.nn import functional as F

from leo_agents.networks.q_network import GoalQNetwork
from leo_agents.replay.goal_replay_buffer import GoalReplayBufferSamples


def naive_goal_losses(
    q_net: GoalQNetwork,
    q_net_target: GoalQNetwork,
    batch: GoalReplayBufferSamples,
    gamma: float,
    loss: Literal["bce", "squared"] = "bce",
) -> Iterator[th.Tensor]:
    """
    The loss of single-goal Q-learning for one goal after the other, each on the batch relabelled with that goal.

    Each loss has a graph of its own: to keep no more than one of them, call ``(loss / num_goals).backward()`` as they come.

    :param q_net: the network that learns
    :param q_net_target: the network that values the next state
    :param batch: transitions with their masks, one step long
    :param gamma: the discount
    :param loss: ``"bce"`` or ``"squared"``, as in LEODQN
    :return: an iterator over the goals' losses, scalars
    """
    if loss not in ("bce", "squared"):
        raise ValueError(f'expected loss "bce" or "squared", got {loss!r}')
    if batch.discounts is not None:
        raise ValueError("expected transitions of one step, got n-step windows; use n_steps=1")
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
    The mean of :func:`naive_goal_losses` over the goals: LEODQN's loss, at the cost of a pass a goal.

    :param q_net: the network that learns
    :param q_net_target: the network that values the next state
    :param batch: transitions with their masks, one step long
    :param gamma: the discount
    :param loss: ``"bce"`` or ``"squared"``, as in LEODQN
    :return: a scalar
    """
    return th.stack(list(naive_goal_losses(q_net, q_net_target, batch, gamma, loss))).mean()
