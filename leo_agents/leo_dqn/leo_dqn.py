"""LEODQN: Q-learning about every goal from every transition."""

import warnings
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

import numpy as np
import torch as th
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule, TensorDict
from stable_baselines3.common.utils import polyak_update
from stable_baselines3.dqn.dqn import DQN

from leo_agents.algorithms.discrete_algorithm import DiscreteGoalAlgorithm
from leo_agents.algorithms.off_policy_algorithm import GoalOffPolicyAlgorithm
from leo_agents.learning.grouped_adam import gradient_step
from leo_agents.learning.losses import LOSSES, GoalReduction, all_goals_targets, check_finite_goals
from leo_agents.leo_dqn.policies import MultiGoalPolicy
from leo_agents.networks.q_network import GoalQNetwork
from leo_agents.replay.goal_replay_buffer import GoalReplayBuffer, GoalReplayBufferSamples
from leo_wrappers.selection import GoalSelectorLike

SelfLEODQN = TypeVar("SelfLEODQN", bound="LEODQN")


class Lesson(NamedTuple):
    """What some transitions teach."""

    observations: TensorDict
    actions: th.Tensor
    targets: th.Tensor


def join_lessons(lessons: list[Lesson]) -> Lesson:
    """
    :param lessons: several
    :return: the same as one
    """
    return Lesson(
        {key: th.cat([lesson.observations[key] for lesson in lessons]) for key in lessons[0].observations},
        th.cat([lesson.actions for lesson in lessons]),
        th.cat([lesson.targets for lesson in lessons]),
    )


class LEODQN(DiscreteGoalAlgorithm, GoalOffPolicyAlgorithm, DQN):
    """
    Learning Everything all at Once with a replay buffer and a target network (paper: https://arxiv.org/abs/2605.23551).

    As Stable-Baselines3's DQN, but every gradient step is about all goals: the network gives the values of every goal and
    action at once, and the replay buffer remembers which goals each transition achieved. Achieving a goal ends the bootstrap
    of that goal alone.

    :param policy: ``"MultiGoalPolicy"``, a class like it, or one of DQN's names, which mean the same here
    :param env: a multi-goal environment, bare (goals are then commanded by a :class:`~leo_wrappers.sb3.VecGoalSampler`) or
        goal-conditioned
    :param learning_rate: a number or a schedule
    :param buffer_size: number of transitions remembered
    :param learning_starts: number of steps before the first gradient step
    :param batch_size: number of transitions in a gradient step; each is about all goals
    :param tau: share of the online network in a target update, 1 for hard updates
    :param gamma: discount
    :param train_freq: steps of the environments between gradient steps
    :param gradient_steps: number of gradient steps each time, -1 for as many as there were environment steps
    :param replay_buffer_class: :class:`~leo_agents.replay.goal_replay_buffer.GoalReplayBuffer` or a subclass
    :param replay_buffer_kwargs: further arguments of the buffer
    :param optimize_memory_usage: not supported, as for any Dict observation
    :param n_steps: length of the targets' windows; each goal's window ends where it is first achieved
    :param target_update_interval: gradient steps between target updates (DQN counts environment steps, which would tie them to
        the number of environments)
    :param exploration_fraction: share of the training over which exploration falls
    :param exploration_initial_eps: share of random actions at the start
    :param exploration_final_eps: share of random actions in the end
    :param max_grad_norm: gradients are clipped to this norm
    :param head: ``"dense"`` or ``"factored"``, see :mod:`leo_agents.networks.heads`
    :param loss: ``"bce"``, or ``"squared"`` as in the paper
    :param double_q: choose the next action by the online network, value it by the target network
    :param goals_per_update: draw this many goals for each gradient step; all of them when None
    :param goal_reduction: ``"mean"`` over the goals, or ``"sum"``
    :param amp: compute in bfloat16 where it is safe
    :param target_reuse: a transition's targets, the costly part with many goals and actions, serve this many gradient steps:
        each draws only ``batch_size / target_reuse`` new transitions and keeps the latest others
    :param goal_selector: how goals are commanded in training: a strategy's name, a goal, a function or a
        :class:`~leo_wrappers.GoalSelector`; None leaves it to the environment (``"seen"`` for a bare one)
    :param log_goals: log a success rate for every goal, not only aggregates
    :param stats_window_size: number of episodes that the logged averages are about
    :param tensorboard_log: where to log for TensorBoard
    :param policy_kwargs: further arguments of the policy, see :class:`~leo_agents.leo_dqn.policies.MultiGoalPolicy`
    :param verbose: 0 for silence, 1 for information, 2 for more
    :param seed: seeds everything random
    :param device: ``"cpu"``, ``"cuda"`` or ``"auto"``
    :param _init_setup_model: build the network at once

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from leo_agents import LEODQN
        >>> model = LEODQN("MultiGoalPolicy", gym.make("leo/GridWorld-v0"), seed=0).learn(100)
        >>> obs, info = gym.make("leo/GridWorld-v0").reset(seed=0)
        >>> model.act(obs, goal="cell/0,0") in range(4)
        True
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MultiGoalPolicy": MultiGoalPolicy,
        "MlpPolicy": MultiGoalPolicy,
        "CnnPolicy": MultiGoalPolicy,
        "MultiInputPolicy": MultiGoalPolicy,
    }
    # What a checkpoint must hold besides what save() writes.
    checkpointed: ClassVar[tuple[str, ...]] = ("_lessons",)
    policy: MultiGoalPolicy  # type: ignore[assignment]
    q_net: GoalQNetwork  # type: ignore[assignment]
    q_net_target: GoalQNetwork  # type: ignore[assignment]
    replay_buffer: GoalReplayBuffer | None

    def __init__(
        self,
        policy: str | type[MultiGoalPolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule = 2e-3,
        buffer_size: int = 1_000_000,
        learning_starts: int = 1_000,
        batch_size: int = 256,
        tau: float = 0.02,
        gamma: float = 0.99,
        train_freq: int | tuple[int, str] = 4,
        gradient_steps: int = 1,
        replay_buffer_class: type[GoalReplayBuffer] | None = None,
        replay_buffer_kwargs: dict[str, Any] | None = None,
        optimize_memory_usage: bool = False,
        n_steps: int = 1,
        target_update_interval: int = 1,
        exploration_fraction: float = 0.2,
        exploration_initial_eps: float = 1.0,
        exploration_final_eps: float = 0.1,
        max_grad_norm: float = 10.0,
        head: str = "dense",
        loss: Literal["bce", "squared"] = "bce",
        double_q: bool = False,
        goals_per_update: int | None = None,
        goal_reduction: GoalReduction = "mean",
        amp: bool = False,
        target_reuse: int = 1,
        goal_selector: GoalSelectorLike | None = None,
        log_goals: bool = False,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: th.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        if isinstance(policy, str) and policy in self.policy_aliases:
            policy = MultiGoalPolicy
        super().__init__(
            policy,  # type: ignore[arg-type]
            env,
            learning_rate=learning_rate,
            buffer_size=buffer_size,
            learning_starts=learning_starts,
            batch_size=batch_size,
            tau=tau,
            gamma=gamma,
            train_freq=train_freq,
            gradient_steps=gradient_steps,
            replay_buffer_class=replay_buffer_class or GoalReplayBuffer,
            replay_buffer_kwargs=replay_buffer_kwargs,
            optimize_memory_usage=optimize_memory_usage,
            target_update_interval=target_update_interval,
            exploration_fraction=exploration_fraction,
            exploration_initial_eps=exploration_initial_eps,
            exploration_final_eps=exploration_final_eps,
            max_grad_norm=max_grad_norm,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs={"head": head, **(policy_kwargs or {})},
            verbose=verbose,
            seed=seed,
            device=device,
            _init_setup_model=False,
        )
        # The parent's own n_steps stays 1: its buffers know no goals.
        self.replay_buffer_kwargs = {"n_steps": n_steps, "gamma": gamma, "verbose": verbose, **self.replay_buffer_kwargs}
        self.loss = loss
        self.double_q = double_q
        self.goals_per_update = goals_per_update
        self.goal_reduction: GoalReduction = goal_reduction
        self.amp = amp
        self.target_reuse = target_reuse
        self._lessons: list[Lesson] = []
        self.goal_selector = goal_selector
        self.log_goals = log_goals
        self.goal_names = ()
        if _init_setup_model:
            self._setup_model()

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_lessons"]

    def train(self, gradient_steps: int, batch_size: int = 256) -> None:
        """
        Learns about all goals from each of some batches.

        :param gradient_steps: number of batches
        :param batch_size: number of transitions in each
        """
        self.policy.set_training_mode(True)
        optimizer = self.policy.optimizer
        self._update_learning_rate(optimizer)
        assert self.replay_buffer is not None
        losses = []
        for _ in range(gradient_steps):
            goals = self._draw_goals()
            lesson = self._next_lesson(batch_size, goals)
            loss = gradient_step(
                optimizer,
                self.q_net.parameters(),
                partial(self._loss, lesson, goals),
                self.max_grad_norm,
                self.num_timesteps,
            )
            losses.append(loss.item())
            self._n_updates += 1
            if self._n_updates % self.target_update_interval == 0:
                self._update_target()
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/loss", np.mean(losses))

    def learn(
        self: SelfLEODQN,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 4,
        tb_log_name: str = "LEODQN",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> SelfLEODQN:
        """
        Learns; see Stable-Baselines3.

        :param total_timesteps: number of steps of the environments
        :param callback: called at every step
        :param log_interval: number of episodes between logs
        :param tb_log_name: name of the run for TensorBoard
        :param reset_num_timesteps: count the steps from 0
        :param progress_bar: show one
        :return: self
        """
        return super().learn(total_timesteps, callback, log_interval, tb_log_name, reset_num_timesteps, progress_bar)

    def _on_step(self) -> None:
        """Follows the exploration schedule; the target is updated with the gradient steps."""
        self.exploration_rate = self.exploration_schedule(self._current_progress_remaining)
        self.logger.record("rollout/exploration_rate", self.exploration_rate)

    def _update_target(self) -> None:
        with th.no_grad():
            for online, target in zip(self.q_net.parameters(), self.q_net_target.parameters(), strict=True):
                target.lerp_(online, self.tau)
        polyak_update(self.batch_norm_stats, self.batch_norm_stats_target, 1.0)

    def _setup_model(self) -> None:
        self._check_options()
        self._bind_goals()
        with warnings.catch_warnings():
            # DQN counts the target's updates in environment steps, and warns when there are more environments than that.
            warnings.filterwarnings("ignore", message="The number of environments used is greater than the target")
            super()._setup_model()

    def _check_options(self) -> None:
        super()._check_options()
        if self.target_reuse < 1 or self.batch_size % self.target_reuse:
            raise ValueError(f"expected target_reuse to divide batch_size {self.batch_size}, got {self.target_reuse}")
        if self.target_reuse > 1 and self.goals_per_update is not None:
            raise ValueError("expected target_reuse or goals_per_update, got both: kept targets are about other goals")

    def _next_lesson(self, batch_size: int, goals: th.Tensor | None) -> Lesson:
        """New transitions and, with ``target_reuse``, the ones of the gradient steps before with the targets they had."""
        assert self.replay_buffer is not None
        while True:
            sampled: Any = self.replay_buffer.sample(batch_size // self.target_reuse, env=self._vec_normalize_env)
            self._lessons = [*self._lessons, self._lesson(sampled, goals)][-self.target_reuse :]
            if len(self._lessons) == self.target_reuse:
                return self._lessons[0] if self.target_reuse == 1 else join_lessons(self._lessons)

    def _lesson(self, batch: GoalReplayBufferSamples, goals: th.Tensor | None) -> Lesson:
        """What a batch teaches about some goals, or all: the costly part is the value of the next states."""
        achieved = batch.goals_achieved if goals is None else batch.goals_achieved[:, goals]
        discounts = self.gamma if batch.discounts is None else batch.discounts
        with th.no_grad(), self._autocast():
            next_values = self._next_values(batch, goals)
        targets = all_goals_targets(achieved, next_values.float(), batch.dones, discounts)
        return Lesson(batch.observations, batch.actions.long(), targets)

    def _loss(self, lesson: Lesson, goals: th.Tensor | None) -> th.Tensor:
        """The loss about some goals, or all; an error names the goals that are not finite."""
        with self._autocast():
            outputs = self.q_net.head.taken(self.q_net.features(lesson.observations), lesson.actions, goals).float()
        predictions = outputs if self.loss == "bce" else self.q_net.values(outputs)
        loss = LOSSES[self.loss](predictions, lesson.targets, goal_reduction=self.goal_reduction)
        if not th.isfinite(loss):
            names = self.goal_names if goals is None else [self.goal_names[goal] for goal in goals.tolist()]
            check_finite_goals(predictions, lesson.targets, names, self.num_timesteps)
        return loss

    def _autocast(self) -> th.autocast:
        return th.autocast(self.device.type, dtype=th.bfloat16, enabled=self.amp)

    def _next_values(self, batch: GoalReplayBufferSamples, goals: th.Tensor | None) -> th.Tensor:
        """The value of the next state for each goal ``[B, K]``."""
        target = self.q_net_target
        features = target.features(batch.next_observations)
        if not self.double_q:
            return target.values(target.head.max_over_actions(features, goals))
        _, actions = self.q_net.head.best_actions(self.q_net.features(batch.next_observations), goals)
        outputs = target.head(features) if goals is None else target.head(features)[:, goals]
        return target.values(outputs.gather(2, actions.unsqueeze(2)).squeeze(2))
