"""Bookkeeping of commanded goals, shared by the single-environment wrapper and the vectorized sampler."""

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from leo_wrappers.goal_set import BoolArray
from leo_wrappers.selection import GoalIds, GoalSelector

OnSuccess = Literal["terminate", "continue", "switch"]
"""What happens when the commanded goal is achieved: the episode is done, it continues, or it continues with a new goal."""


class StepOutcome(NamedTuple):
    """Result of one step for the commanded goals; arrays of length N."""

    goals: GoalIds
    """The goals commanded during the step."""
    achieved: BoolArray
    """Whether the step achieved them."""
    is_success: BoolArray
    """Whether any step so far achieved the goal commanded at the start of the episode."""


class GoalTracker:
    """
    Track the commanded goal, the success and the attempt statistics of N environments.

    :param goal_selector: chooses goals and keeps the statistics; bound to the goal names
    :param num_envs: number of environments, N
    """

    def __init__(self, goal_selector: GoalSelector, num_envs: int) -> None:
        self.goal_selector = goal_selector
        self.goals: GoalIds = np.zeros(num_envs, dtype=np.int64)
        self._success: BoolArray = np.zeros(num_envs, dtype=bool)
        # An attempt is open until it succeeds or the episode ends; a goal already achieved when commanded is no attempt.
        self._open: BoolArray = np.zeros(num_envs, dtype=bool)

    def start(self, rows: npt.NDArray[np.integer], achieved: BoolArray, goals: npt.ArrayLike | None = None) -> None:
        """
        Start new episodes.

        :param rows: indices of the environments
        :param achieved: the masks of their reset states, ``[len(rows), G]``
        :param goals: the goals to command; chosen by the selector when None
        """
        self.goal_selector.observe(achieved)
        self.set_goals(rows, achieved, goals)
        self._success[rows] = False

    def set_goals(self, rows: npt.NDArray[np.integer], achieved: BoolArray, goals: npt.ArrayLike | None = None) -> None:
        """
        Command new goals within running episodes, after the current ones were achieved.

        :param rows: indices of the environments
        :param achieved: the masks of their current states, ``[len(rows), G]``
        :param goals: the goals to command; chosen by the selector when None
        """
        self.goals[rows] = self.goal_selector.select(achieved) if goals is None else goals
        self._open[rows] = ~achieved[np.arange(len(rows)), self.goals[rows]]

    def update(self, achieved: BoolArray, dones: BoolArray) -> StepOutcome:
        """
        Process one step of all environments and count the attempts that it completed.

        :param achieved: the masks of the states just reached, before any reset, ``[N, G]``
        :param dones: whether each episode ended, ``[N]``
        :return: goals and successes of this step
        """
        self.goal_selector.observe(achieved)
        rows = np.arange(len(self.goals))
        goal_achieved = achieved[rows, self.goals]
        completed = self._open & (goal_achieved | dones)
        if completed.any():
            self.goal_selector.record(self.goals[completed], goal_achieved[completed])
            self._open &= ~completed
        # Goals change within an episode only once the first one is achieved, and success is kept from then on.
        self._success |= goal_achieved
        return StepOutcome(self.goals.copy(), goal_achieved, self._success.copy())
