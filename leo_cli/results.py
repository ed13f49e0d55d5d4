"""What a run has to tell, read from its files: curves over its seeds, and how well each goal is reached in the end."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from leo_agents.evaluation import GoalReport, read_curve
from leo_agents.evaluation.goal_report import FloatArray, IntArray, nan_mean
from leo_cli.bootstrap import interquartile_mean, stratified_interval
from leo_cli.evaluation import pool_reports
from leo_cli.run_folder import RunFolder, SeedFolder, run_labels

_CURVE_REPETITIONS = 400


@dataclass(frozen=True, eq=False)
class Story:
    """
    One run.

    :param run: the run
    :param label: what to call it
    :param seeds: its trainings that were begun
    :param reports: success in the end, one for each of them
    :param timesteps: when all of them were evaluated, ``[T]``
    :param rates: success over the training, ``[seeds, T, goals]``, NaN where a goal was not attempted
    """

    run: RunFolder
    label: str
    seeds: tuple[SeedFolder, ...]
    reports: tuple[GoalReport, ...]
    timesteps: IntArray
    rates: FloatArray

    @cached_property
    def report(self) -> GoalReport:
        """Success in the end, all seeds together."""
        return pool_reports(list(self.reports))

    @property
    def steps(self) -> int:
        """Environment steps of each training."""
        return max(seed.steps_done or 0 for seed in self.seeds)

    @cached_property
    def final_scores(self) -> FloatArray:
        """Success rates in the end of the goals that every seed attempted, ``[seeds, goals]``."""
        scores = np.stack([report.success_rate for report in self.reports])
        return scores[:, ~np.isnan(scores).any(axis=0)]

    @property
    def mean_success(self) -> float:
        """Over goals and seeds."""
        return self.report.mean_success

    @cached_property
    def mean_interval(self) -> tuple[float, float] | None:
        """Of the mean over other seeds; None for one seed."""
        return stratified_interval(self.final_scores, mean=True) if self.final_scores.size else None

    @property
    def iqm(self) -> float:
        """Interquartile mean of success over goals and seeds."""
        return float(interquartile_mean(self.final_scores)) if self.final_scores.size else float("nan")

    @cached_property
    def iqm_interval(self) -> tuple[float, float] | None:
        """Of the interquartile mean; None for one seed."""
        return stratified_interval(self.final_scores) if self.final_scores.size else None

    @property
    def never_achieved(self) -> list[str]:
        """Goals that no attempt in the end achieved."""
        lost = (self.report.attempts > 0) & (self.report.successes == 0)
        return [self.report.goal_names[index] for index in np.flatnonzero(lost)]

    @cached_property
    def heat(self) -> FloatArray:
        """Success at each goal over time, mean over seeds, ``[T, goals]``; NaN where never attempted."""
        known = ~np.isnan(self.rates)
        total = np.where(known, self.rates, 0.0).sum(axis=0)
        return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)

    @cached_property
    def curve(self) -> FloatArray:
        """Mean success over the training, ``[T]``."""
        return np.array([nan_mean(rates) for rates in self.heat])

    @cached_property
    def curve_interval(self) -> FloatArray | None:
        """Its interval over other seeds, ``[2, T]``; None for one seed."""
        ends = []
        for rates in self.rates.swapaxes(0, 1):
            scores = rates[:, ~np.isnan(rates).any(axis=0)]
            interval = stratified_interval(scores, mean=True, repetitions=_CURVE_REPETITIONS) if scores.size else None
            if interval is None:
                return None
            ends.append(interval)
        return np.array(ends).T

    @cached_property
    def learned_curve(self) -> FloatArray:
        """How many goals are achieved at least half of the time, mean over seeds, ``[T]``."""
        counts: FloatArray = (self.rates >= 0.5).sum(axis=2).mean(axis=0)
        return counts


def read_stories(runs: Sequence[RunFolder]) -> list[Story]:
    """
    :param runs: runs about the same goals, evaluated in the end
    :return: what they tell
    """
    return [_read_story(run, label) for run, label in zip(runs, run_labels(runs), strict=True)]


def _read_story(run: RunFolder, label: str) -> Story:
    seeds = run.started_seeds
    reports = tuple(seed.report() for seed in seeds)
    for seed, report in zip(seeds, reports, strict=True):
        if report.goal_ids.tolist() != run.config.eval_goal_ids:
            raise ValueError(
                f"expected the {len(run.config.eval_goal_ids)} goals of {run.path} in {seed.goals}, got {len(report)} others; "
                f"run `leo eval {run.path}`"
            )
    timesteps, rates = _common_curves(run, seeds)
    return Story(run, label, tuple(seeds), reports, timesteps, rates)


def _common_curves(run: RunFolder, seeds: Sequence[SeedFolder]) -> tuple[IntArray, FloatArray]:
    """What the seeds have in common: one may have been stopped earlier than the others."""
    num_goals = len(run.config.eval_goal_ids)
    nothing = np.zeros(0, dtype=np.int64), np.zeros((len(seeds), 0, num_goals))
    curves = []
    for seed in seeds:
        try:
            curves.append(read_curve(seed.evaluations))
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"expected {seed.evaluations}, got no such file; restore it, or train again into another folder"
            ) from error
        except ValueError as error:
            if "got none" in str(error):  # stopped before the first evaluation
                return nothing
            raise ValueError(f"{error}; restore it, or train again into another folder") from error
    common = curves[0].timesteps
    for curve in curves[1:]:
        common = np.intersect1d(common, curve.timesteps)
    if any(curve.success_rate.shape[1] != num_goals for curve in curves):
        file = next(s.evaluations for s, c in zip(seeds, curves, strict=True) if c.success_rate.shape[1] != num_goals)
        raise ValueError(f"expected {num_goals} goals in {file}, got others; restore it, or train again into another folder")
    rows = [curve.success_rate[np.isin(curve.timesteps, common)] for curve in curves]
    return (common, np.stack(rows)) if len(common) else nothing
