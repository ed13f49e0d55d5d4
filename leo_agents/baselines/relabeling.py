"""Base class of replay buffers that relabel goals, with rewards and dones computed from the stored masks."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.type_aliases import DictReplayBufferSamples, TensorDict
from stable_baselines3.common.vec_env import VecNormalize

from leo_agents.networks.goal_descriptors import num_discrete_goals
from leo_agents.replay.goal_replay_buffer import GoalReplayBuffer
from leo_wrappers.keys import DESIRED_GOAL_KEY, GOAL_KEY
from leo_wrappers.validation import float_array

Ids = npt.NDArray[np.integer[Any]]


class RelabelingReplayBuffer(GoalReplayBuffer):
    """
    Replay buffer that samples transitions relabeled with other goals, in the format of SB3's ``DictReplayBuffer``.

    Reward and done of a row depend on its own goal only: the reward is 1 if the transition achieved the goal; done is 1 if it
    did or if the episode terminated. Truncated transitions bootstrap, and so do transitions that ended the episode only by
    achieving another goal. Both observations contain the goal, and its point under ``desired_goal`` if points are given.

    :param buffer_size: number of transitions, over all environments
    :param observation_space: a flat Dict space with the commanded goal, ``Discrete``
    :param action_space: the action space
    :param device: PyTorch device of the samples
    :param n_envs: number of parallel environments
    :param optimize_memory_usage: not supported, as in SB3's Dict buffer
    :param handle_timeout_termination: distinguish truncation from termination by ``info["TimeLimit.truncated"]``
    :param goal_points: points of the goals ``[num_goals, d]``, if the observation contains the commanded one as
        ``desired_goal``
    :param verbose: 1 to print the required memory
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        device: th.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        handle_timeout_termination: bool = True,
        *,
        goal_points: npt.ArrayLike | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            buffer_size,
            observation_space,
            action_space,
            device,
            n_envs,
            optimize_memory_usage,
            handle_timeout_termination,
            num_goals=num_discrete_goals(observation_space),
            verbose=verbose,
        )
        self.goal_points = None if goal_points is None else self._check_points(goal_points)

    def _check_points(self, goal_points: npt.ArrayLike) -> npt.NDArray[Any]:
        if DESIRED_GOAL_KEY not in self.observation_space.spaces:
            raise ValueError(
                f"expected no goal_points for observations without {DESIRED_GOAL_KEY!r}, got some; leave them out"
            )
        space = self.observation_space.spaces[DESIRED_GOAL_KEY]
        points = float_array("goal_points", goal_points).astype(space.dtype)
        expected = (self.num_goals, *(space.shape or ()))
        if points.shape != expected:
            raise ValueError(f"expected goal_points of shape {expected}, got {points.shape}; give one point per goal")
        return points

    def _relabel(self, inds: Ids, env_inds: Ids, goals: Ids, env: VecNormalize | None) -> DictReplayBufferSamples:
        """
        Relabel each transition with K goals.

        :param inds: buffer positions of the transitions ``[B]``
        :param env_inds: environment indices of the transitions ``[B]``
        :param goals: new goals of each transition ``[B, K]``
        :param env: normalizes observations and rewards
        :return: ``B * K`` rows, with the rows of one transition next to each other
        """
        per_transition = goals.shape[1]
        rewards = np.take_along_axis(self._unpack(inds, env_inds), goals, axis=1)
        # Truncations and episodes that ended by achieving another goal are stored as timeouts; they bootstrap.
        terminated = self.dones[inds, env_inds] * (1 - self.timeouts[inds, env_inds])
        dones = np.maximum(rewards, terminated[:, None])
        rows = (np.repeat(inds, per_transition), np.repeat(env_inds, per_transition))
        return DictReplayBufferSamples(
            observations=self._with_goals(self.observations, rows, goals.reshape(-1), env),
            actions=self.to_torch(self.actions[rows], copy=False),
            next_observations=self._with_goals(self.next_observations, rows, goals.reshape(-1), env),
            dones=self.to_torch(dones.reshape(-1, 1), copy=False),
            rewards=self.to_torch(self._normalize_reward(rewards.reshape(-1, 1), env), copy=False),
        )

    def _with_goals(
        self, stored: dict[str, np.ndarray], rows: tuple[Ids, Ids], goals: Ids, env: VecNormalize | None
    ) -> TensorDict:
        """Return the stored observations with new commanded goals."""
        arrays: Any = {key: array[rows] for key, array in stored.items()}
        if self.goal_points is not None:
            arrays[DESIRED_GOAL_KEY] = self.goal_points[goals]
        arrays = self._normalize_obs(arrays, env)
        # Indexing has already copied the arrays.
        tensors = {key: self.to_torch(array, copy=False) for key, array in arrays.items()}
        tensors[GOAL_KEY] = self.to_torch(goals.astype(np.int64).reshape(-1, 1), copy=False)
        return tensors
