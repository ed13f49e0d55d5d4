"""Shared parts of the learning benchmarks: options, parallel training runs, periodic evaluation and result files."""

import argparse
import csv
import json
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from curves import interval
from machine import describe
from stable_baselines3.common.callbacks import BaseCallback
from tqdm import tqdm

Row = dict[str, Any]


class PeriodicEval(BaseCallback):
    """
    Evaluates the agent periodically and excludes the evaluations from the training time.

    :param evaluate: returns the results of one evaluation of the model
    :param every: environment steps between evaluations
    :param clock: measures the training time
    """

    def __init__(self, evaluate: Callable[[Any], Row], every: int, clock: Callable[[], float] = time.process_time) -> None:
        super().__init__()
        self.evaluate, self.clock = evaluate, clock
        self.every, self.next_due = every, every
        self.rows: list[Row] = []
        self.evaluation_seconds = 0.0

    def _on_training_start(self) -> None:
        self.started = self.clock()

    def _on_step(self) -> bool:
        if self.num_timesteps >= self.next_due:
            self.next_due += self.every
            self.record(self.evaluate)
        return True

    def record(self, evaluate: Callable[[Any], Row]) -> None:
        """
        Add the results of an evaluation, in place of earlier ones at the same step.

        :param evaluate: returns the results of one evaluation of the model
        """
        started = self.clock()
        row = {"steps": self.num_timesteps, "seconds": started - self.started - self.evaluation_seconds}
        self.rows = [other for other in self.rows if other["steps"] != self.num_timesteps]
        self.rows.append(row | evaluate(self.model))
        self.evaluation_seconds += self.clock() - started


def add_options(
    parser: argparse.ArgumentParser, agents_option: str, agents: Sequence[str], default: Sequence[str], seeds: int
) -> None:
    """
    Add the options that all learning benchmarks share, except ``--steps``.

    :param parser: the parser to extend
    :param agents_option: the option that selects agents
    :param agents: all agents
    :param default: the agents trained by default
    :param seeds: the default number of seeds
    """
    parser.add_argument("--every", type=int, default=None, help="environment steps between evaluations")
    parser.add_argument("--seeds", type=int, default=seeds, help="number of seeds")
    parser.add_argument(agents_option, nargs="+", choices=agents, default=list(default), metavar="NAME", dest="agents")
    parser.add_argument("--jobs", type=int, default=1, help="parallel training runs; no more than there are idle cores")
    parser.add_argument("--keep", action="store_true", help="keep existing results and only run what is missing")
    parser.add_argument("--out", type=Path, default=None, help="path of the results without extension")


def train_all(
    run: Callable[..., list[Row]],
    arguments: tuple[Any, ...],
    options: argparse.Namespace,
    order: Sequence[str],
    write: Callable[[list[Row], argparse.Namespace], list[Row]],
) -> list[Row]:
    """
    Train every selected agent with every seed, and write the results after each run.

    :param run: trains one agent: takes its name, the seed and ``arguments``, returns a row per evaluation
    :param arguments: further arguments of ``run``
    :param options: command line options, from :func:`add_options`
    :param order: all agents, in the order of the results
    :param write: writes all rows so far and returns the table
    :return: the table
    """
    rows = read_rows(options.out) if options.keep else []
    table = write(rows, options) if rows else []
    done = {(row["algorithm"], row["seed"]) for row in rows}
    tasks = [(agent, seed) for seed in range(options.seeds) for agent in options.agents if (agent, seed) not in done]
    for finished in _run_tasks(run, tasks, arguments, options.jobs):
        rows = sorted([*rows, *finished], key=lambda row: (order.index(row["algorithm"]), row["seed"], row["steps"]))
        table = write(rows, options)
    return table


def _run_tasks(
    run: Callable[..., list[Row]], tasks: Sequence[tuple[str, int]], arguments: tuple[Any, ...], jobs: int
) -> Iterator[list[Row]]:
    with tqdm(total=len(tasks), unit="run") as bar:
        if jobs == 1:
            for task in tasks:
                bar.set_description(f"{task[0]}, seed {task[1]}")
                yield run(*task, *arguments)
                bar.update()
            return
        # Spawn, because the threads of PyTorch and JAX do not survive a fork.
        with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
            for future in as_completed([pool.submit(run, *task, *arguments) for task in tasks]):
                yield future.result()
                bar.update()


def curves_by_seed(rows: Sequence[Row]) -> dict[str, dict[int, list[Row]]]:
    """
    Group the rows of all evaluations.

    :param rows: rows of all runs
    :return: rows by agent and seed
    """
    curves: dict[str, dict[int, list[Row]]] = {}
    for row in rows:
        curves.setdefault(row["algorithm"], {}).setdefault(row["seed"], []).append(row)
    return curves


def steps_to_success(curves: dict[int, list[Row]], level: float) -> list[int | None]:
    """
    Return for each seed the steps at the first evaluation with at least this success.

    :param curves: rows by seed
    :param level: success rate
    :return: environment steps, None if the level was not reached
    """
    return [next((row["steps"] for row in curve if row["success"] >= level), None) for curve in curves.values()]


def mean_and_half_width(key: str, values: Sequence[float]) -> Row:
    """
    Return the entries of one quantity in the table.

    :param key: its name
    :param values: one per seed
    :return: the mean (None if not finite) and the half width of its interval (None for a single seed)
    """
    mean, half = interval(values)
    return {key: mean if np.isfinite(mean) else None, f"{key}_half_width": half if np.isfinite(half) else None}


def format_quantity(line: Row, key: str, form: Callable[[float], str]) -> str:
    """
    Format one quantity for the terminal.

    :param line: a line of the table
    :param key: the quantity
    :param form: formats a number
    :return: the mean, with the half width of its interval if there is one
    """
    half = line[f"{key}_half_width"]
    return form(line[key]) + ("" if half is None else f" +- {form(half)}")


def write_results(options: argparse.Namespace, about: Row, rows: Sequence[Row], *packages: str) -> None:
    """
    Write the table with options and machine as JSON, and the rows as CSV.

    :param options: command line options; ``options.out`` is the path without extension
    :param about: further entries of the JSON file
    :param rows: rows of all runs
    :param packages: distributions whose versions to record
    """
    options.out.parent.mkdir(parents=True, exist_ok=True)
    recorded = {key: value for key, value in vars(options).items() if key != "out"}
    result = {**about, "options": recorded, "machine": describe(*packages)}
    options.out.with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")
    with open(options.out.with_suffix(".csv"), "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def read_rows(path: Path) -> list[Row]:
    """
    Read the rows of earlier results.

    :param path: path without extension
    :return: the rows, empty if there is no such file
    """
    path = path.with_suffix(".csv")
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return [{key: _number(text) for key, text in row.items()} for row in csv.DictReader(file)]


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
