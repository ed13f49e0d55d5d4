"""Every example runs from top to bottom, with few steps."""

import runpy
import sys

import pytest

from tests.project.test_packaging import ROOT

FOLDER = ROOT / "examples"

SHORT = {
    "checkpoints": ["--steps", "300", "--folder", "made"],
    "continuous_actions": ["--steps", "130", "--start", "100", "--folder", "made"],
    "craftax_games": ["--steps", "90", "--games", "3", "--patience", "5"],
    "goal_selector": ["--steps", "300"],
    "her_or_leo": ["--steps", "1200", "--folder", "made"],
    "quick_start": ["--steps", "300", "--folder", "made"],
    "wrap_an_environment": ["--steps", "300"],
    "your_environment": ["--steps", "300"],
}

SAYS = {
    "checkpoints": "with the same weights, bit for bit: True",
    "continuous_actions": "125 goals",
    "craftax_games": "of 136 goals were achieved at least once",
    "goal_selector": "middling: ",
    "her_or_leo": "DQN + HER",
    "quick_start": "180 goals",
    "wrap_an_environment": "of 96 cells were ever reached",
    "your_environment": "parcel      16",
}

MAKES = {
    "checkpoints": {"whole.csv", "resumed.csv", "learning_curve.png", "checkpoints"},
    "continuous_actions": {"success.png"},
    "her_or_leo": {"comparison.png"},
    "quick_start": {"model.zip", "goals.csv"},
}


@pytest.mark.parametrize("name", SHORT)
def test_an_example_runs(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *SHORT[name]])
    runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    said = " ".join(capsys.readouterr().out.split())
    assert " ".join(SAYS[name].split()) in said
    if name in MAKES:
        assert {path.name for path in (tmp_path / "made").iterdir()} == MAKES[name]


def test_examples_are_short_and_all_of_them_are_tested_and_listed():
    scripts = {path.stem: path for path in FOLDER.glob("*.py") if path.stem != "demo"}
    assert set(scripts) == set(SHORT) == set(SAYS)
    for path in scripts.values():
        assert len(path.read_text().splitlines()) < 80, path.name
    page = (ROOT / "docs" / "examples.md").read_text()
    for name in scripts:
        assert f"[{name}.py](../examples/{name}.py)" in page
