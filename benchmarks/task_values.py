"""
Values of tasks with any reward against dynamic programming, on a 7 x 7 gridworld.

Run ``python benchmarks/task_values.py``; table and curves are written to ``benchmarks/results/task_values.*``.

Eight tasks are learned from the same transitions, of episodes of 50 steps from random cells:

- ``reach``: 1 for the corner, which ends the task; discount 0.95.
- ``cheap``: the same, less 0.02 per step and 0.3 per step in the swamp: costs on the way. The path around the swamp is longer.
- ``stay``: 1 for every step that ends in one cell; discount 0.9, never ends. ``stay, late``: the same with discount 0.98.
- ``count``: 1 for each time a cell is entered from another one, so that leaving and returning pays; discount 0.9.
- ``edge``: 1 for each step to another cell of the left or the right column; discount 0.95.
- ``effort``: -1 for every step that moves; discount 0.9; the best is to push against a wall.
- ``avoid``: -1 in the swamp; discount 1 and ends at the first step there.

LEOPQN has 64 environments and ten times as many steps. "5 steps", "lambda": n-step targets with n = 5, Q(lambda) targets with
lambda = 0.9, along actions of which half are random ones; "cut": ``cut_tolerance=0.0``, which ends a window or a trace before
an action that is not greedy for the task. All other agents have one-step targets.

``error`` is the mean of ``|Q - optimal Q|`` over all cells and actions, divided by the range of the task's optimal values, as
a mean over the tasks; ``worst`` is that of the worst task. ``optimal actions`` is the fraction of cells and tasks in which the
greedy action is an optimal one.
"""

import os

# Set before NumPy and PyTorch are imported.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import gymnasium as gym  # noqa: E402
import numpy as np  # noqa: E402
import torch as th  # noqa: E402
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
from leo_agents import LEODQN, LEOPQN  # noqa: E402
from leo_wrappers.sb3 import GymVecEnv  # noqa: E402
from leo_wrappers.tasks import FunctionTasks, Task, TaskVectorWrapper, Transition  # noqa: E402

gym.register_envs(leo_envs)

MAP = ".......\n.......\n.##.##.\n.......\n.##.##.\n.......\n......."
SWAMP, CORNER, POST = ["cell/3,2", "cell/3,3", "cell/3,4"], "cell/6,6", "cell/1,1"
NETWORK = {"net_arch": [256, 256]}
DQN_SETTINGS = {"buffer_size": 50_000, "exploration_final_eps": 0.5, "learning_rate": 1e-3, "train_freq": 1}
PQN_SETTINGS = {"exploration_final_eps": 0.5}
CUT = {"cut_tolerance": 0.0}
AGENTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "LEODQN": (LEODQN, DQN_SETTINGS),
    "LEODQN, 5 steps": (LEODQN, {**DQN_SETTINGS, "n_steps": 5}),
    "LEODQN, 5 steps, cut": (LEODQN, {**DQN_SETTINGS, "n_steps": 5, **CUT}),
    "LEOPQN": (LEOPQN, PQN_SETTINGS),
    "LEOPQN, lambda": (LEOPQN, {**PQN_SETTINGS, "q_lambda": 0.9}),
    "LEOPQN, lambda, cut": (LEOPQN, {**PQN_SETTINGS, "q_lambda": 0.9, **CUT}),
}


def make_envs(num_envs: int) -> Any:
    """
    Create environments without tasks.

    :param num_envs: number of environments
    :return: a vector environment
    """
    return gym.make_vec(
        "leo/GridWorld-v0", num_envs=num_envs, map=MAP, start="random", time_limit=50, autoreset_mode="SameStep"
    )


def make_tasks(goal_names: tuple[str, ...]) -> FunctionTasks:
    """
    Create the tasks.

    :param goal_names: names of the cells
    :return: the tasks
    """

    def at(*names: str) -> Any:
        ids = [goal_names.index(name) for name in names]
        return lambda t: t.goals_achieved[..., ids].any(axis=-1)

    def moved(t: Transition) -> Any:
        return (t.observation != t.next_observation).any(axis=-1)

    def entered(*names: str) -> Any:
        return lambda t: at(*names)(t) & moved(t)

    corner, swamp, post = at(CORNER), at(*SWAMP), at(POST)
    left, right = ([name for name in goal_names if name.endswith(f",{column}")] for column in (0, 6))
    return FunctionTasks(
        [
            Task("reach", corner, corner, 0.95),
            Task("cheap", lambda t: corner(t) - 0.02 - 0.3 * swamp(t), corner, 0.95),
            Task("stay", post, None, 0.9),
            Task("stay, late", post, None, 0.98),
            Task("count", entered(POST), None, 0.9),
            Task("edge", entered(*left, *right), None, 0.95),
            Task("effort", lambda t: -1.0 * moved(t), None, 0.9),
            Task("avoid", lambda t: -1.0 * swamp(t), swamp, 1.0),
        ]
    )


def optimal_q(tasks: FunctionTasks, mdp: Any, iterations: int = 2_000) -> np.ndarray:
    """
    Compute the optimal values by value iteration.

    :param tasks: the tasks
    :param mdp: the gridworld
    :param iterations: number of iterations
    :return: ``[S, K, A]``
    """
    states, after = np.arange(mdp.num_states), mdp.successors
    shape = after.shape
    transition = Transition(
        np.broadcast_to(mdp.observe(states)[:, None], (*shape, mdp.observation_space.shape[0])),
        np.broadcast_to(np.arange(shape[1]), shape),
        mdp.observe(after),
        np.zeros(shape),
        np.zeros(shape, dtype=bool),
        mdp.achieved(after),
        {},
    )
    rewards, ended = tasks.evaluate(transition)
    q = np.zeros(rewards.shape)
    for _ in range(iterations):
        q = rewards + np.array(tasks.discounts) * ~ended * q.max(axis=1)[after]
    return q.transpose(0, 2, 1)


def run(agent: str, seed: int, steps: int, every: int) -> list[Row]:
    """
    Train one agent.

    :param agent: one of :data:`AGENTS`
    :param seed: seed of the agent
    :param steps: environment steps
    :param every: environment steps between evaluations
    :return: a row per evaluation
    """
    th.set_num_threads(1)
    algorithm, settings = AGENTS[agent]
    envs = make_envs(64 if algorithm is LEOPQN else 4)
    mdp, tasks = envs.unwrapped.mdp, make_tasks(tuple(envs.unwrapped.goal_names))
    expected = optimal_q(tasks, mdp)
    scale = np.ptp(expected, axis=(0, 2))
    observations = mdp.observe(np.arange(mdp.num_states))
    venv = GymVecEnv(TaskVectorWrapper(envs, tasks))
    model = algorithm("MultiGoalPolicy", venv, seed=seed, device="cpu", policy_kwargs=dict(NETWORK), **settings)
    steps, every = (10 * steps, 10 * every) if algorithm is LEOPQN else (steps, every)

    def evaluate(_: Any) -> Row:
        q = model.q_values(observations)
        errors = np.abs(q - expected).mean(axis=(0, 2)) / np.where(scale == 0, 1, scale)
        chosen = np.take_along_axis(expected, q.argmax(axis=2)[..., None], axis=2)[..., 0]
        optimal = chosen >= expected.max(axis=2) - 1e-6
        by_task = dict(zip([f"error, {name}" for name in tasks.names], errors.tolist(), strict=True))
        return {"error": errors.mean(), "worst": errors.max(), "optimal actions": optimal.mean(), **by_task}

    callback = PeriodicEval(evaluate, every)
    model.learn(steps, callback)
    callback.record(evaluate)
    return [{"algorithm": agent, "seed": seed, **row} for row in callback.rows]


def write(rows: list[Row], options: argparse.Namespace) -> list[Row]:
    """
    Write table and curves.

    :param rows: rows of all runs so far
    :param options: command line options
    :return: the table
    """
    table = []
    keys = [key for key in rows[0] if key not in ("algorithm", "seed", "steps")]
    for agent, curves in curves_by_seed(rows).items():
        line: Row = {"algorithm": agent, "seeds": len(curves), "steps": next(iter(curves.values()))[-1]["steps"]}
        for key in keys:
            line |= mean_and_half_width(key, [curve[-1][key] for curve in curves.values()])
        table.append(line)
    about = {
        "what": (__doc__ or "").strip(),
        "settings": {"network": NETWORK, "LEODQN": DQN_SETTINGS, "LEOPQN": PQN_SETTINGS},
        "table": table,
    }
    write_results(options, about, rows, "gymnasium", "numpy", "stable-baselines3", "torch")
    return table


def format_table(table: list[Row]) -> str:
    """
    Format the table for the terminal.

    :param table: from :func:`write`
    :return: text
    """
    lines = [f"{'':20s} {'error':>18s} {'worst':>18s} {'optimal actions':>18s} {'seconds':>14s}"]
    for line in table:
        error, worst, optimal = (format_quantity(line, key, "{:.3f}".format) for key in ("error", "worst", "optimal actions"))
        seconds = format_quantity(line, "seconds", "{:.0f}".format)
        lines.append(f"{line['algorithm']:20s} {error:>18s} {worst:>18s} {optimal:>18s} {seconds:>14s}")
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40_000, help="environment steps of each run")
    add_options(parser, "--algorithms", list(AGENTS), default=list(AGENTS), seeds=3)
    options = parser.parse_args()
    options.every = options.every or max(options.steps // 2, 1)
    options.out = options.out or Path(__file__).parent / "results" / "task_values"
    print(format_table(train_all(run, (options.steps, options.every), options, list(AGENTS), write)))
    print(f"wrote {options.out}.json and .csv")


if __name__ == "__main__":
    main()
