"""Checks of the episodes of one environment, shared by the checkers of single and of vector environments."""

from copy import deepcopy
from typing import Any

import numpy as np

from leo_wrappers.checks.errors import RunPosition
from leo_wrappers.checks.goal_conditioned import GoalConditionedChecker, commanded_goal
from leo_wrappers.checks.mask_consistency import MaskConsistencyChecker, TerminalMaskChecker
from leo_wrappers.goal_set import BoolArray


class EpisodeChecker:
    """
    Checks the resets and steps of one environment; the masks must have passed a
    :class:`~leo_wrappers.checks.masks.MaskChecker`.

    :param terminal_masks: collects the last masks of episodes; may be shared by several environments
    :param consistency: compares masks of equal observations; may be shared; None to skip this check
    :param goal_conditioned: checks reward and commanded goal; None if the environment is not goal-conditioned
    """

    def __init__(
        self,
        terminal_masks: TerminalMaskChecker,
        consistency: MaskConsistencyChecker | None,
        goal_conditioned: GoalConditionedChecker | None,
    ) -> None:
        self.terminal_masks = terminal_masks
        self.consistency = consistency
        self.goal_conditioned = goal_conditioned
        self.goal: int | None = None
        """The commanded goal, where it was set by a method and is not in the observation."""
        self._mask: BoolArray = np.zeros(0, dtype=bool)
        self._end: tuple[BoolArray, tuple[Any, BoolArray]] | None = None

    def set_goal(self, goal: int) -> None:
        """
        Follow a change of the commanded goal within an episode.

        :param goal: the goal's index
        """
        self.goal = goal
        if self.goal_conditioned is not None:
            self.goal_conditioned.set_goal(goal)

    def check_reset(self, observation: Any, info: dict[str, Any], mask: BoolArray, position: RunPosition) -> None:
        """
        Check a reset.

        :param observation: the first observation
        :param info: the info of the reset
        :param mask: the mask in it, bool ``[G]``
        :param position: where in the run, for the error message
        """
        self._check_consistency(observation, mask, position)
        if self.goal_conditioned is not None:
            self.goal_conditioned.check_reset(observation, info, position)
        if self._end is not None:
            self.terminal_masks.record(*self._end, (observation, mask))
        self._mask, self._end = mask.copy(), None

    def check_step(
        self,
        observation: Any,
        reward: float,
        terminated: bool | None,
        done: bool,
        info: dict[str, Any],
        mask: BoolArray,
        position: RunPosition,
    ) -> None:
        """
        Check a step.

        :param observation: the observation after the step, before any reset
        :param reward: the reward
        :param terminated: whether the episode terminated; None if only ``done`` is known
        :param done: whether the episode terminated or was truncated
        :param info: the info of the step
        :param mask: the mask in it, bool ``[G]``
        :param position: where in the run, for the error message
        """
        self._check_consistency(observation, mask, position, done)
        if self.goal_conditioned is not None:
            self.goal_conditioned.check_step(observation, reward, terminated, info, mask, position)
        self._end = (self._mask, (deepcopy(observation), mask.copy())) if done else None
        self._mask = mask.copy()

    def _check_consistency(self, observation: Any, mask: BoolArray, position: RunPosition, done: bool = False) -> None:
        if self.consistency is not None:
            goal = commanded_goal(observation)
            self.consistency.check(observation, mask, position, is_last=done, goal=self.goal if goal is None else goal)
