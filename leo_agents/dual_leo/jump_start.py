"""Jump-start: the teacher begins, the student takes over, sooner and sooner."""

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.utils import LinearSchedule

from leo_wrappers.goal_set import BoolArray


class JumpStart:
    """
    Lets the teacher act at the beginning of each pursuit of a goal: for a number of steps drawn uniformly from 0 to a limit
    that falls linearly to 0. So the student first meets states near the goal, and is led back from there.

    :param steps: the limit at the start of the training
    :param fraction: share of the training after which the teacher no longer begins

    Example::

        >>> import numpy as np
        >>> roll_in = JumpStart(steps=20, fraction=0.5)
        >>> [roll_in.limit(remaining) for remaining in (1.0, 0.75, 0.5, 0.0)]
        [20, 10, 0, 0]
    """

    def __init__(self, steps: int, fraction: float = 0.5) -> None:
        if steps < 0:
            raise ValueError(f"expected steps of at least 0, got {steps}")
        if not 0.0 < fraction <= 1.0:
            raise ValueError(f"expected fraction above 0 and up to 1, got {fraction}")
        self.steps, self.fraction = steps, fraction
        self.rng = np.random.default_rng()
        self._left: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._goals: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def limit(self, progress_remaining: float) -> int:
        """
        :param progress_remaining: 1 at the start of the training, 0 at its end
        :return: the largest number of steps that the teacher now takes
        """
        return round(LinearSchedule(self.steps, 0.0, self.fraction)(progress_remaining))

    def seed(self, seed: int) -> None:
        """
        :param seed: of the numbers of steps
        """
        self.rng = np.random.default_rng(seed)

    def acts(self, starts: BoolArray, goals: npt.NDArray[np.int64], limit: int) -> BoolArray:
        """
        Says who is to act now; to be asked once before every step.

        :param starts: where an episode begins
        :param goals: the commanded goals; another one than before begins a pursuit too
        :param limit: the largest number of steps for pursuits that begin here
        :return: where the teacher acts
        """
        if self._goals.shape != goals.shape:
            starts, self._left = np.ones_like(starts), np.zeros_like(goals)
        else:
            starts = starts | (goals != self._goals)
        self._left[starts] = self.rng.integers(limit + 1, size=int(starts.sum()))
        self._goals = goals.copy()
        teacher = self._left > 0
        self._left[teacher] -= 1
        return teacher
