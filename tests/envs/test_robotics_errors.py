"""Tests of error messages of the robotics environments."""

import importlib
import tomllib
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import DependencyNotInstalled, ResetNeeded

import leo_envs  # noqa: F401
from leo_envs.common.robotics_extra import MUJOCO_VERSIONS, check_mujoco_version
from leo_envs.panda import PandaEnv
from leo_envs.robotics import FetchEnv
from tests.envs.robot_checks import shared_env

REACH, MAZE, KITCHEN = "leo/FetchReach-v0", "leo/PointMaze_UMaze-v0", "leo/FrankaKitchen-v0"

INVALID = [
    (REACH, {"tolerance": 0.0}, "expected a tolerance above 0, got 0.0"),
    (REACH, {"tolerance": float("nan")}, "expected a tolerance above 0"),
    (KITCHEN, {"tolerance": -1}, "expected a tolerance above 0"),
    (REACH, {"resolution": 0}, "expected resolution to be a positive integer, or 3 of them, got 0"),
    (REACH, {"resolution": [5, 5]}, "expected resolution to be a positive integer, or 3 of them"),
    (REACH, {"points": [[1.34, 0.75, 1.5]]}, "expected goals within the workspace"),
    (REACH, {"points": [[1.34, 0.75]]}, r"expected finite points of shape \(G, 3\)"),
    (REACH, {"reward_type": "sprase"}, "expected reward_type to be one of"),
    (REACH, {"task": "throw"}, "expected task to be one of"),
    (MAZE, {"points": [[0.0, 0.0]]}, "expected goals on free cells of the maze"),
    (MAZE, {"points": [[50.0, 0.0]]}, "expected goals on free cells of the maze"),
    (MAZE, {"maze": "Huge"}, "expected maze to be one of"),
    (MAZE, {"maze": [[1, 0, 1]]}, "at least two free cells"),
    (MAZE, {"robot": "snake"}, "expected robot to be one of"),
    ("leo/HandReach-v0", {"points": [[0.0] * 15]}, "expected goals within the hand's workspace"),
    (KITCHEN, {"tasks": ["microwave", "fridge"]}, r"expected tasks among .*, got \['fridge'\]"),
    (KITCHEN, {"reward_type": "dense"}, "expected reward_type 'sparse'"),
]


@pytest.mark.parametrize(("env_id", "arguments", "message"), INVALID)
def test_invalid_arguments_raise(env_id: str, arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gym.make(env_id, **arguments)


def test_invalid_calls_raise() -> None:
    env = shared_env(MAZE).unwrapped
    env.reset(seed=0)
    for cell in ((0, 0), (9, 9), (-1, 1), "11", (1.0, 1.0)):
        with pytest.raises(ValueError, match="expected reset_cell to be the"):
            env.reset(options={"reset_cell": cell})
    for action in ([0.0], [[0.0, 0.0]], [np.nan, 0.0]):
        with pytest.raises(ValueError, match=r"expected an action of shape \(2,\) with finite numbers"):
            env.step(action)
    for goal in ([0.0], [np.inf, 0.0]):
        with pytest.raises(ValueError, match="expected a goal of 2 finite coordinates"):
            env.set_goal(goal)
        with pytest.raises(ValueError, match="expected a goal of 2 finite coordinates"):
            env.reset(options={"desired_goal": goal})
    with pytest.raises(ValueError, match="nearest"):
        env.set_commanded_goal("cell/1,9")
    fresh = gym.make(MAZE).unwrapped
    for call in (lambda: fresh.step([0.0, 0.0]), lambda: fresh.set_goal([0.0, 0.0]), lambda: fresh.desired_goal):
        with pytest.raises(ResetNeeded):
            call()


@pytest.mark.parametrize(
    ("missing", "cls"),
    [("mujoco", FetchEnv), ("gymnasium_robotics.envs.fetch.reach", FetchEnv), ("mujoco", PandaEnv), ("model files", PandaEnv)],
)
def test_missing_extra_raises(missing: str, cls: type, monkeypatch: pytest.MonkeyPatch) -> None:
    original = importlib.import_module

    def import_module(name: str, package: str | None = None) -> object:
        if name == missing:
            raise ModuleNotFoundError(f"No module named {name!r}")
        return original(name, package)

    monkeypatch.setattr(importlib, "import_module", import_module)
    if missing == "model files":
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DependencyNotInstalled, match=r'pip install "leo-rl\[robotics\]"'):
        cls()


@pytest.mark.parametrize("version", ["3.2.7", "3.9.0", "3.12.0", "3.17.0", "4.0.0"])
def test_unsupported_mujoco_versions_raise(version: str) -> None:
    with pytest.raises(DependencyNotInstalled, match=rf"expected mujoco{MUJOCO_VERSIONS}, got {version}.*leo-rl\[robotics"):
        check_mujoco_version(version)


@pytest.mark.parametrize("version", ["3.3.0", "3.3.7", "3.10.0", "3.11.2", "3.4.0rc1"])
def test_supported_mujoco_versions(version: str) -> None:
    check_mujoco_version(version)


def test_extra_requires_supported_mujoco_versions() -> None:
    extras = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert f"mujoco{MUJOCO_VERSIONS}" in extras["robotics"]
