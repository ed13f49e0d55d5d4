"""
Whether LEODQN reaches all goals of the 16 x 16 gridworld in fewer steps of the environment after it has learned offline.

Run ``python benchmarks/offline_then_online.py``; table and curves are written to ``benchmarks/results/offline_then_online.*``.

"after 10k" has made 2,000 gradient steps on the first 10,000 random transitions of ``benchmarks/offline_gridworld.py``, which
do not reach all goals, before its first step. It then explores with probability 0.1 and trains at once, from a replay buffer
that starts empty, or with the data ("with the data"). "from nothing" explores as in ``benchmarks/gridworld_learning.py``. All
make a gradient step on 256 transitions for every eight steps.
"""

import argparse
import warnings
from pathlib import Path
from typing import Any

import torch as th
from gridworld_eval import GridworldEval
from gridworld_learning import NUM_ENVS
from offline_gridworld import SHARED, SIZES, TARGETS, make_dataset, make_envs
from training_runs import (
    PeriodicEval,
    Row,
    add_options,
    curves_by_seed,
    mean_and_half_width,
    steps_to_success,
    train_all,
    write_results,
)

from leo_agents import LEODQN

AGENTS = ("from nothing", "after 10k", "after 10k, with the data")
GRADIENT_STEPS = 2_000
LEVELS = (0.9, 0.95, 0.99)


def run(agent: str, seed: int, steps: int, every: int) -> list[Row]:
    """
    Train one agent.

    :param agent: one of :data:`AGENTS`
    :param seed: seed of the data and of the agent
    :param steps: environment steps
    :param every: environment steps between evaluations
    :return: a row per evaluation, the first one before the first step
    """
    th.set_num_threads(1)
    is_offline = agent != AGENTS[0]
    exploration = {"exploration_initial_eps": 0.1, "learning_starts": NUM_ENVS} if is_offline else {}
    settings: dict[str, Any] = {
        **SHARED,
        **TARGETS,
        **exploration,
        "buffer_size": steps + SIZES["10k"],
        "train_freq": 1,
        "seed": seed,
    }
    model = LEODQN("MultiGoalPolicy", make_envs(NUM_ENVS), exploration_final_eps=0.1, **settings)
    if is_offline:
        dataset = make_dataset(seed, SIZES["10k"])
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="never achieved in the data")
            model.learn_offline(dataset, GRADIENT_STEPS)
        if agent == AGENTS[2]:
            model.replay_buffer.extend(dataset)  # type: ignore[union-attr]
    gridworld = GridworldEval()
    first = {"steps": 0, "seconds": 0.0, "success": gridworld.success(model)}
    callback = PeriodicEval(lambda model: {"success": gridworld.success(model)}, every)
    model.learn(steps, callback)
    return [{"algorithm": agent, "seed": seed, **row} for row in (first, *callback.rows)]


def write(rows: list[Row], options: argparse.Namespace) -> list[Row]:
    """
    Write table and curves.

    :param rows: rows of all runs so far
    :param options: command line options
    :return: a line per agent
    """
    table = []
    for agent, curves in curves_by_seed(rows).items():
        line: Row = {"algorithm": agent, "seeds": len(curves)}
        line |= {f"steps_to_{level}": steps_to_success(curves, level) for level in LEVELS}
        line |= mean_and_half_width("first_success", [curve[0]["success"] for curve in curves.values()])
        table.append(line | mean_and_half_width("success", [curve[-1]["success"] for curve in curves.values()]))
    about = {"what": (__doc__ or "").strip(), "settings": SHARED | TARGETS, "table": table}
    write_results(options, about, rows, "gymnasium", "numpy", "stable-baselines3", "torch")
    return table


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20_000, help="environment steps of each run")
    add_options(parser, "--algorithms", AGENTS, default=AGENTS, seeds=3)
    options = parser.parse_args()
    options.every = options.every or 1_000
    options.out = options.out or Path(__file__).parent / "results" / "offline_then_online"
    for line in train_all(run, (options.steps, options.every), options, AGENTS, write):
        print(line)
    print(f"wrote {options.out}.json and .csv")


if __name__ == "__main__":
    main()
