"""Linear layer whose weights are selected per row by a group index (for example, the action taken)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch as th
from torch.autograd.function import once_differentiable


class FactoredGradient(NamedTuple):
    """
    Factors of a grouped weight's gradient, which is ``outputs[rows].T @ inputs[rows]`` for the rows of each group.

    :param inputs: inputs of the layer ``[batch, inputs]``, sorted by group
    :param outputs: gradient of the layer's outputs ``[batch, outputs]``, in the same order
    :param sizes: number of rows of each group
    """

    inputs: th.Tensor
    outputs: th.Tensor
    sizes: list[int]

    def norm(self) -> th.Tensor:
        """
        Compute the norm of the gradient from the Gram matrices of the factors, without materializing the gradient.

        :return: Frobenius norm over all groups, a scalar
        """
        squares = [self.inputs.new_zeros(())]
        for _, start, stop in _spans(self.sizes):
            inputs, outputs = self.inputs[start:stop], self.outputs[start:stop]
            squares.append(th.vdot((inputs @ inputs.t()).view(-1), (outputs @ outputs.t()).view(-1)))
        # Rounding errors can make a sum close to zero slightly negative.
        return th.stack(squares).sum().clamp(min=0.0).sqrt()

    def write(self, groups: slice, out: th.Tensor) -> th.Tensor:
        """
        Write the gradient of a range of groups.

        :param groups: slice of group indices
        :param out: output buffer ``[k, outputs, inputs]`` for at least as many groups
        :return: view of ``out`` that holds the gradient
        """
        out = out[: groups.stop - groups.start]
        start = sum(self.sizes[: groups.start])
        for gradient, size in zip(out, self.sizes[groups], strict=True):
            if size:
                th.mm(self.outputs[start : start + size].t(), self.inputs[start : start + size], out=gradient)
            else:
                gradient.zero_()
            start += size
        return out


_collected: dict[th.Tensor, FactoredGradient] | None = None


@contextmanager
def collect_factored_gradients() -> Iterator[dict[th.Tensor, FactoredGradient]]:
    """
    Context manager in which the weights of :func:`grouped_linear` receive factored gradients instead of ``grad``.

    Each weight may be used once inside it.

    :return: factored gradient of each weight, filled by the backward pass
    """
    global _collected
    before, _collected = _collected, {}
    try:
        yield _collected
    finally:
        _collected = before


def grouped_linear(
    features: th.Tensor,
    weight: th.Tensor,
    bias: th.Tensor,
    groups: th.Tensor,
    columns: th.Tensor | None = None,
) -> th.Tensor:
    """
    Compute ``out[i] = weight[groups[i]] @ features[i] + bias[groups[i]]``.

    Rows are sorted by group, so that each group costs one matrix product, forward and backward. The backward pass writes each
    group's slice of the gradient once; autograd would allocate a gradient of the whole weight for each slice.

    :param features: ``[batch, inputs]``
    :param weight: ``[num_groups, outputs, inputs]``
    :param bias: ``[num_groups, outputs]``
    :param groups: integer group of each row ``[batch]`` or ``[batch, 1]``
    :param columns: indices of the outputs to compute ``[k]``; all of them by default
    :return: ``[batch, outputs]`` or ``[batch, k]``
    """
    groups = groups.reshape(-1)
    if features.ndim != 2 or features.shape[1] != weight.shape[2] or len(groups) != len(features):
        raise ValueError(
            f"expected features of shape [batch, {weight.shape[2]}] and one group per row, "
            f"got features {tuple(features.shape)} and groups {tuple(groups.shape)}; pass the group of each row"
        )
    # A weight that is not a leaf needs its full gradient for the backward pass of the operations before it.
    collected = None if _collected is None or not weight.is_leaf else (weight, _collected)
    if th.is_autocast_enabled(features.device.type):
        # Autocast does not cast the operations inside a custom autograd function.
        dtype = th.get_autocast_dtype(features.device.type)
        features, weight, bias = features.to(dtype), weight.to(dtype), bias.to(dtype)
    return _GroupedLinear.apply(features, weight, bias, groups, columns, collected)  # type: ignore[no-untyped-call]


class _GroupedLinear(th.autograd.Function):
    """Autograd function of :func:`grouped_linear`."""

    @staticmethod
    def forward(
        ctx: Any,
        features: th.Tensor,
        weight: th.Tensor,
        bias: th.Tensor,
        groups: th.Tensor,
        columns: th.Tensor | None,
        collected: tuple[th.Tensor, dict[th.Tensor, FactoredGradient]] | None,
    ) -> th.Tensor:
        num_groups = weight.shape[0]
        sizes = th.bincount(groups, minlength=num_groups).tolist()
        if len(sizes) > num_groups:
            raise ValueError(f"expected groups in 0..{num_groups - 1}, got {len(sizes) - 1}; check the number of groups")
        order = th.argsort(groups)
        rows = features.index_select(0, order)
        num_outputs = weight.shape[1] if columns is None else len(columns)
        sorted_out = features.new_empty(len(features), num_outputs)
        for group, start, stop in _spans(sizes):
            matrix, offset = _columns(weight[group], columns), _columns(bias[group], columns)
            th.addmm(offset, rows[start:stop], matrix.t(), out=sorted_out[start:stop])
        ctx.save_for_backward(rows, weight, order, columns)
        ctx.sizes, ctx.collected = sizes, collected
        return th.empty_like(sorted_out).index_copy_(0, order, sorted_out)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad_out: th.Tensor) -> tuple[th.Tensor | None, ...]:
        rows, weight, order, columns = ctx.saved_tensors
        need_features, need_weight, need_bias = ctx.needs_input_grad[:3]
        grads = grad_out.index_select(0, order)
        if need_weight and ctx.collected is not None:
            leaf, collected = ctx.collected
            outputs = grads if columns is None else grads.new_zeros(len(grads), leaf.shape[1]).index_add_(1, columns, grads)
            _collect(leaf, collected, FactoredGradient(rows.to(leaf.dtype), outputs.to(leaf.dtype), ctx.sizes))
            need_weight = False
        grad_rows = th.empty_like(rows) if need_features else None
        grad_weight = _gradient_buffer(weight, ctx.sizes, columns) if need_weight else None
        grad_bias = weight.new_zeros(weight.shape[:2]) if need_bias else None
        for group, start, stop in _spans(ctx.sizes):
            grad = grads[start:stop]
            if grad_rows is not None:
                th.mm(grad, _columns(weight[group], columns), out=grad_rows[start:stop])
            if grad_weight is not None and columns is None:
                th.mm(grad.t(), rows[start:stop], out=grad_weight[group])
            elif grad_weight is not None:
                grad_weight[group].index_add_(0, columns, grad.t() @ rows[start:stop])
            if grad_bias is not None and columns is None:
                th.sum(grad, 0, out=grad_bias[group])
            elif grad_bias is not None:
                grad_bias[group].index_add_(0, columns, grad.sum(0))
        grad_features = None if grad_rows is None else th.empty_like(rows).index_copy_(0, order, grad_rows)
        return grad_features, grad_weight, grad_bias, None, None, None


def _collect(weight: th.Tensor, collected: dict[th.Tensor, FactoredGradient], gradient: FactoredGradient) -> None:
    """Store a factored gradient. Two uses of a weight cannot be added up in this form."""
    if weight in collected:
        raise RuntimeError(
            "expected one use of a grouped weight inside collect_factored_gradients, got two; compute this loss outside of it"
        )
    collected[weight] = gradient


def _spans(sizes: list[int]) -> list[tuple[int, int, int]]:
    """Return ``(group, start, stop)`` of the sorted rows of each non-empty group."""
    spans, start = [], 0
    for group, size in enumerate(sizes):
        if size:
            spans.append((group, start, start + size))
        start += size
    return spans


def _columns(tensor: th.Tensor, columns: th.Tensor | None) -> th.Tensor:
    """Select rows of one group's weight or bias, which are columns of its output."""
    return tensor if columns is None else tensor.index_select(0, columns)


def _gradient_buffer(weight: th.Tensor, sizes: list[int], columns: th.Tensor | None) -> th.Tensor:
    """Allocate the weight's gradient and set to zero only what the backward pass does not write."""
    if columns is not None:
        return th.zeros_like(weight)
    grad = th.empty_like(weight)
    for group, size in enumerate(sizes):
        if not size:
            grad[group].zero_()
    return grad
