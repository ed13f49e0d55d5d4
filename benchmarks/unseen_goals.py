"""
Goals that were never trained on: agents learn a part of the cells of the 16 x 16 gridworld and are evaluated on the others.

Run ``python benchmarks/unseen_goals.py``; table and curves are written to ``benchmarks/results/unseen_goals.*``. Held out
are a random half of the reachable cells (another one for each seed), or all reachable cells of the upper left quadrant. The
environment has only the goals that are left: the others enter no mask, no loss and no relabeling.

- LEODQN, LEOPQN: ``head="factored"``, which computes the weights of a goal from its descriptor, row and column.
- LEODQN, quasimetric: ``head="quasimetric"``, which encodes the observation at the goal's cell like a state.
- LEODQN, nearest: the dense head, which cannot be commanded other goals; it is commanded the nearest one that it knows.
- DQN + HER: goal-conditioned DQN that reads the goal as the observation at its cell, with the settings of
  ``gridworld_learning.py``.

LEODQN and DQN + HER make one gradient step per step of the eight environments, and have the settings of
``gridworld_learning.py``. LEOPQN has its defaults and 64 environments. All networks have two hidden layers of 256. Success is
that of the greedy policy from the initial state within 200 steps. Intervals are 95 % by Student's t over seeds.
"""

import argparse
from pathlib import Path
from typing import Any

import gridworld_learning as learning  # first, because it sets the number of threads
import gymnasium as gym
import numpy as np
import torch as th
from gridworld_eval import GridworldEval
from stable_baselines3.common.env_util import make_vec_env
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

from leo_agents import LEODQN, LEOPQN
from leo_agents.baselines import goal_conditioned_dqn
from leo_agents.evaluation import evaluate_goals
from leo_wrappers import GoalSet, MultiGoalWrapper

STEPS = {"LEOPQN": 10}  # as a multiple of --steps
AGENTS = ("LEODQN", "LEODQN, quasimetric", "LEODQN, nearest", "LEOPQN", "DQN + HER")
HEADS = {"LEODQN": "factored", "LEODQN, quasimetric": "quasimetric", "LEODQN, nearest": "dense"}
HELD_OUT = ("half", "quadrant")
RUNS = {f"{agent}, {held} held out": (agent, held) for held in HELD_OUT for agent in AGENTS}


class Split:
    """
    The goals to train and those to hold out.

    :param held_out: one of :data:`HELD_OUT`
    :param seed: seed of the random half
    """

    def __init__(self, held_out: str, seed: int) -> None:
        self.evaluation = GridworldEval()
        self.env: Any = gym.make("leo/GridWorld-v0").unwrapped
        reachable, cells = self.evaluation.reachable, self.env.grid.cells
        if held_out == "half":
            generator = np.random.default_rng(seed)
            self.unseen = np.sort(generator.choice(reachable, len(reachable) // 2, replace=False))
        else:
            size = np.array(self.env.grid.shape) // 2
            self.unseen = reachable[(cells[reachable] < size).all(axis=1)]
        self.trained = np.setdiff1d(reachable, self.unseen)
        self.goals = self.env.goal_set.subset(self.trained.tolist())

    def make_env(self) -> gym.Env[Any, Any]:
        """Create an environment that has only the goals to train."""
        env: Any = gym.make("leo/GridWorld-v0")
        return MultiGoalWrapper(env, self.goals, signal=env.unwrapped.goal_signal)

    def success(self, policy: Any) -> Row:
        """
        Evaluate a policy for all goals.

        :param policy: acts for the goals of the whole set
        :return: success on trained and on unseen goals
        """
        envs = self.evaluation.envs
        return {
            "success": evaluate_goals(policy, envs, goals=self.trained).mean_success,
            "unseen": evaluate_goals(policy, envs, goals=self.unseen).mean_success,
        }


class NearestGoal:
    """
    Commands a model the nearest of its goals.

    :param model: the model
    :param split: its goals, and all goals
    """

    def __init__(self, model: LEODQN, split: Split) -> None:
        self.model = model
        all_goals, known = split.env.goal_set.descriptors, split.goals.descriptors
        self.nearest = np.square(all_goals[:, None] - known).sum(axis=2).argmin(axis=1)

    def predict(self, observation: dict[str, np.ndarray], *args: Any, **kwargs: Any) -> tuple[np.ndarray, Any]:
        """Return the model's actions for the nearest goals."""
        return self.model.predict({**observation, "goal_id": self.nearest[observation["goal_id"]]}, *args, **kwargs)


def make_model(agent: str, split: Split, seed: int, steps: int) -> Any:
    """
    Create an agent with its environments.

    :param agent: one of :data:`AGENTS`
    :param split: the goals to train
    :param seed: seeds the agent and its environments
    :param steps: size of the replay buffer
    :return: the untrained model
    """
    venv = make_vec_env(split.make_env, 64 if agent == "LEOPQN" else learning.NUM_ENVS)
    if agent == "LEOPQN":
        return LEOPQN("MultiGoalPolicy", venv, head="factored", gamma=learning.GAMMA, seed=seed, device="cpu")
    kwargs = {**learning.SHARED, "seed": seed, "buffer_size": steps, "batch_size": learning.BATCH}
    if agent == "DQN + HER":
        return goal_conditioned_dqn(
            venv,
            buffer="her",
            replay_buffer_kwargs={"n_sampled_goal": 4, "goal_selection_strategy": "future"},
            descriptors=split.evaluation.observations[split.trained],
            target_update_interval=learning.NUM_ENVS,
            **kwargs,
        )
    if agent == "LEODQN, quasimetric":
        descriptors = {"descriptors": split.evaluation.observations[split.trained]}
        kwargs["policy_kwargs"] = {**kwargs["policy_kwargs"], "head_kwargs": descriptors}
    return LEODQN("MultiGoalPolicy", venv, head=HEADS[agent], **kwargs)


def for_all_goals(agent: str, model: Any, split: Split) -> Any:
    """
    Return a policy with the goals of the whole set.

    :param agent: one of :data:`AGENTS`
    :param model: the trained model
    :param split: the goals
    :return: the policy
    """
    if agent == "LEODQN, nearest":
        return NearestGoal(model, split)
    if agent == "LEODQN, quasimetric":
        known, states = split.env.goal_set, split.evaluation.observations
        return model.policy.with_goal_set(GoalSet(known.names, known.achieved, descriptors=states, signal_shape=()))
    if agent != "DQN + HER":
        return model.policy.with_goal_set(split.env.goal_set)
    whole = goal_conditioned_dqn(
        gym.make("leo/GridWorld-v0"),
        descriptors=split.evaluation.observations,
        policy_kwargs=learning.SHARED["policy_kwargs"],
        buffer_size=1,
        device="cpu",
    ).policy
    weights = {name: value for name, value in model.policy.state_dict().items() if not name.endswith("descriptors")}
    whole.load_state_dict(weights, strict=False)
    return whole


def run(name: str, seed: int, steps: int, every: int) -> list[Row]:
    """
    Train one agent.

    :param name: one of :data:`RUNS`
    :param seed: seeds the agent, its environments and the random half
    :param steps: environment steps of the agents with a replay buffer
    :param every: their environment steps between evaluations
    :return: a row per evaluation
    """
    th.set_num_threads(1)
    agent, held_out = RUNS[name]
    split, multiple = Split(held_out, seed), STEPS.get(agent, 1)
    callback = PeriodicEval(lambda model: split.success(for_all_goals(agent, model, split)), multiple * every)
    make_model(agent, split, seed, steps).learn(multiple * steps, callback=callback)
    return [{"algorithm": name, "seed": seed, **row} for row in callback.rows]


def summarize(rows: list[Row]) -> list[Row]:
    """
    Summarize the final evaluations.

    :param rows: rows of all runs
    :return: a line per agent and kind of split
    """
    table = []
    for name, curves in curves_by_seed(rows).items():
        line: Row = {"algorithm": name, "seeds": len(curves), "steps": next(iter(curves.values()))[-1]["steps"]}
        for key in ("success", "unseen", "seconds"):
            line |= mean_and_half_width(key, [curve[-1][key] for curve in curves.values()])
        table.append(line)
    return table


def format_table(table: list[Row]) -> str:
    """
    Format the table for the terminal.

    :param table: from :func:`summarize`
    :return: text
    """
    lines = [f"{'':34s} {'steps':>8s} {'trained goals':>16s} {'unseen goals':>16s}"]
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
    parser.add_argument("--steps", type=int, default=40_000, help="environment steps of each run, 10 times as many for LEOPQN")
    add_options(parser, "--agents", list(RUNS), default=list(RUNS), seeds=3)
    options = parser.parse_args()
    options.every = options.every or max(options.steps // 8, learning.NUM_ENVS)
    options.out = options.out or Path(__file__).parent / "results" / "unseen_goals"
    print(format_table(train_all(run, (options.steps, options.every), options, list(RUNS), write)))
    print(f"wrote {options.out}.json and .csv")


if __name__ == "__main__":
    main()
