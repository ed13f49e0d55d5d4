"""Checks of the episodes of one environment, shared by the checkers of single and of vector environments."""

import math

import numpy as np

from leo_wrappers.checks.errors import RunPosition
from leo_wrappers.checks.goal_conditioned import GoalConditionedChecker, commanded_goal
from leo_wrappers.checks.mask_consistency import MaskConsistencyChecker, TerminalMaskChecker
from leo_wrappers.checks.results import ResetResult, Result, StepResult, copy_result
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
        self._end: tuple[BoolArray, StepResult] | None = None

    def set_goal(self, goal: int) -> None:
        """
        Follow a change of the commanded goal within an episode.

        :param goal: the goal's index
        """
        self.goal = goal
        if self.goal_conditioned is not None:
            self.goal_conditioned.set_goal(goal)

    def check(self, result: Result, position: RunPosition) -> None:
        """
        Check a reset, or a step and the reset that followed in the same step of a vector environment.

        :param result: what the reset or the step returned
        :param position: where in the run, for the error message
        """
        if isinstance(result, ResetResult):
            self.check_reset(result, position)
            return
        self.check_step(result, position)
        if result.reset is not None:
            self.check_reset(result.reset, position)

    def check_reset(self, result: ResetResult, position: RunPosition) -> None:
        """Check a reset; see :meth:`check`."""
        self._check_consistency(result, position)
        if self.goal_conditioned is not None:
            self.goal_conditioned.check_reset(result, position)
        if self._end is not None:
            self.terminal_masks.record(*self._end, result)
        self._mask, self._end = result.mask.copy(), None

    def check_step(self, result: StepResult, position: RunPosition) -> None:
        """Check a step; see :meth:`check`."""
        if not math.isfinite(result.reward):
            raise position.error("a finite reward", f"{result.reward}", "return a number that algorithms can learn from")
        self._check_consistency(result, position, result.done)
        if self.goal_conditioned is not None:
            self.goal_conditioned.check_step(result, position)
        self._end = (self._mask, copy_result(result)) if result.done else None
        self._mask = result.mask.copy()

    def _check_consistency(self, result: Result, position: RunPosition, done: bool = False) -> None:
        if self.consistency is not None:
            goal = commanded_goal(result.observation)
            goal = self.goal if goal is None else goal
            self.consistency.check(result.observation, result.mask, position, is_last=done, goal=goal)
