"""Rollouts of an agent towards a sequence of goals."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.type_aliases import PolicyPredictor

from leo_cli.goal_positions import goal_points
from leo_wrappers import GoalConditionedWrapper
from leo_wrappers.goal_set import Goal, goal_index
from leo_wrappers.keys import DESIRED_GOAL_KEY, GOAL_KEY

_RENDERING_LIBRARIES = ("mujoco", "OpenGL", "glfw")


@dataclass(frozen=True)
class RolloutStep:
    """
    One step of a rollout; the first is the state before any action.

    :param frame: output of ``render``; None without a render mode
    :param observation: observation with the commanded goal
    :param number: number of actions taken towards the goal so far
    :param achieved: whether this state achieves the goal
    :param done: whether the episode is terminated or truncated
    """

    frame: Any
    observation: Any
    number: int
    achieved: bool
    done: bool


class AgentRollout:
    """
    Rollout of an agent that is commanded one goal after another, within one episode where possible.

    :param agent: model or policy with ``predict`` for observations with ``goal_id``
    :param env: a multi-goal environment
    :param seed: seed of the first episode and of the random actions
    :param epsilon: probability of a random action

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from leo_agents import LEODQN
        >>> agent = LEODQN("MultiGoalPolicy", gym.make("leo/GridWorld-v0"), seed=0)
        >>> rollout = AgentRollout(agent, gym.make("leo/GridWorld-v0", render_mode="ansi"))
        >>> [step.number for step in rollout.run("cell/0,0", max_steps=2)]
        [0, 1, 2]
    """

    def __init__(self, agent: PolicyPredictor, env: gym.Env[Any, Any], seed: int | None = 0, epsilon: float = 0.0) -> None:
        self.agent = agent
        # Achieving a goal does not end the episode: the next goal starts from there.
        self.env = GoalConditionedWrapper(env, goal=0, on_success="continue")
        self.goal_names = self.env.goal_names
        self.epsilon = epsilon
        self._points = goal_points(env)
        self._generator = np.random.default_rng(seed)
        self.env.action_space.seed(seed)
        self.reset(seed)

    def reset(self, seed: int | None = None) -> None:
        """
        Start a new episode.

        :param seed: seed of the episode
        """
        self._obs, info = self.env.reset(seed=seed)
        self._mask = info["goals_achieved"]
        self._done = False

    def run(self, goal: Goal, max_steps: int | None = None) -> Iterator[RolloutStep]:
        """
        Command a goal and step until it is achieved, the episode is done or ``max_steps`` is reached.

        :param goal: name or index
        :param max_steps: maximum number of steps
        :return: iterator over the steps
        """
        goal_id = goal_index(self.goal_names, goal)
        if self._done:
            self.reset()
        self.env.set_goal(goal_id)
        self._obs = {**self._obs, GOAL_KEY: np.int64(goal_id)}
        if self._points is not None and DESIRED_GOAL_KEY in self._obs:
            self._obs[DESIRED_GOAL_KEY] = self._points[goal_id].astype(self._obs[DESIRED_GOAL_KEY].dtype)
        number, achieved = 0, bool(self._mask[goal_id])
        yield RolloutStep(self._frame(), self._obs, number, achieved, False)
        while not (achieved or self._done) and (max_steps is None or number < max_steps):
            self._obs, _, terminated, truncated, info = self.env.step(self._action())
            self._mask = info["goals_achieved"]
            number, achieved, self._done = number + 1, bool(self._mask[goal_id]), terminated or truncated
            yield RolloutStep(self._frame(), self._obs, number, achieved, self._done)

    def _frame(self) -> Any:
        if self.env.render_mode is None:
            return None
        try:
            return self.env.render()
        except Exception as error:
            if type(error).__module__.partition(".")[0] not in _RENDERING_LIBRARIES:
                raise
            raise OSError(
                f"expected to render {self.env.spec.id if self.env.spec else self.env}, got {type(error).__name__}: {error}; "
                "without a display, set the environment variable MUJOCO_GL to egl or osmesa, whichever is installed"
            ) from error

    def _action(self) -> Any:
        if self._generator.random() < self.epsilon:
            return self.env.action_space.sample()
        action, _ = self.agent.predict(self._obs, deterministic=True)
        return action if np.ndim(action) else action.item()
