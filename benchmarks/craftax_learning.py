"""
How many of Craftax-Classic's 136 goals agents learn within half a million steps: LEODQN, goal-conditioned DQN with hindsight,
and random actions.

Run ``python benchmarks/craftax_learning.py --jobs 2``; table, curves and figure are written to
``benchmarks/results/craftax_learning.*``. ``--steps``, ``--seeds`` and ``--algorithms`` make it shorter.

Both agents use the same number of environments, the same compact observations with the same kind of extractor, two hidden
layers of 256, and the same number of gradient steps on equally many transitions with the same optimizer settings. DQN reads
the goal's descriptor (family, subject, direction, amount), relabels four of five transitions with hindsight (future), and
its values pass through a sigmoid as LEODQN's do.

LEODQN uses five-step targets. With one-step targets, the only ones that Stable-Baselines3's HER has, values are overestimated,
even for goals that were never achieved: the maximum over 17 actions selects upward errors, and a step discounts by one
hundredth only. "One step" shows this.

Success is the fraction of episodes in which the goal is achieved within 500 steps of a new map; goals achieved at the reset
are not attempted. The evaluation epsilon is 0.05, because greedy policies get stuck under partial observability. Each
evaluation during training attempts every goal twice, the final one ten times. A goal counts as learned if half of these
attempts succeed. Seconds are processor time of training without evaluation. Intervals are 95 % by Student's t over seeds.
"""

import os

# Set before NumPy and PyTorch are imported.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse  # noqa: E402
from collections import defaultdict  # noqa: E402
from functools import partial  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import torch as th  # noqa: E402
from curves import draw_curves  # noqa: E402
from stable_baselines3 import DQN  # noqa: E402
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
from leo_agents.baselines import goal_conditioned_dqn  # noqa: E402
from leo_agents.evaluation import evaluate_goals  # noqa: E402
from leo_envs.craftax import CraftaxClassic  # noqa: E402
from leo_wrappers.sb3 import JaxVecEnv  # noqa: E402

NUM_ENVS, HORIZON, EPSILON = 32, 500, 0.05
FINAL_EPISODES, EPISODES = 10, 2
SHARED: dict[str, Any] = {
    "learning_rate": 5e-4,
    "learning_starts": 5_000,
    "batch_size": 256,
    "gamma": 0.99,
    "train_freq": 1,
    "gradient_steps": 1,
    "tau": 0.02,
    "exploration_fraction": 0.3,
    "exploration_initial_eps": 1.0,
    "exploration_final_eps": 0.1,
    "max_grad_norm": 10.0,
    "policy_kwargs": {"net_arch": [256, 256]},
    "device": "cpu",
}
COLORS = {"LEODQN": "#2667d9", "LEODQN, one step": "#7fb0f5", "DQN + HER": "#e07b39", "random actions": "#8a8f9c"}
LEO_STEPS = {"LEODQN": 5, "LEODQN, one step": 1}
FAMILIES = ("inventory", "tools", "block_map", "mob_map")
QUANTITIES = ("success", *(f"success_{family}" for family in FAMILIES), "learned", "seconds")


class RandomAgent:
    """
    Acts uniformly at random.

    :param num_actions: number of actions
    :param seed: seed of its generator
    """

    def __init__(self, num_actions: int, seed: int) -> None:
        self.num_actions, self.generator = num_actions, np.random.default_rng(seed)

    def predict(self, observation: Any, *args: Any, **kwargs: Any) -> Any:
        """Return random actions, with the signature that ``evaluate_goals`` needs."""
        return self.generator.integers(self.num_actions, size=len(observation["goal_id"])), None


def evaluate(agent: Any, envs: JaxVecEnv, seed: int, episodes: int) -> Row:
    """
    Evaluate an agent on all goals.

    :param agent: a model or :class:`RandomAgent`
    :param envs: the evaluation environments
    :param seed: seeds the initial states
    :param episodes: attempts per goal
    :return: the results
    """
    report = evaluate_goals(agent, envs, episodes, seed, max_steps=HORIZON, epsilon=EPSILON)
    families = report.by_family()
    return {
        "gradient_steps": getattr(agent, "_n_updates", 0),
        "episodes": episodes,
        "success": report.mean_success,
        **{f"success_{family}": families[family].mean_success for family in FAMILIES},
        "learned": report.num_learned(0.5),
    }


def make_model(algorithm: str, seed: int, steps: int) -> DQN:
    """
    Create an agent with its environments.

    :param algorithm: one of :data:`COLORS` except random actions
    :param seed: seeds the agent and its environments
    :param steps: size of the replay buffer
    :return: the untrained model
    """
    kwargs = {**SHARED, "seed": seed, "buffer_size": steps}
    venv = JaxVecEnv(CraftaxClassic(), NUM_ENVS)
    # One target update per gradient step: LEODQN counts gradient steps, DQN environment steps.
    if algorithm in LEO_STEPS:
        return LEODQN("MultiGoalPolicy", venv, target_update_freq=1, n_steps=LEO_STEPS[algorithm], **kwargs)
    return goal_conditioned_dqn(
        venv,
        buffer="her",
        target_update_interval=NUM_ENVS,
        replay_buffer_kwargs={"n_sampled_goal": 4, "goal_selection_strategy": "future"},
        **kwargs,
    )


def run(algorithm: str, seed: int, steps: int, every: int) -> list[Row]:
    """
    Train one agent.

    :param algorithm: one of :data:`COLORS`
    :param seed: seeds the agent and its environments
    :param steps: environment steps
    :param every: environment steps between evaluations
    :return: a row per evaluation
    """
    th.set_num_threads(1)
    env, eval_seed = CraftaxClassic(), 10_000 * (1 + seed)
    envs = JaxVecEnv(env, len(env.goal_names))
    if algorithm == "random actions":
        results = evaluate(RandomAgent(int(envs.action_space.n), eval_seed), envs, eval_seed, FINAL_EPISODES)
        rows = [{"steps": step, "seconds": 0.0, **results} for step in range(every, steps + 1, every)]
    else:
        callback = PeriodicEval(partial(evaluate, envs=envs, seed=eval_seed, episodes=EPISODES), every)
        make_model(algorithm, seed, steps).learn(steps, callback=callback)
        callback.record(partial(evaluate, envs=envs, seed=eval_seed, episodes=FINAL_EPISODES))
        rows = callback.rows
    return [{"algorithm": algorithm, "seed": seed, **row} for row in rows]


def summarize(rows: list[Row]) -> list[Row]:
    """
    Summarize the final evaluations.

    :param rows: rows of all runs
    :return: a line per algorithm
    """
    table = []
    for algorithm, curves in curves_by_seed(rows).items():
        last = [curve[-1] for curve in curves.values()]
        line: Row = {"algorithm": algorithm, "seeds": len(last), "gradient_steps": last[0]["gradient_steps"]}
        for quantity in QUANTITIES:
            line |= mean_and_half_width(quantity, [row[quantity] for row in last])
            line[f"{quantity}_by_seed"] = [row[quantity] for row in last]
        table.append(line)
    return table


def format_table(table: list[Row]) -> str:
    """
    Format the table for the terminal.

    :param table: from :func:`summarize`
    :return: text
    """
    forms = defaultdict(lambda: "{:.3f}".format, learned="{:.0f}".format, seconds="{:.0f}".format)
    headings = [quantity.removeprefix("success_") for quantity in QUANTITIES]
    lines = [f"{'':15s}" + "".join(f"{heading:>17s}" for heading in headings)]
    for line in table:
        cells = [format_quantity(line, quantity, forms[quantity]) for quantity in QUANTITIES]
        lines.append(f"{line['algorithm']:15s}" + "".join(f"{cell:>17s}" for cell in cells))
    return "\n".join(lines)


def write(rows: list[Row], options: argparse.Namespace) -> list[Row]:
    """
    Write table, curves and figure.

    :param rows: rows of all runs so far
    :param options: command line options
    :return: the table
    """
    table = summarize(rows)
    about = {"what": (__doc__ or "").strip(), "num_envs": NUM_ENVS, "settings": SHARED, "table": table}
    write_results(options, about, rows, "craftax", "jax", "numpy", "stable-baselines3", "torch")
    titles = {"success": "success over all goals"} | {f"success_{family}": f"success, {family}" for family in FAMILIES}
    draw_curves(rows, titles, COLORS, options.out.with_suffix(".png"), columns=3)
    return table


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=500_000, help="environment steps of each run")
    add_options(parser, "--algorithms", list(COLORS), default=list(COLORS), seeds=2)
    options = parser.parse_args()
    options.every = options.every or max(options.steps // 10, NUM_ENVS)
    options.out = options.out or Path(__file__).parent / "results" / "craftax_learning"
    print(format_table(train_all(run, (options.steps, options.every), options, list(COLORS), write)))
    print(f"wrote {options.out}.json, .csv and .png")


if __name__ == "__main__":
    main()
