"""Algorithms by name: ours, and Stable-Baselines3's own as baselines."""

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces

from leo_cli.names import unknown

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

# What the command line sets itself.
_RESERVED = {"self", "policy", "env", "seed", "device", "verbose", "tensorboard_log", "_init_setup_model"}


@dataclass(frozen=True)
class Algorithm:
    """
    One way to train.

    :param target: where its class is, ``module:Class``
    :param discrete: whether actions are discrete, else they are a Box
    :param summary: a line for people
    :param buffer: for a baseline, how its replay relabels; None for an algorithm that learns all goals by itself
    """

    target: str
    discrete: bool
    summary: str
    buffer: str | None = None

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
            names |= {name for name, one in inspect.signature(function).parameters.items() if one.kind is not one.VAR_KEYWORD}
        return sorted(names - _RESERVED - ({"replay_buffer_class", "buffer", "algorithm"} if self.buffer else set()))

    def build(self, env: Any, seed: int, device: str, hyperparameters: dict[str, Any]) -> "BaseAlgorithm":
        """
        A model, not trained yet.

        :param env: multi-goal environments
        :param seed: seeds everything
        :param device: where to compute
        :param hyperparameters: arguments of the class
        :return: the model
        """
        kwargs: dict[str, Any] = {**hyperparameters, "seed": seed, "device": device}
        if isinstance(kwargs.get("action_noise"), int | float):
            kwargs["action_noise"] = _normal_noise(env, float(kwargs["action_noise"]))
        if self.buffer is None:
            return self.kind("MultiGoalPolicy", env, **kwargs)
        return self._constructors()[0](*([] if self.discrete else [self.kind]), env=env, buffer=self.buffer, **kwargs)

    def _constructors(self) -> list[Callable[..., Any]]:
        if self.buffer is None:
            return [self.kind]
        from leo_agents.baselines import goal_conditioned_actor_critic, goal_conditioned_dqn

        return [goal_conditioned_dqn if self.discrete else goal_conditioned_actor_critic, self.kind]


_SB3, _CONTRIB = "stable_baselines3", "sb3_contrib"

ALGORITHMS = {
    "leodqn": Algorithm("leo_agents:LEODQN", True, "learns every goal from every step: DQN"),
    "leotd3": Algorithm("leo_agents:LEOTD3", False, "learns every goal from every step: TD3"),
    "leosac": Algorithm("leo_agents:LEOSAC", False, "learns every goal from every step: SAC"),
    "dqn": Algorithm(f"{_SB3}:DQN", True, "goal-conditioned DQN (UVFA), about the commanded goal alone", "plain"),
    "dqn+her": Algorithm(f"{_SB3}:DQN", True, "goal-conditioned DQN with hindsight", "her"),
    "dqn+all-goals": Algorithm(f"{_SB3}:DQN", True, "goal-conditioned DQN, each step replayed for every goal", "all_goals"),
    "td3": Algorithm(f"{_SB3}:TD3", False, "goal-conditioned TD3, about the commanded goal alone", "plain"),
    "td3+her": Algorithm(f"{_SB3}:TD3", False, "goal-conditioned TD3 with hindsight", "her"),
    "sac": Algorithm(f"{_SB3}:SAC", False, "goal-conditioned SAC, about the commanded goal alone", "plain"),
    "sac+her": Algorithm(f"{_SB3}:SAC", False, "goal-conditioned SAC with hindsight", "her"),
    "tqc": Algorithm(f"{_CONTRIB}:TQC", False, "goal-conditioned TQC, about the commanded goal alone", "plain"),
    "tqc+her": Algorithm(f"{_CONTRIB}:TQC", False, "goal-conditioned TQC with hindsight", "her"),
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
    known = find_algorithm(name).hyperparameters
    for key in hyperparameters:
        if key not in known:
            raise unknown(f"a hyperparameter of {name} in {where}", key, known)


def _actions(algorithm: Algorithm) -> type[spaces.Space[Any]]:
    return spaces.Discrete if algorithm.discrete else spaces.Box


def _normal_noise(env: Any, sigma: float) -> Any:
    from stable_baselines3.common.noise import NormalActionNoise

    shape = env.action_space.shape
    return NormalActionNoise(np.zeros(shape), np.full(shape, sigma))
