"""First and last step of the episode of each transition in a ring buffer."""

from typing import Any, Self

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.integer[Any]]

# Last step of an episode that is still running.
_OPEN = np.iinfo(np.int64).max


class EpisodeBounds:
    """
    Keeps the first and the last step of the episode of each transition in a ring buffer of parallel environments.

    Steps are counted from the first one ever added; step ``t`` is stored at position ``t % buffer_size``. Running episodes
    count up to their newest step, and partly overwritten ones from their oldest step in the buffer.

    :param buffer_size: number of positions
    :param n_envs: number of parallel environments
    """

    def __init__(self, buffer_size: int, n_envs: int) -> None:
        self.buffer_size = buffer_size
        self.num_steps = 0
        self._first_steps = np.zeros((buffer_size, n_envs), dtype=np.int64)
        self._last_steps = np.full((buffer_size, n_envs), _OPEN, dtype=np.int64)
        self._current_first = np.zeros(n_envs, dtype=np.int64)
        self._ended = np.ones(n_envs, dtype=bool)

    @classmethod
    def of_ends(cls, ended: npt.NDArray[np.bool_]) -> Self:
        """
        Return the bounds of complete episodes of one environment.

        :param ended: whether each step is the last one of its episode ``[T]``; the last one is
        :return: bounds of T positions
        """
        bounds = cls(len(ended), 1)
        last_steps = np.flatnonzero(ended)
        episodes: npt.NDArray[np.int64] = np.cumsum(ended) - ended
        bounds._last_steps[:, 0] = last_steps[episodes]
        bounds._first_steps[:, 0] = np.concatenate([[0], last_steps[:-1] + 1])[episodes]
        bounds.num_steps = len(ended)
        return bounds

    @property
    def newest(self) -> int:
        """The newest step."""
        return self.num_steps - 1

    @property
    def oldest(self) -> int:
        """The oldest step in the buffer."""
        return max(0, self.num_steps - self.buffer_size)

    def add(self, continues: npt.NDArray[np.bool_], done: npt.NDArray[np.bool_]) -> None:
        """
        Add a step of all environments.

        :param continues: whether the step starts in the state in which the one before ended, ``[N]``
        :param done: whether the episodes end with this step, ``[N]``
        """
        starts = self._ended | ~continues
        for env_ind in np.flatnonzero(starts & (self.num_steps > 0)):
            self._close_episode(int(env_ind))
        self._current_first[starts] = self.num_steps
        position = self.num_steps % self.buffer_size
        self._first_steps[position] = self._current_first
        self._last_steps[position] = _OPEN
        self._ended = np.array(done, dtype=bool)
        self.num_steps += 1

    def steps_of(self, inds: Ids) -> Ids:
        """
        Convert positions to steps.

        :param inds: positions
        :return: steps of the same shape
        """
        return self.newest - (self.newest - inds) % self.buffer_size

    def first(self, inds: Ids, env_inds: Ids) -> Ids:
        """
        Return the first step in the buffer of the transitions' episodes.

        :param inds: positions of the transitions
        :param env_inds: their environments
        :return: steps of the same shape
        """
        return np.maximum(self._first_steps[inds, env_inds], self.oldest)

    def last(self, inds: Ids, env_inds: Ids) -> Ids:
        """
        Return the last step of the transitions' episodes.

        :param inds: positions of the transitions
        :param env_inds: their environments
        :return: steps of the same shape
        """
        return np.minimum(self._last_steps[inds, env_inds], self.newest)

    def _close_episode(self, env_ind: int) -> None:
        """Set the newest step as the last one of its episode; the next step starts another one."""
        steps = np.arange(max(self._current_first[env_ind], self.num_steps - self.buffer_size + 1), self.num_steps)
        self._last_steps[steps % self.buffer_size, env_ind] = self.num_steps - 1


def continues_episode(
    observations: dict[str, npt.NDArray[np.generic]],
    next_observations: dict[str, npt.NDArray[np.generic]],
    position: int,
    ignored_key: str,
) -> npt.NDArray[np.bool_]:
    """
    Check for each environment whether the transition at a position starts in the state in which the one before ended.

    Compares stored observations, which have the same dtype.

    :param observations: stored observations before the steps ``[buffer, N, ...]``
    :param next_observations: stored observations after the steps
    :param position: of the transition
    :param ignored_key: key of the commanded goal, which may change between steps
    :return: bool ``[N]``
    """
    num_envs = len(next(iter(observations.values()))[position])
    same = np.ones(num_envs, dtype=bool)
    for key, stored in observations.items():
        if key != ignored_key:
            equal = stored[position] == next_observations[key][position - 1]
            same &= np.asarray(equal).reshape(num_envs, -1).all(axis=1)
    return same
