"""Heads for goals that are points: they read the goal instead of having an output for each goal."""

from typing import Any, NamedTuple

import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn
from torch.func import functional_call

from leo_agents.networks.heads import logit
from leo_agents.networks.normalization import NormalizedExtractor, ObservationNormalizer
from leo_wrappers.keys import ACHIEVED_GOAL_KEY, DESIRED_GOAL_KEY
from leo_wrappers.validation import check_integer


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
    Network from the point of a goal to its encoding, with one hidden layer.

    :param goal_dim: dimension of the points
    :param outputs: number of outputs
    :param hidden_dim: width of the hidden layer
    :param normalizer: standardizes the points; None if they are used as they are
    """

    def __init__(
        self, goal_dim: int, outputs: int, hidden_dim: int = 256, normalizer: ObservationNormalizer | None = None
    ) -> None:
        super().__init__()
        check_integer("hidden_dim", hidden_dim, 1)
        self.normalizer = normalizer
        self.hidden = nn.Linear(goal_dim, hidden_dim)
        self.layers = nn.Sequential(nn.LayerNorm(hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, outputs))

    def forward(self, points: th.Tensor) -> th.Tensor:
        """
        Encode goals.

        :param points: ``[..., d]``
        :return: ``[..., outputs]``
        """
        points = points.to(self.hidden.weight.dtype)
        if self.normalizer is not None:
            points = self.normalizer.standardize(points, ACHIEVED_GOAL_KEY)
        return self.layers(self.hidden(points))  # type: ignore[no-any-return]


class PairNetwork(nn.Module):
    """
    Network of pairs of a state and a goal: it adds an encoding of the goal to one of the state and applies two layers.

    State and goal are encoded once each, and only two narrow layers are computed for every pair.

    :param features_dim: number of features of the state
    :param goal_dim: dimension of the points
    :param width: width of the encodings
    :param outputs: number of outputs per pair
    :param hidden_dim: width of the layer between the encodings and the outputs
    :param action_dim: dimension of an action that is encoded and added too; 0 for none
    :param encoder_kwargs: additional arguments of the :class:`GoalEncoder`
    :param normalizer: standardizes the points; None if they are used as they are
    """

    def __init__(
        self,
        features_dim: int,
        goal_dim: int,
        width: int,
        outputs: int,
        hidden_dim: int = 64,
        action_dim: int = 0,
        encoder_kwargs: dict[str, Any] | None = None,
        normalizer: ObservationNormalizer | None = None,
    ) -> None:
        super().__init__()
        check_integer("width", width, 1)
        check_integer("hidden_dim", hidden_dim, 1)
        self.state = nn.Linear(features_dim, width)
        self.action = nn.Linear(action_dim, width, bias=False) if action_dim else None
        self.encoder = GoalEncoder(goal_dim, width, normalizer=normalizer, **(encoder_kwargs or {}))
        self.layers = nn.Sequential(
            nn.ReLU(inplace=True), nn.Linear(width, hidden_dim), nn.ReLU(inplace=True), nn.Linear(hidden_dim, outputs)
        )

    def forward(self, features: th.Tensor, goals: CandidateGoals, actions: th.Tensor | None = None) -> th.Tensor:
        """
        Compute the outputs of all pairs.

        :param features: ``[batch, features_dim]``
        :param goals: candidate goals, K per row
        :param actions: one action per pair ``[batch, K, action_dim]`` or per row ``[batch, 1, action_dim]``
        :return: ``[batch, K, outputs]``
        """
        return self.layers(self._add(self._encode(features, goals), actions))  # type: ignore[no-any-return]

    def action_gradient_only(self, features: th.Tensor, goals: CandidateGoals, actions: th.Tensor) -> th.Tensor:
        """
        As :meth:`forward`, but gradients flow into the actions only.

        :param features: ``[batch, features_dim]``
        :param goals: candidate goals, K per row
        :param actions: one action per pair ``[batch, K, action_dim]``
        :return: ``[batch, K, outputs]``
        """
        with th.no_grad():
            encodings = self._encode(features, goals)
        fixed = {name: parameter.detach() for name, parameter in self.layers.named_parameters()}
        return functional_call(self.layers, fixed, (self._add(encodings, actions, fixed=True),))  # type: ignore[no-any-return]

    def _encode(self, features: th.Tensor, goals: CandidateGoals) -> th.Tensor:
        """Return the sums of the encodings of states and goals ``[batch, K, width]``."""
        batch_size, num_own = goals.own.shape[:2]
        encoded = self.encoder(th.cat([goals.shared, goals.own.flatten(0, 1)]))
        shared, own = encoded.split([len(goals.shared), batch_size * num_own])
        own = own.view(batch_size, num_own, self.state.out_features)
        return th.cat([shared.expand(batch_size, -1, -1), own], dim=1) + self.state(features).unsqueeze(1)

    def _add(self, encodings: th.Tensor, actions: th.Tensor | None, fixed: bool = False) -> th.Tensor:
        if self.action is None or actions is None:
            return encodings
        weight = self.action.weight.detach() if fixed else self.action.weight
        return encodings + nn.functional.linear(actions, weight)


class PointCriticHead(nn.Module):
    """
    Logits of Q_g(s, a) for goals that are points.

    :param features_dim: number of features of the state
    :param goal_dim: dimension of the points
    :param action_dim: dimension of the actions
    :param width: width of the layer that combines state, action and goal
    :param hidden_dim: width of the layer after it
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
        hidden_dim: int = 64,
        initial_value: float = 0.5,
        encoder_kwargs: dict[str, Any] | None = None,
        normalizer: ObservationNormalizer | None = None,
    ) -> None:
        super().__init__()
        self.pairs = PairNetwork(features_dim, goal_dim, width, 1, hidden_dim, action_dim, encoder_kwargs, normalizer)
        # As in the head of a finite goal set: random initial values would first have to be unlearned.
        nn.init.zeros_(self.pairs.layers[-1].weight)  # type: ignore[arg-type]
        nn.init.constant_(self.pairs.layers[-1].bias, logit(initial_value))  # type: ignore[arg-type]

    def taken(self, features: th.Tensor, actions: th.Tensor, goals: CandidateGoals) -> th.Tensor:
        """
        Compute the logits of the taken actions.

        :param features: ``[batch, features_dim]``
        :param actions: one action per row ``[batch, action_dim]``
        :param goals: candidate goals, K per row
        :return: ``[batch, K]``
        """
        return self.pairs(features, goals, actions.unsqueeze(1)).squeeze(2)  # type: ignore[no-any-return]

    def diagonal(self, features: th.Tensor, actions: th.Tensor, goals: CandidateGoals) -> th.Tensor:
        """
        Compute the logits of each goal for its own action. Gradients flow into the actions only.

        :param features: ``[batch, features_dim]``
        :param actions: one action per row and goal ``[batch, K, action_dim]``
        :param goals: candidate goals, K per row
        :return: ``[batch, K]``
        """
        return self.pairs.action_gradient_only(features, goals, actions).squeeze(2)


class PointActorHead(PairNetwork):
    """
    Outputs of an actor for goals that are points; see :class:`PairNetwork`.

    The methods are those of :class:`~leo_agents.networks.goal_linear.GoalLinear`.
    """

    def for_goals(self, features: th.Tensor, points: th.Tensor) -> th.Tensor:
        """
        Compute the outputs of one goal per row.

        :param features: ``[batch, features_dim]``
        :param points: the goal of each row ``[batch, d]``
        :return: ``[batch, outputs]``
        """
        return self(features, CandidateGoals.one_per_row(points)).squeeze(1)  # type: ignore[no-any-return]


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
