"""
Learning from Ray actors compared with one process, at equal environment steps and equal gradient steps.

Run ``python benchmarks/ray_learning.py`` with the extra ``ray``; the table is written to ``results/ray_learning.json``, the
evaluations to ``results/ray_learning.csv``, and to ``ray_learning_fetchreach`` with ``--env fetchreach``. LEODQN learns the
paper's 16 x 16 map, with a gradient step for every eight environment steps, or LEOTD3 FetchReach, with one for every four:

- one process: four environments, every action with the newest weights;
- actors: ``DistributedLearning`` with two actors of two environments, whose weights lag behind;
- actors, blocks of 8 steps: the same with longer blocks than the default, for which the policy stays the same.

Success is that of the policy without noise, from the initial state of the map within 200 steps, over all reachable goals that
are not achieved there, or over all cells of FetchReach's grid. The value error is the mean of |max_a Q - optimal value| over
all reachable states and goals of the map. The lag is the mean number of gradient steps since the weights that transitions were
collected with. Intervals are 95 % by Student's t over seeds.
"""

import os

# Set before NumPy and PyTorch are imported.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from functools import partial  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import gymnasium as gym  # noqa: E402
import torch as th  # noqa: E402
from gridworld_eval import GridworldEval  # noqa: E402
from stable_baselines3.common.env_util import make_vec_env  # noqa: E402
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

from leo_agents import LEODQN, LEOTD3  # noqa: E402
from leo_agents.distributed import DistributedLearning  # noqa: E402
from leo_agents.evaluation import evaluate_goals  # noqa: E402

ONE_PROCESS, ACTORS, LONG_BLOCKS = AGENTS = ("one process", "actors", "actors, blocks of 8 steps")
NUM_ENVS, NUM_ACTORS = 4, 2
ENVS: dict[str, tuple[str, Any, int, int]] = {
    "gridworld": ("leo_envs:leo/GridWorld-v0", LEODQN, 8, 20_000),
    "fetchreach": ("leo_envs:leo/FetchReach-v0", LEOTD3, 4, 4_000),
}
"""Id, algorithm, environment steps per gradient step, and environment steps of the training."""
FORMATS = {"success": "{:.3f}", "value_error": "{:.4f}", "gradient_steps": "{:.0f}", "lag": "{:.1f}"}


def gridworld_eval() -> Callable[[Any], Row]:
    """Return a function that evaluates an agent in the gridworld."""
    gridworld = GridworldEval()
    return lambda model: {
        "success": gridworld.success(model),
        "value_error": gridworld.value_error(model.q_values(gridworld.observations)),
    }


def fetchreach_eval() -> Callable[[Any], Row]:
    """Return a function that evaluates an agent in FetchReach."""
    env = gym.make(ENVS["fetchreach"][0])
    return lambda model: {"success": evaluate_goals(model, env, seed=0).mean_success}


def run(agent: str, seed: int, env_name: str, steps: int, every: int) -> list[Row]:
    """
    Train one agent.

    :param agent: one of :data:`AGENTS`
    :param seed: seeds the agent, its environments and its actors
    :param env_name: a key of :data:`ENVS`
    :param steps: environment steps
    :param every: environment steps between evaluations
    :return: a row per evaluation
    """
    th.set_num_threads(1)
    env_id, algorithm, steps_per_gradient_step, _ = ENVS[env_name]
    evaluate_agent = {"gridworld": gridworld_eval, "fetchreach": fetchreach_eval}[env_name]()

    def evaluate(model: Any) -> Row:
        lag = float(model.logger.name_to_value.get("distributed/lag", 0.0))
        return {"gradient_steps": model._n_updates, "lag": lag, **evaluate_agent(model)}

    callback = PeriodicEval(evaluate, every, clock=time.perf_counter)
    num_actors = 1 if agent == ONE_PROCESS else NUM_ACTORS
    n_envs = NUM_ENVS // num_actors
    make_env = partial(make_vec_env, env_id, n_envs=n_envs)
    options: dict[str, Any] = {"buffer_size": steps, "learning_starts": 200, "seed": seed, "device": "cpu"}
    model = algorithm("MultiGoalPolicy", make_env(), train_freq=steps_per_gradient_step // n_envs, **options)
    if agent == ONE_PROCESS:
        model.learn(steps, callback)
    else:
        steps_per_block = 8 if agent == LONG_BLOCKS else None
        with DistributedLearning(model, make_env, num_actors, num_cpus=0.1, steps_per_block=steps_per_block) as distributed:
            # Nothing is logged before the end, so that the logged lag is the mean of the whole training.
            distributed.learn(steps, callback, log_interval=steps)
    return [{"algorithm": agent, "seed": seed, **row} for row in callback.rows]


def summarize(rows: list[Row]) -> list[Row]:
    """
    Summarize each evaluation.

    :param rows: rows of all runs
    :return: a line per agent and number of environment steps
    """
    table = []
    for agent, curves in curves_by_seed(rows).items():
        for number, first in enumerate(next(iter(curves.values()))):
            line: Row = {"algorithm": agent, "seeds": len(curves), "steps": first["steps"]}
            for key in FORMATS.keys() & first.keys():
                line |= mean_and_half_width(key, [curve[number][key] for curve in curves.values()])
            table.append(line)
    return table


def write(rows: list[Row], options: argparse.Namespace) -> list[Row]:
    """
    Write table and evaluations.

    :param rows: rows of all runs so far
    :param options: command line options
    :return: the table
    """
    table = summarize(rows)
    about = {"what": (__doc__ or "").strip(), "table": table}
    write_results(options, about, rows, "mujoco", "ray", "stable-baselines3", "torch")
    return table


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", choices=ENVS, default="gridworld")
    parser.add_argument("--steps", type=int, default=None, help="environment steps of each run")
    add_options(parser, "--agents", AGENTS, default=AGENTS, seeds=5)
    options = parser.parse_args()
    options.steps = options.steps or ENVS[options.env][3]
    options.every = options.every or max(options.steps // 4, 1)
    name = "ray_learning" if options.env == "gridworld" else f"ray_learning_{options.env}"
    options.out = options.out or Path(__file__).parent / "results" / name
    for line in train_all(run, (options.env, options.steps, options.every), options, AGENTS, write):
        values = [f"{key} {format_quantity(line, key, form.format)}" for key, form in FORMATS.items() if key in line]
        print(f"{line['algorithm']}, {line['steps']:,} steps:", ", ".join(values))
    print(f"wrote {options.out}.json and .csv")


if __name__ == "__main__":
    main()
