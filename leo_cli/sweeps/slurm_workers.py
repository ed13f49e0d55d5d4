"""Submit the workers of a sweep to Slurm as an array of jobs, by submitit."""

import signal
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from leo_cli.sweeps.work import WorkOptions, open_for_work, work

SLURM_FOLDER = "slurm"


def submit_to_slurm(
    options: WorkOptions, *, cluster: str = "slurm", workers: int, cpus: int = 1, gpus: int = 0, parameters: Mapping[str, Any]
) -> list[str]:
    """
    Submit workers, which then run on their own until no job is left or their time is over.

    :param options: options of each worker
    :param cluster: ``"slurm"``, or ``"local"`` for processes on this machine, to try it out
    :param workers: number of workers, each of which runs one job at a time
    :param cpus: processor cores for each worker
    :param gpus: GPUs for each worker
    :param parameters: parameters of ``submitit.AutoExecutor``, such as ``timeout_min``
    :return: ids of the submitted Slurm jobs
    """
    try:
        import submitit
    except ImportError as error:
        raise ImportError('--on slurm needs submitit; install it with: pip install "leo-rl[slurm]"') from error
    if "timeout_min" not in parameters:
        raise ValueError("expected the time limit of the workers, got none; add e.g. --slurm timeout_min=600")
    options = replace(options, folder=options.folder.resolve(), threads=options.threads or cpus)
    open_for_work(options)
    try:
        executor = submitit.AutoExecutor(options.folder / SLURM_FOLDER / "%j", cluster=cluster)
        # Of the generic parameters, those that both clusters know.
        executor.update_parameters(name="leo", cpus_per_task=cpus, gpus_per_node=gpus, **parameters)
    except (RuntimeError, NameError, AssertionError) as error:  # no Slurm on this machine; unknown or mistyped parameters
        raise ValueError(f"expected Slurm and valid parameters of submitit, got: {error}; change --on or --slurm") from error
    with executor.batch():
        jobs = [executor.submit(work_until_timeout, options) for _ in range(workers)]
    return [job.job_id for job in jobs]


def work_until_timeout(options: WorkOptions) -> None:
    """
    Work, and save checkpoints shortly before the time limit.

    :param options: the worker's options
    """
    from submitit.core.job_environment import JobEnvironment

    # Sent by Slurm before the limit. The worker handles SIGTERM.
    signal.signal(JobEnvironment._usr_sig(), lambda *_: signal.raise_signal(signal.SIGTERM))
    work(options)
