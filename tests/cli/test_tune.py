"""Searches for hyperparameters."""

import json
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
import yaml
from optuna.trial import TrialState

from leo_cli.algorithms import ALGORITHMS
from leo_cli.hyperparameters import load_settings
from leo_cli.main import main
from leo_cli.run_folder import RunFolder
from leo_cli.sweeps.folder import SweepFolder
from leo_cli.sweeps.job_queue import FAILED, FINISHED, WAITING, JobQueue
from leo_cli.sweeps.search import SEARCH_SPACES, SearchSpec, nested
from leo_cli.sweeps.study import create_search, open_study, read_search
from leo_cli.sweeps.trials import Trial
from tests.cli.conftest import fingerprint
from tests.cli.sweeps import MAZE, SETTINGS, work
from tests.cli.test_train import ROOT

RATE = {"low": 1e-6, "high": 1e-2, "log": True}
SPEC = {
    "algorithm": "leodqn",
    "environment": MAZE,
    "trials": 6,
    "search": {"learning_rate": RATE, "policy_kwargs.net_arch": [[16], [32, 32]], "train_freq": {"low": 1, "high": 4}},
    "start": {"learning_rate": 1e-6},
    "settings": SETTINGS,
    "heartbeat_timeout": 2,
}

# Success grows with the learning rate; bad trainings take long after their first evaluation.
TRAIN = """
import re
rate = float(re.search("learning_rate: (.*)", open(arguments[2] + "/run.yml").read())[1])
successes = min(int(rate * 1e4), 100)
folder = os.path.join(arguments[2], "seed-0")
os.makedirs(folder, exist_ok=True)
def lines(name):
    return open(os.path.join(run, "seed-0", name)).read().splitlines()
with open(folder + "/evaluations.csv", "w") as file:
    print(lines("evaluations.csv")[0], file=file)
    for steps in (80, 160, 240, 320, 400):
        for goal in range(17):
            print(f"{steps},{goal},cell/{goal},cell,100,{successes},0,1.0", file=file)
        file.flush()
        if SLOW and successes < 50:
            time.sleep(30)
header, *rows = lines("goals.csv")
with open(folder + "/goals.csv", "w") as file:
    print(header, file=file)
    for goal in range(17):
        print(f"{goal},cell/{goal},cell,100,{successes},0,,,,,," + " ".join(["1"] * successes) + ",0.0,0.0", file=file)
"""


def write(path: Path, **changes: object) -> Path:
    path.write_text(yaml.safe_dump({**SPEC, **changes}))
    return path


def study_of(folder: Path) -> optuna.Study:
    sweep = SweepFolder(folder)
    return open_study(sweep, read_search(sweep), 0)


def test_trials_are_sampled_from_the_start_on_and_the_best_is_written(tmp_path, script, leo):
    script(TRAIN.replace("SLOW", "False"))
    folder = tmp_path / "tune"
    code, out, error = leo("tune", write(tmp_path / "tune.yml", prune=False), folder)
    assert code == 0 and "6 of 6 jobs finished" in out, error
    trials = study_of(folder).trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 6
    assert trials[0].params["learning_rate"] == 1e-6 and trials[0].value == 0.0
    assert all(trial.value == min(int(trial.params["learning_rate"] * 1e4), 100) / 100 for trial in trials)
    assert len({trial.params["learning_rate"] for trial in trials}) == 6
    for number, trial in enumerate(trials):
        hyperparameters = RunFolder(folder / "jobs" / f"trial-{number:04d}").config.settings.hyperparameters
        assert hyperparameters["learning_rate"] == trial.params["learning_rate"]
        assert hyperparameters["policy_kwargs"]["net_arch"] in ([16], [32, 32]) and hyperparameters["train_freq"] in (
            1,
            2,
            3,
            4,
        )
        assert list(trial.intermediate_values) == [80, 160, 240, 320, 400]

    best = max(trials, key=lambda trial: trial.value)
    settings = load_settings("leodqn", "leo/GridWorld-v0", folder / "best.yml")
    assert settings == RunFolder(folder / "jobs" / f"trial-{best.number:04d}").config.settings
    # The buffer is not limited to the steps of the trials.
    assert (
        load_settings("leodqn", "leo/GridWorld-v0", folder / "best.yml", steps=50_000).hyperparameters["buffer_size"] == 50_000
    )
    assert f"Best: trial {best.number}, success {100 * best.value:.1f} %" in out
    assert f"--env-set map=maze size=5 time_limit=30 --config {folder / 'best.yml'}" in out

    code, out, _ = leo("report", folder)
    assert code == 0 and f"learning_rate={best.params['learning_rate']:.3g}" in out
    # Nothing is left to do; a file with more trials adds them.
    assert "6 of 6 jobs finished" in leo("tune", tmp_path / "tune.yml", folder)[1]
    assert len(study_of(folder).trials) == 6
    assert "7 of 7 jobs finished" in leo("tune", write(tmp_path / "tune.yml", prune=False, trials=7), folder)[1]
    assert len(study_of(folder).trials) == 7


def test_two_searches_with_the_same_seed_sample_the_same(tmp_path, script, leo):
    script(TRAIN.replace("SLOW", "False"))
    parameters = []
    for name in ("one", "other"):
        assert leo("tune", write(tmp_path / "tune.yml", trials=3, prune=False), tmp_path / name)[0] == 0
        parameters.append([trial.params for trial in study_of(tmp_path / name).trials])
    assert parameters[0] == parameters[1]


def test_bad_trials_are_pruned(tmp_path, script, leo):
    script(TRAIN.replace("SLOW", "True"))
    folder = tmp_path / "tune"
    create_search(folder, write(tmp_path / "tune.yml", search={"learning_rate": [1e-6, 1e-2]}, start={}))
    sweep = SweepFolder(folder)
    study = study_of(folder)
    for rate in (1e-2, 1e-2, 1e-2, 1e-2, 1e-2, 1e-6):  # the median is good, the sixth is not
        study.enqueue_trial({"learning_rate": json.dumps(rate)})
    display, count = work(sweep)
    assert count == {FINISHED: 6} and display.lines[-1] == "trial-0005: pruned"
    trials = study_of(folder).trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 5 + [TrialState.PRUNED]
    assert trials[5].intermediate_values == {80: 0.0}


def test_a_killed_search_continues_the_trial_that_was_running(tmp_path, script):
    script(TRAIN.replace("SLOW", "False"))
    folder = tmp_path / "tune"
    create_search(folder, write(tmp_path / "tune.yml", trials=2))
    sweep = SweepFolder(folder)
    # A worker that dies after it has written the settings of the first trial.
    dead = JobQueue(folder / "queue", 2.0)
    assert dead.claim(lambda _: True).job == "trial-0000"
    Trial(sweep, "trial-0000").arguments("cpu")
    settings = (folder / "jobs" / "trial-0000" / "run.yml").read_bytes()
    _, count = work(sweep)
    assert count == {FINISHED: 2}
    assert [trial.state for trial in study_of(folder).trials] == [TrialState.COMPLETE] * 2
    assert (folder / "jobs" / "trial-0000" / "run.yml").read_bytes() == settings


def test_a_failed_trial_is_tried_again_with_other_settings(tmp_path, script, leo):
    script("sys.exit('no luck')")
    folder = tmp_path / "tune"
    code, out, _ = leo("tune", write(tmp_path / "tune.yml", trials=1, start={}), folder)
    assert code == 1 and "No trial has finished yet" in out
    assert SweepFolder(folder).queue.states() == {"trial-0000": FAILED}
    script(TRAIN.replace("SLOW", "False"))
    code, out, _ = leo("tune", tmp_path / "tune.yml", folder, "--retry-failed")
    assert code == 0 and "Best: trial 1" in out
    failed, complete = study_of(folder).trials
    assert (failed.state, complete.state) == (TrialState.FAIL, TrialState.COMPLETE)


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_the_default_search_space_of_every_algorithm(algorithm, tmp_path):
    space = yaml.safe_load(SEARCH_SPACES.read_text())[algorithm]
    environment = "GridWorld" if ALGORITHMS[algorithm].discrete else "MountainCarContinuous"
    spec = SearchSpec.from_content({"algorithm": algorithm, "environment": environment}, tmp_path / "tune.yml")
    assert spec.search.keys() == space.keys()
    trial = optuna.create_study().ask()
    sampled = spec.sample(trial)
    hyperparameters = spec.configure(sampled).settings.hyperparameters
    for key, value in sampled.items():
        assert nested({key: value}).items() <= hyperparameters.items() or key.startswith("policy_kwargs.")
    assert sampled["policy_kwargs.net_arch"] == hyperparameters["policy_kwargs"]["net_arch"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algorithm": "leodnq"}, "nearest: leodqn"),
        ({"algorithm": "leosac"}, "expected Box actions for leosac"),
        ({"environment": "GridWrld"}, "nearest: leo/GridWorld-v0"),
        ({"trails": 5}, "nearest: trials"),
        ({"trials": 0}, "trials of at least 1"),
        ({"search": ["learning_rat"]}, "nearest: learning_rate"),
        ({"search": {}}, "at least one setting to search"),
        ({"search": {"learning_rat": RATE}}, "nearest: learning_rate"),
        ({"search": {"policy_kwargs.net_arhc": [[8]]}}, "nearest: net_arch"),
        ({"search": {"learning_rate": []}}, "expected a list of values of learning_rate"),
        ({"search": {"learning_rate": 0.1}}, "expected a range of learning_rate"),
        ({"search": {"learning_rate": {"low": 0.1, "hihg": 0.2}}}, "nearest: high"),
        ({"search": {"learning_rate": {"low": 0.1}}}, "numbers low < high"),
        ({"search": {"learning_rate": {"low": 0.2, "high": 0.1}}}, "numbers low < high"),
        ({"search": {"learning_rate": {"low": 0, "high": 0.1, "log": True}}}, "low > 0 if log"),
        ({"start": {"gamma": 0.9}}, "a searched setting as start"),
        ({"start": {"learning_rate": 5}}, "within its range"),
        ({"prune": "yes"}, "true or false as prune"),
        ({"storage": "study.db"}, "a URL of a database"),
        ({"seeds": 0}, "seeds: 3"),
        ({"config": "nowhere.yml"}, "nowhere.yml"),
    ],
)
def test_bad_input_writes_nothing(changes, message, tmp_path, leo):
    code, _, error = leo("tune", write(tmp_path / "tune.yml", **{"start": {}, **changes}), tmp_path / "tune")
    assert code == 2 and message in error and "Traceback" not in error
    assert not (tmp_path / "tune").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": 5}, "got only 5 trials"),
        ({"search": ["gamma"], "start": {}}, "another search and start"),
        ({"settings": {**SETTINGS, "steps": 500}}, "another settings"),
    ],
)
def test_another_search_in_the_same_folder(changes, message, tmp_path, leo):
    folder = tmp_path / "tune"
    create_search(folder, write(tmp_path / "tune.yml"))
    before = fingerprint(folder)
    code, _, error = leo("tune", write(tmp_path / "tune.yml", **changes), folder)
    assert code == 2 and message in error
    assert fingerprint(folder) == before


def test_a_sweep_and_a_search_do_not_share_a_folder(tmp_path, leo):
    create_search(tmp_path / "tune", write(tmp_path / "tune.yml"))
    (tmp_path / "sweep.yml").write_text(yaml.safe_dump({"algorithms": ["leodqn"], "environments": ["GridWorld"]}))
    assert "the folder of a sweep, got" in leo("sweep", tmp_path / "sweep.yml", tmp_path / "tune")[2]
    assert leo("sweep", tmp_path / "sweep.yml", tmp_path / "sweep")[0] == 0
    assert "the folder of a search, got" in leo("tune", tmp_path / "tune.yml", tmp_path / "sweep")[2]


def test_the_settings_file_is_copied(tmp_path):
    config = tmp_path / "mine.yml"
    config.write_text("steps: 700\nleodqn: {gamma: 0.5}\n")
    spec_file = write(tmp_path / "tune.yml", config="mine.yml", settings={})
    create_search(tmp_path / "tune", spec_file)
    config.unlink()
    settings = read_search(SweepFolder(tmp_path / "tune")).configure({}).settings
    assert settings.steps == 700 and settings.hyperparameters["gamma"] == 0.5
    config.write_text("steps: 800\n")
    with pytest.raises(ValueError, match="the settings in config"):
        create_search(tmp_path / "tune", spec_file)


def test_a_foreign_search_runs_no_code_unless_it_is_trusted(tmp_path, monkeypatch, leo):
    folder = tmp_path / "tune"
    create_search(folder, write(tmp_path / "tune.yml"))
    content = yaml.safe_load((folder / "sweep.yml").read_text())
    content["spec"]["environment"] = "foreign_module:Env-v0"
    (folder / "sweep.yml").write_text(yaml.safe_dump(content))
    (tmp_path / "foreign_module.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    code, _, error = leo("work", folder)
    assert code == 2 and "expected a sweep that you created on this machine" in error and "--trust" in error
    assert leo("report", folder)[0] == 0
    with pytest.raises(SystemExit, match="imported"):
        main(["work", str(folder), "--trust"])


def test_without_optuna_the_error_names_the_extra(tmp_path, monkeypatch, leo):
    monkeypatch.setitem(sys.modules, "optuna", None)
    code, _, error = leo("tune", write(tmp_path / "tune.yml"), tmp_path / "tune")
    assert code == 2 and 'pip install "leo-rl[tune]"' in error


def test_a_worker_without_optuna_gives_its_trial_back(tmp_path, monkeypatch, leo):
    create_search(tmp_path / "tune", write(tmp_path / "tune.yml"))
    monkeypatch.setitem(sys.modules, "optuna", None)
    code, _, error = leo("work", tmp_path / "tune")
    assert code == 2 and 'pip install "leo-rl[tune]"' in error
    assert set(SweepFolder(tmp_path / "tune").queue.states().values()) == {WAITING}


@pytest.mark.expensive
@pytest.mark.timeout(900)
def test_a_search_on_the_gridworld_beats_its_bad_start_and_survives_a_kill(tmp_path):
    """Twenty trials of real trainings; the search is killed in between."""
    out = tmp_path / "result.json"
    subprocess.run([sys.executable, "benchmarks/tune_gridworld.py", "--out", str(out)], cwd=ROOT, check=True)
    result = json.loads(out.read_text())
    before, started = (set(result[f"{name}_the_kill"]) for name in ("finished_before", "started_after"))
    assert 8 <= len(before) < 20 and len(before | started) == 20 and not before & started
    assert len(result["trials"]) == 20 and {trial["state"] for trial in result["trials"]} <= {"COMPLETE", "PRUNED"}
    assert result["start"]["parameters"] == {"learning_rate": 1e-6, "gamma": 0.5, "train_freq": 16}
    assert result["best"]["success"] >= result["start"]["success"] + 0.3
