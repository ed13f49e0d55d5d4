"""Training seeds in parallel processes."""

import os
import shutil
import signal
import time
from multiprocessing import get_context

import pytest
import torch as th

from leo_agents import LEODQN
from leo_agents.learning.checkpoint_files import latest_checkpoint
from leo_cli.interrupts import block_sigint
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


def test_parallel_training_equals_sequential_training(run, tmp_path, capsys):
    folder = tmp_path / "together"
    assert train(folder, "leodqn", "--seeds", "2", "--jobs", "5") == 0
    out = capsys.readouterr().out
    for seed in (0, 1):
        assert f"leodqn, seed {seed}: 400 of 400 steps" in out and f"seed {seed}: evaluating 17 goals" in out
        one, other = (
            LEODQN.load(latest_checkpoint(path / f"seed-{seed}" / "checkpoints") / "model.zip").policy.state_dict()
            for path in (run, folder)
        )
        assert all(th.equal(one[name], other[name]) for name in one)
        for file in ("evaluations.csv", "goals.csv"):
            assert (run / f"seed-{seed}" / file).read_text() == (folder / f"seed-{seed}" / file).read_text()


def test_ctrl_c_stops_all_seeds_with_a_checkpoint_each(tmp_path, leo):
    """As from a terminal, every process of the group receives the signal."""
    folder, steps = tmp_path / "run", 3_000
    process = start(folder, steps, "--seeds", "3", "--jobs", "2")
    assert process.stdout is not None
    started = set()
    for line in process.stdout:
        started |= {seed for seed in (0, 1) if f"seed {seed}: " in line and "of 3,000 steps" in line}
        if len(started) == 2:
            break
    os.killpg(process.pid, signal.SIGINT)
    out, error = process.communicate(timeout=200)
    assert process.returncode == 130, error
    assert f"leo train --resume {folder}" in out and "Traceback" not in out + error
    assert "failed" not in out + error and "save a checkpoint" in error
    stopped_at = [int(checkpoint(folder, seed)[5:]) for seed in (0, 1)]
    assert all(600 <= steps_done <= steps for steps_done in stopped_at) and min(stopped_at) < steps
    assert not (folder / "seed-2").exists()

    code, _, error = leo("train", "--resume", folder, "--jobs", "3")
    assert code == 0, error
    assert [checkpoint(folder, seed) for seed in (0, 1, 2)] == ["step-000000003000"] * 3
    assert all((folder / f"seed-{seed}" / "goals.csv").exists() for seed in (0, 1, 2))


def test_when_a_seed_fails_the_others_finish_and_the_error_names_it(run, tmp_path, leo):
    folder = shutil.copytree(run, tmp_path / "run")
    for model in folder.glob("seed-0/checkpoints/*/model.zip"):
        model.write_bytes(model.read_bytes()[:1_000])
    code, out, error = leo("train", "--resume", folder, "--steps", "500", "--jobs", "2")
    assert code == 2 and "Traceback" not in out + error
    assert f"seed 0 failed, in {folder / 'seed-0'}: expected a complete checkpoint" in out
    assert f"got 1 that failed: seed 0 ({folder / 'seed-0'})" in error and f"leo train --resume {folder}" in error
    assert checkpoint(folder, 0) == "step-000000000400" and checkpoint(folder, 1) == "step-000000000500"
    assert (folder / "seed-1" / "goals.csv").exists()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL")
def test_a_killed_process_is_reported(tmp_path, monkeypatch, leo):
    (tmp_path / "my_dying_corridors.py").write_text(DYING)
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "run"
    quick = ["--steps", "40", "--num-envs", "1", "--seeds", "2", "--jobs", "2", "--folder", folder]
    code, out, error = leo("train", "leodqn", "my_dying_corridors:dying/Corridor-v0", *quick)
    assert code == 2 and "got 2 that failed" in error
    assert "seed 1 failed: its process was killed by SIGKILL" in out and str(folder / "seed-1") in out


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="no signal masks")
def test_child_processes_do_not_receive_sigint():
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    child = get_context("spawn").Process(target=time.sleep, args=(1,))
    with block_sigint():
        assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())
        child.start()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before - {signal.SIGINT}
    os.kill(child.pid, signal.SIGINT)
    child.join()
    assert child.exitcode == 0
