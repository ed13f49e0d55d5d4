"""Train several seeds in parallel, each in its own process."""

import io
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
from leo_cli.errors import message_suffices
from leo_cli.interrupts import Interrupted, StopSignal, block_sigint
from leo_cli.progress import Display, TrainingStatus
from leo_cli.run_folder import RunFolder, SeedFolder
from leo_cli.training import train_seed

_POLL_SECONDS = 0.2


def train_in_processes(
    run: RunFolder, seeds: Sequence[SeedFolder], stop: StopSignal, display: Display, device: str, jobs: int
) -> None:
    """
    Train and evaluate seeds in parallel. If one fails, the others finish before an error that names it is raised.

    :param run: the run
    :param seeds: the seeds to train
    :param stop: request to stop; raises :class:`~leo_cli.interrupts.Interrupted` after a checkpoint of each running seed
    :param display: shows the progress
    :param device: PyTorch device
    :param jobs: maximum number of processes
    """
    waiting, running, failed = list(seeds), list[_Job](), list[SeedFolder]()
    try:
        while running or (waiting and not stop.requested):
            while waiting and len(running) < jobs and not stop.requested:
                running.append(_Job.start(run, waiting.pop(0), device, jobs))
            for job in running:
                if stop.requested:
                    job.stop()
            ready = wait([job.connection for job in running], _POLL_SECONDS)
            for job in [job for job in running if job.connection in ready]:
                if not job.receive(display):
                    running.remove(job)
                    failed += [job.seed] if job.failed else []
    finally:
        for job in running:  # only after a second Ctrl-C
            job.process.kill()
            job.process.join()
    if stop.requested:
        raise Interrupted
    if failed:
        names = ", ".join(f"seed {seed.seed} ({seed.path})" for seed in failed)
        raise ChildProcessError(
            f"expected {len(seeds)} trainings to finish, got {len(failed)} that failed: {names}; fix the cause printed above, "
            f"then train the rest: leo train --resume {run.path}"
        )


@dataclass(frozen=True)
class _Finished:
    """Message of a child: its progress bar is complete."""

    title: str


@dataclass(frozen=True)
class _Exit:
    """Last message of a child."""

    failed: bool


@dataclass(eq=False)
class _Job:
    """A child process, as seen by its parent."""

    seed: SeedFolder
    process: BaseProcess
    connection: Connection
    stopping: bool = False
    failed: bool = True  # until it reports otherwise

    @classmethod
    def start(cls, run: RunFolder, seed: SeedFolder, device: str, jobs: int) -> "_Job":
        # The threads of PyTorch and JAX do not survive a fork.
        context = get_context("spawn")
        parent_end, child_end = context.Pipe()
        process = context.Process(target=_train, args=(child_end, run.path, seed, device, jobs), name=f"seed-{seed.seed}")
        with block_sigint():
            process.start()
        child_end.close()
        return cls(seed, process, parent_end)

    def stop(self) -> None:
        if not self.stopping:
            self.stopping = True
            with suppress(OSError):  # the process has just exited
                self.connection.send("stop")

    def receive(self, display: Display) -> bool:
        """Show the next message of the child; return whether more may follow."""
        try:
            message = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            display.finish(self.seed.title)
            display.print(
                f"seed {self.seed.seed} failed: its process {_exit_reason(self.process.exitcode)} ({self.seed.path})"
            )
            return False
        match message:
            case TrainingStatus():
                display.update(message)
            case _Finished():
                display.finish(message.title)
            case _Exit():
                self.failed = message.failed
                self.process.join()
                return False
            case _:
                display.print(message)
        return True


class _Child:
    """The child's end of the connection: a display that sends to the parent, and the parent's request to stop."""

    def __init__(self, connection: Connection) -> None:
        self.connection, self._requested = connection, False
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._handle)

    @property
    def requested(self) -> bool:
        # Readable when the parent requests a stop, or has exited and closed the connection.
        self._requested = self._requested or self.connection.poll()
        return self._requested

    def _handle(self, *_: Any) -> None:
        self._requested = True

    def send(self, message: TrainingStatus | _Finished | _Exit | str) -> None:
        with suppress(OSError):
            self.connection.send(message)

    def update(self, status: TrainingStatus) -> None:
        self.send(status)

    def finish(self, title: str) -> None:
        self.send(_Finished(title))

    def print(self, line: str) -> None:
        self.send(line)


class _PrefixedOutput(io.TextIOBase):
    """Text stream that prints whole lines with a prefix, so that warnings do not break the parent's progress bars."""

    def __init__(self, display: Display, prefix: str) -> None:
        self.display, self.prefix, self._rest = display, prefix, ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self.display.print(f"{self.prefix}: {line}")
        return len(text)


def _train(connection: Connection, path: Path, seed: SeedFolder, device: str, jobs: int) -> None:
    """Train one seed in a child process."""
    child = _Child(connection)
    th.set_num_threads(max(min(th.get_num_threads(), available_cores() // jobs), 1))
    output = _PrefixedOutput(child, f"seed {seed.seed}")
    failed = False
    with redirect_stdout(output), redirect_stderr(output):
        try:
            run = RunFolder(path)
            train_seed(run, seed, run.config.find_environment(), child, child, device, jobs)
        except Interrupted:
            pass
        except Exception as error:  # reported with the seed, whatever it is
            failed = True
            text = str(error) if message_suffices(error) else "".join(traceback.format_exception(error))
            child.print(f"seed {seed.seed} failed, in {seed.path}: {text}")
    child.send(_Exit(failed))


def _exit_reason(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exited with code {code}"
    name = signal.Signals(-code).name
    return f"was killed by {name}" + (", which the system sends when memory runs out" if name == "SIGKILL" else "")
