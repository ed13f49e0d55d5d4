"""Every example runs with few steps."""

import runpy
import sys

import pytest

from tests.project.test_packaging import ROOT

FOLDER = ROOT / "examples"

SHORT = {
    "checkpoints": ["--steps", "300", "--folder", "out"],
    "continuous_actions": ["--steps", "130", "--start", "100", "--folder", "out"],
    "craftax_parallel": ["--steps", "90", "--num-envs", "3", "--max-steps", "5"],
    "goal_selector": ["--steps", "300"],
    "her_or_leo": ["--steps", "1200", "--folder", "out"],
    "quick_start": ["--steps", "300", "--folder", "out"],
    "wrap_an_environment": ["--steps", "300"],
    "your_environment": ["--steps", "300"],
}

EXPECTED_OUTPUT = {
    "checkpoints": "Same weights as uninterrupted training: True",
    "continuous_actions": "125 goals",
    "craftax_parallel": "of 136 goals were achieved at least once",
    "goal_selector": "few tries: ",
    "her_or_leo": "DQN + HER",
    "quick_start": "180 goals",
    "wrap_an_environment": "of 96 cells were achieved",
    "your_environment": "parcel      16",
}

EXPECTED_FILES = {
    "checkpoints": {"uninterrupted.csv", "resumed.csv", "learning_curve.png", "checkpoints"},
    "continuous_actions": {"success.png"},
    "her_or_leo": {"comparison.png"},
    "quick_start": {"model.zip", "goals.csv"},
}


@pytest.mark.parametrize("name", SHORT)
def test_example_runs(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *SHORT[name]])
    runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    output = " ".join(capsys.readouterr().out.split())
    assert " ".join(EXPECTED_OUTPUT[name].split()) in output
    if name in EXPECTED_FILES:
        assert {path.name for path in (tmp_path / "out").iterdir()} == EXPECTED_FILES[name]


def test_all_examples_are_short_tested_and_listed():
    scripts = {path.stem: path for path in FOLDER.glob("*.py") if path.stem != "demo"}
    assert set(scripts) == set(SHORT) == set(EXPECTED_OUTPUT)
    for path in scripts.values():
        assert len(path.read_text().splitlines()) < 80, path.name
    page = (ROOT / "docs" / "examples.md").read_text()
    for name in scripts:
        assert f"[{name}.py](../examples/{name}.py)" in page
