"""
Points that were never trained on: agents for any goal learn a part of the goal space and are evaluated on the rest.

Run ``python benchmarks/unseen_points.py``; table and curves are written to ``benchmarks/results/unseen_points.*``. The goal
space is divided into the cells of the environment's grid, by nearest point. Held out are a random half of the cells (another
one for each seed), or a region: all cells whose first two coordinates are both above the center. In training no goal of a
held-out cell is commanded, and none is a goal of an update: candidates and relabeled goals are drawn again, up to 8 times, or
replaced by commanded ones. States in these cells are visited and learned from as any others.

Agents and settings are those of ``continuous_learning.py``, with one gradient step in ``--train-freq`` environment steps;
``--n-steps`` is for LEO, because Stable-Baselines3's HER has one-step targets only. Success is that of the policy without
noise over 50 random goals of the trained cells and 50 of the others. Intervals are 95 % by Student's t
over seeds.
"""

import argparse
from pathlib import Path
from typing import Any

import continuous_learning as learning  # first, because it sets the number of threads
import gymnasium as gym
import numpy as np
import torch as th
from stable_baselines3 import HerReplayBuffer
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

from leo_agents.baselines import goal_env_actor_critic
from leo_agents.evaluation import evaluate_random_goals
from leo_agents.replay.point_goal_buffer import PointGoalReplayBuffer
from leo_wrappers import AnyGoalWrapper

AGENTS = ("LEOTD3, any goal", "LEOSAC, any goal", "TD3 + HER", "SAC + HER")
HELD_OUT = ("half", "region")
RUNS = {f"{agent}, {held} held out": (agent, held) for held in HELD_OUT for agent in AGENTS}
TRIALS = 8


class Split:
    """
    The points to train and those to hold out.

    :param env_id: id of an environment with a grid of goals
    :param held_out: one of :data:`HELD_OUT`
    :param seed: seed of the random half
    """

    def __init__(self, env_id: str, held_out: str, seed: int) -> None:
        self.env = gym.make(env_id)
        self.cells = np.asarray(self.env.get_wrapper_attr("goal_points"))
        if held_out == "half":
            self.unseen = np.random.default_rng(seed).permutation(len(self.cells)) < len(self.cells) // 2
        else:
            center = (self.cells.min(axis=0) + self.cells.max(axis=0)) / 2
            self.unseen = (self.cells > center)[:, :2].all(axis=1)

    def is_unseen(self, points: np.ndarray) -> np.ndarray:
        """Return which points ``[..., d]`` lie in a cell that is held out."""
        distances = np.square(points[..., None, :] - self.cells).sum(axis=-1)
        return np.asarray(self.unseen[distances.argmin(axis=-1)])

    def draw(self, unseen: bool, count: int) -> np.ndarray:
        """Draw goals of the environment, from cells that are held out or from the others."""
        goals: list[np.ndarray] = []
        seed = 10_000
        while len(goals) < count:
            goal = self.env.reset(seed=seed)[0]["desired_goal"]
            seed += 1
            if self.is_unseen(goal) == unseen:
                goals.append(goal.copy())
        return np.stack(goals)


class TrainedGoals(gym.Wrapper[Any, Any, Any, Any]):
    """
    Wrapper that resets again until the desired goal is one to train.

    :param env: the environment
    :param split: which points are held out
    """

    def __init__(self, env: gym.Env[Any, Any], split: Split) -> None:
        super().__init__(env)
        self.split = split

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Reset the environment."""
        obs, info = self.env.reset(**kwargs)
        while self.split.is_unseen(obs["desired_goal"]):
            obs, info = self.env.reset()
        return obs, info


class TrainedPointBuffer(PointGoalReplayBuffer):
    """LEO's replay buffer, whose candidates are goals to train."""

    def __init__(self, *args: Any, split: Split, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.split = split

    def _draw_shared_goals(self) -> np.ndarray:
        goals = super()._draw_shared_goals()
        for _ in range(TRIALS):
            goals = np.where(self.split.is_unseen(goals)[:, None], super()._draw_shared_goals(), goals)
        commanded = goals[: self.shared_goals // 2]
        return np.where(self.split.is_unseen(goals)[:, None], commanded[np.arange(len(goals)) % len(commanded)], goals)

    def _draw_own_goals(self, batch_inds: np.ndarray, env_inds: np.ndarray) -> np.ndarray:
        goals = super()._draw_own_goals(batch_inds, env_inds)
        for _ in range(TRIALS):
            goals = np.where(self.split.is_unseen(goals)[..., None], super()._draw_own_goals(batch_inds, env_inds), goals)
        commanded = self.observations["desired_goal"][batch_inds, env_inds][:, None]
        return np.where(self.split.is_unseen(goals)[..., None], commanded, goals)


class TrainedHerBuffer(HerReplayBuffer):
    """Stable-Baselines3's replay buffer, whose relabeled goals are goals to train."""

    def __init__(self, *args: Any, split: Split, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.split = split

    def _sample_goals(self, batch_indices: np.ndarray, env_indices: np.ndarray) -> np.ndarray:
        goals = super()._sample_goals(batch_indices, env_indices)
        for _ in range(TRIALS):
            goals = np.where(self.split.is_unseen(goals)[:, None], super()._sample_goals(batch_indices, env_indices), goals)
        commanded = self.observations["desired_goal"][batch_indices, env_indices]
        return np.where(self.split.is_unseen(goals)[:, None], commanded, goals)


def make_model(agent: str, split: Split, seed: int, options: argparse.Namespace) -> Any:
    """
    Create an agent with its environment.

    :param agent: one of :data:`AGENTS`
    :param split: the goals to train
    :param seed: seeds the agent and its environment
    :param options: command line options
    :return: the untrained model
    """
    env = TrainedGoals(gym.make(options.env), split)
    kwargs = {**learning.SHARED, "seed": seed, "buffer_size": options.steps, "gamma": 0.98, "train_freq": options.train_freq}
    name, _, _ = agent.partition(", ")
    if name in learning.LEO:
        cls = learning.LEO[name]
        buffer = {"replay_buffer_class": TrainedPointBuffer, "replay_buffer_kwargs": {"split": split}}
        return cls("MultiGoalPolicy", AnyGoalWrapper(env), n_steps=options.n_steps, **buffer, **kwargs)
    hindsight = {**learning.HINDSIGHT, "replay_buffer_kwargs": {**learning.HINDSIGHT["replay_buffer_kwargs"], "split": split}}
    if name == "TD3 + HER":
        kwargs["action_noise"] = learning.action_noise(env)
    return goal_env_actor_critic(learning.BASELINES[name], env, replay_buffer_class=TrainedHerBuffer, **kwargs, **hindsight)


def run(name: str, seed: int, options: argparse.Namespace) -> list[Row]:
    """
    Train one agent.

    :param name: one of :data:`RUNS`
    :param seed: seeds the agent, its environment and the random half
    :param options: command line options
    :return: a row per evaluation
    """
    th.set_num_threads(1)
    agent, held_out = RUNS[name]
    split, env = Split(options.env, held_out, seed), AnyGoalWrapper(gym.make(options.env))
    goals = {"success": split.draw(unseen=False, count=50), "unseen": split.draw(unseen=True, count=50)}

    def evaluate(model: Any) -> Row:
        return {key: evaluate_random_goals(model, env, seed=0, goals=points).mean_success for key, points in goals.items()}

    callback = PeriodicEval(evaluate, options.every)
    make_model(agent, split, seed, options).learn(options.steps, callback=callback)
    return [{"algorithm": name, "seed": seed, **row} for row in callback.rows]


def summarize(rows: list[Row]) -> list[Row]:
    """
    Summarize all evaluations.

    :param rows: rows of all runs
    :return: a line per agent, kind of split and number of steps
    """
    table = []
    for name, curves in curves_by_seed(rows).items():
        for number, evaluation in enumerate(next(iter(curves.values()))):
            line: Row = {"algorithm": name, "seeds": len(curves), "steps": evaluation["steps"]}
            for key in ("success", "unseen"):
                line |= mean_and_half_width(key, [curve[number][key] for curve in curves.values()])
            table.append(line)
    return table


def format_table(table: list[Row]) -> str:
    """
    Format the table for the terminal.

    :param table: from :func:`summarize`
    :return: text
    """
    lines = [f"{'':34s} {'steps':>8s} {'trained cells':>16s} {'unseen cells':>16s}"]
    for line in table:
        trained, unseen = (format_quantity(line, key, "{:.2f}".format) for key in ("success", "unseen"))
        lines.append(f"{line['algorithm']:34s} {line['steps']:8,d} {trained:>16s} {unseen:>16s}")
    return "\n".join(lines)


def write(rows: list[Row], options: argparse.Namespace) -> list[Row]:
    """
    Write table and curves.

    :param rows: rows of all runs so far
    :param options: command line options
    :return: the table
    """
    table = summarize(rows)
    about = {"what": (__doc__ or "").strip(), "table": table}
    write_results(options, about, rows, "gymnasium", "numpy", "stable-baselines3", "torch")
    return table


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="leo/FetchReach-v0", help="id of an environment with a grid of goals")
    parser.add_argument("--steps", type=int, default=5_000, help="environment steps of each run")
    parser.add_argument("--train-freq", type=int, default=4, help="environment steps between gradient steps")
    parser.add_argument("--n-steps", type=int, default=1, help="length of LEO's n-step targets")
    add_options(parser, "--agents", list(RUNS), default=list(RUNS), seeds=3)
    options = parser.parse_args()
    options.every = options.every or max(options.steps // 2, 1)
    options.out = options.out or Path(__file__).parent / "results" / "unseen_points"
    print(format_table(train_all(run, (options,), options, list(RUNS), write)))
    print(f"wrote {options.out}.json and .csv")


if __name__ == "__main__":
    main()
