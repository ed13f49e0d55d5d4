"""Starting workers on Ray and Slurm, and the processes of jobs."""

import signal
import socket
import subprocess
import sys
import types
from contextlib import contextmanager
from typing import ClassVar

import pytest

from leo_agents.distributed.ray_cluster import check_resources
from leo_agents.learning.checkpoint_files import latest_checkpoint
from leo_cli.sweeps.folder import create_sweep
from leo_cli.sweeps.slurm_workers import work_until_timeout
from leo_cli.sweeps.worker import job_command
from tests.cli.sweeps import SETTINGS, write
from tests.cli.test_train import ROOT


@pytest.fixture
def folder(tmp_path):
    create_sweep(tmp_path / "sweep", write(tmp_path / "spec.yml"))
    return tmp_path / "sweep"


class Executor:
    """Stub of submitit.AutoExecutor."""

    made: ClassVar["list[Executor]"] = []

    def __init__(self, folder, cluster: str) -> None:
        self.folder, self.cluster, self.submitted = folder, cluster, []
        self.made.append(self)

    def update_parameters(self, **parameters: object) -> None:
        self.parameters = parameters
        if "slurm_partitoin" in parameters:
            raise NameError("Unknown argument 'partitoin'")

    @contextmanager
    def batch(self):
        yield

    def submit(self, function, *arguments: object):
        self.submitted.append((function, arguments))
        return types.SimpleNamespace(job_id=f"7_{len(self.submitted) - 1}")


@pytest.fixture
def submitit(monkeypatch):
    monkeypatch.setattr(Executor, "made", [])
    monkeypatch.setitem(sys.modules, "submitit", types.SimpleNamespace(AutoExecutor=Executor))
    return Executor


def test_workers_are_submitted_to_slurm_as_an_array(folder, submitit, leo):
    limits = ["timeout_min=600", "slurm_partition=long"]
    code, out, error = leo("work", folder, "--on", "slurm", "--workers", "3", "--cpus", "4", "--gpus", "1", "--slurm", *limits)
    assert code == 0 and "Submitted 3 workers: 7_0, 7_1, 7_2" in out, error
    (executor,) = submitit.made
    expected = {"cpus_per_task": 4, "gpus_per_node": 1, "timeout_min": 600, "slurm_partition": "long", "name": "leo"}
    assert executor.parameters == expected and executor.cluster == "slurm"
    assert executor.folder.parent == folder / "slurm" and len(executor.submitted) == 3
    function, (options,) = executor.submitted[0]
    assert function is work_until_timeout and (options.folder, options.slots, options.threads) == (folder, 1, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--on", "slurm"], "expected the time limit of the workers"),
        (["--on", "slurm", "--cpus", "0.5", "--slurm", "timeout_min=5"], "expected whole --cpus"),
        (["--on", "slurm", "--slurm", "timeout_min=5", "slurm_partitoin=x"], "Unknown argument 'partitoin'"),
        (["--on", "slurm", "--slurm", "timeout_min"], "key=value after --slurm"),
        (["--on", "rya"], "nearest: ray"),
        (["--on", "ray", "one", "other"], "one address after --on ray"),
        (["--workers", "0"], "at least 1 as --workers"),
        (["--threads", "0"], "at least 1 as --threads"),
        (["--device", "gpu"], "as --device"),
    ],
)
def test_bad_input(arguments, message, folder, submitit, leo):
    code, _, error = leo("work", folder, *arguments)
    assert code == 2 and message in error and "Traceback" not in error
    assert not submitit.made or not submitit.made[0].submitted


@pytest.mark.parametrize(("package", "extra"), [("ray", "ray"), ("submitit", "slurm")])
def test_a_missing_package_is_named(package, extra, folder, monkeypatch, leo):
    monkeypatch.setitem(sys.modules, package, None)
    code, _, error = leo("work", folder, "--on", extra, "--slurm", "timeout_min=5")
    assert code == 2 and f'pip install "leo-rl[{extra}]"' in error


def test_an_unreachable_ray_cluster(folder, monkeypatch, leo):
    monkeypatch.setitem(sys.modules, "ray", types.SimpleNamespace(init=lambda **_: pytest.fail("would try for minutes")))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        code, _, error = leo("work", folder, "--on", "ray", address)
    assert code == 2 and f"expected a Ray cluster at {address}" in error and "RAY_AUTH_MODE" in error


def test_as_many_workers_as_fit_into_a_cluster():
    assert check_resources({"CPU": 5.0}, None, {"CPU": 2.0, "GPU": 0.0}) == 2
    assert check_resources({"CPU": 5.0, "GPU": 1.0}, None, {"CPU": 1.0, "GPU": 0.25}) == 4
    assert check_resources({"CPU": 0.3}, 3, {"CPU": 0.1, "GPU": 0.0}) == 3  # although 3 * 0.1 > 0.3


@pytest.mark.parametrize(
    ("available", "workers", "needed", "message"),
    [
        ({"CPU": 2.0}, 5, {"CPU": 1.0, "GPU": 0.0}, r"5 CPU for 5 workers, got 2; lower --workers \(at most 2 fit\)"),
        ({"CPU": 2.0}, None, {"CPU": 1.0, "GPU": 1.0}, "1 GPU for 1 workers, got 0"),
        ({"CPU": 2.0, "GPU": 1.0}, 4, {"CPU": 1.0, "GPU": 0.5}, "4 CPU for 4 workers, got 2; 2 GPU for 4 workers, got 1"),
        ({"CPU": 2.0}, 1, {"CPU": 0.0, "GPU": 0.0}, "one of them above 0"),
        ({"CPU": 2.0}, 1, {"CPU": -1.0, "GPU": 0.0}, "at least 0"),
    ],
)
def test_a_cluster_that_is_too_small(available, workers, needed, message):
    with pytest.raises(ValueError, match=message):
        check_resources(available, workers, needed)


def test_a_job_stops_with_a_checkpoint_when_its_worker_dies(tmp_path):
    spec = write(tmp_path / "spec.yml", algorithms=["leodqn"], seeds=1, settings={**SETTINGS, "steps": 1_000_000})
    create_sweep(tmp_path / "sweep", spec)
    (job,) = (tmp_path / "sweep" / "jobs").iterdir()
    command = job_command(60.0, ["train", "--resume", str(job)])
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None and process.stdin is not None
        process.stdout.readline()
        process.send_signal(signal.SIGUSR2)  # meant for the worker
        process.stdin.close()  # as if the worker had died
        out = process.stdout.read().decode()
        assert process.wait() == 130 and "Stopped with a checkpoint" in out
    assert latest_checkpoint(job / "seed-0" / "checkpoints").name < "step-000001000000"
    assert (job / "commands.txt").read_text() == f"leo train --resume {job}\n"
