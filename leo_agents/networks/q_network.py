"""Networks that answer for every goal at once, and the observation they see."""

from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import BaseModel
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, CombinedExtractor, FlattenExtractor, NatureCNN
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import nn

from leo_agents.networks.batch_renorm import FusedBatchRenorm
from leo_agents.networks.heads import DenseHead, FactoredHead, GoalHead
from leo_agents.networks.map_extractor import MapExtractor, has_maps
from leo_wrappers.keys import GOAL_INPUT_KEYS, GOAL_KEY

# Gradient steps for which batch renormalisation uses each batch's own statistics, until there are some to go by.
RENORM_WARMUP = 1_000

HEADS: dict[str, type[GoalHead]] = {"dense": DenseHead, "factored": FactoredHead}


def state_space(observation_space: spaces.Space[Any]) -> spaces.Space[Any]:
    """
    The part of the observation space that the network sees: without the command, and without a dictionary around one array.

    :param observation_space: of a goal-conditioned environment
    :return: the space of its states
    """
    if not isinstance(observation_space, spaces.Dict) or GOAL_KEY not in observation_space.spaces:
        raise ValueError(
            f"expected a Dict observation space with {GOAL_KEY!r}, got {observation_space}; "
            "wrap the environment with GoalConditionedWrapper or VecGoalSampler"
        )
    state = {key: space for key, space in observation_space.spaces.items() if key not in GOAL_INPUT_KEYS}
    return next(iter(state.values())) if len(state) == 1 else spaces.Dict(state)


def default_extractor(space: spaces.Space[Any]) -> type[BaseFeaturesExtractor]:
    """
    The features extractor that suits a state space.

    :param space: from :func:`state_space`
    :return: a convolution for images and for maps of class ids, a combination for several keys, else none to speak of
    """
    if has_maps(space):
        return MapExtractor
    if isinstance(space, spaces.Dict):
        return CombinedExtractor
    return NatureCNN if is_image_space(space) else FlattenExtractor


def make_head(
    kind: str, features_dim: int, num_goals: int, num_actions: int, head_kwargs: dict[str, Any] | None = None
) -> GoalHead:
    """
    An all-goals head by name.

    :param kind: ``"dense"`` or ``"factored"``
    :param features_dim: number of features
    :param num_goals: number of goals
    :param num_actions: number of actions
    :param head_kwargs: further arguments of the head
    :return: the head
    """
    if kind not in HEADS:
        raise ValueError(f"expected head to be one of {list(HEADS)}, got {kind!r}")
    return HEADS[kind](features_dim, num_goals, num_actions, **(head_kwargs or {}))


def make_trunk(
    input_dim: int, net_arch: list[int], activation_fn: type[nn.Module], layer_norm: bool, input_norm: bool = False
) -> nn.Sequential:
    """
    The layers between the extracted features and the head.

    :param input_dim: number of extracted features
    :param net_arch: widths of the layers
    :param activation_fn: the nonlinearity
    :param layer_norm: whether to normalise before each nonlinearity
    :param input_norm: whether to normalise the extracted features, by batch renormalisation
    :return: the layers
    """
    layers: list[nn.Module] = [FusedBatchRenorm(input_dim, warmup_steps=RENORM_WARMUP)] if input_norm else []
    for width in net_arch:
        layers.append(nn.Linear(input_dim, width))
        if layer_norm:
            layers.append(nn.LayerNorm(width))
        layers.append(activation_fn())
        input_dim = width
    return nn.Sequential(*layers)


class StateNetwork(BaseModel):
    """
    A network that reads the state and not the commanded goal.

    :param observation_space: of the goal-conditioned environment
    :param action_space: the actions
    :param features_extractor: for the state space
    :param normalize_images: divide images by 255
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        features_extractor: BaseFeaturesExtractor,
        normalize_images: bool = True,
    ) -> None:
        super().__init__(
            state_space(observation_space),
            action_space,
            features_extractor=features_extractor,
            normalize_images=normalize_images,
        )
        self._unwrap = not isinstance(self.observation_space, spaces.Dict)

    def set_training_mode(self, mode: bool) -> None:
        """
        :param mode: whether the network is to train
        """
        # It is told before every action; to tell all its modules again took a seventh of a training in a maze.
        if mode != self.training:
            super().set_training_mode(mode)

    def extract_state(self, obs: PyTorchObs) -> th.Tensor:
        """
        :param obs: observations, with or without the command
        :return: what the features extractor makes of their states
        """
        assert self.features_extractor is not None
        return self.extract_features(self.state_of(obs), self.features_extractor)

    def state_of(self, obs: PyTorchObs) -> PyTorchObs:
        """
        :param obs: observations, with or without the command
        :return: what the features extractor reads of them
        """
        if not isinstance(obs, dict):
            return obs
        state = {key: value for key, value in obs.items() if key not in GOAL_INPUT_KEYS}
        return next(iter(state.values())) if self._unwrap else state


class GoalQNetwork(StateNetwork):
    """
    The values of every goal and action from one pass over the state.

    :param observation_space: of the goal-conditioned environment
    :param action_space: the actions
    :param num_goals: number of goals
    :param features_extractor: for the state space
    :param net_arch: widths of the hidden layers
    :param activation_fn: the nonlinearity
    :param layer_norm: whether to normalise before each nonlinearity
    :param head: ``"dense"`` or ``"factored"``
    :param head_kwargs: further arguments of the head
    :param squash: pass the values through a sigmoid, so that they stay in ``[0, 1]``
    :param normalize_images: divide images by 255
    :param input_norm: whether to normalise the extracted features, by batch renormalisation
    """

    action_space: spaces.Discrete

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Discrete,
        num_goals: int,
        features_extractor: BaseFeaturesExtractor,
        net_arch: list[int],
        activation_fn: type[nn.Module] = nn.ReLU,
        layer_norm: bool = True,
        head: str = "dense",
        head_kwargs: dict[str, Any] | None = None,
        squash: bool = True,
        normalize_images: bool = True,
        input_norm: bool = False,
    ) -> None:
        super().__init__(observation_space, action_space, features_extractor, normalize_images)
        self.squash = squash
        self.trunk = make_trunk(features_extractor.features_dim, net_arch, activation_fn, layer_norm, input_norm)
        width = net_arch[-1] if net_arch else features_extractor.features_dim
        self.head = make_head(head, width, num_goals, int(action_space.n), head_kwargs)

    def features(self, obs: PyTorchObs) -> th.Tensor:
        """
        :param obs: observations, with or without the command
        :return: what the heads read ``[B, H]``
        """
        return self.trunk(self.extract_state(obs))

    def forward(self, obs: PyTorchObs) -> th.Tensor:
        """
        :param obs: observations
        :return: the values of every goal and action ``[B, G, A]``
        """
        return self.values(self.head(self.features(obs)))

    def values(self, outputs: th.Tensor) -> th.Tensor:
        """
        :param outputs: what the head gave
        :return: the values they mean
        """
        return th.sigmoid(outputs) if self.squash else outputs

    def goal_outputs(self, obs: PyTorchObs, goal_ids: th.Tensor) -> th.Tensor:
        """
        Every action for one goal a row, which is all that acting needs.

        :param obs: observations
        :param goal_ids: a goal each ``[B]`` or ``[B, 1]``
        :return: the head's outputs ``[B, A]``, which order the actions as the values do
        """
        return self.head.for_goals(self.features(obs), goal_ids.long().reshape(-1))

    def _predict(self, observation: PyTorchObs, deterministic: bool = True) -> th.Tensor:
        assert isinstance(observation, dict)
        return self.goal_outputs(observation, observation[GOAL_KEY]).argmax(dim=1)


def add_command(obs: np.ndarray | dict[str, np.ndarray], goal_ids: int | np.ndarray) -> dict[str, Any]:
    """
    :param obs: an observation or a batch, with or without a command
    :param goal_ids: the goals to command
    :return: the observation with that command
    """
    state = dict(obs) if isinstance(obs, dict) else {"observation": obs}
    return {**state, GOAL_KEY: np.asarray(goal_ids)}
