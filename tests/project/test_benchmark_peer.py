"""Comparison of ``pqn_speed`` with other code, whose commands are small scripts here."""

import importlib
import json
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium as gym
import pytest

from leo_agents import LEOPQN

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NUM_ENVS, NUM_STEPS = 4, 8


@pytest.fixture
def peer(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("peer")


@pytest.fixture
def pqn_speed(monkeypatch: pytest.MonkeyPatch, peer: ModuleType) -> ModuleType:
    """The benchmark with a small model in a gridworld."""

    def make_model(env: str, agent: str) -> LEOPQN:
        envs = gym.make_vec("leo/GridWorld-v0", num_envs=NUM_ENVS, autoreset_mode="SameStep")
        options: dict[str, Any] = {"n_steps": NUM_STEPS, "batch_size": 16, "n_epochs": 1, "seed": 0}
        return LEOPQN("MultiGoalPolicy", envs, policy_kwargs={"net_arch": [8]}, **options)

    module = importlib.import_module("pqn_speed")
    monkeypatch.setattr(module, "make_model", make_model)
    monkeypatch.setattr(module, "NUM_ENVS", NUM_ENVS)
    monkeypatch.setattr(module, "NUM_STEPS", NUM_STEPS)
    monkeypatch.setattr(module.th, "set_num_threads", lambda threads: None)
    return module


def python(code: str) -> str:
    return shlex.join([sys.executable, "-c", code])


@pytest.mark.parametrize(
    ("output", "speed"),
    [
        ("steps_per_second: 123", 123.0),
        ("compiling ...\n  steps_per_second: 1.5e3  \nwrote results", 1500.0),
        ("steps_per_second: 10\nsteps_per_second: 20", 20.0),
    ],
)
def test_speed_is_the_last_one_printed(peer: ModuleType, output: str, speed: float) -> None:
    assert peer.Peer(python(f"print({output!r})")).measure() == speed


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("", "to print a line such as 'steps_per_second: 123', got none in its standard output; print it last$"),
        ("print('my steps_per_second: 3')", "got none .*\nits output ends with:\nmy steps_per_second: 3$"),
        ("import sys; print('steps_per_second: 3', file=sys.stderr)", "got none in its standard output"),
        ("print('steps_per_second: fast')", "expected .* a positive number of steps per second, got 'fast'; print digits"),
        ("print('steps_per_second: 1,000')", "got '1,000'; print digits without separators"),
        ("print('steps_per_second: 0')", "got '0'"),
        ("print('steps_per_second: -3')", "got '-3'"),
        ("print('steps_per_second: nan')", "got 'nan'"),
        ("print('steps_per_second: inf')", "got 'inf'"),
        ("print('steps_per_second: 3'); raise SystemExit(7)", "exit with code 0, got code 7; run it alone to fix it$"),
        ("raise RuntimeError('no data')", "got code 1; .*\nits errors end with:\n(.*\n)*RuntimeError: no data$"),
        ("input()", "got code 1; .*\n(.*\n)*EOFError"),  # the terminal's input is not for the command
    ],
)
def test_errors(peer: ModuleType, code: str, message: str) -> None:
    with pytest.raises(peer.PeerError, match=message):
        peer.Peer(python(code)).measure()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("", "expected a command, got ''; give a program and its arguments"),
        ("python 'train.py", r"expected a command, got .* \(No closing quotation\); close its quotes"),
        ("no-such-program --steps 3", "expected a program that can be run, got 'no-such-program', which was not found; give"),
    ],
)
def test_errors_before_anything_is_measured(peer: ModuleType, command: str, message: str) -> None:
    with pytest.raises(peer.PeerError, match=message):
        peer.Peer(command)


def test_error_of_a_file_that_is_no_program(peer: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "program"
    path.write_bytes(b"\x00")
    path.chmod(0o755)
    with pytest.raises(peer.PeerError, match=r"expected a program .*program' \(Exec format error\); run it"):
        peer.Peer(str(path)).measure()


def run(module: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["pqn_speed.py", "--envs", "CraftaxClassic", "--agents", "LEOPQN", *arguments])
    module.main()


def test_ratio(
    pqn_speed: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    walls = iter([1.0, 2.0, 4.0])
    monkeypatch.setattr(
        pqn_speed, "iteration", lambda model: {"wall": next(walls), "processor": 1.0, **dict.fromkeys(pqn_speed.PARTS, 0.0)}
    )
    # One run per round, of 1, 4 and 2 steps per second: the ratios are 32, 4 and 4, their median is not that of the medians.
    count = tmp_path / "count"
    code = f"p = open({str(count)!r}, 'a'); p.write('x'); print('steps_per_second:', [1, 4, 2][p.tell() - 1])"
    out = tmp_path / "result.json"
    run(pqn_speed, monkeypatch, "--rounds", "3", "--out", str(out), "--beside", python(code))
    assert count.read_text() == "xxx"
    result = json.loads(out.read_text())["games"]["CraftaxClassic"]
    assert result["LEOPQN"]["speed_by_peer"] == 4.0
    assert result["peer"] == {"command": python(code), "steps_per_second": 2.0}
    assert "LEOPQN: 4.0 times as many steps per second" in capsys.readouterr().out


def test_without_peer(pqn_speed: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    run(pqn_speed, monkeypatch, "--rounds", "1", "--out", str(out))
    result = json.loads(out.read_text())["games"]["CraftaxClassic"]
    assert set(result) == {"LEOPQN"}
    assert "speed_by_peer" not in result["LEOPQN"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--beside", "no-such-program"], "argument --beside: expected a program that can be run, got 'no-such-program'"),
        (
            ["--beside", "ls", "--envs", "Craftax", "CraftaxClassic"],
            "expected one environment with --beside, got 2; add",
        ),
        (["--beside", python("raise SystemExit(3)")], "got code 3"),
    ],
)
def test_errors_of_the_benchmark(
    pqn_speed: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    out = tmp_path / "result.json"
    with pytest.raises(SystemExit) as exit_info:
        run(pqn_speed, monkeypatch, "--rounds", "1", "--out", str(out), *arguments)
    assert exit_info.value.code == 2
    assert message in capsys.readouterr().err
    assert not out.exists()
