"""Checks of the episodes of one environment, shared by the checkers of single and of vector environments."""

import math
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

from leo_wrappers.checks.errors import RunPosition
from leo_wrappers.checks.evidence import RunEvidence
from leo_wrappers.checks.goal_conditioned import GoalConditionedChecker, commanded_goal
from leo_wrappers.checks.results import ResetResult, Result, StepResult, copy_result
from leo_wrappers.goal_set import BoolArray

TRUNCATED_KEY = "TimeLimit.truncated"
"""In the infos of Stable-Baselines3: whether a done step was truncated and not terminated."""
Oracle = Callable[[Any, dict[str, Any]], Any]
"""``(observation, info) -> mask``: the mask that must be returned with the observation."""


class EpisodeChecker:
    """
    Checks the resets and steps of one environment; the masks must have passed a
    :class:`~leo_wrappers.checks.masks.MaskChecker`.

    :param names: the goal names
    :param evidence: collects the results of all episodes; may be shared by the rows of a vector environment
    :param goal_conditioned: checks reward and commanded goal; None if the environment is not goal-conditioned
    :param oracle: computes the mask that is expected with every observation; None to skip this check
    :param row: the environment's number in a vector environment
    """

    def __init__(
        self,
        names: tuple[str, ...],
        evidence: RunEvidence,
        goal_conditioned: GoalConditionedChecker | None,
        oracle: Oracle | None = None,
        row: int = 0,
    ) -> None:
        self.goal_conditioned = goal_conditioned
        self.goal: int | None = None
        """The commanded goal, where it was set by a method and is not in the observation."""
        self._names, self._evidence, self._oracle, self._row = names, evidence, oracle, row
        self._mask: BoolArray = np.zeros(0, dtype=bool)
        self._length = 0
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
        self._check_mask(result, position)
        if self.goal_conditioned is not None:
            self.goal_conditioned.check_reset(result, position)
        if self._end is not None:
            self._evidence.boundaries.record_end(*self._end, result)
        if self._evidence.delay is not None:
            self._evidence.delay.record_reset(result.observation, self._row)
        self._evidence.boundaries.record_mask(result.mask, None, "first")
        self._mask, self._length, self._end = result.mask.copy(), 0, None

    def check_step(self, result: StepResult, position: RunPosition) -> None:
        """Check a step; see :meth:`check`."""
        if not math.isfinite(result.reward):
            raise position.error("a finite reward", f"{result.reward}", "return a number that algorithms can learn from")
        self._check_mask(result, position, result.done)
        if self.goal_conditioned is not None:
            self.goal_conditioned.check_step(result, position)
        if self._evidence.delay is not None:
            self._evidence.delay.record_step(result.observation, result.mask, self._row)
        self._length += 1
        truncated = _is_truncated(result)
        terminated = result.done and not truncated if result.terminated is None else result.terminated
        kind = "last" if terminated else "within"
        self._evidence.boundaries.record_mask(result.mask, self._mask, kind)
        if result.done:
            self._evidence.lengths.record(self._length, truncated)
        self._end = (self._mask, copy_result(result)) if result.done else None
        self._mask = result.mask.copy()

    def _check_mask(self, result: Result, position: RunPosition, done: bool = False) -> None:
        if self._oracle is not None:
            self._check_against_oracle(self._oracle, result, position)
        if self._evidence.consistency is not None:
            goal = commanded_goal(result.observation)
            goal = self.goal if goal is None else goal
            self._evidence.consistency.check(result.observation, result.mask, position, is_last=done, goal=goal)

    def _check_against_oracle(self, oracle: Oracle, result: Result, position: RunPosition) -> None:
        wanted = np.asarray(oracle(result.observation, result.info), dtype=bool)
        if wanted.shape != result.mask.shape:
            raise ValueError(
                f"expected the oracle to return a mask of shape {result.mask.shape}, got shape {wanted.shape}; "
                "return one bool per goal, in the order of goal_names"
            )
        if not np.array_equal(wanted, result.mask):
            expected = "the oracle's mask for the observation"
            remedy = "compute the mask after the step and before any reset"
            raise position.mask_error(self._names, wanted, result.mask, expected, remedy)


def check_observation(space: gym.Space[Any], observation: Any, position: RunPosition) -> None:
    """
    Raise unless an observation is in the observation space.

    :param space: the observation space
    :param observation: the observation
    :param position: where in the run, for the error message
    """
    if not space.contains(observation):
        raise position.error(
            f"an observation in {space}", repr(observation)[:200], "return it with that shape, dtype and range"
        )


def _is_truncated(result: StepResult) -> bool:
    """Return whether a last step was truncated; vector environments of Stable-Baselines3 report it in the info."""
    return bool(result.info.get(TRUNCATED_KEY, False)) if result.truncated is None else result.truncated
