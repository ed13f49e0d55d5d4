"""What an agent believes: the values of all goals from one state, and of one goal from every state."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from stable_baselines3 import DQN
from stable_baselines3.common.utils import obs_as_tensor

from leo_agents.evaluation.goal_report import FloatArray

_MOST_STATES = 1_500


def goal_values(agent: Any, observation: Any, num_goals: int) -> FloatArray | None:
    """
    The values of all goals.

    :param agent: a model
    :param observation: a single one, without a commanded goal
    :param num_goals: how many goals there are
    :return: the value of the best action towards each, ``[G]``; None where the agent has no such thing
    """
    if hasattr(agent, "q_values"):
        return np.asarray(agent.q_values(observation)[0].max(axis=-1), dtype=np.float64)
    if hasattr(agent, "values"):
        return np.asarray(agent.values(observation)[0], dtype=np.float64)
    if not isinstance(agent, DQN):
        return None
    state = observation if isinstance(observation, dict) else {"observation": observation}
    if "desired_goal" in state:  # it would have to show each goal's point
        return None
    batch: dict[str, Any] = {key: np.repeat(np.asarray(value)[None], num_goals, axis=0) for key, value in state.items()}
    return _dqn_values(agent, {**batch, "goal_id": np.arange(num_goals)})


def values_towards(agent: Any, env: gym.Env[Any, Any], goal: int) -> FloatArray | None:
    """
    How good each state is for a goal, in worlds whose states are their goals' places.

    :param agent: a model
    :param env: an environment
    :param goal: the goal's id
    :return: the value of the best action in each state ``[S]``, state s at goal s's place; None elsewhere
    """
    world: Any = env.unwrapped
    if not hasattr(world, "cell_of") or len(world.goal_names) > _MOST_STATES:
        return None
    observations = world.all_observations()
    if hasattr(agent, "q_values"):
        return np.asarray(agent.q_values(observations)[:, goal].max(axis=-1), dtype=np.float64)
    if not isinstance(agent, DQN):
        return None
    return _dqn_values(agent, {"observation": observations, "goal_id": np.full(len(observations), goal)})


def _dqn_values(agent: DQN, observations: dict[str, Any]) -> FloatArray:
    tensors: Any = obs_as_tensor(observations, agent.device)
    with th.no_grad():
        values = agent.q_net(tensors).max(dim=1).values
    return np.asarray(values.cpu().numpy(), dtype=np.float64)
