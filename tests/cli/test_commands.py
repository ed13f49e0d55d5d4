"""Commands that read a run or an environment: goals, check, eval, play, video, plot, bench."""

import csv
import importlib
import io
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image

from leo_agents.evaluation import GoalReport, evaluate_goals
from leo_agents.learning.policy_data import PolicyAgent
from leo_cli.commands import bench
from leo_cli.commands.table import COMMANDS
from leo_cli.models import load_agent
from leo_cli.outputs import check_output
from leo_cli.programs import ProgramRollout, goal_observations
from leo_cli.run_folder import RunFolder
from leo_cli.terminal import image_text, pressed_keys
from leo_wrappers import GoalSet, MultiGoalWrapper
from tests.cli.conftest import fingerprint

ROOT = Path(__file__).parents[2]

BROKEN = """
import gymnasium as gym
from tests.corridor_env import CorridorEnv
gym.register("broken/Corridor-v0", lambda: CorridorEnv(fault="late mask"))
gym.register("whole/Corridor-v0", lambda: CorridorEnv())
"""


@pytest.fixture
def corridors(tmp_path, monkeypatch):
    """A user's package in the current folder."""
    (tmp_path / "my_corridors.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)
    return "my_corridors"


class TestHelp:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_help_of_every_command(self, command, leo):
        code, out, _ = leo(command, "--help")
        assert code == 0 and f"leo {command}" in out and "Examples" in out

    def test_the_command_as_a_module(self):
        result = subprocess.run([sys.executable, "-m", "leo_cli", "--help"], cwd=ROOT, capture_output=True, text=True)
        assert result.returncode == 0 and all(command in result.stdout for command in COMMANDS)

    def test_an_error_names_the_missing_extra(self):
        script = "import sys; sys.modules['tyro'] = None; from leo_cli.main import main; sys.exit(main(['goals']))"
        result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
        assert result.returncode == 2 and 'pip install "leo-rl[cli]"' in result.stderr

    def test_tracebacks_on_request(self, leo, monkeypatch):
        monkeypatch.setenv("LEO_TRACEBACK", "1")
        with pytest.raises(ValueError, match="GridWorld"):
            leo("goals", "GridWold")


class TestGoals:
    def test_environments_are_listed_by_extra(self, leo):
        lines = [line.strip() for line in leo("goals")[1].splitlines()]
        titles = [
            "Without an extra:",
            *(f'With pip install "leo-rl[{name}]":' for name in ("atari", "craftax", "minigrid", "robotics", "xland")),
        ]
        assert [line for line in lines if line.endswith(":")] == titles
        names = ("GridWorld", "Pitfall", "Craftax", "BabyAI-GoToLocal", "PandaReach", "XLand")
        for title, env_id in zip(titles, names, strict=True):
            part = lines[lines.index(title) + 1 :]
            part = part[: next((index for index, line in enumerate(part) if line.endswith(":")), len(part))]
            assert f"leo/{env_id}-v0" in part

    def test_a_missing_extra_is_named_without_a_traceback(self, leo, monkeypatch):
        for name in [name for name in sys.modules if name.startswith("leo_envs.minigrid")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "minigrid", None)
        code, _, error = leo("goals", "MiniGrid")
        assert code == 2 and error.startswith("leo goals: ") and 'pip install "leo-rl[minigrid]"' in error

    def test_names_families_and_descriptors(self, leo):
        code, out, _ = leo("goals", "BitFlip", "--env-set", "n_bits=3")
        assert code == 0 and "8 goals" in out
        assert all(f"pattern/{number:03b}" in out for number in range(8)) and "0 1 1" in out

    def test_search_and_family(self, leo):
        out = leo("goals", "GridWorld", "--search", "CELL/15,14")[1]
        assert "cell/15,14" in out and "cell/15,13" not in out
        assert "9 of them cannot be reached" in out
        assert "more: --all" in leo("goals", "GridWorld")[1] and "more: --all" not in leo("goals", "GridWorld", "--all")[1]

    def test_csv_file(self, tmp_path, leo):
        assert leo("goals", "GridWorld", "--csv", tmp_path / "goals.csv")[0] == 0
        rows = list(csv.DictReader(open(tmp_path / "goals.csv")))
        assert len(rows) == 180 and rows[0]["goal"] == "cell/0,0" and {"family", "descriptor_1"} <= set(rows[0])

    def test_list_of_environments(self, leo):
        assert {"leo/GridWorld-v0", "leo/CraftaxClassic-v0"} <= set(leo("goals")[1].split())

    def test_names_that_look_like_markup_are_printed_literally(self, leo):
        names = ("[bold]left", "[/bold]right", ":key:/found")
        goals = GoalSet(names, lambda signal: np.zeros((*signal.shape[:-1], 3), dtype=bool))
        gym.register("test/Markup-v0", lambda **kwargs: MultiGoalWrapper(gym.make("CartPole-v1", **kwargs), goals))
        try:
            code, out, _ = leo("goals", "test/Markup-v0")
        finally:
            del gym.registry["test/Markup-v0"]
        assert code == 0 and all(name in out for name in names)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [(["--family", "cel"], "nearest: cell"), (["--search", "cellar"], "nearest: cell"), (["--env-set", "mapp=x"], "map")],
    )
    def test_bad_input(self, arguments, message, leo):
        code, _, error = leo("goals", "GridWorld", *arguments)
        assert code == 2 and message in error


class TestCheck:
    def test_a_built_in_environment(self, leo):
        code, out, _ = leo("check", "GridWorld", "--steps", "60")
        assert code == 0 and out.count("passed (60 random steps)") == 2

    def test_environments_of_a_users_package(self, corridors, leo):
        code, out, _ = leo("check", f"{corridors}:whole/Corridor-v0", "--steps", "60")
        assert code == 0 and "single environment: passed" in out
        code, out, _ = leo("check", f"{corridors}:broken/Corridor-v0", "--steps", "60")
        assert code == 1 and "single environment: failed" in out and "observation" in out

    def test_an_unknown_environment(self, corridors, leo):
        code, _, error = leo("check", f"{corridors}:whole/Coridor-v0")
        assert code == 2 and "whole/Corridor-v0" in error


class TestEval:
    def test_results_equal_those_of_evaluate_goals(self, run, tmp_path, leo):
        copy = shutil.copytree(run, tmp_path / "run")
        code, out, error = leo("eval", copy, "--episodes", "2", "--csv", tmp_path / "all.csv")
        assert code == 0, error
        opened = RunFolder(copy)
        for seed in opened.seeds:
            agent = load_agent(opened, seed)
            env = opened.config.find_environment().make()
            expected = evaluate_goals(agent, env, 2, 10_000, goals=opened.config.eval_goal_ids)
            assert GoalReport.from_csv(seed.goals) == expected
        pooled = GoalReport.from_csv(tmp_path / "all.csv")
        assert (pooled.attempts + pooled.already_true == 4).all()
        assert "all seeds" in out

    def test_evaluating_some_goals_writes_no_table(self, run, leo):
        before = fingerprint(run)
        code, out, _ = leo("eval", run, "--goals", "cell/0,0", "3")
        assert code == 0 and "cell" in out and fingerprint(run) == before

    def test_ctrl_c_keeps_the_tables_of_finished_seeds(self, run, tmp_path, monkeypatch, leo):
        copy = shutil.copytree(run, tmp_path / "run")
        before = fingerprint(copy)
        seen, predict = [], PolicyAgent.predict

        def interrupted(model, *args, **kwargs):
            if model not in seen:
                seen.append(model)
                if len(seen) == 2:  # the first step of the second seed's agent
                    signal.raise_signal(signal.SIGINT)
            return predict(model, *args, **kwargs)

        monkeypatch.setattr(PolicyAgent, "predict", interrupted)
        code, out, error = leo("eval", copy, "--episodes", "3")
        assert code == 130 and f"leo eval {copy}" in out and f"files written: {copy / 'seed-0' / 'goals.csv'}." in out
        assert "Stopping" in error and "Traceback" not in error
        after = fingerprint(copy)
        assert [name for name in after if after[name] != before.get(name)] == ["seed-0/goals.csv"]
        assert len(after) == len(before)

    @pytest.mark.parametrize(
        ("arguments", "message"), [(["--goals", "cell/0,9"], "nearest"), (["--episodes", "0"], "at least 1")]
    )
    def test_bad_input(self, run, arguments, message, leo):
        code, _, error = leo("eval", run, *arguments)
        assert code == 2 and message in error


class TestPlay:
    def test_typed_goals(self, run, monkeypatch, leo):
        monkeypatch.setattr("sys.stdin", io.StringIO("cell/0,0\n3\ncell/0\nnonsense\n\nl\nq\n"))
        code, out, error = leo("play", run, "--view", "terminal", "--fps", "10000", "--max-steps", "5")
        assert code == 0, error
        assert "cell/0,0: " in out and "cell/0,3: " in out and "expected a goal, got 'nonsense'" in out
        assert out.count(" after ") == 3  # "cell/0" matches several goals, which are listed

    def test_a_named_goal_in_a_window(self, run, monkeypatch, leo):
        monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
        code, out, error = leo("play", run, "--view", "window", "--goal", "0", "--fps", "1000", "--max-steps", "3")
        assert code == 0 and "cell/0,0: " in out, error

    def test_by_keyboard(self, monkeypatch, leo):
        monkeypatch.setattr("sys.stdin", io.StringIO("d?d\x1bd"))
        code, out, _ = leo("play", "GridWorld", "--view", "terminal", "--env-set", "map=S..")
        assert code == 0 and "up" in out and "achieved: cell/0,1" in out and "achieved: cell/0,2" in out
        assert out.count("achieved:") == 2  # keys after Escape are ignored

    @pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
    def test_keys_and_arrows_of_a_terminal(self):
        ours, theirs = os.openpty()
        with open(theirs) as terminal, pressed_keys(terminal) as keys:
            pressed = []
            for sent in (b"t", b"\x1b[C", b"\x1bOA", b"\x1b[D"):
                os.write(ours, sent)
                pressed.append(next(keys))
            os.write(ours, b"\x1b")
            assert next(keys, None) is None
        os.close(ours)
        assert pressed == ["t", "d", "w", "a"]

    def test_bad_input(self, run, leo):
        for what, message in (("MountainCarContinuous", "Discrete"), ("GridWold", "nearest"), ("runs/none", "run folder")):
            code, _, error = leo("play", what, "--view", "terminal")
            assert code == 2 and message in error

    def test_images_as_half_blocks(self):
        image = np.zeros((4, 3, 3), dtype=np.uint8)
        image[1, :, 0] = 255
        lines = image_text(image, columns=3).splitlines()
        assert len(lines) == 2 and all(line.count("\u2580") == 3 for line in lines)
        assert "\x1b[38;2;0;0;0m\x1b[48;2;255;0;0m" in lines[0] and "255" not in lines[1]


class TestVideo:
    def test_several_goals(self, run, tmp_path, leo):
        path = tmp_path / "tour.gif"
        goals = ["--goal", "cell/0,1", "--goal", "1"]
        code, out, error = leo("video", run, *goals, "--out", path, "--max-steps", "4", "--width", "96")
        assert code == 0 and str(path) in out, error
        assert Image.open(path).width == 96 and Image.open(path).n_frames > 2

    def test_mp4(self, run, tmp_path, leo):
        pytest.importorskip("imageio_ffmpeg")
        path = tmp_path / "rollout.mp4"
        code, _, error = leo("video", run, "--goal", "cell/0,1", "--out", path, "--max-steps", "4", "--width", "64")
        assert code == 0 and path.read_bytes()[4:8] == b"ftyp", error

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--goal", "cell/9,9"], "nearest"),
            (["--goal", "0", "--out", "a.avi"], ".gif, .webp, .mp4"),
            (["--goal", "0", "--out", "nowhere/a.gif"], "nowhere"),
            (["--goal", "0", "--seed", "7"], "[0, 1]"),
            (["--goal", "0", "--fps", "0"], "--fps"),
        ],
    )
    def test_bad_input(self, run, arguments, message, leo):
        before = fingerprint(run)
        code, _, error = leo("video", run, *arguments)
        assert code == 2 and message in error and fingerprint(run) == before


class TestPrograms:
    def test_eval(self, run, leo):
        before = fingerprint(run)
        program = "cell/0,1 then cell/0,0 or cell/0,2 avoiding cell/0,3"
        code, out, error = leo(
            "eval", run, "--program", program, "--program", "cell/0,1", "--episodes", "2", "--max-steps", "6"
        )
        assert code == 0, error
        assert out.count(f"  {program}: ") == out.count("  cell/0,1: ") == 2 and out.count(" of 2 completed") == 4
        assert fingerprint(run) == before, "nothing is written"

    def test_figures(self, run, tmp_path, leo):
        path, programs = tmp_path / "program.png", ["--program", "cell/0,1 then cell/0,0", "--program", "cell/0,1"]
        code, out, error = leo("eval", run, *programs, "--episodes", "1", "--max-steps", "6", "--out", path)
        assert code == 0 and f"Wrote {path}" in out and Image.open(path).height > 1_000, error
        code, out, error = leo("report", run, *programs, "--videos", "0", "--out", tmp_path / "report.html")
        page = (tmp_path / "report.html").read_text()
        assert code == 0 and 'id="programs"' in page and page.count("data:image/png;base64,") >= 1, error

    def test_video_and_play(self, run, tmp_path, leo):
        path = tmp_path / "program.gif"
        programs = ["--program", "cell/0,1 then cell/0,0", "--program", "cell/0,1"]
        code, out, error = leo("video", run, *programs, "--out", path, "--max-steps", "4", "--width", "96")
        assert code == 0 and Image.open(path).n_frames > 2, error
        code, out, error = leo("play", run, *programs, "--view", "terminal", "--fps", "10000", "--max-steps", "5")
        assert code == 0 and "cell/0,1 then cell/0,0: " in out and out.count(" after ") == 2, error

    def test_baselines_whose_values_are_those_of_one_goal_at_a_time(self, baseline, leo):
        code, out, error = leo("eval", baseline, "--program", "cell/0,1", "--max-steps", "4")
        assert code == 0 and "cell/0,1: " in out, error

    def test_episodes_of_exact_values(self, monkeypatch):
        monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
        agent_class = importlib.import_module("gridworld_programs").ExactAgent
        grid = gym.make("leo/GridWorld-v0", map="S..#.", render_mode="ansi")
        rollout = ProgramRollout(agent_class(grid.unwrapped), grid)
        for _ in range(2):
            steps = list(rollout.run("cell/0,2 then cell/0,0", max_steps=9))
            assert [step.number for step in steps] == [0, 1, 2, 3, 4] and steps[-1].achieved and steps[-1].done
        assert [step.achieved for step in rollout.run("cell/0,4", max_steps=3)] == [False] * 4

    def test_observations_of_goals(self):
        grid = gym.make("leo/GridWorld-v0", map="S..#.")
        assert np.array_equal(goal_observations(grid), grid.unwrapped.all_observations())
        bits = gym.make("leo/BitFlip-v0", n_bits=3, goals="bit")
        achieved = bits.unwrapped.mdp.achieved(bits.unwrapped.states_of(goal_observations(bits)))
        assert achieved[np.arange(6), np.arange(6)].all()
        assert goal_observations(MultiGoalWrapper(gym.make("CartPole-v1"), GoalSet(["a"], lambda s: s[..., :1] > 0))) is None

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["eval", "--program", "cell/0,1 then cell/9,9"], "at column 15"),
            (["eval", "--program", "cell/0,1", "--goals", "cell/0,0"], "without --goals"),
            (["eval", "--out", "a.png"], "--out with --program"),
            (["eval", "--program", "cell/0,1", "--out", "nowhere/a.png"], "a missing folder"),
            (["report", "--program", "cell/0,1 then cell/9,9"], "at column 15"),
            (["video", "--program", "not cell/0,1"], "something completes"),
            (["video"], "--goal or --program"),
            (["play", "--program", "cell/0,1 & cell/0,0"], "at column 10"),
        ],
    )
    def test_bad_input(self, run, arguments, message, leo):
        code, _, error = leo(arguments[0], run, *arguments[1:])
        assert code == 2 and message in error


class TestPlot:
    def test_four_figures_of_two_runs(self, run, baseline, tmp_path, leo):
        before = fingerprint(run)
        code, _, error = leo("plot", run, baseline, "--out", tmp_path / "plots")
        assert code == 0, error
        names = {path.name for path in (tmp_path / "plots").iterdir()}
        assert names == {"curves.png", "final.png", "families.png", "goals_over_time.png"}
        assert all(len(np.unique(Image.open(tmp_path / "plots" / name))) > 20 for name in names)
        assert fingerprint(run) == before


class TestOutputs:
    def test_unwritable_files_fail_before_the_work(self, run, tmp_path, leo):
        (tmp_path / "folder").mkdir()
        (tmp_path / "file").write_text("kept")
        for arguments in (
            ["report", run, "--out", tmp_path / "folder"],
            ["report", run, "--out", tmp_path / "nowhere" / "a.html"],
            ["plot", run, "--out", tmp_path / "file"],
            ["eval", run, "--csv", tmp_path / "folder"],
            ["video", run, "--goal", "0", "--out", tmp_path / "folder.gif" / "a.gif"],
            ["goals", "GridWorld", "--csv", tmp_path / "folder"],
        ):
            code, out, error = leo(*arguments)
            assert code == 2 and str(tmp_path) in error and out == "", arguments

    def test_an_unwritable_table_fails_before_the_evaluation(self, run, tmp_path, monkeypatch, leo):
        copy = shutil.copytree(run, tmp_path / "run")
        (copy / "seed-0" / "goals.partial").mkdir()
        monkeypatch.setattr("leo_cli.evaluation.evaluate_goals", None)
        code, _, error = leo("eval", copy)
        assert code == 2 and str(copy / "seed-0" / "goals.partial") in error

    def test_check_output_changes_nothing(self, tmp_path):
        (tmp_path / "file").write_text("kept")
        assert check_output(tmp_path / "file").read_text() == "kept"
        check_output(tmp_path / "new")
        assert [path.name for path in tmp_path.iterdir()] == ["file"]


class TestBench:
    def test_list_of_benchmarks(self, leo):
        code, out, _ = leo("bench")
        assert code == 0 and "gridworld_learning" in out and "training_runs" not in out

    def test_arguments_are_passed_to_the_benchmark(self, leo, monkeypatch, tmp_path):
        script = '"""Return the number of arguments."""\nimport sys\nif __name__ == "__main__":\n    sys.exit(len(sys.argv))\n'
        (tmp_path / "echo.py").write_text(script)
        monkeypatch.setattr(bench, "FOLDER", tmp_path)
        assert leo("bench", "echo", "--steps", "3")[0] == 3
        assert leo("bench", "ec", "--steps")[0] == 2
        (tmp_path / "eco.py").write_text(script)
        code, _, error = leo("bench", "ec")
        assert code == 2 and "echo" in error

    def test_without_the_repository(self, leo, monkeypatch, tmp_path):
        monkeypatch.setattr(bench, "FOLDER", tmp_path)
        code, _, error = leo("bench", "gridworld_speed")
        assert code == 2 and "repository" in error

    def test_an_unknown_benchmark(self, leo):
        code, _, error = leo("bench", "gridworld_sped")
        assert code == 2 and "nearest: gridworld_speed" in error
