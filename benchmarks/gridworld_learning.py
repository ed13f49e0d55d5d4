"""
How fast agents learn to reach every goal of the paper's 16 x 16 grid world: LEODQN beside goal-conditioned DQN, plain, with
hindsight and with all-goals relabelling.

Run ``python benchmarks/gridworld_learning.py``; table, curves and figure go to ``benchmarks/results/gridworld_learning.*``.
``--steps``, ``--seeds``, ``--algorithms`` and ``--jobs`` make it shorter.

All agents see the same observations and the same number of environment steps, have two hidden layers of 256 and take the same
number of gradient steps, one for every step of the eight environments. What differs is what a gradient step is about:

- LEODQN: 256 transitions, each for all 180 goals, in one pass.
- DQN (UVFA), DQN + HER: 256 transitions, each for one goal.
- DQN + random goals: 256 transitions, each for one goal drawn uniformly: all-goals relabelling at the cost of plain DQN.
- DQN + all goals: every transition for each of the 180 goals, a row each. 256 transitions would make 46,080 rows; it takes
  16, which make 2,880 rows, still eleven times those of plain DQN (``--all-goals-batch`` sets the number).

All settings of learning are the same too; the learning rate and the goal's encoding, which is that of the agent's own cell,
are those of a few tried, on one seed, that suit DQN + HER best. The DQNs are Stable-Baselines3's own, but their values pass
through a sigmoid as LEODQN's do: without it DQN + HER learned more slowly in such a trial. They keep a squared loss (Huber's,
the same below errors of 1), so LEODQN is also shown with the squared loss. Differences that remain: LEODQN's network gives the
goals out and theirs takes one in, LEODQN's has layer normalisation (which did not help DQN + HER in a trial), and DQN explores
by one coin for all environments, LEODQN by one for each.

Success is that of the greedy policy from the start within 200 steps, over all goals that can be reached but are not true
there. The value error is the mean of |max_a Q - optimal value| over all states and goals that can be reached. Seconds are
those of training alone, without evaluation, on one thread. Intervals are 95 % by Student's t over seeds.
"""

import os

# Before NumPy and PyTorch start their threads.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse  # noqa: E402
import time  # noqa: E402
from collections import defaultdict  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import gymnasium as gym  # noqa: E402
import numpy as np  # noqa: E402
import torch as th  # noqa: E402
from curves import draw_curves  # noqa: E402
from stable_baselines3 import DQN  # noqa: E402
from stable_baselines3.common.callbacks import BaseCallback  # noqa: E402
from trainings import Row, mean_and_half_width, measured, run_tasks, write_results  # noqa: E402

import leo_envs  # noqa: E402
from leo_agents import LEODQN  # noqa: E402
from leo_agents.baselines import goal_conditioned_dqn  # noqa: E402
from leo_agents.evaluation import evaluate_goals  # noqa: E402
from leo_wrappers.sb3 import GymVecEnv  # noqa: E402

gym.register_envs(leo_envs)

NUM_ENVS, BATCH, GAMMA = 8, 256, 0.99
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
    An agent with its environments.

    :param algorithm: one of :data:`COLORS`
    :param seed: seeds everything
    :param steps: the replay buffer keeps all of them
    :param all_goals_batch: transitions in a gradient step of "DQN + all goals"
    :return: the model, not trained yet
    """
    vector_env: Any = gym.make_vec("leo/GridWorld-v0", num_envs=NUM_ENVS, autoreset_mode="SameStep")
    venv = GymVecEnv(vector_env)
    kwargs: dict[str, Any] = {**SHARED, "seed": seed, "buffer_size": steps, "batch_size": BATCH}
    # The target network moves with every gradient step; LEODQN counts these, DQN the steps of the environments.
    if algorithm.startswith("LEODQN"):
        loss: Any = "squared" if "squared" in algorithm else "bce"
        return LEODQN("MultiGoalPolicy", venv, loss=loss, target_update_interval=1, **kwargs)
    kwargs["target_update_interval"] = NUM_ENVS
    # Goal g is to stand on free cell g: what the agent would see there says which.
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
    The values of all states, goals and actions.

    :param model: the agent
    :param observations: of all states ``[S, d]``
    :param num_goals: G
    :return: ``[S, G, A]``
    """
    if isinstance(model, LEODQN):
        return model.q_values(observations)
    goals = th.arange(num_goals)
    states = th.as_tensor(observations)
    values = []
    with th.no_grad():
        for part in states.split(16):
            pairs = {"observation": part.repeat_interleave(num_goals, 0), "goal_id": goals.repeat(len(part))}
            values.append(model.q_net(pairs).view(len(part), num_goals, -1))
    return th.cat(values).numpy()


class Judge(BaseCallback):
    """
    Evaluates the agent every so many steps; its own time counts for nothing.

    :param every: environment steps between evaluations
    """

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every, self.next_due = every, every
        world: Any = gym.make("leo/GridWorld-v0").unwrapped
        self.observations = world.all_observations()
        self.reachable = np.flatnonzero(world.reachable())
        self.pairs = np.ix_(self.reachable, self.reachable)  # states and goals have the same numbers
        self.optimal = world.optimal_q(GAMMA).max(axis=2)[self.pairs]
        self.num_goals = len(world.goal_names)
        self.envs = gym.make_vec("leo/GridWorld-v0", num_envs=len(self.reachable), autoreset_mode="SameStep")
        self.rows: list[Row] = []
        self.paused = 0.0

    def _on_training_start(self) -> None:
        self.began = time.perf_counter()

    def _on_step(self) -> bool:
        if self.num_timesteps >= self.next_due:
            self.next_due += self.every
            self.judge()
        return True

    def judge(self) -> None:
        """Adds a row to the results."""
        began = time.perf_counter()
        report = evaluate_goals(self.model, self.envs, goals=self.reachable)
        values = q_table(self.model, self.observations, self.num_goals).max(axis=2)[self.pairs]
        self.rows.append(
            {
                "steps": self.num_timesteps,
                "gradient_steps": self.model._n_updates,
                "success": report.mean_success,
                "value_error": float(np.abs(values - self.optimal).mean()),
                "seconds": began - self.began - self.paused,
            }
        )
        self.paused += time.perf_counter() - began


def run(algorithm: str, seed: int, steps: int, every: int, all_goals_batch: int) -> list[Row]:
    """
    One training.

    :param algorithm: its name
    :param seed: its seed
    :param steps: environment steps
    :param every: steps between evaluations
    :param all_goals_batch: transitions in a gradient step of "DQN + all goals"
    :return: a row for each evaluation
    """
    th.set_num_threads(1)
    judge = Judge(every)
    make_model(algorithm, seed, steps, all_goals_batch).learn(steps, callback=judge)
    return [{"algorithm": algorithm, "seed": seed, **row} for row in judge.rows]


def summarise(rows: list[Row], all_goals_batch: int) -> list[Row]:
    """
    One line for each algorithm, at the end of its training.

    :param rows: of all evaluations
    :param all_goals_batch: transitions in a gradient step of "DQN + all goals"
    :return: the table
    """
    num_goals = len(gym.make("leo/GridWorld-v0").unwrapped.goal_names)
    table = []
    for algorithm in dict.fromkeys(row["algorithm"] for row in rows):
        runs: dict[int, list[Row]] = defaultdict(list)
        for row in rows:
            if row["algorithm"] == algorithm:
                runs[row["seed"]].append(row)
        transitions = all_goals_batch if algorithm == "DQN + all goals" else BATCH
        line: Row = {
            "algorithm": algorithm,
            "seeds": len(runs),
            "gradient_steps": next(iter(runs.values()))[-1]["gradient_steps"],
            "transitions_per_gradient_step": transitions,
            "rows_per_gradient_step": transitions * (num_goals if algorithm == "DQN + all goals" else 1),
            "goals_per_transition": 1 if algorithm in ONE_GOAL else num_goals,
        }
        for key in ("success", "value_error", "seconds"):
            line |= mean_and_half_width(key, [curve[-1][key] for curve in runs.values()])
        firsts = [next((row["steps"] for row in curve if row["success"] >= 0.9), None) for curve in runs.values()]
        line["steps_to_90_percent"] = firsts
        table.append(line)
    return table


def show(table: list[Row]) -> str:
    """
    The table for people.

    :param table: from :func:`summarise`
    :return: text
    """
    lines = [f"{'':20s} {'rows a step':>11s} {'success':>18s} {'value error':>18s} {'seconds':>16s}  steps to 90 %"]
    for line in table:
        firsts = ", ".join("-" if first is None else f"{first:,}" for first in line["steps_to_90_percent"])
        success = measured(line, "success", "{:.3f}".format)
        error, seconds = measured(line, "value_error", "{:.4f}".format), measured(line, "seconds", "{:.0f}".format)
        rows = f"{line['rows_per_gradient_step']:,}"
        lines.append(f"{line['algorithm']:20s} {rows:>11s} {success:>18s} {error:>18s} {seconds:>16s}  {firsts}")
    return "\n".join(lines)


def write(rows: list[Row], options: argparse.Namespace) -> list[Row]:
    """
    Writes everything, also of an unfinished benchmark.

    :param rows: of all evaluations so far
    :param options: of the command line
    :return: the table
    """
    rows = sorted(rows, key=lambda row: (list(COLORS).index(row["algorithm"]), row["seed"], row["steps"]))
    table = summarise(rows, options.all_goals_batch)
    about = {"what": __doc__.strip(), "num_envs": NUM_ENVS, "settings": SHARED, "table": table}
    write_results(options, about, rows, "gymnasium", "numpy", "stable-baselines3", "torch")
    titles = {"success": "success over all reachable goals", "value_error": "error of max Q against optimal"}
    draw_curves(rows, titles, COLORS, options.out.with_suffix(".png"))
    return table


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100_000, help="environment steps of each training")
    parser.add_argument("--every", type=int, default=None, help="steps between evaluations; a twentieth of all by default")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument("--algorithms", nargs="+", choices=list(COLORS), default=list(COLORS), metavar="NAME")
    parser.add_argument("--all-goals-batch", type=int, default=16, help='transitions in a gradient step of "DQN + all goals"')
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time; no more than there are idle cores")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "gridworld_learning")
    options = parser.parse_args()
    options.every = options.every or max(options.steps // 20, NUM_ENVS)
    rows: list[Row] = []
    table: list[Row] = []
    tasks = [(algorithm, seed) for seed in range(options.seeds) for algorithm in options.algorithms]
    for finished in run_tasks(run, tasks, (options.steps, options.every, options.all_goals_batch), options.jobs):
        rows += finished
        table = write(rows, options)
    print(show(table))
    print(f"wrote {options.out}.json, .csv and .png")


if __name__ == "__main__":
    main()
