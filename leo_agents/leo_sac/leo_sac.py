"""LEOSAC: SAC about every goal from every transition."""

from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import torch as th
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule
from stable_baselines3.common.utils import polyak_update
from stable_baselines3.sac.sac import SAC

from leo_agents.algorithms.continuous_algorithm import ContinuousGoalAlgorithm, buffer_settings
from leo_agents.learning.losses import GoalReduction
from leo_agents.leo_sac.policies import GaussianGoalActor, MultiGoalPolicy
from leo_agents.networks.critic import GoalCritic
from leo_agents.replay.goal_replay_buffer import GoalReplayBuffer, GoalReplayBufferSamples
from leo_wrappers.selection import GoalSelectorLike

SelfLEOSAC = TypeVar("SelfLEOSAC", bound="LEOSAC")


class LEOSAC(ContinuousGoalAlgorithm, SAC):
    """
    SAC about every goal: twin critics and a random actor learn from each transition about all goals at once.

    As Stable-Baselines3's SAC, but the actor gives a distribution over actions, and the critics give a value, for every goal;
    the replay buffer remembers which goals each transition achieved, and achieving a goal ends the bootstrap of that goal
    alone.

    SAC adds the entropy of all later actions to its values. A value that is to be the discounted probability of reaching a
    goal has no room for that: it would leave ``[0, 1]``, and its cross-entropy would mean nothing. So by default the entropy
    counts where the actor chooses, at this step, and not in the critics' targets: the actor of goal g maximises
    ``E[logit Q_g(s, a)] + temperature_g * entropy``, and Q_g stays the probability under that actor. Logits, not values: the
    values of all actions differ by a few hundredths, whose scale a temperature would have to follow from goal to goal. With
    ``entropy_in_target=True``, linear values and the squared loss it is SAC, with one goal exactly.

    :param policy: ``"MultiGoalPolicy"``, a class like it, or one of SAC's names, which mean the same here
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
    :param action_noise: added to the actions in training, besides their own randomness
    :param replay_buffer_class: :class:`~leo_agents.replay.goal_replay_buffer.GoalReplayBuffer` or a subclass
    :param replay_buffer_kwargs: further arguments of the buffer
    :param optimize_memory_usage: not supported, as for any Dict observation
    :param n_steps: length of the targets' windows; each goal's window ends where it is first achieved
    :param ent_coef: the temperature, ``"auto_0.02"`` to learn it, starting from 0.02: good and bad actions differ by a few
        tenths of a logit, and a temperature of 1 would drown that for a thousand steps
    :param target_update_interval: gradient steps between target updates
    :param target_entropy: the entropy that a learned temperature keeps up, ``"auto"`` for minus the number of components
    :param entropy_per_goal: learn a temperature for each goal, not one for all
    :param entropy_in_target: let the critics' targets count the entropy too, as SAC does; needs ``loss="squared"`` and
        ``policy_kwargs={"squash": False}``
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
        >>> from leo_agents import LEOSAC
        >>> from leo_wrappers import GridGoals, MultiGoalWrapper
        >>> env = MultiGoalWrapper(gym.make("MountainCarContinuous-v0"), GridGoals([-1.2, -0.07], [0.6, 0.07], [9, 7]))
        >>> model = LEOSAC("MultiGoalPolicy", env, learning_starts=50, seed=0).learn(100)
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
    actor: GaussianGoalActor  # type: ignore[assignment]

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
        ent_coef: str | float = "auto_0.02",
        target_update_interval: int = 1,
        target_entropy: str | float = "auto",
        entropy_per_goal: bool = True,
        entropy_in_target: bool = False,
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
            ent_coef=ent_coef,
            target_update_interval=target_update_interval,
            target_entropy=target_entropy,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs=dict(policy_kwargs or {}),
            verbose=verbose,
            seed=seed,
            device=device,
            _init_setup_model=False,
        )
        # The parent's way of exploring that knows one action a state.
        del self.policy_kwargs["use_sde"]
        self.entropy_per_goal = entropy_per_goal
        self.entropy_in_target = entropy_in_target
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
        optimizers = [self.actor.optimizer, self.critic.optimizer]
        if self.ent_coef_optimizer is not None:
            optimizers.append(self.ent_coef_optimizer)
        self._update_learning_rate(optimizers)
        logged: dict[str, list[float]] = {"ent_coef": [], "actor_loss": [], "critic_loss": []}
        for _ in range(gradient_steps):
            goals, batch = self._draw_goals(), self._sample(batch_size)
            actions, log_probs = self.actor(batch.observations, goals)
            # As it was before this step's update, for both losses.
            ent_coef = self._ent_coef(goals).detach().clone()
            self._update_ent_coef(log_probs, goals)
            critic_loss = self._critic_loss(batch, self._targets(batch, goals, ent_coef), goals)
            self._descend(self.critic.optimizer, critic_loss)
            actor_loss = self._actor_loss(batch, actions, log_probs, goals, ent_coef)
            self._descend(self.actor.optimizer, actor_loss)
            self._n_updates += 1
            if self._n_updates % self.target_update_interval == 0:
                polyak_update(self.critic.parameters(), self.critic_target.parameters(), self.tau)
                polyak_update(self.batch_norm_stats, self.batch_norm_stats_target, 1.0)
            for name, value in (("ent_coef", ent_coef.mean()), ("actor_loss", actor_loss), ("critic_loss", critic_loss)):
                logged[name].append(value.item())
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        for name, values in logged.items():
            self.logger.record(f"train/{name}", np.mean(values))

    def learn(
        self: SelfLEOSAC,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 4,
        tb_log_name: str = "LEOSAC",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> SelfLEOSAC:
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

    def _setup_model(self) -> None:
        super()._setup_model()
        if self.ent_coef_optimizer is not None and self.log_ent_coef is not None and self.entropy_per_goal:
            self.log_ent_coef = self.log_ent_coef.detach().expand(len(self.goal_names)).clone().requires_grad_(True)
            self.ent_coef_optimizer = th.optim.Adam([self.log_ent_coef], lr=self.lr_schedule(1))

    def _check_options(self) -> None:
        super()._check_options()
        if self.entropy_in_target and self.policy_kwargs.get("squash", True):
            raise ValueError(
                "expected values without bounds for entropy_in_target=True, got values in [0, 1]: entropy is no probability; "
                'use loss="squared" and policy_kwargs={"squash": False}, or leave the entropy out of the targets'
            )

    def _ent_coef(self, goals: th.Tensor | None) -> th.Tensor:
        """The temperature of each goal, or the one of all ``[K]`` or ``[1]``."""
        if self.log_ent_coef is None:
            return self.ent_coef_tensor.reshape(1)
        chosen = self.log_ent_coef if goals is None or len(self.log_ent_coef) == 1 else self.log_ent_coef[goals]
        return chosen.exp()

    def _update_ent_coef(self, log_probs: th.Tensor, goals: th.Tensor | None) -> None:
        """Raises the temperature of goals whose actions are too certain, and lowers the others'."""
        if self.ent_coef_optimizer is None or self.log_ent_coef is None:
            return
        log_ent_coef = self.log_ent_coef if goals is None or len(self.log_ent_coef) == 1 else self.log_ent_coef[goals]
        assert isinstance(self.target_entropy, float)
        self._descend(self.ent_coef_optimizer, -(log_ent_coef * (log_probs + self.target_entropy).detach()).mean())

    def _targets(self, batch: GoalReplayBufferSamples, goals: th.Tensor | None, ent_coef: th.Tensor) -> th.Tensor:
        """What the critics should say of the actions taken, for each goal ``[B, K]``."""
        with th.no_grad():
            actions, log_probs = self.actor(batch.next_observations, goals)
            next_values = self._next_values(batch, actions, goals)
            if self.entropy_in_target:
                next_values = next_values - ent_coef * log_probs
        return self._bootstrapped(batch, next_values, goals)

    def _actor_loss(
        self,
        batch: GoalReplayBufferSamples,
        actions: th.Tensor,
        log_probs: th.Tensor,
        goals: th.Tensor | None,
        ent_coef: th.Tensor,
    ) -> th.Tensor:
        outputs = self.critic.lowest_diagonal(batch.observations, actions, goals)
        return self._over_goals(ent_coef * log_probs - outputs)
