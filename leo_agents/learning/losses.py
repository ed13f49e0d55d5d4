"""
Targets and losses of all goals, as pure functions.

They raise on shapes that would broadcast: mixing up goals and rows would go unnoticed.
"""

from typing import Literal, get_args

import torch as th
from torch.nn import functional as F

from leo_agents.learning.finite_checks import FiniteChecks
from leo_wrappers.validation import check_fraction

LossName = Literal["bce", "squared"]
GoalReduction = Literal["mean", "sum"]


def all_goals_targets(
    goal_returns: th.Tensor,
    next_values: th.Tensor,
    terminated: th.Tensor,
    discount: float | th.Tensor,
    ended: th.Tensor | None = None,
) -> th.Tensor:
    """
    Compute the TD targets of all goals for the taken actions::

        y_g = m_g + gamma * (1 - m_g) * (1 - terminated) * V_g(s')

    Achieving goal g ends the bootstrap of goal g only. Truncated transitions bootstrap.

    With n-step windows ``goal_returns`` is ``gamma ** k`` where the goal was first achieved k steps after the first step of
    the window; ``next_values`` and ``terminated`` belong to the end of the window and ``discount`` is ``gamma`` to the power
    of its length.

    Tasks have other rewards, whose discounted sum is ``goal_returns``, and terminations of their own, ``ended``::

        y_i = r_i + gamma_i * (1 - ended_i) * (1 - terminated) * V_i(s')

    :param goal_returns: discounted return of each goal within the window, float ``[batch, goals]``; with one-step windows the
        mask of achieved goals
    :param next_values: V_g(s') in ``[0, 1]``, ``[batch, goals]``
    :param terminated: 1 where the episode terminated, ``[batch]`` or ``[batch, 1]``
    :param discount: a number, or one per row, ``[batch]`` or ``[batch, 1]``, or one per row and goal, ``[batch, goals]``
    :param ended: whether the window ends each task, bool ``[batch, goals]``; where the goal was achieved if None
    :return: the targets, ``[batch, goals]``
    """
    _check_matrices("goal_returns", goal_returns, "next_values", next_values)
    ended = goal_returns != 0 if ended is None else ended
    _check_matrices("goal_returns", goal_returns, "ended", ended)
    if not goal_returns.is_floating_point():
        raise ValueError(f"expected goal_returns as floats, got {goal_returns.dtype}; convert it with .float()")
    batch_size = len(goal_returns)
    is_per_goal = isinstance(discount, th.Tensor) and discount.shape == goal_returns.shape
    discounts = discount if isinstance(discount, float | int) or is_per_goal else _column("discount", discount, batch_size)
    bootstrap = discounts * (1.0 - _column("terminated", terminated, batch_size).to(next_values.dtype))
    return goal_returns + ~ended * (bootstrap * next_values)


def all_goals_lambda_targets(
    goals_achieved: th.Tensor,
    next_values: th.Tensor,
    terminated: th.Tensor,
    cut: th.Tensor,
    discount: float | th.Tensor,
    q_lambda: float,
    ended: th.Tensor | None = None,
) -> th.Tensor:
    """
    Compute the Q(lambda) targets of all goals along rollouts, backwards in time::

        y_g[t] = m_g[t] + gamma * (1 - m_g[t]) * (1 - terminated[t]) * ((1 - lambda) V_g(s'[t]) + lambda y_g[t + 1])

    Where ``cut`` is True, and at the last step, lambda is 0: the next row of the rollout does not continue the transition.

    :param goals_achieved: masks as floats, or rewards of tasks, ``[steps, envs, goals]``
    :param next_values: V_g of the true next states in ``[0, 1]``, ``[steps, envs, goals]``
    :param terminated: 1 where an episode terminated, ``[steps, envs]``
    :param cut: True where an episode ended (truncated or terminated) or the commanded goal changed, ``[steps, envs]``; or per
        goal, ``[steps, envs, goals]``
    :param discount: gamma, or one for each environment and goal, ``[envs, goals]``
    :param q_lambda: lambda; 0 gives the targets of :func:`all_goals_targets`
    :param ended: whether each step ends each task, bool ``[steps, envs, goals]``; where the goal was achieved if None
    :return: the targets, ``[steps, envs, goals]``
    """
    if goals_achieved.ndim != 3 or goals_achieved.shape != next_values.shape:
        raise ValueError(
            "expected goals_achieved and next_values of the same shape [steps, envs, goals], "
            f"got {tuple(goals_achieved.shape)} and {tuple(next_values.shape)}"
        )
    if terminated.shape != goals_achieved.shape[:2] or cut.shape not in (goals_achieved.shape[:2], goals_achieved.shape):
        raise ValueError(
            f"expected terminated and cut of shape {tuple(goals_achieved.shape[:2])}, got {tuple(terminated.shape)} and "
            f"{tuple(cut.shape)}"
        )
    cut = cut.reshape(*goals_achieved.shape[:2], -1)
    targets = th.empty_like(next_values)
    next_targets = next_values[-1]
    for step in reversed(range(len(targets))):
        trace = q_lambda * (~cut[step] if step + 1 < len(targets) else th.zeros_like(cut[step]))
        mixed_values = th.lerp(next_values[step], next_targets, trace.to(next_values.dtype))
        next_targets = targets[step] = all_goals_targets(
            goals_achieved[step], mixed_values, terminated[step], discount, None if ended is None else ended[step]
        )
    return targets


def bce_goals_loss(
    logits: th.Tensor,
    targets: th.Tensor,
    goal_weights: th.Tensor | None = None,
    goal_reduction: GoalReduction = "mean",
) -> th.Tensor:
    """
    Compute the binary cross-entropy between logits and targets in ``[0, 1]``.

    A value is the discounted probability of reaching the goal, so this is its negative log-likelihood. Unlike the squared
    error through a sigmoid, its gradient does not vanish where the prediction is confident and wrong.

    :param logits: logits of Q_g(s, a), ``[batch, goals]``
    :param targets: ``[batch, goals]``; no gradient flows into them
    :param goal_weights: weight of each goal, ``[goals]`` or ``[batch, goals]``; not normalized
    :param goal_reduction: ``"mean"`` or ``"sum"`` over the goals
    :return: the mean over the batch, a scalar
    """
    _check_matrices("logits", logits, "targets", targets)
    losses = F.binary_cross_entropy_with_logits(logits, targets.detach(), reduction="none")
    return _reduce(losses, goal_weights, goal_reduction)


def squared_goals_loss(
    values: th.Tensor,
    targets: th.Tensor,
    goal_weights: th.Tensor | None = None,
    goal_reduction: GoalReduction = "mean",
) -> th.Tensor:
    """
    Compute half the squared TD error, ``0.5 (Q_g(s, a) - y_g)^2``, the loss of the paper.

    :param values: Q_g(s, a), ``[batch, goals]``
    :param targets: ``[batch, goals]``; no gradient flows into them
    :param goal_weights: weight of each goal, ``[goals]`` or ``[batch, goals]``; not normalized
    :param goal_reduction: ``"mean"`` or ``"sum"`` over the goals
    :return: the mean over the batch, a scalar
    """
    _check_matrices("values", values, "targets", targets)
    losses = 0.5 * (values - targets.detach()).square()
    return _reduce(losses, goal_weights, goal_reduction)


def goals_loss(
    outputs: th.Tensor,
    targets: th.Tensor,
    loss: str,
    squash: bool,
    goal_reduction: GoalReduction = "mean",
    goals: th.Tensor | None = None,
    checks: FiniteChecks | None = None,
    goal_weights: th.Tensor | None = None,
) -> th.Tensor:
    """
    Compute a loss by name, from the outputs of a head.

    :param outputs: of a head for the taken actions, ``[batch, goals]``
    :param targets: ``[batch, goals]``
    :param loss: ``"bce"`` or ``"squared"``
    :param squash: whether values are the sigmoid of the outputs
    :param goal_reduction: ``"mean"`` or ``"sum"`` over the goals
    :param goals: goals of the columns ``[goals]``, for the error raised if the loss is not finite; all goals if None
    :param checks: raises that error, with CUDA when its ``raise_if_failed`` is called; raised at once if None
    :param goal_weights: weights ``[goals]`` or ``[batch, goals]``
    :return: the mean over the batch, a scalar
    """
    if loss == "bce":
        result = bce_goals_loss(outputs, targets, goal_weights, goal_reduction)
    else:
        values = th.sigmoid(outputs) if squash else outputs
        result = squared_goals_loss(values, targets, goal_weights, goal_reduction)
    used_checks = checks or FiniteChecks()
    used_checks.check_loss(result, outputs, targets, goals)
    if checks is None:
        used_checks.raise_if_failed()
    return result


def expectile_weights(values: th.Tensor, targets: th.Tensor, expectile: float) -> th.Tensor:
    """
    Compute the weights with which the squared loss and the cross-entropy have the expectile of the targets as their minimum:
    ``expectile`` where the target is above the value, ``1 - expectile`` elsewhere. The expectile of 0.5 is the mean, that of 1
    the maximum.

    :param values: current values, ``[batch, goals]``
    :param targets: of the same shape
    :param expectile: between 0 and 1
    :return: weights of the same shape, without gradient
    """
    is_above = (targets > values.detach()).to(values.dtype)
    return is_above * expectile + (1.0 - is_above) * (1.0 - expectile)


def check_expectile(expectile: float) -> None:
    """
    Raise an error unless an expectile is between 0 and 1.

    :param expectile: the value
    """
    check_fraction("expectile", expectile)
    if expectile in (0, 1):
        raise ValueError(f"expected expectile between 0 and 1, got {expectile}; use e.g. 0.9")


def check_loss_options(loss: str, squash: bool, goal_reduction: str = "mean") -> None:
    """
    Raise a ``ValueError`` for a loss, or a combination of options, that does not exist.

    :param loss: name of the loss
    :param squash: whether values are squashed into ``[0, 1]``
    :param goal_reduction: reduction over the goals
    """
    if loss not in get_args(LossName):
        raise ValueError(f"expected loss to be one of {list(get_args(LossName))}, got {loss!r}")
    if loss == "bce" and not squash:
        raise ValueError('expected values in [0, 1] for loss="bce", got squash=False; use loss="squared"')
    if goal_reduction not in get_args(GoalReduction):
        raise ValueError(f'expected goal_reduction "mean" or "sum", got {goal_reduction!r}')


def _reduce(losses: th.Tensor, goal_weights: th.Tensor | None, goal_reduction: GoalReduction) -> th.Tensor:
    """Weight the goals, reduce over them and take the mean over the batch."""
    if goal_weights is not None:
        if goal_weights.shape not in (losses.shape, losses.shape[1:]):
            raise ValueError(
                f"expected goal_weights of shape {tuple(losses.shape[1:])} or {tuple(losses.shape)}, "
                f"got {tuple(goal_weights.shape)}; give one weight per goal"
            )
        losses = losses * goal_weights
    if goal_reduction == "mean":
        return losses.mean()
    if goal_reduction == "sum":
        return losses.sum() / len(losses)
    raise ValueError(f'expected goal_reduction "mean" or "sum", got {goal_reduction!r}')


def _check_matrices(name: str, tensor: th.Tensor, other_name: str, other: th.Tensor) -> None:
    if tensor.ndim != 2 or tensor.shape != other.shape:
        raise ValueError(
            f"expected {name} and {other_name} of the same shape [batch, goals], "
            f"got {tuple(tensor.shape)} and {tuple(other.shape)}"
        )


def _column(name: str, tensor: th.Tensor, batch_size: int) -> th.Tensor:
    """Reshape a tensor with one entry per row to ``[batch, 1]``."""
    if tensor.shape not in ((batch_size,), (batch_size, 1)):
        raise ValueError(
            f"expected {name} of shape ({batch_size},) or ({batch_size}, 1), one entry per row, got {tuple(tensor.shape)}"
        )
    return tensor.reshape(batch_size, 1)
