"""An agent in one environment, sent from goal to goal and looked at."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.type_aliases import PolicyPredictor

from leo_wrappers import GoalConditionedWrapper
from leo_wrappers.goal_set import Goal, goal_index

# Whose errors are about the machine.
_DRAWING = ("mujoco", "OpenGL", "glfw")


@dataclass(frozen=True)
class Step:
    """
    What is seen of one step of a walk; the first is the state before any.

    :param picture: what ``render`` gives; None without a render mode
    :param observation: the state, with the goal
    :param number: steps taken towards the goal so far
    :param achieved: whether this state achieves the goal
    :param over: whether the episode ended
    """

    picture: Any
    observation: Any
    number: int
    achieved: bool
    over: bool


class Walk:
    """
    Sends an agent from goal to goal, in one episode or in several.

    :param agent: anything with ``predict`` for observations with ``goal_id``
    :param env: a multi-goal environment
    :param seed: seeds the first episode
    :param random_actions: share of random actions

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from leo_agents import LEODQN
        >>> agent = LEODQN("MultiGoalPolicy", gym.make("leo/GridWorld-v0"), seed=0)
        >>> walk = Walk(agent, gym.make("leo/GridWorld-v0", render_mode="ansi"))
        >>> [step.number for step in walk.send("cell/0,0", max_steps=2)]
        [0, 1, 2]
    """

    def __init__(
        self, agent: PolicyPredictor, env: gym.Env[Any, Any], seed: int | None = 0, random_actions: float = 0.0
    ) -> None:
        self.agent = agent
        # The episode goes on when a goal is reached: from there to the next one.
        self.env = GoalConditionedWrapper(env, goal=0, on_success="continue")
        self.goal_names = self.env.goal_names
        self._points = env.get_wrapper_attr("goal_points") if env.has_wrapper_attr("goal_points") else None
        self._generator = np.random.default_rng(seed)
        self._random_actions = random_actions
        self.env.action_space.seed(seed)
        self.restart(seed)

    def restart(self, seed: int | None = None) -> None:
        """
        Begins a new episode.

        :param seed: seeds it
        """
        self._obs, info = self.env.reset(seed=seed)
        self._mask = info["goals_achieved"]
        self._over = False

    def send(self, goal: Goal, max_steps: int | None = None) -> Iterator[Step]:
        """
        Commands a goal and steps until it is achieved, the episode ends or patience does.

        :param goal: a name or an index
        :param max_steps: the most steps
        :return: what is seen, step by step
        """
        goal_id = goal_index(self.goal_names, goal)
        if self._over:
            self.restart()
        self.env.set_goal(goal_id)
        self._obs = {**self._obs, "goal_id": np.int64(goal_id)}
        if self._points is not None and "desired_goal" in self._obs:
            self._obs["desired_goal"] = np.asarray(self._points[goal_id], dtype=self._obs["desired_goal"].dtype)
        number, achieved = 0, bool(self._mask[goal_id])
        yield Step(self._picture(), self._obs, number, achieved, False)
        while not (achieved or self._over) and (max_steps is None or number < max_steps):
            self._obs, _, terminated, truncated, info = self.env.step(self._action())
            self._mask = info["goals_achieved"]
            number, achieved, self._over = number + 1, bool(self._mask[goal_id]), terminated or truncated
            yield Step(self._picture(), self._obs, number, achieved, self._over)

    def _picture(self) -> Any:
        if self.env.render_mode is None:
            return None
        try:
            return self.env.render()
        except Exception as error:
            if type(error).__module__.partition(".")[0] not in _DRAWING:
                raise
            raise OSError(
                f"expected to draw {self.env.spec.id if self.env.spec else self.env}, got {type(error).__name__}: {error}; "
                "where there is no screen, set the variable MUJOCO_GL to egl or osmesa, whichever is installed"
            ) from error

    def _action(self) -> Any:
        if self._generator.random() < self._random_actions:
            return self.env.action_space.sample()
        action, _ = self.agent.predict(self._obs, deterministic=True)
        return action if np.ndim(action) else action.item()
