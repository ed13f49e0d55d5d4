"""RL Baselines3 Zoo's train, enjoy and Optuna with our algorithms."""

import sys

import optuna
import pytest
import yaml

from leo_agents import LEODQN
from leo_cli import zoo


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs a command of the zoo in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["zoo"])

    def run(command: str, *arguments: str) -> str:
        zoo.main([command, "--algo", "leodqn", "--env", "leo/GridWorld-v0", "-f", "logs", *arguments])
        return capsys.readouterr().out

    return run


def test_an_agent_is_trained_and_watched(run, tmp_path):
    said = run("train", "-n", "400", "--eval-freq", "25", "--eval-episodes", "1", "--seed", "0")
    assert "'learning_rate'" not in said and "GoalConditionedWrapper" in said
    folder = tmp_path / "logs" / "leodqn" / "leo-GridWorld-v0_1"
    model = LEODQN.load(folder / "best_model.zip")
    assert model.num_timesteps > 0 and len(model.goal_names) == 180
    config = yaml.unsafe_load((folder / "leo-GridWorld-v0" / "config.yml").read_text())
    assert dict(config)["n_timesteps"] == 400 and dict(config)["train_freq"] == 1  # as leo train has it
    said = run("enjoy", "--no-render", "-n", "250")
    assert "Success rate:" in said and "1 Episodes" in said


def test_optuna_searches(run):
    storage = "logs/study.log"
    run(
        *("train", "-n", "300", "-optimize", "--n-trials", "2", "--n-evaluations", "1", "--eval-episodes", "1"),
        *("--no-optim-plots", "--storage", storage, "--study-name", "leo", "--seed", "0"),
    )
    backend = optuna.storages.journal.JournalFileBackend(storage)
    trials = optuna.load_study(storage=optuna.storages.JournalStorage(backend), study_name="leo").trials
    assert len(trials) == 2 and all(trial.value is not None for trial in trials)
    assert trials[0].params != trials[1].params


def test_a_command_that_does_not_exist():
    with pytest.raises(ValueError, match=r"expected a command of the zoo.*'tarin'.*train"):
        zoo.main(["tarin"])
