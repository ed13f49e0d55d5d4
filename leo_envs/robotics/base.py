"""Base class of multi-goal environments that run a Gymnasium-Robotics environment."""

from typing import Any

import numpy as np
import numpy.typing as npt

from leo_envs.common.helper_goals import HelperGoals
from leo_envs.common.point_goal_env import Array, PointGoalEnv
from leo_envs.common.target_site import move_site
from leo_wrappers import GoalSet


class RoboticsEnv(PointGoalEnv):
    """
    Base class that adds the multi-goal contract to a Gymnasium-Robotics environment. With the same seed and actions, start
    states, observations and sampled goals are those of the original.

    :param simulation: the original environment, created without a render mode
    :param goals: the goals that are points
    :param helpers: further goals, see :class:`~leo_envs.common.point_goal_env.PointGoalEnv`
    :param fps: steps per second of simulated time
    :param reward_type: "sparse" or "dense"
    :param render_mode: "rgb_array", "human" or None
    """

    target_sites: tuple[str, ...] = ()
    """Names of the sites that mark the desired goal; each takes two (on the floor) or three of its coordinates."""

    def __init__(
        self,
        simulation: Any,
        goals: GoalSet,
        *,
        helpers: HelperGoals | None = None,
        fps: int,
        reward_type: str,
        render_mode: str | None,
    ) -> None:
        super().__init__(
            goals,
            helpers=helpers,
            observation_size=simulation.observation_space["observation"].shape[0],
            action_space=simulation.action_space,
            fps=fps,
            reward_type=reward_type,
            render_mode=render_mode,
        )
        self.simulation = simulation
        self._raw: dict[str, Any] = {}

    @property
    def model(self) -> Any:
        """The MuJoCo model."""
        return self.simulation.model

    @property
    def data(self) -> Any:
        """The MuJoCo data."""
        return self.simulation.data

    @property
    def _renderer(self) -> Any:
        return self.simulation.mujoco_renderer

    def _reset_simulation(self, seed: int | None, options: dict[str, Any]) -> npt.ArrayLike:
        self._raw, _ = self.simulation.reset(seed=seed, options=options or None)
        return np.asarray(self._raw["desired_goal"])

    def _step_simulation(self, action: Array) -> None:
        self._raw = self.simulation.step(action)[0]

    def _state(self) -> tuple[npt.ArrayLike, npt.ArrayLike]:
        return self._raw["observation"], self._raw["achieved_goal"]

    def _show_target(self, point: npt.NDArray[np.float64]) -> None:
        positions = point.reshape(len(self.target_sites), -1)
        for name, position in zip(self.target_sites, positions, strict=True):
            move_site(self.model, self.data, name, position)
