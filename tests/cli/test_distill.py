"""``leo distill``."""

import numpy as np
import pytest
import torch as th

from leo_agents import LEODQN
from leo_agents.learning.policy_data import load_policy
from leo_cli.run_folder import RunFolder
from tests.cli.conftest import MAZE


def test_the_student_is_written_and_evaluated(run, leo, tmp_path):
    out = tmp_path / "student.zip"
    options = ["--steps", 30, "--out", out, "--seed", 1]
    code, printed, error = leo("distill", run, *options, "--set", "policy_kwargs.net_arch=[8]", "batch_size=32")
    assert code == 0, error
    student = load_policy(out)
    assert student.goal_names == tuple(RunFolder(str(run)).config.goals)
    assert student.policy.q_net.trunk[0].out_features == 8
    lines = printed.splitlines()
    weights = [int(line.split()[1].replace(",", "")) for line in lines[:2]]
    assert [line.split()[0] for line in lines[:2]] == ["agent", "student"] and weights[1] < weights[0]
    assert lines[2].startswith(f"Wrote {out} (")
    assert LEODQN.load(out).gamma == student.gamma == 0.99


def test_torchscript_and_states_of_a_dataset(run, leo, tmp_path):
    assert leo("collect", *MAZE, "--steps", 100, "--out", tmp_path / "data")[0] == 0
    out, options = tmp_path / "student.pt", ["--dataset", tmp_path / "data", "--student", "pqn"]
    code, _, error = leo("distill", run, "--steps", 5, "--out", out, *options)
    assert code == 0, error
    environment = RunFolder(str(run)).config.find_environment().make()
    state = th.as_tensor(environment.reset(seed=0)[0][None])
    values = th.jit.load(str(out))(state, th.tensor([3])).detach().numpy()
    assert values.shape == (1, 4) and np.isfinite(values).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "student.txt"], "expected a file with the ending .zip or .pt as --out, got student.txt"),
        (
            ["--student", "leotd3"],
            "expected a LEOTD3 or a LEOSAC",
        ),
        (["--student", "sac"], "expected student_kind to be one of"),
        (["--steps", "0"], "expected steps of at least 1"),
        (["--set", "net_arch=[8]"], "net_arch"),
        (["--set", "steps=3"], "steps"),
        (["--student", "ppo", "--out", "student.pt"], "for TorchScript, got ppo"),
        (["--dataset", "missing"], "missing"),
    ],
)
def test_invalid_arguments(run, leo, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    code, _, error = leo("distill", run, "--steps", "1", *options)
    assert code == 2 and message in error
    assert not list(tmp_path.iterdir())
