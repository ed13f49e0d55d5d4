"""Values of an agent: of all goals in one state, and of one goal in many states."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch as th

from leo_agents.baselines.policies import GoalInputPolicyMixin, GoalInputSACPolicy, GoalInputTQCPolicy
from leo_agents.evaluation.goal_report import FloatArray
from leo_agents.networks.policies import GoalPolicyMixin
from leo_cli.agent_rollout import make_rollout
from leo_cli.goal_positions import goal_points

_MAX_CELLS = 1_500
_MAX_ROLLOUTS, _MAX_STEPS, _MAX_STATES = 16, 150, 900


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


def probe_states(
    agent: Any, env: gym.Env[Any, Any], epsilon: float = 0.0, goals: FloatArray | None = None
) -> ProbeStates | None:
    """
    Collect states with 2D positions: all cells of a grid world, or states visited by the agent on its way to some goals.

    :param agent: model that is rolled out
    :param env: the environment
    :param epsilon: probability of a random action in the rollouts
    :param goals: points ``[M, d]`` to choose the goals of the rollouts from, if any point is a goal
    :return: the states; None if states have no 2D positions or a grid world has too many cells
    """
    if isinstance(env.unwrapped, CellEnv):
        num_goals = len(env.unwrapped.goal_names)
        return ProbeStates(env.unwrapped.all_observations(), None) if num_goals <= _MAX_CELLS else None
    points = goal_points(env) if goals is None else goals
    if points is None or points.shape[1] != 2:
        return None
    rollout, visited = make_rollout(agent, env, epsilon=epsilon), []
    for number, goal in enumerate(np.unique(np.linspace(0, len(points) - 1, _MAX_ROLLOUTS).round().astype(int)).tolist()):
        rollout.reset(number)
        visited += [step.observation for step in rollout.run(goal if goals is None else goals[goal], _MAX_STEPS)]
    visited = visited[:: -(-len(visited) // _MAX_STATES)]
    batch = {key: np.stack([observation[key] for observation in visited]) for key in visited[0]}
    return ProbeStates(batch, batch["achieved_goal"].astype(np.float64)) if "achieved_goal" in batch else None


def goal_values(agent: Any, observation: Any, goals: FloatArray | None = None) -> FloatArray | None:
    """
    Compute the values of all goals in one state.

    :param agent: the model
    :param observation: a single observation
    :param goals: points ``[G, d]`` to use, if any point is a goal
    :return: V_g(s) of every goal, ``[G]``; None if the agent has no such values
    """
    if not _has_values(agent.policy):
        return None
    values = agent.policy.values(observation) if goals is None else agent.policy.values(observation, goals)
    return np.asarray(values[0], dtype=np.float64)


def state_values(agent: Any, observations: Any, goal: int | FloatArray) -> FloatArray | None:
    """
    Compute the values of one goal in a batch of states.

    :param agent: the model
    :param observations: batch of S observations
    :param goal: id of the goal, or a point ``[d]``
    :return: V_g(s) in every state, ``[S]``; None if the agent has no such values
    """
    policy = agent.policy
    if not _has_values(policy):
        return None
    if isinstance(goal, np.ndarray):
        return np.asarray(policy.values(observations, goal[None])[:, 0], dtype=np.float64)
    if isinstance(policy, GoalInputPolicyMixin):  # one forward pass for the goal instead of one per goal
        tensors, _ = policy.obs_to_tensor(policy.with_goal(observations, goal))
        with th.no_grad():
            return np.asarray(policy.commanded_values(tensors).flatten().cpu().numpy(), dtype=np.float64)
    return np.asarray(policy.values(observations)[:, goal], dtype=np.float64)


def _has_values(policy: Any) -> bool:
    """Return whether values are discounted probabilities: SAC's and TQC's contain the entropy bonus."""
    return isinstance(policy, GoalPolicyMixin) and not isinstance(policy, GoalInputSACPolicy | GoalInputTQCPolicy)
