"""
Head of goals that are states: the value is ``exp(-d)`` of a distance from the state after the action to the goal.

The distance is a quasimetric for any weights: it is not negative, 0 from a state to itself, and satisfies the triangle
inequality. It need not be symmetric.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch as th
from torch import nn
from torch.autograd.function import once_differentiable

from leo_agents.networks.goal_descriptors import check_table
from leo_agents.networks.grouped_linear import grouped_linear
from leo_agents.networks.heads import GoalHead
from leo_wrappers.validation import check_integer

# Values start near 0.5 with the initial weights of the layers.
_INITIAL_SCALE = 0.2
# Bounds of -log(value), between which the logit is finite.
_SMALLEST, _LARGEST = 1e-4, 30.0


def quasimetric(x: th.Tensor, y: th.Tensor) -> th.Tensor:
    """
    Compute the distances from x to y, the form of metric residual networks (https://arxiv.org/abs/2208.08133)::

        max_i max(x_i - y_i, 0) + |x' - y'|

    where x', y' are the second halves of the vectors and i runs over the first halves.

    :param x: ``[..., size]``
    :param y: broadcasts with x
    :return: ``[...]``
    """
    half = x.shape[-1] // 2
    difference = x - y
    return difference[..., :half].relu().amax(dim=-1) + difference[..., half:].norm(dim=-1)


def pairwise_quasimetric(x: th.Tensor, y: th.Tensor) -> th.Tensor:
    """
    Compute :func:`quasimetric` of all pairs, without an array of all differences.

    :param x: ``[n, size]``
    :param y: ``[k, size]``
    :return: ``[n, k]``
    """
    half = x.shape[1] // 2
    largest: th.Tensor = _LargestExcess.apply(x[:, :half], y[:, :half])  # type: ignore[no-untyped-call]
    # Products of matrices would be faster, but inexact near 0.
    return largest + th.cdist(x[:, half:], y[:, half:], compute_mode="donot_use_mm_for_euclid_dist")


class _LargestExcess(th.autograd.Function):
    """``max_i max(x_i - y_i, 0)`` of all pairs; only the component of the maximum has a gradient."""

    @staticmethod
    def forward(ctx: Any, x: th.Tensor, y: th.Tensor) -> th.Tensor:
        columns = list(zip(x.t().unsqueeze(2), y.t().unsqueeze(1), strict=True))
        largest = x.new_zeros(len(x), len(y))
        if not any(ctx.needs_input_grad):
            for mine, other in columns:
                th.maximum(largest, mine - other, out=largest)
            return largest
        # An additional component, where no difference is positive.
        component = th.full(largest.shape, len(columns), device=x.device)
        for index, (mine, other) in enumerate(columns):
            difference = mine - other
            component.masked_fill_(difference > largest, index)
            th.maximum(largest, difference, out=largest)
        ctx.save_for_backward(component)
        ctx.num_components = len(columns)
        return largest

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: th.Tensor) -> tuple[th.Tensor, th.Tensor]:  # type: ignore[override]
        (component,) = ctx.saved_tensors
        of_x, of_y = (gradient.new_zeros(size, ctx.num_components + 1) for size in component.shape)
        of_x.scatter_add_(1, component, gradient)
        of_y.scatter_add_(1, component.t(), -gradient.t())
        return of_x[:, :-1], of_y[:, :-1]


class QuasimetricHead(GoalHead):
    """
    Head whose values are ``exp(-d(z_a(s), z(g)))`` with a quasimetric d and latent vectors of states: ``z(g)`` is that of the
    goal's observation, ``z_a(s) = z(s) + W_a phi(s) + b_a`` that of the state after the action. States and goals are encoded
    by the same layers, so that the values of a goal are computed from its observation, also if it was never trained on.

    :param features_dim: number of features
    :param num_goals: number of goals
    :param num_actions: number of actions
    :param descriptors: an observation of each goal, ``[num_goals, d]``
    :param size: length of the latent vectors, an even number
    """

    goal_states: th.Tensor
    encoder: Callable[[th.Tensor], th.Tensor]
    """Maps observations to features; set by the network."""

    def __init__(
        self, features_dim: int, num_goals: int, num_actions: int, descriptors: np.ndarray | None = None, size: int = 64
    ) -> None:
        super().__init__(features_dim, num_goals, num_actions)
        check_integer("size", size, 2)
        if size % 2:
            raise ValueError(f"expected size to be even, got {size}; choose e.g. 64")
        if descriptors is None:
            raise ValueError(
                'expected an observation of each goal for head="quasimetric", got no descriptors; pass '
                "head_kwargs={'descriptors': observations}"
            )
        self.size = size
        self.register_buffer("goal_states", th.as_tensor(check_table("descriptors", descriptors, num_goals)).float())
        self.latent = nn.Linear(features_dim, size)
        # All actions start with equal values, as in the other heads.
        self.weight = nn.Parameter(th.zeros(num_actions, size, features_dim))
        self.bias = nn.Parameter(th.zeros(num_actions, size))
        self.log_scale = nn.Parameter(th.tensor(_INITIAL_SCALE).log())

    @property
    def descriptors(self) -> th.Tensor:
        """An observation of each goal, ``[num_goals, d]``."""
        return self.goal_states

    def distances(self, features: th.Tensor, others: th.Tensor) -> th.Tensor:
        """
        Compute the distances between states, as ``-log(value)``.

        :param features: of the states from which to measure ``[n, features_dim]``
        :param others: of the states to reach ``[k, features_dim]``
        :return: ``[n, k]``
        """
        return self.log_scale.exp() * pairwise_quasimetric(_float(self.latent(features)), _float(self.latent(others)))

    def taken(self, features: th.Tensor, actions: th.Tensor, goals: th.Tensor | None = None) -> th.Tensor:
        after = self.latent(features) + grouped_linear(features, self.weight, self.bias, actions)
        return self._logits(pairwise_quasimetric(_float(after), self._goal_latents(goals)))

    def for_goals(self, features: th.Tensor, goal_ids: th.Tensor) -> th.Tensor:
        goals = self._goal_latents(goal_ids if goal_ids.is_floating_point() else goal_ids.reshape(-1))
        after = self._after_actions(features, self.weight, self.bias)
        return self._logits(quasimetric(after, goals.unsqueeze(1)))

    def _block_logits(self, features: th.Tensor, goals: th.Tensor | None) -> Callable[[int, int], th.Tensor]:
        latents = self._goal_latents(goals)

        def block_logits(start: int, stop: int) -> th.Tensor:
            after = self._after_actions(features, self.weight[start:stop], self.bias[start:stop])
            distances = pairwise_quasimetric(after.flatten(0, 1), latents)
            return self._logits(distances).view(len(features), stop - start, -1)

        return block_logits

    def _after_actions(self, features: th.Tensor, weight: th.Tensor, bias: th.Tensor) -> th.Tensor:
        """Compute the latent vectors of the states after some actions, ``[batch, actions, size]``."""
        changes = nn.functional.linear(features, weight.flatten(0, 1), bias.flatten()).view(-1, weight.shape[0], self.size)
        return _float(self.latent(features).unsqueeze(1) + changes)

    def _goal_latents(self, goals: th.Tensor | None) -> th.Tensor:
        """Compute the latent vectors of goals, ids ``[k]`` or observations ``[k, d]``."""
        if goals is None:
            goals = self.goal_states
        elif not goals.is_floating_point():
            goals = self.goal_states.index_select(0, goals)
        return _float(self.latent(self.encoder(goals)))

    def _logits(self, distances: th.Tensor) -> th.Tensor:
        """Convert distances to logits of the values ``exp(-scale * distance)``."""
        return -(self.log_scale.exp() * distances).clamp(max=_LARGEST).expm1().add(_SMALLEST).log()


def _float(latents: th.Tensor) -> th.Tensor:
    """Convert the half precision of autocast to float32: distances are differences of nearly equal numbers."""
    return latents.to(th.promote_types(latents.dtype, th.float32))
