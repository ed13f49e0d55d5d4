"""Train one seed of a run, from its newest checkpoint if there is one."""

import warnings
from typing import Any, cast

from stable_baselines3.common.callbacks import CallbackList

from leo_agents.algorithms.env_wrapping import find_goal_sampler
from leo_agents.algorithms.offline_learning import OfflineLearning
from leo_agents.evaluation import GoalDiagnosticsCallback, GoalEvalCallback
from leo_agents.learning.checkpoints import ExactCheckpoints, why_not_exact
from leo_agents.replay.goal_dataset import GoalDataset
from leo_cli.callbacks import ProgressCallback, StopCallback
from leo_cli.discoveries import Discoveries
from leo_cli.disk_space import check_checkpoint_space
from leo_cli.environments import Environment, available_cores
from leo_cli.evaluation import evaluate_seed, make_evaluation_envs
from leo_cli.interrupts import StopSignal
from leo_cli.logger import make_logger
from leo_cli.models import explain_full_disk, make_model
from leo_cli.progress import Display
from leo_cli.run_folder import RunFolder, SeedFolder
from leo_cli.tracking import make_tracker

_NUM_CHECKPOINTS = 10


def train_seed(
    run: RunFolder, seed: SeedFolder, environment: Environment, stop: StopSignal, display: Display, device: str, jobs: int = 1
) -> None:
    """
    Train a seed for its remaining steps, then evaluate it.

    :param run: the run
    :param seed: the seed
    :param environment: the environment to train in
    :param stop: request to stop; raises :class:`~leo_cli.interrupts.Interrupted` after a checkpoint
    :param display: shows the progress
    :param device: PyTorch device
    :param jobs: number of trainings that share the machine
    """
    config, settings = run.config, run.config.settings
    if not seed.is_trained:
        model = make_model(run, seed, environment, device)
        seed.path.mkdir(parents=True, exist_ok=True)
        check_checkpoint_space(seed.path, model, settings.keep, jobs)
        seed.goals.unlink(missing_ok=True)
        evaluation = GoalEvalCallback(
            make_evaluation_envs(environment, len(config.eval_goal_ids)),
            eval_freq=max(settings.steps // settings.evaluation.count // settings.num_envs, 1),
            episodes_per_goal=settings.evaluation.episodes,
            goals=config.evaluated,
            max_steps=settings.evaluation.max_steps,
            epsilon=settings.evaluation.epsilon,
            csv_path=seed.evaluations,
            verbose=0,
        )
        checkpoints = ExactCheckpoints(seed.checkpoints, max(settings.steps // _NUM_CHECKPOINTS, 1), settings.keep)
        if why_not_exact(model.env) is not None:
            message = "checkpoints do not contain the state of this environment: a resumed training starts new episodes"
            display.print(f"seed {seed.seed}: {message}")
        progress = ProgressCallback(display, seed.title, settings.steps, evaluation)
        last = StopCallback(stop, seed.checkpoints, settings.keep)
        callbacks = CallbackList([evaluation, *_diagnostics(model, evaluation), progress, checkpoints, last])
        model.set_logger(make_logger(seed.path, seed.progress, model.num_timesteps, make_tracker(run, seed)))
        with explain_full_disk(run, seed):
            try:
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", message="The checkpoint leaves out the environment")  # printed above
                    steps = settings.steps - model.num_timesteps
                    if config.dataset is None:
                        model.learn(steps, callbacks, reset_num_timesteps=False)
                    else:
                        dataset, offline_model = GoalDataset.load(config.dataset), cast(OfflineLearning, model)
                        offline_model.learn_offline(dataset, steps, callbacks, reset_num_timesteps=False)
            finally:
                progress.close()
                sampler = find_goal_sampler(model.env)
                if sampler is not None and config.dataset is None:
                    Discoveries.of(sampler.goal_selector).write(seed.discoveries)
                model.logger.close()
                for env in (evaluation.eval_env, model.env):
                    if env is not None:
                        env.close()
    if not seed.goals.exists():
        display.print(f"seed {seed.seed}: evaluating {len(config.eval_goal_ids)} goals ...")
        cores = max(available_cores() // jobs, 1)
        display.print(f"seed {seed.seed}:\n{evaluate_seed(run, seed, environment, cores=cores, stop=stop)}\n")


def _diagnostics(model: Any, evaluation: GoalEvalCallback) -> list[GoalDiagnosticsCallback]:
    """Return the callback that logs as often as goals are evaluated; none if it does not know the algorithm or the goals."""
    if not (hasattr(model, "probe") and model.goal_names):
        return []
    return [GoalDiagnosticsCallback(evaluation.eval_freq * model.n_envs)]
