"""
Head of the critic for continuous actions: the logits of all goals, with one hidden layer that combines state and action.

    logit_g(s, a) = w_g . relu(W x(s) + U a + c) + v_g . x(s) + a . V_g x(s) + b_g

The critic loss needs Q_g(s, a) of the taken action for all goals: the hidden layer is computed once per row, and the goals
cost one matrix product. Targets and actor losses need Q_g(s, a_g), the diagonal of the ``[G, G]`` values of all goals for all
goals' actions: one hidden layer per row and goal, without the off-diagonal values.
"""

import warnings
from typing import Any

import torch as th
from torch import nn
from torch.autograd.function import once_differentiable

from leo_agents.networks.device import is_asynchronous
from leo_agents.networks.heads import logit
from leo_wrappers.validation import check_integer

# Hidden activations per block (1 MB in float32), so that a block stays in cache.
BLOCK_ELEMENTS = 2**18
# With CUDA, 256 MB in float32: fewer and larger operations.
CUDA_BLOCK_ELEMENTS = 2**26


class ActionCriticHead(nn.Module):
    """
    Logits of all goals for continuous actions, on top of the features of the state.

    The logits have the dtype of the parameters, under autocast too.

    :param features_dim: number of features ``x(s)``
    :param num_goals: number of goals
    :param action_dim: dimension of the actions
    :param width: width of the hidden layer that combines state and action; 0 for none, if ``bilinear``
    :param bilinear: include the terms with ``v_g`` and ``V_g`` above, which are linear in the features and in the action; the
        hidden layer then only has to represent the rest
    :param initial_value: value of every goal at initialization
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
        for name, size in (("num_goals", num_goals), ("action_dim", action_dim)):
            check_integer(name, size, 1)
        check_integer("width", width, 0 if bilinear else 1)
        self.num_goals = num_goals
        with warnings.catch_warnings():
            # Without a hidden layer, there are no weights to initialize.
            warnings.filterwarnings("ignore", message="Initializing zero-element tensors")
            self.state = nn.Linear(features_dim, width)
            self.action = nn.Linear(action_dim, width, bias=False)
        # Zero initialization as in DenseHead: random initial values would first have to be unlearned.
        self.weight = nn.Parameter(th.zeros(num_goals, width))
        self.direct = nn.Parameter(th.zeros(num_goals, 1 + action_dim, features_dim)) if bilinear else None
        self.bias = nn.Parameter(th.full((num_goals,), logit(initial_value)))

    def taken(self, features: th.Tensor, actions: th.Tensor, goals: th.Tensor | None = None) -> th.Tensor:
        """
        Compute the logits of the taken actions, for all goals.

        :param features: ``[batch, features_dim]``
        :param actions: one action per row ``[batch, action_dim]``
        :param goals: ids of the goals to compute ``[k]``; all of them by default
        :return: ``[batch, num_goals]`` or ``[batch, k]``
        """
        hidden = th.relu(self.state(features) + self.action(actions))
        logits = th.addmm(_rows(self.bias, goals), hidden, _rows(self.weight, goals).t())
        if self.direct is not None:
            # All bilinear terms as one product: [x, a_1 x, a_2 x, ...] times [v_g, V_g].
            scaled = th.cat([features, (actions[:, :, None] * features[:, None]).flatten(1)], dim=1)
            logits = th.addmm(logits, scaled, _rows(self.direct, goals).flatten(1).t())
        return logits.to(self.bias.dtype)

    def diagonal(self, features: th.Tensor, actions: th.Tensor, goals: th.Tensor | None = None) -> th.Tensor:
        """
        Compute the logits of each goal for its own action.

        Gradients flow into the actions only: targets need none, and the actor loss keeps the critic fixed.

        :param features: ``[batch, features_dim]``
        :param actions: one action per row and goal ``[batch, num_goals, action_dim]`` or ``[batch, k, action_dim]``
        :param goals: ids of the goals to compute ``[k]``; all of them by default
        :return: ``[batch, num_goals]`` or ``[batch, k]``
        """
        weight = _rows(self.weight, goals)
        if actions.ndim != 3 or actions.shape[:2] != (len(features), len(weight)):
            raise ValueError(
                f"expected actions of shape [{len(features)}, {len(weight)}, action_dim], one for each row and goal, "
                f"got {tuple(actions.shape)}"
            )
        # In full precision: autocast does not cast the operations inside a custom autograd function.
        with th.autocast(features.device.type, enabled=False):
            return self._diagonal_logits(features.to(weight.dtype), actions.to(weight.dtype), weight, goals)

    def _diagonal_logits(
        self, features: th.Tensor, actions: th.Tensor, weight: th.Tensor, goals: th.Tensor | None
    ) -> th.Tensor:
        with th.no_grad():
            hidden = self.state(features)
        bias = _rows(self.bias, goals).detach()
        logits = diagonal_products(hidden, actions, self.action.weight, weight) + bias
        if self.direct is None:
            return logits
        with th.no_grad():
            direct = _rows(self.direct, goals)
            linear = (features @ direct.flatten(0, 1).t()).view(len(features), *direct.shape[:2])
        return logits + linear[:, :, 0] + (linear[:, :, 1:] * actions).sum(dim=2)


def diagonal_products(hidden: th.Tensor, actions: th.Tensor, action_weight: th.Tensor, weight: th.Tensor) -> th.Tensor:
    """
    Compute ``out[b, g] = weight[g] . relu(hidden[b] + action_weight a[b, g])``. Gradients flow into the actions only.

    :param hidden: ``[batch, width]``
    :param actions: ``[batch, num_goals, action_dim]``
    :param action_weight: ``[width, action_dim]``
    :param weight: ``[num_goals, width]``
    :return: ``[batch, num_goals]``
    """
    return _Diagonal.apply(hidden, actions, action_weight, weight)  # type: ignore[no-untyped-call, no-any-return]


def block_elements(device: th.device) -> int:
    """
    Return how many hidden activations to compute at a time.

    :param device: where they are computed
    :return: number of elements
    """
    return CUDA_BLOCK_ELEMENTS if is_asynchronous(device) else BLOCK_ELEMENTS


class _Diagonal(th.autograd.Function):
    """
    ``out[b, g] = weight[g] . relu(hidden[b] + action_weight a[b, g])``, differentiable with respect to the actions only.

    Values and derivatives are computed together, block by block of goals, so that no array of shape
    ``[batch, goals, width]`` is allocated.
    """

    @staticmethod
    def forward(ctx: Any, hidden: th.Tensor, actions: th.Tensor, action_weight: th.Tensor, weight: th.Tensor) -> th.Tensor:
        # With the batch as the last dimension, matrix products are fast although action_dim is small.
        actions = actions.detach().permute(1, 2, 0).contiguous()
        hidden = hidden.t().contiguous()
        num_goals, _, batch_size = actions.shape
        values = hidden.new_empty(num_goals, 1, batch_size)
        action_grads = th.empty_like(actions) if ctx.needs_input_grad[1] else None
        block = max(1, block_elements(hidden.device) // max(1, hidden.numel()))
        workspace = hidden.new_empty(min(block, num_goals), *hidden.shape)
        for start in range(0, num_goals, block):
            stop = min(start + block, num_goals)
            count = stop - start
            activations = workspace[:count]
            th.baddbmm(hidden.expand(count, -1, -1), action_weight.expand(count, -1, -1), actions[start:stop], out=activations)
            activations.relu_()
            th.bmm(weight[start:stop, None], activations, out=values[start:stop])
            if action_grads is not None:
                # The derivative of relu, 0 or 1. Multiplying the weights first keeps the elementwise product small.
                th.gt(activations, 0.0, out=activations)
                scaled = (weight[start:stop, :, None] * action_weight).transpose(1, 2)
                th.bmm(scaled, activations, out=action_grads[start:stop])
        ctx.save_for_backward(action_grads)
        return values.squeeze(1).t()

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad_out: th.Tensor) -> tuple[th.Tensor | None, ...]:
        (action_grads,) = ctx.saved_tensors
        return None, grad_out.unsqueeze(2) * action_grads.permute(2, 0, 1), None, None


def _rows(tensor: th.Tensor, goals: th.Tensor | None) -> th.Tensor:
    return tensor if goals is None else tensor.index_select(0, goals)
