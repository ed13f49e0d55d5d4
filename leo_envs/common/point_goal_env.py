"""A robot's environment whose goals are points: the GoalEnv interface of Gymnasium-Robotics and the mask of all goals."""

from abc import abstractmethod
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.error import ResetNeeded

from leo_wrappers import GoalSet
from leo_wrappers.validation import check_choice

Array = npt.NDArray[np.float32]
Observation = dict[str, Array]

REWARD_TYPES = ("sparse", "dense")


class PointGoalEnv(gym.Env[Any, Any]):
    """
    What every robot's environment does in the same way; subclasses bring the simulation.

    - **Observation**, float32: ``observation``, ``achieved_goal`` (where the robot or the object is) and ``desired_goal``.
    - **Goals**: named points with a tolerance; ``info["goals_achieved"]`` tells which of them ``achieved_goal`` has reached.
      ``desired_goal`` need not be one of them: it is drawn from the whole goal space at each reset.
    - **Reward**, of ``desired_goal``: "sparse", 0.0 where it is reached and -1.0 elsewhere, or "dense", by the distance.
      Mask, reward and ``info["is_success"]`` agree to the last bit. A goal-conditioned wrapper makes 0/1 rewards.
    - **Ends**: nothing terminates; Gymnasium's ``max_episode_steps`` truncates.

    :param goals: the goals, points of the space of ``achieved_goal``
    :param observation_size: the length of ``observation``
    :param action_space: the action space
    :param fps: steps a second
    :param reward_type: "sparse" or "dense"
    :param render_mode: "rgb_array", "human" or None
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array", "human"], "render_fps": 25}  # noqa: RUF012
    observation_space: spaces.Dict
    action_space: spaces.Box

    def __init__(
        self,
        goals: GoalSet,
        *,
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
        self.goal_set = goals
        self.goal_names = goals.names
        goal_size = goals.descriptors.shape[1]
        sizes = {"observation": observation_size, "achieved_goal": goal_size, "desired_goal": goal_size}
        self.observation_space = spaces.Dict({key: _unbounded(size) for key, size in sizes.items()})
        self.action_space = spaces.Box(action_space.low.astype(np.float32), action_space.high.astype(np.float32))
        self.commanded_goal: int | None = None
        self._desired: Array | None = None

    @property
    def goal_points(self) -> Array:
        """The goals' points, float32 ``[G, d]``."""
        return self.goal_set.descriptors

    @property
    def desired_goal(self) -> Array:
        """The point that the reward is about."""
        if self._desired is None:
            raise ResetNeeded("expected an episode under way, got a fresh environment; call reset() first")
        return self._desired.copy()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observation, dict[str, Any]]:
        """
        Begin an episode.

        :param seed: seeds everything random from here on
        :param options: ``{"desired_goal": point}`` asks for this point instead of a random one
        :return: the observation and the info with ``goals_achieved``
        """
        options = dict(options or {})
        wanted = options.pop("desired_goal", None)
        # Judged before anything changes.
        point = None if wanted is None else self._checked_goal(wanted)
        super().reset(seed=seed)
        drawn = self._begin(seed, options)
        if point is None and self.commanded_goal is not None:
            point = self.goal_points[self.commanded_goal]
        self._aim(np.asarray(drawn if point is None else point, dtype=np.float32))
        observation = self._observation()
        if self.render_mode == "human":
            self.render()
        return observation, {"goals_achieved": self.goal_set.achieved(observation["achieved_goal"])}

    def step(self, action: npt.ArrayLike) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """
        Take one step.

        :param action: an element of the action space; what lies outside its bounds is clipped
        :return: observation, reward, terminated False, truncated False, and the info with ``goals_achieved`` and
            ``is_success``
        """
        if self._desired is None:
            raise ResetNeeded("expected an episode under way, got a fresh environment; call reset() before step()")
        self._advance(self._checked_action(action))
        observation = self._observation()
        achieved, desired = observation["achieved_goal"], observation["desired_goal"]
        info: dict[str, Any] = {
            "goals_achieved": self.goal_set.achieved(achieved),
            "is_success": bool(self.goal_set.reaches(achieved, desired)),
        }
        reward = float(self.compute_reward(achieved, desired, info))
        # The step that reaches a goal still shows that goal: a new one is seen from the next observation on.
        self._after_step(achieved)
        if self.render_mode == "human":
            self.render()
        return observation, reward, False, False, info

    def compute_reward(self, achieved_goal: npt.ArrayLike, desired_goal: npt.ArrayLike, info: Any) -> Array | float:
        """
        The reward of having reached one point while another was asked for.

        :param achieved_goal: a point, or any batch of them
        :param desired_goal: the points asked for, beside them
        :param info: not looked at
        :return: a number for one point, an array of the batch's shape for several
        """
        if self.reward_type == "sparse":
            reward = self.goal_set.reaches(achieved_goal, desired_goal).astype(np.float32) - np.float32(1.0)
        else:
            difference = np.asarray(achieved_goal, dtype=np.float64) - np.asarray(desired_goal, dtype=np.float64)
            reward = self._dense_reward(np.linalg.norm(difference, axis=-1)).astype(np.float32)
        return float(reward) if reward.ndim == 0 else reward

    def compute_terminated(
        self, achieved_goal: npt.ArrayLike, desired_goal: npt.ArrayLike, info: Any
    ) -> npt.NDArray[np.bool_] | bool:
        """
        False: reaching a goal ends nothing.

        :param achieved_goal: a point, or any batch of them
        :param desired_goal: the points asked for, beside them
        :param info: not looked at
        """
        shape = np.broadcast_shapes(np.shape(achieved_goal), np.shape(desired_goal))[:-1]
        return np.zeros(shape, dtype=np.bool_) if shape else False

    def compute_truncated(
        self, achieved_goal: npt.ArrayLike, desired_goal: npt.ArrayLike, info: Any
    ) -> npt.NDArray[np.bool_] | bool:
        """
        False: only a time limit truncates.

        :param achieved_goal: a point, or any batch of them
        :param desired_goal: the points asked for, beside them
        :param info: not looked at
        """
        return self.compute_terminated(achieved_goal, desired_goal, info)

    def set_goal(self, point: npt.ArrayLike) -> None:
        """
        Ask for another point from the next observation on, and move the target that the pictures show.

        :param point: any point of the goal space
        """
        if self._desired is None:
            raise ResetNeeded("expected an episode under way, got a fresh environment; call reset() before set_goal()")
        self._aim(self._checked_goal(point))

    def set_commanded_goal(self, goal_id: int | str | None) -> None:
        """
        Ask for one of the goals from the next observation on, at this and every later reset.

        :param goal_id: the goal, by index or name; None leaves the choice to later resets
        """
        self.commanded_goal = None if goal_id is None else self.goal_set.index(goal_id)
        if self.commanded_goal is not None and self._desired is not None:
            self._aim(self.goal_points[self.commanded_goal])

    def render(self) -> npt.NDArray[np.uint8] | None:  # type: ignore[override]
        """
        Draw the current state, with a target at the desired goal.

        :return: an RGB array in mode "rgb_array"; None in mode "human", which shows a window
        """
        if self.render_mode is None:
            gym.logger.warn('render() draws nothing without a render mode; make the environment with render_mode="rgb_array".')
            return None
        # Marks that follow the robot have moved since the goal was set.
        self._show_target(self.desired_goal.astype(np.float64))
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
    def _begin(self, seed: int | None, options: dict[str, Any]) -> npt.ArrayLike:
        """Starts the simulation anew and draws a goal for it."""

    @abstractmethod
    def _advance(self, action: Array) -> None:
        """Runs the simulation for one step."""

    @abstractmethod
    def _state(self) -> tuple[npt.ArrayLike, npt.ArrayLike]:
        """What is observed of the simulation, and the point that it has achieved."""

    @abstractmethod
    def _show_target(self, point: npt.NDArray[np.float64]) -> None:
        """Puts the visible target at a point, without a trace in the simulation's state."""

    def _dense_reward(self, distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The reward at these distances from the goal."""
        return -distance

    def _after_step(self, achieved: Array) -> None:
        """Where targets move on when reached, this moves them."""

    def _aim(self, point: Array) -> None:
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
        array = np.array(point, dtype=np.float32)
        if array.shape != self.goal_points.shape[1:] or not np.isfinite(array).all():
            raise ValueError(
                f"expected a goal of {self.goal_points.shape[1]} finite coordinates, got {point!r}; pass a point as in "
                "goal_points"
            )
        return array

    def _checked_action(self, action: npt.ArrayLike) -> Array:
        array = np.asarray(action, dtype=np.float32)
        if array.shape != self.action_space.shape or not np.isfinite(array).all():
            raise ValueError(
                f"expected an action of shape {self.action_space.shape} with finite numbers, got {action!r}; pass one that "
                "action_space contains"
            )
        return np.clip(array, self.action_space.low, self.action_space.high)


def _unbounded(size: int) -> spaces.Box:
    return spaces.Box(-np.inf, np.inf, (size,), np.float32)
