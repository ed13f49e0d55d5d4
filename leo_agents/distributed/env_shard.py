"""Some of the environments of a :class:`~leo_agents.distributed.RayVecEnv`, in the process of an actor."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs

from leo_agents.algorithms.env_wrapping import wrap_env
from leo_wrappers.goal_set import BoolArray
from leo_wrappers.keys import ENDED_BY_GOAL_KEY, MASK_KEY
from leo_wrappers.sb3 import ArrayStep, step_arrays
from leo_wrappers.sb3.array_step import stack_observations

EnvFactory = Callable[[], GymEnv]
"""Creates an environment, a vector environment of Gymnasium or a VecEnv."""

# Entries of infos that are sent as arrays.
_ARRAY_KEYS = {MASK_KEY, "TimeLimit.truncated", "terminal_observation"}


class ShardReset(NamedTuple):
    """Result of a reset of the n environments of a shard."""

    obs: VecEnvObs
    infos: list[dict[str, Any]]


class ShardStep(NamedTuple):
    """Result of a step of the n environments of a shard, see :class:`~leo_wrappers.sb3.ArrayStep`."""

    obs: VecEnvObs
    rewards: npt.NDArray[np.float32]
    dones: BoolArray
    terminated: BoolArray
    truncated: BoolArray
    """The info ``TimeLimit.truncated``."""
    packed_masks: npt.NDArray[np.uint8]
    """The masks, eight goals a byte; of width 0 without goals."""
    final_obs: VecEnvObs | None
    extra_infos: dict[int, dict[str, Any]]
    """Other entries of the infos by row; rows without any are left out."""
    reset_infos: dict[int, dict[str, Any]]
    """Infos of the resets after episodes that ended, by row."""


class EnvShard:
    """
    Hosts some environments. They are created when they are first used, so that errors reach the caller as they are.

    :param make_env: creates the environments
    """

    def __init__(self, make_env: EnvFactory) -> None:
        self._make_env = make_env
        self._venv: VecEnv | None = None
        self._was_reset = False

    @property
    def venv(self) -> VecEnv:
        """The environments."""
        if self._venv is None:
            self._venv = wrap_env(self._make_env(), monitor_wrapper=False)
        return self._venv

    def describe(self) -> tuple[int, Any, Any, int]:
        """Return the number of environments, the spaces of observations and actions, and the number of goals."""
        names = self.venv.get_attr("goal_names", 0)[0] if self.venv.has_attr("goal_names") else ()
        return self.venv.num_envs, self.venv.observation_space, self.venv.action_space, len(names)

    def reset(self, seed: int | None = None, options: Sequence[dict[str, Any]] = ()) -> ShardReset:
        """
        Reset the environments.

        :param seed: seed of the first one, that of each other one being larger by 1; None not to seed them
        :param options: options of each environment; none if empty
        :return: observations and infos
        """
        if seed is not None:
            self.venv.seed(seed)
        if options:
            self.venv.set_options(list(options))
        obs = self.venv.reset()
        self._was_reset = True
        return ShardReset(obs, list(self.venv.unwrapped.reset_infos))

    def step(self, actions: npt.NDArray[Any]) -> ShardStep | ShardReset:
        """
        Step the environments.

        :param actions: one action per environment
        :return: the step; or a reset, if the process of the actor has been restarted and the episodes are lost
        """
        if not self._was_reset:
            return self.reset()
        # Arrays from Ray are read-only.
        step = self._step(np.array(actions))
        reset_infos = self.venv.unwrapped.reset_infos
        extras = ({key: value for key, value in info.items() if key not in _ARRAY_KEYS} for info in step.infos)
        return ShardStep(
            obs=step.obs,  # type: ignore[arg-type]
            rewards=step.rewards,
            dones=step.dones,
            terminated=step.terminated,
            truncated=np.array([info.get("TimeLimit.truncated", False) for info in step.infos], dtype=bool),
            packed_masks=np.packbits(step.goals_achieved, axis=1),
            final_obs=step.final_obs,  # type: ignore[arg-type]
            extra_infos={row: extra for row, extra in enumerate(extras) if extra},
            reset_infos={row: reset_infos[row] for row in np.flatnonzero(step.dones).tolist()},
        )

    def has_attr(self, name: str) -> bool:
        """Return whether all environments have an attribute."""
        return self.venv.has_attr(name)

    def get_attr(self, name: str, rows: list[int]) -> list[Any]:
        """Return an attribute of some environments."""
        return self.venv.get_attr(name, rows)

    def set_attr(self, name: str, value: Any, rows: list[int] | None) -> None:
        """Set an attribute of some environments, or of all if None."""
        self.venv.set_attr(name, value, rows)

    def env_method(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], rows: list[int]) -> list[Any]:
        """Call a method of some environments."""
        return self.venv.env_method(name, *args, indices=rows, **kwargs)

    def env_is_wrapped(self, wrapper_class: Any, rows: list[int]) -> list[bool]:
        """Return whether some environments are wrapped with a wrapper."""
        return self.venv.env_is_wrapped(wrapper_class, rows)

    def get_images(self) -> list[Any]:
        """Render all environments."""
        return list(self.venv.get_images())

    def close(self) -> None:
        """Close the environments."""
        if self._venv is not None:
            self._venv.close()

    def _step(self, actions: npt.NDArray[Any]) -> ArrayStep:
        if self.venv.has_attr("goal_names"):
            return step_arrays(self.venv, actions)
        obs, rewards, dones, infos = self.venv.step(actions)
        ended = [infos[row] for row in np.flatnonzero(dones).tolist()]
        terminated = dones.copy()
        terminated[dones] = [not (info.get("TimeLimit.truncated") or info.get(ENDED_BY_GOAL_KEY)) for info in ended]
        final_obs = stack_observations([info["terminal_observation"] for info in ended])
        return ArrayStep(obs, rewards, dones, terminated, np.zeros((len(dones), 0), dtype=bool), final_obs, infos)
