"""What the learning benchmarks share: many trainings, some at a time, and their results in files."""

import argparse
import csv
import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from curves import interval
from machine import describe
from tqdm import tqdm

Row = dict[str, Any]


def run_tasks(
    run: Callable[..., list[Row]], tasks: Sequence[tuple[str, int]], arguments: tuple[Any, ...], jobs: int
) -> Iterator[list[Row]]:
    """
    All trainings, with a progress bar.

    :param run: one training: takes the algorithm, the seed and the arguments, returns a row for each evaluation
    :param tasks: algorithms and seeds
    :param arguments: the same for all
    :param jobs: trainings at a time
    :return: the rows of each as it ends
    """
    with tqdm(total=len(tasks), unit="run") as bar:
        if jobs == 1:
            for task in tasks:
                bar.set_description(f"{task[0]}, seed {task[1]}")
                yield run(*task, *arguments)
                bar.update()
            return
        # Spawned, not forked: the threads of PyTorch and JAX do not survive a fork.
        with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
            for done in as_completed([pool.submit(run, *task, *arguments) for task in tasks]):
                yield done.result()
                bar.update()


def missing_tasks(rows: Sequence[Row], algorithms: Sequence[str], seeds: int) -> list[tuple[str, int]]:
    """
    What is left to train.

    :param rows: of the evaluations that there are
    :param algorithms: what is to be compared
    :param seeds: number of seeds
    :return: algorithms and seeds, seed by seed
    """
    known = {(row["algorithm"], row["seed"]) for row in rows}
    tasks = [(algorithm, seed) for seed in range(seeds) for algorithm in algorithms]
    return [task for task in tasks if task not in known]


def mean_and_half_width(key: str, values: Sequence[float]) -> Row:
    """
    A quantity's entries in the table.

    :param key: its name
    :param values: one for each seed
    :return: the mean, None where there is none, and half the width of its interval, None for a single seed
    """
    mean, half = interval(values)
    return {key: mean if np.isfinite(mean) else None, f"{key}_half_width": half if np.isfinite(half) else None}


def measured(line: Row, key: str, form: Callable[[float], str]) -> str:
    """
    A quantity for people.

    :param line: of the table
    :param key: the quantity
    :param form: how to write a number
    :return: the mean, and half the width of its interval where there is one
    """
    half = line[f"{key}_half_width"]
    return form(line[key]) + ("" if half is None else f" +- {form(half)}")


def write_results(options: argparse.Namespace, about: Row, rows: Sequence[Row], *packages: str) -> None:
    """
    Writes the table with everything it must be read with, and the rows.

    :param options: of the command line; ``options.out`` is the path without an ending
    :param about: what goes into the JSON besides
    :param rows: of all evaluations
    :param packages: distributions whose versions matter
    """
    options.out.parent.mkdir(parents=True, exist_ok=True)
    said = {key: value for key, value in vars(options).items() if key != "out"}
    result = {**about, "options": said, "machine": describe(*packages)}
    options.out.with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")
    with open(options.out.with_suffix(".csv"), "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def read_rows(path: Path) -> list[Row]:
    """
    The rows of results that were written before.

    :param path: without an ending
    :return: the rows; none if there is no such file
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
