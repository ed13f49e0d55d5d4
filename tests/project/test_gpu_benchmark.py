"""The benchmark of one GPU, run on the CPU with few environments that compile fast."""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from leo_wrappers.jax_envs import batched_env
from tests.wanderer_env import Wanderer

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def gpu_speed(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    module = importlib.import_module("gpu_speed")
    monkeypatch.setattr(module, "ENVS", {"Wanderer": Wanderer})
    return module


def run(module: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu_speed.py", "--no-tests", *arguments])
    module.main()


def test_quick_run(gpu_speed: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run(gpu_speed, monkeypatch, "--quick", "--out", str(tmp_path / "results.json"))
    result = json.loads((tmp_path / "results.json").read_text())
    rows = result["rows"]
    assert not [row for row in rows if "error" in row or "cuda_graph" not in row.get("skipped", "cuda_graph")]
    assert {row["name"] for row in rows} == {"LEOSAC", "compile", "environment", "LEOPQN", "PQN", "LEODQN"}
    settings = {(row["net"], row["precision"], row["cuda_graph"]) for row in rows if row["name"] == "LEOPQN"}
    assert settings == set(gpu_speed.LEOPQN_ROWS)
    for row in rows:
        if row["name"] == "LEOPQN" and "skipped" not in row:
            assert 0 < row["rollout_ms"] + row["update_ms"] < 1.5 * row["iteration_ms"]


def test_failed_rows_do_not_stop_the_others(gpu_speed: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(gpu_speed.Benchmark, "pqn", fail)
    run(gpu_speed, monkeypatch, "--quick", "--out", str(tmp_path / "results.json"))
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert {row["error"] for row in rows if row["name"] == "LEOPQN"} == {"RuntimeError: out of memory"}
    assert next(row["tensors_ms"] > 0 for row in rows if row["name"] == "environment")
    assert rows[-1]["name"] == "LEOSAC"


def test_compiler_options(gpu_speed: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # As on a GPU, where the options are those of the function that also resets.
    monkeypatch.setattr(batched_env, "_resets_on_device", lambda: True)
    run(gpu_speed, monkeypatch, "--quick", "--xla", "--out", str(tmp_path / "results.json"))
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert [row["options"] for row in rows if row["name"] == "XLA options" and row["tensors_ms"] > 0] == ["library", "none"]
    assert all(0 < row["goals_ms"] < row["tensors_ms"] for row in rows)
    assert rows[0]["digest"] == rows[1]["digest"]
    step = gpu_speed.batch_functions.step_and_start
    assert step.outermost is step.inner


def test_training_for_a_given_time(gpu_speed: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    training = sys.modules["gpu_training"]
    monkeypatch.setattr(training, "CraftaxClassic", Wanderer)
    monkeypatch.setitem(training.SETTINGS["policy_kwargs"], "net_arch", [16])
    monkeypatch.setattr(training, "EVALUATION_SECONDS", 98.0)
    run(
        gpu_speed, monkeypatch, "--train", "99", "--seconds", "200", "--num-envs", "8", "--out", str(tmp_path / "results.json")
    )
    result = json.loads((tmp_path / "results.json").read_text())
    speed, halfway, trained, evaluation = result["rows"]
    assert speed["steps_per_second"] > 0 and 0 < evaluation["success"] <= 1 and evaluation["position"] == evaluation["success"]
    # Equal on a machine so slow that a single rollout is planned.
    assert 0 < halfway["steps"] <= trained["steps"] == evaluation["steps"]
    assert trained["seen"] == 8 and trained["gradient_steps"] > 0
    steps = [point["steps"] for point in result["curve"]]
    assert 0 < steps[0] and steps == sorted(steps) and steps[-1] <= trained["steps"] <= trained["steps_planned"] + 256


def test_no_row_starts_after_the_time(gpu_speed: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run(gpu_speed, monkeypatch, "--quick", "--seconds", "0", "--out", str(tmp_path / "results.json"))
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert len(rows) > 10 and all(row["skipped"] == "0 seconds were over" for row in rows)
