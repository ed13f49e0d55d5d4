"""Base class of robotics environments with point goals: Gymnasium-Robotics' GoalEnv interface plus the mask of all goals."""

from abc import abstractmethod
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.error import ResetNeeded

from leo_envs.common.arrays import finite_array
from leo_envs.common.helper_goals import OBJECT, HelperGoals, PartGoals
from leo_envs.common.window import warn_no_render_mode
from leo_wrappers import GoalSet
from leo_wrappers.validation import check_choice

Array = npt.NDArray[np.float32]
Observation = dict[str, Array]

REWARD_TYPES = ("sparse", "dense")


class PointGoalEnv(gym.Env[Any, Any]):
    """
    Base class of robotics environments with point goals; subclasses implement the simulation.

    - **Observation**, float32: ``observation``, ``achieved_goal`` (position of the robot or object) and ``desired_goal``.
    - **Goals**: named points with a tolerance; ``info["goals_achieved"]`` is the mask of the goals that ``achieved_goal``
      achieves. ``desired_goal`` is sampled from the whole goal space at each reset and need not be one of them. Tasks with an
      object also have goals that help to reach its positions, see :mod:`leo_envs.common.helper_goals`.
    - **Reward** for ``desired_goal``: "sparse" (0.0 if it is achieved, else -1.0) or "dense" (minus the distance, except in
      mazes). Mask, reward and ``info["is_success"]`` always agree. A goal-conditioned wrapper replaces it by a 0/1 reward.
    - **Termination**: never; Gymnasium's ``max_episode_steps`` truncates.

    :param points: the goals that are points in the space of ``achieved_goal``
    :param helpers: further goals over the signal of :mod:`leo_envs.common.helper_goals`, or None
    :param observation_size: length of ``observation``
    :param action_space: the action space
    :param fps: steps per second of simulated time
    :param reward_type: "sparse" or "dense"
    :param render_mode: "rgb_array", "human" or None
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array", "human"], "render_fps": 25}  # noqa: RUF012
    observation_space: spaces.Dict
    action_space: spaces.Box

    def __init__(
        self,
        points: GoalSet,
        *,
        helpers: HelperGoals | None = None,
        observation_size: int,
        action_space: spaces.Box,
        fps: int,
        reward_type: str,
        render_mode: str | None,
    ) -> None:
        check_choice("reward_type", reward_type, REWARD_TYPES)
        check_choice("render_mode", render_mode, (None, *self.metadata["render_modes"]))
        self.metadata = {**self.metadata, "render_fps": fps}
        self.reward_type = reward_type
        self.render_mode = render_mode
        self._points, self._helpers = points, helpers
        self.goal_set: GoalSet = points if helpers is None else PartGoals(points, OBJECT) | helpers
        self.goal_names = self.goal_set.names
        goal_size = points.descriptors.shape[1]
        sizes = {"observation": observation_size, "achieved_goal": goal_size, "desired_goal": goal_size}
        self.observation_space = spaces.Dict({key: _unbounded(size) for key, size in sizes.items()})
        self.action_space = spaces.Box(action_space.low.astype(np.float32), action_space.high.astype(np.float32))
        self.commanded_goal: int | None = None
        self._desired: Array | None = None

    @property
    def goal_points(self) -> Array | None:
        """The points of the goals, float32 ``[G, d]``; None if some are no points of ``achieved_goal``."""
        return self._points.descriptors if len(self._points) == len(self.goal_set) else None

    @property
    def achieved_goal_points(self) -> Array:
        """The points of those goals that are points of ``achieved_goal``, the first P goals, float32 ``[P, d]``."""
        return self._points.descriptors

    def goal_signal(self, observation: Observation, info: Any = None) -> npt.NDArray[np.float32]:
        """
        Return what ``goal_set`` tests: stored observations determine the mask.

        :param observation: an observation, or a batch of them
        :param info: unused
        :return: ``achieved_goal``, or with helping goals positions of gripper and object and its velocity, ``[..., 9]``
        """
        achieved = observation["achieved_goal"]
        if self.goal_points is not None:
            return achieved
        gripper, velocity = self._gripper_and_velocity(observation["observation"])
        return np.concatenate([gripper, achieved, velocity], axis=-1)

    @property
    def desired_goal(self) -> Array:
        """The point that the reward refers to, float32 ``[d]``."""
        return self._check_was_reset().copy()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict[str, Any]]:
        """
        Start a new episode.

        :param seed: seed of the random generators
        :param options: ``{"desired_goal": point}`` sets the desired goal instead of sampling it
        :return: observation and info with ``goals_achieved``
        """
        options = dict(options or {})
        desired = options.pop("desired_goal", None)
        # Validated before anything changes.
        point = None if desired is None else self._checked_goal(desired)
        super().reset(seed=seed)
        sampled = self._reset_simulation(seed, options)
        if point is None:
            point = self._commanded_point
        self._set_desired_goal(np.asarray(sampled if point is None else point, dtype=np.float32))
        observation = self._observation()
        if self.render_mode == "human":
            self.render()
        return observation, {"goals_achieved": self.goal_set.achieved(self.goal_signal(observation))}

    def step(self, action: npt.ArrayLike) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """
        Take one step.

        :param action: the action, clipped to the bounds of the action space
        :return: observation, reward, terminated False, truncated False, and info with ``goals_achieved`` and ``is_success``
        """
        self._check_was_reset()
        self._step_simulation(self._checked_action(action))
        observation = self._observation()
        achieved, desired = observation["achieved_goal"], observation["desired_goal"]
        info: dict[str, Any] = {
            "goals_achieved": self.goal_set.achieved(self.goal_signal(observation)),
            "is_success": bool(self._points.reaches(achieved, desired)),
        }
        reward = float(self.compute_reward(achieved, desired, info))
        # Last, so that a new desired goal appears in the next observation, not in the one that achieved the old goal.
        self._after_step(achieved)
        if self.render_mode == "human":
            self.render()
        return observation, reward, False, False, info

    def compute_reward(self, achieved_goal: npt.ArrayLike, desired_goal: npt.ArrayLike, info: Any) -> Array | float:
        """
        Compute the reward, as in Gymnasium-Robotics' GoalEnv.

        :param achieved_goal: achieved points ``[..., d]``
        :param desired_goal: desired points ``[..., d]``
        :param info: unused
        :return: a float for a single pair, else float32 ``[...]``
        """
        if self.reward_type == "sparse":
            reward = self._points.reaches(achieved_goal, desired_goal).astype(np.float32) - np.float32(1.0)
        else:
            difference = np.asarray(achieved_goal, dtype=np.float64) - np.asarray(desired_goal, dtype=np.float64)
            reward = self._dense_reward(np.linalg.norm(difference, axis=-1)).astype(np.float32)
        return float(reward) if reward.ndim == 0 else reward

    def compute_terminated(
        self, achieved_goal: npt.ArrayLike, desired_goal: npt.ArrayLike, info: Any
    ) -> npt.NDArray[np.bool_] | bool:
        """Return False: achieving a goal does not terminate the episode; arguments as in :meth:`compute_reward`."""
        shape = np.broadcast_shapes(np.shape(achieved_goal), np.shape(desired_goal))[:-1]
        return np.zeros(shape, dtype=np.bool_) if shape else False

    def compute_truncated(
        self, achieved_goal: npt.ArrayLike, desired_goal: npt.ArrayLike, info: Any
    ) -> npt.NDArray[np.bool_] | bool:
        """Return False: only the time limit truncates the episode; arguments as in :meth:`compute_reward`."""
        return self.compute_terminated(achieved_goal, desired_goal, info)

    def set_goal(self, point: npt.ArrayLike) -> None:
        """
        Set the desired goal from the next observation on.

        :param point: any point of the goal space, ``[d]``
        """
        self._check_was_reset()
        self._set_desired_goal(self._checked_goal(point))

    def set_commanded_goal(self, goal_id: int | str | None) -> None:
        """
        Make one of the goals the desired goal, from the next observation on and in all later episodes.

        Goals that are no points of ``achieved_goal`` leave the desired goal as it is.

        :param goal_id: the goal, by id or name; None to sample the desired goal again from the next reset on
        """
        self.commanded_goal = None if goal_id is None else self.goal_set.index(goal_id)
        point = self._commanded_point
        if point is not None and self._desired is not None:
            self._set_desired_goal(point)

    def render(self) -> npt.NDArray[np.uint8] | None:  # type: ignore[override]
        """
        Render the current state, with a marker at the desired goal.

        :return: RGB array in mode "rgb_array"; None in mode "human", which shows a window
        """
        if self.render_mode is None:
            warn_no_render_mode()
            return None
        # Some markers follow the robot or the object, which have moved since the goal was set.
        self._show_target(self._marker().astype(np.float64))
        frame = self._renderer.render(self.render_mode)
        return frame if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Close the window and free the simulation's renderer."""
        self._renderer.close()

    @property
    @abstractmethod
    def _renderer(self) -> Any:
        """Gymnasium's MuJoCo renderer of the simulation."""

    @abstractmethod
    def _reset_simulation(self, seed: int | None, options: dict[str, Any]) -> npt.ArrayLike:
        """Reset the simulation and return a sampled goal."""

    @abstractmethod
    def _step_simulation(self, action: Array) -> None:
        """Run the simulation for one step."""

    @abstractmethod
    def _state(self) -> tuple[npt.ArrayLike, npt.ArrayLike]:
        """Return ``observation`` and ``achieved_goal`` of the simulation."""

    @abstractmethod
    def _show_target(self, point: npt.NDArray[np.float64]) -> None:
        """Move the marker of the desired goal without changing the simulation's dynamics."""

    def _marker(self) -> Array:
        """Return where to draw the marker: at the desired goal, or where the commanded helping goal is."""
        if self.commanded_goal is None or self._commanded_point is not None or self._helpers is None:
            return self.desired_goal
        return self._helpers.marker(self.commanded_goal - len(self._points), self.goal_signal(self._observation()))

    def _gripper_and_velocity(self, observation: Array) -> tuple[Array, Array]:
        """Read the gripper's position and the object's velocity ``[..., 3]``; only for environments with helping goals."""
        raise NotImplementedError

    @property
    def _commanded_point(self) -> Array | None:
        # Points come first in the goal set.
        is_point = self.commanded_goal is not None and self.commanded_goal < len(self._points)
        return self._points.descriptors[self.commanded_goal] if is_point else None

    def _dense_reward(self, distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the dense reward at these distances from the goal."""
        return -distance

    def _after_step(self, achieved: Array) -> None:
        """Hook at the end of each step, for desired goals that change once achieved."""

    def _check_was_reset(self) -> Array:
        if self._desired is None:
            raise ResetNeeded("expected a running episode, got an environment before its first reset; call reset() first")
        return self._desired

    def _set_desired_goal(self, point: Array) -> None:
        self._desired = point.copy()
        self._show_target(point.astype(np.float64))

    def _observation(self) -> Observation:
        state, achieved = self._state()
        return {
            "observation": np.array(state, dtype=np.float32),
            "achieved_goal": np.array(achieved, dtype=np.float32),
            "desired_goal": self.desired_goal,
        }

    def _checked_goal(self, point: npt.ArrayLike) -> Array:
        shape = self._points.descriptors.shape[1:]
        array = finite_array(point, shape, np.float32)
        if array is None:
            raise ValueError(
                f"expected a goal of {shape[0]} finite coordinates, got {point!r}; pass a point like desired_goal"
            )
        return array.copy()

    def _checked_action(self, action: npt.ArrayLike) -> Array:
        array = finite_array(action, self.action_space.shape, np.float32)
        if array is None:
            raise ValueError(
                f"expected an action of shape {self.action_space.shape} with finite numbers, got {action!r}; pass one that "
                "action_space contains"
            )
        return np.clip(array, self.action_space.low, self.action_space.high)


def _unbounded(size: int) -> spaces.Box:
    return spaces.Box(-np.inf, np.inf, (size,), np.float32)
