"""Algorithms by name: ours, and Stable-Baselines3's own as baselines."""

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

# What the command line sets itself.
_RESERVED_IN_POLICY = {"args", "kwargs", "observation_space", "action_space", "lr_schedule", "goal_names"}
_RESERVED = {"self", "policy", "env", "seed", "device", "verbose", "tensorboard_log", "_init_setup_model"}


@dataclass(frozen=True)
class Algorithm:
    """
    One way to train.

    :param target: where its class is, ``module:Class``
    :param discrete: whether actions are discrete, else they are a Box
    :param summary: a line for people
    :param maker: for a class of Stable-Baselines3, the function in :mod:`leo_agents.baselines` that gives it goals
    :param fixed: arguments that make it what its name says
    :param num_envs: environments at once, where nobody says how many
    """

    target: str
    discrete: bool
    summary: str
    maker: str | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)
    num_envs: int = 1

    @cached_property
    def kind(self) -> "type[BaseAlgorithm]":
        """The class."""
        module, _, name = self.target.partition(":")
        return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]

    @property
    def hyperparameters(self) -> list[str]:
        """What can be set."""
        names: set[str] = set()
        for function in self._constructors():
            names |= {name for name, one in _parameters(function).items() if one.kind is not one.VAR_KEYWORD}
        return sorted(names - _RESERVED - set(self.fixed) - ({"replay_buffer_class", "algorithm"} if self.maker else set()))

    @property
    def numbers(self) -> dict[str, float]:
        """Those of the hyperparameters that are numbers and nothing else, with their defaults."""
        parameters = [one for function in self._constructors() for one in _parameters(function).items()]
        return {
            name: one.default
            for name, one in reversed(parameters)
            if type(one.default) in (int, float) and "str" not in str(one.annotation)
        }

    @property
    def policy_arguments(self) -> list[str]:
        """What can be set under ``policy_kwargs``."""
        names = {name for function in _chain(self.kind.policy_aliases["MultiInputPolicy"]) for name in _parameters(function)}
        return sorted(names - _RESERVED_IN_POLICY)

    def build(self, env: Any, seed: int, device: str, hyperparameters: dict[str, Any]) -> "BaseAlgorithm":
        """
        A model, not trained yet.

        :param env: multi-goal environments
        :param seed: seeds everything
        :param device: where to compute
        :param hyperparameters: arguments of the class
        :return: the model
        """
        kwargs: dict[str, Any] = {**self.fixed, **hyperparameters, "seed": seed, "device": device}
        if isinstance(kwargs.get("action_noise"), int | float):
            kwargs["action_noise"] = _normal_noise(env, float(kwargs["action_noise"]))
        make = self._constructors()[0]
        if self.maker is None:
            # The one name that all of ours understand.
            return make("MultiInputPolicy", env, **kwargs)  # type: ignore[no-any-return]
        return make(*([self.kind] if "algorithm" in _parameters(make) else []), env=env, **kwargs)  # type: ignore[no-any-return]

    def _constructors(self) -> list[Callable[..., Any]]:
        """What makes it, and everything that further arguments are passed on to."""
        functions: list[Callable[..., Any]] = [] if self.maker is None else [_baseline_maker(self.maker)]
        return functions + _chain(self.kind)


_SB3, _CONTRIB = "stable_baselines3", "sb3_contrib"
_DQN, _ACTOR_CRITIC = "goal_conditioned_dqn", "goal_conditioned_actor_critic"
_PLAIN, _HER, _ALL_GOALS = {"buffer": "plain"}, {"buffer": "her"}, {"buffer": "all_goals"}
_MANY = 64

ALGORITHMS = {
    "leodqn": Algorithm("leo_agents:LEODQN", True, "learns every goal from every step: DQN"),
    "leopqn": Algorithm("leo_agents:LEOPQN", True, "learns every goal from every step: PQN, no replay", num_envs=_MANY),
    "dualleopqn": Algorithm("leo_agents:DualLEOPQN", True, "PQN that acts together with a LEO teacher", num_envs=_MANY),
    "dualleoppo": Algorithm("leo_agents:DualLEOPPO", True, "PPO that imitates a LEO teacher a little", num_envs=_MANY),
    "leotd3": Algorithm("leo_agents:LEOTD3", False, "learns every goal from every step: TD3"),
    "leosac": Algorithm("leo_agents:LEOSAC", False, "learns every goal from every step: SAC"),
    "dqn": Algorithm(f"{_SB3}:DQN", True, "goal-conditioned DQN (UVFA), about the commanded goal alone", _DQN, _PLAIN),
    "dqn+her": Algorithm(f"{_SB3}:DQN", True, "goal-conditioned DQN with hindsight", _DQN, _HER),
    "dqn+all-goals": Algorithm(
        f"{_SB3}:DQN", True, "goal-conditioned DQN, each step replayed for every goal", _DQN, _ALL_GOALS
    ),
    "pqn": Algorithm("leo_agents:PQN", True, "goal-conditioned PQN, about the commanded goal alone", num_envs=_MANY),
    "pqn+her": Algorithm("leo_agents:PQN", True, "goal-conditioned PQN with hindsight", None, {"her_ratio": 0.8}, _MANY),
    "ppo": Algorithm(f"{_SB3}:PPO", True, "goal-conditioned PPO", "goal_conditioned_ppo", num_envs=_MANY),
    "td3": Algorithm(f"{_SB3}:TD3", False, "goal-conditioned TD3, about the commanded goal alone", _ACTOR_CRITIC, _PLAIN),
    "td3+her": Algorithm(f"{_SB3}:TD3", False, "goal-conditioned TD3 with hindsight", _ACTOR_CRITIC, _HER),
    "sac": Algorithm(f"{_SB3}:SAC", False, "goal-conditioned SAC, about the commanded goal alone", _ACTOR_CRITIC, _PLAIN),
    "sac+her": Algorithm(f"{_SB3}:SAC", False, "goal-conditioned SAC with hindsight", _ACTOR_CRITIC, _HER),
    "tqc": Algorithm(f"{_CONTRIB}:TQC", False, "goal-conditioned TQC, about the commanded goal alone", _ACTOR_CRITIC, _PLAIN),
    "tqc+her": Algorithm(f"{_CONTRIB}:TQC", False, "goal-conditioned TQC with hindsight", _ACTOR_CRITIC, _HER),
}


def find_algorithm(name: str) -> Algorithm:
    """
    :param name: a key of :data:`ALGORITHMS`
    :return: the algorithm

    Example::

        >>> find_algorithm("dqn+her").summary
        'goal-conditioned DQN with hindsight'
    """
    if name.lower() not in ALGORITHMS:
        raise unknown("an algorithm", name, ALGORITHMS)
    return ALGORITHMS[name.lower()]


def check_actions(name: str, space: spaces.Space[Any]) -> None:
    """
    Refuses an algorithm for another kind of actions.

    :param name: the algorithm's
    :param space: the environment's actions
    """
    wanted = _actions(find_algorithm(name))
    if not isinstance(space, wanted):
        others = [
            other for other, one in ALGORITHMS.items() if isinstance(space, spaces.Discrete if one.discrete else spaces.Box)
        ]
        remedy = f"use {', '.join(others)}" if others else "make them Discrete or a Box"
        raise ValueError(f"expected {wanted.__name__} actions for {name}, got {space}; {remedy}")


def check_hyperparameters(name: str, hyperparameters: dict[str, Any], where: str) -> None:
    """
    Refuses what the algorithm does not know.

    :param name: the algorithm's
    :param hyperparameters: by name
    :param where: they come from
    """
    algorithm = find_algorithm(name)
    known = algorithm.hyperparameters
    for key, value in hyperparameters.items():
        if key not in known:
            raise unknown(f"a hyperparameter of {name} in {where}", key, known)
        if isinstance(value, str) and key in algorithm.numbers:
            raise ValueError(
                f"expected a number for {key} in {where}, got {value!r}; write e.g. {key}={algorithm.numbers[key]}"
            )
    inner = hyperparameters.get("policy_kwargs") or {}
    if not isinstance(inner, dict):
        raise ValueError(
            f"expected keys and values for policy_kwargs in {where}, got {inner!r}; e.g. policy_kwargs.net_arch=[64]"
        )
    for key in inner:
        if key not in algorithm.policy_arguments:
            raise unknown(f"one of the policy_kwargs of {name} in {where}", key, algorithm.policy_arguments)


def _chain(kind: type) -> list[type]:
    """The class and its parents, as far as further arguments are passed on."""
    classes: list[type] = []
    for parent in kind.__mro__:
        if "__init__" in vars(parent):
            classes.append(parent)
            if not any(one.kind is one.VAR_KEYWORD for one in _parameters(parent).values()):
                break
    return classes


def _actions(algorithm: Algorithm) -> type[spaces.Space[Any]]:
    return spaces.Discrete if algorithm.discrete else spaces.Box


def _normal_noise(env: Any, sigma: float) -> Any:
    from stable_baselines3.common.noise import NormalActionNoise

    shape = env.action_space.shape
    return NormalActionNoise(np.zeros(shape), np.full(shape, sigma))


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters


def _baseline_maker(name: str) -> Callable[..., Any]:
    from leo_agents import baselines

    return getattr(baselines, name)  # type: ignore[no-any-return]
