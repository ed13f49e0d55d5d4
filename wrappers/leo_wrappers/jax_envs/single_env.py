"""One functional environment as a Gymnasium environment."""

from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.error import ResetNeeded

from leo_wrappers.goal_set import GoalSet
from leo_wrappers.jax_envs.arrays import row_of, to_actions, to_numpy
from leo_wrappers.jax_envs.batched_env import BatchedEnv, BatchState
from leo_wrappers.jax_envs.compilation import check_not_forked, compiling, prepare_jax
from leo_wrappers.jax_envs.functional_env import FunctionalEnv
from leo_wrappers.validation import check_action

_ALL = np.ones(1, dtype=bool)


class JaxEnv(gym.Env[Any, Any]):
    """
    One functional environment. It takes the trajectories of row 0 of a batch with the same seed.

    A single environment leaves most of the machine idle: to train, use :class:`~leo_wrappers.jax_envs.JaxVectorEnv` or
    :class:`~leo_wrappers.sb3.JaxVecEnv`.

    :param env: the functional environment
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012

    def __init__(self, env: FunctionalEnv) -> None:
        prepare_jax()
        self.functional_env = env
        self.goal_names = env.goal_names
        self.observation_space = env.observation_space
        self.action_space = env.action_space
        self._envs = BatchedEnv(env, num_envs=1)
        self._batch: BatchState | None = None
        self._ended = False
        self._warm = False

    @property
    def goal_set(self) -> GoalSet:
        """The goals with their descriptors, where the functional environment has them."""
        return self.functional_env.goal_set  # type: ignore[attr-defined, no-any-return]

    @property
    def state(self) -> Any:
        """The functional environment's current state."""
        return row_of(self._under_way().states, 0)

    def warmup(self) -> None:
        """Compile now what the first reset and the first step would compile; it draws no random number."""
        if not self._warm:
            with compiling(type(self.functional_env).__name__):
                self._envs.compile()
            self._warm = True

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """
        Begin an episode.

        :param seed: seeds everything from here on
        :param options: none are known
        :return: the observation and the info with ``goals_achieved``
        """
        super().reset(seed=seed)
        check_not_forked()
        self.warmup()
        if seed is not None or self._batch is None:
            self._batch = self._envs.empty(self._envs.keys([self.np_random_seed]))
        self._batch, shown = self._envs.reset(self._batch, _ALL)
        self._ended = False
        return row_of(to_numpy(shown.obs), 0), {"goals_achieved": to_numpy(shown.goals_achieved)[0]}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """
        Take one step.

        :param action: the action
        :return: observation, reward, terminated, truncated and the info with ``goals_achieved``
        """
        batch = self._under_way()
        if self._ended:
            raise ResetNeeded("expected an episode under way, got one that has ended; call reset() first")
        if isinstance(self.action_space, spaces.Discrete):
            action = check_action(action, int(self.action_space.n))
        check_not_forked()
        self._batch, made = self._envs.step_only(batch, self._actions(action))
        obs, rewards, terminated, truncated, achieved = to_numpy(made)
        self._ended = bool(terminated[0] or truncated[0])
        return row_of(obs, 0), float(rewards[0]), bool(terminated[0]), bool(truncated[0]), {"goals_achieved": achieved[0]}

    def _actions(self, action: Any) -> npt.NDArray[Any]:
        return to_actions(self.action_space, np.asarray(action)[None])

    def _under_way(self) -> BatchState:
        if self._batch is None:
            raise ResetNeeded("expected an episode under way, got a fresh environment; call reset() first")
        return self._batch
