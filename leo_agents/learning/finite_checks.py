"""Losses and gradients that are not finite raise an error, with CUDA without stopping the device at every update."""

from collections.abc import Sequence

import torch as th

from leo_agents.networks.device import is_asynchronous


class FiniteChecks:
    """
    Checks the losses and gradients of the updates of a learner.

    On the CPU an update that is not finite raises a ``FloatingPointError`` before it is applied. With CUDA the device records
    it; this update and all later ones are not applied, and :meth:`raise_if_failed` raises the same error.

    :param goal_names: names of all goals, for the message; None to give their numbers
    """

    def __init__(self, goal_names: Sequence[str] | None = None) -> None:
        self.goal_names = goal_names
        self._record: _Record | None = None

    def check_loss(self, loss: th.Tensor, outputs: th.Tensor, targets: th.Tensor, goals: th.Tensor | None = None) -> None:
        """
        Check the loss of an update.

        :param loss: a scalar
        :param outputs: from which it was computed, ``[B, G]`` or ``[B, K]``
        :param targets: from which it was computed, of the same shape
        :param goals: goals of the columns ``[K]``; all goals if None
        """
        if not is_asynchronous(loss.device):
            if not th.isfinite(loss):
                invalid = ~(th.isfinite(outputs) & th.isfinite(targets)).all(dim=0)
                ids = th.arange(len(invalid)) if goals is None else goals
                raise _loss_error(ids[invalid].tolist(), len(invalid), self.goal_names)
            return
        with th.no_grad():
            record = self._record_on(loss.device)
            first = _is_not_finite(loss) & ~record.failed
            # A sum over the rows is not finite if one of them is not, and takes fewer operations than a test of all of them.
            invalid = first & _is_not_finite((outputs + targets).sum(dim=0))
            if goals is None:
                record.counts(len(invalid)).add_(invalid)
            else:
                record.counts(len(self.goal_names or ())).index_add_(0, goals, invalid.int())
            record.num_columns = len(invalid)
            record.loss_failed.logical_or_(first)
            record.failed.logical_or_(first)

    def record_gradient(self, norm: th.Tensor) -> th.Tensor:
        """
        Let the device check the norm of the gradient of an update.

        :param norm: a scalar
        :return: 1 if the update must not be applied, because of its gradient, its loss or an earlier update, else 0; a float
            scalar
        """
        record = self._record_on(norm.device)
        first = _is_not_finite(norm) & ~record.failed
        record.norm.copy_(th.where(first, norm, record.norm))
        return record.failed.logical_or_(first).float()

    def raise_if_failed(self) -> None:
        """Raise the ``FloatingPointError`` of the first update that the device did not apply, if there is one."""
        record = self._record
        if record is None or not record.failed.item():
            return
        error = gradient_error(float(record.norm))
        if record.loss_failed.item():
            error = _loss_error(record.invalid_goals(), record.num_columns, self.goal_names)
        record.clear()
        raise error

    def _record_on(self, device: th.device) -> "_Record":
        if self._record is None:
            self._record = _Record(device)
        return self._record


class _Record:
    """The first failure, on the device. Its tensors are changed in place and never replaced: CUDA graphs write to them."""

    def __init__(self, device: th.device) -> None:
        self.device = device
        self.failed = th.zeros((), dtype=th.bool, device=device)
        self.loss_failed = th.zeros((), dtype=th.bool, device=device)
        self.norm = th.zeros((), device=device)
        self.num_columns = 0
        self._counts: dict[int, th.Tensor] = {}

    def counts(self, num_goals: int) -> th.Tensor:
        """Return a tensor that is positive for the goals whose loss was not finite, if there were so many goals."""
        if num_goals not in self._counts:
            self._counts[num_goals] = th.zeros(num_goals, dtype=th.int32, device=self.device)
        return self._counts[num_goals]

    def invalid_goals(self) -> list[int]:
        """Return the goals whose loss was not finite."""
        return [goal for counts in self._counts.values() for goal in th.nonzero(counts).flatten().tolist()]

    def clear(self) -> None:
        """Forget the failure."""
        for tensor in (self.failed, self.loss_failed, self.norm, *self._counts.values()):
            tensor.zero_()


def _is_not_finite(values: th.Tensor) -> th.Tensor:
    """Return where values are NaN or infinity, in two operations: ``isfinite`` is four."""
    return values * 0.0 != 0.0


def _loss_error(ids: list[int], num_goals: int, goal_names: Sequence[str] | None) -> FloatingPointError:
    names = [f"goal {goal}" if goal_names is None else goal_names[goal] for goal in ids]
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return FloatingPointError(
        f"expected a finite loss, got NaN or infinity for {len(names)} of {num_goals} goals: {shown}; the update was not "
        "applied and the last checkpoint is valid: check the observations, or lower learning_rate"
    )


def gradient_error(norm: float) -> FloatingPointError:
    """
    Return the error of a gradient that is not finite.

    :param norm: norm of the gradient
    """
    return FloatingPointError(
        f"expected finite gradients, got a norm of {norm}; the update was not applied: lower learning_rate or "
        "max_grad_norm, or check the observations"
    )
