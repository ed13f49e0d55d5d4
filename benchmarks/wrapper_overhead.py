"""
Time that MultiGoalWrapper adds to a step of an idle environment and of CartPole.

Run ``python benchmarks/wrapper_overhead.py``; results are written to ``results/wrapper_overhead.json``.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from machine import describe

from leo_wrappers import GridGoals, MultiGoalWrapper, PointGoals

STEPS, REPEATS = 5_000, 9
RESULT = Path(__file__).parent / "results" / "wrapper_overhead.json"


class IdleEnv(gym.Env[np.ndarray, int]):
    """Returns a constant observation, so that only the wrapper takes time."""

    observation_space = gym.spaces.Box(-1, 1, (3,))
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(3, dtype=np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return np.zeros(3, dtype=np.float32), 0.0, False, False, {}


def cartpole() -> gym.Env[Any, Any]:
    """Create a CartPole that never terminates or truncates."""
    env = gym.make("CartPole-v1", disable_env_checker=True).unwrapped
    env.x_threshold = env.theta_threshold_radians = np.inf
    return env


def microseconds(env: gym.Env[Any, Any]) -> float:
    """Measure the time of one step."""
    env.reset(seed=0)
    start = time.perf_counter()
    for _ in range(STEPS):
        env.step(0)
    return (time.perf_counter() - start) / STEPS * 1e6


def measure(make: Callable[[], gym.Env[Any, Any]], goals: Any, signal: Any = None) -> dict[str, float]:
    """Measure the environment without and with the wrapper alternately, so that noise affects both."""
    plain, wrapped = make(), MultiGoalWrapper(make(), goals, signal=signal)
    pairs = np.array([(microseconds(plain), microseconds(wrapped)) for _ in range(REPEATS)])
    added = pairs[:, 1] - pairs[:, 0]
    return {
        "bare_us": float(np.median(pairs[:, 0])),
        "added_us_median": float(np.median(added)),
        "added_us_min": float(added.min()),
        "added_us_max": float(added.max()),
    }


def cell_lookup_us(goals: GridGoals, points: np.ndarray) -> float:
    """Measure the time to compute the cells of a batch of points."""
    start = time.perf_counter()
    for _ in range(100):
        goals.cell_of(points)
    return (time.perf_counter() - start) / 100 * 1e6


def main() -> None:
    rng = np.random.default_rng(0)
    points = {count: PointGoals(rng.uniform(-1, 1, (count, 3)), tolerance=0.1) for count in (16, 512, 4096)}
    cells = GridGoals([-1] * 3, [1] * 3, [8] * 3)
    small, large = GridGoals([-1, -1], [1, 1], [10, 10]), GridGoals([-1, -1], [1, 1], [400, 250])
    batch = rng.uniform(-1, 1, (1_000, 2))
    cases = {
        "idle, 16 points": measure(IdleEnv, points[16]),
        "idle, 512 points": measure(IdleEnv, points[512]),
        "idle, 4096 points": measure(IdleEnv, points[4096]),
        "idle, 512 cells": measure(IdleEnv, cells),
        "CartPole, 512 points": measure(cartpole, points[512], signal=lambda obs, info: obs[:3]),
    }
    for name, figures in cases.items():
        print(f"{name:24s} adds {figures['added_us_median']:6.1f} us per step ({figures['added_us_min']:.1f} to "
              f"{figures['added_us_max']:.1f}; plain {figures['bare_us']:.1f})")  # fmt: skip
    # Cell lookup without writing the mask: 1,000 points in a grid of 100 and in one of 100,000 cells, alternately.
    pairs = [(cell_lookup_us(small, batch), cell_lookup_us(large, batch)) for _ in range(REPEATS)]
    cases["finding 1,000 cells of 100 and of 100,000"] = dict(
        zip(("few_us", "many_us"), np.median(pairs, axis=0).tolist(), strict=True)
    )
    print(f"cell lookup of 1,000 points: {cases['finding 1,000 cells of 100 and of 100,000']}")
    RESULT.write_text(
        json.dumps({"machine": describe("gymnasium", "numpy"), "steps": STEPS, "repeats": REPEATS, "cases": cases}, indent=2)
    )


if __name__ == "__main__":
    main()
