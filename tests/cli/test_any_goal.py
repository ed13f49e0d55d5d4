"""Runs in which any point is a goal."""

import io
import signal
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
import yaml
from PIL import Image

from leo_agents import LEOSAC
from leo_agents.evaluation import GoalReport, read_curve
from leo_agents.learning.checkpoint_files import latest_checkpoint
from leo_agents.learning.policy_data import load_policy
from leo_cli.agent_rollout import PointRollout
from leo_cli.callbacks import ProgressCallback
from leo_cli.environments import find_environment
from leo_cli.hyperparameters import load_settings
from leo_cli.main import main
from leo_cli.named_goals import find_named_goal
from leo_cli.run_folder import RunFolder
from tests.agents.plane_point import TOLERANCE, PlanePoint
from tests.cli.serving import command, make_session

ENV = "test/PlanePoint-v0"
BRIEF = "num_envs: 2\nevaluation: {count: 2, final_episodes: 2, random_goals: 6}\n"
SMALL = ["--set", "learning_starts=20", "batch_size=16", "policy_kwargs.net_arch=[8]"]


class DrawnPlanePoint(PlanePoint):
    """A point in the plane that is drawn as a white pixel."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__()
        self.render_mode = render_mode

    def render(self) -> Any:
        image = np.zeros((32, 32, 3), dtype=np.uint8)
        column, row = ((self.position + 1) * 15.5).astype(int)
        image[31 - row, column] = 255
        return image


gym.register(ENV, DrawnPlanePoint)


def train(folder: Path, *more: str, steps: int = 120) -> int:
    (folder.parent / "brief.yml").write_text(BRIEF)
    options = ["--config", str(folder.parent / "brief.yml"), *SMALL, "--steps", str(steps), "--folder", str(folder)]
    return main(["train", "leosac", ENV, *options, *more])


@pytest.fixture(scope="module")
def plane(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "plane"
    assert train(folder, "--seeds", "2") == 0
    return folder


def test_a_run_evaluates_random_goals_of_the_environment(plane):
    config = yaml.safe_load((plane / "run.yml").read_text())
    drawn = [PlanePoint().reset(seed=20_000 + number)[0]["desired_goal"].tolist() for number in range(6)]
    assert config["points"] == drawn and config["eval_goal_ids"] == list(range(6))
    for seed in ("seed-0", "seed-1"):
        report = GoalReport.from_csv(plane / seed / "goals.csv")
        assert list(report.goal_names) == config["goals"] and (report.attempts + report.already_true == 2).all()
        assert report.positions is not None and report.positions.tolist() == drawn
        assert read_curve(plane / seed / "evaluations.csv").timesteps.tolist() == [60, 120]


def test_training_resumes_bit_for_bit(tmp_path, monkeypatch, leo):
    class Interrupting(ProgressCallback):
        def _on_step(self) -> bool:
            if self.num_timesteps == 70:
                signal.raise_signal(signal.SIGINT)
            return super()._on_step()

    assert train(tmp_path / "straight") == 0
    with monkeypatch.context() as patch:
        patch.setattr("leo_cli.training.ProgressCallback", Interrupting)
        assert train(tmp_path / "stopped") == 130
    code, _, error = leo("train", "--resume", tmp_path / "stopped")
    assert code == 0, error
    one, other = (
        LEOSAC.load(latest_checkpoint(tmp_path / name / "seed-0" / "checkpoints") / "model.zip").policy.state_dict()
        for name in ("straight", "stopped")
    )
    assert all(th.equal(one[name], other[name]) for name in one)
    for file in ("goals.csv", "evaluations.csv"):
        assert (tmp_path / "stopped/seed-0" / file).read_text() == (tmp_path / "straight/seed-0" / file).read_text()


def test_evaluation_of_all_and_of_given_goals(plane, tmp_path, leo):
    code, out, error = leo(
        "eval", plane, "--goals", "0.5,0.5", "-0.25,1e-1", "--episodes", "3", "--csv", tmp_path / "goals.csv"
    )
    assert code == 0 and "Wrote" not in out, error
    report = GoalReport.from_csv(tmp_path / "goals.csv")
    assert report.goal_names == ("goal/0.5,0.5", "goal/-0.25,0.1")
    assert (report.attempts + report.already_true).tolist() == [6, 6]  # of two seeds
    before = (plane / "seed-0" / "goals.csv").read_text()
    assert leo("eval", plane)[0] == 0
    assert (plane / "seed-0" / "goals.csv").read_text() == before  # the evaluation after the training


def test_report_with_maps_of_points(plane, leo):
    code, out, error = leo("report", plane, "--goal", "0.5,0.5")
    assert code == 0 and "goal goal/0.5,0.5" in out, error
    page = (plane / "report.html").read_text()
    for title in ("success", "every goal, from the start", "from states that the agent visited"):
        assert title in page
    assert page.count("% of") >= 6 and 'class="cross"' in page and 'alt="video of goal goal/0.5,0.5"' in page
    assert leo("plot", plane)[0] == 0


def test_typed_goals(plane, monkeypatch, leo):
    monkeypatch.setattr("sys.stdin", io.StringIO("0.5,0.5\n5,5\n0.1\ncell/0,0\n\nl\nq\n"))
    code, out, error = leo("play", plane, "--view", "terminal", "--fps", "10000", "--max-steps", "3")
    assert code == 0 and "coordinates such as" in out, error
    assert "goal/0.5,0.5: " in out and out.count(" after ") == 2  # the second one is random
    assert "expected a goal near those" in out and out.count("expected a goal of 2 finite coordinates") == 2


def test_video(plane, tmp_path, leo):
    path = tmp_path / "points.gif"
    code, _, error = leo("video", plane, "--goal", "0.5,0.5", "--goal", "-0.5,0", "--out", path, "--max-steps", "2")
    assert code == 0 and Image.open(path).n_frames > 2, error


def test_a_rollout_ends_where_the_point_is_reached(plane):
    agent = load_policy(latest_checkpoint(plane / "seed-0" / "checkpoints") / "model.zip")
    rollout = PointRollout(agent, DrawnPlanePoint(), seed=3)
    start = rollout._obs["achieved_goal"]
    assert [step.achieved for step in rollout.run(start + 0.9 * TOLERANCE * np.array([1.0, 0.0]))] == [True]
    for step in rollout.run(np.array([0.9, 0.9])):
        assert step.observation["desired_goal"].tolist() == np.float32([0.9, 0.9]).tolist()
        assert step.achieved == (np.linalg.norm(step.observation["achieved_goal"] - 0.9) <= TOLERANCE)


@pytest.mark.parametrize("goal", ["cell/0,0", "3", "0.5", "0.1,0.2,0.3", "0.1,nan", "inf,0", "9,9", ""])
@pytest.mark.parametrize("command", ["eval", "play", "video", "report"])
def test_bad_goals(plane, command, goal, leo):
    option = "--goals" if command == "eval" else "--goal"
    code, _, error = leo(command, plane, option, goal)
    assert code == 2 and "expected a goal" in error and ";" in error


def test_a_point_for_a_finite_goal_set(run, leo):
    code, _, error = leo("video", run, "--goal", "1.3,0.7,0.5")
    assert code == 2 and "expected one of the 17 goal names" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["leodqn", "GridWorld", "--any-goal"], "expected leotd3 or leosac where any point is a goal, got leodqn"),
        (["sac+her", ENV], "expected leotd3 or leosac where any point is a goal, got sac+her"),
        (["leosac", "MountainCarContinuous", "--any-goal"], "expected a goal environment"),
        (["leosac", "Pendulum-v1"], "without goal_names; wrap it with MultiGoalWrapper"),
        (["leosac", ENV, "--set", "goal_selector=seen"], "expected no goal_selector"),
        (["leosac", ENV, "--set", "log_goals=true"], "expected no log_goals"),
        (["leosac", ENV, "--set", "replay_buffer_kwargs.own_goal=1"], "did you mean 'own_goals'?"),
    ],
)
def test_bad_input_fails_before_training(arguments, message, tmp_path, monkeypatch, leo):
    monkeypatch.chdir(tmp_path)
    code, _, error = leo("train", *arguments)
    assert code == 2 and message in error and "Traceback" not in error
    assert not list(tmp_path.glob("runs/*"))


def test_points_in_a_damaged_run_file(plane, tmp_path, leo):
    config = yaml.safe_load((plane / "run.yml").read_text())
    for points in ([[0.1, 0.2]], [0.1] * 6, [["a", "b"]] * 6, [[0.1], [0.1, 0.2]] * 3):
        (tmp_path / "run.yml").write_text(yaml.safe_dump({**config, "points": points}))
        code, _, error = leo("eval", tmp_path)
        assert code == 2 and "a damaged one" in error


def test_the_goal_set_of_an_environment_is_hidden_on_request(tmp_path, monkeypatch, leo):
    pytest.importorskip("gymnasium_robotics")
    monkeypatch.chdir(tmp_path)
    Path("brief.yml").write_text("evaluation: {count: 1, random_goals: 3, final_episodes: 1, max_steps: 2}")
    code, out, error = leo("train", "leotd3", "FetchReach", "--any-goal", "--config", "brief.yml", "--steps", "12", *SMALL)
    assert code == 0 and "any goal (3 random ones are evaluated), in runs/leotd3-FetchReach-v0-any-goal/" in out, error
    config = RunFolder("runs/leotd3-FetchReach-v0-any-goal").config
    assert len(config.points or []) == 3 and not config.find_environment().make().has_wrapper_attr("goal_names")


def test_settings_of_the_environments_that_have_a_finite_goal_set_elsewhere():
    pytest.importorskip("gymnasium_robotics")
    original, ours = (
        load_settings("leosac", name) for name in ("gymnasium_robotics:PointMaze_UMaze-v3", "leo/PointMaze_UMaze-v0")
    )
    assert original == ours and original.hyperparameters["n_steps"] == 5
    environment = find_environment("gymnasium_robotics:FetchReach-v4")
    assert environment.is_goal_env and not environment.has_goal_set


def test_named_points():
    points = np.array([[0.123456789, 0.0], [1.0, 1.0]])
    assert find_named_goal(("goal/0.1235,0", "goal/1,1"), points, "goal/0.1235,0").target is not None
    assert find_named_goal(("goal/0.1235,0", "goal/1,1"), points, "goal/0.1235,0").target.tolist() == [0.123456789, 0.0]
    assert find_named_goal(("goal/0.1235,0", "goal/1,1"), points, " 2 , -1").name == "goal/2,-1"


def test_in_the_browser_any_point_is_a_goal(plane):
    session = make_session(plane)
    description = session.description()
    assert description["map"]["any_point"] and len(description["map"]["points"]) == len(description["goals"]) == 6
    assert not description["actions"] and description["unreachable"] == []
    for goal, name in (([0.25, -0.5], "goal/0.25,-0.5"), ("0.5,0.5", "goal/0.5,0.5"), (2, description["goals"][2])):
        state = command(session, "go", goal)
        assert state["chain"] == [name]
    (player,) = command(session, "step")["players"]
    assert player["frame"].startswith("data:image/jpeg;base64,") and player["steps"] == 1
    assert player["point"] == pytest.approx(session.players[0].env.unwrapped.position.tolist(), abs=1e-4)
    for wrong in ([1.0], [float("nan"), 0.0], [[0.0], 0.0], [1e9, 0.0], "x"):
        with pytest.raises(ValueError, match="expected"):
            command(session, "go", wrong)
