"""``leo work``, and the options that it shares with ``leo tune``."""

from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Annotated

import tyro

from leo_cli.commands.options import Trust
from leo_cli.commands.sweep import Folder
from leo_cli.errors import EXIT_FAILED, EXIT_INTERRUPTED

_EQUAL_PART = tyro.conf.arg(metavar="N", help_behavior_hint="(default: an equal part of all)")


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """Options of commands that run the jobs of a sweep."""

    workers: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Number of jobs to run at a time."""
    threads: Annotated[int | None, _EQUAL_PART] = None
    """Number of processor cores for each job."""
    device: str = "auto"
    """cpu, cuda or auto."""
    retry_failed: bool = False
    """Try failed jobs again."""
    trust: Trust = False

    def work(self, folder: str) -> int:
        """
        Run the jobs of a sweep.

        :param folder: the sweep's folder
        :return: the exit code, 1 if a job has failed
        """
        from leo_cli.commands.train import check_device
        from leo_cli.sweeps.job_queue import FAILED, FINISHED
        from leo_cli.sweeps.work import WorkOptions, open_for_work, work

        check_device(self.device)
        options = WorkOptions(FilePath(folder), self.workers, self.threads, self.device, self.trust)
        if self.retry_failed:
            open_for_work(options).queue.retry_failed()
        count = work(options)
        print(f"{count[FINISHED]} of {count.total()} jobs finished, {count[FAILED]} failed")
        if count[FINISHED] + count[FAILED] < count.total():
            print(f"Continue with: leo work {folder}")
            return EXIT_INTERRUPTED
        print(f"Next: leo report {folder}" + (f"    leo work {folder} --retry-failed" if count[FAILED] else ""))
        return EXIT_FAILED if count[FAILED] else 0


@dataclass(frozen=True)
class Work(WorkerOptions):
    """
    Run the jobs of a sweep until none is left. Several of these commands share the work, on any machines that see the folder.

    A job whose worker was killed is taken over and continues from its checkpoint. A job that fails three times is kept with
    its logs, and the others go on. Ctrl-C saves checkpoints and gives the running jobs back.

    Examples: `leo work runs/sweep`; `leo work runs/sweep --workers 4`.
    """

    folder: Folder
    """The sweep's folder."""

    def run(self) -> int:
        """Run jobs; return the exit code, 1 if a job has failed."""
        return self.work(self.folder)
