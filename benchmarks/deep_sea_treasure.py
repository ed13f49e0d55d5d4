"""
The Pareto front of deep-sea-treasure by linear preferences, all learned at once by LEODQN.

Run ``python benchmarks/deep_sea_treasure.py`` (needs ``pip install mo-gymnasium``); table and curves are written to
``benchmarks/results/deep_sea_treasure.*``.

A submarine pays a unit of time per step and ends the episode with one of ten treasures, the larger the farther. Two maps of
MO-Gymnasium: the default one, whose front is convex, and the concave one. Returns are discounted by 0.99, and so are the known
fronts. Linear preferences reach the points on the convex hull of a front and no others, so the table has both: ``hull`` is
what the best agent could do.

- preferences: 65 weights of treasure and time, each a task, all learned from every step; evaluated with 101 other weights, for
  which the agent acts by the nearest one.
- sum of values: the two entries of the reward as two tasks, and the action with the largest weighted sum of their values.
- exact: the same with the values of dynamic programming instead of learned ones, so without training.

``found`` is the fraction of the points on the convex hull that the agent's episodes reach, ``hypervolume`` is above treasure 0
and 50 discounted steps. Observations are one-hot cells.
"""

import os

# Set before NumPy and PyTorch are imported.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse  # noqa: E402
import itertools  # noqa: E402
import warnings  # noqa: E402
from collections.abc import Callable  # noqa: E402
from functools import partial  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import gymnasium as gym  # noqa: E402
import numpy as np  # noqa: E402
import torch as th  # noqa: E402
from stable_baselines3.common.vec_env import DummyVecEnv  # noqa: E402
from training_runs import (  # noqa: E402
    PeriodicEval,
    Row,
    add_options,
    curves_by_seed,
    format_quantity,
    mean_and_half_width,
    train_all,
    write_results,
)

from leo_agents import LEODQN  # noqa: E402
from leo_agents.evaluation import evaluate_preferences, hypervolume  # noqa: E402
from leo_wrappers.tasks import TaskWrapper, multi_objective_env, preference_grid  # noqa: E402

Act = Callable[[np.ndarray, np.ndarray], int]

GAMMA = 0.99
MAPS = {"convex": "deep-sea-treasure-v0", "concave": "deep-sea-treasure-concave-v0"}
METHODS = ("preferences", "sum of values", "preferences, exact", "sum of values, exact")
AGENTS = [f"{method}, {name}" for name in MAPS for method in METHODS]
DIVISIONS = 64
WEIGHTS = preference_grid(2, 100)
REFERENCE = (0.0, -50.0)
SIZE = 11
SETTINGS: dict[str, Any] = {
    "gamma": GAMMA,
    "learning_rate": 1e-3,
    "buffer_size": 50_000,
    "batch_size": 128,
    "train_freq": 1,
    "exploration_fraction": 0.8,
    "policy_kwargs": {"net_arch": [128], "normalize_observations": False},
    "device": "cpu",
}
NUM_ENVS = 8


def make_env(name: str) -> gym.Env:
    """
    Create an environment with vector rewards and one-hot observations.

    :param name: one of :data:`MAPS`
    :return: the environment
    """
    import mo_gymnasium

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*precision lowered")
        env = mo_gymnasium.make(MAPS[name], max_episode_steps=100)
    cells = np.eye(SIZE**2, dtype=np.float32)
    space = gym.spaces.Box(0.0, 1.0, (SIZE**2,), np.float32)
    return gym.wrappers.TransformObservation(env, lambda cell: cells[SIZE * cell[0] + cell[1]], space)


def make_task_env(name: str, preferences: int | None) -> TaskWrapper:
    """
    Create an environment with tasks.

    :param name: one of :data:`MAPS`
    :param preferences: see :func:`~leo_wrappers.tasks.multi_objective_env`
    :return: the environment
    """
    return multi_objective_env(make_env(name), ["treasure", "time"], preferences=preferences)


def known_fronts(name: str) -> tuple[np.ndarray, np.ndarray]:
    """
    Return MO-Gymnasium's front, and its points that are the best ones for some linear preference.

    :param name: one of :data:`MAPS`
    :return: ``[F, 2]`` and ``[H, 2]``
    """
    front = np.array(make_env(name).unwrapped.pareto_front(gamma=GAMMA))
    best = np.unique((preference_grid(2, 100_000) @ front.T).argmax(axis=1))
    return front, front[best]


def exact_q_values(name: str, weights: np.ndarray) -> np.ndarray:
    """
    Compute the optimal values of weighted sums of the rewards by value iteration.

    :param name: one of :data:`MAPS`
    :param weights: ``[K, 2]``
    :return: values of all cells and actions ``[K, S, A]``
    """
    sea: Any = make_env(name).unwrapped
    successors, ended = np.zeros((SIZE**2, 4), dtype=np.int64), np.ones((SIZE**2, 4))
    rewards = np.zeros((SIZE**2, 4, 2))
    for cell, action in itertools.product(range(SIZE**2), range(4)):
        position = np.array(divmod(cell, SIZE), dtype=np.int32)
        if sea.sea_map[tuple(position)] == 0:  # neither rock nor treasure
            sea.current_state = position
            after, rewards[cell, action], ended[cell, action], _, _ = sea.step(action)
            successors[cell, action] = SIZE * after[0] + after[1]
    q = np.zeros((len(weights), SIZE**2, 4))
    for _ in range(1_000):
        q = (rewards @ weights.T).transpose(2, 0, 1) + GAMMA * (1 - ended) * q.max(axis=2)[:, successors]
    return q


def exact_agent(method: str, name: str) -> Act:
    """
    Create an agent that needs no training.

    :param method: one of :data:`METHODS`
    :param name: one of :data:`MAPS`
    :return: the action for an observation and weights
    """
    if method == "sum of values, exact":
        single = exact_q_values(name, np.eye(2))
        return lambda obs, weights: int((weights @ single[:, obs.argmax()]).argmax())
    grid = preference_grid(2, DIVISIONS)
    q = exact_q_values(name, grid)
    return lambda obs, weights: int(q[np.square(grid - weights).sum(axis=1).argmin(), obs.argmax()].argmax())


def run(agent: str, seed: int, steps: int, every: int) -> list[Row]:
    """
    Train one agent.

    :param agent: one of :data:`AGENTS`
    :param seed: seed of the agent
    :param steps: environment steps
    :param every: environment steps between evaluations
    :return: a row per evaluation
    """
    th.set_num_threads(1)
    method, name = agent.rsplit(", ", 1)
    env, (_, hull) = make_env(name), known_fronts(name)

    def measure(act: Act) -> Row:
        report = evaluate_preferences(act, env, WEIGHTS, GAMMA, seed=0)
        distances = np.abs(hull[:, None] - report.returns).max(axis=2).min(axis=1)
        return {"found": float((distances < 1e-4).mean()), "hypervolume": report.hypervolume(REFERENCE)}

    if method.endswith("exact"):
        return [{"algorithm": agent, "seed": seed, "steps": 0, "seconds": 0.0, **measure(exact_agent(method, name))}]
    divisions = DIVISIONS if method == "preferences" else None
    venv = DummyVecEnv([partial(make_task_env, name, divisions)] * NUM_ENVS)
    model = LEODQN("MultiGoalPolicy", venv, seed=seed, **SETTINGS)

    def act(obs: np.ndarray, weights: np.ndarray) -> int:
        if method == "preferences":
            return int(model.act(obs, weights=weights))
        return int((weights @ model.q_values(obs)[0]).argmax())

    callback = PeriodicEval(lambda _: measure(act), every)
    model.learn(steps, callback)
    return [{"algorithm": agent, "seed": seed, **row} for row in callback.rows]


def write(rows: list[Row], options: argparse.Namespace) -> list[Row]:
    """
    Write table and curves.

    :param rows: rows of all runs so far
    :param options: command line options
    :return: the table
    """
    table = []
    for agent, curves in curves_by_seed(rows).items():
        front, hull = known_fronts(agent.rsplit(", ", 1)[1])
        line: Row = {"algorithm": agent, "seeds": len(curves), "steps": next(iter(curves.values()))[-1]["steps"]}
        for key in ("found", "hypervolume", "seconds"):
            line |= mean_and_half_width(key, [curve[-1][key] for curve in curves.values()])
        line |= {"hull_points": len(hull), "front_points": len(front)}
        line |= {"hull_hypervolume": hypervolume(hull, REFERENCE), "front_hypervolume": hypervolume(front, REFERENCE)}
        table.append(line)
    about = {"what": (__doc__ or "").strip(), "settings": SETTINGS, "table": table}
    write_results(options, about, rows, "gymnasium", "mo-gymnasium", "numpy", "stable-baselines3", "torch")
    return table


def format_table(table: list[Row]) -> str:
    """
    Format the table for the terminal.

    :param table: from :func:`write`
    :return: text
    """
    lines = [f"{'':30s} {'found':>18s} {'of':>4s} {'hypervolume':>18s} {'hull':>8s} {'front':>8s} {'seconds':>14s}"]
    for line in table:
        found = format_quantity(line, "found", "{:.2f}".format)
        volume = format_quantity(line, "hypervolume", "{:.1f}".format)
        seconds = format_quantity(line, "seconds", "{:.0f}".format)
        lines.append(
            f"{line['algorithm']:30s} {found:>18s} {line['hull_points']:>4d} {volume:>18s} {line['hull_hypervolume']:>8.1f} "
            f"{line['front_hypervolume']:>8.1f} {seconds:>14s}"
        )
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40_000, help="environment steps of each run")
    add_options(parser, "--algorithms", AGENTS, default=AGENTS, seeds=3)
    options = parser.parse_args()
    options.every = options.every or max(options.steps // 4, 1)
    options.out = options.out or Path(__file__).parent / "results" / "deep_sea_treasure"
    print(format_table(train_all(run, (options.steps, options.every), options, AGENTS, write)))
    print(f"wrote {options.out}.json and .csv")


if __name__ == "__main__":
    main()
