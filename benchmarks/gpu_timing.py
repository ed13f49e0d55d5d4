"""Timing on a GPU, and a result file that is complete after every row: parts of ``gpu_speed.py``."""

import gc
import json
import statistics
import time
import traceback
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch as th
from machine import describe
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

TOP_KERNELS = 15


def synchronize() -> None:
    """Wait for the work that PyTorch has started on the GPU, if there is one."""
    if th.cuda.is_available():
        th.cuda.synchronize()


class ResultFile:
    """
    Rows of results, written after every row.

    :param path: the JSON file
    :param what: description of the benchmark
    :param seconds: rows that would start later than this are skipped
    """

    def __init__(self, path: Path, what: str, seconds: float) -> None:
        self.path, self.started, self.seconds = path, time.perf_counter(), seconds
        gpu = th.cuda.get_device_name() if th.cuda.is_available() else None
        machine = {**describe("craftax", "jax", "jaxlib", "numpy", "stable-baselines3", "torch"), "gpu": gpu}
        self.content: dict[str, Any] = {"what": what, "machine": machine, "rows": []}
        path.parent.mkdir(parents=True, exist_ok=True)
        self.write()

    def write(self) -> None:
        """Write everything so far, replacing the file at once."""
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(self.content, indent=1) + "\n")
        partial.replace(self.path)

    @property
    def seconds_left(self) -> float:
        """Time in which rows may start."""
        return self.seconds - (time.perf_counter() - self.started)

    def row(self, name: str, measure: Callable[[], dict[str, Any]], **settings: Any) -> None:
        """
        Add a row of measurements; if they fail, it has the error.

        :param name: what is measured
        :param measure: returns the measurements
        :param settings: settings of the row
        """
        started = time.perf_counter()
        if self.seconds_left < 0:
            measured: dict[str, Any] = {"skipped": f"{self.seconds:.0f} seconds were over"}
        else:
            measured = _guarded(measure)
        row = {"name": name, **settings, **measured, "seconds": time.perf_counter() - started}
        self.content["rows"].append(row)
        self.write()
        shown = {key: _rounded(value) for key, value in row.items() if key not in ("traceback", "top_kernels")}
        print(json.dumps(shown), flush=True)


def _guarded(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return measurements, or the error, with the memory that they needed, which is free afterwards."""
    try:
        measured = measure()
    except NotImplementedError as missing:
        measured = {"skipped": str(missing)}
    except Exception as error:
        measured = {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()[-3000:]}
    gc.collect()
    if th.cuda.is_available():
        measured["gpu_memory_gb"] = th.cuda.max_memory_allocated() / 1e9
        th.cuda.empty_cache()
        th.cuda.reset_peak_memory_stats()
    return measured


def _rounded(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def median_ms(function: Callable[[], Any], rounds: int) -> float:
    """
    Time a function.

    :param function: the function
    :param rounds: number of measurements
    :return: median of its wall-clock milliseconds, until the GPU has finished
    """
    times = []
    for _ in range(rounds):
        synchronize()
        started = time.perf_counter()
        function()
        synchronize()
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def time_iterations(model: OnPolicyAlgorithm, transitions: int, rounds: int) -> dict[str, float]:
    """
    Time iterations of an on-policy algorithm.

    :param model: the algorithm, after its first iteration
    :param transitions: environment steps of an iteration
    :param rounds: number of measurements
    :return: median milliseconds of the rollout, the update, and the whole iteration
    """
    times: dict[str, list[float]] = defaultdict(list)

    def timed(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            result: list[Any] = []
            times[part].append(median_ms(lambda: result.append(function(*args, **kwargs)), 1))
            return result[0]

        return call

    parts = {"rollout": "collect_rollouts", "update": "train"}
    for part, name in parts.items():
        setattr(model, name, timed(part, getattr(model, name)))
    for _ in range(rounds):
        times["iteration"].append(median_ms(lambda: model.learn(transitions, reset_num_timesteps=False), 1))
    for name in parts.values():
        delattr(model, name)
    return {part: statistics.median(values) for part, values in times.items()}


def gpu_activity(function: Callable[[], Any]) -> dict[str, Any]:
    """
    Measure when the GPU is busy, by PyTorch's profiler.

    :param function: the work
    :return: fraction of the time without a kernel, number of kernels, and milliseconds of those that take most; empty without
        a GPU
    """
    if not th.cuda.is_available():
        return {}
    with th.profiler.profile(activities=[th.profiler.ProfilerActivity.CUDA]) as profiler:
        wall = median_ms(function, 1)
    busy, end, kernels = 0.0, 0, 0
    by_name: dict[str, float] = defaultdict(float)
    events = profiler.profiler.kineto_results.events()
    for start, duration, name in sorted(
        (event.start_ns(), event.duration_ns(), event.name()) for event in events if event.device_type().name == "CUDA"
    ):
        kernels += 1
        by_name[name[:100]] += duration / 1e6
        busy += max(0, start + duration - max(start, end)) / 1e6
        end = max(end, start + duration)
    top = sorted(by_name.items(), key=lambda item: -item[1])[:TOP_KERNELS]
    return {"profiled_ms": wall, "busy_ms": busy, "idle": 1 - busy / wall, "kernels": kernels, "top_kernels": dict(top)}
