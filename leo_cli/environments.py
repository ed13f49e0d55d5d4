"""Environments by name, made one at a time or many at once."""

import importlib
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.vector import AutoresetMode

import leo_envs
from leo_cli.interrupts import deaf_processes
from leo_cli.suggestions import nearest, unknown

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv

gym.register_envs(leo_envs)


@dataclass(frozen=True)
class Environment:
    """
    A multi-goal environment that can be made as often as needed.

    :param id: as ``gymnasium.make`` takes it
    :param kwargs: of its constructor

    Example::

        >>> environment = find_environment("GridWorld", {"size": 5, "map": "maze"})
        >>> environment.id, len(environment.goal_names)
        ('leo/GridWorld-v0', 17)
    """

    id: str
    kwargs: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def spec(self) -> EnvSpec:
        """What Gymnasium knows of it."""
        return gym.spec(self.id.rpartition(":")[2])

    @cached_property
    def goal_names(self) -> tuple[str, ...]:
        """The names of its goals, in order."""
        return tuple(self._sample.get_wrapper_attr("goal_names"))

    @property
    def action_space(self) -> gym.Space[Any]:
        """Of a single environment."""
        return self._sample.action_space

    @property
    def is_native(self) -> bool:
        """Whether many at once are one object, far faster than as many objects."""
        maker = self.spec.vector_entry_point
        return maker is not None and "autoreset_mode" in inspect.signature(_loaded(maker)).parameters

    @property
    def text_mode(self) -> str:
        """The render mode for a terminal: text where the environment can write, else pictures."""
        return "ansi" if "ansi" in self._sample.metadata.get("render_modes", []) else "rgb_array"

    def goals_in_reach(self) -> npt.NDArray[np.int64]:
        """The ids of the goals that can be achieved from the start, as far as the environment knows; all where it does not."""
        world = self._sample.unwrapped
        reachable = world.reachable() if hasattr(world, "reachable") else np.ones(len(self.goal_names), dtype=bool)
        return np.flatnonzero(reachable)

    def make(self, render_mode: str | None = None) -> gym.Env[Any, Any]:
        """
        :param render_mode: how to draw
        :return: a new environment
        """
        # Not every environment takes a render mode.
        drawing: dict[str, Any] = {} if render_mode is None else {"render_mode": render_mode}
        return gym.make(self.id, **self.kwargs, **drawing)

    def make_many(self, count: int, processes: bool = False) -> "VecEnv":
        """
        :param count: how many
        :param processes: a process each, where that helps
        :return: the environments, bare
        """
        from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

        from leo_wrappers.sb3 import GymVecEnv

        if self.is_native:
            return GymVecEnv(gym.make_vec(self.id, num_envs=count, autoreset_mode=AutoresetMode.SAME_STEP, **self.kwargs))
        makers: list[Callable[[], gym.Env[Any, Any]]] = [partial(_make_monitored, self.id, self.kwargs)] * count
        if not processes or count == 1:
            return DummyVecEnv(makers)
        with deaf_processes():
            # Spawned: what threads PyTorch or JAX have running does not survive a fork.
            return SubprocVecEnv(makers, start_method="spawn")

    @cached_property
    def _sample(self) -> gym.Env[Any, Any]:
        env = self.make()
        if not env.has_wrapper_attr("goal_names"):
            raise ValueError(
                f"expected a multi-goal environment, got {self.id} without goal_names; wrap it with MultiGoalWrapper and "
                "register that, or choose one of `leo goals`"
            )
        return env


def find_environment(name: str, kwargs: dict[str, Any] | None = None) -> Environment:
    """
    :param name: an id, ``my_package:MyEnv-v0``, or one of ours without namespace and version: ``GridWorld``
    :param kwargs: of its constructor
    :return: the environment
    """
    environment = Environment(_resolved(name), dict(kwargs or {}))
    parameters = inspect.signature(_loaded(environment.spec.entry_point)).parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        for key in environment.kwargs:
            if key not in parameters:
                raise unknown(f"an argument of {environment.id}", key, (name for name in parameters if name != "render_mode"))
    return environment


def our_environments() -> list[str]:
    """
    :return: the ids of the environments that come with this package
    """
    return sorted(name for name, spec in gym.registry.items() if spec.namespace == "leo")


def available_cores() -> int:
    """
    :return: how many processor cores this process may use
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _resolved(name: str) -> str:
    module, colon, inner = name.rpartition(":")
    if colon:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ValueError(
                f"expected a module to import before the colon of {name!r}, got {module!r} ({error}); install the package, or "
                "run from the folder it lies in"
            ) from error
    if inner in gym.registry:
        return name
    ours = our_environments()
    # Whole, without the namespace, and without the version.
    forms = {form.lower(): one for one in ours for form in (one, one.rpartition("/")[2], _short(one))}
    if not colon and inner.lower() in forms:
        return forms[inner.lower()]
    # Ours first: of what is registered with Gymnasium only what has goals is of use here.
    near = [] if colon else nearest(inner, ours) or [forms[form] for form in nearest(inner, forms)]
    raise unknown("an environment", inner, near or [*ours, *sorted(gym.registry)], near)


def _short(name: str) -> str:
    return name.rpartition("/")[2].rpartition("-v")[0] or name.rpartition("/")[2]


def _loaded(entry_point: Any) -> Any:
    return load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point


def _make_monitored(name: str, kwargs: dict[str, Any]) -> gym.Env[Any, Any]:
    from stable_baselines3.common.monitor import Monitor

    if ":" in name:
        importlib.import_module(name.partition(":")[0])
    return Monitor(gym.make(name, **kwargs))
