"""RL Baselines3 Zoo: train, enjoy and Optuna with LEODQN."""

import sys

import optuna
import pytest
import yaml

from leo_agents import LEODQN
from leo_cli import zoo
from tests.cli.test_safety import poison_model


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a command of the zoo in a temporary folder; return its output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["zoo"])

    def run(command: str, *arguments: str) -> str:
        zoo.main([command, "--algo", "leodqn", "--env", "leo/GridWorld-v0", "-f", "logs", *arguments])
        return capsys.readouterr().out

    return run


def test_train_and_enjoy(run, tmp_path):
    out = run("train", "-n", "400", "--eval-freq", "25", "--eval-episodes", "1", "--seed", "0")
    assert "'learning_rate'" not in out and "GoalConditionedWrapper" in out
    folder = tmp_path / "logs" / "leodqn" / "leo-GridWorld-v0_1"
    model = LEODQN.load(folder / "best_model.zip")
    assert model.num_timesteps > 0 and len(model.goal_names) == 180
    config = yaml.unsafe_load((folder / "leo-GridWorld-v0" / "config.yml").read_text())
    assert dict(config)["n_timesteps"] == 400 and dict(config)["train_freq"] == 1  # as in leo train
    out = run("enjoy", "--no-render", "-n", "250")
    assert "Success rate:" in out and "1 Episodes" in out
    # As SECURITY.md says, the zoo unpickles the models that it loads.
    poison_model(folder / "leo-GridWorld-v0.zip", tmp_path / "code-was-run")
    with pytest.raises(Exception):  # noqa: B017 - whatever the zoo makes of the unpickled values
        run("enjoy", "--no-render", "-n", "250")
    assert (tmp_path / "code-was-run").exists()


def test_optuna(run):
    storage = "logs/study.log"
    run(
        *("train", "-n", "300", "-optimize", "--n-trials", "2", "--n-evaluations", "1", "--eval-episodes", "1"),
        *("--no-optim-plots", "--storage", storage, "--study-name", "leo", "--seed", "0"),
    )
    backend = optuna.storages.journal.JournalFileBackend(storage)
    trials = optuna.load_study(storage=optuna.storages.JournalStorage(backend), study_name="leo").trials
    assert len(trials) == 2 and all(trial.value is not None for trial in trials)
    assert trials[0].params != trials[1].params


def test_an_unknown_command():
    with pytest.raises(ValueError, match=r"expected a command of the zoo.*'tarin'.*train"):
        zoo.main(["tarin"])
