"""Rollouts of an agent towards a sequence of goals."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.type_aliases import PolicyPredictor
from stable_baselines3.common.vec_env import DummyVecEnv

from leo_agents.algorithms.goal_env import RewardGoalTest
from leo_agents.evaluation.goal_report import FloatArray
from leo_cli.goal_positions import goal_points
from leo_wrappers import GoalConditionedWrapper
from leo_wrappers.goal_set import Goal, goal_index
from leo_wrappers.keys import ACHIEVED_GOAL_KEY, DESIRED_GOAL_KEY, GOAL_KEY, MASK_KEY

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
    :param info: info of the environment
    """

    frame: Any
    observation: Any
    number: int
    achieved: bool
    done: bool
    info: dict[str, Any]


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
        self.env = self._wrap(env)
        self.epsilon = epsilon
        self._generator = np.random.default_rng(seed)
        self.env.action_space.seed(seed)
        self.reset(seed)

    def reset(self, seed: int | None = None) -> None:
        """
        Start a new episode.

        :param seed: seed of the episode
        """
        self._obs, self._info = self.env.reset(seed=seed)
        self._done = False

    def run(self, goal: Goal | FloatArray, max_steps: int | None = None) -> Iterator[RolloutStep]:
        """
        Command a goal and step until it is achieved, the episode is done or ``max_steps`` is reached.

        :param goal: name or index; a point if any point is a goal
        :param max_steps: maximum number of steps
        :return: iterator over the steps
        """
        step = self.command(goal)
        yield step
        while not (step.achieved or step.done) and (max_steps is None or step.number < max_steps):
            step = self.step()
            yield step

    def command(self, goal: Goal | FloatArray) -> RolloutStep:
        """
        Command a goal, in a new episode if the last one is done.

        :param goal: name or index; a point if any point is a goal
        :return: the state before any action
        """
        if self._done:
            self.reset()
        self._command(goal)
        self._number = 0
        return self._state()

    def step(self, action: Any = None) -> RolloutStep:
        """
        Take a step towards the commanded goal.

        :param action: the action to take instead of the agent's
        :return: the state after the step
        """
        self._obs, _, terminated, truncated, self._info = self.env.step(self._action() if action is None else action)
        self._number, self._done = self._number + 1, terminated or truncated
        return self._state()

    def _state(self) -> RolloutStep:
        achieved = self._achieved()
        return RolloutStep(self._frame(), self._obs, self._number, achieved, self._done, self._info)

    def _wrap(self, env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
        # Achieving a goal does not end the episode: the next goal starts from there.
        self._commanding = GoalConditionedWrapper(env, goal=0, on_success="continue")
        self._points = goal_points(env)
        return self._commanding

    def _command(self, goal: Any) -> None:
        self._goal_id = goal_index(self._commanding.goal_names, goal)
        self._commanding.set_goal(self._goal_id)
        self._obs = {**self._obs, GOAL_KEY: np.int64(self._goal_id)}
        if self._points is not None and DESIRED_GOAL_KEY in self._obs:
            self._obs[DESIRED_GOAL_KEY] = self._points[self._goal_id].astype(self._obs[DESIRED_GOAL_KEY].dtype)

    def _achieved(self) -> bool:
        return bool(self._info[MASK_KEY][self._goal_id])

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


class PointRollout(AgentRollout):
    """
    Rollout of an agent for which any point is a goal. The goals, which :meth:`run` takes, are points ``[d]``.

    :param agent: model or policy with ``predict`` for observations with ``desired_goal``
    :param env: a goal environment
    :param seed: seed of the first episode and of the random actions
    :param epsilon: probability of a random action
    """

    def _wrap(self, env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
        self._test = RewardGoalTest(DummyVecEnv([lambda: env]))
        return env

    def _command(self, goal: Any) -> None:
        self._point = np.asarray(goal, dtype=self._obs[DESIRED_GOAL_KEY].dtype)
        _mark_goal(self.env, self._point)

    def _achieved(self) -> bool:
        self._obs = {**self._obs, DESIRED_GOAL_KEY: self._point}
        return bool(self._test(self._obs[ACHIEVED_GOAL_KEY][None], self._point[None])[0])


def make_rollout(agent: Any, env: gym.Env[Any, Any], seed: int | None = 0, epsilon: float = 0.0) -> AgentRollout:
    """
    Create the rollout for an environment with a finite goal set, or for one where any point is a goal.

    :param agent: model or policy
    :param env: the environment
    :param seed: seed of the first episode and of the random actions
    :param epsilon: probability of a random action
    :return: the rollout
    """
    kind = AgentRollout if env.has_wrapper_attr("goal_names") else PointRollout
    return kind(agent, env, seed, epsilon)


def _mark_goal(env: gym.Env[Any, Any], point: FloatArray) -> None:
    """Move the marker of the desired goal in renderings, as far as the environment has one of a known kind."""
    if env.has_wrapper_attr("set_goal"):
        env.get_wrapper_attr("set_goal")(point)
        return
    unwrapped: Any = env.unwrapped
    if isinstance(getattr(unwrapped, "goal", None), np.ndarray):  # Gymnasium-Robotics' own
        unwrapped.goal = point.copy()
