"""
Whether agents with continuous actions combine pieces of different trajectories in a maze, as
``benchmarks/offline_stitching.py`` asks in the gridworld.

Run ``python benchmarks/offline_stitching_maze.py``; table and curves are written to
``benchmarks/results/offline_stitching_maze_<env>.*``. ``--env`` is a PointMaze of ``leo_envs``, or a point maze of OGBench
(``--env ogbench/pointmaze-medium-v0``, needs ``pip install ogbench``; its datasets are not used).

The data of each seed are random episodes (``--episode-steps``) from random cells; random actions are repeated, 4 steps on
average. A pair of cells is *seen* if some episode visits the first and later achieves the second. Success is that of the
policy without noise, from the first cell to the second, over up to ``--pairs`` random pairs of each kind. Agents and settings
are those of ``benchmarks/offline_continuous.py``.
"""

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch as th
from offline_continuous import METHODS, SHARED, TARGETS
from training_runs import (
    PeriodicEval,
    Row,
    add_options,
    curves_by_seed,
    format_quantity,
    mean_and_half_width,
    train_all,
    write_results,
)

from leo_agents import GoalDataset, collect_dataset
from leo_wrappers import MultiGoalWrapper, PointGoals

Env = gym.Env[Any, Any]
AGENTS = ("LEOSAC", "LEOSAC, expectile", "LEOTD3 + BC", "SAC + HER", "IQL", "GCSL", "GCSL, stitched")
QUANTITIES = ("success_seen", "success_unseen", "seen_pairs", "seconds")
OGBENCH = "ogbench/"


class CellStarts(gym.Wrapper[Any, Any, Any, Any]):
    """
    Starts episodes in random cells, or in the one of the reset option ``cell``.

    :param env: a maze with a goal per free cell
    """

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset the environment with the agent in a cell."""
        names = self.get_wrapper_attr("goal_names")
        if seed is not None or not hasattr(self, "random"):
            self.random = np.random.default_rng(seed)
        number = (options or {}).get("cell")
        name = names[self.random.integers(len(names)) if number is None else number]
        cell = tuple(int(part) for part in name.partition("/")[2].split(","))
        return self.env.reset(seed=seed, options={"reset_cell": cell, "task_info": {"init_ij": cell, "goal_ij": cell}})


def make_env(env_id: str, max_steps: int) -> Env:
    """
    Create a maze with a goal per free cell.

    :param env_id: id of the environment
    :param max_steps: number of steps of an episode
    :return: the environment, whose option ``cell`` of a reset is the number of the first cell
    """
    if not env_id.startswith(OGBENCH):
        return CellStarts(gym.make(env_id, max_episode_steps=max_steps))
    import ogbench  # noqa: F401

    env = gym.make(env_id.removeprefix(OGBENCH), max_episode_steps=max_steps, terminate_at_goal=False)
    maze: Any = env.unwrapped
    cells = [(row, column) for row, column in np.ndindex(*maze.maze_map.shape) if maze.maze_map[row, column] == 0]
    names = [f"cell/{row},{column}" for row, column in cells]
    goals = PointGoals([maze.ij_to_xy(cell) for cell in cells], tolerance=0.45 * maze._maze_unit, names=names)
    return CellStarts(MultiGoalWrapper(env, goals))


def cells_of(observations: Any, points: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """
    Return the cell in which the agent is.

    :param observations: of a dataset
    :param points: centers of the cells ``[G, 2]``
    :return: ``[T]``
    """
    positions = observations.get("achieved_goal", observations["observation"])
    return np.asarray(np.linalg.norm(positions[:, None] - points, axis=2).argmin(axis=1))


def seen_pairs(dataset: GoalDataset, points: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """
    Return which pairs of cells some episode connects.

    :param dataset: the data
    :param points: centers of the cells ``[G, 2]``
    :return: bool ``[G, G]``
    """
    num_goals = len(dataset.goal_names)
    starts = cells_of(dataset.observations, points)
    masks = np.unpackbits(dataset.packed_masks, axis=1, count=num_goals).astype(bool)
    seen, later = np.zeros((num_goals, num_goals), dtype=bool), np.zeros(num_goals, dtype=bool)
    for step in reversed(range(len(dataset))):
        later = masks[step] | (later & (not dataset.ended[step]))
        seen[starts[step]] |= later
    return seen


def success(model: Any, env: Env, pairs: npt.NDArray[np.int64]) -> float:
    """
    Return the success rate of the policy without noise over pairs of cells.

    :param model: the agent
    :param env: the maze
    :param pairs: first cells and goals ``[P, 2]``
    :return: the success rate
    """
    reached = []
    for number, (start, goal) in enumerate(pairs.tolist()):
        obs, _ = env.reset(seed=number, options={"cell": start})
        achieved = truncated = False
        while not (achieved or truncated):
            obs, _, _, truncated, info = env.step(model.policy.act(obs, goal))
            achieved = bool(info["goals_achieved"][goal])
        reached.append(achieved)
    return float(np.mean(reached)) if reached else float("nan")


def run(method: str, seed: int, options: argparse.Namespace) -> list[Row]:
    """
    Train one agent.

    :param method: one of :data:`AGENTS`
    :param seed: seed of the data and of the agent
    :param options: command line options
    :return: a row per evaluation
    """
    th.set_num_threads(1)
    env, short = make_env(options.env, options.max_steps), make_env(options.env, options.episode_steps)
    dataset = collect_dataset(short, options.transitions, seed=seed)
    seen = seen_pairs(dataset, np.asarray(env.get_wrapper_attr("goal_set").points))
    different = ~np.eye(len(seen), dtype=bool)
    random = np.random.default_rng(seed)
    chosen = [random.permutation(np.argwhere(one & different))[: options.pairs] for one in (seen, ~seen)]

    def evaluate(model: Any) -> Row:
        rates = [success(model, env, pairs) for pairs in chosen]
        return {"success_seen": rates[0], "success_unseen": rates[1], "seen_pairs": float(seen[different].mean())}

    callback = PeriodicEval(evaluate, options.every, clock=time.process_time)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="never achieved in the data")
        model = METHODS[method](make_env(options.env, options.max_steps), seed=seed, gamma=options.gamma, **SHARED)
        model.learn_offline(dataset, options.steps, callback)
    return [{"algorithm": method, "seed": seed, **row} for row in callback.rows]


def write(rows: list[Row], options: argparse.Namespace) -> list[Row]:
    """
    Write table and curves.

    :param rows: rows of all runs so far
    :param options: command line options
    :return: a line per agent with its last evaluation
    """
    table = []
    for method, curves in curves_by_seed(rows).items():
        line: Row = {"algorithm": method, "seeds": len(curves), "gradient_steps": next(iter(curves.values()))[-1]["steps"]}
        for key in QUANTITIES:
            line |= mean_and_half_width(key, [curve[-1][key] for curve in curves.values()])
        table.append(line)
    about = {"what": (__doc__ or "").strip(), "settings": SHARED | TARGETS, "table": table}
    write_results(options, about, rows, "gymnasium", "numpy", "stable-baselines3", "torch")
    return table


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="leo/PointMaze_UMaze-v0", help="id of a point maze")
    parser.add_argument("--transitions", type=int, default=20_000, help="size of the dataset")
    parser.add_argument("--episode-steps", type=int, default=40, help="length of the episodes of the data")
    parser.add_argument("--max-steps", type=int, default=300, help="length of the episodes of the evaluation")
    parser.add_argument("--pairs", type=int, default=30, help="number of pairs of cells of each kind")
    parser.add_argument("--steps", type=int, default=2_000, help="gradient steps of each run")
    parser.add_argument("--gamma", type=float, default=0.98, help="discount factor")
    add_options(parser, "--algorithms", AGENTS, default=AGENTS, seeds=3)
    options = parser.parse_args()
    options.every = options.every or options.steps
    name = options.env.partition("/")[2].partition("-v")[0].lower().replace("-", "_")
    options.out = options.out or Path(__file__).parent / "results" / f"offline_stitching_maze_{name}"
    for line in train_all(run, (options,), options, AGENTS, write):
        cells = (f"{key} {format_quantity(line, key, '{:.3f}'.format)}" for key in QUANTITIES)
        print(f"{line['algorithm']:18s}", *cells, sep="  ")
    print(f"wrote {options.out}.json and .csv")


if __name__ == "__main__":
    main()
