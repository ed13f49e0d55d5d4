"""Trains the seeds of a run from where each of them is."""

import warnings
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.logger import KVWriter, Logger, TensorBoardOutputFormat

from leo_agents.evaluation import GoalEvalCallback
from leo_agents.learning.checkpoints import ExactCheckpoints, latest_checkpoint, resume, save_checkpoint, why_not_exact
from leo_cli.algorithms import find_algorithm
from leo_cli.environments import Environment, available_cores
from leo_cli.evaluation import evaluate_seed, evaluation_envs
from leo_cli.interrupts import Stop, Stopped
from leo_cli.progress import ContinuedCsv, Display, TrainingBar
from leo_cli.run_folder import RunFolder, SeedFolder, check_space, damaged

_CHECKPOINTS = 10


class StopAtRollout(BaseCallback):
    """
    Ends the training on request, between two rollouts: the one moment from which it can go on bit for bit.

    :param stop: the request
    :param folder: of the checkpoints
    """

    def __init__(self, stop: Stop, folder: Path) -> None:
        super().__init__()
        self.stop, self.folder = stop, folder

    def _on_rollout_start(self) -> None:
        if self.stop.requested:
            save_checkpoint(self.model, self.folder)
            raise Stopped

    def _on_step(self) -> bool:
        return True


def train_run(run: RunFolder, stop: Stop, display: Display, device: str = "auto", jobs: int = 1) -> None:
    """
    Trains what is left to train of a run.

    :param run: the run
    :param stop: asked for an early end, raises :class:`~leo_cli.interrupts.Stopped` after a checkpoint
    :param display: where to report
    :param device: where to compute
    :param jobs: how many seeds at once
    """
    environment = run.config.make_environment()  # the right one, before any process is started
    left = [seed for seed in run.seeds if not is_done(run, seed)]
    if not left:
        display.say("Nothing is left to train; raise --steps to go on.")
    elif jobs > 1 and len(left) > 1:
        from leo_cli.parallel import train_in_processes

        train_in_processes(run, left, stop, display, device, min(jobs, len(left)))
    else:
        for seed in left:
            train_seed(run, seed, environment, stop, display, device)


def is_done(run: RunFolder, seed: SeedFolder) -> bool:
    """
    :param run: the run
    :param seed: one of its trainings
    :return: whether it is trained and evaluated
    """
    return is_trained(run, seed) and seed.goals.exists()


def is_trained(run: RunFolder, seed: SeedFolder) -> bool:
    """
    :param run: the run
    :param seed: one of its trainings
    :return: whether it has all of its steps
    """
    return (seed.steps_done or 0) >= run.config.settings.steps


def title_of(run: RunFolder, seed: SeedFolder) -> str:
    """
    :param run: the run
    :param seed: one of its trainings
    :return: what to call it
    """
    return f"{run.config.algorithm}, seed {seed.seed}"


def train_seed(
    run: RunFolder, seed: SeedFolder, environment: Environment, stop: Stop, display: Display, device: str, at_once: int = 1
) -> None:
    """
    Trains what is left to train of one seed, and evaluates it.

    :param run: the run
    :param seed: one of its trainings
    :param environment: what to train in
    :param stop: asked for an early end
    :param display: where to report
    :param device: where to compute
    :param at_once: so many trainings share the machine
    """
    if not is_trained(run, seed):
        _learn(run, seed, environment, stop, display, device, at_once)
    if not seed.goals.exists():
        display.say(f"seed {seed.seed}: evaluating {len(run.config.judged)} goals ...")
        cores = max(available_cores() // at_once, 1)
        display.say(f"seed {seed.seed}:\n{evaluate_seed(run, seed, environment, cores=cores, stop=stop)}\n")


def _learn(
    run: RunFolder, seed: SeedFolder, environment: Environment, stop: Stop, display: Display, device: str, at_once: int
) -> None:
    config, settings = run.config, run.config.settings
    model = make_model(run, seed, environment, device)
    seed.path.mkdir(parents=True, exist_ok=True)
    check_space(seed.path, at_once * checkpoint_size(model))
    seed.goals.unlink(missing_ok=True)
    evaluation = GoalEvalCallback(
        evaluation_envs(environment, len(config.judged)),
        eval_freq=max(settings.steps // settings.evaluation.count // settings.num_envs, 1),
        episodes_per_goal=settings.evaluation.episodes,
        goals=config.judged,
        max_steps=settings.evaluation.max_steps,
        epsilon=settings.evaluation.random_actions,
        csv_path=seed.evaluations,
        verbose=0,
    )
    if why_not_exact(model.env) is not None:
        told = "checkpoints leave out this environment's state: a resumed training begins with new episodes"
        display.say(f"seed {seed.seed}: {told}")
    bar = TrainingBar(display, title_of(run, seed), settings.steps, evaluation)
    checkpoints = ExactCheckpoints(seed.checkpoints, max(settings.steps // _CHECKPOINTS, 1))
    callbacks = [evaluation, bar, checkpoints, StopAtRollout(stop, seed.checkpoints)]
    writers: list[KVWriter] = [ContinuedCsv(seed.progress, model.num_timesteps)]
    writers += _tensorboard(seed.path)
    model.set_logger(Logger(str(seed.path), writers))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The checkpoint leaves out the environment")  # said already
            model.learn(settings.steps - model.num_timesteps, CallbackList(callbacks), reset_num_timesteps=False)
            save_checkpoint(model, seed.checkpoints)
    finally:
        bar.stop()
        model.logger.close()
        for env in (evaluation.eval_env, model.env):
            if env is not None:
                env.close()


def make_model(run: RunFolder, seed: SeedFolder, environment: Environment, device: str) -> BaseAlgorithm:
    """
    A fresh model, or the one of the newest checkpoint.

    :param run: the run
    :param seed: one of its trainings
    :param environment: what to train in
    :param device: where to compute
    :return: the model
    """
    config = run.config
    algorithm = find_algorithm(config.algorithm)
    settings = config.settings
    if seed.steps_done is None:
        envs = environment.make_many(settings.num_envs)
        return algorithm.build(envs, seed.seed, device, settings.hyperparameters)
    checkpoint = latest_checkpoint(seed.checkpoints)
    # Where the environment could not be saved a new one begins with a new episode.
    env = None if (checkpoint / "env.pkl").exists() else environment.make_many(settings.num_envs)
    try:
        return resume(algorithm.kind, seed.checkpoints, env, device)
    except Exception as error:  # whatever unpickling a damaged file may raise
        raise damaged(checkpoint, run, error) from error


def checkpoint_size(model: BaseAlgorithm) -> int:
    """
    :param model: the algorithm
    :return: bytes that its checkpoints need on disk, at most: a new one lies beside the old one for a moment
    """
    buffer = getattr(model, "replay_buffer", None)
    weights = sum(parameter.numel() * parameter.element_size() for parameter in model.policy.parameters())
    # The optimiser keeps two moments of each weight.
    return 2 * (3 * weights + (0 if buffer is None else _array_bytes(vars(buffer))))


def _array_bytes(value: Any) -> int:
    if isinstance(value, dict):
        return sum(_array_bytes(part) for part in value.values())
    return int(getattr(value, "nbytes", 0))


def _tensorboard(folder: Path) -> list[KVWriter]:
    try:
        return [TensorBoardOutputFormat(str(folder))]
    except (AssertionError, ImportError):  # not installed: the table holds the same numbers
        return []
