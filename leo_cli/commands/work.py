"""``leo work``, and the options that it shares with ``leo tune``."""

from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Annotated

import tyro

from leo_cli.commands.options import Assignments, Trust
from leo_cli.commands.sweep import Folder
from leo_cli.errors import EXIT_FAILED, EXIT_INTERRUPTED

if TYPE_CHECKING:
    from collections import Counter

    from leo_cli.sweeps.work import WorkOptions

ON = ("ray", "slurm")
_EQUAL_PART = tyro.conf.arg(metavar="N", help_behavior_hint="(default: an equal part of all)")
_ONE = tyro.conf.arg(metavar="N", help_behavior_hint="(default: 1; on Ray, as many as fit)")
_WHERE = tyro.conf.arg(metavar="ray [ADDRESS]|slurm", help_behavior_hint="")


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """Options of commands that run the jobs of a sweep."""

    workers: Annotated[int | None, _ONE] = None
    """Number of jobs to run at a time."""
    threads: Annotated[int | None, _EQUAL_PART] = None
    """Number of processor cores for each job."""
    device: str = "auto"
    """cpu, cuda or auto."""
    retry_failed: bool = False
    """Try failed jobs again."""
    trust: Trust = False
    on: Annotated[tuple[str, ...], _WHERE] = ()
    """Start the workers as tasks of a Ray cluster (the extra "ray") or as a Slurm array ("slurm") instead of here."""
    cpus: float = 1.0
    """With --on: processor cores for each worker; a fraction on Ray."""
    gpus: float = 0.0
    """With --on: GPUs for each worker; a fraction on Ray."""
    slurm: Assignments = ()
    """With --on slurm: parameters of submitit, e.g. --slurm timeout_min=600 slurm_partition=gpu."""

    def work(self, folder: str) -> int:
        """
        Run the jobs of a sweep.

        :param folder: the sweep's folder
        :return: the exit code, 1 if a job has failed
        """
        from leo_cli.commands.train import check_device
        from leo_cli.sweeps.job_queue import FAILED, FINISHED
        from leo_cli.sweeps.work import WorkOptions, open_for_work, work

        where, *rest = self._check_on()
        check_device(self.device)
        options = WorkOptions(FilePath(folder), 1 if where else self.workers or 1, self.threads, self.device, self.trust)
        if self.retry_failed:
            open_for_work(options).queue.retry_failed()
        if where == "slurm":
            return self._submit(options, *rest)
        count = self._work_on_ray(options, *rest) if where == "ray" else work(options)
        print(f"{count[FINISHED]} of {count.total()} jobs finished, {count[FAILED]} failed")
        if count[FINISHED] + count[FAILED] < count.total():
            print(f"Continue with: leo work {folder}")
            return EXIT_INTERRUPTED
        print(f"Next: leo report {folder}" + (f"    leo work {folder} --retry-failed" if count[FAILED] else ""))
        return EXIT_FAILED if count[FAILED] else 0

    def _check_on(self) -> tuple[str, ...]:
        """Return where to start the workers, and the address if one is given."""
        from leo_cli.suggestions import unknown

        if self.workers is not None and self.workers < 1:
            raise ValueError(f"expected at least 1 as --workers, got {self.workers}; change it")
        if not self.on:
            return ("",)
        if self.on[0] not in ON:
            raise unknown("ray or slurm after --on", self.on[0], ON)
        if len(self.on) > 2:
            raise ValueError(f"expected one address after --on {self.on[0]}, got {' '.join(self.on[1:])}; drop the others")
        return self.on

    def _work_on_ray(self, options: "WorkOptions", address: str | None = None) -> "Counter[str]":
        from leo_cli.sweeps.ray_workers import work_on_ray

        return work_on_ray(options, address=address, workers=self.workers, cpus=self.cpus, gpus=self.gpus)

    def _submit(self, options: "WorkOptions", cluster: str = "slurm") -> int:
        from leo_cli.overrides import parse_assignments
        from leo_cli.sweeps.slurm_workers import submit_to_slurm

        parameters = parse_assignments(self.slurm, "--slurm")
        if self.cpus % 1 or self.gpus % 1 or self.cpus < 1 or self.gpus < 0:
            raise ValueError(
                f"expected whole --cpus of at least 1 and --gpus on Slurm, got {self.cpus}, {self.gpus}; round them"
            )
        jobs = submit_to_slurm(
            options,
            cluster=cluster,
            workers=self.workers or 1,
            cpus=int(self.cpus),
            gpus=int(self.gpus),
            parameters=parameters,
        )
        print(f"Submitted {len(jobs)} workers: {', '.join(jobs)}; their logs are in {options.folder}/slurm/")
        print(f"Next: leo report {options.folder}")
        return 0


@dataclass(frozen=True)
class Work(WorkerOptions):
    """
    Run the jobs of a sweep until none is left. Several of these commands share the work, on any machines that see the folder.

    A job whose worker was killed is taken over and continues from its checkpoint. A job that fails three times is kept with
    its logs, and the others go on. Ctrl-C saves checkpoints and gives the running jobs back.

    Examples: `leo work runs/sweep`; `leo work runs/sweep --workers 4`; `leo work runs/sweep --on ray auto --cpus 2`.
    """

    folder: Folder
    """The sweep's folder."""

    def run(self) -> int:
        """Run jobs; return the exit code, 1 if a job has failed."""
        return self.work(self.folder)
