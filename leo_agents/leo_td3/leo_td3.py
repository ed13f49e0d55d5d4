"""LEOTD3: TD3 for all goals from every transition."""

from typing import Any, ClassVar, Literal

import numpy as np
import torch as th
from stable_baselines3.common.noise import ActionNoise, NormalActionNoise
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from stable_baselines3.td3.td3 import TD3

from leo_agents.algorithms.continuous_algorithm import Batch, ContinuousGoalAlgorithm
from leo_agents.learning.losses import GoalReduction, all_goals_targets
from leo_agents.learning.optimization import polyak_update
from leo_agents.leo_td3.policies import DeterministicGoalActor, LEOTD3PointPolicy, LEOTD3Policy
from leo_agents.networks.candidate_goals import Goals
from leo_agents.networks.critic import GoalCritic
from leo_agents.replay.goal_replay_buffer import GoalReplayBuffer
from leo_wrappers.selection import GoalSelectorLike
from leo_wrappers.validation import check_at_least, check_integer

# Standard deviation of the default action noise; actions are in [-1, 1].
DEFAULT_NOISE = 0.1


class LEOTD3(ContinuousGoalAlgorithm, TD3):
    """
    Learning Everything all at Once (LEO) with TD3: twin critics and a deterministic actor, updated for all goals at once.

    As Stable-Baselines3's TD3, but the actor outputs an action pi_g(s) and the critics a value Q_g(s, a) for every goal g. The
    replay buffer stores which goals each transition achieved; achieving goal g ends the bootstrap of goal g only. Q_g is the
    discounted probability of reaching g. With one goal, linear values and the squared loss it is TD3 (up to the factor 0.5
    of the loss).

    With squashed values the actor maximizes logits: they have the same maximum, and their gradient does not vanish where
    values are close to 0 or 1.

    A deterministic actor can saturate at the action bounds: in mazes :class:`~leo_agents.leo_sac.leo_sac.LEOSAC` has learned
    in half the steps.

    :param policy: policy class, or ``"MultiGoalPolicy"``, or one of TD3's aliases (``"MlpPolicy"``, ...), all of which mean
        :class:`~leo_agents.leo_td3.policies.LEOTD3Policy`
    :param env: multi-goal environment, or its id, with actions in a Box with finite bounds; without commanded goals (a
        :class:`~leo_wrappers.sb3.VecGoalSampler` is added) or goal-conditioned; or a goal environment without a finite goal
        set, with ``achieved_goal``, ``desired_goal`` and a sparse ``compute_reward``, in which any point is a goal
    :param learning_rate: learning rate of all networks, or a schedule
    :param buffer_size: size of the replay buffer, in transitions
    :param learning_starts: number of environment steps, with random actions, before the first gradient step
    :param batch_size: number of transitions per gradient step
    :param tau: coefficient of the Polyak update of the target networks, 1 for hard updates, 0 for none
    :param gamma: discount factor
    :param train_freq: number of (vectorized) environment steps between updates
    :param gradient_steps: number of gradient steps per update, 1 if None; -1 for the number of transitions since the last one,
        0 for no training
    :param action_noise: noise added to actions during training; Gaussian with standard deviation 0.1 if None
    :param replay_buffer_class: :class:`~leo_agents.replay.goal_replay_buffer.GoalReplayBuffer` or a subclass; if the goals are
        points, :class:`~leo_agents.replay.point_goal_buffer.PointGoalReplayBuffer`
    :param replay_buffer_kwargs: additional arguments of the replay buffer, e.g. ``{"own_goals": 1}`` if the goals are points
    :param optimize_memory_usage: not supported for Dict observations
    :param n_steps: length of the n-step windows; for each goal the window ends where the goal is first achieved
    :param replay_ratio: number of gradient steps per transition, whatever the number of environments, in place of
        ``gradient_steps``
    :param policy_delay: number of critic updates per update of the actor and the target networks (2 in TD3)
    :param target_policy_noise: standard deviation of the noise of target actions, drawn independently per goal
    :param target_noise_clip: limit of the absolute value of that noise
    :param exploration_fraction: fraction of training over which the exploration rate is annealed
    :param exploration_initial_eps: initial probability of a uniformly random action
    :param exploration_final_eps: final probability of a uniformly random action
    :param exploration_spread: spread of the exploration rate over the parallel environments, as in Ape-X: environment i of N
        has ``rate ** (1 + exploration_spread * i / (N - 1))``; 0 for the same rate everywhere
    :param random_action_repeat: mean number of steps for which each random action is repeated: independent per-step noise
        barely moves a point mass
    :param max_grad_norm: maximum norm of the gradient, of actor and critic each
    :param loss: ``"bce"`` or ``"squared"``; ``"squared"`` for :class:`tasks <leo_wrappers.tasks.TaskSet>`
    :param goals_per_update: number of goals drawn for each gradient step; all goals if None. If the goals are points, the
        number that all rows of a batch have in common, 16 if None
    :param goal_reduction: ``"mean"`` or ``"sum"`` of the loss over the goals
    :param amp: automatic mixed precision, bfloat16. Only processors with bfloat16 matrix products profit on the CPU
    :param tf32: with CUDA, compute float32 matrix products in TensorFloat-32 while learning: several times as fast, with 10
        bits of mantissa
    :param cuda_graph: with CUDA, run updates as a CUDA graph; None to do so if the optimizer can be captured
    :param bc_weight: weight of behavior cloning in the actor's loss in ``learn_offline``, see :meth:`bc_loss`; 0 for none
    :param expectile: use the values of states in ``learn_offline`` that are this expectile, e.g. 0.9, of the values of the
        data's actions, instead of the values of the actor's actions, see :meth:`in_sample_targets`; None for the actor's
    :param goal_selector: how goals are commanded during training: name of a strategy, a goal, a function, or a
        :class:`~leo_wrappers.GoalSelector`; None leaves it to the environment (``"seen"`` with the added
        ``VecGoalSampler``)
    :param log_goals: whether to log the success rate of every goal
    :param stats_window_size: number of episodes of the logged averages
    :param tensorboard_log: TensorBoard log directory
    :param policy_kwargs: additional arguments of the policy, see
        :class:`~leo_agents.networks.continuous_policy.ContinuousGoalPolicy`
    :param verbose: 0 for no output, 1 for info, 2 for debug messages
    :param seed: seed of all random number generators
    :param device: ``"cpu"``, ``"cuda"`` or ``"auto"``
    :param _init_setup_model: whether to build the networks on creation

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
        "MultiGoalPolicy": LEOTD3Policy,
        "MlpPolicy": LEOTD3Policy,
        "CnnPolicy": LEOTD3Policy,
        "MultiInputPolicy": LEOTD3Policy,
    }
    learns_tasks: ClassVar[bool] = True
    point_policy_class = LEOTD3PointPolicy
    policy: LEOTD3Policy  # type: ignore[assignment]
    actor: DeterministicGoalActor  # type: ignore[assignment]
    actor_target: DeterministicGoalActor  # type: ignore[assignment]
    critic: GoalCritic  # type: ignore[assignment]
    critic_target: GoalCritic  # type: ignore[assignment]

    def __init__(
        self,
        policy: str | type[LEOTD3Policy],
        env: GymEnv | str,
        learning_rate: float | Schedule = 1e-3,
        buffer_size: int = 1_000_000,
        learning_starts: int = 1_000,
        batch_size: int = 256,
        tau: float = 0.05,
        gamma: float = 0.99,
        train_freq: int | tuple[int, str] = 1,
        gradient_steps: int | None = None,
        action_noise: ActionNoise | None = None,
        replay_buffer_class: type[GoalReplayBuffer] | None = None,
        replay_buffer_kwargs: dict[str, Any] | None = None,
        optimize_memory_usage: bool = False,
        n_steps: int = 1,
        replay_ratio: float | None = None,
        policy_delay: int = 1,
        target_policy_noise: float = 0.2,
        target_noise_clip: float = 0.5,
        exploration_fraction: float = 0.2,
        exploration_initial_eps: float = 0.2,
        exploration_final_eps: float = 0.2,
        exploration_spread: float = 0.0,
        random_action_repeat: int = 4,
        max_grad_norm: float = 10.0,
        loss: Literal["bce", "squared"] = "bce",
        goals_per_update: int | None = None,
        goal_reduction: GoalReduction = "mean",
        amp: bool = False,
        tf32: bool = True,
        cuda_graph: bool | None = None,
        bc_weight: float = 0.0,
        expectile: float | None = None,
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
        super().__init__(
            policy,
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
            replay_buffer_class=replay_buffer_class,
            replay_buffer_kwargs=replay_buffer_kwargs,
            optimize_memory_usage=optimize_memory_usage,
            n_steps=n_steps,
            replay_ratio=replay_ratio,
            policy_delay=policy_delay,
            target_policy_noise=target_policy_noise,
            target_noise_clip=target_noise_clip,
            exploration_fraction=exploration_fraction,
            exploration_initial_eps=exploration_initial_eps,
            exploration_final_eps=exploration_final_eps,
            exploration_spread=exploration_spread,
            random_action_repeat=random_action_repeat,
            max_grad_norm=max_grad_norm,
            loss=loss,
            goals_per_update=goals_per_update,
            goal_reduction=goal_reduction,
            amp=amp,
            tf32=tf32,
            cuda_graph=cuda_graph,
            bc_weight=bc_weight,
            expectile=expectile,
            goal_selector=goal_selector,
            log_goals=log_goals,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs=policy_kwargs,
            verbose=verbose,
            seed=seed,
            device=device,
        )
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        super()._setup_model()
        if self.action_noise is None:
            shape = self.action_space.shape or ()
            self.action_noise = NormalActionNoise(np.zeros(shape), np.full(shape, DEFAULT_NOISE))
        self._graphed_update = self._graphed()

    def _check_options(self) -> None:
        super()._check_options()
        check_integer("policy_delay", self.policy_delay, 1)
        check_at_least("target_policy_noise", self.target_policy_noise, 0)
        check_at_least("target_noise_clip", self.target_noise_clip, 0)

    def train(self, gradient_steps: int, batch_size: int = 256) -> None:
        """
        Sample the replay buffer and update critics and actor for all goals.

        :param gradient_steps: number of gradient steps
        :param batch_size: number of transitions per gradient step
        """
        self.policy.set_training_mode(True)
        self._update_learning_rate(self._optimizers())
        logged: dict[str, list[th.Tensor]] = {"actor_loss": [], "critic_loss": []}
        for _ in range(gradient_steps):
            self._n_updates += 1
            batch = self._sample_batch(batch_size)
            updates_actor = self._n_updates % self.policy_delay == 0
            losses = self._graphed_update(batch, self._goals_of_update(batch), updates_actor, self.is_offline)
            for name, loss in losses.items():
                logged[name].append(loss)
        self._log_update(logged)

    def _update(  # type: ignore[override]
        self, batch: Batch, goals: Goals, updates_actor: bool, is_offline: bool = False
    ) -> dict[str, th.Tensor]:
        if is_offline and self.expectile is not None:
            critic_loss = self._offline_critic_loss(batch, goals)
        else:
            critic_loss = self.critic_loss(batch, self.targets(batch, goals), goals)
        self._minimize(self.critic.optimizer, critic_loss)
        losses = {"critic_loss": critic_loss.detach()}
        if updates_actor:
            actor_loss = self.actor_loss(batch, goals, self.bc_weight if is_offline else 0.0)
            self._minimize(self.actor.optimizer, actor_loss)
            self._update_target_networks()
            losses["actor_loss"] = actor_loss.detach()
        return losses

    def targets(self, batch: Batch, goals: Goals = None) -> th.Tensor:
        """
        Compute the TD targets of the taken actions, with V_g(s') the minimum over critics of Q_target,g(s', a') and a' =
        pi_target,g(s') + noise.

        :param batch: transitions or n-step windows
        :param goals: goals to compute, ids ``[K]`` or points; all goals if None
        :return: ``[B, G]`` or ``[B, K]``
        """
        with th.no_grad(), self._autocast(self.amp):
            next_actions = self.actor_target(batch.next_observations, goals)
            noise = th.randn_like(next_actions).mul_(self.target_policy_noise)
            noise = noise.clamp_(-self.target_noise_clip, self.target_noise_clip)
            next_values = self._next_q_values(batch, (next_actions + noise).clamp_(-1.0, 1.0), goals)
        discounts, ended = batch.discounts_of(goals, self.gamma), batch.ended_of(goals)
        return all_goals_targets(batch.returns_of(goals), next_values.float(), batch.dones, discounts, ended)

    def actor_loss(self, batch: Batch, goals: Goals = None, bc_weight: float = 0.0) -> th.Tensor:
        """
        Compute the mean of -Q_g(s, pi_g(s)), by the first critic.

        :param batch: transitions
        :param goals: goals to compute, ids ``[K]`` or points; all goals if None
        :param bc_weight: weight of :meth:`bc_loss`
        :return: a scalar
        """
        with self._autocast(self.amp):
            actions = self.actor(batch.observations, goals)
            (outputs,) = self.critic.diagonal(batch.observations, actions, goals, n_critics=1)
        loss = -self._mean_over_batch(outputs.float())
        return loss + bc_weight * self.bc_loss(batch, actions) if bc_weight else loss

    def _update_target_networks(self) -> None:
        polyak_update(self.critic.parameters(), self.critic_target.parameters(), self.tau)
        polyak_update(self.actor.parameters(), self.actor_target.parameters(), self.tau)
        polyak_update(self.critic_batch_norm_stats, self.critic_batch_norm_stats_target, 1.0)
        polyak_update(self.actor_batch_norm_stats, self.actor_batch_norm_stats_target, 1.0)
