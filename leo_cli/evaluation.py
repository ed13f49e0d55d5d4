"""Evaluate the agents of a run on each goal."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.vec_env import VecEnv

from leo_agents.evaluation import GoalReport, evaluate_goals, evaluate_random_goals
from leo_agents.evaluation.goal_report import FloatArray
from leo_cli.environments import Environment, available_cores
from leo_cli.interrupts import Interrupted, StopSignal
from leo_cli.models import load_agent
from leo_cli.outputs import check_inside, check_output
from leo_cli.run_folder import RunFolder, SeedFolder

# More vectorized environments are no faster, and JAX compiles them slowly.
_MAX_VECTORIZED_ENVS = 256
_MAX_DUMMY_ENVS = 8
# Fewer episodes are over before other processes have started.
_MIN_EPISODES_FOR_PROCESSES = 100
SEED = 10_000
"""Default seed of evaluations, so that their episodes differ from those of training."""


def make_evaluation_envs(environment: Environment, num_goals: int, episodes: int = 1, cores: int = 1) -> VecEnv:
    """
    Create as many parallel environments as an evaluation can use.

    :param environment: the environment
    :param num_goals: number of goals to evaluate
    :param episodes: episodes per goal
    :param cores: maximum number of processes, if the environment is not vectorized
    :return: the environments
    """
    if environment.is_vectorized:
        return environment.make_vec(min(num_goals, _MAX_VECTORIZED_ENVS))
    if cores > 1 and num_goals * episodes >= _MIN_EPISODES_FOR_PROCESSES:
        return environment.make_vec(cores, processes=True)
    return environment.make_vec(min(num_goals, _MAX_DUMMY_ENVS))


def evaluate_seed(
    run: RunFolder,
    seed: SeedFolder,
    environment: Environment,
    *,
    episodes: int | None = None,
    goals: list[int] | FloatArray | None = None,
    first_seed: int = SEED,
    max_steps: int | None = None,
    cores: int | None = None,
    progress_bar: bool = False,
    stop: StopSignal | None = None,
) -> GoalReport:
    """
    Evaluate the newest checkpoint of a seed on each goal.

    :param run: the run
    :param seed: a seed with a checkpoint
    :param environment: the environment to evaluate in
    :param episodes: episodes per goal; from the run's settings by default
    :param goals: goals to evaluate, ids or (if any point is a goal) points, without writing ``goals.csv``; by default those of
        the run, whose results are written
    :param first_seed: seed of the environments
    :param max_steps: maximum number of steps per episode; from the run's settings by default
    :param cores: number of processor cores; all by default
    :param progress_bar: show a progress bar
    :param stop: polled before each step; raises :class:`~leo_cli.interrupts.Interrupted` before anything is written
    :return: success rate and steps for each goal
    """
    settings = run.config.settings.evaluation
    partial = seed.goals.with_suffix(".partial")
    if goals is None:
        check_inside(seed.path, run.path)
        check_output(partial)
    chosen = run.config.evaluated if goals is None else goals
    cores = available_cores() if cores is None else cores
    agent = load_agent(run, seed)
    episodes = settings.final_episodes if episodes is None else episodes
    envs = make_evaluation_envs(environment, len(chosen), episodes, cores)
    threads = th.get_num_threads()
    th.set_num_threads(cores)
    try:
        evaluate = evaluate_goals if run.config.points is None else evaluate_random_goals
        report = evaluate(
            agent if stop is None else _InterruptibleModel(agent, stop),
            envs,
            episodes_per_goal=episodes,
            seed=first_seed,
            goals=chosen,
            max_steps=settings.max_steps if max_steps is None else max_steps,
            epsilon=settings.epsilon,
            progress_bar=progress_bar,
        )
    finally:
        th.set_num_threads(threads)
        envs.close()
    if goals is None:
        # Written to another file first, so that goals.csv is always complete.
        report.to_csv(partial)
        partial.replace(seed.goals)
    return report


class _InterruptibleModel:
    """Model whose ``predict`` raises :class:`~leo_cli.interrupts.Interrupted` once a stop is requested."""

    def __init__(self, model: Any, stop: StopSignal) -> None:
        self.model, self.stop = model, stop

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        if self.stop.requested:
            raise Interrupted
        return self.model.predict(*args, **kwargs)


def evaluate_missing(runs: Sequence[RunFolder]) -> None:
    """
    Evaluate the seeds that have no ``goals.csv`` because their training was stopped early.

    :param runs: the runs
    """
    for run in runs:
        missing = [seed for seed in run.started_seeds if not seed.goals.exists()]
        if not missing:
            continue
        environment = run.config.find_environment()
        for seed in missing:
            print(f"Evaluating seed {seed.seed} of {run.path} on {len(run.config.eval_goal_ids)} goals ...", flush=True)
            evaluate_seed(run, seed, environment)


def pool_reports(reports: list[GoalReport]) -> GoalReport:
    """
    Combine the reports of several agents as if one agent had made all attempts.

    :param reports: at least one report; all on the same goals
    :return: the sum of all attempts

    Example::

        >>> report = GoalReport(("a", "b"), [0, 1], attempts=[2, 2], already_true=[0, 0], steps=([3, 5], []))
        >>> pool_reports([report, report]).attempts
        array([4, 4])
    """
    first = reports[0]
    steps = tuple(np.concatenate([report.steps[index] for report in reports]) for index in range(len(first)))
    attempts, already = (sum(getattr(report, name) for report in reports) for name in ("attempts", "already_true"))
    return GoalReport(first.goal_names, first.goal_ids, attempts, already, steps, first.positions, first.axes)
