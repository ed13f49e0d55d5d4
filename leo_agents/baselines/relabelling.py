"""What replay buffers that relabel goals have in common: the reward and the end of any goal, out of the stored mask."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.type_aliases import DictReplayBufferSamples, TensorDict
from stable_baselines3.common.vec_env import VecNormalize

from leo_agents.replay.goal_replay_buffer import GoalReplayBuffer
from leo_wrappers.keys import DESIRED_GOAL_KEY

Ids = npt.NDArray[np.integer[Any]]


class RelabellingReplayBuffer(GoalReplayBuffer):
    """
    Samples transitions as if other goals had been commanded, in the form that SB3's DQN learns from.

    Each sampled row is judged by its own goal alone: the reward is 1 where the transition's mask has the goal, and the row is
    done there or where the episode terminated. A truncated row bootstraps, and so does one that ended for another goal only.
    Both observations carry the goal, and its point under ``desired_goal`` if the points are given.

    :param buffer_size: number of transitions, over all environments
    :param observation_space: a flat Dict space with the commanded goal, ``Discrete``
    :param action_space: the action space
    :param device: where samples go
    :param n_envs: number of parallel environments
    :param optimize_memory_usage: not supported, as in SB3's Dict buffer
    :param handle_timeout_termination: tell truncated from terminated by ``info["TimeLimit.truncated"]``
    :param goal_points: the goals' places ``[num_goals, d]``, where the observation's ``desired_goal`` shows the commanded one
    :param goal_key: the observation's key of the commanded goal
    :param verbose: print the memory needed if at least 1
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
        goal_key: str = "goal_id",
        verbose: int = 0,
    ) -> None:
        goal_space = observation_space.spaces.get(goal_key) if isinstance(observation_space, spaces.Dict) else None
        if not isinstance(goal_space, spaces.Discrete):
            raise ValueError(
                f"expected a Dict observation space with a Discrete {goal_key!r}, got {observation_space}; "
                "wrap the environment with VecGoalSampler or GoalConditionedWrapper"
            )
        super().__init__(
            buffer_size,
            observation_space,
            action_space,
            device,
            n_envs,
            optimize_memory_usage,
            handle_timeout_termination,
            num_goals=int(goal_space.n),
            goal_key=goal_key,
            verbose=verbose,
        )
        self.goal_points = None if goal_points is None else self._checked_points(goal_points)

    def _checked_points(self, goal_points: npt.ArrayLike) -> npt.NDArray[Any]:
        if DESIRED_GOAL_KEY not in self.observation_space.spaces:
            raise ValueError(
                f"expected goal_points only beside {DESIRED_GOAL_KEY!r} in the observation, got some; leave them out"
            )
        space = self.observation_space.spaces[DESIRED_GOAL_KEY]
        points = np.asarray(goal_points, dtype=space.dtype)
        expected = (self.num_goals, *(space.shape or ()))
        if points.shape != expected:
            raise ValueError(f"expected goal_points of shape {expected}, got {points.shape}; give one point per goal")
        return points

    def _relabelled(self, inds: Ids, env_inds: Ids, goals: Ids, env: VecNormalize | None) -> DictReplayBufferSamples:
        """
        Transitions as seen by other goals.

        :param inds: where the transitions are stored ``[B]``
        :param env_inds: of which environments ``[B]``
        :param goals: the goals to judge each by ``[B, K]``
        :param env: normalises the observations and rewards
        :return: ``B * K`` rows, those of one transition together
        """
        per_transition = goals.shape[1]
        rewards = np.take_along_axis(self._unpack(inds, env_inds), goals, axis=1)
        # Truncated is not terminated, nor is an end that was another goal's: the parent stores both as timeouts.
        terminated = self.dones[inds, env_inds] * (1 - self.timeouts[inds, env_inds])
        dones = np.maximum(rewards, terminated[:, None])
        rows = (np.repeat(inds, per_transition), np.repeat(env_inds, per_transition))
        return DictReplayBufferSamples(
            observations=self._commanded(self.observations, rows, goals.reshape(-1), env),
            actions=self.to_torch(self.actions[rows], copy=False),
            next_observations=self._commanded(self.next_observations, rows, goals.reshape(-1), env),
            dones=self.to_torch(dones.reshape(-1, 1), copy=False),
            rewards=self.to_torch(self._normalize_reward(rewards.reshape(-1, 1), env), copy=False),
        )

    def _commanded(
        self, stored: dict[str, np.ndarray], rows: tuple[Ids, Ids], goals: Ids, env: VecNormalize | None
    ) -> TensorDict:
        """Stored observations with these goals in them."""
        arrays: Any = {key: array[rows] for key, array in stored.items()}
        if self.goal_points is not None:
            arrays[DESIRED_GOAL_KEY] = self.goal_points[goals]
        arrays = self._normalize_obs(arrays, env)
        # Indexing made copies already.
        tensors = {key: self.to_torch(array, copy=False) for key, array in arrays.items()}
        tensors[self.goal_key] = self.to_torch(goals.astype(np.int64).reshape(-1, 1), copy=False)
        return tensors
