"""
Whether agents combine pieces of different trajectories: LEODQN, DQN with hindsight, implicit Q-learning and behavior cloning
in hindsight learn from short random trajectories, and are evaluated between cells that no trajectory connects.

Run ``python benchmarks/offline_stitching.py``; table and curves are written to ``benchmarks/results/offline_stitching.*``.

The data of each seed are 5,000 episodes of 10 random steps that start in random cells of the paper's 16 x 16 map. A pair of
start and goal is *seen* if some episode visits the start and later the goal. Success of a pair is that of the greedy policy
within 200 steps; the table has the means over all seen and over all unseen pairs of different, connected cells. Agents and
settings are those of ``benchmarks/offline_gridworld.py``.
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
from gridworld_learning import q_table
from offline_gridworld import METHODS, SHARED, TARGETS, make_model
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
from leo_wrappers.sb3 import GymVecEnv

NUM_ENVS, EPISODE_STEPS, NUM_STEPS, MAX_STEPS = 10, 10, 50_000, 200
QUANTITIES = ("success_seen", "success_unseen", "seen_pairs", "seconds")


class Pairs:
    """
    Evaluates all pairs of different, connected cells of the map.

    :param dataset: the data, which divide the pairs into seen and unseen ones
    """

    def __init__(self, dataset: GoalDataset) -> None:
        env: Any = gym.make("leo/GridWorld-v0").unwrapped
        self.observations, self.num_goals = env.all_observations(), len(env.goal_names)
        self.next_states = env.mdp.successors
        connected = (env.distances() > 0) & ~np.eye(self.num_goals, dtype=bool)
        visited = np.concatenate(
            [
                env.mdp.states_of(part["observation"]).reshape(-1, 1)
                for part in (dataset.observations, dataset.next_observations)
            ],
            axis=1,
        ).reshape(-1, EPISODE_STEPS, 2)
        seen = np.zeros_like(connected)
        for start in range(EPISODE_STEPS):
            for end in range(start, EPISODE_STEPS):
                seen[visited[:, start, 0], visited[:, end, 1]] = True
        self.seen, self.unseen = seen & connected, ~seen & connected

    def success(self, q_values: npt.NDArray[np.floating]) -> Row:
        """
        Follow the greedy policy between all pairs.

        :param q_values: values, or logits, of all states, goals and actions ``[S, G, A]``
        :return: mean success over seen and over unseen pairs
        """
        policy = q_values.argmax(axis=2)
        states, goals = np.indices(policy.shape)
        reached = np.zeros(policy.shape, dtype=bool)
        for _ in range(MAX_STEPS):
            states = self.next_states[states, policy[states, goals]]
            reached |= states == goals
        return {
            "success_seen": float(reached[self.seen].mean()),
            "success_unseen": float(reached[self.unseen].mean()),
            "seen_pairs": float(self.seen.sum() / (self.seen | self.unseen).sum()),
        }


def run(method: str, seed: int, steps: int, every: int) -> list[Row]:
    """
    Train one agent.

    :param method: one of :data:`~offline_gridworld.METHODS`
    :param seed: seed of the data and of the agent
    :param steps: gradient steps
    :param every: gradient steps between evaluations
    :return: a row per evaluation
    """
    th.set_num_threads(1)
    options = {"start": "random", "time_limit": EPISODE_STEPS}
    envs = GymVecEnv(gym.make_vec("leo/GridWorld-v0", num_envs=NUM_ENVS, autoreset_mode="SameStep", **options))
    dataset = collect_dataset(envs, NUM_STEPS, seed=seed)
    pairs = Pairs(dataset)
    callback = PeriodicEval(
        lambda model: pairs.success(q_table(model, pairs.observations, pairs.num_goals)), every, clock=time.process_time
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="never achieved in the data")  # cells that nothing connects
        make_model(method, seed).learn_offline(dataset, steps, callback)
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
    parser.add_argument("--steps", type=int, default=4_000, help="gradient steps of each run")
    add_options(parser, "--algorithms", METHODS, default=METHODS, seeds=3)
    options = parser.parse_args()
    options.every = options.every or max(options.steps // 2, 1)
    options.out = options.out or Path(__file__).parent / "results" / "offline_stitching"
    for line in train_all(run, (options.steps, options.every), options, METHODS, write):
        print(line["algorithm"], *(f"{key} {format_quantity(line, key, '{:.3f}'.format)}" for key in QUANTITIES), sep="  ")
    print(f"wrote {options.out}.json and .csv")


if __name__ == "__main__":
    main()
