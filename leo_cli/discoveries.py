"""When, and from which goal, a training first achieved each goal: the table ``discoveries.csv`` of a seed."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from leo_agents.evaluation.goal_report import FloatArray, IntArray
from leo_wrappers import GoalSelector

_HEADER = ["goal", "step", "reached_from"]
_MAX_POINTS = 60


@dataclass(frozen=True, eq=False)
class Discoveries:
    """
    Goals that a training has achieved, commanded or not.

    :param goal_names: names of all goals
    :param steps: environment steps until each goal was first achieved, ``[G]``; -1 if it never was
    :param origins: the goal that each was reached from, ``[G]``; -1 if none, or if it was achieved at a reset
    :param num_steps: environment steps of the training
    """

    goal_names: tuple[str, ...]
    steps: IntArray
    origins: IntArray
    num_steps: int

    @classmethod
    def of(cls, selector: GoalSelector) -> Self:
        """Take the discoveries from the statistics of a goal selector."""
        return cls(selector.goal_names, selector.first_seen.copy(), selector.reached_from.copy(), selector.num_steps)

    @classmethod
    def read(cls, path: Path, goal_names: Sequence[str]) -> Self:
        """
        Read a table.

        :param path: the file
        :param goal_names: names of all goals of the run
        """
        index = {name: number for number, name in enumerate(goal_names)}
        steps, origins = np.full((2, len(index)), -1, dtype=np.int64)
        try:
            with open(path, newline="", encoding="utf-8") as file:
                header, *rows = csv.reader(file)
            if header != _HEADER:
                raise ValueError(f"the columns {header}")
            for name, step, origin in rows[:-1]:
                steps[index[name]], origins[index[name]] = int(step), index[origin] if origin else -1
            num_steps = int(rows[-1][1])
        except (ValueError, KeyError, IndexError) as error:
            raise ValueError(
                f"expected a table of the run's {len(index)} goals in {path}, got {error}; delete the file, which "
                "is only read for reports"
            ) from error
        return cls(tuple(goal_names), steps, origins, num_steps)

    def write(self, path: Path) -> None:
        """
        Write the table: a row per goal, in the order of discovery, and the steps of the training in the last one.

        :param path: the file
        """
        names = (*self.goal_names, "")  # for -1
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(_HEADER)
            for goal in self.order.tolist():
                writer.writerow([names[goal], self.steps[goal], names[self.origins[goal]]])
            writer.writerow(["", self.num_steps, ""])

    @property
    def order(self) -> IntArray:
        """The goals that were achieved, in the order of discovery."""
        order: IntArray = np.argsort(self.steps, kind="stable")
        return order[self.steps[order] >= 0]

    def coverage(self) -> tuple[FloatArray, FloatArray]:
        """
        Count the goals achieved over time.

        :return: environment steps and the number of goals achieved until then, at most 60 points
        """
        xs = np.linspace(0.0, self.num_steps, _MAX_POINTS)
        return xs, np.searchsorted(np.sort(self.steps[self.steps >= 0]), xs, side="right").astype(np.float64)
