"""Find environments by name and create them, one at a time or vectorized."""

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.vector import AutoresetMode

import leo_envs
from leo_cli.interrupts import block_sigint
from leo_cli.suggestions import nearest, unknown
from leo_wrappers import AnyGoalWrapper
from leo_wrappers.keys import ACHIEVED_GOAL_KEY, DESIRED_GOAL_KEY

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv

gym.register_envs(leo_envs)


@dataclass(frozen=True)
class Environment:
    """
    Specification of a multi-goal environment, from which instances are created.

    :param id: environment id, as passed to ``gymnasium.make``
    :param kwargs: arguments of the environment's constructor
    :param any_goal: whether any point is a goal: hides the finite goal set of a goal environment, if it has one

    Example::

        >>> environment = find_environment("GridWorld", {"size": 5, "map": "maze"})
        >>> environment.id, len(environment.goal_names)
        ('leo/GridWorld-v0', 17)
    """

    id: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    any_goal: bool = False

    @cached_property
    def spec(self) -> EnvSpec:
        """Gymnasium's registry entry."""
        return gym.spec(self.id.rpartition(":")[2])

    @cached_property
    def goal_names(self) -> tuple[str, ...]:
        """Names of all goals, in the order of their ids."""
        self.check_goal_set()
        return tuple(self._instance.get_wrapper_attr("goal_names"))

    def check_goal_set(self) -> None:
        """Raise a ``ValueError`` for an environment without a finite goal set."""
        if not self.has_goal_set:
            remedy = "train leotd3 or leosac, whose goals are points" if self.is_goal_env else "choose one of `leo goals`"
            raise ValueError(
                f"expected a multi-goal environment, got {self.id} without goal_names; wrap it with MultiGoalWrapper and "
                f"register that, or {remedy}"
            )

    @property
    def has_goal_set(self) -> bool:
        """Whether it has a finite goal set that is not hidden."""
        return self._instance.has_wrapper_attr("goal_names")

    @property
    def is_goal_env(self) -> bool:
        """Whether its goals are points that ``compute_reward`` compares."""
        keys = getattr(self._instance.observation_space, "spaces", {}).keys()
        return {ACHIEVED_GOAL_KEY, DESIRED_GOAL_KEY} <= keys and self._instance.has_wrapper_attr("compute_reward")

    @property
    def action_space(self) -> gym.Space[Any]:
        """Action space of a single environment."""
        return self._instance.action_space

    @property
    def is_vectorized(self) -> bool:
        """Whether one object steps N environments, which is much faster than N objects."""
        entry_point = self.spec.vector_entry_point
        if entry_point is None or self.any_goal:
            return False
        return "autoreset_mode" in inspect.signature(_loaded(entry_point)).parameters

    @property
    def terminal_render_mode(self) -> str:
        """Render mode for a terminal: ``"ansi"`` if supported, else ``"rgb_array"``."""
        return "ansi" if "ansi" in self._instance.metadata.get("render_modes", []) else "rgb_array"

    def reachable_goals(self) -> npt.NDArray[np.int64]:
        """Return the ids of the goals reachable from the initial states; all ids if the environment has no ``reachable()``."""
        if not self._instance.has_wrapper_attr("reachable"):
            return np.arange(len(self.goal_names))
        return np.flatnonzero(self._instance.get_wrapper_attr("reachable")())

    def sample_goals(self, count: int, first_seed: int) -> npt.NDArray[Any]:
        """
        Return the goals of episodes of a goal environment.

        :param count: number of episodes, M
        :param first_seed: seed of the first one; each later one is 1 higher
        :return: points ``[M, d]``
        """
        resets = (self._instance.reset(seed=first_seed + number)[0] for number in range(count))
        return np.stack([observation[DESIRED_GOAL_KEY] for observation in resets])

    def make(self, render_mode: str | None = None) -> gym.Env[Any, Any]:
        """
        Create a single environment.

        :param render_mode: Gymnasium render mode
        :return: a new environment
        """
        # Not every environment has the argument.
        rendering: dict[str, Any] = {} if render_mode is None else {"render_mode": render_mode}
        env = gym.make(self.id, **self.kwargs, **rendering)
        return AnyGoalWrapper(env) if self.any_goal else env

    def make_vec(self, num_envs: int, processes: bool = False) -> "VecEnv":
        """
        Create parallel environments without commanded goals.

        :param num_envs: number of environments
        :param processes: run each in its own process, unless the environment is vectorized
        :return: the environments
        """
        from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

        from leo_wrappers.sb3 import GymVecEnv

        if self.is_vectorized:
            return GymVecEnv(gym.make_vec(self.id, num_envs=num_envs, autoreset_mode=AutoresetMode.SAME_STEP, **self.kwargs))
        env_fns: list[Callable[[], gym.Env[Any, Any]]] = [partial(_make_monitored, replace(self))] * num_envs
        if not processes or num_envs == 1:
            return DummyVecEnv(env_fns)
        with block_sigint():
            # The threads of PyTorch and JAX do not survive a fork.
            return SubprocVecEnv(env_fns, start_method="spawn")

    @cached_property
    def _instance(self) -> gym.Env[Any, Any]:
        return self.make()


def find_environment(name: str, kwargs: dict[str, Any] | None = None, *, any_goal: bool = False) -> Environment:
    """
    Find an environment by name.

    :param name: an id, ``my_package:MyEnv-v0``, or a built-in one without namespace and version such as ``GridWorld``
    :param kwargs: arguments of the environment's constructor
    :param any_goal: see :class:`Environment`
    :return: the environment's specification
    """
    environment = Environment(_full_id(name), dict(kwargs or {}), any_goal)
    parameters = inspect.signature(_loaded(environment.spec.entry_point)).parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        for key in environment.kwargs:
            if key not in parameters:
                raise unknown(f"an argument of {environment.id}", key, (name for name in parameters if name != "render_mode"))
    return environment


def builtin_environments() -> list[str]:
    """Return the sorted ids of the environments of ``leo_envs``."""
    return sorted(name for name, spec in gym.registry.items() if spec.namespace == "leo")


def builtin_extra(env_id: str) -> str:
    """
    Return the extra that a built-in environment needs, "" for none.

    :param env_id: a full id
    """
    family = str(gym.spec(env_id).entry_point).split(":")[0].removeprefix("leo_envs.")
    extra = "robotics" if family == "panda" else family
    return extra if extra in ("atari", "craftax", "minigrid", "robotics", "xland") else ""


def is_builtin(name: str) -> bool:
    """
    Return whether an id is that of an environment of ``leo_envs``, which runs no other code.

    :param name: a full id
    """
    return ":" not in name and name in builtin_environments()


def available_cores() -> int:
    """Return the number of processor cores that this process may use, at most ``OMP_NUM_THREADS`` if that is set."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(limit)) if limit.isdigit() and int(limit) > 0 else cores


def _full_id(name: str) -> str:
    module, colon, env_id = name.rpartition(":")
    if colon:
        # Searched last, and only now: no module of the current folder takes the place of an optional package.
        if os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ValueError(
                f"expected a module to import before the colon of {name!r}, got {module!r} ({error}); install the package, or "
                "run from the folder that contains it"
            ) from error
    if env_id in gym.registry:
        return name
    builtin = builtin_environments()
    # The full id, without the namespace, and without the version.
    forms = {form.lower(): one for one in builtin for form in (one, one.rpartition("/")[2], _short_name(one))}
    if not colon and env_id.lower() in forms:
        return forms[env_id.lower()]
    # Built-in ones first: most other environments in the registry have no goals.
    near = [] if colon else nearest(env_id, builtin) or [forms[form] for form in nearest(env_id, forms)]
    raise unknown("an environment (`leo goals` lists them)", env_id, near or [*builtin, *sorted(gym.registry)], near)


def _short_name(env_id: str) -> str:
    return env_id.rpartition("/")[2].rpartition("-v")[0] or env_id.rpartition("/")[2]


def _loaded(entry_point: Any) -> Any:
    return load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point


def _make_monitored(environment: Environment) -> gym.Env[Any, Any]:
    from stable_baselines3.common.monitor import Monitor

    if ":" in environment.id:
        importlib.import_module(environment.id.partition(":")[0])
    return Monitor(environment.make())
