"""Base class of the Dual LEO algorithms: a teacher of all goals next to a student of the commanded goal."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from stable_baselines3.common.utils import FloatSchedule, update_learning_rate
from stable_baselines3.common.vec_env import VecEnv

from leo_agents.algorithms.argument_types import check_learning_rate
from leo_agents.algorithms.goal_algorithm import GoalAlgorithm
from leo_agents.algorithms.on_policy_algorithm import resolve_defaults, with_paper_network
from leo_agents.dual_leo.jump_start import JumpStart
from leo_agents.dual_leo.pretrained_teacher import (
    PretrainedTeacher,
    check_teacher_fits,
    check_teacher_kwargs,
    network_of,
)
from leo_agents.learning.losses import check_loss_options
from leo_agents.learning.rollout_q_learner import TARGET_ROWS, RolloutQLearner
from leo_agents.leo_pqn import LEOPQNPolicy
from leo_agents.networks.goal_descriptors import GoalInput, choose_descriptors
from leo_agents.networks.heads import warn_of_dense_head
from leo_agents.networks.normalization import NormalizingPolicy
from leo_agents.replay.goal_rollout_buffer import GoalRolloutBuffer, fitting_batch_size, warn_of_batch_size
from leo_wrappers.goal_set import BoolArray
from leo_wrappers.keys import GOAL_KEY
from leo_wrappers.validation import check_fraction, check_integer, check_positive


class DualGoalAlgorithm(GoalAlgorithm):
    """
    Mixin for the student's algorithm, to be listed before it among the base classes. The teacher learns all goals from the
    student's rollouts, with random numbers of its own: a student that ignores the teacher trains as if there were none.

    The parameters are those of :class:`~leo_agents.dual_leo.DualLEOPQN`; ``kwargs`` are arguments of the student's algorithm.
    """

    not_saved: ClassVar[tuple[str, ...]] = ("teacher", "_pretrained_teacher")
    action_space: spaces.Discrete
    teacher: RolloutQLearner
    n_steps: int
    batch_size: int

    def __init__(
        self,
        policy: Any,
        env: GymEnv | str,
        *,
        teacher: PretrainedTeacher | None,
        teacher_update_fraction: float,
        teacher_kwargs: dict[str, Any] | None,
        jump_start: JumpStart | None,
        goal_input: GoalInput,
        descriptors: npt.ArrayLike | None,
        n_steps: int,
        batch_size: int,
        seed: int | None,
        _init_setup_model: bool,
        **kwargs: Any,
    ) -> None:
        check_fraction("teacher_update_fraction", teacher_update_fraction)
        if teacher is None and teacher_update_fraction == 0.0:
            raise ValueError("expected a pretrained teacher for teacher_update_fraction=0, got None; pass teacher=...")
        check_teacher_kwargs(teacher, teacher_kwargs)
        if _init_setup_model:
            batch_size = checked_batch_size(env, n_steps, batch_size)
        elif isinstance(env, VecEnv):
            # A model is being loaded, with defaults instead of its own arguments: nothing to warn of.
            batch_size = fitting_batch_size(n_steps, env.num_envs, batch_size)
        super().__init__(policy, env, n_steps=n_steps, batch_size=batch_size, seed=seed, _init_setup_model=False, **kwargs)
        self._pretrained_teacher = teacher
        self.teacher_update_fraction = teacher_update_fraction
        self.teacher_kwargs = {**network_of(teacher), **(teacher_kwargs or {})}
        self.jump_start = copy.deepcopy(jump_start)
        self.goal_input, self.descriptors = goal_input, descriptors
        self._teacher_seed = int(np.random.default_rng(seed).integers(2**31))
        if self.jump_start is not None:
            if not isinstance(self.jump_start, JumpStart):
                raise TypeError(
                    f"expected jump_start to be a JumpStart, got {jump_start!r}; pass JumpStart(steps=...) or None"
                )
            self.jump_start.seed(self._teacher_seed)

    def _setup_goals(self) -> None:
        if self.env is not None:
            self.batch_size = checked_batch_size(self.env, self.n_steps, self.batch_size)
        super()._setup_goals()
        if self._pretrained_teacher is not None:
            check_teacher_fits(self._pretrained_teacher, self.goal_names, self.observation_space, self.action_space)
        if "descriptors" not in self.policy_kwargs:
            if self.env is None:
                raise ValueError("expected an environment whose goals have descriptors, got None; pass env")
            table = choose_descriptors(self.env, self.goal_input, self.descriptors)
            self.policy_kwargs["descriptors"] = None if table is None else np.asarray(table).tolist()

    def _teacher_options(self) -> dict[str, Any]:
        """Return the teacher's arguments with all defaults."""
        options: dict[str, Any] = {
            "learning_rate": None,
            "batch_size": self.batch_size,
            "n_epochs": None,
            "q_lambda": 0.0,
            "max_grad_norm": 1.0,
            "loss": None,
            "goal_reduction": "mean",
            "amp": False,
            "cuda_graph": None,
            "head": "dense",
            "paper_mode": False,
            "policy_kwargs": None,
            **self._student_options(),
            **self.teacher_kwargs,
        }
        resolvable = {name: options[name] for name in ("learning_rate", "n_epochs", "loss")}
        return {**options, **resolve_defaults(options["paper_mode"], **resolvable)}

    def _student_options(self) -> dict[str, Any]:
        """Return those of the student's arguments that are also the teacher's, unless ``teacher_kwargs`` differ."""
        return {}

    def _teacher_policy_kwargs(self) -> dict[str, Any]:
        options = self._teacher_options()
        policy_kwargs = {"head": options["head"], **(options["policy_kwargs"] or {})}
        return with_paper_network(policy_kwargs, self.observation_space) if options["paper_mode"] else policy_kwargs

    def _setup_teacher(self, policy: LEOPQNPolicy) -> None:
        """Create the teacher, with the weights of the pretrained one if there is one."""
        options = self._teacher_options()
        for name in ("batch_size", "n_epochs"):
            check_integer(name, options[name], 1)
        check_fraction("q_lambda", options["q_lambda"])
        check_positive("max_grad_norm", options["max_grad_norm"])
        check_learning_rate(options["learning_rate"])
        check_loss_options(options["loss"], policy.q_net.squash, options["goal_reduction"])
        goals_per_update = None
        if 0.0 < self.teacher_update_fraction < 1.0:
            goals_per_update = max(1, round(self.teacher_update_fraction * len(self.goal_names)))
        if self.teacher_update_fraction > 0.0:
            num_actions = int(self.action_space.n)
            warn_of_dense_head(options["head"], len(self.goal_names), num_actions, goals_per_update)
        self.teacher = RolloutQLearner(
            policy,
            n_epochs=options["n_epochs"],
            batch_size=fitting_batch_size(self.n_steps, self.n_envs, options["batch_size"]),
            q_lambda=options["q_lambda"],
            goals_per_update=goals_per_update,
            gamma=self.gamma,
            loss=options["loss"],
            goal_reduction=options["goal_reduction"],
            max_grad_norm=options["max_grad_norm"],
            amp=options["amp"],
            cuda_graph=options["cuda_graph"],
        )
        self.teacher_lr_schedule: Schedule = FloatSchedule(options["learning_rate"])
        pretrained, self._pretrained_teacher = self._pretrained_teacher, None
        if pretrained is not None:
            policy.q_net.load_state_dict(pretrained.q_net.state_dict())

    @contextmanager
    def _teacher_rng(self) -> Iterator[None]:
        """Context in which PyTorch's random numbers are the teacher's."""
        with th.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            th.manual_seed(self._teacher_seed + self.num_timesteps)
            yield

    def _normalizing_policies(self) -> list[NormalizingPolicy]:
        # Each network has the statistics that it was trained with; those of a frozen teacher stay as they are.
        return [self.policy] if self.teacher_update_fraction == 0.0 else [self.policy, self.teacher.policy]

    def _train_teacher(self, rollout: GoalRolloutBuffer) -> None:
        """Update the teacher for all goals, or the drawn ones, from a rollout."""
        if self.teacher_update_fraction == 0.0:
            return
        update_learning_rate(self.teacher.policy.optimizer, self.teacher_lr_schedule(self._current_progress_remaining))
        self.teacher.policy.set_training_mode(False)
        with self._teacher_rng():
            goals = self.teacher.sample_goals()
            targets = self.teacher.rollout_targets(rollout, goals)
            losses = self.teacher.fit(rollout, targets, goals)
        self.logger.record("teacher/loss", float(losses.mean()))

    def _jump_start_steps(self) -> BoolArray | None:
        """Return where the teacher takes the next step ``[N]``; None for nowhere."""
        if self.jump_start is None:
            return None
        assert isinstance(self._last_obs, dict) and self._last_episode_starts is not None
        goal_ids = np.asarray(self._last_obs[GOAL_KEY]).reshape(-1)
        limit = self.jump_start.limit(self._current_progress_remaining)
        acts = self.jump_start.teacher_acts(np.asarray(self._last_episode_starts, dtype=bool), goal_ids, limit)
        return acts if acts.any() else None


def teacher_q_values(teacher: RolloutQLearner, rollout: GoalRolloutBuffer) -> th.Tensor:
    """
    Compute the teacher's Q-values of all actions for the commanded goals of a rollout.

    :param teacher: the teacher
    :param rollout: the rollout
    :return: ``[T * N, A]``
    """
    goal_ids = rollout.goal_ids[:-1].flatten()
    teacher.policy.set_training_mode(False)
    parts = []
    with th.no_grad(), teacher.autocast():
        for rows in th.arange(len(rollout), device=rollout.device).split(TARGET_ROWS):  # type: ignore[no-untyped-call]
            outputs = teacher.q_net.goal_outputs(rollout.observations(rows), goal_ids[rows]).float()
            parts.append(teacher.q_net.values(outputs))
    return th.cat(parts)


def fraction_schedule(name: str, value: float | Schedule) -> Schedule:
    """
    Convert a number to a schedule; raise a ``ValueError`` if it leaves [0, 1].

    :param name: name of the argument
    :param value: a number, or a function of the remaining progress
    :return: the schedule
    """
    schedule = FloatSchedule(value)
    for progress in (1.0, 0.75, 0.5, 0.25, 0.0):
        check_fraction(name, schedule(progress))
    return schedule


def checked_batch_size(env: Any, n_steps: int, batch_size: int) -> int:
    """
    Raise an error for single environments and empty rollouts, and warn if minibatches will be smaller than requested.

    :param env: environments
    :param n_steps: number of steps of a rollout
    :param batch_size: requested number of transitions in a minibatch
    :return: largest divisor of a rollout's transitions up to ``batch_size``
    """
    if not isinstance(env, VecEnv | gym.vector.VectorEnv):
        raise ValueError(
            f"expected vectorized environments, got {type(env).__name__}: use make_vec_env(..., n_envs=64), a vector "
            "environment (gymnasium.make_vec) or JaxVecEnv"
        )
    check_integer("n_steps", n_steps, 1)
    check_integer("batch_size", batch_size, 1)
    warn_of_batch_size(n_steps, env.num_envs, batch_size, stacklevel=4)
    return fitting_batch_size(n_steps, env.num_envs, batch_size)
