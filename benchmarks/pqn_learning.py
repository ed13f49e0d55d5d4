"""
How fast LEOPQN and Dual LEO learn every goal without replay, compared with single-goal PQN, PQN + HER and PPO, and
ablations of LEOPQN.

Run ``python benchmarks/pqn_learning.py`` for the paper's 16 x 16 gridworld, with ``--env classic`` for Craftax-Classic; table,
curves and figure are written to ``benchmarks/results/pqn_learning_<env>.*``. ``--steps``, ``--seeds``, ``--agents`` and
``--jobs`` make it shorter.

All agents use the same number of environments, rollouts of 32 steps, minibatches of 512, the same number of epochs, the same
hidden layers and an initial learning rate of 0.001. LEOPQN has its defaults. Each ablation differs in what its name says: the
squared loss; the factored head; updates of a random 60 or 20 % of the goals from each rollout; goals commanded uniformly from
all instead of those seen; batch renormalization of the input; Q(lambda); the paper's settings throughout, but the same hidden
layers. PQN learns the commanded goal; PQN + HER relabels four of five transitions with a goal achieved later in the same
rollout. Both read the goal's descriptor (in the gridworld the observation at the goal), and so does Stable-Baselines3's PPO,
with its own network and defaults except for rollouts, minibatches, epochs and learning rate. DualLEOPQN and DualLEOPPO have
their defaults, with such a student and LEOPQN as the teacher; the variants are a teacher weight that decays from 1 to 0.3 over
half of the training, and a constant cross-entropy coefficient ten times as large.

In Craftax-Classic all values are learned with Q(0.9) and start at 0.03, and PPO has its own learning rate, 0.0003. PQN + HER
has one-step targets there too, because the actions that followed a transition were chosen for another goal than the relabeled
one.

Success is that of one greedy episode per goal (in Craftax-Classic with an epsilon of 0.05, up to 500 steps), over reachable
goals that are not achieved at the start; for PPO and DualLEOPPO in Craftax-Classic also with sampled actions. The value error,
in the gridworld, is the mean of |max_a Q - optimal value| over all reachable states and goals. Seconds are processor time of
training without evaluation, on one thread. Intervals are 95 % by Student's t over seeds.
"""

import os

# Set before NumPy and PyTorch are imported.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse  # noqa: E402
from functools import partial  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import torch as th  # noqa: E402
from curves import draw_curves  # noqa: E402
from gridworld_eval import GAMMA  # noqa: E402
from pqn_envs import ENVS, TITLES, BenchmarkEnv  # noqa: E402
from stable_baselines3.common.base_class import BaseAlgorithm  # noqa: E402
from stable_baselines3.common.utils import LinearSchedule  # noqa: E402
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

from leo_agents import LEOPQN, PQN, DualLEOPPO, DualLEOPQN  # noqa: E402
from leo_agents.baselines import goal_conditioned_ppo  # noqa: E402

NUM_STEPS, BATCH, EPOCHS = 32, 512, 4
# Differences from LEOPQN's defaults; fractions of the goals become numbers.
LEO: dict[str, dict[str, Any]] = {
    "LEOPQN": {},
    "LEOPQN, squared loss": {"loss": "squared"},
    "LEOPQN, factored": {"head": "factored"},
    "LEOPQN, 60 % of heads": {"update_fraction": 0.6},
    "LEOPQN, 20 % of heads": {"update_fraction": 0.2},
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


def make_model(agent: str, benchmark: BenchmarkEnv, seed: int) -> BaseAlgorithm:
    """
    Create an agent with its environments.

    :param agent: one of :data:`COLORS`
    :param benchmark: the environment and its settings
    :param seed: seeds the agent and its environments
    :return: the untrained model
    """
    venv, net = benchmark.make(), {"net_arch": list(benchmark.net)}
    shared: dict[str, Any] = {"n_steps": NUM_STEPS, "batch_size": BATCH, "gamma": GAMMA, "seed": seed, "device": "cpu"}
    if agent == "PPO":
        ppo = {"n_epochs": EPOCHS, "learning_rate": benchmark.ppo_learning_rate, "policy_kwargs": net}
        return goal_conditioned_ppo(venv, descriptors=benchmark.descriptors(), **ppo, **shared)
    leo: dict[str, Any] = {**net, "head_kwargs": {"initial_value": benchmark.initial_value}}
    single = {**net, "initial_value": benchmark.initial_value}
    if agent in DUAL:
        algorithm, options = DUAL[agent]
        student = {"q_lambda": benchmark.q_lambda, "policy_kwargs": single}
        if algorithm is DualLEOPPO:
            student = {"learning_rate": benchmark.ppo_learning_rate, "policy_kwargs": net}
        teacher = {"q_lambda": benchmark.q_lambda, "policy_kwargs": leo}
        dual = {"descriptors": benchmark.descriptors(), "teacher_kwargs": teacher, **student, **options}
        return algorithm("MultiInputPolicy", venv, **dual, **shared)
    if agent in SINGLE:
        single["descriptors"] = benchmark.descriptors()
        options = {"q_lambda": benchmark.q_lambda, **SINGLE[agent]}
        return PQN("GoalInputPolicy", venv, policy_kwargs=single, **options, **shared)
    options = {"q_lambda": benchmark.q_lambda, **LEO[agent]}
    leo["input_norm"] = options.pop("input_norm", False)
    fraction = options.pop("update_fraction", None)
    if fraction is not None:
        options["goals_per_update"] = round(fraction * len(benchmark.descriptors()))
    return LEOPQN("MultiGoalPolicy", venv, policy_kwargs=leo, **options, **shared)


def run(agent: str, seed: int, env: str, steps: int, every: int) -> list[Row]:
    """
    Train one agent.

    :param agent: one of :data:`COLORS`
    :param seed: seeds the agent and its environments
    :param env: one of ``pqn_envs.ENVS``
    :param steps: environment steps
    :param every: environment steps between evaluations
    :return: a row per evaluation
    """
    th.set_num_threads(1)
    benchmark = ENVS[env]()
    callback = PeriodicEval(partial(benchmark.evaluate, seed=seed), every)
    make_model(agent, benchmark, seed).learn(steps, callback=callback)
    return [{"algorithm": agent, "seed": seed, **row} for row in callback.rows]


def summarize(rows: list[Row]) -> list[Row]:
    """
    Summarize the final evaluations.

    :param rows: rows of all runs
    :return: a line per agent
    """
    quantities = [key for key in rows[0] if key not in ("algorithm", "seed", "steps", "seconds")]
    table = []
    for agent, curves in curves_by_seed(rows).items():
        line: Row = {"algorithm": agent, "seeds": len(curves)}
        for quantity in (*quantities, "seconds"):
            line |= mean_and_half_width(quantity, [curve[-1][quantity] for curve in curves.values()])
        for level in (0.9, 0.99):
            line[f"steps_to_{round(100 * level)}_percent"] = steps_to_success(curves, level)
        table.append(line)
    return table


def format_table(table: list[Row]) -> str:
    """
    Format the table for the terminal.

    :param table: from :func:`summarize`
    :return: text
    """
    lines = [f"{'':26s} {'success':>18s} {'seconds':>14s}  steps to 90 % / to 99 %"]
    for line in table:
        firsts = [
            ", ".join("-" if first is None else f"{first:,}" for first in line[f"steps_to_{percent}_percent"])
            for percent in (90, 99)
        ]
        success = format_quantity(line, "success", "{:.3f}".format)
        seconds = format_quantity(line, "seconds", "{:.0f}".format)
        lines.append(f"{line['algorithm']:26s} {success:>18s} {seconds:>14s}  {' / '.join(firsts)}")
    return "\n".join(lines)


def write(rows: list[Row], options: argparse.Namespace) -> list[Row]:
    """
    Write table, curves and figure.

    :param rows: rows of all runs so far
    :param options: command line options
    :return: the table
    """
    table = summarize(rows)
    about = {"what": (__doc__ or "").strip(), "net": ENVS[options.env].net, "table": table}
    write_results(options, about, rows, "gymnasium", "numpy", "stable-baselines3", "torch")
    draw_curves(rows, TITLES[options.env], COLORS, options.out.with_suffix(".png"))
    return table


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", choices=list(ENVS), default="gridworld")
    parser.add_argument("--steps", type=int, default=None, help="environment steps of each run")
    add_options(parser, "--agents", list(COLORS), default=list(COLORS), seeds=3)
    options = parser.parse_args()
    options.steps = options.steps or ENVS[options.env].steps
    options.every = options.every or max(options.steps // 20, 1)
    options.out = options.out or Path(__file__).parent / "results" / f"pqn_learning_{options.env}"
    print(format_table(train_all(run, (options.env, options.steps, options.every), options, list(COLORS), write)))
    print(f"wrote {options.out}.json, .csv and .png")


if __name__ == "__main__":
    main()
