"""
The folder of a sweep or a search::

    runs/my-sweep/
      sweep.yml         what the jobs were made from
      queue/            state of each job, see job_queue.py
      jobs/JOB/         run folder of a training, or results of an evaluation; job.log, failure-N.log per failed attempt
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

import leo_wrappers
from leo_agents.learning.ownership import is_signed, sign
from leo_cli.disk_space import check_disk_space
from leo_cli.outputs import make_output_folder
from leo_cli.overrides import read_yaml
from leo_cli.run_config import RunConfig, write_config, write_yaml
from leo_cli.sweeps.job_queue import JobQueue
from leo_cli.sweeps.spec import SweepSpec, job_name, short_hash

SWEEP_FILE, EVALUATION_FILE = "sweep.yml", "eval.yml"
SWEEP, SEARCH = "sweep", "search"
_FORMAT = 1


class SweepFolder:
    """
    Folder of an existing sweep or search.

    :param path: the folder
    :param trust: whether code that came with the folder may be executed, see :class:`~leo_cli.run_folder.RunFolder`
    """

    def __init__(self, path: Path, trust: bool = False) -> None:
        self.path, self.trust = path, trust
        file = path / SWEEP_FILE
        if not file.is_file():
            raise FileNotFoundError(f"expected the folder of a sweep with a {SWEEP_FILE}, got {path}; `leo sweep` creates one")
        content = read_yaml(file)
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise ValueError(f"expected a sweep of format {_FORMAT} in {file}, got another; install the version that wrote it")
        self.kind: str = content["kind"]
        self.spec: dict[str, Any] = content["spec"]
        self.trusted = trust or is_signed(_spec_bytes(self.spec), content.get("mark"))
        self.queue = JobQueue(path / "queue", float(content["heartbeat_timeout"]))

    def job_path(self, job: str) -> Path:
        """Return the folder of a job."""
        return self.path / "jobs" / job

    def is_evaluation(self, job: str) -> bool:
        """Return whether a job is an evaluation."""
        return (self.job_path(job) / EVALUATION_FILE).exists()


def is_sweep(path: Path) -> bool:
    """
    Return whether a folder is that of a sweep or a search.

    :param path: the folder
    """
    return (path / SWEEP_FILE).is_file()


def create_sweep(path: Path, spec_file: Path) -> tuple[int, int]:
    """
    Fill a new folder with the jobs of a sweep, or add those that are missing in an existing one.

    :param path: the folder
    :param spec_file: YAML file of the sweep
    :return: number of jobs added, and number of all jobs
    """
    spec = SweepSpec.read(spec_file)
    jobs: dict[str, RunConfig | dict[str, Any]] = {job_name(config): config for config in spec.configs()}
    if spec.evaluate is not None:
        for training in list(jobs):
            jobs[f"eval-{training}-{short_hash(spec.evaluate)}"] = {"run": training, **spec.evaluate}
    content = read_yaml(spec_file)
    sweep = open_or_create(path, SWEEP, content, spec.heartbeat_timeout)
    states = sweep.queue.states()
    missing = [job for job in states if job not in jobs]
    if missing:
        raise ValueError(
            f"expected a file with all {len(states)} jobs of {path}, got one without {len(missing)} of them, such as "
            f"{missing[0]}: it belongs to another sweep, or values were changed; to extend a sweep, only add values, "
            "or choose another folder"
        )
    added = [job for job in jobs if job not in states]
    for job in added:
        write_job(sweep, job, jobs[job])
    write_yaml(path / SWEEP_FILE, sweep_content(SWEEP, content, spec.heartbeat_timeout))
    return len(added), len(jobs)


def open_or_create(path: Path, kind: str, spec: dict[str, Any], heartbeat_timeout: float) -> SweepFolder:
    """
    Open a sweep, or create it in a folder that does not exist or is empty.

    :param path: the folder
    :param kind: :data:`SWEEP` or :data:`SEARCH`
    :param spec: content of the file that describes it
    :param heartbeat_timeout: seconds without a heartbeat after which another worker takes over a job
    :return: the sweep
    """
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"expected a folder or nothing at {path}, got a file; choose another folder")
    if not is_sweep(path):
        if path.is_dir() and any(path.iterdir()):
            raise FileExistsError(f"expected an empty folder or a {kind} at {path}, got other files; choose another folder")
        make_output_folder(path, "folder")
        check_disk_space(path)
        # Fails if another process has created it in the meantime.
        with open(path / SWEEP_FILE, "x", encoding="utf-8") as file:
            file.write(yaml.safe_dump(sweep_content(kind, spec, heartbeat_timeout), sort_keys=False))
    sweep = SweepFolder(path)
    if sweep.kind != kind:
        raise ValueError(f"expected the folder of a {kind}, got {path}, that of a {sweep.kind}; choose another folder")
    return sweep


def write_job(sweep: SweepFolder, job: str, content: RunConfig | Mapping[str, Any] | None) -> None:
    """
    Add a job to a sweep.

    :param sweep: the sweep
    :param job: name of the job
    :param content: configuration of a training; options of an evaluation; None if the job's worker decides it
    """
    folder = sweep.job_path(job)
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(content, RunConfig):
        write_config(folder, content)
    elif content is not None:
        write_yaml(folder / EVALUATION_FILE, dict(content))
    sweep.queue.add(job)


def sweep_content(kind: str, spec: dict[str, Any], heartbeat_timeout: float) -> dict[str, Any]:
    """
    Return the content of the file that makes a folder a sweep.

    :param kind: :data:`SWEEP` or :data:`SEARCH`
    :param spec: content of the file that describes it
    :param heartbeat_timeout: seconds without a heartbeat after which another worker takes over a job
    """
    return {
        "format": _FORMAT,
        "leo-rl": leo_wrappers.__version__,
        "kind": kind,
        "heartbeat_timeout": heartbeat_timeout,
        "spec": spec,
        "mark": sign(_spec_bytes(spec)),
    }


def _spec_bytes(spec: dict[str, Any]) -> bytes:
    return json.dumps(spec, sort_keys=True, default=str).encode()
