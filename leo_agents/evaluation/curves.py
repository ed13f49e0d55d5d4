"""The CSV file of evaluations during training, with one row per goal and evaluation."""

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from leo_agents.evaluation.chart_data import SuccessCurve
from leo_agents.evaluation.csv_text import named_errors, quote_text, read_table
from leo_agents.evaluation.goal_report import LEARNED, FloatArray, GoalReport, IntArray, decile_mean, nan_mean
from leo_wrappers.validation import check_fraction, float_array, int_array, shorten

CURVE_COLUMNS = ("timesteps", "goal_id", "goal", "family", "attempts", "successes", "already_true", "mean_steps")


class NoEvaluationsError(ValueError):
    """Raised for a CSV file that has a header but no evaluations yet."""


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """
    Success rate of each goal over a training.

    :param timesteps: environment steps at each evaluation, ``[T]``
    :param success_rate: success rates, ``[T, G]``; NaN without attempts
    """

    timesteps: IntArray
    success_rate: FloatArray

    def __post_init__(self) -> None:
        timesteps = int_array("timesteps", self.timesteps)
        known = float_array("success_rate", np.nan_to_num(self.success_rate, nan=0.0, posinf=2.0, neginf=2.0))
        if timesteps.ndim != 1 or not len(timesteps) or (np.diff(timesteps) <= 0).any():
            raise ValueError(f"expected timesteps that increase, got {shorten(self.timesteps)}; pass an array [T]")
        if known.ndim != 2 or len(known) != len(timesteps) or not known.size or (known < 0).any() or (known > 1).any():
            raise ValueError(
                f"expected success rates from 0 to 1 or NaN, [{len(timesteps)}, G], got {shorten(self.success_rate)}; pass "
                "one row per evaluation"
            )
        object.__setattr__(self, "timesteps", timesteps)
        object.__setattr__(self, "success_rate", np.array(self.success_rate, dtype=np.float64))

    @property
    def mean(self) -> FloatArray:
        """Mean over goals, ``[T]``."""
        return np.array([nan_mean(rates) for rates in self.success_rate])

    @property
    def worst_decile(self) -> FloatArray:
        """Mean of the worst tenth of the goals, ``[T]``."""
        return np.array([decile_mean(rates) for rates in self.success_rate])

    @property
    def best_decile(self) -> FloatArray:
        """Mean of the best tenth of the goals, ``[T]``."""
        return np.array([decile_mean(rates, best=True) for rates in self.success_rate])

    def num_learned(self, threshold: float = LEARNED) -> IntArray:
        """
        Count the goals with a success rate of at least a threshold, at each evaluation.

        :param threshold: the success rate
        :return: number of learned goals, ``[T]``
        """
        check_fraction("threshold", threshold)
        return (self.success_rate >= threshold).sum(axis=1)

    def success_curve(self, label: str) -> SuccessCurve:
        """Summarize the goals by their mean, with a band from the worst to the best tenth, as a curve with a label."""
        band = np.stack([self.worst_decile, self.best_decile])
        return SuccessCurve(label, self.timesteps, self.mean, self.num_learned().astype(np.float64), band)


def read_curve(path: str | os.PathLike[str]) -> LearningCurve:
    """
    Read the success rates over a training.

    :param path: CSV file written by :class:`~leo_agents.evaluation.callbacks.GoalEvalCallback`
    :return: success rate of each goal over time
    :raises NoEvaluationsError: if the file has no evaluations yet
    """
    rows = _rows(path)
    if not rows:
        raise NoEvaluationsError(f"expected evaluations in {path}, got none; wait for the first evaluation of the training")
    with named_errors(path):
        return _curve(rows)


def start_curve(path: Path, timesteps: int) -> float:
    """
    Prepare a CSV file for a training: write the header and keep only the rows up to the current step.

    :param path: CSV file, which need not exist
    :param timesteps: number of steps that the training starts from
    :return: best mean success rate in the kept rows; minus infinity without any
    """
    rows = [row for row in _rows(path) if int(row[0]) <= timesteps] if timesteps > 0 and path.exists() else []
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with open(partial, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([CURVE_COLUMNS, *rows])
    os.replace(partial, path)
    return float(np.nanmax(_curve(rows).mean, initial=-np.inf)) if rows else -np.inf


def append_to_curve(path: Path, timesteps: int, report: GoalReport) -> None:
    """
    Append an evaluation to a CSV file.

    :param path: CSV file
    :param timesteps: number of steps trained so far
    :param report: result of the evaluation
    """
    text = io.StringIO(newline="")
    table = csv.writer(text)
    for index, name in enumerate(report.goal_names):
        counts = [values[index] for values in (report.attempts, report.successes, report.already_true)]
        steps = report.mean_steps[index]
        goal = [report.goal_ids[index], quote_text(name), quote_text(report.family_of[index])]
        table.writerow([timesteps, *goal, *counts, "" if np.isnan(steps) else f"{steps:.6g}"])
    with open(path, "ab", buffering=0) as file:  # all rows at once, for those who read during the training
        file.write(text.getvalue().encode())


def _rows(path: str | os.PathLike[str]) -> list[list[str]]:
    header, *rows = read_table(path) or [[]]
    if tuple(header) != CURVE_COLUMNS:
        raise ValueError(f"expected a table of evaluations at {path}, got the columns {header[:4]} ...; choose another path")
    # A row that was being written when the process was killed is incomplete.
    return [row for row in rows if len(row) == len(CURVE_COLUMNS)]


def _curve(rows: Sequence[Sequence[str]]) -> LearningCurve:
    numbers = np.array([[int(row[column]) for column in (0, 1, 4, 5)] for row in rows], dtype=np.int64)
    timesteps, time_index = np.unique(numbers[:, 0], return_inverse=True)
    goal_ids, goal_index = np.unique(numbers[:, 1], return_inverse=True)
    rates = np.full((len(timesteps), len(goal_ids)), np.nan)
    attempts, successes = numbers[:, 2], numbers[:, 3]
    rates[time_index, goal_index] = np.where(attempts > 0, successes / np.maximum(attempts, 1), np.nan)
    return LearningCurve(timesteps, rates)
