"""
A queue of jobs in a folder that several workers share, on one machine or many, without a server::

    queue/waiting/JOB            not started, or given back
    queue/running/JOB@WORKER     claimed; its modification time is the worker's last heartbeat
    queue/finished/JOB
    queue/failed/JOB

The entries are empty files. A job changes its state by renaming its entry, so that of several workers exactly one succeeds.
"""

import os
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

WAITING, RUNNING, FINISHED, FAILED = "waiting", "running", "finished", "failed"
STATES = (WAITING, RUNNING, FINISHED, FAILED)


class JobQueue:
    """
    Queue of jobs, as seen by one worker.

    :param folder: folder of the entries, created if necessary
    :param timeout: seconds without a heartbeat after which another worker takes over a job
    """

    def __init__(self, folder: Path, timeout: float) -> None:
        self.folder, self.timeout = folder, timeout
        self.worker = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}".replace("@", "-")
        for state in STATES:
            (folder / state).mkdir(parents=True, exist_ok=True)

    def states(self) -> dict[str, str]:
        """Return the state of every job by its name, sorted."""
        found: dict[str, str] = {}
        # Twice, because an entry that is renamed while the folders are read may be missed in both of them.
        for state in (*STATES, *STATES):
            found |= {entry.partition("@")[0]: state for entry in self._entries(state)}
        return dict(sorted(found.items()))

    def add(self, job: str) -> None:
        """
        Add a waiting job.

        :param job: name of a job that is not in the queue
        """
        (self.folder / WAITING / job).touch(exist_ok=False)

    def retry_failed(self) -> None:
        """Return the failed jobs to the waiting ones."""
        for job in self._entries(FAILED):
            _rename(self.folder / FAILED / job, self.folder / WAITING / job)

    def claim(self, is_ready: Callable[[str], bool]) -> "Claim | None":
        """
        Claim the next waiting job, or else one whose worker died.

        :param is_ready: whether a job may be started
        :return: the claim; None if there is no such job
        """
        for job in self._entries(WAITING):
            if is_ready(job) and (claim := self._take(self.folder / WAITING / job, job)):
                return claim
        for entry in self._stale_entries():
            if claim := self._take(self.folder / RUNNING / entry, entry.partition("@")[0]):
                return claim
        return None

    def _take(self, entry: Path, job: str) -> "Claim | None":
        target = self.folder / RUNNING / f"{job}@{self.worker}"
        try:
            os.utime(entry)  # renaming keeps the time, and an old one would look like the entry of a dead worker
        except FileNotFoundError:
            return None
        return Claim(job, target) if _rename(entry, target) else None

    def _stale_entries(self) -> list[str]:
        # The time is that of the file system, as the heartbeats are: the clocks of the machines may differ.
        clock = self.folder / f"clock-{self.worker}"
        clock.touch()
        now = _modified(clock) or 0.0
        clock.unlink()
        others = [entry for entry in self._entries(RUNNING) if not entry.endswith(f"@{self.worker}")]
        times = {entry: _modified(self.folder / RUNNING / entry) for entry in others}
        return [entry for entry, time in times.items() if time is not None and now - time > self.timeout]

    def _entries(self, state: str) -> list[str]:
        return sorted(os.listdir(self.folder / state))


@dataclass(frozen=True)
class Claim:
    """
    A worker's right to run a job, until the job is finished, fails, or another worker takes it over.

    :param job: name of the job
    :param entry: the job's entry in the queue
    """

    job: str
    entry: Path

    def beat(self) -> bool:
        """Show that the worker is alive; return whether the claim still holds."""
        try:
            os.utime(self.entry)
        except FileNotFoundError:
            return False
        return True

    def move(self, state: str) -> bool:
        """
        End the claim.

        :param state: new state of the job
        :return: False if another worker had taken the job over
        """
        return _rename(self.entry, self.entry.parents[1] / state / self.job)


def _rename(source: Path, target: Path) -> bool:
    try:
        source.rename(target)
    except FileNotFoundError:
        return False
    return True


def _modified(path: Path) -> float | None:
    """Return the modification time; a network file system looks it up again only if the file is opened."""
    try:
        with open(path, "rb") as file:
            return os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return None
