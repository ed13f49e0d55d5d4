"""
Exploration on hard maps with exact values: which goals LEODQN sees and learns, by the goal selector and by what it does after
a success.

Run ``python benchmarks/exploration.py``; table, curves and figure are written to ``benchmarks/results/exploration_MAP.*``. The
maps:

- ``key_door`` (default): two mazes of 9 x 9 cells, joined by a locked door. The key is in the cell farthest from the start;
  goals are the cells, "has key" and "door open". Episodes have 200 steps.
- ``maze``: a maze of 64 x 64 cells. Episodes have 1,000 steps.

All agents are LEODQN with the same settings; ``seen`` is its default. ``explore``: after each success 20 steps of random
actions, each repeated for 4 steps on average, before the next goal (``VecGoalSampler(explore_steps=20, explore_repeat=4)``);
``patience``: goals are given up after 50 steps in which their value has not risen (``patience=50``); ``spread``: exploration
rates spread over the environments as in Ape-X (``exploration_spread=7``); ``novelty``: ``NoveltyWrapper``, every fourth
command is for its goal; ``all``: frontier and learning progress in turn, with ``explore``, ``patience`` and ``spread``.

``coverage`` is the fraction of the goals that are reachable from the start that were achieved during training. ``success`` is
that of the greedy policy from the start within an episode, over all reachable goals that are not achieved there; it is
deterministic and computed for all goals. ``behind`` is the success for the goals that need the open door, or, in the maze, for
the farther half. ``value_error`` is the mean of ``|max_a Q - optimal|`` over these goals and all states that are reachable.
"""

import os

# Set before NumPy and PyTorch are imported.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse  # noqa: E402
from functools import cache  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import gymnasium as gym  # noqa: E402
import numpy as np  # noqa: E402
import torch as th  # noqa: E402
from curves import draw_curves  # noqa: E402
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv  # noqa: E402
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

import leo_envs  # noqa: E402
from leo_agents import LEODQN  # noqa: E402
from leo_envs.gridworld import GridWorldEnv, maze_map  # noqa: E402
from leo_wrappers import NoveltyWrapper  # noqa: E402
from leo_wrappers.sb3 import GymVecEnv, VecGoalSampler  # noqa: E402

gym.register_envs(leo_envs)

GAMMA, NUM_ENVS = 0.99, 8
SETTINGS: dict[str, Any] = {
    "learning_rate": 2e-3,
    "batch_size": 128,
    "gamma": GAMMA,
    "train_freq": 2,
    "policy_kwargs": {"net_arch": [128, 128]},
    "device": "cpu",
}
EXPLORE = {"explore_steps": 20, "explore_repeat": 4}
PATIENCE = {"patience": 50}
# Arguments of the sampler, then of LEODQN.
AGENTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "uniform": ({"goal_selector": "uniform"}, {}),
    "seen": ({"goal_selector": "seen"}, {}),
    "least_achieved": ({"goal_selector": "least_achieved"}, {}),
    "intermediate": ({"goal_selector": "intermediate"}, {}),
    "learning_progress": ({"goal_selector": "learning_progress"}, {}),
    "frontier": ({"goal_selector": "frontier"}, {}),
    "seen, spread": ({"goal_selector": "seen"}, {"exploration_spread": 7.0}),
    "seen, explore": ({"goal_selector": "seen", **EXPLORE}, {}),
    "frontier, explore": ({"goal_selector": "frontier", **EXPLORE}, {}),
    "frontier, explore, patience": ({"goal_selector": "frontier", **EXPLORE, **PATIENCE}, {}),
    "seen, novelty": ({"goal_selector": {"seen": 3, "novelty": 1}}, {}),
    "all": (
        {"goal_selector": {"frontier": 0.5, "learning_progress": 0.5}, **EXPLORE, **PATIENCE},
        {"exploration_spread": 7.0},
    ),
}
COLORS = {
    "uniform": "#8a8f9c",
    "seen": "#000000",
    "least_achieved": "#b08900",
    "intermediate": "#8e4ec6",
    "learning_progress": "#d6409f",
    "frontier": "#2667d9",
    "seen, spread": "#c9c9c9",
    "seen, explore": "#666666",
    "frontier, explore": "#22a062",
    "frontier, explore, patience": "#e07b39",
    "seen, novelty": "#00a0a0",
    "all": "#d92626",
}


def key_door_map() -> str:
    """
    Join two mazes by a door, with the key in the cell of the first one that is farthest from the start.

    :return: the map as text
    """
    left, right = (maze_map(9, seed).splitlines() for seed in (1, 2))
    env = GridWorldEnv(left)
    farthest = int(env.distances()[env.mdp.starts[0]].argmax())
    key_row, key_column = env.cell_of(farthest)
    left[key_row] = left[key_row][:key_column] + "K" + left[key_row][key_column + 1 :]
    door = len(left) // 2 // 2 * 2
    rows = zip(left, right, strict=True)
    return "\n".join(one + "#D"[row == door] + other.replace("S", ".") for row, (one, other) in enumerate(rows))


MAPS: dict[str, tuple[dict[str, Any], int]] = {
    "key_door": ({"map": key_door_map()}, 200),
    "maze": ({"map": "maze", "size": 64}, 1_000),
}


class Task:
    """
    One of the maps, with its exact values.

    :param name: one of :data:`MAPS`
    """

    def __init__(self, name: str) -> None:
        arguments, self.max_steps = MAPS[name]
        self.env = GridWorldEnv(**arguments)
        self.start = int(self.env.mdp.starts[0])
        self.successors = self.env.mdp.successors
        self.masks = self.env.mdp.achieved(np.arange(self.env.mdp.num_states))
        distances = self.env.distances()
        self.goals = np.flatnonzero((distances[self.start] > 0) & ~self.masks[self.start])
        self.states = np.flatnonzero(_reachable_states(self.successors, self.start))
        steps = distances[self.start, self.goals]
        if name == "key_door":
            door_open = distances[self.start, self.env.goal_set.index("door open")]
            self.is_behind = steps >= door_open
        else:
            self.is_behind = steps > np.median(steps)
        self.observations = self.env.all_observations()[self.states]
        optimal = self.env.optimal_q(GAMMA, goals=self.goals.tolist()).max(axis=2)
        self.optimal = optimal[self.states]

    def make_envs(self, novelty: bool) -> VecEnv:
        """
        Create environments for training.

        :param novelty: whether to add the goal "novelty", with counts that all environments share
        :return: the environments
        """
        arguments: dict[str, Any] = {"map": str(self.env.grid), "max_episode_steps": self.max_steps}
        if novelty:
            counts = np.zeros(len(self.env.goal_names), dtype=np.int64)
            return DummyVecEnv([lambda: NoveltyWrapper(gym.make("leo/GridWorld-v0", **arguments), counts)] * NUM_ENVS)
        mode = gym.vector.AutoresetMode.SAME_STEP
        return GymVecEnv(gym.make_vec("leo/GridWorld-v0", num_envs=NUM_ENVS, autoreset_mode=mode, **arguments))

    def evaluate(self, model: Any) -> Row:
        """
        Evaluate an agent.

        :param model: the agent
        :return: the quantities of the table
        """
        observations: Any = self.observations
        if "goal_counts" in model.observation_space.spaces:
            counts = model._last_obs["goal_counts"][-1:]
            observations = {"observation": observations, "goal_counts": np.repeat(counts, len(observations), axis=0)}
        q_values = model.q_values(observations)[:, self.goals]
        assert model.goal_sampler is not None
        success = self._success(q_values)
        return {
            "coverage": float(model.goal_sampler.seen[self.goals].mean()),
            "success": float(success.mean()),
            "behind": float(success[self.is_behind].mean()),
            "value_error": float(np.abs(q_values.max(axis=2) - self.optimal).mean()),
        }

    def _success(self, q_values: np.ndarray) -> np.ndarray:
        """Return which goals the greedy policy achieves from the start, bool ``[goals]``."""
        actions = q_values.argmax(axis=2)
        row_of = np.full(len(self.successors), -1)
        row_of[self.states] = np.arange(len(self.states))
        columns = np.arange(len(self.goals))
        states, success = np.full(len(self.goals), self.start), np.zeros(len(self.goals), dtype=bool)
        for _ in range(self.max_steps):
            states = self.successors[states, actions[row_of[states], columns]]
            success |= self.masks[states, self.goals]
        return success


def _reachable_states(successors: np.ndarray, start: int) -> np.ndarray:
    visited = np.zeros(len(successors), dtype=bool)
    frontier = np.array([start])
    while frontier.size:
        visited[frontier] = True
        following = np.unique(successors[frontier])
        frontier = following[~visited[following]]
    return visited


make_task = cache(Task)


def run(agent: str, seed: int, name: str, steps: int, every: int) -> list[Row]:
    """
    Train one agent.

    :param agent: one of :data:`AGENTS`
    :param seed: seeds the agent and its environments
    :param name: one of :data:`MAPS`
    :param steps: environment steps
    :param every: environment steps between evaluations
    :return: a row per evaluation
    """
    th.set_num_threads(1)
    task = make_task(name)
    sampler, arguments = AGENTS[agent]
    envs = VecGoalSampler(task.make_envs("novelty" in agent), seed=seed, **sampler)
    callback = PeriodicEval(task.evaluate, every)
    LEODQN("MultiGoalPolicy", envs, seed=seed, buffer_size=steps, **SETTINGS, **arguments).learn(steps, callback=callback)
    return [{"algorithm": agent, "seed": seed, **row} for row in callback.rows]


def summarize(rows: list[Row]) -> list[Row]:
    """
    Summarize the final evaluations.

    :param rows: rows of all runs
    :return: a line per agent
    """
    table = []
    for agent, curves in curves_by_seed(rows).items():
        line: Row = {"algorithm": agent, "seeds": len(curves)}
        for key in ("coverage", "success", "behind", "value_error", "seconds"):
            line |= mean_and_half_width(key, [curve[-1][key] for curve in curves.values()])
        table.append(line)
    return table


def format_table(table: list[Row]) -> str:
    """
    Format the table for the terminal.

    :param table: from :func:`summarize`
    :return: text
    """
    keys = ("coverage", "success", "behind", "value_error")
    lines = [f"{'':28s}" + "".join(f" {key:>16s}" for key in keys)]
    for line in table:
        cells = [format_quantity(line, key, "{:.3f}".format) for key in keys]
        lines.append(f"{line['algorithm']:28s}" + "".join(f" {cell:>16s}" for cell in cells))
    return "\n".join(lines)


def write(rows: list[Row], options: argparse.Namespace) -> list[Row]:
    """
    Write table, curves and figure.

    :param rows: rows of all runs so far
    :param options: command line options
    :return: the table
    """
    table = summarize(rows)
    about = {"what": (__doc__ or "").strip(), "num_envs": NUM_ENVS, "settings": SETTINGS, "agents": AGENTS, "table": table}
    write_results(options, about, rows, "gymnasium", "numpy", "stable-baselines3", "torch")
    titles = {"coverage": "reachable goals seen", "success": "success over all reachable goals"}
    draw_curves(rows, titles, COLORS, options.out.with_suffix(".png"))
    return table


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--map", choices=list(MAPS), default="key_door", help="the map")
    parser.add_argument("--steps", type=int, default=20_000, help="environment steps of each run")
    add_options(parser, "--agents", list(AGENTS), default=list(AGENTS), seeds=3)
    options = parser.parse_args()
    options.every = options.every or max(options.steps // 10, NUM_ENVS)
    options.out = options.out or Path(__file__).parent / "results" / f"exploration_{options.map}"
    print(format_table(train_all(run, (options.map, options.steps, options.every), options, list(AGENTS), write)))
    print(f"wrote {options.out}.json, .csv and .png")


if __name__ == "__main__":
    main()
