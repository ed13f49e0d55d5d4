"""
Cost of a gradient step of LEOSAC for any goal, over the number of goals that a batch has in common.

Run ``python benchmarks/any_goal_speed.py``; results are written to ``results/any_goal_speed.json``. It times the gradient
steps of the algorithms in FetchReach (``model.train(2, 256)``, halved), sampling included. The methods alternate, so that
noise affects all of them; results are medians of the processor time of one thread.

- SAC + HER: Stable-Baselines3's, two hidden layers of 256; each of the 256 transitions updates one goal.
- LEOSAC, any goal: each transition updates the shared goals and one of its own; five-step targets.
- LEOSAC, grid: each transition updates the 1,000 goals of a grid.
"""

import os

# Set before NumPy and PyTorch are imported.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse  # noqa: E402
import json  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import gymnasium as gym  # noqa: E402
import numpy as np  # noqa: E402
import torch as th  # noqa: E402
from machine import describe  # noqa: E402
from stable_baselines3 import SAC, HerReplayBuffer  # noqa: E402
from stable_baselines3.common.logger import Logger  # noqa: E402

import leo_envs  # noqa: E402
from leo_agents import LEOSAC  # noqa: E402
from leo_wrappers import AnyGoalWrapper  # noqa: E402

gym.register_envs(leo_envs)

BATCH, TRANSITIONS = 256, 1_000
BASELINE, GRID = "SAC + HER", "LEOSAC, grid of 1,000"


def make_models(shared_goals: list[int]) -> dict[str, Any]:
    """
    Create the models and fill their replay buffers.

    :param shared_goals: numbers of shared goals
    :return: models by name
    """
    kwargs: dict[str, Any] = {"seed": 0, "device": "cpu", "buffer_size": TRANSITIONS, "learning_starts": TRANSITIONS}
    net_arch = {"net_arch": [256, 256]}
    models: dict[str, Any] = {
        BASELINE: SAC(
            "MultiInputPolicy",
            gym.make("leo/FetchReach-v0"),
            replay_buffer_class=HerReplayBuffer,
            policy_kwargs=net_arch,
            **kwargs,
        )
    }
    for count in shared_goals:
        env = AnyGoalWrapper(gym.make("leo/FetchReach-v0"))
        model = LEOSAC("MultiGoalPolicy", env, n_steps=5, goals_per_update=count, **kwargs)
        models[f"LEOSAC, any goal, {count} shared"] = model
    models[GRID] = LEOSAC("MultiGoalPolicy", gym.make("leo/FetchReach-v0", resolution=10), n_steps=5, **kwargs)
    for model in models.values():
        model.learn(TRANSITIONS)
        model.set_logger(Logger(folder=None, output_formats=[]))
    return models


def measure(models: dict[str, Any], rounds: int) -> dict[str, float]:
    """
    Measure the milliseconds of a gradient step of each model.

    :param models: models by name
    :param rounds: number of measurements of each model
    :return: milliseconds by name
    """
    times: dict[str, list[float]] = {name: [] for name in models}
    for number in range(rounds + 1):
        for name, model in models.items():
            start = time.process_time()
            model.train(2, BATCH)
            if number > 0:  # the first round is a warm-up
                times[name].append(1e3 * (time.process_time() - start) / 2)
    return {name: float(np.median(values)) for name, values in times.items()}


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared-goals", type=int, nargs="+", default=[0, 8, 16, 64, 128])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "any_goal_speed")
    options = parser.parse_args()
    th.set_num_threads(1)
    ms = measure(make_models(options.shared_goals), options.rounds)
    ratios = {name: round(value / ms[BASELINE], 2) for name, value in ms.items()}
    for name, value in ms.items():
        print(f"{name:32s} {value:8.1f} ms  {ratios[name]:6.2f} x SAC")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    result = {
        "what": (__doc__ or "").strip(),
        "machine": describe("numpy", "stable-baselines3", "torch"),
        "ms": ms,
        "times_sac": ratios,
    }
    options.out.with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")
    print(f"wrote {options.out}.json")


if __name__ == "__main__":
    main()
