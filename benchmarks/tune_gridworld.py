"""
What ``leo tune`` finds in 20 trials on a maze from a deliberately bad start, if it is killed and continued in between.

Run ``python benchmarks/tune_gridworld.py`` with the extra ``tune``; the trials are written to ``results/tune_gridworld.json``.
LEODQN learns a 5 x 5 maze for 3,000 environment steps per trial. Success is the mean over all goals at the end of a trial, or
where it was pruned. The process of ``leo tune`` is killed after eight trials have finished; the same command then continues.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from machine import describe

from leo_cli.sweeps.folder import SweepFolder
from leo_cli.sweeps.job_queue import FINISHED
from leo_cli.sweeps.study import open_study, read_search

SPEC: dict[str, Any] = {
    "algorithm": "leodqn",
    "environment": {"env": "GridWorld", "env_set": {"map": "maze", "size": 5, "time_limit": 30}},
    "trials": 20,
    "search": {
        "learning_rate": {"low": 1e-6, "high": 1e-2, "log": True},
        "gamma": [0.5, 0.9, 0.95, 0.99],
        "train_freq": [1, 4, 16],
    },
    "start": {"learning_rate": 1e-6, "gamma": 0.5, "train_freq": 16},
    "settings": {"steps": 3_000, "num_envs": 4, "evaluation": {"count": 10}, "policy_kwargs": {"net_arch": [64]}},
    "heartbeat_timeout": 5,
}
KILL_AFTER = 8
RESULT = Path(__file__).parent / "results" / "tune_gridworld.json"


def tune(folder: Path, workers: int) -> tuple[set[str], set[str]]:
    """
    Run the search, kill it, and continue it.

    :param folder: an empty folder
    :param workers: number of trials at the same time
    :return: jobs that had finished before it was killed, and jobs that were started afterwards
    """
    spec_file = folder / "tune.yml"
    spec_file.write_text(yaml.safe_dump(SPEC))
    command = [sys.executable, "-m", "leo_cli", "tune", str(spec_file), str(folder / "tune"), "--workers", str(workers)]
    finished = folder / "tune" / "queue" / FINISHED
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while not finished.exists() or len(list(finished.iterdir())) < KILL_AFTER:
            if process.poll() is not None:
                raise RuntimeError(f"expected a search of {SPEC['trials']} trials, got exit code {process.returncode} before")
            time.sleep(0.2)
        process.kill()
    before = {path.name for path in finished.iterdir()}
    lines = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    return before, {line.partition(":")[0] for line in lines if line.endswith(": started")}


def read_trials(folder: Path) -> list[dict[str, Any]]:
    """
    Read the trials of a search.

    :param folder: the folder of the search
    :return: number, state, success and parameters of each trial
    """
    sweep = SweepFolder(folder)
    spec = read_search(sweep)
    trials = open_study(sweep, spec, spec.seed).trials
    return [
        {
            "number": trial.number,
            "state": trial.state.name,
            "success": trial.value,
            "parameters": spec.parameters_of(trial),
        }
        for trial in trials
    ]


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2, help="number of trials at the same time")
    parser.add_argument("--out", type=Path, default=RESULT, help="result file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        before, started = tune(Path(name), options.workers)
        trials = read_trials(Path(name) / "tune")
    best = max((trial for trial in trials if trial["state"] == "COMPLETE"), key=lambda trial: trial["success"])
    result = {
        "what": (__doc__ or "").strip(),
        "search": SPEC,
        "machine": describe("optuna", "torch", "stable-baselines3"),
        "finished_before_the_kill": sorted(before),
        "started_after_the_kill": sorted(started),
        "start": trials[0],
        "best": best,
        "trials": trials,
    }
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(f"start {trials[0]['success']:.3f}, best {best['success']:.3f} with {best['parameters']}\nwrote {options.out}")


if __name__ == "__main__":
    main()
