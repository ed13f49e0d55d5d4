"""Algorithms that can be trained by name: those of ``leo_agents``, and Stable-Baselines3's as baselines."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces

from leo_cli.suggestions import unknown

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

# Arguments that the command line sets itself.
_RESERVED_IN_POLICY = {"args", "kwargs", "observation_space", "action_space", "lr_schedule", "goal_names", "has_value_net"}
_RESERVED = {"self", "policy", "env", "seed", "device", "verbose", "tensorboard_log", "_init_setup_model"}


@dataclass(frozen=True)
class AlgorithmSpec:
    """
    Specification of an algorithm.

    :param entry_point: its class, as ``module:Class``
    :param discrete: whether it needs ``Discrete`` actions, else ``Box``
    :param factory: for a class of Stable-Baselines3, the goal-conditioned constructor in :mod:`leo_agents.baselines`
    :param kwargs: arguments that distinguish it from other algorithms of the same class
    :param num_envs: default number of parallel environments
    :param any_goal: whether it takes any point as a goal
    """

    entry_point: str
    discrete: bool
    factory: str | None = None
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    num_envs: int = 1
    any_goal: bool = False

    @cached_property
    def algorithm_class(self) -> "type[BaseAlgorithm]":
        """The imported class."""
        module, _, name = self.entry_point.partition(":")
        return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]

    @property
    def learns_offline(self) -> bool:
        """Whether it learns from datasets: all with a replay buffer that stores masks."""
        return hasattr(self.algorithm_class, "learn_offline") and self.kwargs != _PLAIN

    @property
    def hyperparameters(self) -> list[str]:
        """Names of the arguments that can be set."""
        names: set[str] = set()
        for function in self._constructors():
            names |= {name for name, one in _parameters(function).items() if one.kind is not one.VAR_KEYWORD}
        return sorted(names - _RESERVED - set(self.kwargs) - ({"replay_buffer_class", "algorithm"} if self.factory else set()))

    @property
    def numeric_defaults(self) -> dict[str, float]:
        """Default values of the arguments that accept only numbers."""
        parameters = [one for function in self._constructors() for one in _parameters(function).items()]
        return {
            name: one.default
            for name, one in reversed(parameters)
            if type(one.default) in (int, float) and "str" not in str(one.annotation)
        }

    @property
    def policy_arguments(self) -> list[str]:
        """Names of the arguments that can be set in ``policy_kwargs``."""
        policy = self.algorithm_class.policy_aliases["MultiInputPolicy"]
        names = {name for function in _constructor_chain(policy) for name in _parameters(function)}
        return sorted(names - _RESERVED_IN_POLICY)

    @property
    def action_space_class(self) -> type[spaces.Space[Any]]:
        """The kind of action space it needs."""
        return spaces.Discrete if self.discrete else spaces.Box

    def build(self, env: Any, seed: int, device: str, hyperparameters: dict[str, Any]) -> "BaseAlgorithm":
        """
        Create an untrained model.

        :param env: multi-goal environments
        :param seed: seed of all random generators
        :param device: PyTorch device
        :param hyperparameters: arguments of the class; a number as ``action_noise`` is the standard deviation of normal noise
        :return: the model
        """
        kwargs: dict[str, Any] = {**self.kwargs, **hyperparameters, "seed": seed, "device": device}
        if isinstance(kwargs.get("action_noise"), int | float):
            kwargs["action_noise"] = _normal_noise(env, float(kwargs["action_noise"]))
        make = self._constructors()[0]
        if self.factory is None:
            # The alias that all classes of leo_agents have in common.
            return make("MultiInputPolicy", env, **kwargs)  # type: ignore[no-any-return]
        takes_class = "algorithm" in _parameters(make)
        return make(*([self.algorithm_class] if takes_class else []), env=env, **kwargs)  # type: ignore[no-any-return]

    def _constructors(self) -> list[Callable[..., Any]]:
        """Return the callable that creates the model, followed by those that receive its ``**kwargs``."""
        functions: list[Callable[..., Any]] = [] if self.factory is None else [_baseline_factory(self.factory)]
        return functions + _constructor_chain(self.algorithm_class)


_BASELINES = "leo_agents.baselines"
_DQN, _ACTOR_CRITIC = "goal_conditioned_dqn", "goal_conditioned_actor_critic"
_PLAIN, _HER, _ALL_GOALS = {"buffer": "plain"}, {"buffer": "her"}, {"buffer": "all_goals"}
_ON_POLICY_ENVS = 64

ALGORITHMS = {
    "leodqn": AlgorithmSpec("leo_agents:LEODQN", True),
    "leopqn": AlgorithmSpec("leo_agents:LEOPQN", True, num_envs=_ON_POLICY_ENVS),
    "dualleopqn": AlgorithmSpec("leo_agents:DualLEOPQN", True, num_envs=_ON_POLICY_ENVS),
    "dualleoppo": AlgorithmSpec("leo_agents:DualLEOPPO", True, num_envs=_ON_POLICY_ENVS),
    "leotd3": AlgorithmSpec("leo_agents:LEOTD3", False, any_goal=True),
    "leosac": AlgorithmSpec("leo_agents:LEOSAC", False, any_goal=True),
    "dqn": AlgorithmSpec(f"{_BASELINES}:NormalizedDQN", True, _DQN, _PLAIN),
    "dqn+her": AlgorithmSpec(f"{_BASELINES}:NormalizedDQN", True, _DQN, _HER),
    "dqn+all-goals": AlgorithmSpec(f"{_BASELINES}:NormalizedDQN", True, _DQN, _ALL_GOALS),
    "pqn": AlgorithmSpec("leo_agents:PQN", True, num_envs=_ON_POLICY_ENVS),
    "pqn+her": AlgorithmSpec("leo_agents:PQN", True, None, {"her_ratio": 0.8}, _ON_POLICY_ENVS),
    "ppo": AlgorithmSpec(f"{_BASELINES}:NormalizedPPO", True, "goal_conditioned_ppo", num_envs=_ON_POLICY_ENVS),
    "td3": AlgorithmSpec(f"{_BASELINES}:NormalizedTD3", False, _ACTOR_CRITIC, _PLAIN),
    "td3+her": AlgorithmSpec(f"{_BASELINES}:NormalizedTD3", False, _ACTOR_CRITIC, _HER),
    "sac": AlgorithmSpec(f"{_BASELINES}:NormalizedSAC", False, _ACTOR_CRITIC, _PLAIN),
    "sac+her": AlgorithmSpec(f"{_BASELINES}:NormalizedSAC", False, _ACTOR_CRITIC, _HER),
    "tqc": AlgorithmSpec(f"{_BASELINES}:NormalizedTQC", False, _ACTOR_CRITIC, _PLAIN),
    "tqc+her": AlgorithmSpec(f"{_BASELINES}:NormalizedTQC", False, _ACTOR_CRITIC, _HER),
}


def find_algorithm(name: str) -> AlgorithmSpec:
    """
    Look up an algorithm, ignoring case.

    :param name: a key of :data:`ALGORITHMS`
    :return: its specification

    Example::

        >>> find_algorithm("LEOPQN").num_envs
        64
    """
    if name.lower() not in ALGORITHMS:
        raise unknown("an algorithm", name, ALGORITHMS)
    return ALGORITHMS[name.lower()]


def check_action_space(name: str, space: spaces.Space[Any]) -> None:
    """
    Check that an algorithm supports an action space.

    :param name: the algorithm
    :param space: the environment's action space
    """
    required = find_algorithm(name).action_space_class
    if not isinstance(space, required):
        others = [other for other, spec in ALGORITHMS.items() if isinstance(space, spec.action_space_class)]
        remedy = f"use {', '.join(others)}" if others else "make them Discrete or a Box"
        raise ValueError(f"expected {required.__name__} actions for {name}, got {space}; {remedy}")


def check_any_goal(name: str, remedy: str) -> None:
    """
    Check that an algorithm takes any point as a goal.

    :param name: the algorithm
    :param remedy: what else to do, for the error message
    """
    if not find_algorithm(name).any_goal:
        able = " or ".join(other for other, spec in ALGORITHMS.items() if spec.any_goal)
        raise ValueError(f"expected {able} where any point is a goal, got {name}, which needs a finite goal set; {remedy}")


def check_offline(name: str) -> None:
    """
    Check that an algorithm learns from datasets.

    :param name: the algorithm
    """
    able = [other for other, spec in ALGORITHMS.items() if spec.learns_offline]
    if not find_algorithm(name).learns_offline:
        raise ValueError(f"expected an algorithm that learns from a dataset, got {name}; use {', '.join(able)}")


def check_hyperparameters(name: str, hyperparameters: dict[str, Any], source: str) -> None:
    """
    Check that an algorithm has all given hyperparameters, and that numeric ones are numbers.

    :param name: the algorithm
    :param hyperparameters: values by name
    :param source: the file or option that set them, for error messages
    """
    algorithm = find_algorithm(name)
    known, defaults = algorithm.hyperparameters, algorithm.numeric_defaults
    for key, value in hyperparameters.items():
        if key not in known:
            raise unknown(f"a hyperparameter of {name} in {source}", key, known)
        if isinstance(value, str) and key in defaults:
            raise ValueError(f"expected a number for {key} in {source}, got {value!r}; write e.g. {key}={defaults[key]}")
    policy_kwargs = hyperparameters.get("policy_kwargs") or {}
    if not isinstance(policy_kwargs, dict):
        raise ValueError(
            f"expected keys and values for policy_kwargs in {source}, got {policy_kwargs!r}; e.g. policy_kwargs.net_arch=[64]"
        )
    for key in policy_kwargs:
        if key not in algorithm.policy_arguments:
            raise unknown(f"one of the policy_kwargs of {name} in {source}", key, algorithm.policy_arguments)


def _constructor_chain(cls: type) -> list[type]:
    """Return the class and its bases, as far as each passes ``**kwargs`` on to the next."""
    classes: list[type] = []
    for base in cls.__mro__:
        if "__init__" in vars(base):
            classes.append(base)
            if not any(one.kind is one.VAR_KEYWORD for one in _parameters(base).values()):
                break
    return classes


def _normal_noise(env: Any, sigma: float) -> Any:
    from stable_baselines3.common.noise import NormalActionNoise

    shape = env.action_space.shape
    return NormalActionNoise(np.zeros(shape), np.full(shape, sigma))


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters


def _baseline_factory(name: str) -> Callable[..., Any]:
    from leo_agents import baselines

    return getattr(baselines, name)  # type: ignore[no-any-return]
