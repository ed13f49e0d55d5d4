"""Results of an evaluation, goal by goal."""

import csv
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from leo_agents.evaluation.csv_text import named_errors, quote_text, read_table, unquote_text
from leo_agents.evaluation.intervals import FloatArray as FloatArray
from leo_agents.evaluation.intervals import wilson_interval
from leo_agents.evaluation.report_text import report_text
from leo_wrappers.goal_set import BoolArray, Goal, check_goal_names, goal_families, goal_index
from leo_wrappers.validation import (
    check_fraction,
    check_instance,
    check_integer,
    check_iterable,
    check_path,
    float_array,
    int_array,
    shorten,
)

IntArray = npt.NDArray[np.int64]
Goals = Iterable[Goal] | BoolArray
"""A selection of goals: names or indices, or a mask over all goals."""

LEARNED = 0.5
"""Success rate from which a goal counts as learned."""

_COLUMNS = "goal_id goal family attempts successes already_true success_rate low high mean_steps median_steps steps"
CSV_COLUMNS = tuple(_COLUMNS.split())


def select_goals(goal_names: Sequence[str], goals: Goals) -> IntArray:
    """
    Convert a selection of goals to their ids.

    :param goal_names: names of all goals
    :param goals: names or indices without duplicates, or a mask over all goals
    :return: ids of the selected goals, in the given order
    """
    if isinstance(goals, str):
        raise TypeError(f"expected a sequence of goals, got the single string {goals!r}; write [{goals!r}]")
    check_iterable("goals", goals)
    if isinstance(goals, np.ndarray) and goals.dtype == np.bool_:
        if goals.shape != (len(goal_names),):
            raise ValueError(f"expected a mask over the {len(goal_names)} goals, got shape {goals.shape}; index it by goal id")
        ids = np.flatnonzero(goals).tolist()
    else:
        ids = [goal_index(goal_names, goal) for goal in goals]
    if not ids:
        raise ValueError("expected at least one goal, got none; omit `goals` to select all")
    if len(set(ids)) < len(ids):
        twice = sorted({goal_names[goal_id] for goal_id in ids if ids.count(goal_id) > 1})[:3]
        raise ValueError(f"expected each goal once, got {twice} more than once; remove the duplicates")
    return np.array(ids, dtype=np.int64)


def decile_mean(rates: FloatArray, *, best: bool = False) -> float:
    """
    Compute the mean success rate of the worst or best tenth of the goals, rounded up to whole goals.

    :param rates: success rate of each goal; NaN without attempts
    :param best: use the best tenth instead of the worst
    :return: the mean; NaN if no goal was attempted
    """
    known = np.sort(rates[~np.isnan(rates)])
    if len(known) == 0:
        return float("nan")
    count = int(np.ceil(0.1 * len(known)))
    return float((known[-count:] if best else known[:count]).mean())


@dataclass(frozen=True, eq=False, repr=False)
class GoalReport:
    """
    Success rate and number of steps to success of each goal.

    An attempt is an episode in which the goal is commanded and not already achieved at the reset. It succeeds if a step
    achieves the goal before the episode ends. The rate of a goal without attempts is NaN; means leave such goals out.

    :param goal_names: names of the goals in the report
    :param goal_ids: their ids in the environment
    :param attempts: number of attempts per goal
    :param already_true: number of episodes per goal in which it was achieved at the reset, which are no attempts
    :param steps: for each goal, the number of steps of each success
    :param positions: 2D positions of the goals, ``[G, 2]``, for maps
    :param axes: names of the two coordinates; an axis named "row" points downwards

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
        self._set("goal_names", check_goal_names(self.goal_names))
        count = len(self.goal_names)
        for name in ("goal_ids", "attempts", "already_true"):
            self._set(name, int_array(name, getattr(self, name)), (count,))
        check_instance("steps", self.steps, Sequence, "pass one array per goal")
        self._set("steps", tuple(int_array("steps", steps, 1) for steps in self.steps))
        if self.positions is not None:
            self._set("positions", float_array("positions", self.positions), (count, 2))
        if len(np.unique(self.goal_ids)) < count:
            raise ValueError(f"expected goal_ids without duplicates, got {shorten(self.goal_ids)}; pass each goal once")
        if len(self.steps) != count or any(steps.ndim != 1 for steps in self.steps) or (self.successes > self.attempts).any():
            raise ValueError(
                f"expected the steps of each success for each of the {count} goals, got steps for {len(self.steps)} goals, "
                "arrays of other shapes or more successes than attempts; pass one array [successes] per goal"
            )
        if not isinstance(self.axes, tuple | list) or len(self.axes) != 2 or len(set(check_goal_names(self.axes))) != 2:
            raise ValueError(f"expected axes to be two different names, got {shorten(self.axes)}; pass e.g. ('x', 'y')")

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

    @cached_property
    def successes(self) -> IntArray:
        """Number of successes of each goal."""
        return np.array([len(steps) for steps in self.steps], dtype=np.int64)

    @cached_property
    def success_rate(self) -> FloatArray:
        """Success rate of each goal; NaN without attempts."""
        return np.where(self.attempts > 0, self.successes / np.maximum(self.attempts, 1), np.nan)

    @cached_property
    def mean_success(self) -> float:
        """Mean success rate over goals, with equal weight whatever the number of attempts."""
        return nan_mean(self.success_rate)

    @cached_property
    def worst_decile(self) -> float:
        """Mean success rate of the worst tenth of the goals."""
        return decile_mean(self.success_rate)

    @cached_property
    def mean_steps(self) -> FloatArray:
        """Mean number of steps to success of each goal; NaN without successes."""
        return np.array([steps.mean() if len(steps) else np.nan for steps in self.steps])

    @property
    def mean_num_steps(self) -> float:
        """Mean of :attr:`mean_steps` over the goals that were achieved; NaN without any."""
        return nan_mean(self.mean_steps)

    @cached_property
    def median_steps(self) -> FloatArray:
        """Median number of steps to success of each goal; NaN without successes."""
        return np.array([np.median(steps) if len(steps) else np.nan for steps in self.steps])

    @cached_property
    def families(self) -> dict[str, IntArray]:
        """Indices of each family's goals in this report, in order of first appearance."""
        return goal_families(self.goal_names)

    @cached_property
    def family_of(self) -> tuple[str, ...]:
        """Family of each goal."""
        names = {index: family for family, ids in self.families.items() for index in ids.tolist()}
        return tuple(names[index] for index in range(len(self)))

    def interval(self, confidence: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """
        Compute the Wilson interval of each goal's success rate.

        :param confidence: coverage of the intervals
        :return: lower and upper bounds, ``[G]`` each
        """
        return wilson_interval(self.successes, self.attempts, confidence)

    def mean_interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """
        Compute an interval of :attr:`mean_success` for this agent and these goals. It covers the randomness of the episodes,
        not that of the training.

        :param confidence: coverage of the interval
        :return: lower and upper bound
        """
        tried = self.attempts[self.attempts > 0]
        # The effective sample size: attempts may be spread unevenly over goals that all have the same weight.
        effective = len(tried) ** 2 / (1.0 / tried).sum() if len(tried) else 0.0
        low, high = wilson_interval(self.mean_success * effective if len(tried) else 0.0, effective, confidence)
        return float(low), float(high)

    def num_learned(self, threshold: float = LEARNED) -> int:
        """
        Count the goals with a success rate of at least a threshold.

        :param threshold: the success rate
        :return: number of learned goals
        """
        check_fraction("threshold", threshold)
        return int((self.success_rate >= threshold).sum())

    def subset(self, goals: Goals) -> "GoalReport":
        """
        Select some goals of the report.

        :param goals: names, indices into this report, or a mask over its goals
        :return: a new report with these goals in the given order
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
        """Split the report by family, in order of first appearance."""
        return {family: self.subset(ids) for family, ids in self.families.items()}

    def worst(self, n: int = 10) -> "GoalReport":
        """
        Select the attempted goals with the lowest success rates; ties go to the goal with more steps.

        :param n: maximum number of goals
        :return: a report with these goals, the worst first
        """
        check_integer("n", n, 1)
        if not self.attempts.any():
            raise ValueError(f"expected some attempts, got none of {len(self)} goals; evaluate first")
        order = np.lexsort((-np.nan_to_num(self.mean_steps), self.success_rate))  # NaN comes last
        return self.subset(order[: min(n, int((self.attempts > 0).sum()))])

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """
        Write a table with one row per goal; the column ``steps`` lists the steps of every success, separated by spaces.

        :param path: file to write
        """
        check_path("path", path)
        low, high = self.interval()
        with open(path, "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow([*CSV_COLUMNS, *(self.axes if self.positions is not None else ())])
            for index, name in enumerate(self.goal_names):
                counts = [values[index] for values in (self.attempts, self.successes, self.already_true)]
                rates = [_cell(values[index]) for values in (self.success_rate, low, high)]
                steps = [_cell(self.mean_steps[index]), _cell(self.median_steps[index]), " ".join(map(str, self.steps[index]))]
                position = [] if self.positions is None else [repr(x) for x in self.positions[index].tolist()]
                goal = [self.goal_ids[index], quote_text(name), quote_text(self.family_of[index])]
                table.writerow([*goal, *counts, *rates, *steps, *position])

    @classmethod
    def from_csv(cls, path: str | os.PathLike[str]) -> "GoalReport":
        """
        Read a table written by :meth:`to_csv`.

        :param path: file to read
        :return: a report equal to the one that was written
        """
        header, *rows = [row for row in read_table(path) if row] or [[]]
        known, axes = tuple(header[: len(CSV_COLUMNS)]), tuple(header[len(CSV_COLUMNS) :])
        if known != CSV_COLUMNS or len(axes) not in (0, 2) or any(len(row) != len(header) for row in rows) or not rows:
            raise ValueError(
                f"expected a table written by GoalReport.to_csv, got columns {header[:4]} ... in {path}; check the path"
            )
        column = {name: [row[index] for row in rows] for index, name in enumerate(header)}
        with named_errors(path):
            numbers = {name: np.array(column[name], dtype=np.int64) for name in ("goal_id", "attempts", "already_true")}
            return cls(
                tuple(unquote_text(cell) for cell in column["goal"]),
                numbers["goal_id"],
                numbers["attempts"],
                numbers["already_true"],
                tuple(np.array(steps.split(), dtype=np.int64) for steps in column["steps"]),
                np.array([column[axis] for axis in axes], dtype=np.float64).T if axes else None,
                axes if len(axes) == 2 else ("x", "y"),
            )

    def _set(self, name: str, value: Any, shape: tuple[int, ...] | None = None) -> None:
        if shape is not None and value.shape != shape:
            raise ValueError(f"expected {name} of shape {shape}, got {value.shape}; pass one entry per goal")
        object.__setattr__(self, name, value)  # a frozen dataclass has no other way to convert its fields

    def _contents(self) -> list[Any]:
        arrays = (self.goal_ids, self.attempts, self.already_true, *self.steps)
        positions = None if self.positions is None else self.positions.tolist()
        return [self.goal_names, self.axes, positions, *(array.tolist() for array in arrays)]


def nan_mean(values: FloatArray) -> float:
    """Compute the mean of the entries that are not NaN; NaN if there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _cell(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.6g}"
