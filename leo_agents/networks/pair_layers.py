"""
The layers of a critic that are computed for every pair of a row and a candidate goal:

    logit[b, g] = v . relu(W relu(x[b] + e[b, g] + U a[b, g]) + c) + d

with encodings ``x`` of the row and ``e`` of the goal. Arrays of all pairs do not fit into the cache of a processor, so that
most of the time would go into memory accesses. Here the pairs are computed block by block, and again in the backward pass.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch as th
from torch import nn
from torch.autograd.function import once_differentiable

from leo_agents.networks.action_critic_head import block_elements
from leo_agents.networks.heads import logit


class PairLayers(nn.Module):
    """
    Logits of all pairs from the encodings of rows and goals.

    :param width: width of the encodings
    :param hidden_dim: width of the layer between the encodings and the logit
    :param initial_value: value of every goal at initialization
    """

    def __init__(self, width: int, hidden_dim: int, initial_value: float) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, hidden_dim)
        # As in the head of a finite goal set: random initial values would first have to be unlearned.
        self.weight = nn.Parameter(th.zeros(hidden_dim))
        self.bias = nn.Parameter(th.tensor(logit(initial_value)))

    def forward(self, rows: th.Tensor, shared: th.Tensor, own: th.Tensor) -> th.Tensor:
        """
        Compute the logits.

        :param rows: encodings of the rows ``[batch, width]``
        :param shared: encodings of goals that all rows have in common ``[S, width]``
        :param own: encodings of each row's own goals ``[batch, k, width]``
        :return: ``[batch, S + k]``
        """
        parameters = self.hidden.weight, self.hidden.bias, self.weight
        return _PairLogits.apply(rows, shared, own, *parameters) + self.bias  # type: ignore[no-untyped-call, no-any-return]

    def diagonal(
        self, rows: th.Tensor, shared: th.Tensor, own: th.Tensor, actions: th.Tensor, action_weight: th.Tensor
    ) -> th.Tensor:
        """
        Compute the logits with an action for each pair. Gradients flow into the actions only.

        :param rows: encodings of the rows, without the action ``[batch, width]``
        :param shared: encodings of goals that all rows have in common ``[S, width]``
        :param own: encodings of each row's own goals ``[batch, k, width]``
        :param actions: ``[batch, S + k, action_dim]``
        :param action_weight: weights of the encodings of actions ``[width, action_dim]``
        :return: ``[batch, S + k]``
        """
        arguments = rows, shared, own, actions, action_weight, self.hidden.weight, self.hidden.bias, self.weight
        logits: th.Tensor = _PairDiagonal.apply(*arguments)  # type: ignore[no-untyped-call]
        return logits + self.bias.detach()


class _Block(NamedTuple):
    """Goals of a block, with the batch as the last dimension."""

    goals: slice
    """Their columns among all candidates."""
    is_shared: bool
    encodings: th.Tensor
    """``[c, width, 1]`` if they are shared, else ``[c, width, batch]``."""
    inputs: th.Tensor
    """Memory for the sums of the encodings ``[c, width, batch]``."""
    hidden: th.Tensor
    """Memory for the hidden layer ``[c, hidden_dim, batch]``."""


def _blocks(rows: th.Tensor, shared: th.Tensor, own: th.Tensor, hidden_dim: int) -> Iterator[_Block]:
    """Split the goals into blocks; rows are ``[width, batch]``."""
    size = max(1, block_elements(rows.device) // max(1, rows.numel()))
    inputs = rows.new_empty(size, *rows.shape)
    hidden = rows.new_empty(size, hidden_dim, rows.shape[1])
    offset = 0
    for is_shared, encodings in ((True, shared.unsqueeze(2)), (False, own.permute(1, 2, 0).contiguous())):
        for start in range(0, len(encodings), size):
            part = encodings[start : start + size]
            columns = slice(offset + start, offset + start + len(part))
            yield _Block(columns, is_shared, part, inputs[: len(part)], hidden[: len(part)])
        offset += len(encodings)


def _fill_hidden(block: _Block, weight: th.Tensor, bias: th.Tensor) -> None:
    """Apply the layers to the block's inputs in place, which are the sums of the encodings."""
    block.inputs.relu_()
    count = len(block.inputs)
    th.baddbmm(bias[:, None].expand(count, -1, 1), weight.expand(count, -1, -1), block.inputs, out=block.hidden)
    block.hidden.relu_()


def _products(weight: th.Tensor, arrays: th.Tensor) -> th.Tensor:
    """Return the products of a matrix ``[m, n]`` and each of the arrays ``[c, n, batch]``."""
    return th.bmm(weight.expand(len(arrays), -1, -1), arrays)


class _PairLogits(th.autograd.Function):
    """Logits without their bias, differentiable with respect to all arguments."""

    @staticmethod
    def forward(
        ctx: Any,
        rows: th.Tensor,
        shared: th.Tensor,
        own: th.Tensor,
        weight: th.Tensor,
        bias: th.Tensor,
        last: th.Tensor,
    ) -> th.Tensor:
        rows = rows.t().contiguous()
        logits = rows.new_empty(len(shared) + own.shape[1], rows.shape[1])
        for block in _blocks(rows, shared, own, len(bias)):
            th.add(rows, block.encodings, out=block.inputs)
            _fill_hidden(block, weight, bias)
            logits[block.goals] = _products(last[None], block.hidden).squeeze(1)
        ctx.save_for_backward(rows, shared, own, weight, bias, last)
        return logits.t()

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad_out: th.Tensor) -> tuple[th.Tensor, ...]:
        rows, shared, own, weight, bias, last = ctx.saved_tensors
        grad_out = grad_out.t().contiguous()
        grads = [th.zeros_like(tensor) for tensor in (rows, weight, bias, last)]
        goal_grads: dict[bool, list[th.Tensor]] = {True: [shared[:0]], False: [own.permute(1, 2, 0)[:0]]}
        for block in _blocks(rows, shared, own, len(bias)):
            grad = grad_out[block.goals].unsqueeze(2)
            th.add(rows, block.encodings, out=block.inputs)
            _fill_hidden(block, weight, bias)
            grads[3] += th.bmm(block.hidden, grad).sum(dim=0).squeeze(1)
            # The derivative of relu, 0 or 1.
            th.gt(block.hidden, 0.0, out=block.hidden)
            block.hidden.mul_(last[:, None]).mul_(grad.transpose(1, 2))
            grads[1] += th.bmm(block.hidden, block.inputs.transpose(1, 2)).sum(dim=0)
            grads[2] += block.hidden.sum(dim=(0, 2))
            th.gt(block.inputs, 0.0, out=block.inputs)
            inputs_grad = _products(weight.t(), block.hidden).mul_(block.inputs)
            grads[0] += inputs_grad.sum(dim=0)
            goal_grads[block.is_shared].append(inputs_grad.sum(dim=2) if block.is_shared else inputs_grad)
        shared_grad, own_grad = th.cat(goal_grads[True]), th.cat(goal_grads[False]).permute(2, 0, 1)
        return grads[0].t(), shared_grad, own_grad, grads[1], grads[2], grads[3]


class _PairDiagonal(th.autograd.Function):
    """Logits without their bias, differentiable with respect to the actions only: derivatives are computed with the logits."""

    @staticmethod
    def forward(
        ctx: Any,
        rows: th.Tensor,
        shared: th.Tensor,
        own: th.Tensor,
        actions: th.Tensor,
        action_weight: th.Tensor,
        weight: th.Tensor,
        bias: th.Tensor,
        last: th.Tensor,
    ) -> th.Tensor:
        rows = rows.t().contiguous()
        actions = actions.detach().permute(1, 2, 0).contiguous()
        logits = rows.new_empty(len(actions), rows.shape[1])
        action_grads = th.empty_like(actions) if ctx.needs_input_grad[3] else None
        for block in _blocks(rows, shared, own, len(bias)):
            count = len(block.inputs)
            expanded = action_weight.expand(count, -1, -1)
            th.baddbmm(rows.expand(count, -1, -1), expanded, actions[block.goals], out=block.inputs)
            block.inputs.add_(block.encodings)
            _fill_hidden(block, weight, bias)
            logits[block.goals] = _products(last[None], block.hidden).squeeze(1)
            if action_grads is not None:
                # The derivatives of relu, 0 or 1.
                th.gt(block.hidden, 0.0, out=block.hidden)
                th.gt(block.inputs, 0.0, out=block.inputs)
                inputs_grad = _products(weight.t() * last, block.hidden).mul_(block.inputs)
                action_grads[block.goals] = _products(action_weight.t(), inputs_grad)
        ctx.save_for_backward(action_grads)
        return logits.t()

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad_out: th.Tensor) -> tuple[th.Tensor | None, ...]:
        (action_grads,) = ctx.saved_tensors
        return None, None, None, grad_out.unsqueeze(2) * action_grads.permute(2, 0, 1), None, None, None, None
