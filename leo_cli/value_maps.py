"""What an agent believes: the values of all goals from one state, and of one goal from many states."""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch as th
from stable_baselines3 import DQN, TD3
from stable_baselines3.common.utils import obs_as_tensor

from leo_agents.evaluation.goal_report import FloatArray
from leo_cli.agent_rollout import Walk
from leo_cli.goal_positions import goal_points

_MOST_STATES = 1_500
_WALKS, _MOST_STEPS, _MOST_SEEN = 16, 150, 900


@dataclass(frozen=True, eq=False)
class Standpoints:
    """
    States from which a goal is looked at.

    :param observations: a batch
    :param places: where each is, ``[S, 2]``; None where state s is at goal s's place
    """

    observations: Any
    places: FloatArray | None


def standpoints(agent: Any, env: gym.Env[Any, Any], random_actions: float = 0.0) -> Standpoints | None:
    """
    All states of a world in which they are the goals' places; those on an agent's ways in a plane with other states.

    :param agent: a model
    :param env: an environment
    :param random_actions: share of random actions on the ways
    :return: the states; None where they have no place in the plane
    """
    world: Any = env.unwrapped
    if hasattr(world, "cell_of"):
        return Standpoints(world.all_observations(), None) if len(world.goal_names) <= _MOST_STATES else None
    points = goal_points(env)
    if points is None or points.shape[1] != 2:
        return None
    walk, seen = Walk(agent, env, random_actions=random_actions), []
    for number, goal in enumerate(np.unique(np.linspace(0, len(points) - 1, _WALKS).round().astype(int)).tolist()):
        walk.restart(number)
        seen += [step.observation for step in walk.send(goal, _MOST_STEPS)]
    seen = seen[:: -(-len(seen) // _MOST_SEEN)]
    batch = {key: np.stack([observation[key] for observation in seen]) for key in seen[0]}
    return Standpoints(batch, batch["achieved_goal"].astype(np.float64)) if "achieved_goal" in batch else None


def goal_values(agent: Any, env: gym.Env[Any, Any], observation: Any) -> FloatArray | None:
    """
    The values of all goals.

    :param agent: a model
    :param env: the environment
    :param observation: a single one
    :return: the value of the best action towards each, ``[G]``; None where the agent has no such thing
    """
    num_goals = len(env.get_wrapper_attr("goal_names"))
    values = _all_values(agent, observation)
    if values is not None:
        return np.asarray(values[0], dtype=np.float64)
    state = observation if isinstance(observation, dict) else {"observation": observation}
    batch = {key: np.repeat(np.asarray(value)[None], num_goals, axis=0) for key, value in state.items()}
    return _commanded_values(agent, env, batch, np.arange(num_goals))


def values_towards(agent: Any, env: gym.Env[Any, Any], observations: Any, goal: int) -> FloatArray | None:
    """
    How good some states are for a goal.

    :param agent: a model
    :param env: the environment
    :param observations: a batch
    :param goal: the goal's id
    :return: the value of the best action in each state, ``[S]``; None where the agent has no such thing
    """
    values = _all_values(agent, observations)
    if values is not None:
        return np.asarray(values[:, goal], dtype=np.float64)
    batch = observations if isinstance(observations, dict) else {"observation": observations}
    return _commanded_values(agent, env, batch, np.full(len(next(iter(batch.values()))), goal))


def _all_values(agent: Any, observations: Any) -> npt.NDArray[Any] | None:
    """Of every state and goal at once ``[S, G]``, by the agents that know them so."""
    if hasattr(agent, "q_values"):
        return np.asarray(agent.q_values(observations).max(axis=-1))
    return np.asarray(agent.values(observations)) if hasattr(agent, "values") else None


def _commanded_values(
    agent: Any, env: gym.Env[Any, Any], batch: dict[str, Any], goals: npt.NDArray[np.int64]
) -> FloatArray | None:
    """Of each state for the goal beside it. SAC and its kind value their own randomness besides: no number of steps."""
    if not isinstance(agent, DQN | TD3):
        return None
    batch = {**batch, "goal_id": goals}
    if "desired_goal" in batch:
        points = goal_points(env)
        if points is None or points.shape[1:] != batch["desired_goal"].shape[1:]:
            return None
        batch["desired_goal"] = points[goals].astype(batch["desired_goal"].dtype)
    tensors: Any = obs_as_tensor(batch, agent.device)
    with th.no_grad():
        if isinstance(agent, DQN):
            values = agent.q_net(tensors).max(dim=1).values
        else:
            values = th.cat(agent.critic(tensors, agent.actor(tensors)), dim=1).min(dim=1).values
    return np.asarray(values.cpu().numpy(), dtype=np.float64)
