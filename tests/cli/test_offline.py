"""``leo collect`` and ``leo train --dataset``."""

import sys
from unittest import mock

import numpy as np
import pytest
import yaml

from leo_agents import GoalDataset
from leo_agents.evaluation import read_curve
from leo_cli.main import main
from leo_cli.models import load_agent
from leo_cli.run_folder import RunFolder
from leo_cli.training import train_seed
from tests.cli.conftest import MAZE

SMALL = ["--set", "batch_size=32", "policy_kwargs.net_arch=[32]"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "maze"
    assert main(["collect", *MAZE, "--steps", "2000", "--out", str(folder)]) == 0
    return folder


def train(folder, data, *more, algorithm="leodqn", steps=300):
    options = ["--dataset", str(data), "--evaluations", "3", "--steps", str(steps), "--folder", str(folder), *SMALL]
    with mock.patch.object(sys, "argv", ["leo", "train"]):
        return main(["train", algorithm, *MAZE, *options, *more])


def test_collect(data, leo, tmp_path, monkeypatch):
    dataset = GoalDataset.load(data)
    assert len(dataset) == 2000 and len(dataset.goal_names) == 17
    assert np.bincount(dataset.actions.ravel(), minlength=4).min() > 400
    monkeypatch.chdir(tmp_path)
    for number in ("", "-2"):
        code, out, _ = leo("collect", *MAZE, "--steps", 8)
        assert code == 0 and f"8 transitions, 8 episodes, 17 goals), written to datasets/GridWorld-v0{number}/" in out
        assert "Never achieved: " in out
        environment, *options = MAZE
        assert f"Next: leo train ALGORITHM {environment} --dataset datasets/GridWorld-v0{number} {' '.join(options)}\n" in out


def test_collect_fails_before_the_steps(leo, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with mock.patch("leo_agents.collect_dataset", side_effect=AssertionError):
        code, _, error = leo("collect", *MAZE, "--out", tmp_path / "file" / "data")
        assert code == 2 and "expected a folder that can be created" in error
        monkeypatch.setitem(sys.modules, "minari", None)
        code, _, error = leo("collect", *MAZE, "--out", tmp_path / "data", "--minari", "maze/random-v0")
        assert code == 2 and "Minari is not installed" in error


def test_collect_by_a_trained_agent(run, leo, tmp_path):
    assert leo("collect", *MAZE, "--steps", 400, "--agent", run, "--epsilon", 0, "--out", tmp_path / "agent")[0] == 0
    dataset = GoalDataset.load(tmp_path / "agent")
    assert len(dataset) == 400 and dataset.goal_names == tuple(RunFolder(str(run)).config.goals)
    # The actions are those of the agent for some goal.
    best = load_agent(RunFolder(str(run)), RunFolder(str(run)).seeds[0]).q_values(dataset.observations["observation"])
    assert (best.argmax(axis=2) == dataset.actions.reshape(-1, 1)).any(axis=1).all()
    code, _, error = leo("collect", "GridWorld", "--agent", run, "--out", tmp_path / "other")
    assert code == 2 and "expected an environment with the 17 goals of the model" in error


def test_train_from_a_dataset(data, leo, tmp_path):
    folder = tmp_path / "run"
    assert train(folder, data) == 0
    config = yaml.safe_load((folder / "run.yml").read_text())
    assert config["dataset"] == str(data) and config["settings"]["num_envs"] == 1
    curve = read_curve(folder / "seed-0" / "evaluations.csv")
    assert curve.timesteps.tolist() == [100, 200, 300]
    assert leo("train", "--resume", folder, "--steps", 320)[0] == 0
    assert RunFolder(str(folder)).seeds[0].steps_done == 320
    assert leo("eval", folder)[0] == 0
    assert RunFolder(str(folder)).seeds[0].report().mean_success > 0.5


def test_an_interrupted_training_resumes_exactly(data, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train(whole, data) == 0

    def interrupted(run, seed, environment, stop, *args, **kwargs):
        stop.requested = False
        with mock.patch("leo_cli.callbacks.StopCallback._on_step", lambda self: request(self)):
            return train_seed(run, seed, environment, stop, *args, **kwargs)

    def request(callback):
        callback.stop.requested = callback.num_timesteps >= 170
        return True

    with mock.patch("leo_cli.training.train_seed", interrupted):
        assert train(parts, data) == 130
    assert RunFolder(str(parts)).seeds[0].steps_done == 170
    assert main(["train", "--resume", str(parts)]) == 0
    ours, others = ((folder / "seed-0" / "goals.csv").read_text() for folder in (parts, whole))
    assert ours == others


def test_points_as_goals(leo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert leo("collect", "FetchReach", "--steps", "60", "--out", "data")[0] == 0
    (tmp_path / "brief.yml").write_text("evaluation: {count: 1, random_goals: 2, final_episodes: 1, max_steps: 2}")
    options = ["--dataset", "data", "--config", "brief.yml", "--steps", "4", "--folder", "run", *SMALL]
    code, _, error = leo("train", "leosac", "FetchReach", "--any-goal", *options)
    assert code == 0, error
    config = RunFolder("run").config
    assert config.dataset == str(tmp_path / "data") and len(config.points) == 2
    assert RunFolder("run").seeds[0].steps_done == 4


def test_a_baseline(data, tmp_path):
    assert train(tmp_path / "run", data, algorithm="dqn+her", steps=20) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "leopqn", *MAZE, "--dataset", "{data}"], "expected an algorithm that learns from a dataset, got leopqn"),
        (["train", "dqn", *MAZE, "--dataset", "{data}"], "use leodqn, leotd3, leosac, dqn+her, dqn+all-goals, td3+her"),
        (["train", "leodqn", "GridWorld", "--dataset", "{data}"], "expected a dataset with the 180 goals of the model"),
        (["train", "leodqn", *MAZE, "--dataset", "nothing"], "expected a folder with dataset.json"),
        (["train", "leodqn", *MAZE, "--dataset", "{data}", "--num-envs", "2"], "expected no --num-envs with --dataset"),
        (["collect", *MAZE, "--out", "{data}"], "expected a new folder as --out"),
        (["collect", *MAZE, "--steps", "0"], "expected --steps of at least 1"),
        (["collect", *MAZE, "--epsilon", "2"], "expected epsilon"),
    ],
)
def test_errors(arguments, message, data, leo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, error = leo(*(argument.format(data=data) for argument in arguments))
    assert code == 2 and message in error and not list(tmp_path.iterdir())
