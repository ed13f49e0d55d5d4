"""What an evaluation found out, goal by goal."""

import csv
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from leo_agents.evaluation.report_text import report_text
from leo_wrappers.goal_set import BoolArray, Goal, check_goal_names, goal_families, goal_index

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
Goals = Iterable[Goal] | BoolArray
"""Some goals: names or indices, or a mask over all of them."""

LEARNED = 0.5
"""A goal counts as learned from this success rate on."""

_COLUMNS = "goal_id goal family attempts successes already_true success_rate low high mean_steps median_steps steps"
CSV_COLUMNS = tuple(_COLUMNS.split())


def wilson_interval(
    successes: npt.ArrayLike, attempts: npt.ArrayLike, confidence: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    """
    Wilson's score interval of a success rate: honest for few attempts, and for rates of 0 and 1.

    :param successes: numbers of successes, of any shape
    :param attempts: numbers of attempts; where there are none the interval is 0 to 1
    :param confidence: how often such intervals contain the true rate
    :return: lower and upper ends

    Example::

        >>> low, high = wilson_interval(0, 10)
        >>> round(float(low), 3), round(float(high), 3)
        (0.0, 0.278)
    """
    won, tried = np.asarray(successes, dtype=np.float64), np.asarray(attempts, dtype=np.float64)
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"expected a confidence between 0 and 1, got {confidence}; 0.95 is usual")
    if not ((won >= 0) & (won <= tried)).all():
        raise ValueError("expected successes from 0 to the number of attempts, got some outside; check their order")
    z = NormalDist().inv_cdf(0.5 + confidence / 2.0)
    centre = won + z * z / 2.0
    half = z * np.sqrt(won * (tried - won) / np.maximum(tried, 1e-12) + z * z / 4.0)
    # Where the rate is 0 or 1 that end of the interval is exact; the root may round past it.
    low, high = ((centre + sign * half) / (tried + z * z) for sign in (-1.0, 1.0))
    return np.where(won == 0, 0.0, np.clip(low, 0.0, 1.0)), np.where(won == tried, 1.0, np.clip(high, 0.0, 1.0))


def select_goals(goal_names: Sequence[str], goals: Goals) -> IntArray:
    """
    :param goal_names: all goals
    :param goals: some of them: names or indices without repetition, or a mask over all
    :return: their ids, in the order given
    """
    if isinstance(goals, str):
        raise TypeError(f"expected several goals, got the single string {goals!r}; write [{goals!r}]")
    if isinstance(goals, np.ndarray) and goals.dtype == np.bool_:
        if goals.shape != (len(goal_names),):
            raise ValueError(f"expected a mask over the {len(goal_names)} goals, got shape {goals.shape}")
        ids = np.flatnonzero(goals).tolist()
    else:
        ids = [goal_index(goal_names, goal) for goal in goals]
    if not ids:
        raise ValueError("expected at least one goal, got none; leave `goals` out for all of them")
    if len(set(ids)) < len(ids):
        twice = sorted({goal_names[goal_id] for goal_id in ids if ids.count(goal_id) > 1})[:3]
        raise ValueError(f"expected every goal once, got {twice} more than once; drop the repetitions")
    return np.array(ids, dtype=np.int64)


def mean_of_extreme(rates: FloatArray, share: float = 0.1, *, best: bool = False) -> float:
    """
    :param rates: success rates of goals; NaN where a goal was never attempted
    :param share: which share of the goals to look at, rounded up to whole goals
    :param best: the best ones instead of the worst
    :return: their mean; NaN if no goal was attempted
    """
    known = np.sort(rates[~np.isnan(rates)])
    if len(known) == 0:
        return float("nan")
    count = int(np.ceil(share * len(known)))
    return float((known[-count:] if best else known[:count]).mean())


@dataclass(frozen=True, eq=False, repr=False)
class GoalReport:
    """
    How often, and how fast, each goal was achieved.

    An attempt is an episode with the goal commanded and not yet true at the reset. It succeeds when a step achieves the goal
    before the episode ends. A rate of a goal without attempts is NaN, and such goals are left out of every mean.

    :param goal_names: the goals of the report
    :param goal_ids: their ids among all goals of the environment
    :param attempts: number of attempts at each
    :param already_true: number of episodes in which the goal was true at the reset, so that there was nothing to attempt
    :param steps: for each goal, the number of steps of each success
    :param positions: where the goals lie, ``[G, 2]``, for maps
    :param axes: what the two coordinates are; an axis called "row" points downwards

    Example::

        >>> report = GoalReport(("a", "b"), [0, 1], attempts=[2, 2], already_true=[0, 0], steps=([3, 5], []))
        >>> report.success_rate, report.mean_success, report.num_learned()
        (array([1., 0.]), 0.5, 1)
    """

    goal_names: tuple[str, ...]
    goal_ids: IntArray
    attempts: IntArray
    already_true: IntArray
    steps: tuple[IntArray, ...] = field(default=())
    positions: FloatArray | None = None
    axes: tuple[str, str] = ("x", "y")

    def __post_init__(self) -> None:
        count = len(check_goal_names(self.goal_names))
        for name in ("goal_ids", "attempts", "already_true"):
            self._set(name, np.array(getattr(self, name), dtype=np.int64), (count,))
        self._set("steps", tuple(np.array(steps, dtype=np.int64) for steps in self.steps), None)
        if self.positions is not None:
            self._set("positions", np.array(self.positions, dtype=np.float64), (count, 2))
        if len(self.steps) != count or (self.successes > self.attempts).any():
            raise ValueError(
                f"expected for each of the {count} goals the steps of its successes, at most one an attempt, got other ones"
            )

    def __len__(self) -> int:
        return len(self.goal_names)

    def __repr__(self) -> str:
        return f"GoalReport({len(self)} goals, {self.attempts.sum()} attempts, mean success {self.mean_success:.3f})"

    def __str__(self) -> str:
        return report_text(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GoalReport):
            return NotImplemented
        return self._contents() == other._contents()

    __hash__ = None  # type: ignore[assignment]  # arrays inside

    @cached_property
    def successes(self) -> IntArray:
        """Number of successes of each goal."""
        return np.array([len(steps) for steps in self.steps], dtype=np.int64)

    @cached_property
    def success_rate(self) -> FloatArray:
        """Share of the attempts at each goal that succeeded; NaN without attempts."""
        return np.where(self.attempts > 0, self.successes / np.maximum(self.attempts, 1), np.nan)

    @cached_property
    def mean_success(self) -> float:
        """Mean success rate over the goals; each counts alike however often it was attempted."""
        return nan_mean(self.success_rate)

    @cached_property
    def worst_decile(self) -> float:
        """Mean success rate of the worst tenth of the goals."""
        return mean_of_extreme(self.success_rate)

    @cached_property
    def mean_steps(self) -> FloatArray:
        """Mean number of steps of each goal's successes; NaN without any."""
        return np.array([steps.mean() if len(steps) else np.nan for steps in self.steps])

    @cached_property
    def median_steps(self) -> FloatArray:
        """Median number of steps of each goal's successes; NaN without any."""
        return np.array([np.median(steps) if len(steps) else np.nan for steps in self.steps])

    @cached_property
    def families(self) -> dict[str, IntArray]:
        """For each family, where its goals stand in this report."""
        return goal_families(self.goal_names)

    def interval(self, confidence: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """
        :param confidence: how often such intervals contain the true rate
        :return: lower and upper ends for each goal
        """
        return wilson_interval(self.successes, self.attempts, confidence)

    def mean_interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """
        An interval for :attr:`mean_success` on these very goals: chance in the episodes, not in the training.

        :param confidence: how often such intervals contain the true mean
        :return: lower and upper end
        """
        tried = self.attempts[self.attempts > 0]
        # So many attempts at one goal would tell as much as these, which may be spread unevenly.
        effective = len(tried) ** 2 / (1.0 / tried).sum() if len(tried) else 0.0
        low, high = wilson_interval(self.mean_success * effective if len(tried) else 0.0, effective, confidence)
        return float(low), float(high)

    def num_learned(self, threshold: float = LEARNED) -> int:
        """
        :param threshold: the least success rate of a goal that counts as learned
        :return: how many are
        """
        return int((self.success_rate >= threshold).sum())

    def subset(self, goals: Goals) -> "GoalReport":
        """
        The report of some goals only.

        :param goals: names, positions in this report, or a mask over its goals
        :return: a new report, in the order given
        """
        chosen = select_goals(self.goal_names, goals)
        return GoalReport(
            tuple(self.goal_names[index] for index in chosen),
            self.goal_ids[chosen],
            self.attempts[chosen],
            self.already_true[chosen],
            tuple(self.steps[index] for index in chosen),
            None if self.positions is None else self.positions[chosen],
            self.axes,
        )

    def by_family(self) -> dict[str, "GoalReport"]:
        """A report for each family, in order of first appearance."""
        return {family: self.subset(ids) for family, ids in self.families.items()}

    def worst(self, n: int = 10) -> "GoalReport":
        """
        The goals with the least success, of those attempted; of equals the slower first.

        :param n: how many
        :return: their report, the worst first
        """
        if n < 1 or not self.attempts.any():
            raise ValueError(f"expected n of at least 1 and some attempts, got n={n} and {self.attempts.sum()} attempts")
        order = np.lexsort((-np.nan_to_num(self.mean_steps), self.success_rate))  # NaN comes last
        return self.subset(order[: min(n, int((self.attempts > 0).sum()))])

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """
        Writes a table with a row for each goal; ``steps`` has those of every success, with spaces between.

        :param path: the file to write
        """
        low, high = self.interval()
        family_of = {index: family for family, ids in self.families.items() for index in ids.tolist()}
        with open(path, "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow([*CSV_COLUMNS, *(self.axes if self.positions is not None else ())])
            for index, name in enumerate(self.goal_names):
                counts = [values[index] for values in (self.attempts, self.successes, self.already_true)]
                rates = [_cell(values[index]) for values in (self.success_rate, low, high)]
                steps = [_cell(self.mean_steps[index]), _cell(self.median_steps[index]), " ".join(map(str, self.steps[index]))]
                place = [] if self.positions is None else [repr(x) for x in self.positions[index].tolist()]
                table.writerow([self.goal_ids[index], name, family_of[index], *counts, *rates, *steps, *place])

    @classmethod
    def from_csv(cls, path: str | os.PathLike[str]) -> "GoalReport":
        """
        :param path: a file that :meth:`to_csv` wrote
        :return: an equal report
        """
        with open(path, newline="", encoding="utf-8") as file:
            header, *rows = [row for row in csv.reader(file) if row] or [[]]
        known, axes = tuple(header[: len(CSV_COLUMNS)]), tuple(header[len(CSV_COLUMNS) :])
        if known != CSV_COLUMNS or len(axes) not in (0, 2) or any(len(row) != len(header) for row in rows) or not rows:
            raise ValueError(f"expected a table written by GoalReport.to_csv at {path}, got the columns {header[:4]} ...")
        column = {name: [row[index] for row in rows] for index, name in enumerate(header)}
        numbers = {name: np.array(column[name], dtype=np.int64) for name in ("goal_id", "attempts", "already_true")}
        return cls(
            tuple(column["goal"]),
            numbers["goal_id"],
            numbers["attempts"],
            numbers["already_true"],
            tuple(np.array(steps.split(), dtype=np.int64) for steps in column["steps"]),
            np.array([column[axis] for axis in axes], dtype=np.float64).T if axes else None,
            axes if len(axes) == 2 else ("x", "y"),
        )

    def _set(self, name: str, value: Any, shape: tuple[int, ...] | None) -> None:
        if shape is not None and value.shape != shape:
            raise ValueError(f"expected {name} of shape {shape}, got {value.shape}; give a row for each goal")
        object.__setattr__(self, name, value)  # the class is frozen for everyone else

    def _contents(self) -> list[Any]:
        arrays = (self.goal_ids, self.attempts, self.already_true, *self.steps)
        places = None if self.positions is None else self.positions.tolist()
        return [self.goal_names, self.axes, places, *(array.tolist() for array in arrays)]


def nan_mean(values: FloatArray) -> float:
    """
    :param values: numbers, NaN where unknown
    :return: the mean of the known ones; NaN if there is none
    """
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _cell(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.6g}"
