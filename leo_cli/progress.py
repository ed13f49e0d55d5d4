"""What a person sees of a training: a bar in a terminal, lines elsewhere; and what is kept of its log."""

import csv
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import CSVOutputFormat

from leo_agents.common.goal_algorithm import find_sampler
from leo_agents.evaluation import GoalEvalCallback

_REFRESH_SECONDS = 0.2


class TrainingBar(BaseCallback):
    """
    Shows steps, steps a second, how many goals were seen, and the success at the last evaluation.

    :param console: where to
    :param title: what is trained
    :param total: environment steps
    :param evaluation: knows the success
    """

    def __init__(self, console: Console, title: str, total: int, evaluation: GoalEvalCallback) -> None:
        super().__init__()
        self.console, self.title, self.total, self.evaluation = console, title, total, evaluation
        columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[news]}")]
        shown = console.is_terminal
        self.progress = Progress(*columns, TimeRemainingColumn(), console=console, refresh_per_second=5, disable=not shown)
        self._shown_at = 0.0
        self._reported: Any = None

    def _on_training_start(self) -> None:
        self.begun_at, self.begun_with = time.monotonic(), self.num_timesteps
        self.task = self.progress.add_task(self.title, total=self.total, completed=self.num_timesteps, news="")
        self.progress.start()

    def _on_step(self) -> bool:
        now = time.monotonic()
        if now - self._shown_at >= _REFRESH_SECONDS:
            self._shown_at = now
            self._show()
        report = self.evaluation.last_report
        if report is not self._reported:
            self._reported = report
            if not self.console.is_terminal and report is not None:
                # Nobody watches a bar in a file; a line an evaluation is what reads well there.
                self.console.print(f"{self.title}: {self.num_timesteps:,} of {self.total:,} steps, {self._news()}")
        return True

    def stop(self) -> None:
        """Leaves the bar as it is."""
        if hasattr(self, "task"):
            self._show()
        self.progress.stop()

    def _show(self) -> None:
        self.progress.update(self.task, completed=min(self.num_timesteps, self.total), news=self._news())

    def _news(self) -> str:
        speed = (self.num_timesteps - self.begun_with) / max(time.monotonic() - self.begun_at, 1e-6)
        parts = [f"{speed:,.0f} steps/s"]
        sampler = find_sampler(self.model.env)
        if sampler is not None:
            parts.append(f"goals seen {int(sampler.seen.sum())}/{len(sampler.goal_names)}")
        report = self.evaluation.last_report
        if report is not None and not np.isnan(report.mean_success):
            parts.append(f"success {100 * report.mean_success:.0f} %")
        return ", ".join(parts)


class ContinuedCsv(CSVOutputFormat):
    """
    Stable-Baselines3's table of what was logged, which a resumed training continues.

    :param path: the file
    :param timesteps: the number of steps that the training starts from; rows of a later time give way
    """

    def __init__(self, path: Path, timesteps: int) -> None:
        rows = _rows_until(path, timesteps) if timesteps > 0 and path.exists() else []
        super().__init__(str(path))
        if rows:
            self.keys = rows[0]
            csv.writer(self.file, lineterminator="\n").writerows(rows)
            self.file.flush()


def _rows_until(path: Path, timesteps: int) -> list[list[str]]:
    with open(path, newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    if "time/total_timesteps" not in header:
        return []
    column = header.index("time/total_timesteps")
    # A row that was cut off when the process died does not have all columns.
    whole = [row for row in rows if len(row) == len(header) and row[column]]
    return [header, *(row for row in whole if float(row[column]) <= timesteps)]
