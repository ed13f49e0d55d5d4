"""Goal selectors that adapt to what the agent can do: by difficulty, learning progress and distance."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from leo_wrappers.goal_selector import FloatArray, GoalIds, SeenGoals
from leo_wrappers.goal_set import BoolArray, goal_families
from leo_wrappers.validation import check_fraction, check_integer, float_array

# Goals whose recent attempts count for a goal too, if the goals have descriptors.
_NUM_NEIGHBORS = 8
# Weight of similar goals in an estimate, in attempts.
_PRIOR_ATTEMPTS = 2.0


class RecentSuccess:
    """
    Success rate of each goal in about its last ``window`` attempts, with a prior from the attempts at similar goals.

    Similar are the nearest goals by descriptor, or, without descriptors, those of the same family.

    :param window: an attempt counts ``1 - 1 / window`` times as much as the next one at the same goal
    """

    def __init__(self, window: int, goal_names: Sequence[str], descriptors: FloatArray | None) -> None:
        self.decay = 1.0 - 1.0 / window
        self.counts: FloatArray = np.zeros((2, len(goal_names)))  # attempts and successes, discounted
        self._family = np.zeros(len(goal_names), dtype=np.int64)
        for number, ids in enumerate(goal_families(goal_names).values()):
            self._family[ids] = number
        self._neighbors = None if descriptors is None else _nearest(descriptors)

    def record(self, goal_ids: GoalIds, success: BoolArray) -> None:
        """Add completed attempts; those of one call are of the same age."""
        attempts = np.bincount(goal_ids, minlength=self.counts.shape[1])
        self.counts *= self.decay**attempts
        self.counts += attempts, np.bincount(goal_ids, weights=success, minlength=self.counts.shape[1])

    def rates(self) -> FloatArray:
        """Return the estimates, strictly between 0 and 1, ``[G]``."""
        if self._neighbors is None:
            attempts, successes = (np.bincount(self._family, weights=one)[self._family] for one in self.counts)
        else:
            attempts, successes = self.counts[:, self._neighbors].sum(axis=2)
        prior = (successes + 0.5) / (attempts + 1.0)
        result: FloatArray = (self.counts[1] + _PRIOR_ATTEMPTS * prior) / (self.counts[0] + _PRIOR_ATTEMPTS)
        return result


class IntermediateGoals(SeenGoals):
    """
    Seen goals of medium difficulty: with probability proportional to p (1 - p), where p is the recent success rate.

    :param window: number of recent attempts per goal that determine its success rate, see :class:`RecentSuccess`
    :param descriptors: a vector per goal ``[G, d]``; the success rate is estimated from attempts at near goals too. From those
        at goals of the same family if None
    :param skip_achieved: do not command a goal that the current state achieves, unless there is no other one
    :param seed: seed of the generator
    """

    def __init__(
        self,
        window: int = 20,
        descriptors: npt.ArrayLike | None = None,
        *,
        skip_achieved: bool = True,
        seed: int | None = None,
    ) -> None:
        super().__init__(skip_achieved=skip_achieved, seed=seed)
        check_integer("window", window, 1)
        self.windows: tuple[int, ...] = (window,)
        self.descriptors = None if descriptors is None else float_array("descriptors", descriptors)
        if self.descriptors is not None and self.descriptors.ndim != 2:
            raise ValueError(f"expected descriptors [G, d], got shape {self.descriptors.shape}; pass a vector per goal")
        self.recent: tuple[RecentSuccess, ...] = ()

    def bind(self, goal_names: Sequence[str]) -> Self:
        """Set the goals to choose from."""
        super().bind(goal_names)
        if self.descriptors is not None and len(self.descriptors) != self.num_goals:
            raise ValueError(
                f"expected descriptors of {self.num_goals} goals, got {len(self.descriptors)}; pass those of the goal set"
            )
        if not self.recent:
            self.recent = tuple(RecentSuccess(window, self.goal_names, self.descriptors) for window in self.windows)
        return self

    def state_dict(self) -> dict[str, Any]:
        """Return the statistics, with those of the recent attempts."""
        return {**super().state_dict(), "recent": [one.counts.copy() for one in self.recent]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the statistics, with those of the recent attempts."""
        super().load_state_dict(state)
        for one, counts in zip(self.recent, state["recent"], strict=True):
            one.counts = counts.copy()

    def _update(self, goal_ids: GoalIds, success: BoolArray) -> None:
        for one in self.recent:
            one.record(goal_ids, success)

    def _weights(self) -> FloatArray:
        rates = self.recent[0].rates()
        return super()._weights() * rates * (1.0 - rates)


class LearningProgressGoals(IntermediateGoals):
    """
    Seen goals with probability proportional to learning progress: the absolute difference of the success rates in the last
    attempts and in more attempts. Goals that are forgotten count as much as goals that are learned.

    :param window: number of attempts per goal of the newer success rate
    :param long_window: number of attempts of the other one
    :param uniform: fraction of the choices that are uniform over the seen goals
    :param descriptors: as of :class:`IntermediateGoals`
    :param skip_achieved: do not command a goal that the current state achieves, unless there is no other one
    :param seed: seed of the generator
    """

    def __init__(
        self,
        window: int = 10,
        long_window: int = 40,
        uniform: float = 0.2,
        descriptors: npt.ArrayLike | None = None,
        *,
        skip_achieved: bool = True,
        seed: int | None = None,
    ) -> None:
        super().__init__(window, descriptors, skip_achieved=skip_achieved, seed=seed)
        check_integer("long_window", long_window, window + 1)
        check_fraction("uniform", uniform, positive=True)
        self.windows = (window, long_window)
        self.uniform = uniform

    @property
    def progress(self) -> FloatArray:
        """The absolute learning progress, ``[G]``."""
        new, old = (one.rates() for one in self.recent)
        result: FloatArray = np.abs(new - old)
        return result

    def _weights(self) -> FloatArray:
        seen = SeenGoals._weights(self)
        progress = seen * self.progress
        total = progress.sum()
        return progress * (1.0 - self.uniform) / (total or 1.0) + self.uniform * seen / seen.sum()


class FrontierGoals(SeenGoals):
    """
    The goals farthest from the current state, by the agent's own values, among those it can reach.

    Goals that it can reach are those seen, with a value of at least ``min_value``. One of the fraction with the lowest values
    is chosen, uniformly; any seen goal if it can reach none.

    :param min_value: the smallest value of a goal that can be reached. With discount 0.99, 0.1 is about 230 steps
    :param fraction: fraction of these goals to choose from, at least one goal
    :param skip_achieved: do not command a goal that the current state achieves, unless there is no other one
    :param seed: seed of the generator
    """

    needs_values = True

    def __init__(
        self, min_value: float = 0.1, fraction: float = 0.1, *, skip_achieved: bool = True, seed: int | None = None
    ) -> None:
        super().__init__(skip_achieved=skip_achieved, seed=seed)
        check_fraction("min_value", min_value)
        check_fraction("fraction", fraction, positive=True)
        self.min_value, self.fraction = min_value, fraction

    def select(self, achieved: BoolArray, observations: Any = None) -> GoalIds:
        """Choose a goal for each of n states by the agent's values in them."""
        values = self.values(observations, len(achieved))
        chosen = super().select(achieved)
        eligible = self.seen & (values >= self.min_value)
        if self.skip_achieved:
            eligible &= ~achieved
        for row in np.flatnonzero(eligible.any(axis=1)).tolist():
            ids = np.flatnonzero(eligible[row])
            count = int(np.ceil(self.fraction * len(ids)))
            chosen[row] = self.rng.choice(ids[np.argsort(values[row, ids], kind="stable")[:count]])
        return chosen


def _nearest(descriptors: FloatArray) -> GoalIds:
    """Return the nearest goals of each goal, itself included, ``[G, K]``."""
    count = min(_NUM_NEIGHBORS + 1, len(descriptors))
    squares = (descriptors**2).sum(axis=1)
    # One row at a time: all distances of 10,000 goals would take 800 MB.
    rows = [np.argsort(squares - 2.0 * descriptors @ one, kind="stable")[:count] for one in descriptors]
    return np.array(rows, dtype=np.int64)
