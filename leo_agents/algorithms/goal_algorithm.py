"""Base class of all algorithms: binds one of Stable-Baselines3's algorithms to the goals of its environment."""

import io
import os
import pathlib
from collections.abc import Iterable
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch as th
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback
from stable_baselines3.common.vec_env import VecEnv

from leo_agents.algorithms.argument_types import check_argument_types, check_learning_rate
from leo_agents.algorithms.env_wrapping import check_same_goals, find_goal_sampler, wrap_multi_goal_env
from leo_agents.algorithms.normalization import NormalizingAlgorithm
from leo_agents.learning.checkpoints import resume, save_checkpoint
from leo_agents.learning.goal_agent import GoalAgent
from leo_agents.learning.model_format import MODEL_FORMAT, check_model_format
from leo_agents.learning.policy_data import attach_policy_data
from leo_agents.learning.precision import bfloat16_autocast, matmul_precision
from leo_agents.networks.goal_descriptors import Descriptors, find_descriptors
from leo_agents.networks.policies import GoalPolicyMixin
from leo_wrappers.goal_set import check_goal_names
from leo_wrappers.keys import GOAL_KEY
from leo_wrappers.sb3 import VecGoalSampler
from leo_wrappers.selection import GoalSelectorLike, make_goal_selector
from leo_wrappers.validation import (
    check_at_least,
    check_choice,
    check_fraction,
    check_integer,
    check_positive,
    check_seed,
)


class GoalAlgorithm(GoalAgent, NormalizingAlgorithm):
    """
    Mixin for one of Stable-Baselines3's algorithms, to be listed before it among the base classes.

    :param policy: policy class, or one of :attr:`policy_aliases`
    :param env: multi-goal environment
    :param goal_selector: how goals are commanded during training; None leaves the choice to the environment
    :param log_goals: whether to log the success rate of every goal
    :param tf32: whether ``learn`` computes float32 matrix products in TensorFloat-32, with CUDA
    :param kwargs: arguments of the algorithm
    """

    checkpointed: ClassVar[tuple[str, ...]] = ()
    """Attributes that exact checkpoints need in addition to those that ``save`` writes."""
    not_saved: ClassVar[tuple[str, ...]] = ()
    """Attributes that ``save`` leaves out: they are created again by ``_setup_model``."""
    default_log_interval: ClassVar[int] = 1
    learns_tasks: ClassVar[bool] = False
    """Whether the algorithm takes environments with tasks."""
    loss: str
    policy: GoalPolicyMixin  # type: ignore[assignment]
    gamma: float
    max_grad_norm: float

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Check the types of the arguments before the constructors use them."""
        check_argument_types(cls, args, kwargs)
        return super().__new__(cls)

    def __init__(
        self,
        policy: Any,
        env: GymEnv | str | None,
        *,
        goal_selector: GoalSelectorLike | None,
        log_goals: bool,
        tf32: bool,
        **kwargs: Any,
    ) -> None:
        # Resolved here because the base class rejects "MlpPolicy" and "CnnPolicy" for Dict observations.
        if isinstance(policy, str):
            check_choice("policy", policy, tuple(self.policy_aliases))
            policy = self.policy_aliases[policy]
        elif not (isinstance(policy, type) and issubclass(policy, BasePolicy)):
            raise TypeError(f'expected a policy class or its name, got {policy!r}; use "MultiGoalPolicy"')
        super().__init__(policy, env, **kwargs)
        check_seed(self.seed)
        self.goal_selector = goal_selector
        self.log_goals = log_goals
        self.tf32 = tf32
        self.goal_names: tuple[str, ...] = ()
        self.task_discounts = None
        self.task_weights = None
        self.model_format = MODEL_FORMAT

    @staticmethod
    def _wrap_env(env: GymEnv, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
        return wrap_multi_goal_env(env, verbose, monitor_wrapper)

    @property
    def goal_sampler(self) -> VecGoalSampler | None:
        """The wrapper that commands goals during training; None if each environment commands its own."""
        return find_goal_sampler(self.env)

    def set_env(self, env: GymEnv, force_reset: bool = True) -> None:
        """
        Set the environment to train in; it must have the same goals. The statistics of the goals are kept.

        :param env: the environment
        :param force_reset: whether to reset it before training
        """
        venv = self._wrap_env(env, self.verbose)
        self._check_goals(venv)
        before, after = self.goal_sampler, find_goal_sampler(venv)
        super().set_env(venv, force_reset)
        if before is not None and after is not None and before is not after:
            after.set_goal_selector(before.goal_selector)

    def learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int | None = None,
        tb_log_name: str | None = None,
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """
        Train the model, see Stable-Baselines3.

        :param total_timesteps: number of environment steps
        :param callback: called at every (vectorized) step
        :param log_interval: number of episodes (with a replay buffer, 4 if None) or rollouts (1 if None) between logs
        :param tb_log_name: name of the run for TensorBoard, the name of the class if None
        :param reset_num_timesteps: whether to start counting steps from 0
        :param progress_bar: whether to show a progress bar
        :return: the model
        """
        check_at_least("total_timesteps", total_timesteps, 0)
        if log_interval is not None:
            check_integer("log_interval", log_interval, 1)
        self._check_before_learn()
        with matmul_precision(self.device, self.tf32):
            super().learn(  # type: ignore[safe-super]
                total_timesteps,
                callback,
                self.default_log_interval if log_interval is None else log_interval,
                tb_log_name or type(self).__name__,
                reset_num_timesteps,
                progress_bar,
            )
        self._read_device()
        return self

    def save(
        self,
        path: str | pathlib.Path | io.BufferedIOBase,
        exclude: Iterable[str] | None = None,
        include: Iterable[str] | None = None,
    ) -> None:
        """
        Save the model, see Stable-Baselines3, with a description of the policy for
        :func:`~leo_agents.learning.policy_data.load_policy`.

        :param path: file
        :param exclude: names of attributes to leave out
        :param include: names of attributes to save although they are left out by default
        """
        attach_policy_data(self)
        super().save(path, exclude, include)

    @classmethod
    def load(
        cls,
        path: str | pathlib.Path | io.BufferedIOBase,
        env: GymEnv | None = None,
        device: th.device | str = "auto",
        custom_objects: dict[str, Any] | None = None,
        print_system_info: bool = False,
        force_reset: bool = True,
        **kwargs: Any,
    ) -> Self:
        """
        Load a model, see Stable-Baselines3. Models are pickles: load only those you trust, and others with
        :func:`~leo_agents.learning.policy_data.load_policy`.

        :param path: file, with or without ``.zip``
        :param env: environment to train in; not needed for prediction
        :param device: device of the networks
        :param custom_objects: objects to use instead of saved ones
        :param print_system_info: whether to print the system info of the saved model and the current one
        :param force_reset: whether to reset the environment before training
        :param kwargs: attributes to change; ``policy_kwargs`` cannot change and must be those of the training
        :return: the model
        """
        check_model_format(path)
        policy_kwargs = kwargs.pop("policy_kwargs", None)
        model = super().load(path, env, device, custom_objects, print_system_info, force_reset, **kwargs)
        # The stored arguments include those that the algorithm added.
        if policy_kwargs and not _is_part_of(policy_kwargs, model.policy_kwargs):
            stored = {name: model.policy_kwargs.get(name) for name in policy_kwargs}
            raise ValueError(
                f"expected the policy_kwargs of the training, {stored}, got {policy_kwargs}; leave policy_kwargs out"
            )
        return model

    def save_checkpoint(self, folder: str | os.PathLike[str], keep: int = 2) -> pathlib.Path:
        """
        Save everything that training needs to continue exactly, including replay buffer and environments.

        Call it between two calls of ``learn``, or use :class:`~leo_agents.learning.checkpoints.ExactCheckpoints`. Older
        checkpoints are removed once the new one is complete.

        :param folder: folder of the checkpoints
        :param keep: number of checkpoints to keep, see :class:`~leo_agents.learning.checkpoints.ExactCheckpoints`
        :return: path of the new checkpoint
        """
        return save_checkpoint(self, folder, keep)

    @classmethod
    def resume(
        cls,
        folder: str | os.PathLike[str],
        env: GymEnv | None = None,
        device: th.device | str = "auto",
    ) -> Self:
        """
        Load the newest checkpoint: the next ``learn(..., reset_num_timesteps=False)`` continues bit for bit.

        Files are verified by their checksums before they are loaded. If some are damaged, an older checkpoint is used with a
        warning, or a :class:`~leo_agents.learning.checkpoint_files.DamagedCheckpointError` is raised if there is none.
        Checkpoints are pickles: load only those you trust.

        :param folder: folder of the checkpoints
        :param env: environment, if it could not be saved or should be another one; it starts with a new episode
        :param device: device of the networks
        :return: the algorithm
        """
        return resume(cls, folder, env, device)

    def _setup_goals(self) -> None:
        """Read the goals from the environment, or check that it has the goals of the loaded model."""
        if self.env is not None:
            if self.goal_names:
                self._check_goals(self.env)
            self.goal_names = self._goals_of(self.env)
            self._read_tasks(self.env)
            self._set_goal_selector()
        elif not self.goal_names:
            raise ValueError("expected an environment to read the goals from, got None; pass env, or load a saved model")
        # Loaded from JSON, which has no tuples.
        self.goal_names = tuple(self.goal_names)
        # A copy: the base class keeps the user's dict.
        self.policy_kwargs = {**self.policy_kwargs, "goal_names": self.goal_names}

    def _known_descriptors(self) -> Descriptors | None:
        return None if self.env is None else find_descriptors(self.env)

    def _read_tasks(self, env: VecEnv) -> None:
        """Read discounts and preferences of an environment with tasks, whose values have no bounds."""
        if not env.has_attr("task_discounts"):
            return
        if not self.learns_tasks:
            raise ValueError(
                f"expected an environment with goals, got one with tasks, which {type(self).__name__} cannot learn; use "
                "LEODQN, LEOPQN, LEOTD3 or LEOSAC"
            )
        if self.policy_kwargs.get("squash", False):
            raise ValueError("expected squash=False for tasks, whose values have no bounds, got True; leave it out")
        discounts = env.get_attr("task_discounts", 0)[0]
        self.task_discounts = tuple(self.gamma if discount is None else discount for discount in discounts)
        self.task_weights = env.get_attr("task_weights", 0)[0]
        self.loss = "squared"
        self.policy_kwargs = {**self.policy_kwargs, "squash": False}

    def _set_goal_selector(self) -> None:
        if self.goal_selector is None:
            return
        sampler = self.goal_sampler
        if sampler is None:
            raise ValueError(
                "expected an environment without commanded goals for goal_selector, got one that commands its own; leave out "
                "GoalConditionedWrapper or goal_selector"
            )
        sampler.set_goal_selector(make_goal_selector(self.goal_selector, sampler.goal_names, self.seed))

    def _setup_learn(self, *args: Any, **kwargs: Any) -> Any:
        # Before the environments are reset, for which goals are chosen.
        if self.goal_sampler is not None:
            self.goal_sampler.goal_selector.value_function = self.values
        return super()._setup_learn(*args, **kwargs)

    def _explore_after_success(self, actions: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Replace the actions of the environments in which the goal sampler explores; the same array if there are none."""
        return actions if self.goal_sampler is None else self.goal_sampler.explore(actions)

    @staticmethod
    def _goals_of(env: VecEnv) -> tuple[str, ...]:
        # Asked first: the worker processes of a SubprocVecEnv end if an attribute is missing.
        if not env.has_attr("goal_names"):
            raise ValueError(
                f"expected an environment with goal_names and {GOAL_KEY!r}, got one without names; use GoalConditionedWrapper"
            )
        return check_goal_names(env.get_attr("goal_names", 0)[0])

    def _check_goals(self, env: VecEnv) -> None:
        check_same_goals(tuple(self.goal_names), self._goals_of(env), "an environment")
        if self.task_discounts is not None and not env.has_attr("task_discounts"):
            raise ValueError("expected an environment with the tasks of the model, got one with goals; use TaskWrapper")

    def _check_options(self) -> None:
        """Raise an error for invalid arguments before anything is allocated."""
        check_fraction("gamma", self.gamma)
        check_positive("max_grad_norm", self.max_grad_norm)
        check_learning_rate(self.learning_rate)
        check_integer("stats_window_size", self._stats_window_size, 1)

    def _check_before_learn(self) -> None:
        """Raise a ``ValueError`` if the model cannot be trained as it is."""
        if self.env is None:
            raise ValueError("expected an environment to train in, got None; pass one to set_env or load(..., env=...)")

    def _update_info_buffer(self, infos: Any, dones: npt.NDArray[np.bool_] | None = None) -> None:
        # Only infos of finished episodes matter here, and those of parallel environments are created on access.
        rows = np.arange(len(infos)) if dones is None else np.flatnonzero(dones)
        super()._update_info_buffer([infos[row] for row in rows.tolist()], None if dones is None else dones[rows])

    def _read_device(self) -> None:
        """Called at the end of ``learn``, to read what the device has recorded since it was last read."""

    def _autocast(self, enabled: bool) -> th.autocast:
        return bfloat16_autocast(self.device, enabled)

    def _log_goals(self) -> None:
        """Log aggregates over the goals and, if ``log_goals``, the success rate of each goal (not to the terminal)."""
        sampler = self.goal_sampler
        if sampler is None:
            return
        selector = sampler.goal_selector
        tried = selector.attempts > 0
        self.logger.record("goals/seen", int(selector.seen.sum()))
        self.logger.record("goals/commanded", int(tried.sum()))
        if tried.any():
            rates = selector.successes[tried] / selector.attempts[tried]
            self.logger.record("goals/success_rate", float(selector.successes.sum() / selector.attempts.sum()))
            self.logger.record("goals/success_rate_worst_decile", float(np.quantile(rates, 0.1)))
        if self.log_goals:
            for goal_id in np.flatnonzero(tried).tolist():
                rate = float(selector.successes[goal_id] / selector.attempts[goal_id])
                self.logger.record(f"goal/{self.goal_names[goal_id]}", rate, exclude=("stdout", "log"))

    def _excluded_save_params(self) -> list[str]:
        # The selector may be a function; the environment that a loaded model gets has its own.
        return [*super()._excluded_save_params(), "goal_selector", *self.not_saved]


def _is_part_of(value: Any, stored: Any) -> bool:
    """Whether a value equals the stored one, where stored dictionaries may have more entries and tuples became lists."""
    if isinstance(value, dict) and isinstance(stored, dict):
        return all(key in stored and _is_part_of(entry, stored[key]) for key, entry in value.items())
    if isinstance(value, list | tuple | np.ndarray) and isinstance(stored, list | tuple | np.ndarray):
        return len(value) == len(stored) and all(_is_part_of(one, other) for one, other in zip(value, stored, strict=True))
    return bool(value == stored)
