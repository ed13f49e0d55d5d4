"""
How LEOPQN and Dual LEO learn every goal without replay, beside single-goal PQN, PQN + HER and PPO, and what each part of
LEOPQN is worth.

Run ``python benchmarks/pqn_learning.py`` for the paper's 16 x 16 grid world, with ``--world classic`` for Craftax-Classic;
table, curves and figure go to ``benchmarks/results/pqn_learning_<world>`` with their endings. ``--steps``, ``--seeds``,
``--agents`` and ``--jobs`` make it shorter.

All agents act in as many environments at once for 32 steps, and learn from these in minibatches of 512 in as many epochs, with
hidden layers as wide, and begin with a learning rate of 0.001. LEOPQN is as it comes. Of the others each differs from it in
what its name says: the squared loss; the factored head; the heads of only 60 or 20 % of the goals, drawn anew for each
rollout; goals commanded uniformly from all, not from those seen; batch renormalisation of the input; Q(lambda); the paper's
mode, with its settings throughout, but the same hidden layers. PQN learns about the commanded goal, PQN + HER about a goal
achieved later in the same rollout for four of five transitions; both read the goal's descriptor (in the grid world what the
agent would see there), as does Stable-Baselines3's PPO with its own network and settings but for the rollouts, minibatches,
epochs and learning rate. DualLEOPQN and DualLEOPPO are as they come: such a student, reading the same of a goal, with LEOPQN
for its teacher; then the first with a weight of the teacher that falls from 1 to 0.3 over half of the training, the second
with a constant cross-entropy ten times as strong.

In Craftax-Classic all values are learned with Q(0.9), from 0.03 at first, and PPO has its own learning rate, 0.0003. PQN + HER
has one-step targets there, too: what followed a step was done for another goal than the one relabelled.

Success is that of one greedy episode for each goal (for Craftax with one random action in twenty, and up to 500 steps), over
the goals that can be reached and are not true at the start; for PPO and DualLEOPPO in Craftax, by actions drawn from their
policies too. The value error, in the grid world, is the mean of |max_a Q - optimal value| over all states and goals that can
be reached. Seconds are the processor's, of training alone, on one thread. Intervals are 95 % by Student's t over seeds.
"""

import os

# Before NumPy and PyTorch start their threads.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import torch as th  # noqa: E402
from curves import draw_curves  # noqa: E402
from pqn_worlds import GAMMA, TITLES, WORLDS, World  # noqa: E402
from stable_baselines3.common.base_class import BaseAlgorithm  # noqa: E402
from stable_baselines3.common.callbacks import BaseCallback  # noqa: E402
from stable_baselines3.common.utils import LinearSchedule  # noqa: E402
from trainings import Row, mean_and_half_width, measured, missing_tasks, read_rows, run_tasks, write_results  # noqa: E402

from leo_agents import LEOPQN, PQN, DualLEOPPO, DualLEOPQN  # noqa: E402
from leo_agents.baselines import goal_conditioned_ppo  # noqa: E402

NUM_STEPS, BATCH, EPOCHS = 32, 512, 4
# What differs from LEOPQN as it comes; shares of the goals become numbers.
LEO: dict[str, dict[str, Any]] = {
    "LEOPQN": {},
    "LEOPQN, squared loss": {"loss": "squared"},
    "LEOPQN, factored": {"head": "factored"},
    "LEOPQN, 60 % of heads": {"share": 0.6},
    "LEOPQN, 20 % of heads": {"share": 0.2},
    "LEOPQN, uniform goals": {"goal_selector": "uniform"},
    "LEOPQN, batch renorm": {"input_norm": True},
    "LEOPQN, lambda 0.65": {"q_lambda": 0.65},
    "LEOPQN, paper mode": {"paper_mode": True, "input_norm": True},
}
DUAL: dict[str, tuple[Any, dict[str, Any]]] = {
    "DualLEOPQN": (DualLEOPQN, {}),
    "DualLEOPQN, c from 1": (DualLEOPQN, {"teacher_weight": LinearSchedule(1.0, 0.3, 0.5)}),
    "DualLEOPPO": (DualLEOPPO, {}),
    "DualLEOPPO, coefficient 1": (DualLEOPPO, {"teacher_coef": 1.0}),
}
SINGLE: dict[str, dict[str, Any]] = {"PQN (UVFA)": {}, "PQN + HER": {"her_ratio": 0.8, "q_lambda": 0.0}}
COLORS = {
    "LEOPQN": "#2667d9",
    "LEOPQN, squared loss": "#7fb0f5",
    "LEOPQN, factored": "#13a3b8",
    "LEOPQN, 60 % of heads": "#22a062",
    "LEOPQN, 20 % of heads": "#8bc34a",
    "LEOPQN, uniform goals": "#8e4ec6",
    "LEOPQN, batch renorm": "#c2417c",
    "LEOPQN, lambda 0.65": "#b8860b",
    "LEOPQN, paper mode": "#3b3f4a",
    "DualLEOPQN": "#5b3fd6",
    "DualLEOPQN, c from 1": "#a594f0",
    "DualLEOPPO": "#b0305f",
    "DualLEOPPO, coefficient 1": "#e88aab",
    "PQN (UVFA)": "#8a8f9c",
    "PQN + HER": "#e07b39",
    "PPO": "#d64545",
}


def make_model(agent: str, world: World, seed: int) -> BaseAlgorithm:
    """
    An agent with its environments.

    :param agent: one of :data:`COLORS`
    :param world: where
    :param seed: seeds everything
    :return: the model, not trained yet
    """
    venv, net = world.make(), {"net_arch": list(world.net)}
    shared: dict[str, Any] = {"n_steps": NUM_STEPS, "batch_size": BATCH, "gamma": GAMMA, "seed": seed, "device": "cpu"}
    if agent == "PPO":
        ppo = {"n_epochs": EPOCHS, "learning_rate": world.ppo_learning_rate, "policy_kwargs": net}
        return goal_conditioned_ppo(venv, descriptors=world.descriptors(), **ppo, **shared)
    leo: dict[str, Any] = {**net, "head_kwargs": {"initial_value": world.initial_value}}
    single = {**net, "initial_value": world.initial_value}
    if agent in DUAL:
        kind, options = DUAL[agent]
        student = {"q_lambda": world.q_lambda, "policy_kwargs": single}
        if kind is DualLEOPPO:
            student = {"learning_rate": world.ppo_learning_rate, "policy_kwargs": net}
        teacher = {"q_lambda": world.q_lambda, "policy_kwargs": leo}
        duals = {"descriptors": world.descriptors(), "teacher_kwargs": teacher, **student, **options}
        return kind("MultiInputPolicy", venv, **duals, **shared)
    if agent in SINGLE:
        single["descriptors"] = world.descriptors()
        options = {"q_lambda": world.q_lambda, **SINGLE[agent]}
        return PQN("GoalInputPolicy", venv, policy_kwargs=single, **options, **shared)
    options = {"q_lambda": world.q_lambda, **LEO[agent]}
    leo["input_norm"] = options.pop("input_norm", False)
    share = options.pop("share", None)
    if share is not None:
        options["goals_per_update"] = round(share * len(world.descriptors()))
    return LEOPQN("MultiGoalPolicy", venv, policy_kwargs=leo, **options, **shared)


class Judge(BaseCallback):
    """
    Evaluates the agent every so many steps; its own time counts for nothing.

    :param world: where
    :param every: environment steps between evaluations
    :param seed: of the evaluations
    """

    def __init__(self, world: World, every: int, seed: int) -> None:
        super().__init__()
        self.world, self.every, self.next_due, self.seed = world, every, every, seed
        self.rows: list[Row] = []
        self.paused = 0.0

    def _on_training_start(self) -> None:
        self.began = time.process_time()

    def _on_step(self) -> bool:
        if self.num_timesteps >= self.next_due:
            self.next_due += self.every
            began = time.process_time()
            row = {"steps": self.num_timesteps, "seconds": began - self.began - self.paused}
            self.rows.append({**row, **self.world.judge(self.model, self.seed)})
            self.paused += time.process_time() - began
        return True


def run(agent: str, seed: int, name: str, steps: int, every: int) -> list[Row]:
    """
    One training.

    :param agent: its name
    :param seed: its seed
    :param name: of the world
    :param steps: environment steps
    :param every: steps between evaluations
    :return: a row for each evaluation
    """
    th.set_num_threads(1)
    world = WORLDS[name]()
    judge = Judge(world, every, seed)
    make_model(agent, world, seed).learn(steps, callback=judge)
    return [{"algorithm": agent, "seed": seed, **row} for row in judge.rows]


def summarise(rows: list[Row], quantities: list[str]) -> list[Row]:
    """
    One line for each agent, at the end of its training.

    :param rows: of all evaluations
    :param quantities: what was judged
    :return: the table
    """
    table = []
    for agent in dict.fromkeys(row["algorithm"] for row in rows):
        runs: dict[int, list[Row]] = {}
        for row in rows:
            if row["algorithm"] == agent:
                runs.setdefault(row["seed"], []).append(row)
        line: Row = {"algorithm": agent, "seeds": len(runs)}
        for quantity in (*quantities, "seconds"):
            line |= mean_and_half_width(quantity, [curve[-1][quantity] for curve in runs.values()])
        for share in (0.9, 0.99):
            firsts = [next((row["steps"] for row in curve if row["success"] >= share), None) for curve in runs.values()]
            line[f"steps_to_{round(100 * share)}_percent"] = firsts
        table.append(line)
    return table


def show(table: list[Row]) -> str:
    """
    The table for people.

    :param table: from :func:`summarise`
    :return: text
    """
    lines = [f"{'':26s} {'success':>18s} {'seconds':>14s}  steps to 90 % / to 99 %"]
    for line in table:
        firsts = [
            ", ".join("-" if first is None else f"{first:,}" for first in line[f"steps_to_{share}_percent"])
            for share in (90, 99)
        ]
        success, seconds = measured(line, "success", "{:.3f}".format), measured(line, "seconds", "{:.0f}".format)
        lines.append(f"{line['algorithm']:26s} {success:>18s} {seconds:>14s}  {' / '.join(firsts)}")
    return "\n".join(lines)


def write(rows: list[Row], options: argparse.Namespace) -> list[Row]:
    """
    Writes the table, the curves and the figure.

    :param rows: of all evaluations
    :param options: of the command line
    :return: the table
    """
    table = summarise(rows, [key for key in rows[0] if key not in ("algorithm", "seed", "steps", "seconds")])
    about = {"what": (__doc__ or "").strip(), "net": WORLDS[options.world].net, "table": table}
    write_results(options, about, rows, "gymnasium", "numpy", "stable-baselines3", "torch")
    draw_curves(rows, TITLES[options.world], COLORS, options.out.with_suffix(".png"))
    return table


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", choices=list(WORLDS), default="gridworld")
    parser.add_argument("--steps", type=int, default=None, help="environment steps of each training")
    parser.add_argument("--every", type=int, default=None, help="steps between evaluations; a twentieth of all by default")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument("--agents", nargs="+", choices=list(COLORS), default=list(COLORS), metavar="NAME")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time; no more than there are idle cores")
    parser.add_argument("--keep", action="store_true", help="keep the results that are there, train what is missing")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    options.steps = options.steps or WORLDS[options.world].steps
    options.every = options.every or max(options.steps // 20, 1)
    options.out = options.out or Path(__file__).parent / "results" / f"pqn_learning_{options.world}"
    rows = read_rows(options.out) if options.keep else []
    tasks = missing_tasks(rows, options.agents, options.seeds)
    table = write(rows, options) if rows else []
    for finished in run_tasks(run, tasks, (options.world, options.steps, options.every), options.jobs):
        # Also of an unfinished benchmark.
        rows = sorted([*rows, *finished], key=lambda row: (list(COLORS).index(row["algorithm"]), row["seed"], row["steps"]))
        table = write(rows, options)
    print(show(table))
    print(f"wrote {options.out}.json, .csv and .png")


if __name__ == "__main__":
    main()
