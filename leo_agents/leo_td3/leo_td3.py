"""LEOTD3: TD3 about every goal from every transition."""

from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import torch as th
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from stable_baselines3.common.utils import polyak_update
from stable_baselines3.td3.td3 import TD3

from leo_agents.common.actor_critic import GoalCritic
from leo_agents.common.buffers import GoalReplayBuffer, GoalReplayBufferSamples
from leo_agents.common.continuous import ContinuousGoalAlgorithm, buffer_settings
from leo_agents.common.losses import GoalReduction
from leo_agents.leo_td3.policies import DeterministicGoalActor, MultiGoalPolicy
from leo_wrappers.selection import SelectorLike

SelfLEOTD3 = TypeVar("SelfLEOTD3", bound="LEOTD3")


class LEOTD3(ContinuousGoalAlgorithm, TD3):
    """TODO"""

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
        tau: float = 0.01,
        gamma: float = 0.99,
        train_freq: int | tuple[int, str] = 1,
        gradient_steps: int = 1,
        action_noise: ActionNoise | None = None,
        replay_buffer_class: type[GoalReplayBuffer] | None = None,
        replay_buffer_kwargs: dict[str, Any] | None = None,
        optimize_memory_usage: bool = False,
        n_steps: int = 1,
        policy_delay: int = 2,
        target_policy_noise: float = 0.2,
        target_noise_clip: float = 0.5,
        random_actions: float = 0.2,
        random_hold: int = 4,
        loss: Literal["bce", "squared"] = "bce",
        goals_per_update: int | None = None,
        goal_reduction: GoalReduction = "mean",
        goal_selector: SelectorLike | None = None,
        log_goals: bool = False,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: th.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
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
        return -self._over_goals(self._worth(outputs))

    def _update_targets(self) -> None:
        polyak_update(self.critic.parameters(), self.critic_target.parameters(), self.tau)
        polyak_update(self.actor.parameters(), self.actor_target.parameters(), self.tau)
        polyak_update(self.critic_batch_norm_stats, self.critic_batch_norm_stats_target, 1.0)
        polyak_update(self.actor_batch_norm_stats, self.actor_batch_norm_stats_target, 1.0)
