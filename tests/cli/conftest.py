import hashlib
import sys
from pathlib import Path
from unittest import mock

import pytest

from leo_cli.main import main
from leo_cli.sweeps import worker as worker_module

# A maze of 17 cells and a tiny network, so that a training takes a second or two.
MAZE = ["GridWorld", "--env-set", "map=maze", "size=5", "time_limit=30"]
QUICK = ["--num-envs", "4", "--evaluations", "5"]
SMALL = ["--set", "learning_starts=50", "batch_size=32", "policy_kwargs.net_arch=[16]", "train_freq=1"]


def train(folder: Path, algorithm: str = "leodqn", *more: str, steps: int = 400) -> int:
    arguments = ["train", algorithm, *MAZE, *QUICK, *SMALL, "--steps", str(steps), "--folder", str(folder), *more]
    with mock.patch.object(sys, "argv", ["leo", *arguments]):  # recorded in commands.txt
        return main()


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Path:
    """A run of two seeds; tests that modify it copy it first."""
    folder = tmp_path_factory.mktemp("runs") / "leodqn-maze"
    assert train(folder, "leodqn", "--seeds", "2") == 0
    return folder


@pytest.fixture(scope="session")
def baseline(tmp_path_factory) -> Path:
    """A run of DQN with hindsight, one seed."""
    folder = tmp_path_factory.mktemp("runs") / "her-maze"
    assert train(folder, "dqn+her") == 0
    return folder


@pytest.fixture
def leo(capsys):
    """Run the command; return its exit code, stdout and stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as exit:  # tyro's own errors, and --help
            code = int(exit.code or 0)
        output = capsys.readouterr()
        return code, output.out, output.err

    return call


def fingerprint(folder: Path) -> dict[str, str]:
    """Hash of every file in a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def script(monkeypatch, tmp_path, run):
    """Let each job run a script, to which a finished run is at hand."""

    def use(code: str) -> None:
        path = tmp_path / "script.py"
        path.write_text(f"import os, shutil, sys, time\nrun = {str(run)!r}\narguments = sys.argv[1:]\n{code}")
        monkeypatch.setattr(
            worker_module, "job_command", lambda seconds, arguments: [sys.executable, "-S", str(path), *arguments]
        )

    return use
