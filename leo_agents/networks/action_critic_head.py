"""
The critic's head for continuous actions: the value of every goal, where the action meets the state in one hidden layer.

    logit_g(s, a) = w_g . relu(W x(s) + U a + c) + v_g . x(s) + a . V_g x(s) + b_g

Learning about an action that was taken needs it for every goal: the hidden layer is then computed once a row, and the goals
cost one matrix product. Targets and actors need each goal's value of that goal's own action, the diagonal: one hidden layer
for each row and goal, but never every goal's value of every goal's action.
"""

from typing import Any

import torch as th
from torch import nn
from torch.autograd.function import once_differentiable

from leo_agents.networks.heads import logit

# How many numbers of the hidden layer exist at a time (1 MB), so that they stay in cache.
BLOCK_ELEMENTS = 2**18


class ActionCriticHead(nn.Module):
    """
    The values of all goals for continuous actions, on top of the features of the state.

    :param features_dim: number of features ``x(s)``
    :param num_goals: number of goals
    :param action_dim: number of components of an action
    :param width: width of the hidden layer in which state and action meet
    :param bilinear: with the terms ``v_g`` and ``V_g`` above: each goal then reads from the features directly how good a state
        is and in which direction an action should go there; the hidden layer is left to what is not linear in the action
    :param initial_value: the value of every goal before learning
    """

    def __init__(
        self,
        features_dim: int,
        num_goals: int,
        action_dim: int,
        width: int,
        bilinear: bool = True,
        initial_value: float = 0.5,
    ) -> None:
        super().__init__()
        for name, size in (("num_goals", num_goals), ("action_dim", action_dim), ("width", width)):
            if size < 1:
                raise ValueError(f"expected {name} of at least 1, got {size}")
        self.num_goals = num_goals
        self.state = nn.Linear(features_dim, width)
        self.action = nn.Linear(action_dim, width, bias=False)
        # From zero, as in DenseHead: random values would first have to be unlearned.
        self.weight = nn.Parameter(th.zeros(num_goals, width))
        self.direct = nn.Parameter(th.zeros(num_goals, 1 + action_dim, features_dim)) if bilinear else None
        self.bias = nn.Parameter(th.full((num_goals,), logit(initial_value)))

    def taken(self, features: th.Tensor, actions: th.Tensor, goals: th.Tensor | None = None) -> th.Tensor:
        """
        The logits of one action a row, for all goals.

        :param features: ``[batch, features_dim]``
        :param actions: ``[batch, action_dim]``
        :param goals: ids of the goals to compute ``[k]``; all of them by default
        :return: ``[batch, num_goals]`` or ``[batch, k]``
        """
        hidden = th.relu(self.state(features) + self.action(actions))
        logits = th.addmm(_rows(self.bias, goals), hidden, _rows(self.weight, goals).t())
        if self.direct is None:
            return logits
        # One product of the features, beside themselves times each component of the action, with all that the goals read.
        scaled = th.cat([features, (actions[:, :, None] * features[:, None]).flatten(1)], dim=1)
        return th.addmm(logits, scaled, _rows(self.direct, goals).flatten(1).t())

    def diagonal(self, features: th.Tensor, actions: th.Tensor, goals: th.Tensor | None = None) -> th.Tensor:
        """
        The logits of an action for each goal. Gradients flow into the actions alone: targets need none, and an actor learns
        while the critic is held fixed.

        :param features: ``[batch, features_dim]``
        :param actions: ``[batch, num_goals, action_dim]`` or, with ``goals``, ``[batch, k, action_dim]``
        :param goals: ids of the goals to compute ``[k]``; all of them by default
        :return: ``[batch, num_goals]`` or ``[batch, k]``
        """
        weight = _rows(self.weight, goals)
        if actions.ndim != 3 or actions.shape[:2] != (len(features), len(weight)):
            raise ValueError(
                f"expected actions of shape [{len(features)}, {len(weight)}, action_dim], one for each row and goal, "
                f"got {tuple(actions.shape)}"
            )
        with th.no_grad():
            hidden = self.state(features)
        bias = _rows(self.bias, goals).detach()
        logits = _Diagonal.apply(hidden, actions, self.action.weight, weight) + bias  # type: ignore[no-untyped-call]
        if self.direct is None:
            return logits
        with th.no_grad():
            direct = _rows(self.direct, goals)
            read = (features @ direct.flatten(0, 1).t()).view(len(features), *direct.shape[:2])
        return logits + read[:, :, 0] + (read[:, :, 1:] * actions).sum(dim=2)


class _Diagonal(th.autograd.Function):
    """
    ``out[b, g] = weight[g] . relu(hidden[b] + action_weight a[b, g])``, with its derivative by the actions only.

    Values and derivatives come from the same block of the hidden layer while it is in cache, so nothing of size
    ``[batch, goals, width]`` ever exists.
    """

    @staticmethod
    def forward(ctx: Any, hidden: th.Tensor, actions: th.Tensor, action_weight: th.Tensor, weight: th.Tensor) -> th.Tensor:
        # Goals first, and the batch last: the batch is then the long side of every matrix product, which makes products with
        # as few rows as an action has components fast.
        actions = actions.detach().permute(1, 2, 0).contiguous()
        hidden = hidden.t().contiguous()
        num_goals, _, batch_size = actions.shape
        values = hidden.new_empty(num_goals, 1, batch_size)
        slopes = th.empty_like(actions) if ctx.needs_input_grad[1] else None
        block = max(1, BLOCK_ELEMENTS // max(1, hidden.numel()))
        room = hidden.new_empty(min(block, num_goals), *hidden.shape)
        for start in range(0, num_goals, block):
            stop = min(start + block, num_goals)
            fused, count = room[: stop - start], stop - start
            into = action_weight.expand(count, -1, -1)
            th.baddbmm(hidden.expand(count, -1, -1), into, actions[start:stop], out=fused)
            fused.relu_()
            th.bmm(weight[start:stop, None], fused, out=values[start:stop])
            if slopes is not None:
                # The derivative of the hidden layer is 1 where it is positive; the weights then go with the small matrix.
                th.gt(fused, 0.0, out=fused)
                th.bmm((weight[start:stop, :, None] * action_weight).transpose(1, 2), fused, out=slopes[start:stop])
        ctx.save_for_backward(slopes)
        return values.squeeze(1).t()

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad_out: th.Tensor) -> tuple[th.Tensor | None, ...]:
        (slopes,) = ctx.saved_tensors
        return None, grad_out.unsqueeze(2) * slopes.permute(2, 0, 1), None, None


def _rows(tensor: th.Tensor, goals: th.Tensor | None) -> th.Tensor:
    return tensor if goals is None else tensor.index_select(0, goals)
