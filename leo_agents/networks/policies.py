"""What every policy here can do: act for the goal in the observation, or for any goal by name."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from leo_agents.networks.q_network import StateNetwork, add_command, default_extractor, state_space
from leo_wrappers.goal_set import Goal, goal_index
from leo_wrappers.keys import GOAL_INPUT_KEYS, GOAL_KEY

Observation = np.ndarray | dict[str, np.ndarray]


class GoalActing(BasePolicy):
    """
    A mixin: acts for the goal in the observation, ``goal_id``, or for any goal by name.

    ``goal_names`` are the goals, in order, ``_state_space`` the space of observations without the command.
    """

    goal_names: tuple[str, ...]
    _state_space: spaces.Space[Any]

    def predict(
        self,
        observation: Observation,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """
        :param observation: observations with ``goal_id``
        :param state: passed through
        :param episode_start: no effect
        :param deterministic: no effect on a policy that is not random
        :return: the actions and the state
        """
        if not isinstance(observation, dict) or GOAL_KEY not in observation:
            raise ValueError(
                f"expected an observation with {GOAL_KEY!r}, got one without; wrap the environment with "
                "GoalConditionedWrapper or VecGoalSampler, or use act(observation, goal)"
            )
        return super().predict(observation, state, episode_start, deterministic)

    def act(self, observation: Observation, goal: Goal) -> Any:
        """
        The best action towards a goal.

        :param observation: a single observation; a command in it is ignored
        :param goal: a name or an index
        :return: the action, an int where actions are discrete
        """
        commanded = self._commanded(observation, goal_index(self.goal_names, goal))
        actions, _ = self.predict(commanded, deterministic=True)
        if np.ndim(actions) != len(self.action_space.shape or ()):
            raise ValueError(f"expected a single observation, got {len(actions)}; use predict for a batch")
        return int(actions) if isinstance(self.action_space, spaces.Discrete) else actions

    def _commanded(self, observation: Observation, goal_id: int) -> dict[str, np.ndarray]:
        """The observation, single or batched as it comes, with the same goal in every row."""
        state = {key: value for key, value in add_command(observation, 0).items() if key not in GOAL_INPUT_KEYS}
        expected = set(self._state_space.spaces) if isinstance(self._state_space, spaces.Dict) else {"observation"}
        if isinstance(self._state_space, spaces.Dict) and set(state) != expected:
            raise ValueError(f"expected an observation with the keys {sorted(expected)}, got {sorted(state)}")
        key, value = next(iter(state.items()))
        space = self._state_space[key] if isinstance(self._state_space, spaces.Dict) else self._state_space
        batch_shape = np.shape(value)[: np.ndim(value) - len(space.shape or ())]
        return add_command(state, np.full(batch_shape, goal_id, dtype=np.int64))


class GoalPolicy(GoalActing):
    """
    The base of policies that know many goals and act for the one in the observation, ``goal_id``.

    :param observation_space: a flat Dict with ``goal_id``
    :param action_space: the actions
    :param goal_names: the goals, in order
    :param features_extractor_class: reads the state (the observation without the command); chosen by its space when None
    :param features_extractor_kwargs: further arguments of the extractor
    :param normalize_images: divide images by 255
    :param optimizer_class: the optimiser
    :param optimizer_kwargs: its arguments besides the learning rate; a fused update for Adam by default
    :param squash_output: whether the actions are squashed
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        goal_names: Sequence[str],
        features_extractor_class: type[BaseFeaturesExtractor] | None = None,
        features_extractor_kwargs: dict[str, Any] | None = None,
        normalize_images: bool = True,
        optimizer_class: type[th.optim.Optimizer] = th.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
        squash_output: bool = False,
    ) -> None:
        state = state_space(observation_space)
        if optimizer_kwargs is None and issubclass(optimizer_class, th.optim.Adam):
            optimizer_kwargs = {"fused": True}
        super().__init__(
            observation_space,
            action_space,
            features_extractor_class=features_extractor_class or default_extractor(state),
            features_extractor_kwargs=features_extractor_kwargs,
            normalize_images=normalize_images,
            optimizer_class=optimizer_class,
            optimizer_kwargs=optimizer_kwargs,
            squash_output=squash_output,
        )
        self.goal_names = tuple(goal_names)
        self._state_space = state

    def make_features_extractor(self) -> BaseFeaturesExtractor:
        """
        :return: an extractor for the state, which the command is no part of
        """
        return self.features_extractor_class(self._state_space, **self.features_extractor_kwargs)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {
            **super()._get_constructor_parameters(),
            "goal_names": self.goal_names,
            "lr_schedule": self._dummy_schedule,  # dummy lr schedule, not needed for loading policy alone
            "optimizer_class": self.optimizer_class,
            "optimizer_kwargs": self.optimizer_kwargs,
            "features_extractor_class": self.features_extractor_class,
            "features_extractor_kwargs": self.features_extractor_kwargs,
        }

    def _export(self, network: StateNetwork, acting: nn.Module) -> th.jit.ScriptModule:
        """A module of two arguments, states and goals, as TorchScript."""
        tensors, _ = self.obs_to_tensor(self._commanded(self._state_space.sample(), 0))
        state, goal_ids = network.state_of(tensors), tensors[GOAL_KEY]  # type: ignore[index]
        self.set_training_mode(False)
        # Traced with two rows: one would be taken for a dimension that never grows.
        twice = {key: _twice(value) for key, value in state.items()} if isinstance(state, dict) else _twice(state)
        return th.jit.trace(acting, (twice, goal_ids.repeat(2)), check_trace=False)  # type: ignore[no-any-return, no-untyped-call]


def expected_steps(values: npt.NDArray[Any], gamma: float) -> npt.NDArray[Any]:
    """
    Values as numbers of steps, ``1 + log(value) / log(gamma)``: exact where the world is deterministic.

    :param values: of best actions
    :param gamma: the discount that the values were learned with
    :return: as many numbers, infinite where the value is 0
    """
    with np.errstate(divide="ignore"):
        return 1.0 + np.log(np.clip(values, 0.0, 1.0)) / np.log(gamma)


def explore(actions: npt.NDArray[Any], num_actions: int, rate: float) -> npt.NDArray[Any]:
    """
    Each environment by its own coin.

    :param actions: the actions that are thought best
    :param num_actions: number of actions
    :param rate: share of random actions
    :return: the actions to take
    """
    coins = np.random.random(actions.shape) < rate
    return np.where(coins, np.random.randint(num_actions, size=actions.shape), actions)


def _twice(tensor: th.Tensor) -> th.Tensor:
    return tensor.repeat(2, *[1] * (tensor.ndim - 1))
