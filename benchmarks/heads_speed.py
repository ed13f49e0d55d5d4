"""
Cost of a gradient step over the number of goals: LEODQN with several heads, single-goal DQN, all-goals relabeling.

Run ``python benchmarks/heads_speed.py``; results are written to ``results/heads_speed.json`` and ``.png``. It times the whole
gradient step of the algorithms (``model.train(1, 256)``: sampling, targets, loss, backward, clipping, Adam, target update) on
random transitions with one thread. The methods alternate, so that noise affects all of them; results are medians.

- DQN, one goal: Stable-Baselines3's DQN on state and goal; 256 transitions, each for one goal.
- relabelling: the same DQN for every goal of each of the 256 transitions, 256 x G rows. Measured with 4,096 rows and scaled,
  because the whole step takes minutes. (SB3 one-hot encodes the goal before its descriptor is looked up, a cost per row that
  grows with G and is part of both DQN figures; at 4,096 goals it is about a sixth of the time of relabeling.)
- LEO dense: the default head. "last 256": the last hidden layer has 256 units (``net_arch=[1024, 1024, 1024, 256]``); the
  2 x 256 network has no such variant.
- "bfloat16": ``amp=True``. Everything else is in float32, including single-goal DQN, which has no such option.
- LEO factored: ``head="factored"``, rank 64.

Milliseconds are processor time, which other processes hardly affect, of the second of two consecutive steps.
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
from matplotlib.figure import Figure  # noqa: E402
from stable_baselines3 import DQN  # noqa: E402
from stable_baselines3.common.logger import Logger  # noqa: E402

from leo_agents import LEODQN  # noqa: E402
from leo_agents.baselines import goal_conditioned_dqn  # noqa: E402

BATCH, STATE_DIM, TRANSITIONS, RELABELLED_ROWS = 256, 64, 1_000, 4_096
GOALS, ACTIONS, NETS = (16, 64, 256, 512, 1_024, 4_096, 16_384), (4, 43), {"2 x 256": [256] * 2, "4 x 1024": [1024] * 4}
# All methods of a point are in memory together, each with four arrays of this size (weights, target, Adam's moments).
LARGEST_HEAD_BYTES = 0.75e9
DQN_NAME, RELABELLING = "DQN, one goal", "relabelling"
LEO: dict[str, dict[str, Any]] = {
    "LEO dense": {},
    "LEO last 256": {"last": 256},
    "LEO last 256, bfloat16": {"last": 256, "amp": True},
    "LEO factored": {"head": "factored"},
}
METHODS = [DQN_NAME, *LEO, RELABELLING]
# One color per head; dash-dotted lines for bfloat16.
HEAD_COLORS = {"LEO dense": "#2667d9", "LEO last 256": "#e07b39", "LEO factored": "#8e4ec6"}


class RandomEnv(gym.Env[np.ndarray, int]):
    """A random multi-goal environment of any size, to fill replay buffers."""

    def __init__(self, num_goals: int, num_actions: int) -> None:
        self.observation_space = gym.spaces.Box(-1, 1, (STATE_DIM,))
        self.action_space = gym.spaces.Discrete(num_actions)
        self.goal_names = tuple(f"goal/{number}" for number in range(num_goals))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return self._state()

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        obs, info = self._state()
        return obs, 0.0, False, False, info

    def _state(self) -> tuple[np.ndarray, dict[str, Any]]:
        mask = self.np_random.random(len(self.goal_names)) < 0.02
        return self.np_random.uniform(-1, 1, STATE_DIM).astype(np.float32), {"goals_achieved": mask}


def leo_options(variant: str, net: list[int]) -> dict[str, Any] | None:
    """
    Return the arguments of LEODQN for a variant.

    :param variant: one of :data:`LEO`
    :param net: widths of the hidden layers
    :return: the arguments; None if the variant's last layer is not narrower than the network's
    """
    options = dict(LEO[variant])
    last = options.pop("last", None)
    if last is not None and last >= net[-1]:
        return None
    return {**options, "policy_kwargs": {"net_arch": net if last is None else [*net[:-1], last]}}


def make_model(method: str, num_goals: int, num_actions: int, net: list[int]) -> DQN | None:
    """
    Create a model with transitions in its replay buffer.

    :param method: one of :data:`METHODS`
    :param num_goals: G
    :param num_actions: A
    :param net: widths of the hidden layers
    :return: the model; None if it needs too much memory or the variant does not apply
    """
    kwargs: dict[str, Any] = {"seed": 0, "device": "cpu", "buffer_size": TRANSITIONS, "learning_starts": TRANSITIONS}
    env = RandomEnv(num_goals, num_actions)
    if method in LEO:
        options = leo_options(method, net)
        layers = [] if options is None else options["policy_kwargs"]["net_arch"]
        if options is None or (
            options.get("head") != "factored" and 4 * num_goals * num_actions * layers[-1] > LARGEST_HEAD_BYTES
        ):
            return None
        model: DQN = LEODQN("MultiGoalPolicy", env, **options, **kwargs)
    else:
        descriptors = np.random.default_rng(0).uniform(-1, 1, (num_goals, STATE_DIM)).astype(np.float32)
        fused = {"net_arch": net, "optimizer_kwargs": {"fused": True}}
        model = goal_conditioned_dqn(env, descriptors=descriptors, tau=0.02, policy_kwargs=fused, **kwargs)
    model.learn(TRANSITIONS)
    model.set_logger(Logger(folder=None, output_formats=[]))
    return model


def measure(num_goals: int, num_actions: int, net: list[int], rounds: int, patience: float) -> dict[str, Any]:
    """
    Measure the milliseconds of a gradient step of each method.

    :param num_goals: G
    :param num_actions: A
    :param net: widths of the hidden layers
    :param rounds: maximum number of measurements of each method
    :param patience: seconds after which no further round starts
    :return: milliseconds by method, None for methods without a model
    """
    times: dict[str, list[float]] = {method: [] for method in METHODS}
    models = {method: make_model(method, num_goals, num_actions, net) for method in METHODS if method != RELABELLING}
    started = time.perf_counter()
    for number in range(rounds + 1):
        for method in METHODS:
            model = models[DQN_NAME if method == RELABELLING else method]
            if model is None:
                continue
            rows = RELABELLED_ROWS if method == RELABELLING else BATCH
            if method != RELABELLING:
                model.train(1, rows)  # warm caches and memory pools after the previous method
            start = time.process_time()
            model.train(1, rows)
            if number > 0:  # the first round is a warm-up
                times[method].append(1e3 * (time.process_time() - start))
        if number >= 2 and time.perf_counter() - started > patience:
            break
    result = {method: float(np.median(values)) if values else None for method, values in times.items()}
    result[RELABELLING] *= BATCH * num_goals / RELABELLED_ROWS
    return result


def slopes(points: list[dict[str, Any]]) -> dict[str, float]:
    """
    Fit the exponent of G in the cost from 256 goals on.

    :param points: measurements of one network and number of actions
    :return: exponents by method
    """
    result = {}
    for method in METHODS:
        known = [(point["goals"], point["ms"][method]) for point in points if point["ms"][method] and point["goals"] >= 256]
        if len(known) >= 2:
            goals, times = np.log(np.array(known)).T
            result[method] = float(np.polyfit(goals, times, 1)[0])
    return result


def line_style(method: str) -> dict[str, Any]:
    """
    Return the line style of a method.

    :param method: one of :data:`METHODS`
    :return: keyword arguments of ``plot``
    """
    color = HEAD_COLORS.get(method.split(",")[0], "#222222" if method == DQN_NAME else "#999999")
    return {"color": color, "linestyle": "-." if "bfloat16" in method else "-", "marker": "o", "markersize": 3}


def draw(points: list[dict[str, Any]], path: Path) -> None:
    """
    Plot the cost over the number of goals.

    :param points: all measurements
    :param path: the figure to write
    """
    groups = list(dict.fromkeys((point["net"], point["actions"]) for point in points))
    figure = Figure(figsize=(4.2 * len(groups) + 2.6, 4.4), layout="constrained")
    panels = figure.subplots(1, len(groups), squeeze=False, sharey=True)[0]
    lines = {}
    for axes, (net, actions) in zip(panels, groups, strict=True):
        mine = [point for point in points if (point["net"], point["actions"]) == (net, actions)]
        for method in METHODS:
            known = [(point["goals"], point["ms"][method]) for point in mine if point["ms"][method]]
            if known:
                lines[method] = axes.plot(*zip(*known, strict=True), **line_style(method))[0]
        axes.set(xscale="log", yscale="log", title=f"{net}, {actions} actions", xlabel="goals")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("ms per gradient step of 256 transitions")
    ordered = [method for method in METHODS if method in lines]
    figure.legend([lines[method] for method in ordered], ordered, loc="outside right center", fontsize=8, frameon=False)
    figure.savefig(path, dpi=130)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--goals", type=int, nargs="+", default=GOALS)
    parser.add_argument("--actions", type=int, nargs="+", choices=ACTIONS, default=ACTIONS)
    parser.add_argument("--nets", nargs="+", choices=list(NETS), default=list(NETS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--patience", type=float, default=12.0, help="seconds per point after which no further round starts")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "heads_speed")
    options = parser.parse_args()
    th.set_num_threads(1)
    points = []
    for net in options.nets:
        for actions in options.actions:
            for goals in options.goals:
                ms = measure(goals, actions, NETS[net], options.rounds, options.patience)
                points.append({"net": net, "actions": actions, "goals": goals, "ms": ms})
                ratios = {name: value and round(value / ms[DQN_NAME], 2) for name, value in ms.items()}
                print(f"{net}, {actions} actions, {goals} goals: DQN {ms[DQN_NAME]:.1f} ms; x DQN: {ratios}", flush=True)
    groups = {(point["net"], point["actions"]): None for point in points}
    fitted = {
        f"{net}, {actions} actions": slopes([p for p in points if (p["net"], p["actions"]) == (net, actions)])
        for net, actions in groups
    }
    result = {"what": __doc__.strip(), "machine": describe("numpy", "stable-baselines3", "torch"), "slopes": fitted}
    options.out.with_suffix(".json").write_text(json.dumps({**result, "points": points}, indent=2) + "\n")
    draw(points, options.out.with_suffix(".png"))
    print(f"wrote {options.out}.json and .png")


if __name__ == "__main__":
    main()
