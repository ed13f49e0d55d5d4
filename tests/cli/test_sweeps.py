"""Sweeps: the file that describes them, their jobs, and the workers."""

import shutil
from pathlib import Path

import pytest

from leo_agents.evaluation import GoalReport
from leo_cli.run_folder import RunFolder
from leo_cli.sweeps.folder import SweepFolder, create_sweep, write_job
from leo_cli.sweeps.job_queue import FINISHED, WAITING
from leo_cli.sweeps.spec import SweepSpec, job_name
from tests.cli.conftest import fingerprint
from tests.cli.sweeps import MAZE, SETTINGS, fail_with_full_disk, write


def configs(tmp_path: Path, **changes: object) -> list:
    return list(SweepSpec.read(write(tmp_path / "spec.yml", **changes)).configs())


class TestSpec:
    def test_one_training_for_each_combination(self, tmp_path):
        overrides = [{"gamma": 0.9}, {"gamma": 0.95}]
        found = configs(tmp_path, environments=[MAZE, "BitFlip"], overrides=overrides)
        assert len(found) == len({job_name(config) for config in found}) == 2 * 2 * 2 * 2
        assert {config.settings.hyperparameters["gamma"] for config in found} == {0.9, 0.95}
        assert {config.environment for config in found} == {"leo/GridWorld-v0", "leo/BitFlip-v0"}
        assert {tuple(config.seeds) for config in found} == {(0,), (1,)}

    def test_settings_are_those_of_leo_train(self, tmp_path, run):
        (config,) = configs(tmp_path, algorithms=["leodqn"], seeds=[0])
        expected = RunFolder(run).config
        assert config.settings == expected.settings
        assert (config.goals, config.eval_goal_ids, config.env_kwargs) == (
            expected.goals,
            expected.eval_goal_ids,
            expected.env_kwargs,
        )

    def test_the_last_override_and_then_the_algorithm_take_precedence(self, tmp_path):
        changes = {"settings": {**SETTINGS, "gamma": 0.8, "dqn+her": {"gamma": 0.7}}, "seeds": [3]}
        found = configs(tmp_path, overrides=[{}, {"gamma": 0.9, "leodqn": {"gamma": 0.6, "steps": 100}}], **changes)
        gammas = [(config.algorithm, config.settings.hyperparameters["gamma"], config.settings.steps) for config in found]
        assert gammas == [("leodqn", 0.8, 400), ("leodqn", 0.6, 100), ("dqn+her", 0.7, 400), ("dqn+her", 0.9, 400)]

    def test_equal_settings_are_one_job(self, tmp_path):
        overrides = [{}, {"dqn+her": {"gamma": 0.5}}, {"steps": 400}, {"keep": 5}, {"track": "mlflow"}]
        assert len(configs(tmp_path, overrides=overrides, seeds=1)) == 1 + 2

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"algorithms": ["leodnq"]}, "nearest: leodqn"),
            ({"algorithms": "leodqn"}, "expected a list of algorithms"),
            ({"algorithms": []}, "expected a list of algorithms"),
            ({"algorithms": [3]}, "the name of an algorithm"),
            ({"algorithms": ["leosac"]}, "expected Box actions for leosac"),
            ({"environments": ["GridWrld"]}, "nearest: leo/GridWorld-v0"),
            ({"environments": [{"env": "GridWorld", "env_set": {"sise": 5}}]}, "nearest: size"),
            ({"environments": [{"env": "GridWorld", "size": 5}]}, "a key of an environment"),
            ({"environments": [{"env_set": {"size": 5}}]}, "expected an environment"),
            ({"environments": [{"env": "GridWorld", "env_set": [5]}]}, "expected env_set as `key: value`"),
            ({"seeds": 0}, "seeds: 3"),
            ({"seeds": [-1]}, "seeds: 3"),
            ({"seeds": "three"}, "seeds: 3"),
            ({"seads": 3}, "nearest: seeds"),
            ({"settings": {"stepz": 5}}, "nearest: steps"),
            ({"settings": {"steps": 0}}, "steps to be a whole number"),
            ({"settings": {"evaluation": {"cuont": 5}}}, "nearest: count"),
            ({"settings": {"evaluation": 5}}, "keys and values for evaluation"),
            ({"settings": {"track": "wandbb"}}, "nearest: wandb"),
            ({"overrides": [{"gama": 0.9}]}, "nearest: gamma"),
            ({"overrides": [{"gamma": "high"}]}, "expected a number for gamma"),
            ({"overrides": {"gamma": 0.9}}, "expected a list of overrides"),
            ({"overrides": [{"leodqn": 5}]}, "expected hyperparameters under leodqn"),
            ({"config": "nowhere.yml"}, "nowhere.yml"),
            ({"evaluate": {"episode": 5}}, "nearest: episodes"),
            ({"evaluate": {"episodes": 0}}, "evaluate.episodes of at least 1"),
            ({"heartbeat_timeout": 0}, "heartbeat_timeout of at least 2 seconds"),
        ],
    )
    def test_bad_input_writes_nothing(self, changes, message, tmp_path, leo):
        code, _, error = leo("sweep", write(tmp_path / "spec.yml", **changes), tmp_path / "sweep")
        assert code == 2 and message in error and "Traceback" not in error
        assert not (tmp_path / "sweep").exists()

    def test_missing_keys_and_files(self, tmp_path, leo):
        (tmp_path / "spec.yml").write_text("algorithms: [leodqn]")
        assert "got no environments" in leo("sweep", tmp_path / "spec.yml", tmp_path / "sweep")[2]
        (tmp_path / "spec.yml").write_text("- leodqn")
        assert "keys and values as `key: value`" in leo("sweep", tmp_path / "spec.yml", tmp_path / "sweep")[2]
        assert "nowhere.yml" in leo("sweep", tmp_path / "nowhere.yml", tmp_path / "sweep")[2]


class TestFolder:
    def test_a_sweep_is_extended_by_a_file_with_more_values(self, tmp_path, leo):
        folder = tmp_path / "sweep"
        assert create_sweep(folder, write(tmp_path / "spec.yml")) == (4, 4)
        sweep = SweepFolder(folder)
        assert sweep.queue.claim(lambda _: True).move(FINISHED)
        before = fingerprint(folder)
        assert create_sweep(folder, write(tmp_path / "spec.yml")) == (0, 4)
        assert fingerprint(folder) == before
        assert create_sweep(folder, write(tmp_path / "spec.yml", seeds=3, evaluate={"episodes": 2})) == (8, 12)
        states = list(sweep.queue.states().values())
        assert states.count(FINISHED) == 1 and states.count(WAITING) == 11
        assert {name: digest for name, digest in fingerprint(folder).items() if name in before and name != "sweep.yml"} == {
            name: digest for name, digest in before.items() if name != "sweep.yml"
        }

    @pytest.mark.parametrize("changes", [{"seeds": 1}, {"settings": {**SETTINGS, "gamma": 0.5}}, {"algorithms": ["dqn"]}])
    def test_another_sweep_in_the_same_folder(self, changes, tmp_path, leo):
        folder = tmp_path / "sweep"
        create_sweep(folder, write(tmp_path / "spec.yml"))
        before = fingerprint(folder)
        code, _, error = leo("sweep", write(tmp_path / "spec.yml", **changes), folder)
        assert code == 2 and "it belongs to another sweep" in error
        assert fingerprint(folder) == before

    def test_an_interrupted_creation_is_completed(self, tmp_path, monkeypatch):
        folder, written = tmp_path / "sweep", []

        def interrupt_third(sweep, job, content) -> None:
            if len(written) == 2:
                raise KeyboardInterrupt
            written.append(job)
            write_job(sweep, job, content)

        monkeypatch.setattr("leo_cli.sweeps.folder.write_job", interrupt_third)
        with pytest.raises(KeyboardInterrupt):
            create_sweep(folder, write(tmp_path / "spec.yml"))
        monkeypatch.undo()
        assert create_sweep(folder, write(tmp_path / "spec.yml")) == (2, 4)

    def test_folders_that_are_no_sweeps(self, run, tmp_path, leo):
        spec = write(tmp_path / "spec.yml")
        code, _, error = leo("sweep", spec, run)
        assert code == 2 and "expected an empty folder or a sweep" in error
        assert "got a file" in leo("sweep", spec, spec)[2]
        code, _, error = leo("work", run)
        assert code == 2 and "expected the folder of a sweep" in error
        create_sweep(tmp_path / "sweep", spec)
        (tmp_path / "sweep" / "sweep.yml").write_text("format: 99")
        assert "install the version" in leo("work", tmp_path / "sweep")[2]

    def test_a_folder_that_cannot_be_written_to(self, tmp_path, monkeypatch, leo):
        create_sweep(tmp_path / "sweep", write(tmp_path / "spec.yml"))
        monkeypatch.setattr("leo_cli.disk_space.os.fsync", fail_with_full_disk)
        for arguments in (["sweep", tmp_path / "spec.yml", tmp_path / "new"], ["work", tmp_path / "sweep"]):
            code, _, error = leo(*arguments)
            assert code == 2 and "No space left" in error and "another folder" in error
        assert set(SweepFolder(tmp_path / "sweep").queue.states().values()) == {WAITING}


def test_a_sweep_equals_trainings_by_hand(run, tmp_path, leo):
    folder = tmp_path / "sweep"
    spec = write(tmp_path / "spec.yml", algorithms=["leodqn"], seeds=[1], evaluate={"episodes": 2, "seed": 5})
    assert leo("sweep", spec, folder)[0] == 0
    code, out, error = leo("work", folder, "--workers", "2")
    assert code == 0 and "2 of 2 jobs finished, 0 failed" in out, error
    (job,) = folder.glob("jobs/seed001-*")
    assert (job / "seed-1" / "evaluations.csv").read_text() == (run / "seed-1" / "evaluations.csv").read_text()
    (evaluation,) = folder.glob("jobs/eval-seed001-*")
    report = GoalReport.from_csv(evaluation / "goals.csv")
    assert report.attempts.max() == 2 and report == GoalReport.from_csv(job / "seed-1" / "goals.csv")
    code, out, error = leo("report", folder)
    assert code == 0 and "leodqn      1/1" in out, error


def test_the_report_pools_seeds_and_names_what_differs(run, tmp_path, leo):
    """With one finished seed, one that is still training, and others that have not started."""
    folder = tmp_path / "sweep"
    create_sweep(folder, write(tmp_path / "spec.yml", overrides=[{}, {"gamma": 0.5}], algorithms=["leodqn"]))
    first, second = sorted(
        path for path in folder.glob("jobs/*") if RunFolder(path).config.settings.hyperparameters.get("gamma") != 0.5
    )
    shutil.copytree(run / "seed-0", first / "seed-0")
    shutil.copytree(run / "seed-1", second / "seed-1")
    (second / "seed-1" / "goals.csv").unlink()
    code, out, error = leo("report", folder, "--out", tmp_path / "sweep.html")
    assert code == 0, error
    lines = [line.split() for line in out.splitlines() if line.startswith("leodqn")]
    assert lines[0][:2] == ["leodqn", "1/2"] and lines[0][2] == "12.5" and lines[1][:3] == ["leodqn", "gamma=0.5", "0/2"]
    page = (tmp_path / "sweep.html").read_text()
    assert "leodqn gamma=0.5" in page and "1 of 2" in page and "4</b><span>jobs waiting" in page
