"""Jump-start: the teacher takes the first steps towards each goal, fewer and fewer as training progresses."""

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.utils import LinearSchedule

from leo_wrappers.goal_set import BoolArray
from leo_wrappers.validation import check_fraction, check_integer


class JumpStart:
    """
    Lets the teacher act for the first steps after each change of the commanded goal and at the start of each episode. The
    number of steps is drawn uniformly from 0 to a limit that is annealed linearly to 0: the student first sees states close to
    the goal, later ones further away (jump-start reinforcement learning, https://arxiv.org/abs/2204.02372).

    :param steps: limit at the start of training
    :param fraction: fraction of training after which the teacher no longer acts

    Example::

        >>> import numpy as np
        >>> jump_start = JumpStart(steps=20, fraction=0.5)
        >>> [jump_start.limit(remaining) for remaining in (1.0, 0.75, 0.5, 0.0)]
        [20, 10, 0, 0]
    """

    def __init__(self, steps: int, fraction: float = 0.5) -> None:
        check_integer("steps", steps, 0)
        check_fraction("fraction", fraction, positive=True)
        self.steps, self.fraction = steps, fraction
        self.rng = np.random.default_rng()
        self._steps_left: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._goal_ids: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def limit(self, progress_remaining: float) -> int:
        """
        Return the current maximum number of the teacher's steps.

        :param progress_remaining: from 1 at the start of training to 0 at its end
        :return: number of steps
        """
        return round(LinearSchedule(self.steps, 0.0, self.fraction)(progress_remaining))

    def seed(self, seed: int) -> None:
        """
        Seed the random number generator.

        :param seed: the seed
        """
        self.rng = np.random.default_rng(seed)

    def teacher_acts(self, episode_starts: BoolArray, goal_ids: npt.NDArray[np.int64], limit: int) -> BoolArray:
        """
        Decide in which environments the teacher takes the next step; to be called once per step.

        :param episode_starts: whether an episode starts ``[N]``
        :param goal_ids: the commanded goals ``[N]``
        :param limit: maximum number of steps, from :meth:`limit`
        :return: bool ``[N]``
        """
        if self._goal_ids.shape != goal_ids.shape:
            starts, self._steps_left = np.ones_like(episode_starts), np.zeros_like(goal_ids)
        else:
            starts = episode_starts | (goal_ids != self._goal_ids)
        self._steps_left[starts] = self.rng.integers(limit + 1, size=int(starts.sum()))
        self._goal_ids = goal_ids.copy()
        acts = self._steps_left > 0
        self._steps_left[acts] -= 1
        return acts
