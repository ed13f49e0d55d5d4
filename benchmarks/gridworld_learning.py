"""
How fast agents learn to reach every goal of the paper's 16 x 16 gridworld: LEODQN compared with goal-conditioned DQN, without
and with hindsight or all-goals relabeling.

Run ``python benchmarks/gridworld_learning.py``; table, curves and figure are written to
``benchmarks/results/gridworld_learning.*``. ``--steps``, ``--seeds``, ``--algorithms`` and ``--jobs`` make it shorter.

All agents get the same observations, environment steps and number of gradient steps, one per step of the eight environments,
and have two hidden layers of 256. They differ in the batch of a gradient step:

- LEODQN: 256 transitions, each for all 180 goals, in one pass.
- DQN (UVFA), DQN + HER: 256 transitions, each for one goal.
- DQN + random goals: 256 transitions, each for one uniformly drawn goal: all-goals relabeling at the cost of plain DQN.
- DQN + all goals: every transition for each of the 180 goals, one row each. 256 transitions would be 46,080 rows; it uses
  16, which are 2,880 rows, still eleven times those of plain DQN (``--all-goals-batch`` sets the number).

All other hyperparameters are equal. Learning rate and goal encoding (the observation at the goal's cell) are the ones, of a
few tried on one seed, that work best for DQN + HER. The DQN agents are Stable-Baselines3's with values that pass through a
sigmoid, as LEODQN's do; DQN + HER learned more slowly without it. Their loss is Huber's, which is squared for errors below
1, so LEODQN is also run with the squared loss. Remaining differences: LEODQN outputs values of all goals while the DQN
agents read the goal; LEODQN has layer normalization (which did not help DQN + HER); DQN draws one random number per step
for the exploration of all environments, LEODQN one per environment.

Success is that of the greedy policy from the initial state within 200 steps, over all reachable goals that are not achieved
there. The value error is the mean of |max_a Q - optimal value| over all reachable states and goals. Seconds are those of
training without evaluation, on one thread. Intervals are 95 % by Student's t over seeds.
"""

import os

# Set before NumPy and PyTorch are imported.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import gymnasium as gym  # noqa: E402
import numpy as np  # noqa: E402
import torch as th  # noqa: E402
from curves import draw_curves  # noqa: E402
from gridworld_eval import GAMMA, GridworldEval  # noqa: E402
from stable_baselines3 import DQN  # noqa: E402
from training_runs import (  # noqa: E402
    PeriodicEval,
    Row,
    add_options,
    curves_by_seed,
    format_quantity,
    mean_and_half_width,
    steps_to_success,
    train_all,
    write_results,
)

from leo_agents import LEODQN  # noqa: E402
from leo_agents.baselines import goal_conditioned_dqn  # noqa: E402
from leo_wrappers.sb3 import GymVecEnv  # noqa: E402

NUM_ENVS, BATCH = 8, 256
SHARED: dict[str, Any] = {
    "learning_rate": 2e-3,
    "learning_starts": 1_000,
    "gamma": GAMMA,
    "train_freq": 1,
    "gradient_steps": 1,
    "tau": 0.02,
    "exploration_fraction": 0.2,
    "exploration_initial_eps": 1.0,
    "exploration_final_eps": 0.1,
    "max_grad_norm": 10.0,
    "policy_kwargs": {"net_arch": [256, 256]},
    "device": "cpu",
}
COLORS = {
    "LEODQN": "#2667d9",
    "LEODQN, squared loss": "#7fb0f5",
    "DQN (UVFA)": "#8a8f9c",
    "DQN + HER": "#e07b39",
    "DQN + random goals": "#22a062",
    "DQN + all goals": "#8e4ec6",
}
ONE_GOAL = ("DQN (UVFA)", "DQN + HER", "DQN + random goals")


def make_model(algorithm: str, seed: int, steps: int, all_goals_batch: int) -> DQN:
    """
    Create an agent with its environments.

    :param algorithm: one of :data:`COLORS`
    :param seed: seeds the agent and its environments
    :param steps: size of the replay buffer
    :param all_goals_batch: transitions per gradient step of "DQN + all goals"
    :return: the untrained model
    """
    vector_env: Any = gym.make_vec("leo/GridWorld-v0", num_envs=NUM_ENVS, autoreset_mode="SameStep")
    venv = GymVecEnv(vector_env)
    kwargs: dict[str, Any] = {**SHARED, "seed": seed, "buffer_size": steps, "batch_size": BATCH}
    # One target update per gradient step: LEODQN counts gradient steps, DQN environment steps.
    if algorithm.startswith("LEODQN"):
        loss: Any = "squared" if "squared" in algorithm else "bce"
        return LEODQN("MultiGoalPolicy", venv, loss=loss, target_update_freq=1, **kwargs)
    kwargs["target_update_interval"] = NUM_ENVS
    # The descriptor of goal g is the observation at free cell g.
    kwargs["descriptors"] = vector_env.unwrapped.all_observations()
    if algorithm == "DQN (UVFA)":
        return goal_conditioned_dqn(venv, buffer="plain", **kwargs)
    if algorithm == "DQN + HER":
        hindsight = {"n_sampled_goal": 4, "goal_selection_strategy": "future"}
        return goal_conditioned_dqn(venv, buffer="her", replay_buffer_kwargs=hindsight, **kwargs)
    if algorithm == "DQN + random goals":
        return goal_conditioned_dqn(venv, buffer="all_goals", replay_buffer_kwargs={"goals_per_transition": 1}, **kwargs)
    return goal_conditioned_dqn(venv, buffer="all_goals", **{**kwargs, "batch_size": all_goals_batch})


def q_table(model: DQN, observations: np.ndarray, num_goals: int) -> np.ndarray:
    """
    Compute the values of all states, goals and actions, or the logits of the actions of agents that learn a policy.

    :param model: the agent
    :param observations: observations of all states ``[S, d]``
    :param num_goals: G
    :return: ``[S, G, A]``
    """
    if isinstance(model, LEODQN):
        return model.q_values(observations)
    goals = th.arange(num_goals)
    states = th.as_tensor(observations)
    values = []
    network = getattr(model, "q_net", None) or (lambda pairs: model.policy.get_distribution(pairs).distribution.logits)
    with th.no_grad():
        for part in states.split(16):
            pairs = {"observation": part.repeat_interleave(num_goals, 0), "goal_id": goals.repeat(len(part))}
            values.append(network(pairs).view(len(part), num_goals, -1))
    return th.cat(values).numpy()


def make_eval(every: int) -> PeriodicEval:
    """
    Create the callback that evaluates success and value error.

    :param every: environment steps between evaluations
    :return: the callback
    """
    gridworld = GridworldEval()

    def evaluate(model: DQN) -> Row:
        return {
            "gradient_steps": model._n_updates,
            "success": gridworld.success(model),
            "value_error": gridworld.value_error(q_table(model, gridworld.observations, gridworld.num_goals)),
        }

    return PeriodicEval(evaluate, every, clock=time.perf_counter)


def run(algorithm: str, seed: int, steps: int, every: int, all_goals_batch: int) -> list[Row]:
    """
    Train one agent.

    :param algorithm: one of :data:`COLORS`
    :param seed: seeds the agent and its environments
    :param steps: environment steps
    :param every: environment steps between evaluations
    :param all_goals_batch: transitions per gradient step of "DQN + all goals"
    :return: a row per evaluation
    """
    th.set_num_threads(1)
    callback = make_eval(every)
    make_model(algorithm, seed, steps, all_goals_batch).learn(steps, callback=callback)
    return [{"algorithm": algorithm, "seed": seed, **row} for row in callback.rows]


def summarize(rows: list[Row], all_goals_batch: int) -> list[Row]:
    """
    Summarize the final evaluations.

    :param rows: rows of all runs
    :param all_goals_batch: transitions per gradient step of "DQN + all goals"
    :return: a line per algorithm
    """
    num_goals = len(gym.make("leo/GridWorld-v0").unwrapped.goal_names)
    table = []
    for algorithm, curves in curves_by_seed(rows).items():
        transitions = all_goals_batch if algorithm == "DQN + all goals" else BATCH
        line: Row = {
            "algorithm": algorithm,
            "seeds": len(curves),
            "gradient_steps": next(iter(curves.values()))[-1]["gradient_steps"],
            "transitions_per_gradient_step": transitions,
            "rows_per_gradient_step": transitions * (num_goals if algorithm == "DQN + all goals" else 1),
            "goals_per_transition": 1 if algorithm in ONE_GOAL else num_goals,
        }
        for key in ("success", "value_error", "seconds"):
            line |= mean_and_half_width(key, [curve[-1][key] for curve in curves.values()])
        line["steps_to_90_percent"] = steps_to_success(curves, 0.9)
        table.append(line)
    return table


def format_table(table: list[Row]) -> str:
    """
    Format the table for the terminal.

    :param table: from :func:`summarize`
    :return: text
    """
    lines = [f"{'':20s} {'batch rows':>11s} {'success':>18s} {'value error':>18s} {'seconds':>16s}  steps to 90 %"]
    for line in table:
        firsts = ", ".join("-" if first is None else f"{first:,}" for first in line["steps_to_90_percent"])
        success = format_quantity(line, "success", "{:.3f}".format)
        error = format_quantity(line, "value_error", "{:.4f}".format)
        seconds = format_quantity(line, "seconds", "{:.0f}".format)
        rows = f"{line['rows_per_gradient_step']:,}"
        lines.append(f"{line['algorithm']:20s} {rows:>11s} {success:>18s} {error:>18s} {seconds:>16s}  {firsts}")
    return "\n".join(lines)


def write(rows: list[Row], options: argparse.Namespace) -> list[Row]:
    """
    Write table, curves and figure.

    :param rows: rows of all runs so far
    :param options: command line options
    :return: the table
    """
    table = summarize(rows, options.all_goals_batch)
    about = {"what": (__doc__ or "").strip(), "num_envs": NUM_ENVS, "settings": SHARED, "table": table}
    write_results(options, about, rows, "gymnasium", "numpy", "stable-baselines3", "torch")
    titles = {"success": "success over all reachable goals", "value_error": "error of max Q against optimal"}
    draw_curves(rows, titles, COLORS, options.out.with_suffix(".png"))
    return table


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100_000, help="environment steps of each run")
    parser.add_argument("--all-goals-batch", type=int, default=16, help='transitions per gradient step of "DQN + all goals"')
    add_options(parser, "--algorithms", list(COLORS), default=list(COLORS), seeds=3)
    options = parser.parse_args()
    options.every = options.every or max(options.steps // 20, NUM_ENVS)
    options.out = options.out or Path(__file__).parent / "results" / "gridworld_learning"
    arguments = (options.steps, options.every, options.all_goals_batch)
    print(format_table(train_all(run, arguments, options, list(COLORS), write)))
    print(f"wrote {options.out}.json, .csv and .png")


if __name__ == "__main__":
    main()
