"""Run folders that cannot be read: which file is wrong, what to do, and nothing is touched."""

import shutil

import pytest
import yaml

from tests.cli.conftest import fingerprint, train

READERS = (
    ["eval"],
    ["plot"],
    ["report", "--videos", "0"],
    ["video", "--goal", "0"],
    ["play", "--goal", "0", "--view", "terminal"],
)


@pytest.fixture
def copy(run, tmp_path):
    return shutil.copytree(run, tmp_path / "run")


def change(copy, **values):
    content = yaml.safe_load((copy / "run.yml").read_text())
    (copy / "run.yml").write_text(yaml.safe_dump({**content, **values}))


def assert_refused(leo, copy, readers, *messages):
    before = fingerprint(copy)
    for verb, *arguments in readers:
        code, _, error = leo(verb, copy, *arguments)
        assert code == 2 and all(message in error for message in messages), (verb, error)
    assert fingerprint(copy) == before


def test_a_run_of_another_version(copy, leo):
    change(copy, **{"format": 99, "leo-rl": "7.0"})
    assert_refused(leo, copy, READERS, "run.yml", "format 99", "leo-rl 7.0")
    assert "format 99" in leo("train", "--resume", copy)[2]


def test_a_damaged_description(copy, leo):
    whole = (copy / "run.yml").read_text()
    for content, message in ((whole[:200], "run.yml"), ("format: 1\n", "run.yml"), ("", "run.yml")):
        (copy / "run.yml").write_text(content)
        assert_refused(leo, copy, READERS, message)


def test_a_missing_checkpoint(copy, leo):
    for seed in (0, 1):
        shutil.rmtree(copy / f"seed-{seed}" / "checkpoints")
    assert_refused(leo, copy, READERS, "checkpoints", "leo train --resume")


def test_a_damaged_checkpoint(copy, leo):
    (model,) = copy.glob("seed-0/checkpoints/step-*/model.zip")
    model.write_bytes(model.read_bytes()[:1000])
    readers = [reader for reader in READERS if reader[0] not in ("plot", "report")]
    assert_refused(leo, copy, readers, str(model.parent), "damaged", "leo train --resume")
    before = fingerprint(copy)
    code, _, error = leo("train", "--resume", copy, "--steps", "400")
    assert code == 0, error  # nothing is left to train
    change(copy, settings={**yaml.safe_load((copy / "run.yml").read_text())["settings"], "steps": 900})
    code, _, error = leo("train", "--resume", copy)
    assert code == 2 and str(model.parent) in error
    after = fingerprint(copy)
    assert {name for name in before if before[name] != after[name]} == {"run.yml", "commands.txt"}


def test_damaged_tables(copy, leo):
    readers = [["plot"], ["report", "--videos", "0"]]
    table = copy / "seed-1" / "evaluations.csv"
    whole = table.read_text()
    table.write_text("not,a,table\n")
    assert_refused(leo, copy, readers, str(table))
    table.unlink()
    assert_refused(leo, copy, readers, str(table))
    table.write_text(whole)
    (copy / "seed-0" / "goals.csv").write_text("nor,this\n")
    assert_refused(leo, copy, readers, "goals.csv", "leo eval")


def test_mixed_goal_sets(run, tmp_path, leo):
    assert train(tmp_path / "other", "leodqn", "--env-set", "map=maze", "size=3", steps=60) == 0
    before = fingerprint(run), fingerprint(tmp_path / "other")
    for verb in ("plot", "report"):
        code, _, error = leo(verb, run, tmp_path / "other")
        assert code == 2 and "same goals" in error
        assert str(run / "run.yml") in error and str(tmp_path / "other" / "run.yml") in error
    assert (fingerprint(run), fingerprint(tmp_path / "other")) == before


def test_no_run_at_all(run, tmp_path, leo):
    code, _, error = leo("report")
    assert code == 2 and "at least one run" in error
    code, _, error = leo("report", run.parent / "leodqn-mase")
    assert code == 2 and f"nearest: {run}" in error


def test_a_run_stopped_early_is_evaluated_when_it_is_looked_at(copy, tmp_path, leo):
    for seed in (0, 1):
        (copy / f"seed-{seed}" / "goals.csv").unlink()
    code, said, error = leo("plot", copy)
    assert code == 0 and "Evaluating seed 1" in said, error
    assert (copy / "seed-0" / "goals.csv").exists()
