"""Steps of a vectorized environment as arrays, without creating an info dictionary for each environment."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt
import torch as th
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from leo_wrappers.goal_set import BoolArray
from leo_wrappers.infos import InfoList, achieved_from_infos, task_rewards_from_infos
from leo_wrappers.keys import ENDED_BY_GOAL_KEY, TASK_REWARDS_KEY
from leo_wrappers.validation import check_instance, shorten


class LazyInfos(Sequence[dict[str, Any]]):
    """
    Infos of a step, created on first access.

    :param length: number of environments, N
    :param make_infos: creates the infos of a slice of the environments
    """

    def __init__(self, length: int, make_infos: Callable[[slice], list[dict[str, Any]]]) -> None:
        self._length = length
        self._make_infos = make_infos
        self._single: dict[int, dict[str, Any]] = {}
        self._all: list[dict[str, Any]] | None = None

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self[:])

    @overload
    def __getitem__(self, row: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, row: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, row: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if self._all is not None:
            return self._all[row]
        if isinstance(row, slice):
            numbers = range(self._length)[row]
            if len(numbers) < self._length:
                return [self[number] for number in numbers]
            # Creating all infos together is several times faster than one by one.
            self._all = self._make_infos(slice(0, self._length))
            for number, info in self._single.items():
                self._all[number] = info
            return self._all[row]
        row = range(self._length)[row]
        if row not in self._single:
            self._single[row] = self._make_infos(slice(row, row + 1))[0]
        return self._single[row]


Observations = VecEnvObs | th.Tensor | dict[str, th.Tensor]
"""A batch of observations. From :func:`step_tensors`, a dictionary may contain tensors and arrays."""


class ArrayStep(NamedTuple):
    """Result of a step of N environments; only ``obs`` may belong to the next episode, all else is of the transition."""

    obs: Observations
    """Current observations: of the next episode where one ended."""
    rewards: npt.NDArray[np.float32]
    dones: BoolArray
    """Whether the episode ended, as in ``VecEnv.step``."""
    terminated: BoolArray
    """Whether it ended in a terminal state: neither truncated nor because the commanded goal was achieved."""
    goals_achieved: BoolArray
    """The masks, ``[N, G]``."""
    final_obs: Observations | None
    """Terminal observations of the rows with ``dones``, in order; None if there are none."""
    infos: Sequence[dict[str, Any]]
    is_success: BoolArray | None = None
    """``infos[i]["is_success"]`` if the infos have no other statistics of episodes; None if they must be read."""
    task_rewards: npt.NDArray[np.float32] | None = None
    """Rewards of environments with tasks, ``[N, K]``; None for other environments."""

    def to_step_return(self) -> VecEnvStepReturn:
        """
        Convert to the result of ``VecEnv.step``.

        :return: observations, rewards, dones and a list of infos
        """
        # Without goals, the infos have no masks that an InfoList could hold.
        infos = InfoList(self.infos, self.goals_achieved) if self.goals_achieved.shape[1] else list(self.infos)
        return self.obs, self.rewards, self.dones, infos  # type: ignore[return-value]


def step_arrays(venv: VecEnv, actions: npt.NDArray[Any]) -> ArrayStep:
    """
    Step environments and return arrays, without creating infos if the class of the environments supports it.

    :param venv: multi-goal environments
    :param actions: one action per environment
    :return: the result of the step

    Example::

        >>> import gymnasium as gym, leo_envs, numpy as np
        >>> from leo_wrappers.sb3 import GymVecEnv, VecGoalSampler
        >>> venv = VecGoalSampler(GymVecEnv(gym.make_vec("leo/GridWorld-v0", num_envs=4, autoreset_mode="SameStep")))
        >>> obs = venv.reset()
        >>> step_arrays(venv, np.zeros(4, dtype=np.int64)).goals_achieved.shape
        (4, 180)
    """
    check_instance("venv", venv, VecEnv, "wrap it with GymVecEnv or DummyVecEnv")
    if np.shape(actions)[:1] != (venv.num_envs,):
        raise ValueError(f"expected {venv.num_envs} actions, got {shorten(actions)}; pass one per environment")
    # Looked up in the class: a VecEnvWrapper forwards missing attributes, and its own part of the step would be skipped.
    own = getattr(type(venv), "step_arrays", None)
    if own is not None:
        return own(venv, actions)  # type: ignore[no-any-return]
    obs, rewards, dones, infos = venv.step(actions)
    done_rows = np.flatnonzero(dones).tolist()
    terminated = np.zeros(venv.num_envs, dtype=bool)
    for row in done_rows:
        terminated[row] = not any(infos[row].get(key, False) for key in ("TimeLimit.truncated", ENDED_BY_GOAL_KEY))
    final_obs = stack_observations([infos[row]["terminal_observation"] for row in done_rows])
    masks = achieved_from_infos(infos, venv.num_envs)
    task_rewards = task_rewards_from_infos(infos, masks.shape[1]) if TASK_REWARDS_KEY in infos[0] else None
    return ArrayStep(obs, rewards, dones, terminated, masks, final_obs, infos, task_rewards=task_rewards)


def step_tensors(venv: VecEnv, actions: th.Tensor) -> ArrayStep:
    """
    Step environments as :func:`step_arrays`; observations of environments on the device stay there, as tensors.

    Copy these observations before the next step: they share their memory with the environments.

    :param venv: multi-goal environments
    :param actions: one valid action per environment
    :return: the result of the step

    Example::

        >>> from leo_envs.craftax import CraftaxClassic
        >>> from leo_wrappers.sb3 import JaxVecEnv
        >>> venv = JaxVecEnv(CraftaxClassic(), num_envs=2)
        >>> obs = venv.reset()
        >>> type(step_tensors(venv, th.zeros(2, dtype=th.int64)).obs["blocks"]).__name__
        'Tensor'
    """
    check_instance("venv", venv, VecEnv, "wrap it with GymVecEnv or DummyVecEnv")
    check_instance("actions", actions, th.Tensor, "pass a tensor on the device of the environments, or use step_arrays")
    if actions.shape[:1] != (venv.num_envs,):
        raise ValueError(f"expected {venv.num_envs} actions, got {shorten(actions)}; pass one per environment")
    own = getattr(type(venv), "step_tensors", None)
    return step_arrays(venv, actions.cpu().numpy()) if own is None else own(venv, actions)


def has_tensors(obs: Any) -> bool:
    """
    Check whether observations are tensors.

    :param obs: a batch of observations, or None
    :return: True if they, or some entries of the dictionary, are tensors
    """
    return any(isinstance(value, th.Tensor) for value in (obs.values() if isinstance(obs, dict) else [obs]))


def observations_on_host(obs: Any) -> Any:
    """
    Transfer observations to NumPy arrays.

    :param obs: a batch of observations, or a single one: arrays or tensors, or a dictionary of them
    :return: arrays; the same object if there are no tensors
    """
    if not has_tensors(obs):
        return obs
    if isinstance(obs, dict):
        return {key: observations_on_host(value) for key, value in obs.items()}
    return obs.cpu().numpy()


def stack_observations(observations: Sequence[Any]) -> VecEnvObs | None:
    """
    Stack single observations to a batch.

    :param observations: arrays, or dictionaries of them
    :return: the batch; None if there are no observations
    """
    if not len(observations):
        return None
    if isinstance(observations[0], dict):
        return {key: np.stack([observation[key] for observation in observations]) for key in observations[0]}
    return np.stack(observations)


def rows_of(obs: Any, rows: npt.NDArray[Any] | int) -> Any:
    """
    Copy rows of a batch of observations.

    :param obs: a batch of observations, arrays or tensors
    :param rows: indices or mask of the rows, or a single index
    :return: the batch of these rows, or a single observation
    """
    if isinstance(obs, dict):
        return {key: rows_of(value, rows) for key, value in obs.items()}
    return obs[rows].clone() if isinstance(obs, th.Tensor) else obs[rows].copy()
