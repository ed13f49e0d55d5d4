"""What both forms of Dual LEO share: a teacher that knows all goals beside a student that pursues one."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from stable_baselines3.common.utils import FloatSchedule
from stable_baselines3.common.vec_env import VecEnv

from leo_agents.algorithms.goal_algorithm import GoalAlgorithm
from leo_agents.dual_leo.jump_start import JumpStart
from leo_agents.leo_dqn import LEODQN
from leo_agents.leo_pqn import LEOPQN
from leo_agents.networks.goal_descriptors import GoalInput, choose_descriptors
from leo_agents.networks.q_network import state_space
from leo_agents.replay.goal_rollout_buffer import GoalRolloutBuffer, fitting_batch_size, warn_of_batch_size
from leo_wrappers.goal_set import BoolArray
from leo_wrappers.keys import GOAL_KEY

FinishedTeacher = LEOPQN | LEODQN

# Arguments of LEOPQN that are a teacher's own; the rest is the student's or about acting.
TEACHER_OPTIONS = (
    "learning_rate",
    "batch_size",
    "n_epochs",
    "q_lambda",
    "max_grad_norm",
    "head",
    "loss",
    "goal_reduction",
    "amp",
    "paper_mode",
    "policy_kwargs",
)


class TaughtAlgorithm(GoalAlgorithm):
    """
    A mixin, to stand before the student's algorithm: a teacher that learns all goals from what the student does.

    The teacher is a :class:`~leo_agents.leo_pqn.LEOPQN` without environments of its own. Its randomness is apart from the
    student's, so that a student who does not listen learns as if there were no teacher.

    The arguments are those of :class:`~leo_agents.dual_leo.DualLEOPQN`; further ones go to the student's algorithm.
    """

    teacher: LEOPQN
    gamma: float
    n_steps: int
    batch_size: int

    def __init__(
        self,
        policy: Any,
        env: GymEnv | str,
        *,
        teacher: FinishedTeacher | None,
        teacher_update_fraction: float,
        teacher_kwargs: dict[str, Any] | None,
        roll_in: JumpStart | None,
        goal_input: GoalInput,
        descriptors: npt.ArrayLike | None,
        seed: int | None,
        **student_kwargs: Any,
    ) -> None:
        check_share("teacher_update_fraction", teacher_update_fraction)
        # A model that is being loaded gets its own arguments only later.
        if env is not None and student_kwargs.get("_init_setup_model", True):
            # Before PPO complains about the last minibatch of a rollout.
            student_kwargs["batch_size"] = checked_batch_size(env, student_kwargs["n_steps"], student_kwargs["batch_size"])
        if teacher is None and teacher_update_fraction == 0.0:
            raise ValueError("expected a finished teacher beside teacher_update_fraction=0, got none; pass teacher=...")
        self._finished_teacher = teacher
        self.teacher_update_fraction = teacher_update_fraction
        self.teacher_kwargs = {**_options_of(teacher, teacher_kwargs), **(teacher_kwargs or {})}
        self.roll_in = copy.deepcopy(roll_in)
        self.goal_input, self.descriptors = goal_input, descriptors
        self._teacher_seed = int(np.random.default_rng(seed).integers(2**31))
        if self.roll_in is not None:
            self.roll_in.seed(self._teacher_seed)
        super().__init__(policy, env, seed=seed, **student_kwargs)  # type: ignore[call-arg]

    def _teacher_defaults(self) -> dict[str, Any]:
        """Arguments of the teacher that are the student's unless ``teacher_kwargs`` say otherwise."""
        return {"batch_size": self.batch_size}

    def _bind_goals(self) -> None:
        if self.env is not None:
            self.batch_size = checked_batch_size(self.env, self.n_steps, self.batch_size)
        super()._bind_goals()
        if self._finished_teacher is not None:
            check_finished(self._finished_teacher, self.goal_names, self.observation_space, self.action_space)
        if "descriptors" not in self.policy_kwargs:
            if self.env is None:
                raise ValueError("expected an environment whose goals have descriptors, got None; pass env")
            table = choose_descriptors(self.env, self.goal_input, self.descriptors)
            self.policy_kwargs["descriptors"] = None if table is None else np.asarray(table).tolist()
        self.teacher = self._make_teacher()

    def _make_teacher(self) -> LEOPQN:
        """The teacher with everything but its networks and its rollouts."""
        options = {**self._teacher_defaults(), **self.teacher_kwargs, "gamma": self.gamma, "n_steps": self.n_steps}
        teacher = LEOPQN("MultiGoalPolicy", None, device=self.device, _init_setup_model=False, **options)  # type: ignore[arg-type]
        teacher.observation_space, teacher.action_space = self.observation_space, self.action_space
        teacher.n_envs, teacher.goal_names = self.n_envs, self.goal_names
        if 0.0 < self.teacher_update_fraction < 1.0:
            teacher.goals_per_update = max(1, round(self.teacher_update_fraction * len(self.goal_names)))
        teacher._check_options()
        teacher._bind_goals()
        teacher._setup_lr_schedule()
        teacher.set_logger(Logger(None, []))
        return teacher

    def _take_over_teacher(self) -> None:
        """Once the teacher has its networks: what a finished one knows."""
        finished, self._finished_teacher = self._finished_teacher, None
        if finished is not None:
            self.teacher.q_net.load_state_dict(finished.q_net.state_dict())

    @contextmanager
    def _teachers_randomness(self) -> Iterator[None]:
        with th.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            th.manual_seed(self._teacher_seed + self.num_timesteps)
            yield

    def _teach(self) -> None:
        """The teacher learns from the rollout."""
        if self.teacher_update_fraction == 0.0:
            return
        teacher = self.teacher
        teacher.num_timesteps = self.num_timesteps
        teacher._current_progress_remaining = self._current_progress_remaining
        teacher.policy.set_training_mode(False)
        with self._teachers_randomness():
            teacher.train()
        # The student's gradients are clipped by themselves.
        teacher.policy.optimizer.zero_grad()
        self.logger.record("teacher/loss", teacher.logger.name_to_value["train/loss"])

    def _teacher_acts(self) -> BoolArray | None:
        """Where the teacher is to act by itself; None for nowhere."""
        if self.roll_in is None:
            return None
        assert isinstance(self._last_obs, dict) and self._last_episode_starts is not None
        goals = np.asarray(self._last_obs[GOAL_KEY]).reshape(-1)
        limit = self.roll_in.limit(self._current_progress_remaining)
        acts = self.roll_in.acts(np.asarray(self._last_episode_starts, dtype=bool), goals, limit)
        return acts if acts.any() else None

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "teacher", "_finished_teacher"]


def check_share(name: str, value: float) -> None:
    """
    :param name: of the argument
    :param value: refused outside [0, 1]
    """
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"expected {name} between 0 and 1, got {value}")


def share_schedule(name: str, value: float | Schedule) -> Schedule:
    """
    :param name: of the argument
    :param value: a number, or a function of the progress remaining; refused where it leaves [0, 1] on the way
    :return: the function
    """
    schedule = FloatSchedule(value)
    for progress in (1.0, 0.75, 0.5, 0.25, 0.0):
        check_share(name, schedule(progress))
    return schedule


def checked_batch_size(env: Any, n_steps: int, batch_size: int) -> int:
    """
    Refuses single environments and empty rollouts.

    :param env: environments
    :param n_steps: steps of a rollout
    :param batch_size: transitions of a minibatch
    :return: a size of minibatches into which the rollouts divide
    """
    if not isinstance(env, VecEnv | gym.vector.VectorEnv):
        raise ValueError(
            f"expected a vector of environments, got {type(env).__name__}: use make_vec_env(..., n_envs=64), a vector "
            "environment (gymnasium.make_vec) or JaxVecEnv"
        )
    for name, value in (("n_steps", n_steps), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"expected {name} of at least 1, got {value}")
    warn_of_batch_size(n_steps, env.num_envs, batch_size, stacklevel=4)
    return fitting_batch_size(n_steps, env.num_envs, batch_size)


def advise(
    teacher: LEOPQN, rollout: GoalRolloutBuffer, read: Callable[[th.Tensor], th.Tensor], rows_at_once: int = 2048
) -> th.Tensor:
    """
    What the teacher says about every state of a rollout and the goal commanded there.

    :param teacher: the teacher
    :param rollout: what happened
    :param read: what to make of the values ``[B, A]``
    :param rows_at_once: number of states in one pass
    :return: of shape ``[T * N, ...]``
    """
    goals = rollout.goals[:-1].flatten()
    teacher.policy.set_training_mode(False)
    parts = []
    with th.no_grad(), teacher._autocast():
        for rows in th.arange(len(rollout), device=rollout.device).split(rows_at_once):  # type: ignore[no-untyped-call]
            outputs = teacher.q_net.goal_outputs(rollout.states(rows), goals[rows]).float()
            parts.append(read(teacher.q_net.values(outputs)))
    return th.cat(parts)


def _options_of(teacher: FinishedTeacher | None, teacher_kwargs: dict[str, Any] | None) -> dict[str, Any]:
    """The arguments that make networks like those of a finished teacher."""
    unknown = set(teacher_kwargs or {}) - set(TEACHER_OPTIONS)
    if unknown:
        raise ValueError(f"expected teacher_kwargs among {TEACHER_OPTIONS}, got {sorted(unknown)}")
    if teacher is None:
        return {}
    check_kind(teacher)
    own = {"policy_kwargs", "head", "paper_mode"} & set(teacher_kwargs or {})
    if own:
        raise ValueError(f"expected no {sorted(own)} in teacher_kwargs beside a finished teacher, which has its networks")
    kwargs = {name: value for name, value in teacher.policy_kwargs.items() if name != "goal_names"}
    return {"policy_kwargs": kwargs, "loss": teacher.loss}


def check_kind(teacher: Any) -> None:
    """
    :param teacher: refused unless it knows the values of all goals
    """
    if not isinstance(teacher, FinishedTeacher):
        raise TypeError(f"expected a LEOPQN or a LEODQN as teacher, got {type(teacher).__name__}")


def check_finished(
    teacher: FinishedTeacher,
    goal_names: tuple[str, ...],
    observation_space: spaces.Space[Any],
    action_space: spaces.Space[Any],
) -> None:
    """
    Refuses a finished teacher of other goals, states or actions.

    :param teacher: the teacher
    :param goal_names: of the environments
    :param observation_space: of the environments, with the command
    :param action_space: of the environments
    """
    theirs = tuple(teacher.goal_names)
    if theirs != goal_names:
        how = "the same in another order" if set(theirs) == set(goal_names) else f"one of {len(theirs)} others"
        raise ValueError(f"expected a teacher of the {len(goal_names)} goals of the environment, got {how}")
    pairs = {
        "observations": (state_space(observation_space), state_space(teacher.observation_space)),
        "actions": (action_space, teacher.action_space),
    }
    for what, (wanted, found) in pairs.items():
        if wanted != found:
            raise ValueError(f"expected a teacher of the environment's {what}, {wanted}, got one of {found}")
