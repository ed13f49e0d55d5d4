"""The table that evaluations during a training write: a row for each goal and evaluation."""

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from leo_agents.evaluation.goal_report import LEARNED, FloatArray, GoalReport, IntArray, mean_of_extreme, nan_mean

CURVE_COLUMNS = ("timesteps", "goal_id", "goal", "family", "attempts", "successes", "already_true", "mean_steps")


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """
    Success rates over a training.

    :param timesteps: when the evaluations took place, ``[T]``
    :param success_rate: of each goal, ``[T, G]``; NaN without attempts
    """

    timesteps: IntArray
    success_rate: FloatArray

    @property
    def mean(self) -> FloatArray:
        """Mean over the goals, ``[T]``."""
        return np.array([nan_mean(rates) for rates in self.success_rate])

    @property
    def worst_decile(self) -> FloatArray:
        """Mean of the worst tenth of the goals, ``[T]``."""
        return np.array([mean_of_extreme(rates) for rates in self.success_rate])

    @property
    def best_decile(self) -> FloatArray:
        """Mean of the best tenth of the goals, ``[T]``."""
        return np.array([mean_of_extreme(rates, best=True) for rates in self.success_rate])

    def num_learned(self, threshold: float = LEARNED) -> IntArray:
        """
        :param threshold: the least success rate of a goal that counts as learned
        :return: how many are, ``[T]``
        """
        return (self.success_rate >= threshold).sum(axis=1)


def read_curve(path: str | os.PathLike[str]) -> LearningCurve:
    """
    :param path: a table of evaluations
    :return: its success rates
    """
    rows = _rows(Path(path))
    if not rows:
        raise ValueError(f"expected evaluations in {path}, got none; it is written during the training")
    return _curve(rows)


def start_curve(path: Path, timesteps: int) -> float:
    """
    Prepares a table of evaluations for a training: later rows of an earlier training give way, a header is written.

    :param path: the table, which need not exist
    :param timesteps: the number of steps that the training starts from
    :return: the best mean success in the rows that stay; minus infinity without any
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
    Adds an evaluation to a table.

    :param path: the table
    :param timesteps: the number of steps trained
    :param report: what the evaluation found
    """
    family_of = {index: family for family, ids in report.families.items() for index in ids.tolist()}
    with open(path, "a", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        for index, name in enumerate(report.goal_names):
            counts = [values[index] for values in (report.attempts, report.successes, report.already_true)]
            steps = report.mean_steps[index]
            cells = [report.goal_ids[index], name, family_of[index], *counts, "" if np.isnan(steps) else f"{steps:.6g}"]
            table.writerow([timesteps, *cells])


def _rows(path: Path) -> list[list[str]]:
    with open(path, newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    if tuple(header) != CURVE_COLUMNS:
        raise ValueError(f"expected a table of evaluations at {path}, got the columns {header[:4]} ...; choose another path")
    # A row that was cut off when the process died does not have all columns.
    return [row for row in rows if len(row) == len(CURVE_COLUMNS)]


def _curve(rows: Sequence[Sequence[str]]) -> LearningCurve:
    numbers = np.array([[int(row[column]) for column in (0, 1, 4, 5)] for row in rows], dtype=np.int64)
    timesteps, when = np.unique(numbers[:, 0], return_inverse=True)
    goal_ids, which = np.unique(numbers[:, 1], return_inverse=True)
    rates = np.full((len(timesteps), len(goal_ids)), np.nan)
    attempts, successes = numbers[:, 2], numbers[:, 3]
    rates[when, which] = np.where(attempts > 0, successes / np.maximum(attempts, 1), np.nan)
    return LearningCurve(timesteps, rates)
