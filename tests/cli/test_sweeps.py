"""Sweeps: the file that describes them, their jobs, and the workers."""

import shutil
import sys
import threading
from pathlib import Path

import pytest
import yaml

from leo_agents.evaluation import GoalReport
from leo_cli.run_folder import RunFolder
from leo_cli.sweeps import worker as worker_module
from leo_cli.sweeps.folder import SweepFolder, create_sweep, write_job
from leo_cli.sweeps.job_queue import FAILED, FINISHED, RUNNING, WAITING
from leo_cli.sweeps.spec import SweepSpec, job_name
from leo_cli.sweeps.worker import Worker
from tests.cli.conftest import fingerprint

MAZE = {"env": "GridWorld", "env_set": {"map": "maze", "size": 5, "time_limit": 30}}
SMALL = {"learning_starts": 50, "batch_size": 32, "policy_kwargs": {"net_arch": [16]}, "train_freq": 1}
SETTINGS = {"steps": 400, "num_envs": 4, "evaluation": {"count": 5}, **SMALL}
SPEC = {"algorithms": ["leodqn", "dqn+her"], "environments": [MAZE], "seeds": 2, "settings": SETTINGS}


def write(path: Path, **changes: object) -> Path:
    path.write_text(yaml.safe_dump({**SPEC, **changes}))
    return path


def configs(tmp_path: Path, **changes: object) -> list:
    return list(SweepSpec.read(write(tmp_path / "spec.yml", **changes)).configs())


class Display:
    """Collects the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def update(self, status) -> None:
        self.status = status

    def finish(self, title: str) -> None:
        pass

    def print(self, line: str) -> None:
        self.lines.append(line)


class Stop:
    requested = False


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


def fail_with_full_disk(_: int) -> None:
    raise OSError(28, "No space left on device")


class TestWorker:
    """Workers whose jobs are short scripts."""

    @pytest.fixture
    def sweep(self, tmp_path) -> SweepFolder:
        create_sweep(tmp_path / "sweep", write(tmp_path / "spec.yml", evaluate={}, heartbeat_timeout=2))
        return SweepFolder(tmp_path / "sweep")

    @pytest.fixture
    def script(self, monkeypatch, tmp_path, run):
        """Let each job run a script, to which a finished run is at hand."""

        def use(code: str) -> None:
            path = tmp_path / "script.py"
            path.write_text(f"import os, shutil, sys, time\nrun = {str(run)!r}\narguments = sys.argv[1:]\n{code}")
            monkeypatch.setattr(
                worker_module, "job_command", lambda seconds, arguments: [sys.executable, "-S", str(path), *arguments]
            )

        return use

    @staticmethod
    def work(sweep: SweepFolder, **options: object) -> tuple[Display, dict[str, int]]:
        display = Display()
        return display, Worker(sweep, display, Stop(), **options).run()

    FINISH = """
folder = arguments[2] if arguments[0] == "train" else None
if folder is not None:
    for seed in (0, 1):
        shutil.copytree(os.path.join(run, "seed-0"), os.path.join(folder, f"seed-{seed}"), dirs_exist_ok=True)
print(*arguments)
"""

    def test_every_job_runs_once_and_evaluations_after_their_training(self, sweep, script):
        script(self.FINISH)
        display, count = self.work(sweep, slots=3)
        assert count == {FINISHED: 8} and sweep.queue.states().keys() == {line.split(":")[0] for line in display.lines}
        started = [line.split(":")[0] for line in display.lines if line.endswith("started")]
        assert len(started) == len(set(started)) == 8
        order = {line: number for number, line in enumerate(display.lines)}
        for job in started:
            if job.startswith("eval-"):
                training = job.removeprefix("eval-").rpartition("-")[0]
                assert order[f"{training}: success 12 %"] < order[f"{job}: started"]
                log = (sweep.job_path(job) / "job.log").read_text()
                assert log.startswith(f"eval {sweep.job_path(training)} --csv {sweep.job_path(job)}")
        assert self.work(sweep)[0].lines == []

    def test_a_job_that_fails_three_times_is_kept_with_its_logs(self, sweep, script, leo):
        script("if 'dqn+her' in ' '.join(arguments): sys.exit('no luck')\n" + self.FINISH)
        display, count = self.work(sweep, slots=2)
        assert count == {FINISHED: 4, FAILED: 4}
        failed = [job for job, state in sweep.queue.states().items() if state == FAILED]
        for job in failed:
            logs = sorted(path.name for path in sweep.job_path(job).glob("*.log"))
            if job.startswith("eval-"):
                assert logs == ["job.log"] and "which failed" in (sweep.job_path(job) / "job.log").read_text()
            else:
                assert logs == ["failure-1.log", "failure-2.log", "failure-3.log"]
                assert "no luck" in (sweep.job_path(job) / "failure-3.log").read_text()
            assert f"{job}: given up; its logs are in {sweep.job_path(job)}" in display.lines
        code, out, error = leo("work", sweep.path)
        assert code == 1 and "4 of 8 jobs finished, 4 failed" in out
        code, out, _ = leo("report", sweep.path)
        page = (sweep.path / "report.html").read_text()
        assert code == 0 and "no luck" in page and all(job in page for job in failed)
        script(self.FINISH)
        code, out, error = leo("work", sweep.path, "--retry-failed", "--workers", "2")
        assert code == 0 and "8 of 8 jobs finished" in out, error

    def test_a_request_to_stop_gives_the_jobs_back(self, sweep, script):
        script(
            "import signal\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(130))\nprint('x', flush=True)\ntime.sleep(60)"
        )
        stop, display = Stop(), Display()
        worker = Worker(sweep, display, stop, slots=2)

        def stop_when_running() -> None:
            while sum(path.read_text() == "x\n" for path in sweep.path.glob("jobs/*/job.log")) < 2:
                threading.Event().wait(0.05)
            stop.requested = True

        threading.Thread(target=stop_when_running).start()
        assert worker.run() == {WAITING: 8} and not list(sweep.path.glob("jobs/*/failure-*"))

    def test_a_job_that_another_worker_took_over_is_killed_here(self, sweep, script):
        script("open(os.path.join(os.path.dirname(__file__), f'pid-{os.getpid()}'), 'w')\ntime.sleep(60)")
        stop, display = Stop(), Display()
        worker = Worker(sweep, display, stop)

        def take_over() -> None:
            while not (entries := list((sweep.queue.folder / RUNNING).iterdir())):
                threading.Event().wait(0.05)
            entries[0].rename(entries[0].with_name(f"{entries[0].name}-other"))
            while not any("taken over" in line for line in display.lines):
                threading.Event().wait(0.05)
            stop.requested = True

        threading.Thread(target=take_over).start()
        worker.run()
        (first, *_) = [line.split(":")[0] for line in display.lines]
        assert sweep.queue.states()[first] == RUNNING

    def test_a_full_disk_stops_the_worker_and_gives_the_job_back(self, sweep, script, monkeypatch):
        script("sys.exit('disk full')")
        monkeypatch.setattr("leo_cli.disk_space.os.fsync", fail_with_full_disk)
        with pytest.raises(OSError, match="No space left"):
            self.work(sweep)
        assert set(sweep.queue.states().values()) == {WAITING}

    def test_processor_cores_are_divided_among_the_jobs(self, sweep, script, monkeypatch):
        monkeypatch.setattr(worker_module, "available_cores", lambda: 5)
        assert Worker(sweep, Display(), Stop(), slots=2).threads == 2
        assert Worker(sweep, Display(), Stop(), slots=9).threads == 1
        script(self.FINISH + "print(os.environ['OMP_NUM_THREADS'])")
        self.work(sweep, threads=3)
        assert all(path.read_text().endswith("\n3\n") for path in sweep.path.glob("jobs/*/job.log"))


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
