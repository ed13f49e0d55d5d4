"""The queue of jobs that workers share."""

import os
from collections import Counter
from itertools import chain
from multiprocessing import get_context

import pytest

from leo_cli.sweeps.job_queue import FAILED, FINISHED, RUNNING, WAITING, JobQueue


def always(_: str) -> bool:
    return True


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "queue"


def filled(folder, number: int, timeout: float = 60.0) -> JobQueue:
    queue = JobQueue(folder, timeout)
    for job in range(number):
        queue.add(f"job-{job:03d}")
    return queue


def make_stale(folder) -> None:
    """Date the heartbeats of all running jobs an hour back."""
    for entry in (folder / RUNNING).iterdir():
        now = entry.stat().st_mtime
        os.utime(entry, (now - 3_600, now - 3_600))


def claim_all(folder) -> list[str]:
    queue, claimed = JobQueue(folder, 60.0), []
    while claim := queue.claim(always):
        claimed.append(claim.job)
        if len(claimed) % 2:
            assert claim.move(FINISHED)
    return claimed


def test_states_of_a_job(folder):
    queue = filled(folder, 3)
    assert queue.states() == {f"job-{job:03d}": WAITING for job in range(3)}
    first, second, third = (queue.claim(always) for _ in range(3))
    assert [one.job for one in (first, second, third)] == ["job-000", "job-001", "job-002"]
    assert set(queue.states().values()) == {RUNNING} and queue.claim(always) is None
    assert first.move(FINISHED) and second.move(FAILED) and third.move(WAITING)
    assert list(queue.states().values()) == [FINISHED, FAILED, WAITING]
    queue.retry_failed()
    assert list(queue.states().values()) == [FINISHED, WAITING, WAITING]
    last = JobQueue(folder, 60.0).claim(lambda job: job == "job-002")
    assert last is not None and last.job == "job-002"


def test_a_job_is_added_once(folder):
    queue = filled(folder, 1)
    with pytest.raises(FileExistsError):
        queue.add("job-000")


def test_of_several_workers_one_gets_each_job(folder):
    filled(folder, 60)
    with get_context("fork").Pool(4) as pool:
        claimed = pool.map(claim_all, [folder] * 4)
    assert Counter(chain.from_iterable(claimed)) == {f"job-{job:03d}": 1 for job in range(60)}


def test_the_job_of_a_dead_worker_is_taken_over_once(folder):
    dead = filled(folder, 1).claim(always)
    other, third = JobQueue(folder, 60.0), JobQueue(folder, 60.0)
    assert other.claim(always) is None, "its heartbeat is recent"
    make_stale(folder)
    taken = other.claim(always)
    assert taken is not None and taken.job == dead.job
    assert third.claim(always) is None
    # The worker was only slow: it notices, and cannot change the state any more.
    assert not dead.beat() and not dead.move(FINISHED)
    assert taken.beat() and other.states() == {"job-000": RUNNING}
    assert taken.move(FINISHED) and other.states() == {"job-000": FINISHED}


def test_a_heartbeat_prevents_taking_over(folder):
    claim = filled(folder, 1).claim(always)
    make_stale(folder)
    assert claim.beat()
    assert JobQueue(folder, 60.0).claim(always) is None


def test_a_waiting_job_may_be_old(folder):
    """The time of its entry is not taken for a heartbeat of the worker that claims it."""
    queue = filled(folder, 1)
    os.utime(folder / WAITING / "job-000", (0, 0))
    assert queue.claim(always) is not None
    assert JobQueue(folder, 60.0).claim(always) is None


def test_a_worker_does_not_take_over_its_own_jobs(folder):
    queue = filled(folder, 1)
    assert queue.claim(always) is not None
    make_stale(folder)
    assert queue.claim(always) is None


def test_a_job_that_is_given_back_while_the_folders_are_read_is_listed(folder, monkeypatch):
    queue = filled(folder, 1)
    claim, listdir = queue.claim(always), os.listdir

    def give_back_after_reading(path) -> list[str]:
        entries = listdir(path)
        if path.name == WAITING:
            claim.move(WAITING)
        return entries

    monkeypatch.setattr(os, "listdir", give_back_after_reading)
    assert queue.states() == {"job-000": WAITING}
