"""Evaluation in the midst of training."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium.vector import VectorEnv
from stable_baselines3.common.callbacks import BaseCallback, EventCallback
from stable_baselines3.common.vec_env import VecEnv, sync_envs_normalization

from leo_agents.evaluation.curves import append_to_curve, start_curve
from leo_agents.evaluation.evaluate import check_model, check_epsilon, evaluate_goals, goal_vec_env
from leo_agents.evaluation.goal_report import LEARNED, GoalReport, Goals, nan_mean, select_goals


class GoalEvalCallback(EventCallback):
    """
    Evaluates every goal now and then, as Stable-Baselines3's ``EvalCallback`` evaluates rewards.

    Logs ``eval/goal_success_mean``, ``eval/goal_success_worst`` (mean of the worst tenth of the goals),
    ``eval/goals_learned`` (how many have a success rate of at least ``learned_threshold``) and ``eval/goal_steps_mean``.
    Training goes on exactly as it would have without the callback.

    With ``csv_path`` every evaluation adds a row for each goal to a table. A training that goes on from a checkpoint
    (``reset_num_timesteps=False``) continues the table, and knows the best success so far from it; rows of a later time,
    which the interrupted training still wrote, give way. A training that counts from 0 starts the table anew.

    :param eval_env: multi-goal environments of its own, not those of the training, of any kind that
        :func:`~leo_agents.evaluation.evaluate.evaluate_goals` takes; wrapped in ``VecNormalize`` if the training's are
    :param eval_freq: evaluate every so many calls of the callback; with N training environments a call is N steps, so
        divide by N: ``max(eval_freq // n_envs, 1)``
    :param episodes_per_goal: number of episodes with each goal
    :param goals: only these: names, indices or a mask over all goals
    :param seed: every evaluation plays the same episodes; None lets the environments go on with their own randomness
    :param deterministic: let the model act without exploring
    :param max_steps: give an attempt up after this many steps
    :param epsilon: share of uniformly random actions, see
        :func:`~leo_agents.evaluation.evaluate.evaluate_goals`
    :param csv_path: the table to write
    :param best_model_save_path: the folder to save the model in, as ``best_model.zip``, whenever its mean success is best
    :param learned_threshold: the least success rate of a goal that counts as learned
    :param callback_on_new_best: called after each evaluation with a new best mean success
    :param callback_after_eval: called after every evaluation
    :param verbose: 0 for silence, 1 for a line an evaluation, 2 for a table
    :param progress_bar: show the progress of each evaluation

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from leo_agents import LEODQN
        >>> env, eval_env = (gym.make("leo/GridWorld-v0", max_episode_steps=20) for _ in range(2))
        >>> callback = GoalEvalCallback(eval_env, eval_freq=50, goals=["cell/0,0"], verbose=0)
        >>> model = LEODQN("MultiGoalPolicy", env, seed=0).learn(100, callback)
        >>> callback.last_report
        GoalReport(1 goals, 1 attempts, mean success 0.000)
    """

    def __init__(
        self,
        eval_env: gym.Env[Any, Any] | VectorEnv[Any, Any, Any] | VecEnv,
        eval_freq: int = 10_000,
        episodes_per_goal: int = 1,
        goals: Goals | None = None,
        *,
        seed: int | None = 0,
        deterministic: bool = True,
        max_steps: int | None = None,
        epsilon: float = 0.0,
        csv_path: str | os.PathLike[str] | None = None,
        best_model_save_path: str | os.PathLike[str] | None = None,
        learned_threshold: float = LEARNED,
        callback_on_new_best: BaseCallback | None = None,
        callback_after_eval: BaseCallback | None = None,
        verbose: int = 1,
        progress_bar: bool = False,
    ) -> None:
        super().__init__(callback_after_eval, verbose=verbose)
        if eval_freq < 1 or episodes_per_goal < 1:
            raise ValueError(
                f"expected eval_freq and episodes_per_goal of at least 1, got {eval_freq} and {episodes_per_goal}"
            )
        check_epsilon(epsilon)
        self.eval_env = goal_vec_env(eval_env)
        self.eval_freq = eval_freq
        self.episodes_per_goal = episodes_per_goal
        self.goals = goals
        self.seed = seed
        self.deterministic = deterministic
        self.max_steps = max_steps
        self.epsilon = epsilon
        self.csv_path = None if csv_path is None else Path(csv_path)
        self.best_model_save_path = None if best_model_save_path is None else Path(best_model_save_path)
        self.learned_threshold = learned_threshold
        self.callback_on_new_best = callback_on_new_best
        if callback_on_new_best is not None:
            callback_on_new_best.parent = self
        self.progress_bar = progress_bar
        self.last_report: GoalReport | None = None
        # The names by which Stable-Baselines3's callbacks that stop training know how their parent is doing.
        self.last_mean_reward = -np.inf
        self.best_mean_reward = -np.inf

    def _init_callback(self) -> None:
        """Finds out before the training what would go wrong at the first evaluation."""
        if self.eval_env.unwrapped is self.training_env.unwrapped:
            raise ValueError(
                "expected environments of its own for the evaluation, got those of the training, whose episodes it would "
                "break off; make others"
            )
        names = check_model(self.model, self.eval_env)
        if self.goals is not None:
            select_goals(names, self.goals)
        self._sync_normalization()
        if self.best_model_save_path is not None:
            self.best_model_save_path.mkdir(parents=True, exist_ok=True)
        if self.callback_on_new_best is not None:
            self.callback_on_new_best.init_callback(self.model)

    def _on_training_start(self) -> None:
        super()._on_training_start()
        if self.callback_on_new_best is not None:
            self.callback_on_new_best.on_training_start(self.locals, self.globals)
        # Counted from the training's beginning, so that one that was interrupted is evaluated when it would have been.
        self.n_calls = self.num_timesteps // self.training_env.num_envs
        if self.csv_path is not None:
            best_so_far = start_curve(self.csv_path, self.num_timesteps)
            self.best_mean_reward = max(self.best_mean_reward, best_so_far)

    def _on_step(self) -> bool:
        if self.n_calls % self.eval_freq != 0:
            return True
        self._sync_normalization()
        with _randomness_kept():
            report = evaluate_goals(
                self.model,
                self.eval_env,
                self.episodes_per_goal,
                self.seed,
                goals=self.goals,
                deterministic=self.deterministic,
                max_steps=self.max_steps,
                epsilon=self.epsilon,
                progress_bar=self.progress_bar,
            )
        self.last_report = report
        self._log(report)
        if self.csv_path is not None:
            append_to_curve(self.csv_path, self.num_timesteps, report)
        continue_training = True
        if report.mean_success > self.best_mean_reward:  # never for NaN
            continue_training = self._on_new_best(report)
        return self._on_event() and continue_training

    def _log(self, report: GoalReport) -> None:
        self.last_mean_reward = report.mean_success
        learned = report.num_learned(self.learned_threshold)
        if self.verbose >= 1:
            summary = f"mean success {report.mean_success:.3f}, {learned} of {len(report)} goals learned"
            print(f"Evaluation at {self.num_timesteps} steps: {summary}")
        if self.verbose >= 2:
            print(report)
        means = {
            "eval/goal_success_mean": report.mean_success,
            "eval/goal_success_worst": report.worst_decile,
            "eval/goal_steps_mean": nan_mean(report.mean_steps),
        }
        for name, value in means.items():
            if not np.isnan(value):
                self.logger.record(name, value)
        self.logger.record("eval/goals_learned", learned)
        # At once, so that the numbers belong to this very step.
        self.logger.record("time/total_timesteps", self.num_timesteps, exclude="tensorboard")
        self.logger.dump(self.num_timesteps)

    def _on_new_best(self, report: GoalReport) -> bool:
        self.best_mean_reward = report.mean_success
        if self.best_model_save_path is not None:
            self.model.save(self.best_model_save_path / "best_model")
        return self.callback_on_new_best is None or self.callback_on_new_best.on_step()

    def _sync_normalization(self) -> None:
        if self.model.get_vec_normalize_env() is None:
            return
        try:
            sync_envs_normalization(self.training_env, self.eval_env)
        except (AssertionError, AttributeError) as error:
            raise ValueError(
                f"expected the evaluation's environments to be wrapped as the training's, {_layers(self.training_env)}, got "
                f"{_layers(self.eval_env)}; wrap them alike, with VecNormalize(..., training=False)"
            ) from error

    def update_child_locals(self, locals_: dict[str, Any]) -> None:
        """
        Passes on the training's local variables.

        :param locals_: the variables
        """
        for callback in (self.callback, self.callback_on_new_best):
            if callback is not None:
                callback.update_locals(locals_)


@contextmanager
def _randomness_kept() -> Iterator[None]:
    """Whatever the model or an environment draws from the global generators, the training goes on as if it had not."""
    python, numpy, torch = random.getstate(), np.random.get_state(), th.get_rng_state()
    cuda = th.cuda.get_rng_state_all() if th.cuda.is_initialized() else None  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        th.set_rng_state(torch)
        if cuda is not None:
            th.cuda.set_rng_state_all(cuda)


def _layers(venv: VecEnv) -> str:
    inner = getattr(venv, "venv", None)
    return type(venv).__name__ if inner is None else f"{type(venv).__name__}({_layers(inner)})"
