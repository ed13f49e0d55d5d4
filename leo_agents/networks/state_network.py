"""The state part of goal-conditioned observations, and networks that read only that part."""

from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from stable_baselines3.common.policies import BaseModel, BasePolicy
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, CombinedExtractor, FlattenExtractor, NatureCNN
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import Tensor, as_tensor, nn

from leo_agents.networks.batch_renorm import FusedBatchRenorm
from leo_agents.networks.map_extractor import MapExtractor, has_maps
from leo_wrappers.keys import GOAL_INPUT_KEYS, GOAL_KEY
from leo_wrappers.validation import check_integer

# Updates in which batch renormalization uses batch statistics only, until its running statistics are reliable.
RENORM_WARMUP = 1_000


def state_space(observation_space: spaces.Space[Any]) -> spaces.Space[Any]:
    """
    Return the observation space without the commanded goal; a Dict with a single entry left becomes that entry's space.

    :param observation_space: of a goal-conditioned environment
    :return: the space of states
    """
    if not isinstance(observation_space, spaces.Dict) or not observation_space.spaces.keys() & set(GOAL_INPUT_KEYS):
        raise ValueError(
            f"expected a Dict observation space with {GOAL_KEY!r}, got {observation_space}; "
            "wrap the environment with GoalConditionedWrapper or VecGoalSampler"
        )
    state = {key: space for key, space in observation_space.spaces.items() if key not in GOAL_INPUT_KEYS}
    if not state:
        raise ValueError(f"expected observations of more than the goal, got {observation_space}; add the state")
    return next(iter(state.values())) if len(state) == 1 else spaces.Dict(state)


def add_goal(
    obs: npt.NDArray[Any] | dict[str, npt.NDArray[Any]], goal_ids: int | npt.NDArray[np.int64]
) -> dict[str, npt.NDArray[Any]]:
    """
    Add a commanded goal to an observation or a batch of observations.

    :param obs: with or without a commanded goal
    :param goal_ids: a goal, or one per row ``[B]``
    :return: the observation with ``goal_id``
    """
    state = dict(obs) if isinstance(obs, dict) else {"observation": obs}
    return {**state, GOAL_KEY: np.asarray(goal_ids)}


def default_extractor(space: spaces.Space[Any]) -> type[BaseFeaturesExtractor]:
    """
    Return the default features extractor of a state space.

    :param space: from :func:`state_space`
    :return: a CNN for images and maps of class ids, ``CombinedExtractor`` for Dict spaces, else ``FlattenExtractor``
    """
    if has_maps(space):
        return MapExtractor
    if isinstance(space, spaces.Dict):
        return CombinedExtractor
    return NatureCNN if is_image_space(space) else FlattenExtractor


def make_trunk(
    input_dim: int, net_arch: list[int], activation_fn: type[nn.Module], layer_norm: bool, input_norm: bool = False
) -> nn.Sequential:
    """
    Create the layers between the features extractor and the head.

    :param input_dim: number of extracted features
    :param net_arch: widths of the layers
    :param activation_fn: activation function
    :param layer_norm: whether to apply layer normalization before each activation
    :param input_norm: whether to apply batch renormalization to the extracted features
    :return: the layers
    """
    layers: list[nn.Module] = [FusedBatchRenorm(input_dim, warmup_steps=RENORM_WARMUP)] if input_norm else []
    for width in net_arch:
        check_integer("each width in net_arch", width, 1)
        layers.append(nn.Linear(input_dim, width))
        if layer_norm:
            layers.append(nn.LayerNorm(width))
        layers.append(activation_fn())
        input_dim = width
    return nn.Sequential(*layers)


class StateNetwork(BaseModel):
    """
    Base class of networks that read the state but not the commanded goal.

    :param observation_space: of the goal-conditioned environment
    :param action_space: action space
    :param features_extractor: features extractor of the state space
    :param normalize_images: whether to divide images by 255
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
        Set training or evaluation mode.

        :param mode: True for training mode
        """
        # Called before every action: walking through all modules each time took a seventh of a training run in a maze.
        if mode != self.training:
            super().set_training_mode(mode)

    def extract_state(self, obs: PyTorchObs) -> Tensor:
        """
        Extract the features of the state.

        :param obs: observations, with or without the commanded goal
        :return: ``[B, features_dim]``
        """
        assert self.features_extractor is not None
        return self.extract_features(self.state_of(obs), self.features_extractor)

    def state_of(self, obs: PyTorchObs) -> PyTorchObs:
        """
        Return the part of observations that the features extractor reads.

        :param obs: observations, with or without the commanded goal
        :return: the states
        """
        if not isinstance(obs, dict):
            return obs
        state = {key: value for key, value in obs.items() if key not in GOAL_INPUT_KEYS}
        return next(iter(state.values())) if self._unwrap else state


class ActingNetwork(StateNetwork, BasePolicy):
    """Base class of networks that act for the commanded goal: ``predict``, ``save`` and ``load`` are those of the policies."""

    constructor_arguments: dict[str, Any]
    """Set by the subclasses, for ``save``."""
    goal_key: str = GOAL_KEY
    """Key of the commanded goal in observations."""

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return self.constructor_arguments

    def obs_to_tensor(self, observation: npt.NDArray[Any] | dict[str, npt.NDArray[Any]]) -> tuple[PyTorchObs, bool]:
        """
        Convert observations to tensors.

        :param observation: an observation with ``goal_id``, or a batch of them
        :return: tensors, always of a batch, and whether the observation was a batch
        """
        if not isinstance(observation, dict) or self.goal_key not in observation:
            raise ValueError(f"expected an observation with {self.goal_key!r}, got one without; add the goal to reach")
        states, is_batch = super().obs_to_tensor(self.state_of(observation))  # type: ignore[arg-type]
        goals = as_tensor(observation[self.goal_key], device=self.device)
        return {**(states if isinstance(states, dict) else {"observation": states}), self.goal_key: goals}, is_batch
