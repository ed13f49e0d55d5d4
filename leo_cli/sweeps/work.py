"""Work on a sweep in this process."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from leo_cli.disk_space import check_disk_space
from leo_cli.interrupts import InterruptHandler
from leo_cli.progress import ProgressBoard
from leo_cli.sweeps.folder import SweepFolder
from leo_cli.sweeps.worker import Worker
from leo_cli.trust import HOW

STOPPING = "Stopping; running jobs save a checkpoint and are given back. Press Ctrl-C again to stop immediately."


@dataclass(frozen=True)
class WorkOptions:
    """
    Options of a worker.

    :param folder: the sweep's folder
    :param slots: number of jobs to run at a time
    :param threads: number of processor cores for each job; an equal part of all cores by default
    :param device: PyTorch device
    :param trust: whether code that came with the folder may be executed, see :class:`~leo_cli.run_folder.RunFolder`
    """

    folder: Path
    slots: int = 1
    threads: int | None = None
    device: str = "auto"
    trust: bool = False

    def __post_init__(self) -> None:
        for name, value in (("workers", self.slots), ("threads", self.threads)):
            if value is not None and value < 1:
                raise ValueError(f"expected at least 1 as --{name}, got {value}; change it")


def open_for_work(options: WorkOptions) -> SweepFolder:
    """
    Open a sweep, and check that it may run code and that its folder can be written to.

    :param options: the worker's options
    :return: the sweep
    """
    sweep = SweepFolder(options.folder, options.trust)
    if not sweep.trusted:
        raise ValueError(
            f"expected a sweep that you created on this machine, got {sweep.path}, which was created by another user or "
            f"machine, or changed since. Its environments and checkpoints may run code; {HOW}"
        )
    check_disk_space(sweep.path)
    return sweep


@contextmanager
def progress_board() -> Iterator[ProgressBoard]:
    """Show progress while inside."""
    board = ProgressBoard(Console(highlight=False, soft_wrap=True))
    with closing(board):
        yield board


def work(options: WorkOptions) -> Counter[str]:
    """
    Run jobs until all have finished or failed, or until Ctrl-C.

    :param options: the worker's options
    :return: number of jobs in each state
    """
    sweep = open_for_work(options)
    with InterruptHandler(STOPPING) as stop, progress_board() as board:
        return Worker(sweep, board, stop, slots=options.slots, threads=options.threads, device=options.device).run()
