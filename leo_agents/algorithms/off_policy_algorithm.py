"""Base class of the algorithms with a replay buffer."""

import io
import pathlib
from typing import Any, ClassVar

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.buffers import BaseBuffer
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.type_aliases import GymEnv, RolloutReturn, Schedule, TrainFreq
from stable_baselines3.common.utils import LinearSchedule

from leo_agents.algorithms.env_wrapping import check_same_goals
from leo_agents.algorithms.exploration import check_exploration
from leo_agents.algorithms.goal_algorithm import GoalAlgorithm
from leo_agents.algorithms.offline_learning import OfflineLearning
from leo_agents.learning.cuda_graph import check_cuda_graph
from leo_agents.learning.finite_checks import FiniteChecks
from leo_agents.learning.losses import GoalReduction, check_loss_options
from leo_agents.learning.q_learner import check_goals_per_update, sample_goals
from leo_agents.networks.device import is_asynchronous
from leo_agents.networks.policy_arguments import check_class
from leo_agents.replay.buffer_arguments import check_buffer_names
from leo_agents.replay.goal_replay_buffer import GoalReplayBuffer, GoalReplayBufferSamples
from leo_wrappers.validation import check_choice, check_fraction, check_integer, check_positive

# Gradient steps after which an error that the device has recorded is raised, with CUDA.
CHECK_FREQ = 100
# More gradient steps per transition are a mistake.
MAX_REPLAY_RATIO = 1_000


def check_train_freq(train_freq: Any) -> None:
    """
    Raise a ``ValueError``, as Stable-Baselines3, unless a training frequency is a positive number of steps or episodes.

    :param train_freq: a number, or a pair of number and unit
    """
    if isinstance(train_freq, TrainFreq):  # of a loaded model
        return
    frequency, unit = train_freq if isinstance(train_freq, tuple) and len(train_freq) == 2 else (train_freq, "step")
    if isinstance(frequency, bool) or not isinstance(frequency, int) or frequency < 1:
        raise ValueError(f'expected train_freq to be a positive integer, got {train_freq!r}; pass e.g. 4 or (1, "episode")')
    check_choice("the unit of train_freq", unit, ("step", "episode"))


class GoalOffPolicyAlgorithm(GoalAlgorithm, OfflineLearning):
    """
    Mixin for one of Stable-Baselines3's off-policy algorithms, to be listed before it among the base classes.

    The parameters are those of :class:`~leo_agents.leo_dqn.leo_dqn.LEODQN`.
    """

    default_log_interval: ClassVar[int] = 4
    not_saved: ClassVar[tuple[str, ...]] = ("finite_checks", "_unread_losses")
    replay_buffer_classes: ClassVar[tuple[type[BaseBuffer], ...]] = (GoalReplayBuffer,)
    """Classes, or base classes, of the replay buffers that the algorithm can use."""
    replay_buffer: GoalReplayBuffer | None
    exploration_schedule: Schedule
    finite_checks: FiniteChecks

    def __init__(
        self,
        policy: Any,
        env: GymEnv | str,
        *,
        gamma: float,
        n_steps: int,
        gradient_steps: int | None,
        replay_ratio: float | None,
        replay_buffer_class: type[GoalReplayBuffer] | None,
        replay_buffer_kwargs: dict[str, Any] | None,
        exploration_fraction: float,
        exploration_initial_eps: float,
        exploration_final_eps: float,
        exploration_spread: float,
        max_grad_norm: float,
        loss: str,
        goals_per_update: int | None,
        goal_reduction: GoalReduction,
        amp: bool,
        cuda_graph: bool | None,
        verbose: int,
        **kwargs: Any,
    ) -> None:
        replay_buffer_class = replay_buffer_class or GoalReplayBuffer
        check_class("replay_buffer_class", replay_buffer_class, BaseBuffer)
        if not issubclass(replay_buffer_class, self.replay_buffer_classes):
            raise ValueError(
                f"expected replay_buffer_class GoalReplayBuffer or a subclass, got {replay_buffer_class.__name__}; leave it "
                "out: every transition updates all goals, so none has to be relabeled. HER as a baseline: leo_agents.baselines"
            )
        if replay_ratio is not None and gradient_steps is not None:
            raise ValueError(
                f"expected gradient_steps or replay_ratio, got {gradient_steps!r} and {replay_ratio!r}; leave out one of them"
            )
        default_steps = 1 if replay_ratio is None else -1
        super().__init__(
            policy,
            env,
            gamma=gamma,
            gradient_steps=default_steps if gradient_steps is None else gradient_steps,
            replay_buffer_class=replay_buffer_class,
            # Not the ``n_steps`` of the base class, whose n-step buffer has no goals.
            replay_buffer_kwargs={"n_steps": n_steps, "gamma": gamma, "verbose": verbose, **(replay_buffer_kwargs or {})},
            verbose=verbose,
            _init_setup_model=False,
            **kwargs,
        )
        self.replay_ratio = replay_ratio
        self.exploration_fraction = exploration_fraction
        self.exploration_initial_eps = exploration_initial_eps
        self.exploration_final_eps = exploration_final_eps
        self.exploration_spread = exploration_spread
        self.exploration_rate = exploration_initial_eps
        self.max_grad_norm = max_grad_norm
        self.loss = loss
        self.goals_per_update = goals_per_update
        self.goal_reduction: GoalReduction = goal_reduction
        self.amp = amp
        self.cuda_graph = cuda_graph

    def dump_logs(self) -> None:
        """Write the log."""
        self._read_device()
        self._log_goals()
        super().dump_logs()

    def load_replay_buffer(self, path: str | pathlib.Path | io.BufferedIOBase, truncate_last_traj: bool = True) -> None:
        """
        Load a replay buffer; it must have the same number of environments and the same goals.

        :param path: the file
        :param truncate_last_traj: not used
        """
        before = self.replay_buffer
        super().load_replay_buffer(path, truncate_last_traj)
        loaded, self.replay_buffer = self.replay_buffer, before
        buffer_class: Any = self.replay_buffer_class
        if not isinstance(loaded, buffer_class) or loaded.n_envs != self.n_envs:
            raise ValueError(
                f"expected a {buffer_class.__name__} with n_envs {self.n_envs}, got a {type(loaded).__name__} with n_envs "
                f"{getattr(loaded, 'n_envs', None)}; load one that was saved by the same kind of training"
            )
        check_same_goals(tuple(self.goal_names), tuple(loaded.goal_names), "a replay buffer")
        self.replay_buffer = loaded

    def _setup_model(self) -> None:
        self._check_options()
        self._setup_goals()
        check_buffer_names(self.replay_buffer_class, self.replay_buffer_kwargs)  # type: ignore[arg-type]
        super()._setup_model()
        assert self.replay_buffer is not None
        self.replay_buffer.goal_names = self.goal_names
        # Names of a finite goal set only: points have none.
        self.finite_checks = FiniteChecks(self.goal_names or None)
        self._unread_losses: dict[str, list[th.Tensor]] = {}
        self.exploration_schedule = LinearSchedule(
            self.exploration_initial_eps, self.exploration_final_eps, self.exploration_fraction
        )

    def _setup_goals(self) -> None:
        super()._setup_goals()
        num_goals = len(self.goal_names)
        check_goals_per_update(self.goals_per_update, num_goals)
        self.replay_buffer_kwargs = {**self.replay_buffer_kwargs, "num_goals": num_goals}
        if self.task_discounts is not None:
            self.replay_buffer_kwargs["task_discounts"] = self.task_discounts

    def _check_options(self) -> None:
        super()._check_options()
        if self.optimize_memory_usage:
            raise ValueError("expected optimize_memory_usage=False, got True; Dict observations cannot share storage")
        check_loss_options(self.loss, self.policy_kwargs.get("squash", True), self.goal_reduction)
        rates = (self.exploration_fraction, self.exploration_initial_eps, self.exploration_final_eps)
        check_exploration(*rates, self.exploration_spread)
        check_fraction("tau", self.tau)
        check_cuda_graph(self.cuda_graph)
        for name, minimum in (("buffer_size", 1), ("batch_size", 1), ("learning_starts", 0)):
            check_integer(name, getattr(self, name), minimum)
        check_train_freq(self.train_freq)
        if self.gradient_steps != -1:
            check_integer("gradient_steps other than -1", self.gradient_steps, 0)
        if self.replay_ratio is not None:
            check_positive("replay_ratio", self.replay_ratio, MAX_REPLAY_RATIO)

    def collect_rollouts(self, *args: Any, **kwargs: Any) -> RolloutReturn:
        """Collect transitions, see Stable-Baselines3, which takes as many gradient steps as the result has time steps."""
        rollout = super().collect_rollouts(*args, **kwargs)
        return rollout._replace(episode_timesteps=self.gradient_steps_of(rollout.episode_timesteps))

    def gradient_steps_of(self, num_transitions: int) -> int:
        """
        Return the number of gradient steps for the newest transitions by ``replay_ratio``.

        :param num_transitions: number of transitions since the last update
        :return: the number of gradient steps; one per transition without ``replay_ratio``
        """
        if self.replay_ratio is None:
            return num_transitions
        # Differences of a total, so that nothing is lost between updates, or if training is resumed.
        before = int(self.replay_ratio * (self.num_timesteps - num_transitions))
        return int(self.replay_ratio * self.num_timesteps) - before

    def _sample_action(
        self, learning_starts: int, action_noise: ActionNoise | None = None, n_envs: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        action, buffer_action = super()._sample_action(learning_starts, action_noise, n_envs)
        explored = self._explore_after_success(action)
        if explored is action:
            return action, buffer_action
        return explored, self.policy.scale_action(explored) if isinstance(self.action_space, spaces.Box) else explored

    def _on_step(self) -> None:
        """Update the exploration rate."""
        self.exploration_rate = self.exploration_schedule(self._current_progress_remaining)
        self.logger.record("rollout/exploration_rate", self.exploration_rate)

    def _log_update(self, losses: dict[str, list[th.Tensor]]) -> None:
        """Log the means of the losses of some gradient steps; with CUDA when the log is written, without waiting for them."""
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self._unread_losses.update({name: values for name, values in losses.items() if values})
        if not is_asynchronous(self.device):
            self._read_losses()
        elif self._n_updates // CHECK_FREQ != (self._n_updates - max(map(len, losses.values()))) // CHECK_FREQ:
            self._read_device()

    def _read_losses(self) -> None:
        for name, values in self._unread_losses.items():
            self.logger.record(f"train/{name}", np.mean(th.stack(values).tolist()))
        self._unread_losses.clear()

    def _read_device(self) -> None:
        self.finite_checks.raise_if_failed()
        self._read_losses()

    def _sample_batch(self, batch_size: int) -> GoalReplayBufferSamples:
        assert self.replay_buffer is not None
        samples: Any = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)
        return samples  # type: ignore[no-any-return]

    def _sample_goals(self) -> th.Tensor | None:
        """Draw the goals of an update ``[K]``; None for all goals."""
        return sample_goals(len(self.goal_names), self.goals_per_update, self.device)
