"""Show the progress of trainings: progress bars in a terminal, lines of text elsewhere."""

from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


@dataclass(frozen=True)
class TrainingStatus:
    """
    Status of a training.

    :param title: name of the training
    :param timesteps: environment steps so far
    :param total_timesteps: environment steps of the whole training
    :param summary: speed, goals seen and success rate as text
    :param evaluated: whether an evaluation has finished since the last status
    """

    title: str
    timesteps: int
    total_timesteps: int
    summary: str
    evaluated: bool = False


class Display(Protocol):
    """Output of the trainings of a run."""

    def update(self, status: TrainingStatus) -> None:
        """Show the status of a training."""

    def finish(self, title: str) -> None:
        """Remove the bar of a training, leaving its last state as text."""

    def print(self, line: str) -> None:
        """Print a line."""


class ProgressBoard:
    """
    Display with one progress bar per running training in a terminal, and one line per evaluation elsewhere.

    :param console: the console to write to
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[summary]}")]
        # Transient, because the last state of a finished bar is printed above the running ones.
        self.progress = Progress(
            *columns,
            TimeRemainingColumn(),
            console=console,
            refresh_per_second=5,
            transient=True,
            disable=not console.is_terminal,
        )
        self._bars: dict[str, TaskID] = {}

    def update(self, status: TrainingStatus) -> None:
        """Show the status of a training."""
        if not self.console.is_terminal:
            if status.evaluated:
                self.print(f"{status.title}: {status.timesteps:,} of {status.total_timesteps:,} steps, {status.summary}")
            return
        if status.title not in self._bars:
            self._bars[status.title] = self.progress.add_task(
                status.title, total=status.total_timesteps, completed=status.timesteps, summary=status.summary
            )
            self.progress.start()
        completed = min(status.timesteps, status.total_timesteps)
        self.progress.update(self._bars[status.title], completed=completed, summary=status.summary)

    def finish(self, title: str) -> None:
        """Remove the bar of a training, leaving its last state as text."""
        bar = self._bars.pop(title, None)
        if bar is None:
            return
        last_state = self.progress.make_tasks_table([task for task in self.progress.tasks if task.id == bar])
        self.progress.remove_task(bar)
        if self._bars:
            self.progress.refresh()
        else:
            self.progress.stop()
        self.console.print(last_state, soft_wrap=False)

    def print(self, line: str) -> None:
        """Print a line above the bars."""
        self.console.print(line, markup=False, emoji=False)

    def close(self) -> None:
        """Finish all bars and release the terminal."""
        for title in list(self._bars):
            self.finish(title)
        self.progress.stop()
