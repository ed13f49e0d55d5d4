"""
Gridworld steps per second on one core, masks of all goals, time limits and resets included.

Run ``python benchmarks/gridworld_speed.py``; results are written to ``benchmarks/results/gridworld_speed.json``. The
vectorized environment is measured alternately with a SyncVectorEnv of the single environment, so that their ratio is
reliable on a shared machine.
"""

import os

# Set before NumPy is imported.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse  # noqa: E402
import json  # noqa: E402
import statistics  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import gymnasium as gym  # noqa: E402
import numpy as np  # noqa: E402
from machine import describe  # noqa: E402

import leo_envs  # noqa: E402

gym.register_envs(leo_envs)

CASES: dict[str, dict[str, Any]] = {
    "same step, fixed start": {"autoreset_mode": "SameStep"},
    "same step, random start": {"autoreset_mode": "SameStep", "start": "random"},
    "next step, fixed start": {"autoreset_mode": "NextStep"},
    "same step, one-hot observation": {"autoreset_mode": "SameStep", "observation": "one_hot"},
    "same step, 64 x 64 maze": {"autoreset_mode": "SameStep", "map": "maze", "size": 64},
}
SYNC = "SyncVectorEnv, same step, fixed start"


def make(case: str, num_envs: int) -> gym.vector.VectorEnv:
    """
    Create the vector environment of a case.

    :param case: one of :data:`CASES` or :data:`SYNC`
    :param num_envs: number of environments
    :return: the vector environment
    """
    if case == SYNC:
        same_step = gym.vector.AutoresetMode.SAME_STEP
        vector_kwargs = {"autoreset_mode": same_step}
        return gym.make_vec("leo/GridWorld-v0", num_envs=num_envs, vectorization_mode="sync", vector_kwargs=vector_kwargs)
    return gym.make_vec("leo/GridWorld-v0", num_envs=num_envs, **CASES[case])


def steps_per_second(envs: gym.vector.VectorEnv, num_steps: int) -> float:
    """
    Measure environment steps per second with random actions drawn in advance.

    :param envs: the vector environment
    :param num_steps: number of vector steps, more than the length of an episode to include resets
    :return: vector steps times environments per second
    """
    actions = np.random.default_rng(0).integers(4, size=(64, envs.num_envs))
    envs.reset(seed=0)
    envs.step(actions[0])
    started = time.perf_counter()
    for step in range(num_steps):
        envs.step(actions[step % 64])
    return num_steps * envs.num_envs / (time.perf_counter() - started)


def main() -> None:
    """Measure all cases alternately and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-envs", type=int, default=1024)
    parser.add_argument("--num-steps", type=int, default=2000, help="vector steps per run")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "gridworld_speed.json")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    # The slow baseline takes fewer steps, but enough to include the end of an episode.
    lengths = dict.fromkeys(CASES, options.num_steps) | {SYNC: 220}
    envs = {case: make(case, options.num_envs) for case in lengths}
    rates: dict[str, list[float]] = {case: [] for case in lengths}
    for run in range(options.runs):
        for case, length in lengths.items():
            rates[case].append(steps_per_second(envs[case], length))
        print(f"run {run + 1} of {options.runs}", flush=True)

    result = {
        "what": "environment steps per second, goal masks and auto-resets included, one core",
        "num_envs": options.num_envs,
        "runs": options.runs,
        "machine": describe("gymnasium", "numpy"),
        "cases": {
            case: {
                "goals": len(envs[case].get_attr("goal_names")[0] if case == SYNC else envs[case].goal_names),
                "median": round(statistics.median(values)),
                "min": round(min(values)),
                "max": round(max(values)),
            }
            for case, values in rates.items()
        },
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    for case, row in result["cases"].items():
        median, least, most = (row[key] / 1e6 for key in ("median", "min", "max"))
        print(f"{case:40s} {row['goals']:5d} goals  {median:7.3f} M steps/s ({least:.3f} to {most:.3f})")
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
