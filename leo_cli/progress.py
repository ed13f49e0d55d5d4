"""What a person sees of trainings: a bar each in a terminal, lines elsewhere; and what is kept of their logs."""

import csv
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import CSVOutputFormat

from leo_agents.algorithms.goal_algorithm import find_goal_sampler
from leo_agents.evaluation import GoalEvalCallback

_REFRESH_SECONDS = 0.2


@dataclass(frozen=True)
class News:
    """
    How a training stands.

    :param title: what is trained
    :param done: environment steps so far
    :param total: of how many
    :param said: the rest, in words
    :param evaluated: whether there is a new evaluation
    """

    title: str
    done: int
    total: int
    said: str
    evaluated: bool = False


class Display(Protocol):
    """What trainings tell a person."""

    def show(self, news: News) -> None:
        """
        :param news: of a training under way
        """

    def end(self, title: str) -> None:
        """
        :param title: of a training that is no longer under way
        """

    def say(self, line: str) -> None:
        """
        :param line: to be read
        """


class Board:
    """
    A bar for each training under way in a terminal; lines elsewhere.

    :param console: where to
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[news]}")]
        shown = console.is_terminal
        # Transient: a bar that has ended is written above those that have not.
        self.progress = Progress(
            *columns, TimeRemainingColumn(), console=console, refresh_per_second=5, transient=True, disable=not shown
        )
        self._bars: dict[str, TaskID] = {}

    def show(self, news: News) -> None:
        """
        :param news: of a training under way
        """
        if not self.console.is_terminal:
            if news.evaluated:
                # Nobody watches a bar in a file; a line an evaluation is what reads well there.
                self.say(f"{news.title}: {news.done:,} of {news.total:,} steps, {news.said}")
            return
        if news.title not in self._bars:
            bar = self.progress.add_task(news.title, total=news.total, completed=news.done, news=news.said)
            self._bars[news.title] = bar
            self.progress.start()
        self.progress.update(self._bars[news.title], completed=min(news.done, news.total), news=news.said)

    def end(self, title: str) -> None:
        """
        :param title: of a training that is no longer under way; its bar stays as it is
        """
        bar = self._bars.pop(title, None)
        if bar is None:
            return
        ended = self.progress.make_tasks_table([task for task in self.progress.tasks if task.id == bar])
        self.progress.remove_task(bar)
        if self._bars:
            self.progress.refresh()
        else:
            self.progress.stop()
        self.console.print(ended, soft_wrap=False)

    def say(self, line: str) -> None:
        """
        :param line: to be read
        """
        self.console.print(line, markup=False)

    def close(self) -> None:
        """Gives the terminal back."""
        for title in list(self._bars):
            self.end(title)
        self.progress.stop()


class TrainingBar(BaseCallback):
    """
    Tells steps, steps a second, how many goals were seen, and the success at the last evaluation.

    :param display: whom
    :param title: what is trained
    :param total: environment steps
    :param evaluation: knows the success
    """

    def __init__(self, display: Display, title: str, total: int, evaluation: GoalEvalCallback) -> None:
        super().__init__()
        self.display, self.title, self.total, self.evaluation = display, title, total, evaluation
        self._shown_at = 0.0
        self._reported: Any = None

    def _on_training_start(self) -> None:
        self.begun_at, self.begun_with = time.monotonic(), self.num_timesteps
        self._show()

    def _on_step(self) -> bool:
        report = self.evaluation.last_report
        evaluated = report is not self._reported
        self._reported = report
        if evaluated or time.monotonic() - self._shown_at >= _REFRESH_SECONDS:
            self._show(evaluated)
        return True

    def stop(self) -> None:
        """Leaves the bar as it is."""
        if hasattr(self, "begun_at"):
            self._show()
        self.display.end(self.title)

    def _show(self, evaluated: bool = False) -> None:
        self._shown_at = time.monotonic()
        self.display.show(News(self.title, self.num_timesteps, self.total, self._said(), evaluated))

    def _said(self) -> str:
        speed = (self.num_timesteps - self.begun_with) / max(time.monotonic() - self.begun_at, 1e-6)
        parts = [f"{speed:,.0f} steps/s"]
        sampler = find_goal_sampler(self.model.env)
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
