"""
How well LEODQN learns the distances to goals, also to goals that it was never trained on, with the dense, the factored and the
quasimetric head, compared with exact distances.

Run ``python benchmarks/quasimetric.py``; table and curves are written to ``benchmarks/results/quasimetric.*``. Two
environments, both with exact values: an 11 x 11 maze (another one for each seed), and mountain car on a grid of 91 positions
and 71 velocities, whose goals are intervals of position and velocity. A random half of the reachable goals is held out: it
enters neither masks nor losses. All agents learn from the same 20,000 transitions, uniformly random actions in random states
that can be reached: exploration plays no role.

- dense: has no values of other goals; those of the nearest goal of the training are used.
- factored: computes the weights of a goal from its descriptor, the position of the cell or the center of the interval.
- quasimetric: encodes an observation of the goal like a state.

Networks have two hidden layers of 128; batches of 128 transitions, all goals of the training, learning rate 2e-3. For 200
random states that can be reached and all goals: ``step_error`` is the mean error of the learned number of steps, cut off at
200, where the goal can be reached; ``optimal`` is the fraction of greedy actions that are on a shortest path. Seconds are
those of the process. Intervals are 95 % by Student's t over seeds.
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
from leo_agents import LEODQN, GoalDataset  # noqa: E402
from leo_wrappers import MultiGoalWrapper  # noqa: E402

gym.register_envs(leo_envs)

GAMMA, LONGEST = 0.99, 200
TRANSITIONS, STATES = 20_000, 200
HEADS = ("dense", "factored", "quasimetric")
ENVIRONMENTS = ("maze", "mountain car")
AGENTS = [f"{head}, {environment}" for environment in ENVIRONMENTS for head in HEADS]
QUANTITIES = ("step_error", "optimal", "unseen_step_error", "unseen_optimal")
SHARED: dict[str, Any] = {"learning_rate": 2e-3, "batch_size": 128, "gamma": GAMMA, "tau": 0.02, "device": "cpu"}


class Task:
    """
    An environment, its exact values, the goals of the training and those held out.

    :param name: one of :data:`ENVIRONMENTS`
    :param seed: seed of the maze, the goals held out, the transitions and the evaluated states
    """

    def __init__(self, name: str, seed: int) -> None:
        options: dict[str, Any] = {"map": "maze", "size": 11, "map_seed": seed}
        if name == "mountain car":
            options = {"goals": "state", "shape": (91, 71)}
        self.env: Any = gym.make("leo/GridWorld-v0" if name == "maze" else "leo/MountainCar-v0", **options)
        unwrapped, generator = self.env.unwrapped, np.random.default_rng(seed)
        self.mdp, self.observations = unwrapped.mdp, unwrapped.all_observations()
        self.states = _reachable_states(self.mdp)
        reachable = np.flatnonzero(unwrapped.reachable())
        unseen = np.sort(generator.choice(reachable, len(reachable) // 2, replace=False))
        self.goals = {"trained": np.setdiff1d(reachable, unseen), "unseen": unseen}
        self.descriptors = unwrapped.goal_set.descriptors
        # The goals of a maze are single states; the center of an interval, scaled like the observation, is a state of it.
        self.goal_states = self.observations if name == "maze" else self.descriptors
        self.evaluated = generator.choice(self.states, min(STATES, len(self.states)), replace=False)
        self.optimal_q = unwrapped.optimal_q(GAMMA)[self.evaluated]
        self.generator = generator

    def goal_set(self) -> Any:
        """Return the goals of the training."""
        return self.env.unwrapped.goal_set.subset(self.goals["trained"].tolist())

    def dataset(self) -> GoalDataset:
        """Draw transitions of all states and actions, with masks of the goals of the training."""
        states = self.generator.choice(self.states, TRANSITIONS)
        actions = self.generator.integers(self.mdp.num_actions, size=TRANSITIONS)
        following, shuffled = self.mdp.next_states(states, actions), np.ones(TRANSITIONS, dtype=bool)
        return GoalDataset.from_arrays(
            self.observations[states],
            actions,
            self.observations[following],
            ~shuffled,
            shuffled,
            goals_achieved=self.mdp.achieved(following)[:, self.goals["trained"]],
            goal_names=self.goal_set().names,
        )

    def errors(self, model: LEODQN) -> Row:
        """
        Compare the values of a model with the exact ones.

        :param model: the model
        :return: the quantities of the table
        """
        states, row = self.observations[self.evaluated], {}
        for kind, goals in self.goals.items():
            if model.policy.takes_descriptors:
                is_quasimetric = model.policy_kwargs["head"] == "quasimetric"
                q_values = model.q_values(states, (self.goal_states if is_quasimetric else self.descriptors)[goals])
            else:
                known = self.descriptors[self.goals["trained"]]
                nearest = np.square(self.descriptors[goals, None] - known).sum(axis=2).argmin(axis=1)
                q_values = model.q_values(states)[:, nearest]
            optimal_q = self.optimal_q[:, goals]
            values, optimal = q_values.max(axis=2), optimal_q.max(axis=2)
            chosen = np.take_along_axis(optimal_q, q_values.argmax(axis=2)[..., None], axis=2)[..., 0]
            can_reach, prefix = optimal > 0, "" if kind == "trained" else "unseen_"
            row[f"{prefix}step_error"] = float(np.abs(_steps(values) - _steps(optimal))[can_reach].mean())
            row[f"{prefix}optimal"] = float((chosen > optimal - 1e-9)[can_reach].mean())
        return row


def _reachable_states(mdp: Any) -> np.ndarray:
    visited, frontier = np.zeros(mdp.num_states, dtype=bool), np.asarray(mdp.starts)
    while frontier.size:
        visited[frontier] = True
        following = np.unique(mdp.successors[frontier])
        frontier = following[~visited[following]]
    return np.flatnonzero(visited)


def _steps(values: np.ndarray) -> np.ndarray:
    return 1.0 + np.log(np.clip(values, GAMMA ** (LONGEST - 1), 1.0)) / np.log(GAMMA)


def run(agent: str, seed: int, steps: int, every: int) -> list[Row]:
    """
    Train one agent.

    :param agent: one of :data:`AGENTS`
    :param seed: seed of the task and of the agent
    :param steps: gradient steps
    :param every: gradient steps between evaluations
    :return: a row per evaluation
    """
    th.set_num_threads(1)
    head, _, environment = agent.partition(", ")
    task = Task(environment, seed)
    descriptors = {"descriptors": task.goal_states[task.goals["trained"]]} if head == "quasimetric" else {}
    env = MultiGoalWrapper(task.env, task.goal_set(), signal=task.env.unwrapped.goal_signal)
    policy_kwargs = {"net_arch": [128, 128], "head_kwargs": descriptors}
    model = LEODQN("MultiGoalPolicy", env, head=head, buffer_size=8, policy_kwargs=policy_kwargs, seed=seed, **SHARED)
    callback = PeriodicEval(task.errors, every, clock=time.process_time)
    model.learn_offline(task.dataset(), steps, callback)
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
        for key in (*QUANTITIES, "seconds"):
            line |= mean_and_half_width(key, [curve[-1][key] for curve in curves.values()])
        table.append(line)
    return table


def format_table(table: list[Row]) -> str:
    """
    Format the table for the terminal.

    :param table: from :func:`summarize`
    :return: text
    """
    lines = [f"{'':26s}" + "".join(f"{key:>18s}" for key in (*QUANTITIES, "seconds"))]
    for line in table:
        cells = [format_quantity(line, key, "{:.2f}".format) for key in QUANTITIES]
        lines.append(f"{line['algorithm']:26s}" + "".join(f"{cell:>18s}" for cell in cells) + f"{line['seconds']:18.0f}")
    return "\n".join(lines)


def write(rows: list[Row], options: argparse.Namespace) -> list[Row]:
    """
    Write table and curves.

    :param rows: rows of all runs so far
    :param options: command line options
    :return: the table
    """
    table = summarize(rows)
    about = {"what": (__doc__ or "").strip(), "settings": SHARED, "table": table}
    write_results(options, about, rows, "gymnasium", "numpy", "stable-baselines3", "torch")
    return table


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=6_000, help="gradient steps of each run")
    add_options(parser, "--algorithms", AGENTS, default=AGENTS, seeds=3)
    options = parser.parse_args()
    options.every = options.every or max(options.steps // 3, 1)
    options.out = options.out or Path(__file__).parent / "results" / "quasimetric"
    print(format_table(train_all(run, (options.steps, options.every), options, AGENTS, write)))
    print(f"wrote {options.out}.json and .csv")


if __name__ == "__main__":
    main()
