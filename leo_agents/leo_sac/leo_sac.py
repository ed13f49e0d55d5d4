"""LEOSAC: SAC for all goals from every transition."""

from math import isfinite
from typing import Any, ClassVar, Literal

import torch as th
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from stable_baselines3.sac.sac import SAC

from leo_agents.algorithms.continuous_algorithm import Batch, ContinuousGoalAlgorithm
from leo_agents.learning.losses import GoalReduction, all_goals_targets
from leo_agents.learning.optimization import polyak_update
from leo_agents.leo_sac.policies import GaussianGoalActor, LEOSACPointPolicy, LEOSACPolicy
from leo_agents.networks.candidate_goals import Goals
from leo_agents.networks.critic import GoalCritic
from leo_agents.networks.device import is_asynchronous
from leo_agents.replay.goal_replay_buffer import GoalReplayBuffer
from leo_wrappers.selection import GoalSelectorLike
from leo_wrappers.validation import check_at_least, check_finite, check_integer


def check_ent_coef(ent_coef: str | float) -> None:
    """
    Raise an error unless an entropy coefficient is a number of at least 0, ``"auto"`` or ``"auto_x"`` with a positive x.

    :param ent_coef: the coefficient
    """
    if not isinstance(ent_coef, str):
        check_at_least("ent_coef", ent_coef, 0)
        return
    start, separator, initial_value = ent_coef.partition("_")
    try:
        valid = start == "auto" and (not separator or (isfinite(float(initial_value)) and float(initial_value) > 0.0))
    except ValueError:
        valid = False
    if not valid:
        raise ValueError(f'expected ent_coef to be a number, "auto" or e.g. "auto_0.02", got {ent_coef!r}; pass one of these')


class LEOSAC(ContinuousGoalAlgorithm, SAC):
    """
    Learning Everything all at Once (LEO) with SAC: twin critics and a stochastic actor, updated for all goals at once.

    As Stable-Baselines3's SAC, but the actor outputs a distribution pi_g(a | s) and the critics a value Q_g(s, a) for every
    goal g. The replay buffer stores which goals each transition achieved; achieving goal g ends the bootstrap of goal g only.

    SAC's targets contain the entropy of future actions. Q_g, the discounted probability of reaching g, has no room for it: it
    would leave ``[0, 1]``, where cross-entropy is undefined. By default the entropy is therefore part of the actor's
    objective only,

        E[logit Q_g(s, a)] + alpha_g * H(pi_g(. | s)),

    in logits rather than values: values of different actions differ by a few hundredths, at a scale that depends on the goal
    and that the entropy coefficient alpha_g would have to follow. With ``entropy_in_target=True``, linear values, the squared
    loss and one goal it is SAC.

    Parameters not listed here are as in :class:`~leo_agents.leo_td3.leo_td3.LEOTD3`.

    :param policy: policy class, or ``"MultiGoalPolicy"``, or one of SAC's aliases (``"MlpPolicy"``, ...), all of which mean
        :class:`~leo_agents.leo_sac.policies.LEOSACPolicy`
    :param action_noise: noise added to actions during training, in addition to the policy's
    :param ent_coef: entropy coefficient, ``"auto_0.02"`` to learn it starting from 0.02: good and bad actions differ by a few
        tenths of a logit, and a coefficient of 1 would dominate for a thousand steps
    :param target_update_interval: number of gradient steps between updates of the target network
    :param target_entropy: target of a learned entropy coefficient, ``"auto"`` for minus the dimension of the actions
    :param entropy_per_goal: learn an entropy coefficient per goal instead of one for all goals
    :param use_sde: not supported, because state-dependent exploration learns the noise of a single policy
    :param entropy_in_target: add the entropy to the critics' targets as SAC does; needs ``loss="squared"`` and
        ``policy_kwargs={"squash": False}``

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
        "MultiGoalPolicy": LEOSACPolicy,
        "MlpPolicy": LEOSACPolicy,
        "CnnPolicy": LEOSACPolicy,
        "MultiInputPolicy": LEOSACPolicy,
    }
    learns_tasks: ClassVar[bool] = True
    point_policy_class = LEOSACPointPolicy
    policy: LEOSACPolicy  # type: ignore[assignment]
    actor: GaussianGoalActor  # type: ignore[assignment]
    critic: GoalCritic  # type: ignore[assignment]
    critic_target: GoalCritic  # type: ignore[assignment]

    def __init__(
        self,
        policy: str | type[LEOSACPolicy],
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
        ent_coef: str | float = "auto_0.02",
        target_update_interval: int = 1,
        target_entropy: str | float = "auto",
        entropy_per_goal: bool = True,
        entropy_in_target: bool = False,
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
        use_sde: bool = False,
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
            ent_coef=ent_coef,
            target_update_interval=target_update_interval,
            target_entropy=target_entropy,
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
            use_sde=use_sde,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs=dict(policy_kwargs or {}),
            verbose=verbose,
            seed=seed,
            device=device,
        )
        # Added by SAC; the policy has no state-dependent exploration.
        del self.policy_kwargs["use_sde"]
        self.entropy_per_goal = entropy_per_goal
        self.entropy_in_target = entropy_in_target
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        super()._setup_model()
        if self.ent_coef_optimizer is not None and self.log_ent_coef is not None:
            if self._has_ent_coef_per_goal:
                self.log_ent_coef = self.log_ent_coef.detach().expand(len(self.goal_names)).clone().requires_grad_(True)
            fused = is_asynchronous(self.device) or None
            self.ent_coef_optimizer = th.optim.Adam([self.log_ent_coef], lr=self.lr_schedule(1), fused=fused)
        self._graphed_update = self._graphed()

    @property
    def _has_ent_coef_per_goal(self) -> bool:
        return self.entropy_per_goal and not self.has_point_goals

    def _check_options(self) -> None:
        super()._check_options()
        if self.use_sde:
            raise ValueError(
                "expected use_sde=False, got True: state-dependent exploration learns the noise of one policy, LEOSAC has one "
                "policy per goal; for exploration that is correlated in time use random_action_repeat or action_noise"
            )
        check_integer("target_update_interval", self.target_update_interval, 1)
        check_ent_coef(self.ent_coef)
        if self.target_entropy != "auto":
            check_finite("target_entropy", self.target_entropy)
        if self.entropy_in_target and self.policy_kwargs.get("squash", True):
            raise ValueError(
                'expected values without bounds for entropy_in_target=True, got values in [0, 1]; use loss="squared" and '
                'policy_kwargs={"squash": False}, or entropy_in_target=False'
            )

    def train(self, gradient_steps: int, batch_size: int = 256) -> None:
        """
        Sample the replay buffer and update critics, actor and entropy coefficients for all goals.

        :param gradient_steps: number of gradient steps
        :param batch_size: number of transitions per gradient step
        """
        self.policy.set_training_mode(True)
        self._update_learning_rate(self._optimizers())
        logged: dict[str, list[th.Tensor]] = {"ent_coef": [], "actor_loss": [], "critic_loss": []}
        for _ in range(gradient_steps):
            self._n_updates += 1
            batch = self._sample_batch(batch_size)
            updates_target = self._n_updates % self.target_update_interval == 0
            values = self._graphed_update(batch, self._goals_of_update(batch), updates_target, self.is_offline)
            for name, value in values.items():
                logged[name].append(value)
        self._log_update(logged)

    def _update(  # type: ignore[override]
        self, batch: Batch, goals: Goals, updates_target: bool, is_offline: bool = False
    ) -> dict[str, th.Tensor]:
        with self._autocast(self.amp):
            actions, log_probs = self.actor(batch.observations, goals)
        if is_asynchronous(self.device):  # else the actor has checked its outputs
            ids = goals if isinstance(goals, th.Tensor) else None
            self.finite_checks.check_loss(log_probs.sum(), log_probs, log_probs, ids)
        # Both losses use the coefficient before its update.
        ent_coef = self._ent_coef(goals).detach().clone()
        self._update_ent_coef(log_probs, goals)
        if is_offline and self.expectile is not None:
            critic_loss = self._offline_critic_loss(batch, goals)
        else:
            critic_loss = self.critic_loss(batch, self.targets(batch, goals, ent_coef), goals)
        self._minimize(self.critic.optimizer, critic_loss)
        actor_loss = self.actor_loss(batch, actions, log_probs, goals, ent_coef)
        if is_offline and self.bc_weight:
            actor_loss = actor_loss + self.bc_weight * self.bc_loss(batch, actions)
        self._minimize(self.actor.optimizer, actor_loss)
        if updates_target:
            polyak_update(self.critic.parameters(), self.critic_target.parameters(), self.tau)
            polyak_update(self.batch_norm_stats, self.batch_norm_stats_target, 1.0)
        return {"ent_coef": ent_coef.mean(), "actor_loss": actor_loss.detach(), "critic_loss": critic_loss.detach()}

    def _optimizers(self) -> list[th.optim.Optimizer]:
        return [*super()._optimizers(), *([] if self.ent_coef_optimizer is None else [self.ent_coef_optimizer])]

    def targets(self, batch: Batch, goals: Goals = None, ent_coef: th.Tensor | None = None) -> th.Tensor:
        """
        Compute the TD targets of the taken actions, with V_g(s') the minimum over critics of Q_target,g(s', a') and a' ~
        pi_g(. | s').

        :param batch: transitions or n-step windows
        :param goals: goals to compute, ids ``[K]`` or points; all goals if None
        :param ent_coef: entropy coefficients for ``entropy_in_target``, ``[K]`` or ``[1]``; the current ones if None
        :return: ``[B, G]`` or ``[B, K]``
        """
        with th.no_grad(), self._autocast(self.amp):
            next_actions, log_probs = self.actor(batch.next_observations, goals)
            next_values = self._next_q_values(batch, next_actions, goals)
            if self.entropy_in_target:
                next_values = next_values - (self._ent_coef(goals) if ent_coef is None else ent_coef) * log_probs
        discounts, ended = batch.discounts_of(goals, self.gamma), batch.ended_of(goals)
        return all_goals_targets(batch.returns_of(goals), next_values.float(), batch.dones, discounts, ended)

    def actor_loss(
        self,
        batch: Batch,
        actions: th.Tensor,
        log_probs: th.Tensor,
        goals: Goals,
        ent_coef: th.Tensor,
    ) -> th.Tensor:
        """
        Compute the mean of alpha_g log pi_g(a | s) - min over critics of Q_g(s, a).

        :param batch: transitions
        :param actions: from the actor, ``[B, G, act]`` or ``[B, K, act]``
        :param log_probs: of these actions, ``[B, G]`` or ``[B, K]``
        :param goals: goals of the actions ``[K]``; all goals if None
        :param ent_coef: alpha_g, ``[K]`` or ``[1]``
        :return: a scalar
        """
        with self._autocast(self.amp):
            outputs = self.critic.lowest_diagonal(batch.observations, actions, goals)
        return self._mean_over_batch(ent_coef * log_probs - outputs.float())

    def _ent_coef(self, goals: Goals) -> th.Tensor:
        """Return the entropy coefficients of the goals ``[K]``, or the common one ``[1]``."""
        if self.log_ent_coef is None:
            return self.ent_coef_tensor.reshape(1)
        return self._log_ent_coef_of(self.log_ent_coef, goals).exp()

    def _update_ent_coef(self, log_probs: th.Tensor, goals: Goals) -> None:
        """Increase the coefficient of goals whose entropy is below the target, decrease the others."""
        if self.ent_coef_optimizer is None or self.log_ent_coef is None:
            return
        log_ent_coef = self._log_ent_coef_of(self.log_ent_coef, goals)
        assert isinstance(self.target_entropy, float)
        loss = -(log_ent_coef * (log_probs + self.target_entropy).detach()).mean()
        self._minimize(self.ent_coef_optimizer, loss)

    @staticmethod
    def _log_ent_coef_of(log_ent_coef: th.Tensor, goals: Goals) -> th.Tensor:
        return log_ent_coef[goals] if isinstance(goals, th.Tensor) and len(log_ent_coef) > 1 else log_ent_coef
