"""Bookkeeping of commanded goals, shared by the single-environment wrapper and the vectorized sampler."""

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from leo_wrappers.goal_selector import GoalIds, GoalSelector
from leo_wrappers.goal_set import BoolArray

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
        self._gave_up: BoolArray = np.zeros(num_envs, dtype=bool)

    def start(
        self,
        rows: npt.NDArray[np.integer],
        achieved: BoolArray,
        goals: npt.ArrayLike | None = None,
        observations: Any = None,
    ) -> None:
        """
        Start new episodes.

        :param rows: indices of the environments
        :param achieved: the masks of their reset states, ``[len(rows), G]``
        :param goals: the goals to command; chosen by the selector when None
        :param observations: the observations of the reset states, if the selector needs them
        """
        self.goal_selector.observe(achieved)
        self.goal_selector.discover(achieved)
        self.set_goals(rows, achieved, goals, observations)
        self._success[rows] = self._gave_up[rows] = False

    def set_goals(
        self,
        rows: npt.NDArray[np.integer],
        achieved: BoolArray,
        goals: npt.ArrayLike | None = None,
        observations: Any = None,
    ) -> None:
        """
        Command new goals within running episodes, after the current ones were achieved or given up.

        :param rows: indices of the environments
        :param achieved: the masks of their current states, ``[len(rows), G]``
        :param goals: the goals to command; chosen by the selector when None
        :param observations: the observations of the current states, if the selector needs them
        """
        self.goals[rows] = self.goal_selector.select(achieved, observations) if goals is None else goals
        self._open[rows] = ~achieved[np.arange(len(rows)), self.goals[rows]]

    def give_up(self, rows: npt.NDArray[np.integer]) -> None:
        """
        Count the attempts at the current goals as failed.

        :param rows: indices of the environments
        """
        failed = rows[self._open[rows]]
        if len(failed):
            self.goal_selector.record(self.goals[failed], np.zeros(len(failed), dtype=bool))
        self._open[rows] = False
        self._gave_up[rows] = True

    def update(self, achieved: BoolArray, dones: BoolArray, before: BoolArray) -> StepOutcome:
        """
        Process one step of all environments and count the attempts that it completed.

        :param achieved: the masks of the states just reached, before any reset, ``[N, G]``
        :param dones: whether each episode ended, ``[N]``
        :param before: the masks of the states before the step, ``[N, G]``
        :return: goals and successes of this step
        """
        self.goal_selector.observe(achieved)
        self.goal_selector.discover(achieved, before)
        rows = np.arange(len(self.goals))
        goal_achieved = achieved[rows, self.goals]
        completed = self._open & (goal_achieved | dones)
        if completed.any():
            self.goal_selector.record(self.goals[completed], goal_achieved[completed])
            self._open &= ~completed
        # Goals change within an episode only once the first one is achieved, and success is kept, or given up.
        self._success |= goal_achieved & ~self._gave_up
        return StepOutcome(self.goals.copy(), goal_achieved, self._success.copy())
