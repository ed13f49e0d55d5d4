"""Linear layer whose weights are selected per row by a group index (for example, the action taken)."""

from typing import Any

import torch as th
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from leo_agents.networks.device import is_asynchronous


def grouped_linear(
    features: th.Tensor,
    weight: th.Tensor,
    bias: th.Tensor,
    groups: th.Tensor,
    columns: th.Tensor | None = None,
) -> th.Tensor:
    """
    Compute ``out[i] = weight[groups[i]] @ features[i] + bias[groups[i]]``.

    On the CPU, rows are sorted by group, so that each group costs one matrix product, forward and backward. The backward pass
    writes each group's slice of the gradient once; autograd would allocate a gradient of the whole weight for each slice.

    With CUDA, the outputs of all groups are computed by one matrix product, from which those of the row's group are selected:
    the sizes of the groups would have to be read from the device, and a few hundred small operations take longer. For the same
    reason the groups are not checked there.

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
    if is_asynchronous(features.device):
        return _dense_grouped_linear(features, weight, bias, groups, columns)
    if th.is_autocast_enabled(features.device.type):
        # Autocast does not cast the operations inside a custom autograd function. Weights are cast group by group.
        features = features.to(th.get_autocast_dtype(features.device.type))
    return _GroupedLinear.apply(features, weight, bias, groups, columns)  # type: ignore[no-untyped-call]


def _dense_grouped_linear(
    features: th.Tensor, weight: th.Tensor, bias: th.Tensor, groups: th.Tensor, columns: th.Tensor | None
) -> th.Tensor:
    """Compute the outputs of all groups and select those of each row's group."""
    if columns is not None:
        weight, bias = weight.index_select(1, columns), bias.index_select(1, columns)
    num_groups, num_outputs = bias.shape
    outputs = F.linear(features, weight.flatten(0, 1), bias.flatten()).view(-1, num_outputs)
    # Whole rows are selected: `gather` and its backward pass would address every output by itself.
    first_rows = th.arange(0, len(features) * num_groups, num_groups, device=features.device)
    return outputs.index_select(0, first_rows + groups)


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
    ) -> th.Tensor:
        num_groups = weight.shape[0]
        sizes = th.bincount(groups, minlength=num_groups).tolist()
        if len(sizes) > num_groups:
            raise ValueError(f"expected groups in 0..{num_groups - 1}, got {len(sizes) - 1}; check the number of groups")
        order = th.argsort(groups)
        rows = features.index_select(0, order)
        num_outputs = weight.shape[1] if columns is None else len(columns)
        sorted_out = features.new_empty(len(features), num_outputs)
        # Views of the weight, or copies in the precision of the features that the backward pass needs again.
        ctx.matrices = []
        for group, start, stop in _spans(sizes):
            matrix = _columns(weight[group], columns).to(features.dtype)
            offset = _columns(bias[group], columns).to(features.dtype)
            th.addmm(offset, rows[start:stop], matrix.t(), out=sorted_out[start:stop])
            ctx.matrices.append(matrix)
        ctx.save_for_backward(rows, weight, order, columns)
        ctx.sizes = sizes
        return th.empty_like(sorted_out).index_copy_(0, order, sorted_out)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad_out: th.Tensor) -> tuple[th.Tensor | None, ...]:
        rows, weight, order, columns = ctx.saved_tensors
        need_features, need_weight, need_bias = ctx.needs_input_grad[:3]
        grads = grad_out.index_select(0, order)
        # The gradients of the parameters are computed in their own precision.
        exact_rows, exact_grads = rows.to(weight.dtype), grads.to(weight.dtype)
        grad_rows = th.empty_like(rows) if need_features else None
        grad_weight = _gradient_buffer(weight, ctx.sizes, columns) if need_weight else None
        grad_bias = weight.new_zeros(weight.shape[:2]) if need_bias else None
        for (group, start, stop), matrix in zip(_spans(ctx.sizes), ctx.matrices, strict=True):
            grad = exact_grads[start:stop]
            if grad_rows is not None:
                th.mm(grads[start:stop], matrix, out=grad_rows[start:stop])
            if grad_weight is not None and columns is None:
                th.mm(grad.t(), exact_rows[start:stop], out=grad_weight[group])
            elif grad_weight is not None:
                grad_weight[group].index_add_(0, columns, grad.t() @ exact_rows[start:stop])
            if grad_bias is not None and columns is None:
                th.sum(grad, 0, out=grad_bias[group])
            elif grad_bias is not None:
                grad_bias[group].index_add_(0, columns, grad.sum(0))
        grad_features = None if grad_rows is None else th.empty_like(rows).index_copy_(0, order, grad_rows)
        return grad_features, grad_weight, grad_bias, None, None


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


def clear_gradient(parameter: th.Tensor) -> None:
    """
    Clear a parameter's gradient. If :func:`grouped_linear` computes it, its memory is kept for the next backward pass:
    allocating the gradient of a large head takes a tenth of an update.

    :param parameter: the parameter
    """
    if hasattr(parameter, "_spare_grad"):
        parameter._spare_grad = parameter.grad
    parameter.grad = None


def _gradient_buffer(weight: Any, sizes: list[int], columns: th.Tensor | None) -> th.Tensor:
    """Return memory for the weight's gradient, set to zero only where the backward pass does not write."""
    spare = getattr(weight, "_spare_grad", None)
    weight._spare_grad = None
    buffer: th.Tensor = th.empty_like(weight) if spare is None else spare
    if columns is not None:
        return buffer.zero_()
    for group, size in enumerate(sizes):
        if not size:
            buffer[group].zero_()
    return buffer
