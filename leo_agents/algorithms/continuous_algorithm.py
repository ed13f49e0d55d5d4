"""Base class of the actor-critic algorithms with continuous actions."""

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.buffers import BaseBuffer
from stable_baselines3.common.noise import ActionNoise, VectorizedActionNoise
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback
from stable_baselines3.common.vec_env import VecEnv

from leo_agents.algorithms.env_wrapping import wrap_env, wrap_multi_goal_env
from leo_agents.algorithms.exploration import RepeatedRandomActions, spread_epsilon
from leo_agents.algorithms.goal_env import RewardGoalTest, check_goal_env, has_point_goals
from leo_agents.algorithms.off_policy_algorithm import GoalOffPolicyAlgorithm
from leo_agents.learning.cuda_graph import GraphedFunction
from leo_agents.learning.losses import all_goals_targets, check_expectile, expectile_weights, goals_loss
from leo_agents.learning.optimization import optimizer_step
from leo_agents.learning.probe import Probe
from leo_agents.networks.candidate_goals import Goals
from leo_agents.networks.continuous_policy import ContinuousGoalPolicy
from leo_agents.networks.critic import GoalCritic
from leo_agents.networks.point_policy import PointGoalPolicyMixin
from leo_agents.networks.policies import Observation
from leo_agents.replay.goal_replay_buffer import GoalReplayBuffer, GoalReplayBufferSamples
from leo_agents.replay.point_goal_buffer import PointGoalReplayBuffer, PointGoalReplayBufferSamples
from leo_wrappers.validation import check_at_least, check_integer

# Goals that all rows of a batch have in common, if the goals are points and goals_per_update is None.
SHARED_GOALS = 16

Batch = GoalReplayBufferSamples | PointGoalReplayBufferSamples


class ContinuousGoalAlgorithm(GoalOffPolicyAlgorithm):
    """
    Mixin for Stable-Baselines3's TD3 or SAC, to be listed before it among the base classes.

    The goals are those of the environment's finite set, or, in a goal environment without one, all points of the space of
    ``desired_goal``.

    The parameters are those of :class:`~leo_agents.leo_td3.leo_td3.LEOTD3`.
    """

    checkpointed: ClassVar[tuple[str, ...]] = ("random_behavior",)
    not_saved: ClassVar[tuple[str, ...]] = (*GoalOffPolicyAlgorithm.not_saved, "random_behavior", "_graphed_update")
    replay_buffer_classes: ClassVar[tuple[type[BaseBuffer], ...]] = (GoalReplayBuffer, PointGoalReplayBuffer)
    point_policy_class: ClassVar[type[PointGoalPolicyMixin]]
    """Class of the policy if the goals are points."""
    policy: ContinuousGoalPolicy  # type: ignore[assignment]
    critic: GoalCritic
    critic_target: GoalCritic
    _graphed_update: GraphedFunction[dict[str, th.Tensor]]

    def __init__(
        self,
        policy: Any,
        env: GymEnv | str,
        *,
        random_action_repeat: int,
        bc_weight: float,
        expectile: float | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(policy, env, **kwargs)
        self.random_action_repeat = random_action_repeat
        self.bc_weight = bc_weight
        self.expectile = expectile
        if expectile is not None:
            self.policy_kwargs = {**self.policy_kwargs, "has_value_net": True}

    @staticmethod
    def _wrap_env(env: GymEnv, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
        venv = wrap_env(env, verbose, monitor_wrapper)
        venv = check_goal_env(venv) if has_point_goals(venv) else wrap_multi_goal_env(venv, verbose, monitor_wrapper)
        space = venv.action_space
        if not isinstance(space, spaces.Box):
            remedy = "use LEODQN" if isinstance(space, spaces.Discrete) else "make them one Box"
            raise ValueError(f"expected continuous actions, a Box, got {space}; {remedy}")
        if not (np.isfinite(space.low).all() and np.isfinite(space.high).all() and (space.low < space.high).all()):
            raise ValueError(
                f"expected actions with finite bounds, low below high, got {space}; "
                "set them with gymnasium.wrappers.RescaleAction or in the environment"
            )
        return venv

    @property
    def has_point_goals(self) -> bool:
        """Whether the goals are points, and not a finite set."""
        return issubclass(self.policy_class, PointGoalPolicyMixin)

    def predict(
        self,
        observation: Observation,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """
        Get the actions for the commanded goals.

        :param observation: observations with ``goal_id``
        :param state: returned as it is
        :param episode_start: not used
        :param deterministic: whether to return deterministic actions
        :return: the actions and the state
        """
        return self.policy.predict(observation, state, episode_start, deterministic)

    def _check_options(self) -> None:
        super()._check_options()
        check_integer("random_action_repeat", self.random_action_repeat, 1)
        check_at_least("bc_weight", self.bc_weight, 0)
        if self.expectile is not None:
            check_expectile(self.expectile)
        if not isinstance(self.action_noise, ActionNoise | None):
            raise TypeError(f"expected action_noise to be an ActionNoise, got {self.action_noise!r}; use NormalActionNoise")

    def _setup_model(self) -> None:
        super()._setup_model()
        self.random_behavior = RepeatedRandomActions(get_action_dim(self.action_space), self.random_action_repeat)

    def _setup_goals(self) -> None:
        if self.env is not None and has_point_goals(self.env):
            self._use_points()
        if self.has_point_goals:
            return
        if not issubclass(self.replay_buffer_class, GoalReplayBuffer):  # type: ignore[arg-type]
            raise ValueError(
                f"expected a GoalReplayBuffer for a finite goal set, got {self.replay_buffer_class}; leave out "
                "replay_buffer_class, or hide the goal set with AnyGoalWrapper"
            )
        super()._setup_goals()

    def _use_points(self) -> None:
        """Let the goals be points: choose the policy and the replay buffer."""
        if self.goal_names:
            raise ValueError(
                f"expected an environment with the {len(self.goal_names)} goals of the model, got one without goal_names; "
                "wrap it with MultiGoalWrapper and the goal set of the training"
            )
        for name, value in (("goal_selector", self.goal_selector), ("log_goals", self.log_goals)):
            if value:
                raise ValueError(
                    f"expected no {name} in an environment without a finite goal set, got {value!r}; leave it out, or wrap "
                    "the environment with MultiGoalWrapper and a goal set"
                )
        if not self.has_point_goals:
            if not issubclass(self.point_policy_class, self.policy_class):
                raise ValueError(
                    f"expected {self.point_policy_class.__name__} or a subclass for goals that are points, got "
                    f'{self.policy_class.__name__}; use "MultiGoalPolicy"'
                )
            self.policy_class = self.point_policy_class
        if self.replay_buffer_class is GoalReplayBuffer:
            self.replay_buffer_class = PointGoalReplayBuffer  # type: ignore[assignment]
        shared_goals = SHARED_GOALS if self.goals_per_update is None else self.goals_per_update
        check_integer("goals_per_update", shared_goals, 0)
        self.replay_buffer_kwargs = {"shared_goals": shared_goals, **self.replay_buffer_kwargs}
        self.policy_kwargs = {**self.policy_kwargs, "goal_names": ()}

    def _check_goals(self, env: VecEnv) -> None:
        if not self.has_point_goals:
            super()._check_goals(env)
        elif not has_point_goals(env):
            raise ValueError(
                "expected a goal environment without a finite goal set, in which the model was trained, got one with "
                "goal_names; leave out MultiGoalWrapper"
            )

    def _sample_batch(self, batch_size: int) -> Any:
        if self.has_point_goals:
            assert isinstance(self.replay_buffer, PointGoalReplayBuffer) and self.env is not None
            test = self.replay_buffer.goal_test
            if not isinstance(test, RewardGoalTest) or test.venv is not self.env:
                self.replay_buffer.goal_test = RewardGoalTest(self.env)
        return super()._sample_batch(batch_size)

    def _goals_of_update(self, batch: Batch) -> Goals:
        """Return the goals that a batch updates; None for all goals of a finite set."""
        return batch.goals if isinstance(batch, PointGoalReplayBufferSamples) else self._sample_goals()

    def _setup_learn(self, total_timesteps: int, callback: MaybeCallback = None, *args: Any, **kwargs: Any) -> Any:
        # The base class vectorizes the noise once; a loaded model may have another number of environments.
        noise = self.action_noise
        if isinstance(noise, VectorizedActionNoise) and self.env is not None and noise.n_envs != self.env.num_envs:
            self.action_noise = noise.base_noise
        return super()._setup_learn(total_timesteps, callback, *args, **kwargs)

    def _sample_action(
        self, learning_starts: int, action_noise: ActionNoise | None = None, n_envs: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        action, buffer_action = super()._sample_action(learning_starts, action_noise, n_envs)
        epsilon = 1.0 if self.num_timesteps < learning_starts else self.exploration_rate
        epsilons = spread_epsilon(epsilon, self.exploration_spread, n_envs)
        is_random = self.random_behavior.sample(n_envs, epsilons)
        buffer_action = np.where(is_random[:, None], self.random_behavior.actions, buffer_action.reshape(n_envs, -1))
        buffer_action = buffer_action.reshape(action.shape).astype(action.dtype)
        return self.policy.unscale_action(buffer_action), buffer_action

    def _next_q_values(self, batch: Batch, next_actions: th.Tensor, goals: Goals) -> th.Tensor:
        """Return min over critics of Q_target,g(s', a'_g) ``[B, K]``."""
        return self.critic_target.values(self.critic_target.lowest_diagonal(batch.next_observations, next_actions, goals))

    def in_sample_targets(self, batch: Batch, goals: Goals = None) -> th.Tensor:
        """
        Compute the TD targets of the taken actions with V_g(s') of the value network, as in implicit Q-learning
        (https://arxiv.org/abs/2110.06169): no value of an action that the data does not contain is used.

        :param batch: transitions or n-step windows
        :param goals: goals to compute, ids ``[K]`` or points; all goals if None
        :return: ``[B, G]`` or ``[B, K]``
        """
        with th.no_grad():
            next_values = self.critic.values(self._value_outputs(batch.next_observations, batch.actions, goals))
        discounts, ended = batch.discounts_of(goals, self.gamma), batch.ended_of(goals)
        return all_goals_targets(batch.returns_of(goals), next_values, batch.dones, discounts, ended)

    def value_loss(self, batch: Batch, goals: Goals = None) -> th.Tensor:
        """
        Compute the loss whose minimum V_g(s) is an expectile of min over critics of Q_target,g(s, a) over the actions of the
        data.

        :param batch: transitions or n-step windows
        :param goals: goals to compute, ids ``[K]`` or points; all goals if None
        :return: a scalar
        """
        assert self.expectile is not None
        with th.no_grad(), self._autocast(self.amp):
            lowest = th.stack(self.critic_target.taken(batch.observations, batch.actions, goals)).amin(dim=0)
            q_values = self.critic_target.values(lowest.float())
        outputs = self._value_outputs(batch.observations, batch.actions, goals)
        weights = expectile_weights(self.critic.values(outputs), q_values, self.expectile)
        return goals_loss(outputs, q_values, goal_weights=weights, **self._loss_options(goals))

    def _value_outputs(self, observations: Any, actions: th.Tensor, goals: Goals) -> th.Tensor:
        """Return the outputs for V_g(s) of the value network ``[B, G]`` or ``[B, K]``, before the sigmoid."""
        with self._autocast(self.amp):
            return self.policy.value_net.taken(observations, th.zeros_like(actions), goals)[0].float()

    def _offline_critic_loss(self, batch: Batch, goals: Goals) -> th.Tensor:
        """Return the loss of critics and value network with in-sample targets."""
        return self.critic_loss(batch, self.in_sample_targets(batch, goals), goals) + self.value_loss(batch, goals)

    def critic_loss(self, batch: Batch, targets: th.Tensor, goals: Goals = None) -> th.Tensor:
        """
        Compute the sum of the critics' losses of the taken actions.

        :param batch: transitions or n-step windows
        :param targets: ``[B, G]`` or ``[B, K]``
        :param goals: goals of the targets, ids ``[K]`` or points; all goals if None
        :return: a scalar
        """
        with self._autocast(self.amp):
            outputs = self.critic.taken(batch.observations, batch.actions, goals)
        return th.stack([goals_loss(one.float(), targets, **self._loss_options(goals)) for one in outputs]).sum()

    def _loss_options(self, goals: Goals) -> dict[str, Any]:
        return {
            "loss": self.loss,
            "squash": self.critic.squash,
            "goal_reduction": self.goal_reduction,
            "goals": goals if isinstance(goals, th.Tensor) else None,
            "checks": self.finite_checks,
        }

    def probe(self, batch_size: int) -> Probe:
        """
        Compute outputs and targets of some transitions without an update.

        :param batch_size: number of transitions, drawn from the replay buffer
        :return: outputs of the first critic and targets, of all goals of a finite set
        """
        batch = self._sample_batch(batch_size)
        outputs = self.critic.taken(batch.observations, batch.actions)[0]
        return Probe(outputs, self.targets(batch), self.critic)

    @abstractmethod
    def targets(self, batch: Any, goals: Goals = None) -> th.Tensor:
        """
        Compute the TD targets of the taken actions.

        :param batch: transitions or n-step windows
        :param goals: goals to compute, ids ``[K]`` or points; all goals if None
        :return: ``[B, G]`` or ``[B, K]``
        """

    def bc_loss(self, batch: Batch, actions: th.Tensor) -> th.Tensor:
        """
        Compute the mean squared distance of the actor's actions to the taken ones, as in TD3+BC
        (https://arxiv.org/abs/2106.06860): values of actions far from those of the data are extrapolated.

        :param batch: transitions
        :param actions: from the actor, ``[B, G, act]`` or ``[B, K, act]``
        :return: a scalar
        """
        return self._mean_over_batch((actions.float() - batch.actions.unsqueeze(1)).square().mean(dim=2))

    def _mean_over_batch(self, losses: th.Tensor) -> th.Tensor:
        """Reduce per-goal actor losses ``[B, K]`` over goals by ``goal_reduction``, and average over the batch."""
        return losses.mean() if self.goal_reduction == "mean" else losses.sum() / len(losses)

    def _minimize(self, optimizer: th.optim.Optimizer, loss: th.Tensor) -> None:
        optimizer_step(optimizer, loss, self.max_grad_norm, self.finite_checks)

    @abstractmethod
    def _update(self, batch: Batch, goals: Goals, updates_rest: bool, is_offline: bool) -> dict[str, th.Tensor]:
        """
        Perform a gradient step.

        :param batch: transitions or n-step windows
        :param goals: goals to update, ids ``[K]`` or points; all goals if None
        :param updates_rest: whether to update what is updated every few steps only
        :param is_offline: whether to use in-sample targets and to add the loss of behavior cloning, if asked for
        :return: scalars to log
        """

    def _optimizers(self) -> list[th.optim.Optimizer]:
        """Return the optimizers of a gradient step."""
        return [self.policy.actor.optimizer, self.policy.critic.optimizer]

    def _graphed(self) -> GraphedFunction[dict[str, th.Tensor]]:
        return GraphedFunction(self._update, self.policy, self._optimizers(), self.cuda_graph)
