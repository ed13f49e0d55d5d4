"""Start the workers of a sweep as tasks of a Ray cluster, whose nodes share the sweep's folder."""

import platform
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from leo_agents.distributed.ray_cluster import check_resources, connect_to_ray
from leo_cli.interrupts import InterruptHandler, StopSignal
from leo_cli.progress import Display, TrainingStatus
from leo_cli.sweeps.folder import SweepFolder
from leo_cli.sweeps.job_queue import FAILED, FINISHED, RUNNING, WAITING
from leo_cli.sweeps.work import STOPPING, WorkOptions, open_for_work, progress_board, work

_POLL_SECONDS = 1.0
_STOP_SECONDS = 60.0


def work_on_ray(
    options: WorkOptions, *, address: str | None = None, workers: int | None = None, cpus: float = 1.0, gpus: float = 0.0
) -> Counter[str]:
    """
    Run jobs on a Ray cluster until all have finished or failed, or until Ctrl-C. A worker whose node dies is started again.

    :param options: options of each worker
    :param address: address of the cluster; by default that in ``RAY_ADDRESS``, or else a cluster on this machine is started
    :param workers: number of workers, each of which runs one job at a time; as many as fit by default
    :param cpus: processor cores for each worker, also a fraction
    :param gpus: GPUs for each worker, also a fraction
    :return: number of jobs in each state
    """
    options = replace(options, folder=options.folder.resolve())
    sweep = open_for_work(options)
    with connected(address) as ray:
        count = check_resources(ray.cluster_resources(), workers, {"CPU": cpus, "GPU": gpus})
        # Without limit, because nodes may be taken away at any time.
        start = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=-1)(_work_on_node)
        with InterruptHandler(STOPPING) as stop, progress_board() as board:
            tasks = [start.remote(options) for _ in range(count)]
            try:
                return _follow(ray, sweep, tasks, stop, board)
            finally:
                for task in tasks:
                    ray.cancel(task)  # like Ctrl-C: jobs save a checkpoint
                ray.wait(tasks, num_returns=len(tasks), timeout=_STOP_SECONDS)


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """
    Connect to a Ray cluster, or start one on this machine.

    :param address: see :func:`work_on_ray`
    :return: context manager that yields the module ``ray``
    """
    ray = connect_to_ray(address)
    try:
        yield ray
    finally:
        ray.shutdown()


def _work_on_node(options: WorkOptions) -> None:
    if not options.folder.is_dir():
        raise FileNotFoundError(
            f"expected {options.folder} on every node, got none on {platform.node()}; put it on a file system that all share"
        )
    work(options)


def _follow(ray: Any, sweep: SweepFolder, tasks: list[Any], stop: StopSignal, display: Display) -> Counter[str]:
    """Show the progress until no job is left; raise the error of a worker."""
    known: dict[str, str] = sweep.queue.states()
    running = list(tasks)
    while True:
        ended, running = ray.wait(running, num_returns=len(running), timeout=_POLL_SECONDS)
        for task in ended:
            _raise_error(ray, task)
        states = sweep.queue.states()
        for job, state in states.items():
            if state in (FINISHED, FAILED) and state != known.get(job):
                display.print(f"{job}: {state}")
        known, count = states, Counter(states.values())
        display.update(TrainingStatus("jobs finished", count[FINISHED], len(states), f"{count[RUNNING]} running"))
        if stop.requested or not running or not count[WAITING] + count[RUNNING]:
            return count


def _raise_error(ray: Any, task: Any) -> None:
    try:
        ray.get(task)
    except ray.exceptions.RayTaskError as error:
        raise error.as_instanceof_cause() from error
