"""Evaluation during training."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium.vector import VectorEnv
from stable_baselines3.common.callbacks import BaseCallback, EventCallback
from stable_baselines3.common.vec_env import VecEnv, sync_envs_normalization

from leo_agents.algorithms.goal_env import has_point_goals
from leo_agents.evaluation.curves import append_to_curve, start_curve
from leo_agents.evaluation.evaluate import as_vec_env, check_epsilon, check_model, evaluate_goals, goal_vec_env
from leo_agents.evaluation.goal_report import LEARNED, GoalReport, Goals, nan_mean, select_goals
from leo_agents.evaluation.random_goals import check_observations, checked_points, evaluate_random_goals, point_goal_env
from leo_wrappers.validation import check_bool, check_fraction, check_instance, check_integer, check_path, check_seed


class GoalEvalCallback(EventCallback):
    """
    Callback that evaluates every goal at regular intervals, as Stable-Baselines3's ``EvalCallback`` evaluates rewards.

    Logs ``eval/goal_success_mean``, ``eval/goal_success_worst`` (mean of the worst tenth of the goals),
    ``eval/goals_learned`` (number of goals with a success rate of at least ``learned_threshold``) and
    ``eval/goal_steps_mean``. Evaluation does not change the training: random states and goal statistics are restored.

    With ``csv_path``, each evaluation appends one row per goal to a CSV file. A training resumed from a checkpoint
    (``reset_num_timesteps=False``) continues the file and reads the best success rate so far from it, after dropping rows
    that were written after the checkpoint. A training that starts at step 0 overwrites the file.

    In a goal environment without a finite goal set, where any point is a goal, each evaluation attempts given points, or 100
    goals that the environment draws, see :func:`~leo_agents.evaluation.random_goals.evaluate_random_goals`.

    :param eval_env: separate multi-goal environments for evaluation, of any kind that
        :func:`~leo_agents.evaluation.evaluate.evaluate_goals` accepts; wrapped in ``VecNormalize`` if the training ones are
    :param eval_freq: evaluate every ``eval_freq`` calls of the callback; a call is N steps with N training environments, so
        pass ``max(eval_freq // n_envs, 1)``
    :param episodes_per_goal: number of episodes per goal
    :param goals: evaluate only these goals: names, indices or a mask over all goals; points ``[M, d]`` if any point is a goal
    :param seed: seed of each evaluation, so that all have the same episodes; None leaves the environments unseeded
    :param deterministic: whether to use deterministic actions
    :param max_steps: maximum number of steps per attempt
    :param epsilon: probability of a random action, see :func:`~leo_agents.evaluation.evaluate.evaluate_goals`
    :param csv_path: CSV file for the results
    :param best_model_save_path: folder for ``best_model.zip``, the model with the best mean success rate
    :param learned_threshold: success rate from which a goal counts as learned
    :param callback_on_new_best: callback to trigger when the mean success rate is a new best
    :param callback_after_eval: callback to trigger after every evaluation
    :param verbose: 0 for no output, 1 for one line per evaluation, 2 for a table
    :param progress_bar: show a progress bar for each evaluation

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
        goals: Goals | npt.ArrayLike | None = None,
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
        for name, callback in (("callback_on_new_best", callback_on_new_best), ("callback_after_eval", callback_after_eval)):
            if callback is not None:
                check_instance(name, callback, BaseCallback, "pass a callback of Stable-Baselines3")
        check_integer("verbose", verbose, 0, 2)
        super().__init__(callback_after_eval, verbose=verbose)
        check_integer("eval_freq", eval_freq, 1)
        check_integer("episodes_per_goal", episodes_per_goal, 1)
        if max_steps is not None:
            check_integer("max_steps", max_steps, 1)
        check_epsilon(epsilon)
        check_fraction("learned_threshold", learned_threshold)
        check_seed(seed)
        for name, flag in (("deterministic", deterministic), ("progress_bar", progress_bar)):
            check_bool(name, flag)
        for name, path in (("csv_path", csv_path), ("best_model_save_path", best_model_save_path)):
            if path is not None:
                check_path(name, path)
        venv = as_vec_env(eval_env)
        self.has_point_goals = has_point_goals(venv)
        self.eval_env = point_goal_env(venv) if self.has_point_goals else goal_vec_env(venv)
        self.eval_freq = eval_freq
        self.episodes_per_goal = episodes_per_goal
        self.goals: Any = goals
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
        # Stable-Baselines3's callbacks that stop training read these attributes of their parent.
        self.last_mean_reward = -np.inf
        self.best_mean_reward = -np.inf

    def _init_callback(self) -> None:
        """Check the arguments before training rather than at the first evaluation."""
        if self.eval_env.unwrapped is self.training_env.unwrapped:
            raise ValueError(
                "expected separate environments for evaluation, got those of the training, whose episodes it would interrupt; "
                "create others"
            )
        self._check_goals()
        self._sync_normalization()
        if self.best_model_save_path is not None:
            self.best_model_save_path.mkdir(parents=True, exist_ok=True)
        if self.callback_on_new_best is not None:
            self.callback_on_new_best.init_callback(self.model)

    def _check_goals(self) -> None:
        if self.has_point_goals:
            check_observations(self.model, self.eval_env)
            self.goals = None if self.goals is None else checked_points(self.goals, self.eval_env)
            return
        names = check_model(self.model, self.eval_env)
        self.goals = None if self.goals is None else select_goals(names, self.goals)

    def _on_training_start(self) -> None:
        super()._on_training_start()
        if self.callback_on_new_best is not None:
            self.callback_on_new_best.on_training_start(self.locals, self.globals)
        # Counts calls since step 0, so that a resumed training is evaluated at the same steps as an uninterrupted one.
        self.n_calls = self.num_timesteps // self.training_env.num_envs
        if self.csv_path is not None:
            best_so_far = start_curve(self.csv_path, self.num_timesteps)
            self.best_mean_reward = max(self.best_mean_reward, best_so_far)

    def _on_step(self) -> bool:
        if self.n_calls % self.eval_freq != 0:
            return True
        self._sync_normalization()
        with restored_random_states():
            report = self._evaluate()
        self.last_report = report
        self._log(report)
        if self.csv_path is not None:
            append_to_curve(self.csv_path, self.num_timesteps, report)
        continue_training = True
        if report.mean_success > self.best_mean_reward:  # False for NaN
            continue_training = self._on_new_best(report)
        return self._on_event() and continue_training

    def _evaluate(self) -> GoalReport:
        evaluate = evaluate_random_goals if self.has_point_goals else evaluate_goals
        return evaluate(
            self.model,
            self.eval_env,
            episodes_per_goal=self.episodes_per_goal,
            seed=self.seed,
            goals=self.goals,
            deterministic=self.deterministic,
            max_steps=self.max_steps,
            epsilon=self.epsilon,
            progress_bar=self.progress_bar,
        )

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
        # Dump now, so that the values are logged at this step.
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
                f"expected evaluation environments wrapped like those of the training, {_layers(self.training_env)}, got "
                f"{_layers(self.eval_env)}; use the same wrappers, with VecNormalize(..., training=False)"
            ) from error

    def update_child_locals(self, locals_: dict[str, Any]) -> None:
        """
        Update the references to the training's local variables in the child callbacks.

        :param locals_: the local variables
        """
        for callback in (self.callback, self.callback_on_new_best):
            if callback is not None:
                callback.update_locals(locals_)


@contextmanager
def restored_random_states() -> Iterator[None]:
    """Restore the global random states, which the model and the environments may draw from."""
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
