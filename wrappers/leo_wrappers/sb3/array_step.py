"""A step of a Stable-Baselines3 vector environment as arrays, without a dictionary for each environment."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs

from leo_wrappers.goal_set import BoolArray
from leo_wrappers.infos import achieved_from_infos
from leo_wrappers.keys import ENDED_BY_GOAL_KEY


class LazyInfos(Sequence[dict[str, Any]]):
    """
    The infos of a step, each made when somebody looks at it.

    :param length: number of environments
    :param make: the info of one of them
    """

    def __init__(self, length: int, make: Callable[[int], dict[str, Any]]) -> None:
        self._length = length
        self._make = make
        self._made: dict[int, dict[str, Any]] = {}

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, row: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, row: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, row: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(row, slice):
            return [self[number] for number in range(*row.indices(self._length))]
        row = range(self._length)[row]
        if row not in self._made:
            self._made[row] = self._make(row)
        return self._made[row]


class ArrayStep(NamedTuple):
    """What a step of N environments brought; nothing but ``obs`` is of a later reset."""

    obs: VecEnvObs
    """What each environment shows now: where an episode ended, the next one's beginning."""
    rewards: npt.NDArray[np.float32]
    dones: BoolArray
    """Whether an episode is over, as Stable-Baselines3 is told."""
    terminated: BoolArray
    """Whether it ended physically: neither by a time limit nor by reaching the commanded goal."""
    goals_achieved: BoolArray
    """The masks ``[N, G]``."""
    final_obs: VecEnvObs | None
    """The last observations of the rows with ``dones``, in order; None where there are none."""
    infos: Sequence[dict[str, Any]]


def step_arrays(venv: VecEnv, actions: npt.NDArray[Any]) -> ArrayStep:
    """
    Takes a step: by arrays alone where the environment's own class can, else out of the infos.

    :param venv: multi-goal environments
    :param actions: one each
    :return: the step

    Example::

        >>> import gymnasium as gym, leo_envs, numpy as np
        >>> from leo_wrappers.sb3 import GymVecEnv, VecGoalSampler
        >>> venv = VecGoalSampler(GymVecEnv(gym.make_vec("leo/GridWorld-v0", num_envs=4, autoreset_mode="SameStep")))
        >>> obs = venv.reset()
        >>> step_arrays(venv, np.zeros(4, dtype=np.int64)).goals_achieved.shape
        (4, 180)
    """
    # Asked of the class: a wrapper's instance would pass the question on, and be left out of the step.
    own = getattr(type(venv), "step_arrays", None)
    if own is not None:
        return own(venv, actions)  # type: ignore[no-any-return]
    obs, rewards, dones, infos = venv.step(actions)
    ended = np.flatnonzero(dones)
    terminated = np.zeros(venv.num_envs, dtype=bool)
    for row in ended.tolist():
        terminated[row] = not any(infos[row].get(key, False) for key in ("TimeLimit.truncated", ENDED_BY_GOAL_KEY))
    final_obs = stack_observations([infos[row]["terminal_observation"] for row in ended])
    return ArrayStep(obs, rewards, dones, terminated, achieved_from_infos(infos, venv.num_envs), final_obs, infos)


def stack_observations(observations: Sequence[Any]) -> VecEnvObs | None:
    """
    :param observations: arrays, or dictionaries of them
    :return: the same as a batch; None for none
    """
    if not len(observations):
        return None
    if isinstance(observations[0], dict):
        return {key: np.stack([observation[key] for observation in observations]) for key in observations[0]}
    return np.stack(observations)


def rows_of(obs: VecEnvObs, rows: npt.NDArray[Any]) -> Any:
    """
    :param obs: a batch of observations
    :param rows: some of its rows
    :return: copies of these
    """
    return {key: value[rows] for key, value in obs.items()} if isinstance(obs, dict) else obs[rows]  # type: ignore[call-overload]
