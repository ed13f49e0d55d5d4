"""Experiment trackers, as stubs that record what they receive, and as the packages themselves where they are installed."""

import importlib
import sys
import types
from pathlib import Path
from unittest import mock

import pytest

from leo_cli.hyperparameters.settings import TRACKERS
from leo_cli.run_folder import RunFolder
from leo_cli.sweeps.folder import create_sweep
from leo_cli.tracking import WRITERS, make_tracker
from tests.cli.conftest import train
from tests.cli.sweeps import write


class Recorder:
    """A run of a tracker."""

    def __init__(self, **arguments: object) -> None:
        self.arguments, self.logged, self.finished = arguments, [], False

    def define_metric(self, name: str, step_metric: str) -> None:
        self.step_metric = step_metric

    def log(self, numbers: dict[str, float], step: int | None = None) -> None:
        self.logged.append((numbers, numbers.get("global_step", step)))

    def finish(self) -> None:
        self.finished = True


@pytest.fixture
def wandb(monkeypatch) -> list[Recorder]:
    """A stub of wandb; returns its runs."""
    runs: list[Recorder] = []

    def init(**arguments: object) -> Recorder:
        runs.append(Recorder(**arguments))
        return runs[-1]

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init))
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    return runs


def test_every_tracker_has_a_writer():
    assert set(WRITERS) == set(TRACKERS)


def test_a_tracked_training_equals_one_without_tracker(wandb, run, tmp_path):
    assert train(tmp_path / "run", "leodqn", "--track", "wandb") == 0
    (tracked,) = wandb
    assert tracked.finished and tracked.step_metric == "global_step"
    assert tracked.arguments["project"] == "leo" and tracked.arguments["group"] == "run"
    assert tracked.arguments["name"] == "leodqn-GridWorld-v0-seed0" and tracked.arguments["config"]["batch_size"] == 32
    assert any("train/loss" in numbers for numbers, _ in tracked.logged)
    assert all(type(value) in (int, float) for numbers, _ in tracked.logged for value in numbers.values())
    steps = [step for _, step in tracked.logged]
    assert steps == sorted(steps) and steps[-1] <= 400
    for file in ("evaluations.csv", "goals.csv"):
        assert (tmp_path / "run" / "seed-0" / file).read_text() == (run / "seed-0" / file).read_text()


def test_a_resumed_training_continues_its_run(wandb, tmp_path, leo):
    folder = tmp_path / "run"
    assert train(folder, "leodqn", "--track", "wandb", "--seeds", "2", steps=100) == 0
    assert leo("train", "--resume", folder, "--steps", "200")[0] == 0
    ids = [tracked.arguments["id"] for tracked in wandb]
    assert ids[:2] == ids[2:] and len(set(ids)) == 2 and {tracked.arguments["resume"] for tracked in wandb} == {"allow"}
    assert min(step for _, step in wandb[2].logged) >= 100


def test_environment_variables_name_the_project(wandb, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    assert train(tmp_path / "run", "leodqn", "--track", "wandb", steps=100) == 0
    assert wandb[0].arguments["project"] == "mine"


def test_the_jobs_of_a_sweep_are_tracked_as_one_group(wandb, tmp_path):
    create_sweep(tmp_path / "sweep", write(tmp_path / "spec.yml", overrides=[{"track": "wandb"}], seeds=1))
    for path in (tmp_path / "sweep" / "jobs").iterdir():
        run = RunFolder(path)
        (seed,) = run.seeds
        seed.path.mkdir()
        make_tracker(run, seed)
    assert {tracked.arguments["group"] for tracked in wandb} == {"sweep"}
    assert {tracked.arguments["name"] for tracked in wandb} == {"leodqn-GridWorld-v0-seed0", "dqn+her-GridWorld-v0-seed0"}


def test_errors_while_logging_are_warnings(wandb, run, tmp_path, monkeypatch):
    monkeypatch.setattr(Recorder, "log", mock.Mock(side_effect=OSError("no network")))
    monkeypatch.setattr(Recorder, "finish", mock.Mock(side_effect=OSError("no network")))
    with pytest.warns(UserWarning, match="did not receive all values: no network; progress.csv has"):
        assert train(tmp_path / "run", "leodqn", "--track", "wandb") == 0
    assert (tmp_path / "run" / "seed-0" / "goals.csv").read_text() == (run / "seed-0" / "goals.csv").read_text()


@pytest.mark.parametrize("name", TRACKERS)
def test_a_missing_package_is_named_before_training(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, name, None)
    assert train(tmp_path / "run", "leodqn", "--track", name) == 2
    assert f'pip install "leo-rl[{name}]"' in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_tracker_that_cannot_start(tmp_path, monkeypatch, capsys):
    init = mock.Mock(side_effect=RuntimeError("not logged in"))
    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init))
    assert train(tmp_path / "run", "leodqn", "--track", "wandb") == 2
    assert "RuntimeError: not logged in; check its login" in capsys.readouterr().err
    assert train(tmp_path / "run", "leodqn", "--track", "wandbb") == 2
    assert "nearest: wandb" in capsys.readouterr().err


class TestPackages:
    """The packages themselves, without network."""

    @pytest.fixture(autouse=True)
    def offline(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        for name, value in {
            "WANDB_MODE": "offline",
            "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
            "TRACKIO_DIR": str(tmp_path / "trackio"),
        }.items():
            monkeypatch.setenv(name, value)

    def test_wandb(self, tmp_path):
        pytest.importorskip("wandb")
        assert train(tmp_path / "run", "leodqn", "--track", "wandb") == 0
        (file,) = (tmp_path / "run" / "seed-0" / "wandb").glob("offline-run-*/run-*.wandb")
        assert b"train/loss" in file.read_bytes()

    def test_mlflow(self, tmp_path, leo):
        mlflow = pytest.importorskip("mlflow")
        assert train(tmp_path / "run", "leodqn", "--track", "mlflow", steps=200) == 0
        assert leo("train", "--resume", tmp_path / "run", "--steps", "400")[0] == 0
        client = mlflow.MlflowClient()
        experiment = client.get_experiment_by_name("leo")
        (found,) = client.search_runs([experiment.experiment_id])
        assert found.data.params["algorithm"] == "leodqn" and found.info.status == "FINISHED"
        history = client.get_metric_history(found.info.run_id, "goals/seen")
        assert max(metric.step for metric in history) > 200

    def test_trackio(self, tmp_path: Path):
        pytest.importorskip("trackio")
        assert train(tmp_path / "run", "leodqn", "--track", "trackio") == 0
        storage = importlib.import_module("trackio.sqlite_storage").SQLiteStorage
        (name,) = storage.get_runs("leo")
        assert name.startswith("leodqn-GridWorld-v0-seed0-")
        assert any("train/loss" in row for row in storage.get_logs("leo", name))
