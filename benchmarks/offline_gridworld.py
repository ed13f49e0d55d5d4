"""
What agents learn from random transitions of the paper's 16 x 16 gridworld, without a step in it: LEODQN, goal-conditioned DQN
with hindsight, implicit Q-learning, and behavior cloning in hindsight.

Run ``python benchmarks/offline_gridworld.py``; table and curves are written to ``benchmarks/results/offline_gridworld.*``.

Each seed has its own dataset of 50,000 transitions from the start cell, 200 per episode, and all agents learn from the same
one, and from its first 10,000 transitions ("10k"). All have two hidden layers of 256, batches of 256 transitions, learning
rate 2e-3, and the number of gradient steps of ``--steps``.

- LEODQN: all 180 goals of each transition. "expectile": in-sample values of expectile 0.9 instead of the best action's.
  "inferred": only the first 10,000 transitions have actions, from which an ``InverseModel`` infers those of the others.
- DQN + HER: four of five rows with a goal achieved later in the episode, the others with a uniformly drawn goal; values pass
  through a sigmoid; goals are read as the observation at the goal's cell.
- IQL: rows and inputs of DQN + HER; in-sample values of expectile 0.9 and a policy weighted by exp(300 * advantage).
- GCSL, BC final: the taken action is the label, for a goal achieved at any later step of the episode (GCSL) or at its last
  step; no values. "stitched": half of the goals are taken from another trajectory that meets the own one.

Success is that of the greedy policy from the initial state within 200 steps, over all reachable goals that are not achieved
there; ``covered`` is the fraction of these that the data achieves at all. The value error is the mean of
``|max_a Q - optimal|`` over all reachable states and goals, those included that the data does not contain.
"""

import os

# Set before NumPy and PyTorch are imported.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse  # noqa: E402
import time  # noqa: E402
import warnings  # noqa: E402
from dataclasses import replace  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import gymnasium as gym  # noqa: E402
import numpy as np  # noqa: E402
import torch as th  # noqa: E402
from gridworld_eval import GAMMA, GridworldEval  # noqa: E402
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

from leo_agents import LEODQN, GoalDataset, InverseModel, collect_dataset  # noqa: E402
from leo_agents.baselines import goal_conditioned_bc, goal_conditioned_dqn, goal_conditioned_iql  # noqa: E402
from leo_wrappers.sb3 import GymVecEnv  # noqa: E402

NUM_ENVS = 10  # for the collection; the first transitions are those of the first environment
SIZES = {"50k": 50_000, "10k": 10_000}
METHODS = ("LEODQN", "LEODQN expectile", "DQN + HER", "IQL", "GCSL", "GCSL stitched", "BC final")
INFERRED = "LEODQN inferred"
AGENTS = [f"{method}, {size}" for size in SIZES for method in METHODS] + [f"{INFERRED}, 50k"]
SHARED: dict[str, Any] = {
    "learning_rate": 2e-3,
    "batch_size": 256,
    "buffer_size": 8,
    "max_grad_norm": 10.0,
    "policy_kwargs": {"net_arch": [256, 256]},
    "device": "cpu",
}
# One target update per gradient step, as LEODQN's default.
TARGETS: dict[str, Any] = {"gamma": GAMMA, "tau": 0.02}


def make_envs(num_envs: int) -> GymVecEnv:
    """
    Create environments of the paper's map.

    :param num_envs: number of environments
    :return: the environments
    """
    return GymVecEnv(gym.make_vec("leo/GridWorld-v0", num_envs=num_envs, autoreset_mode="SameStep"))


def make_dataset(seed: int, size: int) -> GoalDataset:
    """
    Collect random transitions and keep the first ones.

    :param seed: seed of the actions
    :param size: number of transitions
    :return: the dataset
    """
    data = collect_dataset(make_envs(NUM_ENVS), max(SIZES.values()), seed=seed)
    truncated = data.truncated[:size].copy()
    truncated[-1] = True
    return GoalDataset(
        {key: array[:size] for key, array in data.observations.items()},
        data.actions[:size],
        {key: array[:size] for key, array in data.next_observations.items()},
        data.terminated[:size],
        truncated,
        data.packed_masks[:size],
        data.goal_names,
    )


def infer_actions(dataset: GoalDataset, seed: int) -> GoalDataset:
    """
    Replace all actions but the first 10,000 by inferred ones.

    :param dataset: the dataset
    :param seed: seed of the inverse model
    :return: the dataset with other actions
    """
    known = SIZES["10k"]
    model = InverseModel(make_envs(1), seed=seed, device="cpu").learn(make_dataset(seed, known), gradient_steps=2_000)
    later = ({key: array[known:] for key, array in part.items()} for part in (dataset.observations, dataset.next_observations))
    actions = np.concatenate([dataset.actions[:known], model.actions(*later)])
    return replace(dataset, actions=actions)


def make_model(method: str, seed: int) -> Any:
    """
    Create an agent.

    :param method: one of :data:`METHODS`, or :data:`INFERRED`
    :param seed: seed of the agent
    :return: the untrained model
    """
    envs: Any = make_envs(1)
    if method.startswith("LEODQN"):
        expectile = 0.9 if "expectile" in method else None
        return LEODQN("MultiGoalPolicy", envs, seed=seed, expectile=expectile, **TARGETS, **SHARED)
    # The descriptor of goal g is the observation at free cell g.
    kwargs: dict[str, Any] = {**SHARED, "seed": seed, "descriptors": envs.vector_env.unwrapped.all_observations()}
    if method == "DQN + HER":
        return goal_conditioned_dqn(envs, buffer="her", target_update_interval=1, **TARGETS, **kwargs)
    if method == "IQL":
        return goal_conditioned_iql(envs, **TARGETS, **kwargs)
    strategy, stitch_probability = "final" if method == "BC final" else "future", 0.5 * ("stitched" in method)
    return goal_conditioned_bc(envs, goal_selection_strategy=strategy, stitch_probability=stitch_probability, **kwargs)


def run(agent: str, seed: int, steps: int, every: int) -> list[Row]:
    """
    Train one agent.

    :param agent: one of :data:`AGENTS`
    :param seed: seed of the data and of the agent
    :param steps: gradient steps
    :param every: gradient steps between evaluations
    :return: a row per evaluation
    """
    th.set_num_threads(1)
    method, _, size = agent.partition(", ")
    dataset, gridworld = make_dataset(seed, SIZES[size]), GridworldEval()
    if method == INFERRED:
        dataset = infer_actions(dataset, seed)
    start = int(gridworld.envs.unwrapped.mdp.starts[0])
    covered = dataset.achieved_counts()[np.setdiff1d(gridworld.reachable, start)] > 0

    def evaluate(model: Any) -> Row:
        has_values = "GCSL" not in method and method != "BC final"
        error = gridworld.value_error(model.policy.values(gridworld.observations)[..., None]) if has_values else ""
        return {"success": gridworld.success(model), "value_error": error, "covered": float(covered.mean())}

    callback = PeriodicEval(evaluate, every, clock=time.process_time)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="never achieved in the data")  # in the table as `covered`
        make_model(method, seed).learn_offline(dataset, steps, callback)
    return [{"algorithm": agent, "seed": seed, **row} for row in callback.rows]


def summarize(rows: list[Row]) -> list[Row]:
    """
    Summarize the final evaluations.

    :param rows: rows of all runs
    :return: a line per agent
    """
    table = []
    for agent, curves in curves_by_seed(rows).items():
        line: Row = {"algorithm": agent, "seeds": len(curves), "gradient_steps": next(iter(curves.values()))[-1]["steps"]}
        for key in ("success", "value_error", "covered", "seconds"):
            line |= mean_and_half_width(
                key, [float("nan" if curve[-1][key] == "" else curve[-1][key]) for curve in curves.values()]
            )
        table.append(line)
    return table


def format_table(table: list[Row]) -> str:
    """
    Format the table for the terminal.

    :param table: from :func:`summarize`
    :return: text
    """
    lines = [f"{'':16s} {'success':>18s} {'covered':>18s} {'value error':>18s} {'seconds':>16s}"]
    for line in table:
        success, covered = (format_quantity(line, key, "{:.3f}".format) for key in ("success", "covered"))
        error = "-" if line["value_error"] is None else format_quantity(line, "value_error", "{:.4f}".format)
        seconds = format_quantity(line, "seconds", "{:.0f}".format)
        lines.append(f"{line['algorithm']:16s} {success:>18s} {covered:>18s} {error:>18s} {seconds:>16s}")
    return "\n".join(lines)


def write(rows: list[Row], options: argparse.Namespace) -> list[Row]:
    """
    Write table and curves.

    :param rows: rows of all runs so far
    :param options: command line options
    :return: the table
    """
    table = summarize(rows)
    about = {"what": (__doc__ or "").strip(), "settings": SHARED | TARGETS, "table": table}
    write_results(options, about, rows, "gymnasium", "numpy", "stable-baselines3", "torch")
    return table


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4_000, help="gradient steps of each run")
    add_options(parser, "--algorithms", AGENTS, default=AGENTS, seeds=3)
    options = parser.parse_args()
    options.every = options.every or max(options.steps // 2, 1)
    options.out = options.out or Path(__file__).parent / "results" / "offline_gridworld"
    print(format_table(train_all(run, (options.steps, options.every), options, AGENTS, write)))
    print(f"wrote {options.out}.json and .csv")


if __name__ == "__main__":
    main()
