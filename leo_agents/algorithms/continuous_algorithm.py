"""What the algorithms for continuous actions share."""

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.noise import ActionNoise, VectorizedActionNoise
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback
from stable_baselines3.common.vec_env import VecEnv

from leo_agents.algorithms.off_policy_algorithm import GoalOffPolicyAlgorithm
from leo_agents.learning.losses import LOSSES, all_goals_targets, check_finite_goals
from leo_agents.networks.continuous_policy import ContinuousGoalPolicy
from leo_agents.networks.critic import GoalCritic
from leo_agents.networks.policies import Observation
from leo_agents.replay.goal_replay_buffer import GoalReplayBuffer, GoalReplayBufferSamples


class HeldRandomActions:
    """
    Stretches of one random action, in some environments at a time: a point shaken at every step stays where it is.

    :param action_dim: number of components of an action
    :param hold: mean length of a stretch
    """

    def __init__(self, action_dim: int, hold: int) -> None:
        self.hold = hold
        self.actions: npt.NDArray[np.float64] = np.zeros((0, action_dim))
        self._left: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def step(self, n_envs: int, share: float) -> npt.NDArray[np.bool_]:
        """
        :param n_envs: number of environments
        :param share: of the steps that are to be random, in the long run
        :return: in which environments the next step is to be that in ``actions``
        """
        if len(self._left) != n_envs:
            self.actions, self._left = np.zeros((n_envs, self.actions.shape[1])), np.zeros(n_envs, dtype=np.int64)
        # A stretch takes several steps for one chance, hence the smaller chance.
        chance = share / (self.hold * (1.0 - share) + share)
        begins = np.flatnonzero((self._left == 0) & (np.random.random(n_envs) < chance))
        self._left[begins] = np.random.geometric(1.0 / self.hold, len(begins))
        self.actions[begins] = np.random.uniform(-1.0, 1.0, (len(begins), self.actions.shape[1]))
        random = self._left > 0
        self._left -= random
        return random


class ContinuousGoalAlgorithm(GoalOffPolicyAlgorithm):
    """
    A mixin, to stand before Stable-Baselines3's TD3 or SAC.

    ``random_actions`` is the share of random actions in training, ``random_hold`` for how many steps each is held on average.
    """

    # What a checkpoint must hold besides what save() writes.
    checkpointed: ClassVar[tuple[str, ...]] = ("random_behaviour",)

    policy: ContinuousGoalPolicy  # type: ignore[assignment]
    critic: GoalCritic  # type: ignore[assignment]
    critic_target: GoalCritic  # type: ignore[assignment]
    replay_buffer: GoalReplayBuffer | None
    random_actions: float
    random_hold: int

    @staticmethod
    def _wrap_env(env: GymEnv, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
        """As the parents; refuses actions of another kind before they fail in the midst of training."""
        venv = GoalOffPolicyAlgorithm._wrap_env(env, verbose, monitor_wrapper)
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

    def values(self, observation: Observation) -> npt.NDArray[np.float32]:
        """
        The value of every goal, of the action that is best for it.

        :param observation: a batch of observations, or a single one
        :return: ``[B, G]``
        """
        return self.policy.values(observation)

    def expected_steps(self, observation: Observation) -> npt.NDArray[Any]:
        """
        The values as numbers of steps.

        :param observation: a batch of observations, or a single one
        :return: ``[B, G]``, infinite where the value is 0
        """
        return self.policy.expected_steps(observation, self.gamma)

    def predict(
        self,
        observation: Observation,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """
        The actions for the goals in the observations.

        :param observation: observations with ``goal_id``
        :param state: passed through
        :param episode_start: no effect
        :param deterministic: no effect on a policy that is not random
        :return: the actions and the state
        """
        return self.policy.predict(observation, state, episode_start, deterministic)

    def _check_options(self) -> None:
        super()._check_options()
        if not 0.0 <= self.random_actions <= 1.0:
            raise ValueError(f"expected random_actions between 0 and 1, got {self.random_actions}")
        if self.random_hold < 1:
            raise ValueError(f"expected random_hold of at least 1, got {self.random_hold}")

    def _setup_model(self) -> None:
        self._check_options()
        self._bind_goals()
        super()._setup_model()
        self.random_behaviour = HeldRandomActions(get_action_dim(self.action_space), self.random_hold)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "random_behaviour"]

    def _setup_learn(self, total_timesteps: int, callback: MaybeCallback = None, *args: Any, **kwargs: Any) -> Any:
        # A loaded model may have other environments than its noise was made for; the parent only ever adds a vector to it.
        noise = self.action_noise
        if isinstance(noise, VectorizedActionNoise) and self.env is not None and noise.n_envs != self.env.num_envs:
            self.action_noise = noise.base_noise
        return super()._setup_learn(total_timesteps, callback, *args, **kwargs)

    def _sample_action(
        self, learning_starts: int, action_noise: ActionNoise | None = None, n_envs: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        """As the parent; in some environments a random action instead."""
        action, buffer_action = super()._sample_action(learning_starts, action_noise, n_envs)
        random = self.random_behaviour.step(n_envs, 1.0 if self.num_timesteps < learning_starts else self.random_actions)
        buffer_action = np.where(random[:, None], self.random_behaviour.actions, buffer_action.reshape(n_envs, -1))
        buffer_action = buffer_action.reshape(action.shape).astype(action.dtype)
        return self.policy.unscale_action(buffer_action), buffer_action

    def _sample(self, batch_size: int) -> GoalReplayBufferSamples:
        assert self.replay_buffer is not None
        sampled: Any = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)
        return sampled  # type: ignore[no-any-return]

    def _critic_loss(self, batch: GoalReplayBufferSamples, targets: th.Tensor, goals: th.Tensor | None) -> th.Tensor:
        """The critics' losses about some goals, or all, as a sum; an error names the goals that are not finite."""
        total = th.zeros((), device=targets.device)
        for outputs in self.critic.taken(batch.observations, batch.actions, goals):
            predictions = outputs if self.loss == "bce" else self.critic.values(outputs)
            loss = LOSSES[self.loss](predictions, targets, goal_reduction=self.goal_reduction)
            if not th.isfinite(loss):
                names = self.goal_names if goals is None else [self.goal_names[goal] for goal in goals.tolist()]
                check_finite_goals(predictions, targets, names, self.num_timesteps)
            total = total + loss
        return total

    def _next_values(self, batch: GoalReplayBufferSamples, actions: th.Tensor, goals: th.Tensor | None) -> th.Tensor:
        """The value of the next states for each goal, of its own action ``[B, K]``."""
        return self.critic_target.values(self.critic_target.lowest_diagonal(batch.next_observations, actions, goals))

    def _bootstrapped(self, batch: GoalReplayBufferSamples, next_values: th.Tensor, goals: th.Tensor | None) -> th.Tensor:
        """The targets, given the value of the next states for each goal ``[B, K]``."""
        achieved = batch.goals_achieved if goals is None else batch.goals_achieved[:, goals]
        discounts = self.gamma if batch.discounts is None else batch.discounts
        return all_goals_targets(achieved, next_values, batch.dones, discounts)

    @staticmethod
    def _descend(optimizer: th.optim.Optimizer, loss: th.Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def _over_goals(self, losses: th.Tensor) -> th.Tensor:
        """The mean over a batch of what each goal's actor minds ``[B, K]``."""
        return losses.mean() if self.goal_reduction == "mean" else losses.sum() / len(losses)


def buffer_settings(n_steps: int, gamma: float, verbose: int, replay_buffer_kwargs: dict[str, Any] | None) -> dict[str, Any]:
    """
    The buffer's arguments; the parents' own ``n_steps`` stays 1, as their buffers know no goals.

    :param n_steps: length of the targets' windows
    :param gamma: the discount
    :param verbose: 1 for information
    :param replay_buffer_kwargs: the user's own
    :return: all of them
    """
    return {"n_steps": n_steps, "gamma": gamma, "verbose": verbose, **(replay_buffer_kwargs or {})}
