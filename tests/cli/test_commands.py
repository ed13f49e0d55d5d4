"""Verbs that read a run or an environment: goals, check, eval, play, video, plot, bench."""

import csv
import io
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leo_agents import LEODQN
from leo_agents.evaluation import GoalReport, evaluate_goals
from leo_cli.commands import bench
from leo_cli.commands.table import VERBS
from leo_cli.outputs import check_output
from leo_cli.run_folder import RunFolder, load_agent
from leo_cli.terminal import picture_text, pressed_keys
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
    """A package of a user's own, in the folder where the command is typed."""
    (tmp_path / "my_corridors.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)
    return "my_corridors"


class TestHelp:
    @pytest.mark.parametrize("verb", VERBS)
    def test_every_verb_explains_itself(self, verb, leo):
        code, said, _ = leo(verb, "--help")
        assert code == 0 and f"leo {verb}" in said and "Examples" in said

    def test_the_command_as_a_module(self):
        result = subprocess.run([sys.executable, "-m", "leo_cli", "--help"], cwd=ROOT, capture_output=True, text=True)
        assert result.returncode == 0 and all(verb in result.stdout for verb in VERBS)

    def test_without_the_extra_it_says_what_to_install(self):
        script = "import sys; sys.modules['tyro'] = None; from leo_cli.main import main; sys.exit(main(['goals']))"
        result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
        assert result.returncode == 2 and 'pip install "leo-rl[cli]"' in result.stderr

    def test_where_an_error_came_from_is_shown_on_request(self, leo, monkeypatch):
        monkeypatch.setenv("LEO_TRACEBACK", "1")
        with pytest.raises(ValueError, match="GridWorld"):
            leo("goals", "GridWold")


class TestGoals:
    def test_names_families_and_descriptors(self, leo):
        code, said, _ = leo("goals", "BitFlip", "--env-set", "n_bits=3")
        assert code == 0 and "8 goals" in said
        assert all(f"pattern/{number:03b}" in said for number in range(8)) and "0 1 1" in said

    def test_search_and_family(self, leo):
        said = leo("goals", "GridWorld", "--search", "CELL/15,14")[1]
        assert "cell/15,14" in said and "cell/15,13" not in said
        assert "9 of them cannot be reached" in said
        assert "more: --all" in leo("goals", "GridWorld")[1] and "more: --all" not in leo("goals", "GridWorld", "--all")[1]

    def test_the_whole_list_as_a_file(self, tmp_path, leo):
        assert leo("goals", "GridWorld", "--csv", tmp_path / "goals.csv")[0] == 0
        rows = list(csv.DictReader(open(tmp_path / "goals.csv")))
        assert len(rows) == 180 and rows[0]["goal"] == "cell/0,0" and {"family", "descriptor_1"} <= set(rows[0])

    def test_without_an_environment_it_lists_ours(self, leo):
        assert {"leo/GridWorld-v0", "leo/CraftaxClassic-v0"} <= set(leo("goals")[1].split())

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [(["--family", "cel"], "nearest: cell"), (["--search", "cellar"], "nearest: cell"), (["--env-set", "mapp=x"], "map")],
    )
    def test_bad_input(self, arguments, message, leo):
        code, _, error = leo("goals", "GridWorld", *arguments)
        assert code == 2 and message in error


class TestCheck:
    def test_ours_pass(self, leo):
        code, said, _ = leo("check", "GridWorld", "--steps", "60")
        assert code == 0 and said.count("keeps the contract") == 2

    def test_an_environment_of_the_users_own(self, corridors, leo):
        code, said, _ = leo("check", f"{corridors}:whole/Corridor-v0", "--steps", "60")
        assert code == 0 and "keeps the contract" in said
        code, said, _ = leo("check", f"{corridors}:broken/Corridor-v0", "--steps", "60")
        assert code == 1 and "broken" in said and "observation" in said

    def test_a_misspelt_one(self, corridors, leo):
        code, _, error = leo("check", f"{corridors}:whole/Coridor-v0")
        assert code == 2 and "whole/Corridor-v0" in error


class TestEval:
    def test_it_counts_as_evaluate_goals_does(self, run, tmp_path, leo):
        copy = shutil.copytree(run, tmp_path / "run")
        code, said, error = leo("eval", copy, "--episodes", "2", "--csv", tmp_path / "all.csv")
        assert code == 0, error
        opened = RunFolder(copy)
        for seed in opened.seeds:
            agent = load_agent(opened, seed)
            env = opened.config.make_environment().make()
            expected = evaluate_goals(agent, env, 2, 10_000, goals=opened.config.judged)
            assert GoalReport.from_csv(seed.goals) == expected
        together = GoalReport.from_csv(tmp_path / "all.csv")
        assert (together.attempts + together.already_true == 4).all()
        assert "all seeds" in said

    def test_some_goals_leave_the_table_alone(self, run, leo):
        before = fingerprint(run)
        code, said, _ = leo("eval", run, "--goals", "cell/0,0", "3")
        assert code == 0 and "cell" in said and fingerprint(run) == before

    def test_ctrl_c_keeps_what_is_written_and_says_how_to_go_on(self, run, tmp_path, monkeypatch, leo):
        copy = shutil.copytree(run, tmp_path / "run")
        before = fingerprint(copy)
        asked, predict = [], LEODQN.predict

        def interrupted(model, *args, **kwargs):
            if model not in asked:
                asked.append(model)
                if len(asked) == 2:  # the second seed's agent begins
                    signal.raise_signal(signal.SIGINT)
            return predict(model, *args, **kwargs)

        monkeypatch.setattr(LEODQN, "predict", interrupted)
        code, said, error = leo("eval", copy, "--episodes", "3")
        assert code == 130 and f"leo eval {copy}" in said and f"{copy / 'seed-0' / 'goals.csv'} was written" in said
        assert "Stopping" in error and "Traceback" not in error
        after = fingerprint(copy)
        assert [name for name in after if after[name] != before.get(name)] == ["seed-0/goals.csv"] and len(after) == len(
            before
        )

    @pytest.mark.parametrize(
        ("arguments", "message"), [(["--goals", "cell/0,9"], "nearest"), (["--episodes", "0"], "at least 1")]
    )
    def test_bad_input(self, run, arguments, message, leo):
        code, _, error = leo("eval", run, *arguments)
        assert code == 2 and message in error


class TestPlay:
    def test_typed_goals(self, run, monkeypatch, leo):
        monkeypatch.setattr("sys.stdin", io.StringIO("cell/0,0\n3\ncell/0\nnonsense\n\nl\nq\n"))
        code, said, error = leo("play", run, "--view", "terminal", "--fps", "10000", "--max-steps", "5")
        assert code == 0, error
        assert "cell/0,0: " in said and "cell/0,3: " in said and "expected a goal, got 'nonsense'" in said
        assert said.count(" after ") == 3  # "cell/0" means several goals, which are listed

    def test_a_named_goal_in_a_window(self, run, monkeypatch, leo):
        monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
        code, said, error = leo("play", run, "--view", "window", "--goal", "0", "--fps", "1000", "--max-steps", "3")
        assert code == 0 and "cell/0,0: " in said, error

    def test_by_keyboard(self, monkeypatch, leo):
        monkeypatch.setattr("sys.stdin", io.StringIO("d?d\x1bd"))
        code, said, _ = leo("play", "GridWorld", "--view", "terminal", "--env-set", "map=S..")
        assert code == 0 and "up" in said and "achieved: cell/0,1" in said and "achieved: cell/0,2" in said
        assert said.count("achieved:") == 2  # what follows Escape is not played

    @pytest.mark.skipif(sys.platform == "win32", reason="terminals of another kind")
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

    def test_what_cannot_be_played(self, run, leo):
        for what, message in (("MountainCarContinuous", "Discrete"), ("GridWold", "nearest"), ("runs/none", "run folder")):
            code, _, error = leo("play", what, "--view", "terminal")
            assert code == 2 and message in error

    def test_pictures_in_half_blocks(self):
        picture = np.zeros((4, 3, 3), dtype=np.uint8)
        picture[1, :, 0] = 255
        lines = picture_text(picture, columns=3).splitlines()
        assert len(lines) == 2 and all(line.count("\u2580") == 3 for line in lines)
        assert "\x1b[38;2;0;0;0m\x1b[48;2;255;0;0m" in lines[0] and "255" not in lines[1]


class TestVideo:
    def test_a_tour(self, run, tmp_path, leo):
        path = tmp_path / "tour.gif"
        goals = ["--goal", "cell/0,1", "--goal", "1"]
        code, said, error = leo("video", run, *goals, "--out", path, "--max-steps", "4", "--width", "96")
        assert code == 0 and str(path) in said, error
        assert Image.open(path).width == 96 and Image.open(path).n_frames > 2

    def test_mp4(self, run, tmp_path, leo):
        pytest.importorskip("imageio_ffmpeg")
        path = tmp_path / "walk.mp4"
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


class TestPlot:
    def test_four_pictures_of_two_runs(self, run, baseline, tmp_path, leo):
        before = fingerprint(run)
        code, _, error = leo("plot", run, baseline, "--out", tmp_path / "plots")
        assert code == 0, error
        names = {path.name for path in (tmp_path / "plots").iterdir()}
        assert names == {"curves.png", "final.png", "families.png", "goals_over_time.png"}
        assert all(len(np.unique(Image.open(tmp_path / "plots" / name))) > 20 for name in names)
        assert fingerprint(run) == before


class TestOutputs:
    def test_files_that_cannot_be_written_are_refused_before_the_work(self, run, tmp_path, leo):
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
            code, said, error = leo(*arguments)
            assert code == 2 and str(tmp_path) in error and said == "", arguments

    def test_a_table_that_cannot_be_replaced_is_noticed_before_the_evaluation(self, run, tmp_path, monkeypatch, leo):
        copy = shutil.copytree(run, tmp_path / "run")
        (copy / "seed-0" / "goals.partial").mkdir()
        monkeypatch.setattr("leo_cli.evaluation.evaluate_goals", None)
        code, _, error = leo("eval", copy)
        assert code == 2 and str(copy / "seed-0" / "goals.partial") in error

    def test_looking_changes_nothing(self, tmp_path):
        (tmp_path / "file").write_text("kept")
        assert check_output(tmp_path / "file").read_text() == "kept"
        check_output(tmp_path / "new")
        assert [path.name for path in tmp_path.iterdir()] == ["file"]


class TestBench:
    def test_the_list_tells_what_each_measures(self, leo):
        code, said, _ = leo("bench")
        assert code == 0 and "gridworld_learning" in said and "training_runs" not in said

    def test_options_reach_the_benchmark(self, leo, monkeypatch, tmp_path):
        script = '"""Counts."""\nimport sys\nif __name__ == "__main__":\n    sys.exit(len(sys.argv))\n'
        (tmp_path / "echo.py").write_text(script)
        monkeypatch.setattr(bench, "FOLDER", tmp_path)
        assert leo("bench", "echo", "--steps", "3")[0] == 3

    def test_without_the_repository(self, leo, monkeypatch, tmp_path):
        monkeypatch.setattr(bench, "FOLDER", tmp_path)
        code, _, error = leo("bench", "gridworld_speed")
        assert code == 2 and "repository" in error

    def test_a_misspelt_one(self, leo):
        code, _, error = leo("bench", "gridworld_sped")
        assert code == 2 and "nearest: gridworld_speed" in error
