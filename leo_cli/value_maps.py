"""Values of an agent: of all goals in one state, and of one goal in many states."""

from dataclasses import dataclass
from functools import singledispatch
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch as th
from stable_baselines3 import DQN, TD3
from stable_baselines3.common.utils import obs_as_tensor

from leo_agents.evaluation.goal_report import FloatArray, IntArray
from leo_cli.agent_rollout import AgentRollout
from leo_cli.goal_positions import goal_points
from leo_wrappers.keys import DESIRED_GOAL_KEY, GOAL_KEY

_MAX_CELLS = 1_500
_MAX_ROLLOUTS, _MAX_STEPS, _MAX_STATES = 16, 150, 900


@runtime_checkable
class AllGoalsAgent(Protocol):
    """Agent that returns the values of all goals from one forward pass."""

    def values(self, observation: Any) -> npt.NDArray[Any]:
        """Return max_a Q_g(s, a) of a batch of observations, ``[B, G]``."""


@runtime_checkable
class CellEnv(Protocol):
    """Environment with one state per goal, the cell of the goal."""

    goal_names: tuple[str, ...]

    def cell_of(self, goal: str | int) -> tuple[int, int]:
        """Return row and column of a goal."""

    def all_observations(self) -> npt.NDArray[Any]:
        """Return the observation of every state."""


@dataclass(frozen=True, eq=False)
class ProbeStates:
    """
    States in which the value of a goal is plotted.

    :param observations: batch of S observations
    :param positions: positions of the states, ``[S, 2]``; None if state s is at the position of goal s
    """

    observations: Any
    positions: FloatArray | None


def probe_states(agent: Any, env: gym.Env[Any, Any], epsilon: float = 0.0) -> ProbeStates | None:
    """
    Collect states with 2D positions: all cells of a grid world, or states visited by the agent on its way to some goals.

    :param agent: model that is rolled out
    :param env: the environment
    :param epsilon: probability of a random action in the rollouts
    :return: the states; None if states have no 2D positions or a grid world has too many cells
    """
    if isinstance(env.unwrapped, CellEnv):
        num_goals = len(env.unwrapped.goal_names)
        return ProbeStates(env.unwrapped.all_observations(), None) if num_goals <= _MAX_CELLS else None
    points = goal_points(env)
    if points is None or points.shape[1] != 2:
        return None
    rollout, visited = AgentRollout(agent, env, epsilon=epsilon), []
    for number, goal in enumerate(np.unique(np.linspace(0, len(points) - 1, _MAX_ROLLOUTS).round().astype(int)).tolist()):
        rollout.reset(number)
        visited += [step.observation for step in rollout.run(goal, _MAX_STEPS)]
    visited = visited[:: -(-len(visited) // _MAX_STATES)]
    batch = {key: np.stack([observation[key] for observation in visited]) for key in visited[0]}
    return ProbeStates(batch, batch["achieved_goal"].astype(np.float64)) if "achieved_goal" in batch else None


def goal_values(agent: Any, env: gym.Env[Any, Any], observation: Any) -> FloatArray | None:
    """
    Compute the values of all goals in one state.

    :param agent: the model
    :param env: the environment
    :param observation: a single observation
    :return: max_a Q_g(s, a) of every goal, ``[G]``; None if the agent has no such values
    """
    if isinstance(agent, AllGoalsAgent):
        return np.asarray(agent.values(observation)[0], dtype=np.float64)
    num_goals = len(env.get_wrapper_attr("goal_names"))
    state = observation if isinstance(observation, dict) else {"observation": observation}
    batch = {key: np.repeat(np.asarray(value)[None], num_goals, axis=0) for key, value in state.items()}
    return _commanded_values(agent, env, batch, np.arange(num_goals))


def state_values(agent: Any, env: gym.Env[Any, Any], observations: Any, goal: int) -> FloatArray | None:
    """
    Compute the values of one goal in a batch of states.

    :param agent: the model
    :param env: the environment
    :param observations: batch of S observations
    :param goal: id of the goal
    :return: max_a Q_g(s, a) in every state, ``[S]``; None if the agent has no such values
    """
    if isinstance(agent, AllGoalsAgent):
        return np.asarray(agent.values(observations)[:, goal], dtype=np.float64)
    batch = observations if isinstance(observations, dict) else {"observation": observations}
    return _commanded_values(agent, env, batch, np.full(len(next(iter(batch.values()))), goal))


def _commanded_values(agent: Any, env: gym.Env[Any, Any], batch: dict[str, Any], goals: IntArray) -> FloatArray | None:
    """Compute the value of each state for the goal in the same row of ``goals``."""
    batch = {**batch, GOAL_KEY: goals}
    if DESIRED_GOAL_KEY in batch:
        points = goal_points(env)
        if points is None or points.shape[1:] != batch[DESIRED_GOAL_KEY].shape[1:]:
            return None
        batch[DESIRED_GOAL_KEY] = points[goals].astype(batch[DESIRED_GOAL_KEY].dtype)
    with th.no_grad():
        values = _greedy_values(agent, obs_as_tensor(batch, agent.device))
    return None if values is None else np.asarray(values.cpu().numpy(), dtype=np.float64)


@singledispatch
def _greedy_values(agent: Any, observations: Any) -> th.Tensor | None:
    """Return max_a Q(s, a). The entropy bonus in SAC's values would distort the expected steps, so SAC has none here."""
    return None


@_greedy_values.register
def _(agent: DQN, observations: Any) -> th.Tensor:
    return agent.q_net(observations).max(dim=1).values


@_greedy_values.register
def _(agent: TD3, observations: Any) -> th.Tensor:
    return th.cat(agent.critic(observations, agent.actor(observations)), dim=1).min(dim=1).values
