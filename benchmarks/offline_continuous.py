"""
What agents with continuous actions learn from data alone: LEOSAC and LEOTD3, SAC with hindsight, implicit Q-learning and
behavior cloning in hindsight.

Run ``python benchmarks/offline_continuous.py --env leo/FetchReach-v0 --data random``; table and curves are written to
``benchmarks/results/offline_continuous_<env>_<data>.*``.

Each seed has its own dataset, and all agents learn from the same one. "random": random actions, repeated 4 steps on average.
"mixed": half of the transitions are those of a scripted agent, which goes from goal to neighboring goal along a shortest path
to a random one, with a random action in three of ten steps. All agents make the same number of gradient steps of 256
transitions with hidden layers of 256, normalized inputs and a learning rate of 1e-3.

- LEOSAC: all goals of the environment's grid. "any goal": points as goals, 16 that the batch has in common and one of each
  row's own (``AnyGoalWrapper``). "expectile": in-sample values of expectile 0.9 instead of those of the actor's actions.
- LEOTD3 + BC: LEOTD3 with a behavior cloning term of weight 0.1.
- SAC + HER, IQL: four of five rows with a goal achieved later in the episode, the others with a uniformly drawn one.
  "entropy 0.02": SAC's entropy coefficient is learned from 0.02 on, as LEOSAC's. With 1, Stable-Baselines3's default, the
  entropy of a long episode is worth more than a goal, which ends it: the agent avoids goals.
- GCSL: the taken action is the label, for a goal achieved later in the episode.

Success is that of the policy without noise over all goals of the grid, one episode each, and excludes goals achieved at the
start. Intervals are 95 % by Student's t over seeds.
"""

import os

# Set before NumPy and PyTorch are imported.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse  # noqa: E402
import time  # noqa: E402
import warnings  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import gymnasium as gym  # noqa: E402
import numpy as np  # noqa: E402
import torch as th  # noqa: E402
from continuous_learning import DesiredGoalAgent  # noqa: E402
from stable_baselines3 import SAC  # noqa: E402
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
from leo_agents import LEOSAC, LEOTD3, GoalDataset, collect_dataset  # noqa: E402
from leo_agents.baselines import goal_conditioned_actor_critic, goal_conditioned_bc, goal_conditioned_iql  # noqa: E402
from leo_agents.evaluation import evaluate_goals  # noqa: E402
from leo_wrappers import AnyGoalWrapper  # noqa: E402

gym.register_envs(leo_envs)

Env = gym.Env[Any, Any]
ANY_GOAL = "LEOSAC, any goal"
SHARED: dict[str, Any] = {"batch_size": 256, "buffer_size": 8, "learning_rate": 1e-3, "device": "cpu"}
TARGETS: dict[str, Any] = {"tau": 0.05}
HIDDEN: dict[str, Any] = {"policy_kwargs": {"net_arch": [256, 256]}}
METHODS: dict[str, Callable[..., Any]] = {
    "LEOSAC": lambda env, **kwargs: LEOSAC("MultiGoalPolicy", env, **TARGETS, **kwargs),
    ANY_GOAL: lambda env, **kwargs: LEOSAC("MultiGoalPolicy", AnyGoalWrapper(env), **TARGETS, **kwargs),
    "LEOSAC, expectile": lambda env, **kwargs: LEOSAC("MultiGoalPolicy", env, expectile=0.9, **TARGETS, **kwargs),
    "LEOTD3 + BC": lambda env, **kwargs: LEOTD3("MultiGoalPolicy", env, bc_weight=0.1, **TARGETS, **kwargs),
    "SAC + HER": lambda env, **kwargs: goal_conditioned_actor_critic(SAC, env, buffer="her", **TARGETS, **HIDDEN, **kwargs),
    "SAC + HER, entropy 0.02": lambda env, **kwargs: goal_conditioned_actor_critic(
        SAC, env, buffer="her", ent_coef="auto_0.02", **TARGETS, **HIDDEN, **kwargs
    ),
    "IQL": lambda env, **kwargs: goal_conditioned_iql(env, **TARGETS, **HIDDEN, **kwargs),
    "GCSL": lambda env, **kwargs: goal_conditioned_bc(env, **HIDDEN, **kwargs),
    "GCSL, stitched": lambda env, **kwargs: goal_conditioned_bc(env, stitch_probability=0.5, **HIDDEN, **kwargs),
}


class ShortestPath:
    """
    Scripted agent that goes from goal to neighboring goal of a grid, along a shortest path to the commanded one.

    :param env: goal environment with the grid's goals
    """

    def __init__(self, env: Env) -> None:
        self.goal_names = env.get_wrapper_attr("goal_names")
        self.points = np.asarray(env.get_wrapper_attr("goal_points"), dtype=np.float64)
        self.action_dim = env.action_space.shape[0]  # type: ignore[index]
        distances = np.linalg.norm(self.points[:, None] - self.points, axis=2)
        self.spacing = distances[distances > 0].min()
        steps = np.where(distances <= 1.1 * self.spacing, 1.0, np.inf)
        np.fill_diagonal(steps, 0.0)
        for middle in range(len(steps)):
            steps = np.minimum(steps, steps[:, [middle]] + steps[[middle]])
        neighbors = np.where(distances <= 1.1 * self.spacing, 0.0, np.inf)
        # From point i towards goal g over the neighbor from which it is nearest.
        self.next_points = np.array([(neighbors + steps[:, goal]).argmin(axis=1) for goal in range(len(steps))]).T

    def predict(self, observation: Any, *args: Any, **kwargs: Any) -> Any:
        """Return actions proportional to the distance of the next point, less the velocity in mazes."""
        position, goals = observation["achieved_goal"], observation["goal_id"]
        nearest = np.linalg.norm(position[:, None] - self.points, axis=2).argmin(axis=1)
        error = (self.points[self.next_points[nearest, goals]] - position) / self.spacing
        if error.shape[1] == 2:
            error = 2.0 * error - 0.5 * observation["observation"][:, 2:4]
        else:
            error *= 2.0
        actions = np.zeros((len(error), self.action_dim), dtype=np.float32)
        actions[:, : error.shape[1]] = np.clip(error, -1.0, 1.0)
        return actions, None


def joined(first: GoalDataset, second: GoalDataset) -> GoalDataset:
    """
    Return the transitions of two datasets.

    :param first: the first
    :param second: of the same spaces and goals
    :return: the first one's, then the second one's
    """

    def both(name: str) -> Any:
        one, other = getattr(first, name), getattr(second, name)
        if isinstance(one, dict):
            return {key: np.concatenate([one[key], other[key]]) for key in one}
        return np.concatenate([one, other])

    names = ("observations", "actions", "next_observations", "terminated", "truncated", "packed_masks")
    return GoalDataset(*(both(name) for name in names), first.goal_names)


def make_dataset(options: argparse.Namespace, seed: int) -> GoalDataset:
    """
    Collect the data of a seed.

    :param options: command line options
    :param seed: seed of the actions
    :return: the dataset
    """
    env = gym.make(options.env)
    if options.data == "random":
        return collect_dataset(env, options.transitions, seed=seed)
    half = options.transitions // 2
    scripted = collect_dataset(env, half, ShortestPath(env), epsilon=0.3, seed=seed)  # type: ignore[arg-type]
    return joined(collect_dataset(env, half, seed=seed + 1_000), scripted)


def run(method: str, seed: int, options: argparse.Namespace) -> list[Row]:
    """
    Train one agent.

    :param method: a key of :data:`METHODS`
    :param seed: seed of the data and of the agent
    :param options: command line options
    :return: a row per evaluation
    """
    th.set_num_threads(1)
    dataset, env = make_dataset(options, seed), gym.make(options.env)
    covered = float((dataset.achieved_counts() > 0).mean())

    def evaluate(model: Any) -> Row:
        agent: Any = DesiredGoalAgent(model) if method == ANY_GOAL else model
        return {"success": evaluate_goals(agent, env, seed=0).mean_success, "covered": covered}

    callback = PeriodicEval(evaluate, options.every, clock=time.process_time)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="never achieved in the data")  # in the table as `covered`
        model = METHODS[method](gym.make(options.env), seed=seed, gamma=options.gamma, **SHARED)
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
        for key in ("success", "covered", "seconds"):
            line |= mean_and_half_width(key, [curve[-1][key] for curve in curves.values()])
        table.append(line)
    about = {"what": (__doc__ or "").strip(), "settings": SHARED | TARGETS, "table": table}
    write_results(options, about, rows, "gymnasium", "numpy", "stable-baselines3", "torch")
    return table


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="leo/FetchReach-v0", help="id of a goal environment with a grid of goals")
    parser.add_argument("--data", choices=("random", "mixed"), default="random", help="actions of the data")
    parser.add_argument("--transitions", type=int, default=10_000, help="size of the dataset")
    parser.add_argument("--steps", type=int, default=2_000, help="gradient steps of each run")
    parser.add_argument("--gamma", type=float, default=0.98, help="discount factor")
    add_options(parser, "--algorithms", list(METHODS), default=list(METHODS), seeds=3)
    options = parser.parse_args()
    options.every = options.every or max(options.steps // 2, 1)
    name = options.env.split("/")[-1].partition("-v")[0].lower()
    options.out = options.out or Path(__file__).parent / "results" / f"offline_continuous_{name}_{options.data}"
    for line in train_all(run, (options,), options, list(METHODS), write):
        cells = (f"{key} {format_quantity(line, key, '{:.3f}'.format)}" for key in ("success", "covered", "seconds"))
        print(f"{line['algorithm']:18s}", *cells, sep="  ")
    print(f"wrote {options.out}.json and .csv")


if __name__ == "__main__":
    main()
