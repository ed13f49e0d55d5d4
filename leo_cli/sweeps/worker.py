"""Run the jobs of a sweep, each in a process of its own."""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from leo_cli.disk_space import check_disk_space
from leo_cli.environments import available_cores
from leo_cli.errors import EXIT_INTERRUPTED
from leo_cli.interrupts import StopSignal, block_sigint
from leo_cli.progress import Display, TrainingStatus
from leo_cli.sweeps.folder import SweepFolder
from leo_cli.sweeps.job_queue import FAILED, FINISHED, RUNNING, WAITING, Claim
from leo_cli.sweeps.jobs import LOG_FILE, Training, open_job

MAX_FAILURES = 3
_POLL_SECONDS, _IDLE_SECONDS = 0.5, 2.0


class Worker:
    """
    Runs jobs until all have finished or failed. Waits for those of other workers, to take them over if their worker dies.

    :param sweep: the sweep
    :param display: shows the progress
    :param stop: request to stop; running jobs save a checkpoint and are given back
    :param slots: number of jobs to run at a time
    :param threads: number of processor cores for each job; an equal part of all cores by default
    :param device: PyTorch device
    """

    def __init__(
        self,
        sweep: SweepFolder,
        display: Display,
        stop: StopSignal,
        *,
        slots: int = 1,
        threads: int | None = None,
        device: str = "auto",
    ) -> None:
        self.sweep, self.display, self.stop, self.slots, self.device = sweep, display, stop, slots, device
        self.threads = max(available_cores() // slots, 1) if threads is None else threads
        self.running: list[_RunningJob] = []

    def run(self) -> Counter[str]:
        """
        Run jobs.

        :return: number of jobs in each state
        """
        try:
            while True:
                for job in list(self.running):
                    self._check(job)
                if len(self.running) < self.slots:
                    states = self.sweep.queue.states()
                    if not self.stop.requested:
                        self._start_jobs(states)
                    self._show(states)
                    if not self.running and (self.stop.requested or not {WAITING, RUNNING} & set(states.values())):
                        return Counter(states.values())
                time.sleep(_POLL_SECONDS if self.running else _IDLE_SECONDS)
        finally:
            for job in self.running:  # after an error, or a second Ctrl-C
                job.kill()
                job.claim.move(WAITING)

    def _start_jobs(self, states: dict[str, str]) -> None:
        while len(self.running) < self.slots:
            claim = self.sweep.queue.claim(lambda name: open_job(self.sweep, name).is_ready(states))
            if claim is None:
                return
            try:
                self._start(claim)
            except BaseException:
                claim.move(WAITING)
                raise

    def _start(self, claim: Claim) -> None:
        job = open_job(self.sweep, claim.job)
        with open(job.path / LOG_FILE, "ab") as log:
            try:
                arguments = job.arguments(self.device)
            except ValueError as error:  # would be the same at every attempt
                log.write(f"{error}\n".encode())
                self._give_up(claim, job)
                return
            with block_sigint():
                process = subprocess.Popen(
                    job_command(self.sweep.queue.timeout / 2, arguments),
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, "OMP_NUM_THREADS": str(self.threads), "PYTHONUNBUFFERED": "1"},
                )
        self.running.append(_RunningJob(job, claim, process))
        self.display.print(f"{claim.job}: started")

    def _check(self, running: "_RunningJob") -> None:
        job, claim, code = running.job, running.claim, running.process.poll()
        if not claim.beat():
            running.kill()
            self.running.remove(running)
            self.display.print(f"{claim.job}: taken over by another worker, because this one showed no sign of life")
        elif code is None:
            running.stopped_early = running.stopped_early or job.should_stop()
            if running.stopped_early or self.stop.requested:
                running.terminate()
        else:
            self.running.remove(running)
            running.close()
            if code == 0 or running.stopped_early:
                result = job.finish(running.stopped_early)
                claim.move(FINISHED)
                self.display.print(f"{claim.job}: {result}")
            elif code == EXIT_INTERRUPTED or self.stop.requested:
                claim.move(WAITING)
            else:
                self._fail(claim, job)

    def _fail(self, claim: Claim, job: Training) -> None:
        try:
            check_disk_space(self.sweep.path)  # otherwise all jobs would fail one after the other
        except OSError:
            claim.move(WAITING)
            raise
        number = len(list(job.path.glob("failure-*.log"))) + 1
        log = (job.path / LOG_FILE).rename(job.path / f"failure-{number}.log")
        self.display.print(f"{claim.job}: failed, see {log}")
        if number % MAX_FAILURES:
            claim.move(WAITING)
        else:
            self._give_up(claim, job)

    def _give_up(self, claim: Claim, job: Training) -> None:
        job.fail()
        claim.move(FAILED)
        self.display.print(f"{claim.job}: given up; its logs are in {job.path}")

    def _show(self, states: dict[str, str]) -> None:
        count = Counter(states.values())
        summary = f"{len(self.running)} running here, {count[RUNNING]} in all, {count[FAILED]} failed"
        self.display.update(TrainingStatus("jobs finished", count[FINISHED], len(states), summary))


def job_command(seconds: float, arguments: Sequence[str]) -> list[str]:
    """
    Return the command line of a job's process.

    :param seconds: time to save a checkpoint if the worker dies
    :param arguments: arguments of ``leo``
    """
    return [sys.executable, "-m", "leo_cli.sweeps.job_process", str(seconds), *arguments]


@dataclass(eq=False)
class _RunningJob:
    """A job and its process."""

    job: Training
    claim: Claim
    process: "subprocess.Popen[bytes]"
    stopped_early: bool = False
    _terminated: bool = False

    def terminate(self) -> None:
        """Ask the process to stop with a checkpoint. A second signal would stop it without one."""
        if not self._terminated:
            self._terminated = True
            self.process.terminate()

    def kill(self) -> None:
        """Stop the process immediately."""
        self.process.kill()
        self.process.wait()
        self.close()

    def close(self) -> None:
        """Close the pipe to the ended process."""
        if self.process.stdin is not None:
            self.process.stdin.close()
