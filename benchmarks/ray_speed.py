"""
Speed of FetchReach in Ray actors: ``RayVecEnv`` and ``DistributedLearning`` compared with one process.

Run ``python benchmarks/ray_speed.py``; results are written to ``results/ray_speed.json``. Measurements are repeated, all
methods in turn, so that other load affects all of them. Results are medians of environment steps per second of wall-clock
time, once the actors have been started.

- environments: 8 of them with random actions, in a ``DummyVecEnv`` or in a ``RayVecEnv`` with 1, 2, 4 actors;
- learning: LEOTD3 with a gradient step for every 8 environment steps, in one process with 8 environments, or with 1, 2, 4
  actors of 8 environments each.
"""

import os

# Set before NumPy and PyTorch are imported.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse  # noqa: E402
import json  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from functools import partial  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
from machine import describe  # noqa: E402
from stable_baselines3.common.env_util import make_vec_env  # noqa: E402
from stable_baselines3.common.vec_env import VecEnv  # noqa: E402

from leo_agents import LEOTD3  # noqa: E402
from leo_agents.distributed import DistributedLearning, RayVecEnv  # noqa: E402
from leo_wrappers.sb3 import step_arrays  # noqa: E402

ENVIRONMENT, NUM_ENVS, ACTORS = "leo_envs:leo/FetchReach-v0", 8, (1, 2, 4)
OPTIONS = {"buffer_size": 100_000, "learning_starts": 0, "train_freq": 1, "gradient_steps": 1, "seed": 0, "device": "cpu"}
RESULT = Path(__file__).parent / "results" / "ray_speed.json"


def make_envs(n_envs: int) -> Callable[[], VecEnv]:
    """Return a function that creates environments."""
    return partial(make_vec_env, ENVIRONMENT, n_envs=n_envs)


def env_speed(venv: VecEnv, steps: int) -> float:
    """Measure environment steps per second with random actions."""
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (steps, NUM_ENVS, *venv.action_space.shape)).astype(np.float32)
    venv.reset()
    step_arrays(venv, actions[0])
    start = time.perf_counter()
    for action in actions:
        step_arrays(venv, action)
    return steps * NUM_ENVS / (time.perf_counter() - start)


def learning_speed(learn: Callable[..., object], steps: int) -> float:
    """Measure environment steps per second of training."""
    start = time.perf_counter()
    learn(steps * NUM_ENVS)
    return steps * NUM_ENVS / (time.perf_counter() - start)


def main(steps: int, repeats: int) -> None:
    """
    Measure everything and write the results.

    :param steps: vectorized steps per measurement
    :param repeats: number of measurements
    """
    envs: dict[str, VecEnv] = {"one process": make_envs(NUM_ENVS)()}
    learners: dict[str, Callable[..., object]] = {
        "one process": LEOTD3("MultiGoalPolicy", make_envs(NUM_ENVS)(), **OPTIONS).learn
    }
    for actors in ACTORS:
        envs[f"{actors} actors"] = RayVecEnv(make_envs(NUM_ENVS // actors), actors, num_cpus=0.1)
        model = LEOTD3("MultiGoalPolicy", make_envs(NUM_ENVS)(), **OPTIONS)
        learners[f"{actors} actors"] = DistributedLearning(model, make_envs(NUM_ENVS), actors, num_cpus=0.1).learn
    speeds: dict[str, dict[str, list[float]]] = {"environments": {}, "learning": {}}
    for _ in range(repeats):
        for name, venv in envs.items():
            speeds["environments"].setdefault(name, []).append(env_speed(venv, steps))
        for name, learn in learners.items():
            speeds["learning"].setdefault(name, []).append(learning_speed(learn, steps))
    medians = {kind: {name: round(float(np.median(values))) for name, values in rows.items()} for kind, rows in speeds.items()}
    for kind, rows in medians.items():
        print(kind, *(f"{name}: {value} steps/s" for name, value in rows.items()), sep="\n  ")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    result = {
        "machine": describe("ray", "torch", "mujoco", "stable-baselines3"),
        "load_average": load,
        "median": medians,
        "all": speeds,
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    main(arguments.steps, arguments.repeats)
