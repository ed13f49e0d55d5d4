"""A corridor with one goal per cell, and options that plant faults."""

from copy import deepcopy
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv

from leo_wrappers import GoalConditionedWrapper


class CorridorEnv(gym.Env[Any, Any]):
    """
    Move left (0) or right (1); the last cell terminates the episode, ``limit`` steps truncate it.

    :param length: number of cells
    :param limit: time limit of an episode
    :param random_start: start in a random cell other than the last; if False, in the first cell
    :param fault: the fault to plant
    """

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, length: int = 5, limit: int = 12, random_start: bool = True, fault: str = "") -> None:
        self.length, self.limit, self.random_start, self.fault = length, limit, random_start, fault
        self.goal_names: Any = tuple(f"cell/{i}" for i in range(length))
        self.observation_space = spaces.Box(0, length - 1, (1,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.position = self.steps = self.resets = 0
        self.went_left = False
        self.commanded: int | None = None
        self._buffer = np.zeros(length, dtype=bool)
        self._declare_faults()

    def _declare_faults(self) -> None:
        if self.fault == "duplicate names":
            self.goal_names = ("cell/0", "cell/1", "cell/1", "cell/3", "cell/3")
        elif self.fault == "list of names":
            self.goal_names = list(self.goal_names)
        elif self.fault == "names not str":
            self.goal_names = (0, 1, 2, 3, 4)
        elif self.fault == "no names":
            del self.goal_names
        elif self.fault == "nested observation":
            self.observation_space = spaces.Dict({"inner": spaces.Dict({"position": self.observation_space})})
        elif self.fault == "compute_reward":
            self.compute_reward = lambda achieved, desired, info: 0.0

    def set_commanded_goal(self, goal_id: int | None) -> None:
        self.commanded = goal_id

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        self.resets += 1
        self.went_left = False
        self.position = int(self.np_random.integers(self.length - 1)) if self.random_start else 0
        if self.fault == "unseeded second reset" and seed is None and self.random_start:
            self.position = self.resets % (self.length - 1)  # not set by the seed
        if self.fault == "renames goals" and self.resets == 3:
            self.goal_names = (*self.goal_names[:2], "cell/two", *self.goal_names[3:])
        info = self._info(self._mask(self.position))
        if self.fault == "no mask at reset":
            del info["goals_achieved"]
        return self._observation(), info

    def step(self, action: Any) -> Any:
        before = self.position
        self.position = min(max(self.position + (1 if action == 1 else -1), 0), self.length - 1)
        self.steps += 1
        self.went_left = action == 0
        terminated: Any = self.position == self.length - 1
        truncated = not terminated and self.steps >= self.limit
        if self.fault == "numpy terminated":
            terminated = np.bool_(terminated)
        position = self.position
        if self.fault == "late mask":
            position = before
        elif self.fault == "reset mask at the end" and (terminated or truncated):
            position = int(self.np_random.integers(self.length - 1)) if self.random_start else 0
        info = self._info(self._mask(position))
        if self.fault == "no mask at the end" and terminated:
            del info["goals_achieved"]
        reward: Any = {"numpy reward": np.float32(0), "NaN reward": np.nan}.get(self.fault, 0.0)
        return self._observation(), reward, terminated, truncated, info

    def _observation(self) -> Any:
        return np.array([self.position], dtype=np.float32)

    def _mask(self, position: int) -> Any:
        mask = np.arange(self.length) == position
        if self.fault == "int mask":
            return mask.astype(np.int64)
        if self.fault == "masked array":
            return np.ma.masked_array(mask)
        if self.fault == "list mask":
            return mask.tolist()
        if self.fault == "short mask":
            return mask[:-1]
        if self.fault == "reused mask":
            self._buffer[:] = mask
            return self._buffer
        if self.fault == "mask of the commanded goal" and self.commanded is not None:
            mask[self.commanded] |= abs(self.commanded - position) == 1
        if self.fault == "cell 2 from cell 1 at step 3" and position == 1 and self.steps == 3:
            mask[2] = True
        if self.fault == "cell 2 once a step went left" and self.went_left:
            mask[2] = True
        return mask

    def _info(self, mask: Any) -> dict[str, Any]:
        return {"goals_achieved": mask}


class RenamedCorridor(CorridorEnv):
    """
    A corridor with other goal names.

    :param goal_names: the goal names
    """

    def __init__(self, goal_names: tuple[str, ...]) -> None:
        super().__init__()
        self.goal_names = goal_names


class FaultyView(GoalConditionedWrapper):
    """
    A goal-conditioned wrapper with a fault.

    :param fault: the fault to plant
    """

    def __init__(self, env: gym.Env[Any, Any], fault: str, **kwargs: Any) -> None:
        super().__init__(env, **kwargs)
        self.fault = fault
        if fault == "one goal too many":
            self.observation_space = spaces.Dict({**self.observation_space.spaces, "goal_id": spaces.Discrete(6)})

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        obs, info = super().reset(seed=seed, options=options)
        if self.fault == "success at reset":
            info["is_success"] = bool(info["goals_achieved"][self.goal_id])
        return obs, info

    def step(self, action: Any) -> Any:
        obs, reward, terminated, truncated, info = super().step(action)
        if self.fault == "no reward":
            reward = 0.0
        elif self.fault == "success of this step only":
            info["is_success"] = bool(reward)
        elif self.fault == "numpy success":
            info["is_success"] = np.bool_(info["is_success"])
        elif self.fault == "does not terminate":
            terminated = False
        elif self.fault == "no goal_id":
            del info["goal_id"]
        elif self.fault == "switches without success":
            obs["goal_id"] = np.int64((obs["goal_id"] + 1) % len(self.goal_names))
        return obs, reward, terminated, truncated, info


class FaultyVectorEnv(SyncVectorEnv):
    """A Gymnasium vector environment with a fault."""

    fault = ""

    def step(self, actions: Any) -> Any:
        was_done = self._autoreset_envs.copy()
        obs, rewards, terminated, truncated, infos = super().step(actions)
        done = terminated | truncated
        if self.fault == "final mask of the reset" and done.any():
            infos["final_info"]["goals_achieved"][done] = infos["goals_achieved"][done]
        elif self.fault == "no final info":
            infos = {key: value for key, value in infos.items() if "final" not in key}
        elif self.fault == "no final observation":
            infos.pop("final_obs", None)
        elif self.fault == "no presence":
            del infos["_goals_achieved"]
        elif self.fault == "rows swapped":
            infos["goals_achieved"] = infos["goals_achieved"][::-1].copy()
        elif self.fault == "reward of the reset":
            rewards[was_done] = 1.0
        elif self.fault == "reused batch":
            self.__dict__.setdefault("batch", np.zeros_like(infos["goals_achieved"]))[:] = infos["goals_achieved"]
            infos["goals_achieved"] = self.__dict__["batch"]
        return obs, rewards, terminated, truncated, infos


class FaultyVecEnv(DummyVecEnv):
    """A Stable-Baselines3 vector environment with a fault."""

    fault = ""

    def step_wait(self) -> Any:
        obs, rewards, dones, infos = super().step_wait()
        for row, info in enumerate(infos):
            if self.fault == "aliased rows":
                info["goals_achieved"] = infos[0]["goals_achieved"]
            if dones[row] and self.fault == "no terminal mask":
                del info["goals_achieved"]
            if dones[row] and self.fault == "no terminal observation":
                del info["terminal_observation"]
            if dones[row] and self.fault == "terminal observation of the reset":
                info["terminal_observation"] = obs[row].copy()
            if dones[row] and self.fault == "terminal mask of the reset":
                info["goals_achieved"] = deepcopy(self.reset_infos[row]["goals_achieved"])
            if self.fault == "no reset mask":
                self.reset_infos[row] = {}
        return obs, rewards, dones, infos
