"""LEOTD3: TD3 about every goal from every transition."""

from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import torch as th
from stable_baselines3.common.noise import ActionNoise, NormalActionNoise
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule
from stable_baselines3.common.utils import polyak_update
from stable_baselines3.td3.td3 import TD3

from leo_agents.algorithms.continuous_algorithm import ContinuousGoalAlgorithm, buffer_settings
from leo_agents.learning.losses import GoalReduction
from leo_agents.leo_td3.policies import DeterministicGoalActor, MultiGoalPolicy
from leo_agents.networks.critic import GoalCritic
from leo_agents.replay.goal_replay_buffer import GoalReplayBuffer, GoalReplayBufferSamples
from leo_wrappers.selection import GoalSelectorLike

# Of the actions in training, where the user gives none; actions lie between -1 and 1.
DEFAULT_NOISE = 0.1

SelfLEOTD3 = TypeVar("SelfLEOTD3", bound="LEOTD3")


class LEOTD3(ContinuousGoalAlgorithm, TD3):
    """
    TD3 about every goal: twin critics and a deterministic actor learn from each transition about all goals at once.

    As Stable-Baselines3's TD3, but the actor gives an action, and the critics give a value, for every goal; the replay buffer
    remembers which goals each transition achieved, and achieving a goal ends the bootstrap of that goal alone. The value of a
    goal is the discounted probability of reaching it. With one goal, linear values and the squared loss it is TD3 (whose
    squared error lacks the half).

    Where values lie in ``[0, 1]`` the actor climbs their logits: the best action is the same, and no goal is given up because
    its value, near 0 or 1, is nearly flat.

    A deterministic actor can saturate at the bounds of its actions and be slow to leave them:
    :class:`~leo_agents.leo_sac.leo_sac.LEOSAC` has learned its way about walls in half the steps.

    :param policy: ``"MultiGoalPolicy"``, a class like it, or one of TD3's names, which mean the same here
    :param env: a multi-goal environment, bare (goals are then commanded by a :class:`~leo_wrappers.sb3.VecGoalSampler`) or
        goal-conditioned; its actions are a Box with finite bounds
    :param learning_rate: of all networks, a number or a schedule
    :param buffer_size: number of transitions remembered
    :param learning_starts: number of steps, of random actions, before the first gradient step
    :param batch_size: number of transitions in a gradient step; each is about all goals
    :param tau: share of the online networks in a target update
    :param gamma: discount
    :param train_freq: steps of the environments between gradient steps
    :param gradient_steps: number of gradient steps each time, -1 for as many as there were environment steps
    :param action_noise: added to the actions in training; normal noise of 0.1 when None (TD3 then has none)
    :param replay_buffer_class: :class:`~leo_agents.replay.goal_replay_buffer.GoalReplayBuffer` or a subclass
    :param replay_buffer_kwargs: further arguments of the buffer
    :param optimize_memory_usage: not supported, as for any Dict observation
    :param n_steps: length of the targets' windows; each goal's window ends where it is first achieved
    :param policy_delay: gradient steps of the critics for each of the actor and the targets (2 in TD3, which is slower to
        learn about many goals)
    :param target_policy_noise: standard deviation of the noise on the targets' actions, independent for each goal
    :param target_noise_clip: the largest such noise
    :param random_actions: share of uniformly random actions in training
    :param random_hold: each random action is held for so many steps on average: a point shaken at every step stays where it is
    :param loss: ``"bce"``, or ``"squared"``
    :param goals_per_update: draw this many goals for each gradient step, of critic, targets and actor; all of them when None
    :param goal_reduction: ``"mean"`` over the goals, or ``"sum"``
    :param goal_selector: how goals are commanded in training: a strategy's name, a goal, a function or a
        :class:`~leo_wrappers.GoalSelector`; None leaves it to the environment (``"seen"`` for a bare one)
    :param log_goals: log a success rate for every goal, not only aggregates
    :param stats_window_size: number of episodes that the logged averages are about
    :param tensorboard_log: where to log for TensorBoard
    :param policy_kwargs: further arguments of the policy, see
        :class:`~leo_agents.networks.continuous_policy.ContinuousGoalPolicy`
    :param verbose: 0 for silence, 1 for information, 2 for more
    :param seed: seeds everything random
    :param device: ``"cpu"``, ``"cuda"`` or ``"auto"``
    :param _init_setup_model: build the networks at once

    Example::

        >>> import gymnasium as gym
        >>> from leo_agents import LEOTD3
        >>> from leo_wrappers import GridGoals, MultiGoalWrapper
        >>> env = MultiGoalWrapper(gym.make("MountainCarContinuous-v0"), GridGoals([-1.2, -0.07], [0.6, 0.07], [9, 7]))
        >>> model = LEOTD3("MultiGoalPolicy", env, learning_starts=50, seed=0).learn(100)
        >>> model.act(env.reset(seed=0)[0], goal="cell/3,3").shape
        (1,)
        >>> model.values(env.reset(seed=0)[0]).shape
        (1, 63)
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MultiGoalPolicy": MultiGoalPolicy,
        "MlpPolicy": MultiGoalPolicy,
        "CnnPolicy": MultiGoalPolicy,
        "MultiInputPolicy": MultiGoalPolicy,
    }
    critic: GoalCritic  # type: ignore[assignment]
    critic_target: GoalCritic  # type: ignore[assignment]
    policy: MultiGoalPolicy  # type: ignore[assignment]
    actor: DeterministicGoalActor  # type: ignore[assignment]
    actor_target: DeterministicGoalActor  # type: ignore[assignment]

    def __init__(
        self,
        policy: str | type[MultiGoalPolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule = 1e-3,
        buffer_size: int = 1_000_000,
        learning_starts: int = 1_000,
        batch_size: int = 256,
        tau: float = 0.05,
        gamma: float = 0.99,
        train_freq: int | tuple[int, str] = 1,
        gradient_steps: int = 1,
        action_noise: ActionNoise | None = None,
        replay_buffer_class: type[GoalReplayBuffer] | None = None,
        replay_buffer_kwargs: dict[str, Any] | None = None,
        optimize_memory_usage: bool = False,
        n_steps: int = 1,
        policy_delay: int = 1,
        target_policy_noise: float = 0.2,
        target_noise_clip: float = 0.5,
        random_actions: float = 0.2,
        random_hold: int = 4,
        loss: Literal["bce", "squared"] = "bce",
        goals_per_update: int | None = None,
        goal_reduction: GoalReduction = "mean",
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
            action_noise=action_noise,
            replay_buffer_class=replay_buffer_class or GoalReplayBuffer,
            replay_buffer_kwargs=buffer_settings(n_steps, gamma, verbose, replay_buffer_kwargs),
            optimize_memory_usage=optimize_memory_usage,
            policy_delay=policy_delay,
            target_policy_noise=target_policy_noise,
            target_noise_clip=target_noise_clip,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs=policy_kwargs,
            verbose=verbose,
            seed=seed,
            device=device,
            _init_setup_model=False,
        )
        self.random_actions = random_actions
        self.random_hold = random_hold
        self.loss = loss
        self.goals_per_update = goals_per_update
        self.goal_reduction: GoalReduction = goal_reduction
        self.goal_selector = goal_selector
        self.log_goals = log_goals
        self.goal_names = ()
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        super()._setup_model()
        if self.action_noise is None:
            action_dim = get_action_dim(self.action_space)
            self.action_noise = NormalActionNoise(np.zeros(action_dim), np.full(action_dim, DEFAULT_NOISE))

    def train(self, gradient_steps: int, batch_size: int = 256) -> None:
        """
        Learns about all goals, or some, from each of some batches.

        :param gradient_steps: number of batches
        :param batch_size: number of transitions in each
        """
        self.policy.set_training_mode(True)
        self._update_learning_rate([self.actor.optimizer, self.critic.optimizer])
        actor_losses, critic_losses = [], []
        for _ in range(gradient_steps):
            self._n_updates += 1
            goals, batch = self._draw_goals(), self._sample(batch_size)
            critic_loss = self._critic_loss(batch, self._targets(batch, goals), goals)
            self._descend(self.critic.optimizer, critic_loss)
            critic_losses.append(critic_loss.item())
            if self._n_updates % self.policy_delay == 0:
                actor_loss = self._actor_loss(batch, goals)
                self._descend(self.actor.optimizer, actor_loss)
                actor_losses.append(actor_loss.item())
                self._update_targets()
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        if actor_losses:
            self.logger.record("train/actor_loss", np.mean(actor_losses))
        self.logger.record("train/critic_loss", np.mean(critic_losses))

    def learn(
        self: SelfLEOTD3,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 4,
        tb_log_name: str = "LEOTD3",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> SelfLEOTD3:
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

    def _targets(self, batch: GoalReplayBufferSamples, goals: th.Tensor | None) -> th.Tensor:
        """What the critics should say of the actions taken, for each goal ``[B, K]``."""
        with th.no_grad():
            actions = self.actor_target(batch.next_observations, goals)
            noise = th.randn_like(actions).mul_(self.target_policy_noise)
            actions = (actions + noise.clamp_(-self.target_noise_clip, self.target_noise_clip)).clamp_(-1.0, 1.0)
            next_values = self._next_values(batch, actions, goals)
        return self._bootstrapped(batch, next_values, goals)

    def _actor_loss(self, batch: GoalReplayBufferSamples, goals: th.Tensor | None) -> th.Tensor:
        actions = self.actor(batch.observations, goals)
        (outputs,) = self.critic.diagonal(batch.observations, actions, goals, n_critics=1)
        return -self._over_goals(outputs)

    def _update_targets(self) -> None:
        polyak_update(self.critic.parameters(), self.critic_target.parameters(), self.tau)
        polyak_update(self.actor.parameters(), self.actor_target.parameters(), self.tau)
        polyak_update(self.critic_batch_norm_stats, self.critic_batch_norm_stats_target, 1.0)
        polyak_update(self.actor_batch_norm_stats, self.actor_batch_norm_stats_target, 1.0)
