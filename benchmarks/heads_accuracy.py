"""
Sample efficiency of cheaper heads: environment steps that LEODQN needs on the paper's 16 x 16 gridworld.

Run ``python benchmarks/heads_accuracy.py --jobs 2``; results are written to ``results/heads_accuracy.json``, with a figure of
steps over cost. The costs are those of 512 goals, 43 actions and a network of 4 x 1024, from ``heads_speed.py --goals 512
--actions 43 --nets "4 x 1024" --rounds 5 --patience 40 --out benchmarks/results/heads_speed_512x43``.

The settings are those of ``gridworld_learning.py``, except for the network. The required width of the last hidden layer
depends on the environment, not on the layers before it, so the network is 2 x 1024, with layers as wide as in the network
of the costs (``--net`` selects others). The agent is evaluated every 500 steps on all reachable goals; a run stops at 99 %.
Efficiency is the dense head's number of steps divided by the variant's, both means over seeds, and unknown if a seed does
not reach the level within the budget.
"""

import argparse
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import gridworld_learning as learning  # first, because it sets the number of threads
import gymnasium as gym
import numpy as np
import torch as th
from heads_speed import DQN_NAME, LEO, leo_options
from machine import describe
from matplotlib.figure import Figure
from stable_baselines3.common.callbacks import ConvertCallback
from training_runs import steps_to_success

from leo_agents import LEODQN

LEVELS = (0.9, 0.99)
NETS = {"2 x 256": [256] * 2, "2 x 512": [512] * 2, "2 x 1024": [1_024] * 2}
RESULTS = Path(__file__).parent / "results"
COSTS_AT = {"net": "4 x 1024", "actions": 43, "goals": 512}


def run(variant: str, seed: int, steps: int, net: str) -> dict[str, Any]:
    """
    Train one agent until it reaches the highest level.

    :param variant: one of ``heads_speed.LEO``
    :param seed: seeds the agent and its environments
    :param steps: maximum number of environment steps
    :param net: one of :data:`NETS`
    :return: steps to each level (None if never), and the final value error
    """
    th.set_num_threads(1)
    options = leo_options(variant, NETS[net])
    if options is None:
        raise ValueError(f"expected a network whose last layer {variant!r} narrows, got {net}; leave out this variant")
    env = gym.make_vec("leo/GridWorld-v0", num_envs=learning.NUM_ENVS, autoreset_mode="SameStep")
    kwargs = {**learning.SHARED, "buffer_size": steps, "target_update_freq": 1, **options}
    evaluation = learning.make_eval(500)
    stop = ConvertCallback(lambda *_: not evaluation.rows or evaluation.rows[-1]["success"] < max(LEVELS))
    LEODQN("MultiGoalPolicy", env, seed=seed, **kwargs).learn(steps, callback=[evaluation, stop])
    firsts = {str(level): steps_to_success({seed: evaluation.rows}, level)[0] for level in LEVELS}
    return {"variant": variant, "seed": seed, "firsts": firsts, "value_error": evaluation.rows[-1]["value_error"]}


def summarize(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """
    Summarize the runs.

    :param runs: from :func:`run`
    :return: a line per variant
    """
    costs = known_costs()
    table: list[dict[str, Any]] = []
    for variant in dict.fromkeys(entry["variant"] for entry in runs):
        mine = [entry for entry in runs if entry["variant"] == variant]
        line: dict[str, Any] = {"variant": variant, "cost_by_dqn": costs.get(variant)}
        for level in map(str, LEVELS):
            line[f"steps_to_{level}"] = [entry["firsts"][level] for entry in mine]
            reached = None not in line[f"steps_to_{level}"]
            line[f"mean_{level}"] = float(np.mean(line[f"steps_to_{level}"])) if reached else None
        line["value_error"] = float(np.mean([entry["value_error"] for entry in mine]))
        table.append(line)
    for line in table:
        for level in map(str, LEVELS):
            known = line[f"mean_{level}"] and table[0][f"mean_{level}"]
            line[f"efficiency_{level}"] = table[0][f"mean_{level}"] / line[f"mean_{level}"] if known else None
    return table


def known_costs() -> dict[str, float]:
    """
    Read the measured costs.

    :return: time of a gradient step divided by that of single-goal DQN, by variant
    """
    path = RESULTS / "heads_speed_512x43.json"
    points = json.loads(path.read_text())["points"] if path.exists() else []
    found = next((point["ms"] for point in points if COSTS_AT.items() <= point.items()), None)
    return {} if found is None else {name: value / found[DQN_NAME] for name, value in found.items() if value}


def draw(table: list[dict[str, Any]], budget: int, path: Path) -> None:
    """
    Plot the steps to 99 % over the cost.

    :param table: from :func:`summarize`
    :param budget: steps of each run; a variant with a seed below 99 % is drawn there, as a triangle
    :param path: the figure to write
    """
    figure = Figure(figsize=(7, 4.6), layout="constrained")
    axes = figure.subplots()
    for line in table:
        if line["cost_by_dqn"]:
            steps = (line["mean_0.99"] or budget) / 1e3
            axes.plot(line["cost_by_dqn"], steps, "o" if line["mean_0.99"] else "^", markersize=8, label=line["variant"])
    axes.axvline(1.34, color="#8a8f9c", linestyle=":", label="34 % over single-goal DQN")
    if table[0]["mean_0.99"]:
        bound = table[0]["mean_0.99"] / 0.9 / 1e3
        axes.axhline(bound, color="#8a8f9c", linestyle="--", label="90 % of the dense head's efficiency")
    axes.set(
        xlabel="cost of a gradient step / single-goal DQN (512 goals, 43 actions, 4 x 1024)",
        ylabel="thousand steps to 99 % of the goals (triangle: not reached)",
        title="Cost against accuracy: lower left is better",
    )
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)


def format_table(table: list[dict[str, Any]]) -> str:
    """
    Format the table for the terminal.

    :param table: from :func:`summarize`
    :return: text
    """
    lines = []
    for line in table:
        cost = f"{line['cost_by_dqn']:.2f}" if line["cost_by_dqn"] else "-"
        firsts = "; ".join(f"to {100 * level:.0f} %: {line[f'steps_to_{level}']}" for level in LEVELS)
        ratios = [line[f"efficiency_{level}"] for level in LEVELS]
        efficiency = " and ".join("-" if ratio is None else f"{ratio:.2f}" for ratio in ratios)
        lines.append(f"{line['variant']:32s} cost {cost:>5s} x DQN; {firsts}; efficiency {efficiency}")
    return "\n".join(lines)


def sort_runs(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """
    Sort the runs, the dense head's first.

    :param runs: from :func:`run`
    :return: the runs in the order of ``heads_speed.LEO``, then by seed
    """
    return sorted(runs, key=lambda entry: (list(LEO).index(entry["variant"]), entry["seed"]))


def known_runs(options: argparse.Namespace) -> list[dict[str, Any]]:
    """
    Read the runs of earlier results.

    :param options: command line options
    :return: the runs of known variants
    """
    known = json.loads((RESULTS / "heads_accuracy.json").read_text())
    for key in ("steps", "net"):
        if known["options"].get(key) != getattr(options, key):
            raise ValueError(
                f"expected results with --{key} {getattr(options, key)!r}, got {known['options'].get(key)!r}; leave out --keep"
            )
    return sort_runs([entry for entry in known["runs"] if entry["variant"] in LEO])


def write(runs: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """
    Write the results and the figure.

    :param runs: all runs so far
    :param options: command line options
    """
    table = summarize(runs)
    result = {"what": __doc__.strip(), "machine": describe("numpy", "stable-baselines3", "torch"), "options": vars(options)}
    (RESULTS / "heads_accuracy.json").write_text(json.dumps({**result, "table": table, "runs": runs}, indent=2) + "\n")
    draw(table, options.steps, RESULTS / "heads_accuracy.png")


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=50_000)
    parser.add_argument("--net", choices=list(NETS), default="2 x 1024")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--keep", action="store_true", help="keep existing results and only run what is missing")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument(
        "--variants", nargs="+", choices=list(LEO), default=list(LEO), metavar="NAME", help="variants, the dense head first"
    )
    options = parser.parse_args()
    runs = known_runs(options) if options.keep else []
    known = {(entry["variant"], entry["seed"]) for entry in runs}
    tasks = [(variant, seed) for variant in options.variants for seed in range(options.seeds) if (variant, seed) not in known]
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        for future in as_completed([pool.submit(run, *task, options.steps, options.net) for task in tasks]):
            print(future.result(), flush=True)
            runs = sort_runs([*runs, future.result()])
            write(runs, options)
    write(runs, options)
    print(format_table(summarize(runs)))


if __name__ == "__main__":
    main()
