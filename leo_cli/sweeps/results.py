"""Results of a sweep as far as its jobs have come, with the seeds of equal settings pooled."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from leo_agents.evaluation.goal_report import nan_mean
from leo_cli.results import RunResults, common_evaluations
from leo_cli.run_config import RUN_FILE, RunConfig
from leo_cli.run_folder import RunFolder, SeedFolder
from leo_cli.sweeps.folder import SweepFolder


@dataclass(frozen=True, eq=False)
class GroupResults:
    """
    Results of the trainings that differ only in their seeds.

    :param results: the seeds that have been evaluated at least once, with the final reports of those that have finished
    :param total: number of all seeds
    """

    results: RunResults
    total: int

    @property
    def finished(self) -> int:
        """Number of seeds with a final evaluation."""
        return len(self.results.reports)

    @property
    def latest(self) -> float:
        """Mean success rate at the last evaluation that all started seeds have reached; NaN without one."""
        rates = self.results.success_over_time
        return float(nan_mean(rates[-1])) if len(rates) else float("nan")

    @property
    def final(self) -> float:
        """Mean success rate in the final evaluations of the finished seeds; NaN without one."""
        return self.results.mean_success if self.finished else float("nan")

    @property
    def interval(self) -> tuple[float, float] | None:
        """Bootstrap interval of ``final`` over seeds; None for less than two."""
        return self.results.mean_interval if self.finished else None


def read_groups(sweep: SweepFolder) -> dict[str, list[GroupResults]]:
    """
    Read the results of a sweep.

    :param sweep: the sweep
    :return: for each environment, the results of each algorithm and override, the best first
    """
    runs: dict[str, list[RunFolder]] = {}
    for job in sweep.queue.states():
        if (sweep.job_path(job) / RUN_FILE).exists():
            run = RunFolder(sweep.job_path(job), sweep.trust)
            runs.setdefault(_key(run.config), []).append(run)
    by_environment: dict[str, list[list[RunFolder]]] = {}
    for group in runs.values():
        by_environment.setdefault(_environment_title(group[0].config), []).append(group)
    return {title: _read_environment(groups) for title, groups in by_environment.items()}


def _read_environment(groups: Sequence[Sequence[RunFolder]]) -> list[GroupResults]:
    labels = _labels([group[0].config for group in groups])
    read = [_read_group(group, label) for group, label in zip(groups, labels, strict=True)]
    return sorted(read, key=lambda group: (-np.nan_to_num(group.final, nan=-1.0), -np.nan_to_num(group.latest, nan=-1.0)))


def _read_group(runs: Sequence[RunFolder], label: str) -> GroupResults:
    seeds = [seed for run in runs for seed in run.seeds]
    started = [seed for seed in seeds if seed.evaluations.exists()]
    timesteps, rates = _evaluations(runs[0], started)
    reports = tuple(seed.report() for seed in started if seed.goals.exists())
    return GroupResults(RunResults(runs[0], label, tuple(started), reports, timesteps, rates), len(seeds))


def _evaluations(run: RunFolder, started: Sequence[SeedFolder]) -> tuple[Any, Any]:
    if not started:
        return np.zeros(0, dtype=np.int64), np.zeros((0, 0, len(run.config.eval_goal_ids)))
    return common_evaluations(run, started)


def _key(config: RunConfig) -> str:
    return json.dumps(asdict(replace(config, seeds=[])), sort_keys=True, default=str)


def _environment_title(config: RunConfig) -> str:
    arguments = ", ".join(f"{key}={value}" for key, value in config.env_kwargs.items())
    return config.environment.rpartition(":")[2] + (f" ({arguments})" if arguments else "")


def _labels(configs: Sequence[RunConfig]) -> list[str]:
    """Name each configuration by its algorithm, and by the settings that differ among those of the same algorithm."""
    settings = [_flat(asdict(config.settings)) for config in configs]
    labels = []
    for config, own in zip(configs, settings, strict=True):
        same = [other for one, other in zip(configs, settings, strict=True) if one.algorithm == config.algorithm]
        keys = [key for key in dict.fromkeys(key for other in same for key in other) if _differs(key, same)]
        changes = " ".join(f"{key.removeprefix('hyperparameters.')}={_short(own[key])}" for key in keys if key in own)
        labels.append(f"{config.algorithm} {changes}".strip())
    return labels


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _differs(key: str, settings: Sequence[Mapping[str, Any]]) -> bool:
    return len(Counter(str(one.get(key)) for one in settings)) > 1


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
