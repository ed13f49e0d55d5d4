"""The bookkeeping of commanded goals that the single-environment wrapper and the vector sampler share."""

from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from leo_wrappers.goal_set import BoolArray
from leo_wrappers.selection import GoalIds, GoalSelector

OnSuccess = Literal["terminate", "continue", "switch"]


def check_on_success(on_success: str) -> OnSuccess:
    """
    :param on_success: what the user asked for
    :return: the same, if it is one of the three
    """
    if on_success not in get_args(OnSuccess):
        raise ValueError(f"expected on_success to be one of {get_args(OnSuccess)}, got {on_success!r}")
    return on_success  # type: ignore[return-value]


class Judgement(NamedTuple):
    """What a step meant for the commanded goals: arrays of length N."""

    goals: GoalIds
    """The goals that the step was judged by."""
    achieved: BoolArray
    """Whether the step achieved them."""
    is_success: BoolArray
    """Whether the goal commanded at the episode's start was achieved by any step so far."""


class GoalTracker:
    """
    Which goal each of N environments pursues, and how that goes.

    :param goal_selector: chooses goals and keeps the statistics; bound to the goal names
    :param num_envs: N
    """

    def __init__(self, goal_selector: GoalSelector, num_envs: int) -> None:
        self.goal_selector = goal_selector
        self.goals: GoalIds = np.zeros(num_envs, dtype=np.int64)
        self._first_goals = self.goals.copy()
        self._success: BoolArray = np.zeros(num_envs, dtype=bool)
        # An attempt is open until it succeeds or the episode ends; a goal already true when commanded is no attempt at all.
        self._open: BoolArray = np.zeros(num_envs, dtype=bool)

    def start(self, rows: npt.NDArray[np.integer], achieved: BoolArray, goals: npt.ArrayLike | None = None) -> None:
        """
        Begins episodes.

        :param rows: in which environments
        :param achieved: the masks of their reset states ``[len(rows), G]``
        :param goals: the goals to command; chosen by the selector when None
        """
        self.goal_selector.observe(achieved)
        self.command(rows, achieved, goals)
        self._first_goals[rows] = self.goals[rows]
        self._success[rows] = False

    def command(self, rows: npt.NDArray[np.integer], achieved: BoolArray, goals: npt.ArrayLike | None = None) -> None:
        """
        Commands new goals in the midst of episodes.

        :param rows: in which environments
        :param achieved: the masks of their current states ``[len(rows), G]``
        :param goals: the goals to command; chosen by the selector when None
        """
        self.goals[rows] = self.goal_selector.select(achieved) if goals is None else goals
        self._open[rows] = ~achieved[np.arange(len(rows)), self.goals[rows]]

    def judge(self, achieved: BoolArray, ended: BoolArray) -> Judgement:
        """
        Takes in one step of every environment; counts the attempts that it settled.

        :param achieved: the masks of the states just reached, before any reset ``[N, G]``
        :param ended: whether each episode ended
        :return: what the step meant
        """
        self.goal_selector.observe(achieved)
        rows = np.arange(len(self.goals))
        hit = achieved[rows, self.goals]
        settled = self._open & (hit | ended)
        if settled.any():
            self.goal_selector.record(self.goals[settled], hit[settled])
            self._open &= ~settled
        self._success |= achieved[rows, self._first_goals]
        return Judgement(self.goals.copy(), hit, self._success.copy())
