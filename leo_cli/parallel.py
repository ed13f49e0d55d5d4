"""Several seeds at once, a process each."""

import io
import os
import signal
import traceback
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch as th

from leo_cli.environments import available_cores
from leo_cli.interrupts import Stop, Stopped, deaf_processes
from leo_cli.main import MISTAKES
from leo_cli.progress import Display, News
from leo_cli.run_folder import RunFolder, SeedFolder
from leo_cli.training import title_of, train_seed

_LOOK_SECONDS = 0.2


def train_in_processes(
    run: RunFolder, seeds: Sequence[SeedFolder], stop: Stop, display: Display, device: str, jobs: int
) -> None:
    """
    Trains and evaluates some seeds of a run. When one fails the others go on; then the error names it.

    :param run: the run
    :param seeds: which ones
    :param stop: asked for an early end, all of them stop as a single one does
    :param display: where to report
    :param device: where to compute
    :param jobs: how many at once
    """
    waiting, running, failed = list(seeds), list[_Job](), list[SeedFolder]()
    try:
        while running or (waiting and not stop.requested):
            while waiting and len(running) < jobs and not stop.requested:
                running.append(_Job.start(run, waiting.pop(0), device, jobs))
            for job in running:
                if stop.requested:
                    job.stop()
            ready = wait([job.connection for job in running], _LOOK_SECONDS)
            for job in [job for job in running if job.connection in ready]:
                if not job.listen(display):
                    running.remove(job)
                    failed += [job.seed] if job.failed else []
    finally:
        for job in running:  # only after a second Ctrl-C
            job.process.kill()
            job.process.join()
    if stop.requested:
        raise Stopped
    if failed:
        which = ", ".join(f"seed {seed.seed} ({seed.path})" for seed in failed)
        raise ChildProcessError(
            f"expected {len(seeds)} trainings to finish, got {len(failed)} that failed: {which}; see above, mend the cause, "
            f"and train what is left: leo train --resume {run.path}"
        )


@dataclass(eq=False)
class _Job:
    """One of the processes, as seen from the one that started it."""

    seed: SeedFolder
    title: str
    process: BaseProcess
    connection: Connection
    told_to_stop: bool = False
    failed: bool = True  # until it says otherwise

    @classmethod
    def start(cls, run: RunFolder, seed: SeedFolder, device: str, jobs: int) -> "_Job":
        # Spawned: what threads PyTorch or JAX have running does not survive a fork.
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, run.path, seed, device, jobs), name=f"seed-{seed.seed}")
        with deaf_processes():
            process.start()
        theirs.close()
        return cls(seed, title_of(run, seed), process, ours)

    def stop(self) -> None:
        if not self.told_to_stop:
            self.told_to_stop = True
            with suppress(OSError):  # it has just ended
                self.connection.send("stop")

    def listen(self, display: Display) -> bool:
        """Passes on what it said; whether there is more to come."""
        try:
            name, *said = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            display.end(self.title)
            display.say(f"seed {self.seed.seed} failed: its process {_how_it_ended(self.process.exitcode)} ({self.seed.path})")
            return False
        if name == "over":
            self.failed = said[0]
            self.process.join()
            return False
        getattr(display, name)(*said)
        return True


class _Reporting:
    """A display at the other end of a connection, and the request to stop that comes from there."""

    def __init__(self, connection: Connection) -> None:
        self.connection, self._requested = connection, False
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._note)

    @property
    def requested(self) -> bool:
        # What comes is the request, or the end of the connection, when there is nobody left to work for.
        self._requested = self._requested or self.connection.poll()
        return self._requested

    def _note(self, *_: Any) -> None:
        self._requested = True

    def tell(self, *message: Any) -> None:
        with suppress(OSError):
            self.connection.send(message)

    def show(self, news: News) -> None:
        self.tell("show", news)

    def end(self, title: str) -> None:
        self.tell("end", title)

    def say(self, line: str) -> None:
        self.tell("say", line)


class _Lines(io.TextIOBase):
    """What is printed, such as warnings, as lines that do not run into the bars of the others."""

    def __init__(self, display: Display, whose: str) -> None:
        self.display, self.whose, self._rest = display, whose, ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self.display.say(f"{self.whose}: {line}")
        return len(text)


def _work(connection: Connection, path: Path, seed: SeedFolder, device: str, at_once: int) -> None:
    """What each process does."""
    boss = _Reporting(connection)
    th.set_num_threads(max(min(th.get_num_threads(), available_cores() // at_once), 1))
    printed = _Lines(boss, f"seed {seed.seed}")
    failed = False
    with redirect_stdout(printed), redirect_stderr(printed):
        try:
            run = RunFolder(path)
            train_seed(run, seed, run.config.make_environment(), boss, boss, device, at_once)
        except Stopped:
            pass
        except Exception as error:  # whatever it is, it must be told which seed it came from
            failed = True
            known = isinstance(error, MISTAKES) and not os.environ.get("LEO_TRACEBACK")
            what = str(error) if known else "".join(traceback.format_exception(error))
            boss.say(f"seed {seed.seed} failed, in {seed.path}: {what}")
    boss.tell("over", failed)


def _how_it_ended(code: int | None) -> str:
    if code is None or code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    return f"was killed by {name}" + (", which the system does when memory runs out" if name == "SIGKILL" else "")
