"""Gymnasium environment of one functional environment."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded

from leo_wrappers.goal_set import GoalSet
from leo_wrappers.jax_envs.arrays import row_of, to_actions, to_numpy
from leo_wrappers.jax_envs.batch_functions import BatchState
from leo_wrappers.jax_envs.batched_env import BatchedEnv
from leo_wrappers.jax_envs.compilation import check_not_forked, compiling, prepare_jax
from leo_wrappers.jax_envs.functional_env import FunctionalEnv, check_functional_env
from leo_wrappers.keys import MASK_KEY
from leo_wrappers.validation import check_action

_ALL = np.ones(1, dtype=bool)


class JaxEnv(gym.Env[Any, Any]):
    """
    Gymnasium environment of one functional environment, with the trajectories of row 0 of a batch with the same seed.

    A single environment cannot use most of the hardware: for training, use :class:`~leo_wrappers.jax_envs.JaxVectorEnv` or
    :class:`~leo_wrappers.sb3.JaxVecEnv`.

    :param env: the functional environment
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012

    def __init__(self, env: FunctionalEnv) -> None:
        check_functional_env(env)
        prepare_jax()
        self.functional_env = env
        self.goal_names = env.goal_names
        self.observation_space = env.observation_space
        self.action_space = env.action_space
        self._envs = BatchedEnv(env, num_envs=1)
        self._batch: BatchState | None = None
        self._done = False
        self._compiled = False

    @property
    def goal_set(self) -> GoalSet:
        """The goal set of the functional environment, with goal descriptors; AttributeError if it has none."""
        return self.functional_env.goal_set  # type: ignore[attr-defined, no-any-return]

    @property
    def state(self) -> Any:
        """The current state of the functional environment."""
        return row_of(self._started_batch().states, 0)

    def warmup(self) -> None:
        """Compile now instead of at the first reset and step; draws no random numbers."""
        if not self._compiled:
            with compiling(type(self.functional_env).__name__):
                self._envs.compile()
            self._compiled = True

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """
        Reset the environment.

        :param seed: seed of all following episodes
        :param options: not used
        :return: the observation and the info with ``goals_achieved``
        """
        super().reset(seed=seed)
        check_not_forked()
        self.warmup()
        if seed is not None or self._batch is None:
            self._batch = self._envs.empty(self._envs.keys([self.np_random_seed]))
        self._batch, observed = self._envs.reset(self._batch, _ALL)
        self._done = False
        return row_of(to_numpy(observed.obs), 0), {MASK_KEY: to_numpy(observed.goals_achieved)[0]}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """
        Step the environment.

        :param action: the action
        :return: observation, reward, terminated, truncated and the info with ``goals_achieved``
        """
        batch = self._started_batch()
        if self._done:
            raise ResetNeeded("expected a running episode, got one that has ended; call reset() first")
        if isinstance(self.action_space, spaces.Discrete):
            action = check_action(action, int(self.action_space.n))
        check_not_forked()
        self._batch, transition = self._envs.step(batch, to_actions(self.action_space, np.asarray(action)[None]))
        obs, rewards, terminated, truncated, achieved = to_numpy(transition)
        self._done = bool(terminated[0] or truncated[0])
        return row_of(obs, 0), float(rewards[0]), bool(terminated[0]), bool(truncated[0]), {MASK_KEY: achieved[0]}

    def _started_batch(self) -> BatchState:
        if self._batch is None:
            raise ResetNeeded("expected a running episode, got a new environment; call reset() first")
        return self._batch
