import csv
import errno
import io
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import pytest
import torch as th
import yaml
from rich.console import Console

from leo_agents import LEODQN
from leo_agents.evaluation import GoalEvalCallback, GoalReport, read_curve
from leo_agents.learning.checkpoint_files import latest_checkpoint
from leo_cli.algorithms import ALGORITHMS
from leo_cli.callbacks import ProgressCallback
from leo_cli.disk_space import check_disk_space, checkpoint_bytes
from leo_cli.progress import ProgressBoard, TrainingStatus
from tests.cli.conftest import MAZE, QUICK, SMALL, fingerprint, train

ROOT = Path(__file__).parents[2]


def weights(folder: Path) -> dict[str, th.Tensor]:
    return LEODQN.load(latest_checkpoint(folder / "seed-0" / "checkpoints") / "model.zip").policy.state_dict()


def test_contents_of_a_run_folder(run):
    config = yaml.safe_load((run / "run.yml").read_text())
    assert config["algorithm"] == "leodqn" and config["environment"] == "leo/GridWorld-v0"
    assert config["env_kwargs"] == {"map": "maze", "size": 5, "time_limit": 30} and config["seeds"] == [0, 1]
    assert config["settings"]["hyperparameters"]["policy_kwargs"] == {"net_arch": [16]}
    assert len(config["goals"]) == 17
    provenance = yaml.safe_load((run / "provenance.yml").read_text())
    assert {"python", "torch", "stable-baselines3", "leo-rl"} <= set(provenance["versions"])
    assert len(provenance["git"]["leo-rl"]["commit"]) == 40
    command = (run / "commands.txt").read_text()
    assert command.startswith("leo train leodqn GridWorld --env-set map=maze") and command.endswith("--seeds 2\n")
    for seed in (run / "seed-0", run / "seed-1"):
        assert read_curve(seed / "evaluations.csv").timesteps.tolist() == [80, 160, 240, 320, 400]
        rows = list(csv.DictReader(open(seed / "progress.csv")))
        assert rows and "goals/seen" in rows[0] and "train/loss" in rows[0]
        assert len(GoalReport.from_csv(seed / "goals.csv")) == 17
        assert list(seed.glob("events.out.tfevents.*"))
        assert latest_checkpoint(seed / "checkpoints").name == "step-000000000400"


def test_seeds_differ(run):
    first, second = (LEODQN.load(latest_checkpoint(run / f"seed-{seed}" / "checkpoints") / "model.zip") for seed in (0, 1))
    pairs = zip(first.policy.parameters(), second.policy.parameters(), strict=True)
    assert any(not th.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("name", sorted(set(ALGORITHMS) - {"leodqn", "dqn+her"}))
def test_every_algorithm_trains_by_name(name, tmp_path, leo):
    discrete = ALGORITHMS[name].discrete
    env = MAZE if discrete else ["MountainCarContinuous", "--env-set", "shape=[21,21]", "time_limit=5"]
    quick = ["--steps", "40", "--num-envs", "2", "--evaluations", "1", "--episodes", "1", "--folder", tmp_path / "run"]
    off_policy = "learning_starts" in ALGORITHMS[name].hyperparameters
    small = ["--set", "learning_starts=20" if off_policy else "n_steps=10", "batch_size=10", "policy_kwargs.net_arch=[8]"]
    noise = ["action_noise=0.1"] if name in ("td3", "leotd3") else []
    code, out, error = leo("train", name, *env, *quick, *small, *noise)
    assert code == 0, error
    assert (tmp_path / "run" / "seed-0" / "goals.csv").exists() and "Next:" in out
    code, _, error = leo("report", tmp_path / "run", "--videos", "0")
    assert code == 0, error
    page = (tmp_path / "run" / "report.html").read_text()
    # Value maps need goals in the plane, which MountainCarContinuous has not, and Q-values, which PPO has not.
    has_value_map = discrete
    assert ("every goal, from the start" in page) == has_value_map


def start(folder: Path, steps: int, *more: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "leo_cli", "train", "leodqn", *MAZE, *QUICK, *SMALL]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [*command, "--steps", str(steps), "--folder", str(folder), *more],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_ctrl_c_saves_a_checkpoint(tmp_path, monkeypatch):
    class Interrupting(ProgressCallback):
        def _on_step(self) -> bool:
            if self.num_timesteps == 100:
                signal.raise_signal(signal.SIGINT)
            return super()._on_step()

    monkeypatch.setattr("leo_cli.training.ProgressCallback", Interrupting)
    monkeypatch.setattr("leo_cli.training._NUM_CHECKPOINTS", 1)  # none before the end
    assert train(tmp_path / "run", steps=400) == 130
    assert 100 <= int(latest_checkpoint(tmp_path / "run" / "seed-0" / "checkpoints").name[5:]) < 400


def test_training_resumes_bit_for_bit_after_ctrl_c(tmp_path, leo):
    steps = 1_500
    process = start(tmp_path / "stopped", steps)
    assert process.stdout is not None
    for line in process.stdout:
        if "of 1,500 steps" in line:
            break
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=100)
    assert process.returncode == 130, error
    assert "leo train --resume" in out and "Traceback" not in error
    stopped_at = int(latest_checkpoint(tmp_path / "stopped" / "seed-0" / "checkpoints").name[5:])
    assert 300 <= stopped_at < steps
    assert not (tmp_path / "stopped" / "seed-0" / "goals.csv").exists()

    code, _, error = leo("train", "--resume", tmp_path / "stopped")
    assert code == 0, error
    assert train(tmp_path / "straight", steps=steps) == 0
    expected = weights(tmp_path / "straight")
    for name, value in weights(tmp_path / "stopped").items():
        assert th.equal(value, expected[name]), name
    for file in ("evaluations.csv", "goals.csv"):
        one, other = ((tmp_path / kind / "seed-0" / file).read_text() for kind in ("stopped", "straight"))
        assert one == other
    logged = [
        [row["time/total_timesteps"] for row in csv.DictReader(open(tmp_path / kind / "seed-0" / "progress.csv"))]
        for kind in ("stopped", "straight")
    ]
    assert logged[0] == logged[1]
    assert len((tmp_path / "stopped" / "commands.txt").read_text().splitlines()) == 2


def test_ctrl_c_during_the_final_evaluation(tmp_path, monkeypatch, leo):
    class Interrupting(ProgressBoard):
        def print(self, line: str) -> None:
            super().print(line)
            if "evaluating" in line:
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("leo_cli.progress.ProgressBoard", Interrupting)
    folder = tmp_path / "run"
    arguments = ["leodqn", *MAZE, *QUICK, *SMALL, "--steps", "100", "--folder", folder]
    code, out, error = leo("train", *arguments)
    assert code == 130 and f"leo eval {folder}" in out and "Traceback" not in error
    assert latest_checkpoint(folder / "seed-0" / "checkpoints").name == "step-000000000100"
    assert not list((folder / "seed-0").glob("goals.*"))
    code, _, error = leo("eval", folder)
    assert code == 0 and (folder / "seed-0" / "goals.csv").exists(), error


def test_a_finished_run_can_be_trained_longer(run, tmp_path, leo):
    shutil.copytree(run, tmp_path / "run")
    assert "Nothing left" in leo("train", "--resume", tmp_path / "run")[1]
    code, _, error = leo("train", "--resume", tmp_path / "run", "--steps", "500")
    assert code == 0, error
    assert latest_checkpoint(tmp_path / "run" / "seed-1" / "checkpoints").name == "step-000000000500"
    assert read_curve(tmp_path / "run" / "seed-0" / "evaluations.csv").timesteps.tolist() == [80, 160, 240, 320, 400, 500]


def test_the_default_folder_is_new_each_time(tmp_path, monkeypatch, leo):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert leo("train", "leodqn", *MAZE, *QUICK, *SMALL, "--steps", "60")[0] == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["leodqn-GridWorld-v0", "leodqn-GridWorld-v0-2"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["leodnq", "GridWorld"], "nearest: leodqn"),
        (["leodqn", "GridWrld"], "nearest: leo/GridWorld-v0"),
        (["leodqn", "CartPole-v1"], "without goal_names"),
        (["leodqn", "no_such_package:Env-v0"], "no_such_package"),
        (["leosac", "GridWorld"], "use leodqn, leopqn"),
        (["leodqn", "GridWorld", "--set", "gama=0.9"], "nearest: gamma"),
        (["leodqn", "GridWorld", "--set", "gamma"], "key=value"),
        (["leodqn", "GridWorld", "--set", "policy_kwargs.net_arhc=[8]"], "nearest: net_arch"),
        (["sac", "MountainCarContinuous", "--set", "policy_kwargs.critics=1"], "nearest: n_critics"),
        (["leodqn", "GridWorld", "--set", "policy_kwargs=8"], "policy_kwargs.net_arch"),
        (["leodqn", "GridWorld", "--set", "batch_size=many"], "expected a number for batch_size"),
        (["leodqn", "GridWorld", "--set", "learning_rate=-1"], "learning_rate of at least 0"),
        (["leodqn", "GridWorld", "--device", "gpu"], "as --device"),
        (["leodqn", "GridWorld", "--env-set", "sise=3"], "nearest: size"),
        (["leodqn", "GridWorld", "--steps", "0"], "at least 1"),
        (["leodqn", "GridWorld", "--seeds", "0"], "--seeds"),
        (["leodqn", "GridWorld", "--jobs", "0"], "--jobs of at least 1"),
        (["leodqn", "GridWorld", "--config", "nowhere.yml"], "nowhere.yml"),
        (["leodqn", "GridWorld", "--set", "loss=bcee"], "bce"),
        (["leodqn"], "an environment"),
        (["--resume", "nowhere"], "run folder"),
    ],
)
def test_bad_input_fails_before_training(arguments, message, tmp_path, monkeypatch, leo):
    monkeypatch.chdir(tmp_path)
    code, _, error = leo("train", *arguments)
    assert code == 2 and message in error and "Traceback" not in error
    assert not list(tmp_path.glob("runs/*"))


def test_unknown_options_and_commands_suggest_the_nearest(leo):
    code, _, error = leo("train", "leodqn", "GridWorld", "--stesp", "3")
    assert code == 2 and "--steps" in error
    code, _, error = leo("trian")
    assert code == 2 and "nearest: train" in error


def test_resuming_accepts_no_options_that_the_run_has_stored(run, leo):
    for extra in (["leosac"], ["--num-envs", "3"], ["--set", "gamma=0.5"], ["--seeds", "2"], ["--episodes", "4"]):
        code, _, error = leo("train", *extra, "--resume", run)
        assert code == 2 and "keeps its own" in error
    code, _, error = leo("train", "--resume", run, "--steps", "10")
    assert code == 2 and "at least the run's 400" in error


def test_a_run_that_cannot_be_resumed_is_left_unchanged(run, tmp_path, leo):
    folder = shutil.copytree(run, tmp_path / "run")
    for state in folder.glob("seed-0/checkpoints/*/state.pkl"):
        state.write_bytes(b"cut")
    before = fingerprint(folder)
    code, _, error = leo("train", "--resume", folder, "--steps", "500")
    assert code == 2 and "state.pkl differs from its checksum" in error and f"leo train --resume {folder}" in error
    assert fingerprint(folder) == before


def test_an_unusable_folder_fails_before_training(run, tmp_path, leo):
    before = fingerprint(run)
    code, _, error = leo("train", "leodqn", *MAZE, "--folder", run)
    assert code == 2 and f"leo train --resume {run}" in error
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        code, _, error = leo("train", "leodqn", *MAZE, "--folder", folder)
        assert code == 2 and "choose another --folder" in error
    assert fingerprint(run) == before


def test_an_unwritable_disk_fails_before_training(tmp_path):
    """A limit of 1,000 bytes per file stands in for a full disk."""
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); from leo_cli.main import main;"
        f"sys.exit(main(['train', 'leodqn', 'GridWorld', '--folder', {str(tmp_path / 'run')!r}]))"
    )
    result = subprocess.run([sys.executable, "-B", "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2 and "expected to write to" in result.stderr and "free some space" in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("file", ["replay.pkl", "evaluations.csv"])
def test_a_disk_that_fills_during_training(file, tmp_path, monkeypatch, leo):
    class Filling(ProgressCallback):
        def _on_step(self) -> bool:
            if self.num_timesteps >= 200:
                monkeypatch.setattr("leo_agents.learning.checkpoint_files.os.fsync", fail)
                if file == "evaluations.csv":
                    fail()
            return super()._on_step()

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("leo_cli.training.ProgressCallback", Filling)
        folder = tmp_path / "run"
        code, _, error = leo("train", "leodqn", *MAZE, *QUICK, *SMALL, "--steps", "400", "--folder", folder)
    monkeypatch.undo()
    newest = latest_checkpoint(folder / "seed-0" / "checkpoints")
    assert code == 2 and "Traceback" not in error and f"leo train --resume {folder}" in error
    assert "No space left on device" in error and str(newest) in error
    assert leo("train", "--resume", folder)[0] == 0


def test_a_disk_too_small_for_the_checkpoints_fails(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(OSError, match="smaller buffer_size"):
        check_disk_space(tmp_path, free)
    check_disk_space(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_estimated_checkpoint_size_covers_the_files(run):
    from leo_cli.models import make_model
    from leo_cli.run_folder import RunFolder

    opened = RunFolder(run)
    model = make_model(opened, opened.seeds[0], opened.config.find_environment(), "cpu")
    written = sum(path.stat().st_size for path in latest_checkpoint(opened.seeds[0].checkpoints).iterdir())
    # The estimate is for two checkpoints; the spare bytes of check_disk_space cover everything but weights and replay buffer.
    assert 0.5 * written < checkpoint_bytes(model, keep=1) and 2 * written < checkpoint_bytes(model, keep=1) + 1_000_000


def test_the_progress_bar_shows_speed_goals_and_success(tmp_path, monkeypatch):
    """Rendered for a terminal of 160 columns."""
    monkeypatch.setenv("COLUMNS", "160")
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=160)
    env = gym.make("leo/GridWorld-v0", map="maze", size=5, max_episode_steps=20)
    evaluation = GoalEvalCallback(gym.make("leo/GridWorld-v0", map="maze", size=5, max_episode_steps=20), 50, verbose=0)
    progress = ProgressCallback(ProgressBoard(console), "leodqn, seed 0", 100, evaluation)
    LEODQN("MultiGoalPolicy", env, seed=0).learn(100, [evaluation, progress])
    progress.close()
    last = [line for line in screen.getvalue().replace("\r", "\n").splitlines() if "steps/s" in line][-1]
    assert "leodqn, seed 0" in last and "100/100" in last
    assert re.search(r"goals seen \d+/17", last) and re.search(r"success \d+ %", last)


def test_bars_of_finished_trainings_move_above_the_running_ones():
    screen = io.StringIO()
    board = ProgressBoard(Console(file=screen, force_terminal=True, width=120, highlight=False))
    for title, timesteps in (("a, seed 0", 1), ("a, seed 1", 2)):
        board.update(TrainingStatus(title, timesteps, 4, "quick"))
    board.progress.refresh()
    frame = screen.getvalue()[screen.getvalue().rindex("a, seed 0") :]
    assert "1/4" in frame and "a, seed 1" in frame and "2/4" in frame
    board.finish("a, seed 0")
    board.print("[seed 0] is done")
    board.progress.refresh()
    after = screen.getvalue()[screen.getvalue().rindex("[seed 0] is done") :]
    assert "a, seed 1" in after and "a, seed 0" not in after
    board.close()
    assert screen.getvalue().count("1/4") >= 2  # the last state of its bar
