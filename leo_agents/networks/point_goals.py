"""
Heads for goals that are points: what the other heads store per goal, a network computes from the goal's point.

For a linear network and one-hot points, these are the heads of a finite goal set.
"""

import math
from typing import Any, NamedTuple

import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from leo_agents.networks.action_critic_head import CriticHead, GoalParameters
from leo_agents.networks.goal_linear import GoalLinear
from leo_agents.networks.heads import logit
from leo_agents.networks.normalization import NormalizedExtractor, ObservationNormalizer
from leo_wrappers.keys import ACHIEVED_GOAL_KEY, DESIRED_GOAL_KEY
from leo_wrappers.validation import check_integer, check_positive


class CandidateGoals(NamedTuple):
    """
    The goals of an update: some that all rows of the batch have in common, and some of each row's own.

    - ``shared``: points ``[S, d]``
    - ``own``: points ``[batch, k, d]``

    Outputs of networks for candidate goals have the columns of ``shared``, then those of ``own``: ``[batch, S + k]``.
    """

    shared: th.Tensor
    own: th.Tensor

    @classmethod
    def common(cls, points: th.Tensor, batch_size: int) -> "CandidateGoals":
        """Return candidates that are the same for every row, from points ``[S, d]``."""
        return cls(points, points.new_empty(batch_size, 0, points.shape[1]))

    @classmethod
    def one_per_row(cls, points: th.Tensor) -> "CandidateGoals":
        """Return candidates with one goal per row, from points ``[batch, d]``."""
        return cls(points[:0], points.unsqueeze(1))


Goals = th.Tensor | CandidateGoals | None
"""Goals to compute: ids of a finite goal set ``[K]``, None for all of them, or points."""


class GoalEncoder(nn.Module):
    """
    Network from the point of a goal to the parameters of a head.

    Random Fourier features let neighboring goals have different values, e.g. on both sides of a wall, which a network of the
    coordinates alone learns only slowly.

    :param goal_dim: dimension of the points
    :param outputs: number of outputs
    :param hidden_dim: width of the hidden layer; 0 for a linear network of the points
    :param num_frequencies: number of random frequencies
    :param frequency_scale: standard deviation of the frequencies, for standardized points
    :param normalizer: standardizes the points; None if they are used as they are
    """

    def __init__(
        self,
        goal_dim: int,
        outputs: int,
        hidden_dim: int = 256,
        num_frequencies: int = 64,
        frequency_scale: float = 1.0,
        normalizer: ObservationNormalizer | None = None,
    ) -> None:
        super().__init__()
        check_integer("hidden_dim", hidden_dim, 0)
        check_integer("num_frequencies", num_frequencies, 0)
        check_positive("frequency_scale", frequency_scale)
        self.normalizer = normalizer
        if hidden_dim == 0:
            self.hidden: nn.Module = nn.Identity()
            self.register_buffer("frequencies", th.empty(goal_dim, 0))
        else:
            self.register_buffer("frequencies", th.randn(goal_dim, num_frequencies) * frequency_scale)
            inputs = goal_dim + 2 * num_frequencies
            self.hidden = nn.Sequential(nn.Linear(inputs, hidden_dim), nn.LayerNorm(hidden_dim), nn.ReLU())
        self.output = nn.Linear(hidden_dim or goal_dim, outputs)

    def forward(self, points: th.Tensor) -> th.Tensor:
        """
        Compute the parameters of goals.

        :param points: ``[..., d]``
        :return: ``[..., outputs]``
        """
        points = points.to(self.frequencies.dtype)
        if self.normalizer is not None:
            points = self.normalizer.standardize(points, ACHIEVED_GOAL_KEY)
        phases = points @ self.frequencies
        return self.output(self.hidden(th.cat([points, phases.sin(), phases.cos()], dim=-1)))  # type: ignore[no-any-return]


class PointCriticHead(CriticHead):
    """
    :class:`~leo_agents.networks.action_critic_head.ActionCriticHead` for goals that are points.

    :param features_dim: number of features ``x(s)``
    :param goal_dim: dimension of the points
    :param action_dim: dimension of the actions
    :param width: width of the hidden layer that combines state and action; 0 for none, if ``bilinear``
    :param bilinear: include the terms that are linear in the features and in the action
    :param initial_value: value of every goal at initialization
    :param encoder_kwargs: additional arguments of the :class:`GoalEncoder`
    :param normalizer: standardizes the points; None if they are used as they are
    """

    def __init__(
        self,
        features_dim: int,
        goal_dim: int,
        action_dim: int,
        width: int,
        bilinear: bool = True,
        initial_value: float = 0.5,
        encoder_kwargs: dict[str, Any] | None = None,
        normalizer: ObservationNormalizer | None = None,
    ) -> None:
        super().__init__(features_dim, action_dim, width, bilinear)
        self.initial_logit = logit(initial_value)
        self.direct_shape = (1 + action_dim, features_dim) if bilinear else None
        outputs = width + ((1 + action_dim) * features_dim if bilinear else 0) + 1
        self.encoder = GoalEncoder(goal_dim, outputs, normalizer=normalizer, **(encoder_kwargs or {}))
        # Zero initialization, as in the head of a finite goal set.
        nn.init.zeros_(self.encoder.output.weight)
        nn.init.zeros_(self.encoder.output.bias)

    def goal_parameters(self, points: th.Tensor) -> GoalParameters:
        """
        Compute the parameters of goals.

        :param points: ``[..., d]``
        :return: their weights, direct weights and biases
        """
        outputs = self.encoder(points)
        width = self.state.out_features
        direct = None
        if self.direct_shape is not None:
            direct = outputs[..., width:-1].unflatten(-1, self.direct_shape)
        return GoalParameters(outputs[..., :width], direct, outputs[..., -1] + self.initial_logit)

    def taken(self, features: th.Tensor, actions: th.Tensor, goals: CandidateGoals) -> th.Tensor:  # type: ignore[override]
        """
        Compute the logits of the taken actions.

        :param features: ``[batch, features_dim]``
        :param actions: one action per row ``[batch, action_dim]``
        :param goals: candidate goals, K per row
        :return: ``[batch, K]``
        """
        parts = []
        if len(goals.shared):
            parts.append(self.taken_logits(features, actions, self.goal_parameters(goals.shared)))
        if goals.own.shape[1]:
            pair_actions = actions.unsqueeze(1).expand(-1, goals.own.shape[1], -1)
            parts.append(self._own_logits(features, pair_actions, self.goal_parameters(goals.own)))
        return th.cat(parts, dim=1)

    def diagonal(self, features: th.Tensor, actions: th.Tensor, goals: CandidateGoals) -> th.Tensor:  # type: ignore[override]
        """
        Compute the logits of each goal for its own action. Gradients flow into the actions only.

        :param features: ``[batch, features_dim]``
        :param actions: one action per row and goal ``[batch, K, action_dim]``
        :param goals: candidate goals, K per row
        :return: ``[batch, K]``
        """
        parts, num_shared = [], len(goals.shared)
        with th.no_grad():
            features = features.detach()
            shared = self.goal_parameters(goals.shared) if num_shared else None
            own = self.goal_parameters(goals.own) if goals.own.shape[1] else None
        if shared is not None:
            parts.append(self.diagonal_logits(features, actions[:, :num_shared], shared))
        if own is not None:
            parts.append(self._own_logits(features, actions[:, num_shared:], own, fixed=True))
        return th.cat(parts, dim=1)

    def _own_logits(
        self, features: th.Tensor, actions: th.Tensor, parameters: GoalParameters, fixed: bool = False
    ) -> th.Tensor:
        """Compute the logits of goals with their own parameters in each row ``[batch, k]``, without their gradient if fixed."""
        weight, bias = self.action.weight.detach() if fixed else self.action.weight, parameters.bias
        with th.set_grad_enabled(th.is_grad_enabled() and not fixed):
            hidden = self.state(features).unsqueeze(1)
        logits = (th.relu(hidden + actions @ weight.t()) * parameters.weight).sum(dim=2) + bias
        if parameters.direct is not None:
            linear = th.einsum("bf,bkaf->bka", features, parameters.direct)
            logits = logits + linear[:, :, 0] + (linear[:, :, 1:] * actions).sum(dim=2)
        return logits.to(bias.dtype)


class PointActorHead(nn.Module):
    """
    Linear output layer of an actor whose weights depend on the point of the goal.

    :param features_dim: number of features
    :param goal_dim: dimension of the points
    :param outputs: number of outputs per goal
    :param encoder_kwargs: additional arguments of the :class:`GoalEncoder`
    :param normalizer: standardizes the points; None if they are used as they are
    """

    def __init__(
        self,
        features_dim: int,
        goal_dim: int,
        outputs: int,
        encoder_kwargs: dict[str, Any] | None = None,
        normalizer: ObservationNormalizer | None = None,
    ) -> None:
        super().__init__()
        self.shape = (outputs, features_dim + 1)
        size = outputs * (features_dim + 1)
        self.encoder = GoalEncoder(goal_dim, size, normalizer=normalizer, **(encoder_kwargs or {}))
        # Weights of the size of a linear layer's: outputs of the encoder are sums over its inputs.
        inputs = self.encoder.output.in_features
        bound = math.sqrt(3.0 / inputs) * 1.0 / math.sqrt(features_dim)
        nn.init.uniform_(self.encoder.output.weight, -bound, bound)
        nn.init.zeros_(self.encoder.output.bias)

    def forward(self, features: th.Tensor, goals: CandidateGoals) -> th.Tensor:
        """
        Compute the outputs of candidate goals.

        :param features: ``[batch, features_dim]``
        :param goals: candidate goals, K per row
        :return: ``[batch, K, outputs]``, float32 under autocast too
        """
        parts = []
        if len(goals.shared):
            weight, bias = self._weights(goals.shared)
            parts.append(GoalLinear.outputs(features, weight, bias))
        if goals.own.shape[1]:
            weight, bias = self._weights(goals.own)
            parts.append(th.einsum("bf,bkof->bko", features, weight) + bias)
        return th.cat(parts, dim=1)

    def for_goals(self, features: th.Tensor, points: th.Tensor) -> th.Tensor:
        """
        Compute the outputs of one goal per row.

        :param features: ``[batch, features_dim]``
        :param points: the goal of each row ``[batch, d]``
        :return: ``[batch, outputs]``, float32 under autocast too
        """
        return self(features, CandidateGoals.one_per_row(points)).squeeze(1)  # type: ignore[no-any-return]

    def _weights(self, points: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        parameters = self.encoder(points).unflatten(-1, self.shape)
        return parameters[..., :-1], parameters[..., -1]


def point_size(observation_space: spaces.Space[Any]) -> int:
    """
    Return the dimension of the points in the space of ``desired_goal``.

    :param observation_space: of a goal environment
    :return: d
    """
    assert isinstance(observation_space, spaces.Dict)
    return int(observation_space[DESIRED_GOAL_KEY].shape[0])  # type: ignore[index]


def normalizer_of(features_extractor: BaseFeaturesExtractor) -> ObservationNormalizer | None:
    """
    Return the normalizer of a features extractor.

    :param features_extractor: with or without a normalizer
    :return: the normalizer, or None
    """
    return features_extractor.normalizer if isinstance(features_extractor, NormalizedExtractor) else None
