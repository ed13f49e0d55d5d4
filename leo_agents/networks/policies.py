"""Base classes of policies: act for the goal in the observation, or for any goal by name."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import nn

from leo_agents.networks.goal_descriptors import descriptor_error
from leo_agents.networks.normalization import NormalizingPolicy
from leo_agents.networks.state_network import StateNetwork, add_goal, default_extractor, state_space
from leo_wrappers.goal_set import Goal, check_goal_names, goal_index
from leo_wrappers.keys import GOAL_INPUT_KEYS, GOAL_KEY
from leo_wrappers.validation import shorten

Observation = npt.NDArray[Any] | dict[str, npt.NDArray[Any]]


def check_finite_observation(observation: dict[str, Any]) -> None:
    """
    Raise a ``ValueError`` if an observation contains NaN or infinity, for which networks return meaningless actions.

    :param observation: an observation, or a batch of them
    """
    for key, value in observation.items():
        if np.asarray(value).dtype.kind == "f" and not np.isfinite(value).all():
            raise ValueError(f"expected a finite observation, got NaN or infinity in {key!r}; check the environment")


class GoalPolicyMixin(NormalizingPolicy):
    """
    Mixin of policies that act for the goal in the observation, ``goal_id``, or for any goal by name.

    Subclasses set ``goal_names`` and ``state_space``, the observation space without the goal.
    """

    goal_names: tuple[str, ...]
    observation_space: spaces.Dict
    state_space: spaces.Space[Any]

    @classmethod
    def _check_arguments(cls, arguments: Mapping[str, Any]) -> None:
        super()._check_arguments(arguments)
        if {"observation_space", "goal_names"} <= arguments.keys():  # Python itself names missing ones
            cls._check_goals(arguments["observation_space"], arguments["goal_names"])

    @classmethod
    def _check_goals(cls, observation_space: spaces.Space[Any], goal_names: Sequence[str]) -> None:
        """Raise an error unless observations contain one of the goals."""
        names = check_goal_names(goal_names)
        state_space(observation_space)
        goal_space = observation_space.spaces.get(GOAL_KEY) if isinstance(observation_space, spaces.Dict) else None
        if isinstance(goal_space, spaces.Discrete) and goal_space.n != len(names):
            raise ValueError(f"expected the names of {goal_space.n} goals, got {len(names)}; pass those of the environment")

    @property
    def takes_descriptors(self) -> bool:
        """Whether ``act`` and ``values`` take goals by descriptor, also ones that the policy was not trained on."""
        return False

    @abstractmethod
    def values(self, observation: Observation, goals: npt.ArrayLike | None = None) -> npt.NDArray[np.float32]:
        """
        Compute V_g(s) of all goals.

        :param observation: an observation, or a batch of them; a commanded goal in it is ignored
        :param goals: descriptors ``[K, d]`` of the goals to compute instead, if the policy takes them
        :return: ``[B, G]`` or ``[B, K]``
        """

    def _check_no_descriptors(self, goals: npt.ArrayLike | None) -> None:
        """Raise a ``ValueError`` for goals that are not None."""
        if goals is not None:
            raise descriptor_error(goals, self.goal_names, None)

    def predict(
        self,
        observation: Observation,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """
        Get the action for the commanded goal, see Stable-Baselines3.

        :param observation: observations with ``goal_id``
        :param state: returned as it is
        :param episode_start: not used
        :param deterministic: whether to return deterministic actions
        :return: the actions and the state
        """
        if isinstance(observation, tuple):  # (observation, info) of Gymnasium's reset, which the base class explains
            return super().predict(observation, state, episode_start, deterministic)
        observation = self._check_commanded_goals(observation)
        missing = self.observation_space.spaces.keys() - GOAL_INPUT_KEYS - observation.keys()
        if missing:
            raise ValueError(f"expected an observation with {sorted(missing)}, got {sorted(observation)}; pass all entries")
        check_finite_observation(observation)
        return super().predict(observation, state, episode_start, deterministic)

    def act(self, observation: Observation, goal: Goal | npt.ArrayLike) -> Any:
        """
        Get the deterministic action for a goal.

        :param observation: a single observation; a commanded goal in it is ignored
        :param goal: name or index; or the descriptor of any goal, such as its point, if the policy takes descriptors
        :return: the action, an int for discrete actions
        """
        actions = self._best_actions(observation, goal)
        if np.ndim(actions) != len(self.action_space.shape or ()):
            raise ValueError(f"expected a single observation, got {len(actions)}; use predict for a batch")
        return int(actions) if isinstance(self.action_space, spaces.Discrete) else actions

    def _best_actions(self, observation: Observation, goal: Goal | npt.ArrayLike) -> npt.NDArray[Any]:
        """Return the action for a goal as users give it, or the actions of a batch."""
        return self.predict(self._command(observation, goal), deterministic=True)[0]

    def with_goal(self, observation: Observation, goal_id: int) -> dict[str, npt.NDArray[Any]]:
        """
        Command a goal in an observation, or the same goal in every row of a batch.

        :param observation: an observation, or a batch of them; a commanded goal in it is replaced
        :param goal_id: index of the goal
        :return: the observation with ``goal_id``
        """
        state, batch_shape = self._split_state(observation)
        return add_goal(state, np.full(batch_shape, goal_id, dtype=np.int64))

    def _example_goal(self) -> Any:
        """Return a goal that can be commanded."""
        return 0

    def _command(self, observation: Observation, goal: Any) -> dict[str, npt.NDArray[Any]]:
        """Command a goal as users give it."""
        return self.with_goal(observation, goal_index(self.goal_names, goal))

    def _check_commanded_goals(self, observation: Observation) -> dict[str, npt.NDArray[Any]]:
        """Return the observations; raise a ``ValueError`` unless they contain commanded goals."""
        if not isinstance(observation, dict) or GOAL_KEY not in observation:
            raise ValueError(
                f"expected an observation with {GOAL_KEY!r}, got one without; wrap the environment with "
                "GoalConditionedWrapper or VecGoalSampler, or use act(observation, goal)"
            )
        goal_ids, num_goals = np.asarray(observation[GOAL_KEY]), len(self.goal_names)
        if goal_ids.dtype.kind not in "iu" or (goal_ids.size and not (goal_ids.min() >= 0 and goal_ids.max() < num_goals)):
            raise ValueError(
                f"expected {GOAL_KEY!r} to be integers from 0 to {num_goals - 1}, got {shorten(goal_ids)}; see goal_names"
            )
        return observation

    def _split_state(self, observation: Observation) -> tuple[dict[str, npt.NDArray[Any]], tuple[int, ...]]:
        """Return an observation without a commanded goal, and its batch shape: empty for a single observation."""
        state = {key: value for key, value in add_goal(observation, 0).items() if key not in GOAL_INPUT_KEYS}
        keys = self.observation_space.spaces.keys() - GOAL_INPUT_KEYS
        if state.keys() != keys:
            raise ValueError(
                f"expected an observation with the keys {sorted(keys)}, got {sorted(state)}; pass one of the environment"
            )
        for key, value in state.items():
            space = self.state_space[key] if isinstance(self.state_space, spaces.Dict) else self.state_space
            shape, single_shape = np.shape(value), space.shape or ()
            batch_shape = shape[: max(len(shape) - len(single_shape), 0)]
            # Sorted, because images may have their channels first or last.
            if len(batch_shape) > 1 or sorted(shape[len(batch_shape) :]) != sorted(single_shape):
                raise ValueError(
                    f"expected {key!r} of shape {single_shape}, or a batch of them, got {shape}; pass an observation of the "
                    "environment"
                )
        check_finite_observation(state)
        return state, batch_shape


class GoalPolicy(GoalPolicyMixin):
    """
    Base class of policies whose networks read the state only, or state and goal separately.

    :param observation_space: a flat Dict space with ``goal_id``
    :param action_space: action space
    :param goal_names: names of the goals, in order
    :param features_extractor_class: features extractor of the state; chosen by the state space if None
    :param features_extractor_kwargs: additional arguments of the features extractor
    :param normalize_images: whether to divide images by 255
    :param normalize_observations: whether to standardize observations by running statistics, see
        :class:`~leo_agents.networks.normalization.ObservationNormalizer`
    :param optimizer_class: optimizer; :attr:`default_optimizer_class` if None
    :param optimizer_kwargs: additional arguments of the optimizer; ``fused=True`` for Adam by default
    :param squash_output: whether the actions are squashed into [-1, 1]
    """

    default_optimizer_class: ClassVar[type[th.optim.Optimizer]] = th.optim.Adam

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        goal_names: Sequence[str],
        features_extractor_class: type[BaseFeaturesExtractor] | None = None,
        features_extractor_kwargs: dict[str, Any] | None = None,
        normalize_images: bool = True,
        normalize_observations: bool = True,
        optimizer_class: type[th.optim.Optimizer] | None = None,
        optimizer_kwargs: dict[str, Any] | None = None,
        squash_output: bool = False,
    ) -> None:
        states = state_space(observation_space)
        optimizer_class = optimizer_class or self.default_optimizer_class
        if optimizer_kwargs is None and issubclass(optimizer_class, th.optim.Adam):
            optimizer_kwargs = {"fused": True}
        super().__init__(
            observation_space,
            action_space,
            features_extractor_class=features_extractor_class or default_extractor(states),
            features_extractor_kwargs=features_extractor_kwargs,
            normalize_images=normalize_images,
            optimizer_class=optimizer_class,
            optimizer_kwargs=optimizer_kwargs,
            squash_output=squash_output,
        )
        self.goal_names = tuple(goal_names)
        self.state_space = states
        self.normalize_observations = normalize_observations

    def forward(self, obs: PyTorchObs, deterministic: bool = True) -> th.Tensor:
        """
        Get the actions for the commanded goals.

        :param obs: observations with ``goal_id``
        :param deterministic: whether to return deterministic actions
        :return: ``[B]`` or ``[B, act]``; continuous actions in [-1, 1]
        """
        return self._predict(obs, deterministic=deterministic)

    def make_features_extractor(self) -> BaseFeaturesExtractor:
        """Create the features extractor of the state, behind the normalizer that all networks share."""
        extractor = self.features_extractor_class(self.state_space, **self.features_extractor_kwargs)
        return self.add_normalizer(extractor, self.state_space)

    def make_optimizer(self, network: nn.Module, learning_rate: float) -> th.optim.Optimizer:
        """
        Create an optimizer.

        :param network: the module to optimize
        :param learning_rate: initial learning rate
        :return: the optimizer
        """
        return self.optimizer_class(network.parameters(), lr=learning_rate, **self.optimizer_kwargs)  # type: ignore[call-arg]

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {
            **super()._get_constructor_parameters(),
            "goal_names": self.goal_names,
            "lr_schedule": self._dummy_schedule,  # not needed for loading the policy alone
            "optimizer_class": self.optimizer_class,
            "optimizer_kwargs": self.optimizer_kwargs,
            "features_extractor_class": self.features_extractor_class,
            "features_extractor_kwargs": self.features_extractor_kwargs,
        }

    def _export(self, network: StateNetwork, module: nn.Module, goals: th.Tensor | None = None) -> th.jit.ScriptModule:
        """Trace a module with the arguments (states, goals), from an example of the goals: commanded ones if None."""
        tensors: Any = self.obs_to_tensor(self._command(self.state_space.sample(), self._example_goal()))[0]
        states, goals = network.state_of(tensors), tensors[network.goal_key] if goals is None else goals
        self.set_training_mode(False)
        # Two rows: tracing would take a batch dimension of one for a constant.
        batch = {key: _repeat(value) for key, value in states.items()} if isinstance(states, dict) else _repeat(states)
        return th.jit.trace(module, (batch, _repeat(goals)), check_trace=False)  # type: ignore[no-any-return, no-untyped-call]


def expected_steps(values: npt.NDArray[Any], gamma: float) -> npt.NDArray[Any]:
    """
    Convert values to numbers of steps, ``1 + log(V_g(s)) / log(gamma)``, exact in deterministic environments.

    :param values: V_g(s), any shape
    :param gamma: discount factor of the values, strictly between 0 and 1
    :return: numbers of steps of the same shape, infinite where the value is 0
    """
    if not 0.0 < gamma < 1.0:
        raise ValueError(f"expected gamma strictly between 0 and 1, got {gamma}; use values(), which have no number of steps")
    with np.errstate(divide="ignore"):
        return 1.0 + np.log(np.clip(values, 0.0, 1.0)) / np.log(gamma)


def _repeat(tensor: th.Tensor) -> th.Tensor:
    return tensor.repeat(2, *[1] * (tensor.ndim - 1))
