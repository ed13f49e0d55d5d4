"""
Cost of a gradient step with continuous actions over the number of goals: LEOTD3, TD3 and a loop over goals.

Run ``python benchmarks/continuous_speed.py``; results are written to ``results/continuous_speed.json`` and ``.png``. It times
the whole gradient step of the algorithms (``model.train(2, 256)``, halved) on random transitions. The methods alternate, so
that noise affects all of them; results are medians of the processor time of one thread.

- TD3, one goal: Stable-Baselines3's, 256 transitions, each for one goal; two hidden layers of 256, fused Adam as in LEOTD3.
  Its actor is updated in every second step, the default.
- LEOTD3: each of the 256 transitions updates all goals; its actor is updated in every step, the default.
- LEOTD3, 32 goals: ``goals_per_update=32``, each gradient step updates 32 random goals.
- loop over goals: the losses and gradients of LEOTD3, with a separate pass through the same networks for each goal. Measured
  with 4 goals and scaled, because the whole step takes many seconds.
"""

import os

# Set before NumPy and PyTorch are imported.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse  # noqa: E402
import json  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import gymnasium as gym  # noqa: E402
import numpy as np  # noqa: E402
import torch as th  # noqa: E402
from machine import describe  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from stable_baselines3 import TD3  # noqa: E402
from stable_baselines3.common.logger import Logger  # noqa: E402

from leo_agents import LEOTD3  # noqa: E402

BATCH, STATE_DIM, ACTION_DIM, TRANSITIONS, LOOPED = 256, 32, 4, 1_000, 4
GOALS = (16, 32, 64, 128, 256, 512, 1_024)
METHODS = ("TD3, one goal", "LEOTD3", "LEOTD3, 32 goals", "loop over goals")


class RandomEnv(gym.Env[np.ndarray, np.ndarray]):
    """A random environment with any number of goals, to fill replay buffers."""

    def __init__(self, num_goals: int) -> None:
        self.observation_space = gym.spaces.Box(-1, 1, (STATE_DIM,))
        self.action_space = gym.spaces.Box(-1, 1, (ACTION_DIM,))
        self.goal_names = tuple(f"goal/{number}" for number in range(num_goals))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return self._state()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        obs, info = self._state()
        return obs, 0.0, False, False, info

    def _state(self) -> tuple[np.ndarray, dict[str, Any]]:
        mask = self.np_random.random(len(self.goal_names)) < 0.02
        return self.np_random.uniform(-1, 1, STATE_DIM).astype(np.float32), {"goals_achieved": mask}


def make_steps(num_goals: int) -> dict[str, Callable[[], float]]:
    """
    Create the models.

    :param num_goals: G
    :return: by method, a function that takes two gradient steps and returns the factor that scales their time
    """
    kwargs: dict[str, Any] = {
        "seed": 0,
        "device": "cpu",
        "buffer_size": TRANSITIONS,
        "learning_starts": TRANSITIONS,
    }
    env = RandomEnv(num_goals)
    fused = {"net_arch": [256, 256], "optimizer_kwargs": {"fused": True}}
    td3 = TD3("MlpPolicy", env, policy_kwargs=fused, **kwargs)
    all_goals, some = LEOTD3("MultiGoalPolicy", env, **kwargs), None
    if num_goals >= 32:
        some = LEOTD3("MultiGoalPolicy", env, goals_per_update=32, **kwargs)
    for model in (td3, all_goals, some):
        if model is not None:
            model.learn(TRANSITIONS)
            model.set_logger(Logger(folder=None, output_formats=[]))

    def train(model: TD3) -> Callable[[], float]:
        def steps() -> float:
            model.train(2, BATCH)
            return 1.0

        return steps

    steps = {"TD3, one goal": train(td3), "LEOTD3": train(all_goals), "loop over goals": lambda: loop(all_goals, num_goals)}
    return steps if some is None else {**steps, "LEOTD3, 32 goals": train(some)}


def loop(model: LEOTD3, num_goals: int) -> float:
    """
    Compute the gradients of two steps for a few goals in sequence, without changing the weights.

    :param model: the model
    :param num_goals: G
    :return: G divided by the number of goals computed
    """
    for _ in range(2):
        batch = model.replay_buffer.sample(BATCH)
        for goal in range(LOOPED):
            ids = th.tensor([goal])
            loss = model.critic_loss(batch, model.targets(batch, ids), ids)
            loss.backward()  # type: ignore[no-untyped-call]
            model.actor_loss(batch, ids).backward()  # type: ignore[no-untyped-call]
    return num_goals / LOOPED


def measure(num_goals: int, rounds: int) -> dict[str, float]:
    """
    Measure the milliseconds of a gradient step of each method.

    :param num_goals: G
    :param rounds: number of measurements of each method
    :return: milliseconds by method
    """
    steps = make_steps(num_goals)
    times: dict[str, list[float]] = {method: [] for method in steps}
    for number in range(rounds + 1):
        for method, make in steps.items():
            start = time.process_time()
            factor = make()
            if number > 0:  # the first round is a warm-up
                times[method].append(1e3 * factor * (time.process_time() - start) / 2)
    return {method: float(np.median(times[method])) for method in METHODS if method in times}


def draw(points: list[dict[str, Any]], path: Path) -> None:
    """
    Plot the cost over the number of goals.

    :param points: all measurements
    :param path: the figure to write
    """
    figure = Figure(figsize=(5.6, 4.4), layout="constrained")
    axes = figure.subplots()
    for method in METHODS:
        known = [(point["goals"], point["ms"][method]) for point in points if method in point["ms"]]
        axes.plot(*zip(*known, strict=True), label=method, marker="o", markersize=3)
    td3 = [(point["goals"], 6 * point["ms"][METHODS[0]]) for point in points]
    axes.plot(*zip(*td3, strict=True), label="6 x TD3", color="0.6", linestyle=":")
    axes.set(xscale="log", yscale="log", xlabel="goals", ylabel="ms per gradient step of 256 transitions")
    axes.set_title("continuous actions, networks 256 wide")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
    figure.savefig(path, dpi=130)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--goals", type=int, nargs="+", default=GOALS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "continuous_speed")
    options = parser.parse_args()
    th.set_num_threads(1)
    points = []
    for goals in options.goals:
        ms = measure(goals, options.rounds)
        ratios = {method: round(value / ms[METHODS[0]], 2) for method, value in ms.items()}
        points.append({"goals": goals, "ms": ms, "times_td3": ratios})
        print(f"{goals} goals: TD3 {ms[METHODS[0]]:.1f} ms; x TD3: {ratios}", flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    result = {"what": __doc__.strip(), "machine": describe("numpy", "stable-baselines3", "torch"), "points": points}
    options.out.with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")
    draw(points, options.out.with_suffix(".png"))
    print(f"wrote {options.out}.json and .png")


if __name__ == "__main__":
    main()
