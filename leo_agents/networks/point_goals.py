"""Heads for goals that are points: they read the goal instead of having an output for each goal."""

import math
from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from leo_agents.networks.anchored_heads import AnchoredActorHead, AnchoredCriticHead, GoalAnchors
from leo_agents.networks.candidate_goals import CandidateGoals
from leo_agents.networks.normalization import NormalizedExtractor, ObservationNormalizer
from leo_agents.networks.pair_layers import PairLayers
from leo_wrappers.keys import ACHIEVED_GOAL_KEY, DESIRED_GOAL_KEY
from leo_wrappers.validation import check_integer


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


# Scale of the anchors' logits. Adam changes every weight by about the learning rate, whatever its gradient: with the scale,
# the anchors learn later than the layers that all goals share, and add what those cannot represent.
_ANCHOR_SCALE = 0.2


class PointCriticHead(nn.Module):
    """
    Logits of Q_g(s, a) for goals that are points: encodings of state, action and goal are added, and two layers follow. To
    their output, the one of the anchors is added.

    State and goal are encoded once each; only the sum and two narrow layers are computed for every pair. These layers
    generalize from few transitions, but mix up goals that are near each other and yet a long way apart, as on both sides of a
    wall in a maze. The anchors have parameters of their own.

    :param features_dim: number of features of the state
    :param goal_dim: dimension of the points
    :param action_dim: dimension of the actions
    :param width: width of the encodings
    :param hidden_dim: width of the layer between the encodings and the logit
    :param initial_value: value of every goal at initialization
    :param encoder_kwargs: additional arguments of the :class:`GoalEncoder`
    :param num_anchors: number of anchors; 0 for none
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
        num_anchors: int = 64,
        normalizer: ObservationNormalizer | None = None,
    ) -> None:
        super().__init__()
        check_integer("width", width, 1)
        check_integer("hidden_dim", hidden_dim, 1)
        check_integer("num_anchors", num_anchors, 0)
        self.state = nn.Linear(features_dim, width)
        self.action = nn.Linear(action_dim, width, bias=False)
        self.encoder = GoalEncoder(goal_dim, width, normalizer=normalizer, **(encoder_kwargs or {}))
        self.pairs = PairLayers(width, hidden_dim, initial_value)
        self.anchored: AnchoredCriticHead | None = None
        if num_anchors:
            anchors = GoalAnchors(goal_dim, num_anchors, normalizer)
            self.anchored = AnchoredCriticHead(features_dim, action_dim, width, anchors)

    def taken(self, features: th.Tensor, actions: th.Tensor, goals: CandidateGoals) -> th.Tensor:
        """
        Compute the logits of the taken actions.

        :param features: ``[batch, features_dim]``
        :param actions: one action per row ``[batch, action_dim]``
        :param goals: candidate goals, K per row
        :return: ``[batch, K]``
        """
        with th.autocast(features.device.type, enabled=False):
            features, actions = self._as_parameters(features, actions)
            logits: th.Tensor = self.pairs(self.state(features) + self.action(actions), *self._encode(goals))
            if self.anchored is None:
                return logits
            return logits + _ANCHOR_SCALE * self.anchored.taken(features, actions, goals)

    def diagonal(self, features: th.Tensor, actions: th.Tensor, goals: CandidateGoals) -> th.Tensor:
        """
        Compute the logits of each goal for its own action. Gradients flow into the actions only.

        :param features: ``[batch, features_dim]``
        :param actions: one action per row and goal ``[batch, K, action_dim]``
        :param goals: candidate goals, K per row
        :return: ``[batch, K]``
        """
        with th.autocast(features.device.type, enabled=False):
            features, actions = self._as_parameters(features, actions)
            with th.no_grad():
                rows, goal_encodings = self.state(features), self._encode(goals)
            logits = self.pairs.diagonal(rows, *goal_encodings, actions, self.action.weight)
            return (
                logits if self.anchored is None else logits + _ANCHOR_SCALE * self.anchored.diagonal(features, actions, goals)
            )

    def _encode(self, goals: CandidateGoals) -> tuple[th.Tensor, th.Tensor]:
        """Return the encodings of shared goals ``[S, width]`` and of each row's own ``[batch, k, width]``."""
        num_shared, own = len(goals.shared), goals.own
        encodings = self.encoder(th.cat([goals.shared, own.flatten(0, 1)]))
        return encodings[:num_shared], encodings[num_shared:].view(*own.shape[:2], encodings.shape[1])

    def _as_parameters(self, *tensors: th.Tensor) -> list[th.Tensor]:
        """Convert tensors to the dtype of the parameters: autocast does not cast inside custom autograd functions."""
        return [tensor.to(self.state.weight.dtype) for tensor in tensors]


class PointActorHead(nn.Module):
    """
    Output layer of an actor whose weights are computed from the point of the goal, as the sum of a network's and the anchors'.

    Goals with weights of their own, as in the head of a finite goal set, do not have to share one way to combine state and
    goal: in a maze, a network that adds the encodings of both learned half as fast.

    The methods are those of :class:`~leo_agents.networks.goal_linear.GoalLinear`.

    :param features_dim: number of features
    :param goal_dim: dimension of the points
    :param outputs: number of outputs per goal
    :param projection_dim: the features are projected to this dimension first
    :param encoder_kwargs: additional arguments of the :class:`GoalEncoder`
    :param num_anchors: number of anchors; 0 for none
    :param normalizer: standardizes the points; None if they are used as they are
    """

    def __init__(
        self,
        features_dim: int,
        goal_dim: int,
        outputs: int,
        projection_dim: int = 64,
        encoder_kwargs: dict[str, Any] | None = None,
        num_anchors: int = 64,
        normalizer: ObservationNormalizer | None = None,
    ) -> None:
        super().__init__()
        check_integer("projection_dim", projection_dim, 1)
        check_integer("num_anchors", num_anchors, 0)
        self.shape = (outputs, projection_dim + 1)
        self.projection = nn.Sequential(
            nn.Linear(features_dim, projection_dim), nn.LayerNorm(projection_dim), nn.ReLU(inplace=True)
        )
        size = outputs * (projection_dim + 1)
        self.encoder = GoalEncoder(goal_dim, size, normalizer=normalizer, **(encoder_kwargs or {}))
        last = self.encoder.layers[-1]
        assert isinstance(last, nn.Linear)
        # An optimizer step changes each weight of the head by the sum of the changes of as many weights of the encoder as it
        # has inputs: without the scale, actions saturate within a few steps.
        self.scale = 4.0 / last.in_features
        # About half of the encoder's inputs are positive, with a mean square of 1. Weights as large as in a linear layer:
        nn.init.normal_(last.weight, std=math.sqrt(2.0 / (3.0 * projection_dim * last.in_features)) / self.scale)
        nn.init.zeros_(last.bias)
        self.anchored: AnchoredActorHead | None = None
        if num_anchors:
            self.anchored = AnchoredActorHead(features_dim, outputs, GoalAnchors(goal_dim, num_anchors, normalizer))

    def forward(self, features: th.Tensor, goals: CandidateGoals) -> th.Tensor:
        """
        Compute the outputs of candidate goals.

        :param features: ``[batch, features_dim]``
        :param goals: candidate goals, K per row
        :return: ``[batch, K, outputs]``
        """
        inputs = self.projection(features)
        weight, bias = self._weights(goals.shared)
        shared = th.addmm(bias.reshape(-1), inputs, weight.flatten(0, 1).t()).view(len(inputs), len(bias), self.shape[0])
        weight, bias = self._weights(goals.own)
        own = th.einsum("bf,bkof->bko", inputs, weight) + bias
        combined = th.cat([shared, own], dim=1).to(bias.dtype)
        return combined if self.anchored is None else combined + self.anchored(features, goals)

    def for_goals(self, features: th.Tensor, points: th.Tensor) -> th.Tensor:
        """
        Compute the outputs of one goal per row.

        :param features: ``[batch, features_dim]``
        :param points: the goal of each row ``[batch, d]``
        :return: ``[batch, outputs]``
        """
        weight, bias = self._weights(points)
        outputs = (th.einsum("bf,bof->bo", self.projection(features), weight) + bias).to(bias.dtype)
        return outputs if self.anchored is None else outputs + self.anchored.for_goals(features, points)

    def _weights(self, points: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        parameters = (self.encoder(points) * self.scale).unflatten(-1, self.shape)
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
