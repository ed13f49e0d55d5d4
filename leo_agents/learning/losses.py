"""The all-goals targets and losses, as pure functions which refuse shapes that would only broadcast."""

from collections.abc import Sequence
from typing import Literal

import torch as th
from torch.nn import functional as F

GoalReduction = Literal["mean", "sum"]


def all_goals_targets(
    goals_achieved: th.Tensor,
    next_values: th.Tensor,
    terminated: th.Tensor,
    discount: float | th.Tensor,
) -> th.Tensor:
    """
    What every goal's head should say about the action taken: ``1`` where the step achieved the goal, else the
    discounted value of the next state, which is nothing where the episode terminated.

    Achieving one goal ends that goal's bootstrap alone. A truncated step is not a terminated one and bootstraps.
    For n-step targets ``goals_achieved`` holds ``gamma ** k`` for a goal first achieved ``k`` steps after the action's
    own step, ``next_values`` and ``terminated`` belong to the end of the window, and ``discount`` is ``gamma`` to the
    power of each window's length.

    :param goals_achieved: the achieved goals as floats, of shape ``[batch, goals]``
    :param next_values: values of the next state in ``[0, 1]``, of shape ``[batch, goals]``
    :param terminated: 1 where the episode terminated, of shape ``[batch]`` or ``[batch, 1]``
    :param discount: one number, or one per row of shape ``[batch]`` or ``[batch, 1]``
    :return: the targets, of shape ``[batch, goals]``
    """
    _check_matrices("goals_achieved", goals_achieved, "next_values", next_values)
    if not goals_achieved.is_floating_point():
        raise ValueError(f"expected goals_achieved as floats, got {goals_achieved.dtype}; convert it with .float()")
    batch_size = len(goals_achieved)
    per_row = discount if isinstance(discount, float | int) else _column("discount", discount, batch_size)
    bootstrap = per_row * (1.0 - _column("terminated", terminated, batch_size).to(next_values.dtype))
    return goals_achieved + (goals_achieved == 0) * (bootstrap * next_values)


def lambda_goals_targets(
    goals_achieved: th.Tensor,
    next_values: th.Tensor,
    terminated: th.Tensor,
    cut: th.Tensor,
    discount: float,
    trace: float,
) -> th.Tensor:
    """
    Every goal's Q(lambda) targets along rollouts: a share ``trace`` of what follows a step is what the rollout went on to
    do, the rest what the next state is said to be worth.

    A goal's return ends where the goal is achieved and where the episode terminated. Where the rollout does not go on from
    the next state (``cut``, and at the last step), the next state's value stands for all of it.

    :param goals_achieved: the achieved goals as floats, of shape ``[steps, envs, goals]``
    :param next_values: values of the true next states in ``[0, 1]``, of the same shape
    :param terminated: 1 where an episode terminated, of shape ``[steps, envs]``
    :param cut: True where the step after is not of the same pursuit: at every end, truncated ones too, of the same shape
    :param discount: gamma
    :param trace: lambda; 0 gives the targets of :func:`all_goals_targets`
    :return: the targets, of shape ``[steps, envs, goals]``
    """
    if goals_achieved.ndim != 3 or goals_achieved.shape != next_values.shape:
        raise ValueError(
            "expected goals_achieved and next_values of the same shape [steps, envs, goals], "
            f"got {tuple(goals_achieved.shape)} and {tuple(next_values.shape)}"
        )
    if not terminated.shape == cut.shape == goals_achieved.shape[:2]:
        raise ValueError(
            f"expected terminated and cut of shape {tuple(goals_achieved.shape[:2])}, got {tuple(terminated.shape)} and "
            f"{tuple(cut.shape)}"
        )
    targets = th.empty_like(next_values)
    following = next_values[-1]
    for step in reversed(range(len(targets))):
        goes_on = trace * (~cut[step] if step + 1 < len(targets) else th.zeros_like(cut[step])).unsqueeze(1)
        worth = th.lerp(next_values[step], following, goes_on.to(next_values.dtype))
        following = targets[step] = all_goals_targets(goals_achieved[step], worth, terminated[step], discount)
    return targets


def bce_goals_loss(
    logits: th.Tensor,
    targets: th.Tensor,
    goal_weights: th.Tensor | None = None,
    goal_reduction: GoalReduction = "mean",
) -> th.Tensor:
    """
    Binary cross-entropy between the heads' logits and targets in ``[0, 1]``.

    A value is the discounted probability of ever reaching the goal, so cross-entropy is its likelihood; unlike the
    squared error through a sigmoid it keeps a gradient where the head is confidently wrong.

    :param logits: the taken actions' logits, of shape ``[batch, goals]``
    :param targets: of the same shape; no gradient flows into them
    :param goal_weights: weight of each goal, of shape ``[goals]`` or ``[batch, goals]``; not normalised
    :param goal_reduction: ``"mean"`` divides the sum over the goals by their number, ``"sum"`` does not
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
    Half the squared error, ``0.5 (value - target)^2``: the paper's loss.

    :param values: the taken actions' values (after the sigmoid, where there is one), of shape ``[batch, goals]``
    :param targets: of the same shape; no gradient flows into them
    :param goal_weights: weight of each goal, of shape ``[goals]`` or ``[batch, goals]``; not normalised
    :param goal_reduction: ``"mean"`` divides the sum over the goals by their number, ``"sum"`` does not
    :return: the mean over the batch, a scalar
    """
    _check_matrices("values", values, "targets", targets)
    losses = 0.5 * (values - targets.detach()).square()
    return _reduce(losses, goal_weights, goal_reduction)


LOSSES = {"bce": bce_goals_loss, "squared": squared_goals_loss}


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
    """Refuse anything but two matrices of one shape: broadcasting would silently mix goals and rows."""
    if tensor.ndim != 2 or tensor.shape != other.shape:
        raise ValueError(
            f"expected {name} and {other_name} of the same shape [batch, goals], "
            f"got {tuple(tensor.shape)} and {tuple(other.shape)}"
        )


def _column(name: str, tensor: th.Tensor, batch_size: int) -> th.Tensor:
    """A per-row tensor as a column."""
    if tensor.shape not in ((batch_size,), (batch_size, 1)):
        raise ValueError(
            f"expected {name} of shape ({batch_size},) or ({batch_size}, 1), one entry per row, got {tuple(tensor.shape)}"
        )
    return tensor.reshape(batch_size, 1)


def check_finite_goals(predictions: th.Tensor, targets: th.Tensor, goal_names: Sequence[str], step: int) -> None:
    """
    Stops a training whose loss is not finite, before the update, with the goals that it went wrong for.

    :param predictions: of shape ``[batch, goals]``
    :param targets: of the same shape
    :param goal_names: the goals of the columns
    :param step: number of environment steps so far
    """
    broken = ~(th.isfinite(predictions) & th.isfinite(targets)).all(dim=0)
    names = [name for name, wrong in zip(goal_names, broken.tolist(), strict=True) if wrong]
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    raise FloatingPointError(
        f"expected a finite loss, got none at step {step}, for {len(names)} of {len(goal_names)} goals: {shown}; the update "
        "was not made and the last checkpoint is untouched: check the observations, or lower learning_rate"
    )
