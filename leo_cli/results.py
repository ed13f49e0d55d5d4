"""Results of runs, read from their files: success over the training and at its end."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from leo_agents.evaluation import GoalReport, LearningCurve, read_curve
from leo_agents.evaluation.chart_data import SuccessCurve
from leo_agents.evaluation.curves import NoEvaluationsError
from leo_agents.evaluation.goal_report import LEARNED, FloatArray, IntArray, nan_mean
from leo_cli.bootstrap import interquartile_mean, stratified_interval
from leo_cli.discoveries import Discoveries
from leo_cli.evaluation import pool_reports
from leo_cli.run_folder import RunFolder, SeedFolder, run_labels

_CURVE_REPETITIONS = 400


@dataclass(frozen=True, eq=False)
class RunResults:
    """
    Results of one run.

    :param run: the run
    :param label: name of the run in tables and figures
    :param seeds: trainings with a checkpoint
    :param reports: final report of each seed
    :param timesteps: steps at which all seeds were evaluated, ``[T]``
    :param rates: success rates over the training, ``[seeds, T, G]``; NaN without attempts
    """

    run: RunFolder
    label: str
    seeds: tuple[SeedFolder, ...]
    reports: tuple[GoalReport, ...]
    timesteps: IntArray
    rates: FloatArray

    @cached_property
    def report(self) -> GoalReport:
        """Final report, pool_reports over seeds."""
        return pool_reports(list(self.reports))

    @property
    def steps(self) -> int:
        """Environment steps of each training."""
        return max(seed.steps_done or 0 for seed in self.seeds)

    @property
    def num_seeds_text(self) -> str:
        """Number of seeds with its unit."""
        return f"{len(self.seeds)} seed{'s' * (len(self.seeds) > 1)}"

    @cached_property
    def final_scores(self) -> FloatArray:
        """Final success rates of the goals that every seed attempted, ``[seeds, goals]``."""
        scores = np.stack([report.success_rate for report in self.reports])
        return scores[:, ~np.isnan(scores).any(axis=0)]

    @property
    def mean_success(self) -> float:
        """Final success rate, mean over goals and seeds."""
        return self.report.mean_success

    @cached_property
    def mean_interval(self) -> tuple[float, float] | None:
        """Bootstrap interval of the mean over seeds; None for a single seed."""
        return stratified_interval(self.final_scores, mean=True) if self.final_scores.size else None

    @property
    def iqm(self) -> float:
        """Final success rate, interquartile mean over goals and seeds."""
        return float(interquartile_mean(self.final_scores)) if self.final_scores.size else float("nan")

    @cached_property
    def iqm_interval(self) -> tuple[float, float] | None:
        """Bootstrap interval of the interquartile mean over seeds; None for a single seed."""
        return stratified_interval(self.final_scores) if self.final_scores.size else None

    @cached_property
    def discoveries(self) -> tuple[Discoveries, ...]:
        """When each seed first achieved each goal; empty if some seed has not recorded it."""
        paths = [seed.discoveries for seed in self.seeds]
        if not all(path.exists() for path in paths):
            return ()
        return tuple(Discoveries.read(path, self.run.config.goals) for path in paths)

    @property
    def never_achieved(self) -> list[str]:
        """Names of the goals without a success in the final evaluation."""
        failed = (self.report.attempts > 0) & (self.report.successes == 0)
        return [self.report.goal_names[index] for index in np.flatnonzero(failed)]

    @cached_property
    def success_over_time(self) -> FloatArray:
        """Success rate of each goal over time, mean over seeds, ``[T, G]``; NaN without attempts."""
        known = ~np.isnan(self.rates)
        total = np.where(known, self.rates, 0.0).sum(axis=0)
        return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)

    @cached_property
    def success_curve(self) -> SuccessCurve:
        """Mean success rate and number of learned goals over time, with a 95 % bootstrap interval over seeds."""
        mean = np.array([nan_mean(rates) for rates in self.success_over_time])
        num_learned: FloatArray = (self.rates >= LEARNED).sum(axis=2).mean(axis=0)
        return SuccessCurve(self.label, self.timesteps, mean, num_learned, self._curve_interval())

    def _curve_interval(self) -> FloatArray | None:
        intervals = []
        for rates in self.rates.swapaxes(0, 1):
            scores = rates[:, ~np.isnan(rates).any(axis=0)]
            interval = stratified_interval(scores, mean=True, repetitions=_CURVE_REPETITIONS) if scores.size else None
            if interval is None:
                return None
            intervals.append(interval)
        return np.array(intervals).T if intervals else None


def read_results(runs: Sequence[RunFolder]) -> list[RunResults]:
    """
    Read the results of runs.

    :param runs: runs with the same goals and a final evaluation
    :return: results of each run
    """
    return [_read_run(run, label) for run, label in zip(runs, run_labels(runs), strict=True)]


def goal_order(results: Sequence[RunResults]) -> tuple[IntArray, dict[str, int]]:
    """
    Order goals by family, and within a family by success over time, then by final success, highest first.

    :param results: results of the runs
    :return: indices of the goals in this order, and the position of each family's first goal in it
    """
    final = np.sum([np.nan_to_num(result.report.success_rate) for result in results], axis=0)
    over_time = [np.nan_to_num(result.success_over_time).mean(axis=0) for result in results if len(result.timesteps)]
    score = np.sum(over_time, axis=0) + 1e-3 * final
    order: list[int] = []
    starts = {}
    for family, ids in results[0].report.families.items():
        starts[family] = len(order)
        order += ids[np.argsort(-score[ids], kind="stable")].tolist()
    return np.array(order), starts


def _read_run(run: RunFolder, label: str) -> RunResults:
    seeds = run.started_seeds
    reports = tuple(seed.report() for seed in seeds)
    for seed, report in zip(seeds, reports, strict=True):
        if report.goal_ids.tolist() != run.config.eval_goal_ids:
            raise ValueError(
                f"expected the {len(run.config.eval_goal_ids)} goals of {run.path} in {seed.goals}, got {len(report)} others; "
                f"run `leo eval {run.path}`"
            )
    timesteps, rates = common_evaluations(run, seeds)
    return RunResults(run, label, tuple(seeds), reports, timesteps, rates)


def common_evaluations(run: RunFolder, seeds: Sequence[SeedFolder]) -> tuple[IntArray, FloatArray]:
    """
    Read the evaluations at the steps that all seeds reached: some may have been interrupted earlier.

    :param run: the run, for its goals
    :param seeds: at least one seed
    :return: the steps, ``[T]``, and the success rates, ``[seeds, T, G]``
    """
    num_goals = len(run.config.eval_goal_ids)
    try:
        curves = [_read_curve(seed, num_goals) for seed in seeds]
    except NoEvaluationsError:
        curves = []
    common = curves[0].timesteps if curves else np.zeros(0, dtype=np.int64)
    for curve in curves[1:]:
        common = np.intersect1d(common, curve.timesteps)
    if not len(common):
        return common, np.zeros((len(seeds), 0, num_goals))
    return common, np.stack([curve.success_rate[np.isin(curve.timesteps, common)] for curve in curves])


def _read_curve(seed: SeedFolder, num_goals: int) -> LearningCurve:
    remedy = "restore it, or train again into another folder"
    try:
        curve = read_curve(seed.evaluations)
    except NoEvaluationsError:
        raise
    except FileNotFoundError as error:
        raise FileNotFoundError(f"expected {seed.evaluations}, got no such file; {remedy}") from error
    except ValueError as error:
        raise ValueError(f"{error}; {remedy}") from error
    if curve.success_rate.shape[1] != num_goals:
        raise ValueError(f"expected {num_goals} goals in {seed.evaluations}, got {curve.success_rate.shape[1]}; {remedy}")
    return curve
