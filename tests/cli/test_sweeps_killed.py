"""Sweeps whose workers, nodes and drivers are killed: every job finishes once, with the results of one process."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import pytest

from leo_cli.sweeps.folder import SweepFolder, create_sweep
from leo_cli.sweeps.job_queue import FINISHED, RUNNING
from tests.cli.sweeps import SETTINGS, write
from tests.cli.test_train import ROOT

NUM_JOBS = 12
pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def sweep(tmp_path) -> SweepFolder:
    spec = write(tmp_path / "spec.yml", seeds=6, settings={**SETTINGS, "steps": 800}, heartbeat_timeout=5)
    assert create_sweep(tmp_path / "sweep", spec) == (NUM_JOBS, NUM_JOBS)
    shutil.copytree(tmp_path / "sweep", tmp_path / "reference")
    return SweepFolder(tmp_path / "sweep")


def start(sweep: SweepFolder, *options: str) -> "subprocess.Popen[bytes]":
    """Start ``leo work``."""
    log = open(sweep.path.parent / "work.log", "ab")
    return subprocess.Popen(
        [sys.executable, "-m", "leo_cli", "work", str(sweep.path), *options], cwd=ROOT, stdout=log, stderr=log
    )


def running(sweep: SweepFolder) -> dict[str, int]:
    """Return the process id of the worker of each running job."""
    entries = [path.name.split("@") for path in (sweep.queue.folder / RUNNING).iterdir()]
    return {job: int(worker.split("-")[-2]) for job, worker in entries}


def wait_until(condition: Callable[[], object], seconds: float = 300.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def kill(sweep: SweepFolder, action: Callable[[], object]) -> set[str]:
    """Kill something while at least one training has begun; return the jobs that may have been interrupted."""
    wait_until(lambda: any((sweep.job_path(job) / "commands.txt").exists() for job in running(sweep)))
    before = set(running(sweep))
    action()
    return before | set(running(sweep))


def kill_worker(sweep: SweepFolder) -> None:
    """Kill a worker; the entries of those that are dead already remain until their jobs are taken over."""
    for pid in running(sweep).values():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            return


def finished(sweep: SweepFolder) -> int:
    return Counter(sweep.queue.states().values())[FINISHED]


def check_results(sweep: SweepFolder, leo, interrupted: set[str]) -> None:
    states = sweep.queue.states()
    assert list(states.values()) == [FINISHED] * NUM_JOBS
    for job in states:
        folder, reference = sweep.job_path(job), sweep.path.parent / "reference" / "jobs" / job
        code, _, error = leo("train", "--resume", reference)
        assert code == 0, error
        seed = int(job[4:7])
        for file in ("evaluations.csv", "goals.csv"):
            one, other = (path / f"seed-{seed}" / file for path in (folder, reference))
            assert one.read_text() == other.read_text(), job
        starts = len((folder / "commands.txt").read_text().splitlines())
        assert starts == 1 or job in interrupted, f"{job} ran {starts} times"


@pytest.mark.expensive
def test_local_workers(sweep, leo):
    worker, driver = start(sweep), start(sweep, "--workers", "2")
    wait_until(lambda: worker.pid in running(sweep).values())
    interrupted = kill(sweep, worker.kill)
    wait_until(lambda: finished(sweep) >= 3 and driver.pid in running(sweep).values())
    interrupted |= kill(sweep, driver.kill)
    assert {worker.wait(), driver.wait()} == {-signal.SIGKILL}
    assert 3 <= finished(sweep) < NUM_JOBS
    assert start(sweep, "--workers", "2").wait() == 0
    check_results(sweep, leo, interrupted)


@pytest.mark.expensive
def test_workers_that_submitit_started(sweep, leo):
    pytest.importorskip("submitit")
    options = ["--on", "slurm", "local", "--workers", "2", "--slurm", "timeout_min=20"]
    assert start(sweep, *options).wait() == 0
    interrupted = kill(sweep, lambda: kill_worker(sweep))
    wait_until(lambda: finished(sweep) >= 3)
    interrupted |= kill(sweep, lambda: kill_worker(sweep))
    assert finished(sweep) < NUM_JOBS
    assert start(sweep, *options).wait() == 0
    wait_until(lambda: finished(sweep) == NUM_JOBS)
    check_results(sweep, leo, interrupted)


@pytest.mark.expensive
def test_workers_on_a_ray_cluster_of_two_nodes(sweep, leo, monkeypatch):
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        node = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        options = ["--on", "ray", cluster.address]
        driver = start(sweep, *options)
        interrupted = kill(sweep, lambda: kill_worker(sweep))
        wait_until(lambda: finished(sweep) >= 2 and len(running(sweep)) == 2)
        interrupted |= kill(sweep, lambda: cluster.remove_node(node, allow_graceful=False))
        wait_until(lambda: finished(sweep) >= 4)
        interrupted |= kill(sweep, driver.kill)
        driver.wait()
        assert finished(sweep) < NUM_JOBS
        assert start(sweep, *options).wait() == 0
        check_results(sweep, leo, interrupted)
    finally:
        cluster.shutdown()
