"""
Heads for goals that are points, with parameters of their own in each region of the goal space.

The heads are those of a finite goal set, whose goals are anchors: fixed points in the space of standardized goals. Between
them, the outputs are interpolated.
"""

from typing import Any

import torch as th
from torch import nn

from leo_agents.networks.action_critic_head import ActionCriticHead, diagonal_products
from leo_agents.networks.goal_linear import GoalLinear
from leo_agents.networks.normalization import ObservationNormalizer
from leo_wrappers.keys import ACHIEVED_GOAL_KEY
from leo_wrappers.validation import check_integer

# Anchors cover this many standard deviations of the points, to both sides of the mean: uniform points lie within 1.8.
_RANGE = 2.0
# Width of the weights of an anchor, relative to the distance between anchors.
_WIDTH = 0.7


class GoalAnchors(nn.Module):
    """
    Weights with which each goal takes part in each anchor: a softmax of the squared distances.

    :param goal_dim: dimension of the points
    :param num_anchors: largest number of anchors
    :param normalizer: standardizes the points; None if they are used as they are
    """

    points: th.Tensor

    def __init__(self, goal_dim: int, num_anchors: int, normalizer: ObservationNormalizer | None) -> None:
        super().__init__()
        check_integer("num_anchors", num_anchors, 1)
        self.normalizer = normalizer
        points, self.spacing = anchor_points(goal_dim, num_anchors)
        self.register_buffer("points", points)
        self.width = _WIDTH

    def forward(self, goals: th.Tensor) -> th.Tensor:
        """
        Compute the weights.

        :param goals: ``[..., d]``
        :return: ``[..., M]``, whose sum is 1
        """
        with th.autocast(goals.device.type, enabled=False):
            goals = goals.to(self.points.dtype)
            if self.normalizer is not None:
                goals = self.normalizer.standardize(goals, ACHIEVED_GOAL_KEY)
            # Half of the squared distances, without the squares of the goals, which do not change the softmax.
            distances = 0.5 * self.points.square().sum(dim=1) - goals @ self.points.t()
            return th.softmax(-distances / (self.width * self.spacing) ** 2, dim=-1)


def anchor_points(goal_dim: int, num_anchors: int) -> tuple[th.Tensor, float]:
    """
    Return a grid of anchors, or points of a Sobol sequence if there are too many dimensions for two anchors along each.

    :param goal_dim: dimension of the points
    :param num_anchors: number of anchors; a grid may have fewer
    :return: ``[M, d]``, and the distance between neighbors
    """
    side = int(num_anchors ** (1.0 / goal_dim) + 1e-9)
    if side >= 2:
        axis = _RANGE * ((2.0 * th.arange(side) + 1.0) / side - 1.0)
        return th.cartesian_prod(*[axis] * goal_dim).reshape(-1, goal_dim), 2.0 * _RANGE / side
    engine: Any = th.quasirandom.SobolEngine
    unit = engine(goal_dim, scramble=True, seed=0).draw(num_anchors)
    return _RANGE * (2.0 * unit - 1.0), 2.0 * _RANGE / num_anchors ** (1.0 / goal_dim)


def interpolate(outputs: th.Tensor, shared: th.Tensor, own: th.Tensor) -> th.Tensor:
    """
    Compute the outputs of candidate goals from those of the anchors.

    :param outputs: outputs of the anchors ``[batch, M, n]``
    :param shared: weights of the shared goals ``[S, M]``
    :param own: weights of each row's own goals ``[batch, k, M]``
    :return: ``[batch, S + k, n]``
    """
    return th.cat([th.einsum("bmn,sm->bsn", outputs, shared), own @ outputs], dim=1).to(outputs.dtype)


class AnchoredCriticHead(ActionCriticHead):
    """
    Logits of Q_g(s, a), interpolated between anchors.

    :param features_dim: number of features of the state
    :param action_dim: dimension of the actions
    :param width: width of the hidden layer that combines state and action
    :param anchors: the anchors
    """

    def __init__(self, features_dim: int, action_dim: int, width: int, anchors: GoalAnchors) -> None:
        super().__init__(features_dim, len(anchors.points), action_dim, width)
        self.anchors = anchors

    def taken(self, features: th.Tensor, actions: th.Tensor, goals: Any = None) -> th.Tensor:
        """
        Compute the logits of the taken actions.

        :param features: ``[batch, features_dim]``
        :param actions: one action per row ``[batch, action_dim]``
        :param goals: candidate goals, K per row
        :return: ``[batch, K]``
        """
        outputs = super().taken(features, actions).unsqueeze(2)
        return interpolate(outputs, self.anchors(goals.shared), self.anchors(goals.own)).squeeze(2)

    def diagonal(self, features: th.Tensor, actions: th.Tensor, goals: Any = None) -> th.Tensor:
        """
        Compute the logits of each goal for its own action. Gradients flow into the actions only.

        :param features: ``[batch, features_dim]``
        :param actions: one action per row and goal ``[batch, K, action_dim]``
        :param goals: candidate goals, K per row
        :return: ``[batch, K]``
        """
        num_shared, action_weight = len(goals.shared), self.action.weight.detach()
        assert self.direct is not None
        with th.no_grad():
            hidden = self.state(features)
            shared, own = self.anchors(goals.shared), self.anchors(goals.own)
            # The terms that are linear in the features are interpolated as outputs, the hidden layer's by its weights.
            terms = (features @ self.direct.flatten(0, 1).t()).view(len(features), *self.direct.shape[:2])
            terms[:, :, 0] += self.bias
            linear = interpolate(terms, shared, own)
            shared_weight, own_weight = shared @ self.weight, own @ self.weight
        combined = [
            diagonal_products(hidden, actions[:, :num_shared], action_weight, shared_weight),
            (th.relu(hidden.unsqueeze(1) + actions[:, num_shared:] @ action_weight.t()) * own_weight).sum(dim=2),
        ]
        return th.cat(combined, dim=1) + linear[:, :, 0] + (linear[:, :, 1:] * actions).sum(dim=2)


class AnchoredActorHead(GoalLinear):
    """
    Output layer of an actor, interpolated between anchors. All outputs are zero at initialization.

    :param features_dim: number of features
    :param outputs: number of outputs per goal
    :param anchors: the anchors
    """

    def __init__(self, features_dim: int, outputs: int, anchors: GoalAnchors) -> None:
        super().__init__(features_dim, len(anchors.points), outputs)
        self.anchors = anchors
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, features: th.Tensor, goals: Any = None) -> th.Tensor:
        """
        Compute the outputs of candidate goals.

        :param features: ``[batch, features_dim]``
        :param goals: candidate goals, K per row
        :return: ``[batch, K, outputs]``
        """
        return interpolate(super().forward(features), self.anchors(goals.shared), self.anchors(goals.own))

    def for_goals(self, features: th.Tensor, goals: th.Tensor) -> th.Tensor:
        """
        Compute the outputs of one goal per row.

        :param features: ``[batch, features_dim]``
        :param goals: the goal of each row ``[batch, d]``
        :return: ``[batch, outputs]``
        """
        outputs = super().forward(features)
        return th.einsum("bmo,bm->bo", outputs, self.anchors(goals)).to(outputs.dtype)
