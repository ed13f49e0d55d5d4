"""Our algorithms under the names of Stable-Baselines3's, for environments without goals."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from leo_agents import LEODQN, LEOPQN, LEOSAC, LEOTD3, DualLEOPPO
from leo_agents.algorithms.goal_algorithm import GoalAlgorithm
from leo_agents.networks.policies import GoalPolicyMixin
from leo_agents.networks.state_network import ActingNetwork, add_goal
from leo_wrappers.keys import GOAL_KEY, MASK_KEY

ALGORITHMS: dict[str, type[GoalAlgorithm]] = {
    "A2C": LEOPQN,
    "DDPG": LEOTD3,
    "DQN": LEODQN,
    "PPO": DualLEOPPO,
    "SAC": LEOSAC,
    "TD3": LEOTD3,
}
# Arguments with another name in our algorithms.
RENAMED = {"DQN": {"target_update_interval": "target_update_freq"}}
# Algorithms whose tests rely on Stable-Baselines3's default learning_starts, and are shorter than ours.
SHORT_WARMUP = ("DDPG", "DQN", "SAC", "TD3")


class TwoGoals(VecEnvWrapper):
    """Wrapper with two goals: a positive reward, and every second step. Goals of the environments themselves are hidden."""

    def __init__(self, venv: VecEnv) -> None:
        super().__init__(venv)
        self.goal_names = ("reward", "second step")
        self._steps = 0

    def reset(self) -> Any:
        obs = self.venv.reset()
        for info in self.unwrapped.reset_infos:
            info[MASK_KEY] = np.zeros(2, dtype=bool)
        return obs

    def step_wait(self) -> Any:
        obs, rewards, dones, infos = self.venv.step_wait()
        self._steps += 1
        for row, info in enumerate(infos):
            info[MASK_KEY] = np.array([rewards[row] > 0.0, self._steps % 2 == 0])
            if dones[row]:
                self.unwrapped.reset_infos[row][MASK_KEY] = np.zeros(2, dtype=bool)
        return obs, rewards, dones, infos

    def has_attr(self, attr_name: str) -> bool:
        return attr_name == "goal_names" or super().has_attr(attr_name)

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        if attr_name == "goal_names":
            return [self.goal_names] * len(list(self._get_indices(indices)))
        return super().get_attr(attr_name, indices)


class TwoActions(VecEnvWrapper):
    """Wrapper that makes continuous actions discrete: all components at a quarter or at three quarters of their range."""

    def __init__(self, venv: VecEnv) -> None:
        super().__init__(venv, action_space=spaces.Discrete(2))
        box: Any = venv.action_space
        self._actions = np.stack([box.low + part * (box.high - box.low) for part in (0.25, 0.75)])

    def step_async(self, actions: np.ndarray) -> None:
        self.venv.step_async(self._actions[actions])

    def reset(self) -> Any:
        return self.venv.reset()

    def step_wait(self) -> Any:
        return self.venv.step_wait()


def substitute(name: str, used: list[str]) -> type[BaseAlgorithm]:
    """
    Create a subclass of one of our algorithms that takes environments without goals.

    :param name: name of an algorithm of Stable-Baselines3
    :param used: list to which the name is appended when an algorithm is created
    :return: the class, with that name
    """
    base: Any = ALGORITHMS[name]

    class Substitute(base):  # type: ignore[misc]
        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            used.append(name)
            return super().__new__(cls, *args, **kwargs)

        def __init__(self, policy: Any, env: Any, *args: Any, **kwargs: Any) -> None:
            renamed = {RENAMED.get(name, {}).get(key, key): value for key, value in kwargs.items()}
            if name in SHORT_WARMUP:
                renamed.setdefault("learning_starts", 100)
            if name == "PPO":
                renamed["goal_input"] = "one_hot"
                if env is not None:
                    # DualLEOPPO takes vectorized environments only.
                    env = BaseAlgorithm._wrap_env(gym.make(env) if isinstance(env, str) else env)
            super().__init__(policy, env, *args, **renamed)

        @staticmethod
        def _wrap_env(env: Any, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
            venv = BaseAlgorithm._wrap_env(env, verbose, monitor_wrapper)
            if GOAL_KEY not in getattr(venv.observation_space, "spaces", {}):
                if name in ("A2C", "PPO") and isinstance(venv.action_space, spaces.Box):
                    venv = TwoActions(venv)
                venv = TwoGoals(venv)
            return base._wrap_env(venv, verbose, monitor_wrapper)  # type: ignore[no-any-return]

    Substitute.__name__ = Substitute.__qualname__ = name
    return Substitute


def command_first_goal() -> None:
    """Make ``predict`` of policies and networks command the first goal in observations without a goal."""

    def with_first_goal(observation: Any, state_space: spaces.Space[Any], policy: Any) -> Any:
        if isinstance(observation, tuple) or (isinstance(observation, dict) and GOAL_KEY in observation):
            return observation
        if policy is not None:
            return policy.with_goal(observation, 0)
        key = next(iter(observation)) if isinstance(observation, dict) else None
        shape = (state_space if key is None else state_space[key]).shape or ()  # type: ignore[index]
        values = observation if key is None else observation[key]
        return add_goal(observation, np.zeros(np.shape(values)[: np.ndim(values) - len(shape)], dtype=np.int64))

    policy_predict, network_predict = GoalPolicyMixin.predict, ActingNetwork.predict

    def predict_of_policy(self: Any, observation: Any, *args: Any, **kwargs: Any) -> Any:
        return policy_predict(self, with_first_goal(observation, self.state_space, self), *args, **kwargs)

    def predict_of_network(self: Any, observation: Any, *args: Any, **kwargs: Any) -> Any:
        return network_predict(self, with_first_goal(observation, self.observation_space, None), *args, **kwargs)

    GoalPolicyMixin.predict = predict_of_policy  # type: ignore[method-assign]
    ActingNetwork.predict = predict_of_network  # type: ignore[method-assign]
