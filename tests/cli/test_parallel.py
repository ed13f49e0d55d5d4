"""Several seeds at once."""

import os
import shutil
import signal
import time
from multiprocessing import get_context

import pytest
import torch as th

from leo_agents import LEODQN
from leo_agents.learning.checkpoints import latest_checkpoint
from leo_cli.interrupts import deaf_processes
from tests.cli.conftest import train
from tests.cli.test_train import start

DYING = """
import os, signal
import gymnasium as gym
from tests.corridor_env import CorridorEnv

class Dying(CorridorEnv):
    def step(self, action):
        os.kill(os.getpid(), signal.SIGKILL)

gym.register("dying/Corridor-v0", Dying)
"""


def checkpoint(folder, seed: int) -> str:
    return latest_checkpoint(folder / f"seed-{seed}" / "checkpoints").name


def test_seeds_trained_together_are_the_same_as_one_after_the_other(run, tmp_path, capsys):
    folder = tmp_path / "together"
    assert train(folder, "leodqn", "--seeds", "2", "--jobs", "5") == 0
    said = capsys.readouterr().out
    for seed in (0, 1):
        assert f"leodqn, seed {seed}: 400 of 400 steps" in said and f"seed {seed}: evaluating 17 goals" in said
        one, other = (
            LEODQN.load(latest_checkpoint(place / f"seed-{seed}" / "checkpoints") / "model.zip").policy.state_dict()
            for place in (run, folder)
        )
        assert all(th.equal(one[name], other[name]) for name in one)
        for file in ("evaluations.csv", "goals.csv"):
            assert (run / f"seed-{seed}" / file).read_text() == (folder / f"seed-{seed}" / file).read_text()


def test_ctrl_c_stops_all_of_them_with_a_checkpoint_each(tmp_path, leo):
    """As a terminal does it: every process of the group gets the signal."""
    folder, steps = tmp_path / "run", 3_000
    process = start(folder, steps, "--seeds", "3", "--jobs", "2")
    assert process.stdout is not None
    begun = set()
    for line in process.stdout:
        begun |= {seed for seed in (0, 1) if f"seed {seed}: " in line and "of 3,000 steps" in line}
        if len(begun) == 2:
            break
    os.killpg(process.pid, signal.SIGINT)
    said, error = process.communicate(timeout=200)
    assert process.returncode == 130, error
    assert f"leo train --resume {folder}" in said and "Traceback" not in said + error
    assert "failed" not in said + error and "leaves a checkpoint" in error
    stopped_at = [int(checkpoint(folder, seed)[5:]) for seed in (0, 1)]
    assert all(600 <= steps_done <= steps for steps_done in stopped_at) and min(stopped_at) < steps
    assert not (folder / "seed-2").exists()

    code, _, error = leo("train", "--resume", folder, "--jobs", "3")
    assert code == 0, error
    assert [checkpoint(folder, seed) for seed in (0, 1, 2)] == ["step-000000003000"] * 3
    assert all((folder / f"seed-{seed}" / "goals.csv").exists() for seed in (0, 1, 2))


def test_when_one_fails_the_others_finish_and_the_error_names_it(run, tmp_path, leo):
    folder = shutil.copytree(run, tmp_path / "run")
    model = latest_checkpoint(folder / "seed-0" / "checkpoints") / "model.zip"
    model.write_bytes(model.read_bytes()[:1_000])
    code, said, error = leo("train", "--resume", folder, "--steps", "500", "--jobs", "2")
    assert code == 2 and "Traceback" not in said + error
    assert f"seed 0 failed, in {folder / 'seed-0'}: expected a whole checkpoint" in said
    assert f"got 1 that failed: seed 0 ({folder / 'seed-0'})" in error and f"leo train --resume {folder}" in error
    assert checkpoint(folder, 0) == "step-000000000400" and checkpoint(folder, 1) == "step-000000000500"
    assert (folder / "seed-1" / "goals.csv").exists()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal")
def test_a_process_that_was_killed_is_told_of(tmp_path, monkeypatch, leo):
    (tmp_path / "my_dying_corridors.py").write_text(DYING)
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "run"
    quick = ["--steps", "40", "--num-envs", "1", "--seeds", "2", "--jobs", "2", "--folder", folder]
    code, said, error = leo("train", "leodqn", "my_dying_corridors:dying/Corridor-v0", *quick)
    assert code == 2 and "got 2 that failed" in error
    assert "seed 1 failed: its process was killed by SIGKILL" in said and str(folder / "seed-1") in said


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals of another kind")
def test_processes_that_are_to_be_deaf_are():
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    deaf = get_context("spawn").Process(target=time.sleep, args=(1,))
    with deaf_processes():
        assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())
        deaf.start()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before - {signal.SIGINT}
    os.kill(deaf.pid, signal.SIGINT)
    deaf.join()
    assert deaf.exitcode == 0
