"""Unreadable run folders: the error names the file and the remedy, and no file changes."""

import shutil

import pytest
import torch as th
import yaml

from leo_agents.learning.policy_data import load_policy
from leo_cli.run_config import FORMAT
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


def load_weights(checkpoint):
    return load_policy(checkpoint / "model.zip", "cpu").policy.state_dict()


def assert_fails(leo, copy, readers, *messages):
    before = fingerprint(copy)
    for reader in readers:
        code, _, error = leo(*reader, copy)
        assert code == 2 and all(message in error for message in messages), (reader, error)
    assert fingerprint(copy) == before


@pytest.mark.parametrize("found", [1, 99])
def test_a_run_of_another_version(copy, leo, found):
    change(copy, **{"format": found, "leo-rl": "7.0"})
    readers = [*READERS, ["train", "--resume"]]
    expected = f"expected a run of format {FORMAT} in {copy / 'run.yml'}, got format {found} (written by leo-rl 7.0)"
    assert_fails(
        leo, copy, readers, expected, f"train again with another --folder (the command is in {copy / 'commands.txt'})"
    )


def test_an_old_run_with_renamed_keys(copy, leo):
    content = yaml.safe_load((copy / "run.yml").read_text())
    content["judged"] = content.pop("eval_goal_ids")
    content["settings"]["evaluation"]["random_actions"] = content["settings"]["evaluation"].pop("epsilon")
    (copy / "run.yml").write_text(yaml.safe_dump({**content, "format": 1, "leo-rl": "0.1.0"}))
    assert_fails(leo, copy, READERS, "got format 1 (written by leo-rl 0.1.0)", "train again")


def test_a_damaged_run_file(copy, leo):
    text = (copy / "run.yml").read_text()
    for content in (text[:200], f"format: {FORMAT}\n", "steps: 3\n", "- 1\n", ""):
        (copy / "run.yml").write_text(content)
        assert_fails(leo, copy, READERS, str(copy / "run.yml"), "train again" if content != text[:200] else "fix the file")
    (copy / "run.yml").write_text(text.partition("  steps:")[0] + "  steps:")
    assert_fails(leo, copy, READERS, f"expected a complete {copy / 'run.yml'}, got a damaged one", "train again")
    for binary in (b"\x80\x81", b"[" * 100_000):
        (copy / "run.yml").write_bytes(binary)
        assert_fails(leo, copy, READERS, f"expected YAML in {copy / 'run.yml'}, got a syntax error", "fix the file")


def test_a_missing_checkpoint(copy, leo):
    for seed in (0, 1):
        shutil.rmtree(copy / f"seed-{seed}" / "checkpoints")
    assert_fails(leo, copy, READERS, "checkpoints", "leo train --resume")


def test_a_damaged_checkpoint(copy, leo):
    older, model = sorted(copy.glob("seed-0/checkpoints/step-*/model.zip"))
    shutil.rmtree(older.parent)
    model.write_bytes(model.read_bytes()[:1000])
    readers = [reader for reader in READERS if reader[0] not in ("plot", "report")]
    problem = f"{model.parent.name} (model.zip differs from its checksum)"
    assert_fails(leo, copy, readers, str(model.parents[1]), problem, f"leo train --resume {copy}")
    before = fingerprint(copy)
    for steps in ("400", "900"):
        code, _, error = leo("train", "--resume", copy, "--steps", steps)
        assert code == 2 and problem in error
    assert fingerprint(copy) == before


def test_folders_that_are_no_checkpoints(copy, leo):
    checkpoints = copy / "seed-0" / "checkpoints"
    shutil.rmtree(checkpoints / "step-000000000360")
    (checkpoints / "step-latest").mkdir()
    (checkpoints / "step-999999999999").mkdir()
    with pytest.warns(UserWarning, match=r"step-999999999999 \(checkpoint.json is missing\)"):
        code, out, error = leo("train", "--resume", copy, "--steps", "500")
    assert code == 0 and "Nothing left" not in out, error
    assert (checkpoints / "step-000000000500").exists()
    for checkpoint in checkpoints.glob("step-000000000*"):
        shutil.rmtree(checkpoint)
    assert_fails(leo, copy, [*READERS, ["train", "--resume"]], str(checkpoints), "checkpoint.json is missing", "train again")


def test_the_older_checkpoint_is_used_if_the_newest_is_damaged(copy, leo):
    """Also after training is complete: the last steps are trained again, with the same result."""
    older, newest = sorted((copy / "seed-0" / "checkpoints").iterdir())
    weights, table = load_weights(newest), (copy / "seed-0" / "goals.csv").read_bytes()
    (newest / "model.zip").unlink()
    warning = rf"older checkpoint {older}; not used: {newest.name} \(model.zip is missing\)"
    with pytest.warns(UserWarning, match=warning):
        code, out, error = leo("eval", copy, "--goals", "0")
    assert code == 0 and f"seed 0, after {int(older.name[5:])} steps" in out, error
    with pytest.warns(UserWarning, match=warning):
        code, _, error = leo("train", "--resume", copy)
    assert code == 0, error
    assert sorted(older.parent.iterdir()) == [older, newest] and (copy / "seed-0" / "goals.csv").read_bytes() == table
    again = load_weights(newest)
    assert all(th.equal(again[name], weight) for name, weight in weights.items())


def test_the_number_of_checkpoints_to_keep(run, tmp_path, leo):
    assert {len(list(path.iterdir())) for path in run.glob("seed-*/checkpoints")} == {2}  # the default
    assert yaml.safe_load((run / "run.yml").read_text())["settings"]["keep"] == 2
    assert train(tmp_path / "run", "leodqn", "--keep", "3") == 0
    assert len(list((tmp_path / "run" / "seed-0" / "checkpoints").iterdir())) == 3
    code, _, error = leo("train", "leodqn", "GridWorld", "--keep", "0")
    assert code == 2 and "expected keep to be a whole number of at least 1, got 0" in error


def test_damaged_tables(copy, leo):
    readers = [["plot"], ["report", "--videos", "0"]]
    table = copy / "seed-1" / "evaluations.csv"
    text = table.read_text()
    table.write_text("not,a,table\n")
    assert_fails(leo, copy, readers, str(table))
    table.unlink()
    assert_fails(leo, copy, readers, str(table))
    table.write_text(text)
    (copy / "seed-0" / "goals.csv").write_text("nor,this\n")
    assert_fails(leo, copy, readers, "goals.csv", "leo eval")


def test_runs_with_different_goals(run, tmp_path, leo):
    assert train(tmp_path / "other", "leodqn", "--env-set", "map=maze", "size=3", steps=60) == 0
    before = fingerprint(run), fingerprint(tmp_path / "other")
    for command in ("plot", "report"):
        code, _, error = leo(command, run, tmp_path / "other")
        assert code == 2 and "same goals" in error
        assert str(run / "run.yml") in error and str(tmp_path / "other" / "run.yml") in error
    assert (fingerprint(run), fingerprint(tmp_path / "other")) == before


def test_missing_runs(run, tmp_path, leo):
    code, _, error = leo("report")
    assert code == 2 and "at least one run" in error
    code, _, error = leo("report", run.parent / "leodqn-mase")
    assert code == 2 and f"nearest: {run}" in error


def test_plotting_evaluates_seeds_without_a_final_evaluation(copy, leo):
    for seed in (0, 1):
        (copy / f"seed-{seed}" / "goals.csv").unlink()
    code, out, error = leo("plot", copy)
    assert code == 0 and "Evaluating seed 1" in out, error
    assert (copy / "seed-0" / "goals.csv").exists()
