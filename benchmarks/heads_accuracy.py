"""
What cheaper heads and update rules cost in accuracy: environment steps that LEODQN needs on the paper's 16 x 16 grid world.

Run ``python benchmarks/heads_accuracy.py --jobs 2``; writes ``results/heads_accuracy.json`` and a figure of the frontier,
steps against cost. The costs are those of 512 goals, 43 actions and a net of 4 x 1024, from ``heads_speed.py --goals 512
--actions 43 --nets "4 x 1024" --rounds 20 --patience 300 --out benchmarks/results/heads_speed_512x43``.

The settings are those of ``gridworld_learning.py``, except for the net. How wide the last hidden layer must be depends on the
world, not on the layers before it: so "last 256" is tried in a net whose other layer is as wide as in the one that the costs
are about, 2 x 1024 (``--net`` for others). 90 % or 99 % is success over all reachable goals at the first of the evaluations,
one every 500 steps, that shows it; at 99 % a training ends. The efficiency is the dense head's number of steps by a variant's,
both means over seeds; unknown where a seed never gets there within the budget.
"""

import argparse
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import gridworld_learning as learning  # first: it sets the number of threads
import gymnasium as gym
import numpy as np
import torch as th
from heads_speed import DQN_NAME, LEO, leo_options
from machine import describe
from matplotlib.figure import Figure

from leo_agents import LEODQN

LEVELS = (0.9, 0.99)
NETS = {"2 x 256": [256] * 2, "2 x 512": [512] * 2, "2 x 1024": [1_024] * 2}
RESULTS = Path(__file__).parent / "results"
COSTS_AT = {"net": "4 x 1024", "actions": 43, "goals": 512}


class JudgeUntilLearned(learning.Judge):
    """Ends the training at the highest level."""

    def _on_step(self) -> bool:
        super()._on_step()
        return not self.rows or self.rows[-1]["success"] < max(LEVELS)


def run(variant: str, seed: int, steps: int, net: str) -> dict[str, Any]:
    """
    One training.

    :param variant: one of ``heads_speed.LEO``
    :param seed: its seed
    :param steps: the budget
    :param net: one of :data:`NETS`
    :return: steps to each level (None if never), and the value error in the end
    """
    th.set_num_threads(1)
    options = leo_options(variant, NETS[net])
    if options is None:
        raise ValueError(f"expected a last hidden layer that {variant!r} narrows, got a net of {net}; leave out that variant")
    env = gym.make_vec("leo/GridWorld-v0", num_envs=learning.NUM_ENVS, autoreset_mode="SameStep")
    kwargs = {**learning.SHARED, "buffer_size": steps, "target_update_interval": 1, **options}
    judge = JudgeUntilLearned(500)
    LEODQN("MultiGoalPolicy", env, seed=seed, **kwargs).learn(steps, callback=judge)
    firsts = {str(level): next((row["steps"] for row in judge.rows if row["success"] >= level), None) for level in LEVELS}
    return {"variant": variant, "seed": seed, "firsts": firsts, "value_error": judge.rows[-1]["value_error"]}


def summarise(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """
    One line a variant.

    :param runs: from :func:`run`
    :return: the table
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
    :return: milliseconds of a gradient step by those of single-goal DQN, as far as measured
    """
    path = RESULTS / "heads_speed_512x43.json"
    points = json.loads(path.read_text())["points"] if path.exists() else []
    found = next((point["ms"] for point in points if COSTS_AT.items() <= point.items()), None)
    return {} if found is None else {name: value / found[DQN_NAME] for name, value in found.items() if value}


def draw(table: list[dict[str, Any]], budget: int, path: Path) -> None:
    """
    :param table: from :func:`summarise`
    :param budget: steps of each training; a variant that did not always get there is drawn at it, as a triangle
    :param path: the picture to write
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
        xlabel="cost of a gradient step by single-goal DQN's (512 goals, 43 actions, 4 x 1024)",
        ylabel="thousand steps to 99 % of the goals (triangle: not reached)",
        title="Cost against accuracy: lower left is better",
    )
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)


def show(table: list[dict[str, Any]]) -> str:
    """
    The table for people.

    :param table: from :func:`summarise`
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


def in_order(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """
    :param runs: from :func:`run`
    :return: the same, the dense head's first
    """
    return sorted(runs, key=lambda entry: (list(LEO).index(entry["variant"]), entry["seed"]))


def known_runs(options: argparse.Namespace) -> list[dict[str, Any]]:
    """
    :param options: of the command line
    :return: the runs in the results
    """
    known = json.loads((RESULTS / "heads_accuracy.json").read_text())
    for key in ("steps", "net"):
        if known["options"].get(key) != getattr(options, key):
            raise ValueError(
                f"expected results of --{key} {getattr(options, key)!r} to keep, got {known['options'].get(key)!r}"
            )
    return in_order(known["runs"])


def write(runs: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """
    Writes everything, also of an unfinished benchmark.

    :param runs: so far
    :param options: of the command line
    """
    table = summarise(runs)
    result = {"what": __doc__.strip(), "machine": describe("numpy", "stable-baselines3", "torch"), "options": vars(options)}
    (RESULTS / "heads_accuracy.json").write_text(json.dumps({**result, "table": table, "runs": runs}, indent=2) + "\n")
    draw(table, options.steps, RESULTS / "heads_accuracy.png")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=50_000)
    parser.add_argument("--net", choices=list(NETS), default="2 x 1024")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--keep", action="store_true", help="train only what the results lack, draw all with the latest costs")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument(
        "--variants", nargs="+", choices=list(LEO), default=list(LEO), metavar="NAME", help="the dense head first"
    )
    options = parser.parse_args()
    runs = known_runs(options) if options.keep else []
    known = {(entry["variant"], entry["seed"]) for entry in runs}
    tasks = [(variant, seed) for variant in options.variants for seed in range(options.seeds) if (variant, seed) not in known]
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        for future in as_completed([pool.submit(run, *task, options.steps, options.net) for task in tasks]):
            print(future.result(), flush=True)
            runs = in_order([*runs, future.result()])
            write(runs, options)
    write(runs, options)
    print(show(summarise(runs)))


if __name__ == "__main__":
    main()
