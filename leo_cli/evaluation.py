"""How well the agents of a run achieve each goal."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.vec_env import VecEnv

from leo_agents.evaluation import GoalReport, evaluate_goals
from leo_cli.environments import Environment, available_cores
from leo_cli.interrupts import Stop, Stopped
from leo_cli.outputs import check_output
from leo_cli.run_folder import RunFolder, SeedFolder, load_agent

# More environments than this at once gain nothing, and those in JAX take long to compile.
_MOST_AT_ONCE = 256
_OBJECTS_AT_ONCE = 8
# Fewer episodes than this are over before other processes have started.
_WORTH_PROCESSES = 100
SEED = 10_000
"""Evaluations play other episodes than the training."""


def evaluation_envs(environment: Environment, num_goals: int, episodes: int = 1, cores: int = 1) -> VecEnv:
    """
    :param environment: the environment
    :param num_goals: how many goals will be commanded
    :param episodes: how often each
    :param cores: how many processes may run, where the environments are so many objects
    :return: many at once
    """
    if environment.is_native:
        return environment.make_many(min(num_goals, _MOST_AT_ONCE))
    if cores > 1 and num_goals * episodes >= _WORTH_PROCESSES:
        return environment.make_many(cores, processes=True)
    return environment.make_many(min(num_goals, _OBJECTS_AT_ONCE))


def evaluate_seed(
    run: RunFolder,
    seed: SeedFolder,
    environment: Environment,
    *,
    episodes: int | None = None,
    goals: list[int] | None = None,
    first_seed: int = SEED,
    max_steps: int | None = None,
    cores: int | None = None,
    progress_bar: bool = False,
    stop: Stop | None = None,
) -> GoalReport:
    """
    Commands every goal and counts.

    :param run: the run
    :param seed: one of its trainings
    :param environment: where
    :param episodes: attempts at each goal; as the run's settings say when None
    :param goals: only these ids, without writing the seed's ``goals.csv``; all that the run is judged by when None
    :param first_seed: seeds the environments
    :param max_steps: give an attempt up after this many steps; as the run's settings say when None
    :param cores: how many to use; all when None
    :param progress_bar: show one
    :param stop: asked for an early end, raises :class:`~leo_cli.interrupts.Stopped` and writes nothing
    :return: what was found
    """
    judged = run.config.settings.evaluation
    partial = seed.goals.with_suffix(".partial")
    if goals is None:
        check_output(partial)
    ids = run.config.judged if goals is None else goals
    cores = available_cores() if cores is None else cores
    agent = load_agent(run, seed)
    if stop is not None:
        agent = _Stoppable(agent, stop)
    episodes = judged.final_episodes if episodes is None else episodes
    envs = evaluation_envs(environment, len(ids), episodes, cores)
    threads = th.get_num_threads()
    th.set_num_threads(cores)
    try:
        report = evaluate_goals(
            agent,
            envs,
            episodes,
            first_seed,
            goals=ids,
            max_steps=judged.max_steps if max_steps is None else max_steps,
            epsilon=judged.random_actions,
            progress_bar=progress_bar,
        )
    finally:
        th.set_num_threads(threads)
        envs.close()
    if goals is None:
        # Never half of a table, whatever happens.
        report.to_csv(partial)
        partial.replace(seed.goals)
    return report


class _Stoppable:
    """A model that asks before each step whether to go on."""

    def __init__(self, model: Any, stop: Stop) -> None:
        self.model, self.stop = model, stop

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        if self.stop.requested:
            raise Stopped
        return self.model.predict(*args, **kwargs)


def evaluate_where_missing(runs: Sequence[RunFolder]) -> None:
    """
    Evaluates the trainings that nobody has evaluated yet: those that were stopped before their end.

    :param runs: the runs
    """
    for run in runs:
        missing = [seed for seed in run.begun if not seed.goals.exists()]
        environment = run.config.make_environment() if missing else None
        for seed in missing:
            print(f"Evaluating seed {seed.seed} of {run.path} over {len(run.config.judged)} goals ...", flush=True)
            assert environment is not None
            evaluate_seed(run, seed, environment)


def pooled(reports: list[GoalReport]) -> GoalReport:
    """
    Several reports about the same goals as one, as if all attempts were made by one agent.

    :param reports: at least one
    :return: their sum

    Example::

        >>> report = GoalReport(("a", "b"), [0, 1], attempts=[2, 2], already_true=[0, 0], steps=([3, 5], []))
        >>> pooled([report, report]).attempts
        array([4, 4])
    """
    first = reports[0]
    steps = tuple(np.concatenate([report.steps[index] for report in reports]) for index in range(len(first)))
    attempts, already = (sum(getattr(report, name) for report in reports) for name in ("attempts", "already_true"))
    return GoalReport(first.goal_names, first.goal_ids, attempts, already, steps, first.positions, first.axes)
