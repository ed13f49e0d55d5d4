"""
How many of Craftax-Classic's 136 goals agents learn from half a million steps: LEODQN, goal-conditioned DQN with hindsight,
and random actions.

Run ``python benchmarks/craftax_learning.py --jobs 2``; table, curves and figure go to ``benchmarks/results/craftax_learning``
with their endings. ``--steps``, ``--seeds`` and ``--algorithms`` make it shorter.

Both agents play the same number of games at once, read the same compact observations through the same kind of extractor, have
two hidden layers of 256, and take the same number of gradient steps on as many transitions with the same optimiser settings.
DQN takes the goal in by its descriptor (family, subject, direction, amount), relabels four of five transitions by hindsight
(future), and its values pass through a sigmoid as LEODQN's do.

LEODQN's targets look five steps ahead. With one step, as DQN + HER has it and Stable-Baselines3's hindsight cannot do without,
values grow far beyond the truth, of goals that were never seen too: the best of 17 actions is always the one whose value errs
upwards, and only one hundredth is discounted a step. "One step" is there to show it.

Success is that of an episode from a fresh world in which the goal comes true within 500 steps; goals true at the reset are not
attempted. The agents act greedily but for one random action in twenty, without which both stand before walls for ever. During
training every goal is tried twice at each evaluation, at the end ten times. A goal counts as learned if half of these
attempts succeed. Seconds are the processor's, of training alone. Intervals are 95 % by Student's t over seeds.
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

import numpy as np  # noqa: E402
import torch as th  # noqa: E402
from curves import draw_curves  # noqa: E402
from stable_baselines3 import DQN  # noqa: E402
from stable_baselines3.common.callbacks import BaseCallback  # noqa: E402
from trainings import Row, mean_and_half_width, measured, missing_tasks, read_rows, run_tasks, write_results  # noqa: E402

from leo_agents import LEODQN  # noqa: E402
from leo_agents.baselines import goal_conditioned_dqn  # noqa: E402
from leo_agents.evaluation import evaluate_goals  # noqa: E402
from leo_envs.craftax import CraftaxClassic  # noqa: E402
from leo_wrappers.sb3 import JaxVecEnv  # noqa: E402

NUM_ENVS, HORIZON, RANDOM_ACTIONS = 32, 500, 0.05
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


class AtRandom:
    """
    Knows nothing.

    :param num_actions: the number of actions
    :param seed: of its generator
    """

    def __init__(self, num_actions: int, seed: int) -> None:
        self.num_actions, self.generator = num_actions, np.random.default_rng(seed)

    def predict(self, observation: Any, *args: Any, **kwargs: Any) -> Any:
        """What ``evaluate_goals`` asks for."""
        return self.generator.integers(self.num_actions, size=len(observation["goal_id"])), None


class Judge(BaseCallback):
    """
    Evaluates the agent every so many steps; its own time counts for nothing.

    :param every: environment steps between evaluations
    :param seed: of the worlds to evaluate in
    """

    def __init__(self, every: int, seed: int) -> None:
        super().__init__()
        self.every, self.next_due, self.seed = every, every, 10_000 * (1 + seed)
        game = CraftaxClassic()
        self.envs = JaxVecEnv(game, len(game.goal_names))
        self.rows: list[Row] = []
        self.paused = 0.0

    def _on_training_start(self) -> None:
        self.began = time.process_time()

    def _on_step(self) -> bool:
        if self.num_timesteps >= self.next_due:
            self.next_due += self.every
            self.judge(EPISODES, self.model)
        return True

    def judge(self, episodes: int, model: DQN | None) -> None:
        """
        Adds a row to the results, or replaces one of the same step.

        :param episodes: attempts at each goal
        :param model: the agent; None for random actions
        """
        began = time.process_time()
        player = AtRandom(int(self.envs.action_space.n), self.seed) if model is None else model
        report = evaluate_goals(player, self.envs, episodes, self.seed, max_steps=HORIZON, epsilon=RANDOM_ACTIONS)
        families = report.by_family()
        row = {
            "steps": 0 if model is None else model.num_timesteps,
            "gradient_steps": 0 if model is None else model._n_updates,
            "episodes": episodes,
            "success": report.mean_success,
            **{f"success_{family}": families[family].mean_success for family in FAMILIES},
            "learned": report.num_learned(0.5),
            "seconds": 0.0 if model is None else began - self.began - self.paused,
        }
        self.rows = [other for other in self.rows if other["steps"] != row["steps"]] + [row]
        self.paused += time.process_time() - began


def run(algorithm: str, seed: int, steps: int, every: int) -> list[Row]:
    """
    One training.

    :param algorithm: its name
    :param seed: its seed
    :param steps: environment steps
    :param every: steps between evaluations
    :return: a row for each evaluation
    """
    th.set_num_threads(1)
    judge = Judge(every, seed)
    if algorithm == "random actions":
        judge.judge(FINAL_EPISODES, None)
        rows = [judge.rows[0] | {"steps": step} for step in range(every, steps + 1, every)]
    else:
        kwargs = {**SHARED, "seed": seed, "buffer_size": steps}
        venv = JaxVecEnv(CraftaxClassic(), NUM_ENVS)
        # The target network moves with every gradient step; LEODQN counts these, DQN the steps of the environments.
        model = (
            LEODQN("MultiGoalPolicy", venv, target_update_interval=1, n_steps=LEO_STEPS[algorithm], **kwargs)
            if algorithm in LEO_STEPS
            else goal_conditioned_dqn(
                venv,
                buffer="her",
                target_update_interval=NUM_ENVS,
                replay_buffer_kwargs={"n_sampled_goal": 4, "goal_selection_strategy": "future"},
                **kwargs,
            )
        )
        model.learn(steps, callback=judge)
        judge.judge(FINAL_EPISODES, model)
        rows = judge.rows
    return [{"algorithm": algorithm, "seed": seed, **row} for row in rows]


def summarise(rows: list[Row]) -> list[Row]:
    """
    One line for each algorithm, at the end of its training.

    :param rows: of all evaluations
    :return: the table
    """
    table = []
    for algorithm in dict.fromkeys(row["algorithm"] for row in rows):
        last: dict[int, Row] = {row["seed"]: row for row in rows if row["algorithm"] == algorithm}
        line: Row = {"algorithm": algorithm, "seeds": len(last), "gradient_steps": next(iter(last.values()))["gradient_steps"]}
        for quantity in QUANTITIES:
            line |= mean_and_half_width(quantity, [row[quantity] for row in last.values()])
            line[f"{quantity}_by_seed"] = [row[quantity] for row in last.values()]
        table.append(line)
    return table


def show(table: list[Row]) -> str:
    """
    The table for people.

    :param table: from :func:`summarise`
    :return: text
    """
    forms = defaultdict(lambda: "{:.3f}".format, learned="{:.0f}".format, seconds="{:.0f}".format)
    heads = [quantity.removeprefix("success_") for quantity in QUANTITIES]
    lines = [f"{'':15s}" + "".join(f"{head:>17s}" for head in heads)]
    for line in table:
        cells = [measured(line, quantity, forms[quantity]) for quantity in QUANTITIES]
        lines.append(f"{line['algorithm']:15s}" + "".join(f"{cell:>17s}" for cell in cells))
    return "\n".join(lines)


def write(rows: list[Row], options: argparse.Namespace) -> list[Row]:
    """
    Writes everything, also of an unfinished benchmark.

    :param rows: of all evaluations so far
    :param options: of the command line
    :return: the table
    """
    rows = sorted(rows, key=lambda row: (list(COLORS).index(row["algorithm"]), row["seed"], row["steps"]))
    table = summarise(rows)
    about = {"what": __doc__.strip(), "num_envs": NUM_ENVS, "settings": SHARED, "table": table}
    write_results(options, about, rows, "craftax", "jax", "numpy", "stable-baselines3", "torch")
    titles = {"success": "success over all goals"} | {f"success_{family}": f"success, {family}" for family in FAMILIES}
    draw_curves(rows, titles, COLORS, options.out.with_suffix(".png"), columns=3)
    return table


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=500_000, help="environment steps of each training")
    parser.add_argument("--every", type=int, default=None, help="steps between evaluations; a tenth of all by default")
    parser.add_argument("--seeds", type=int, default=2, help="number of seeds")
    parser.add_argument("--algorithms", nargs="+", choices=list(COLORS), default=list(COLORS), metavar="NAME")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time; no more than there are idle cores")
    parser.add_argument("--keep", action="store_true", help="keep the results that are there, train what is missing")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "craftax_learning")
    options = parser.parse_args()
    options.every = options.every or max(options.steps // 10, NUM_ENVS)
    rows = read_rows(options.out) if options.keep else []
    tasks = missing_tasks(rows, options.algorithms, options.seeds)
    table = write(rows, options) if rows else []
    for finished in run_tasks(run, tasks, (options.steps, options.every), options.jobs):
        rows += finished
        table = write(rows, options)
    print(show(table))
    print(f"wrote {options.out}.json, .csv and .png")


if __name__ == "__main__":
    main()
