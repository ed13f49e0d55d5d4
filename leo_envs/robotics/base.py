"""What the environments of Gymnasium-Robotics have in common here: one runs inside, and its goals become a named set."""

from typing import Any

import numpy as np
import numpy.typing as npt

from leo_envs.common.point_goal_env import Array, PointGoalEnv
from leo_envs.common.target_site import move_site
from leo_wrappers import GoalSet


class RoboticsEnv(PointGoalEnv):
    """
    An environment of Gymnasium-Robotics with the multi-goal contract: the same simulation, starts and random goals, step for
    step and seed for seed.

    :param simulation: the environment that runs inside, made without a render mode
    :param goals: the goals
    :param fps: steps a second
    :param reward_type: "sparse" or "dense"
    :param render_mode: "rgb_array", "human" or None
    """

    target_sites: tuple[str, ...] = ()
    """The names of the simulation's sites that show the desired goal, three coordinates each or two on the floor."""

    def __init__(self, simulation: Any, goals: GoalSet, *, fps: int, reward_type: str, render_mode: str | None) -> None:
        super().__init__(
            goals,
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
        """The state of the simulation."""
        return self.simulation.data

    @property
    def _renderer(self) -> Any:
        return self.simulation.mujoco_renderer

    def _begin(self, seed: int | None, options: dict[str, Any]) -> npt.ArrayLike:
        self._raw, _ = self.simulation.reset(seed=seed, options=options or None)
        return np.asarray(self._raw["desired_goal"])

    def _advance(self, action: Array) -> None:
        self._raw = self.simulation.step(action)[0]

    def _state(self) -> tuple[npt.ArrayLike, npt.ArrayLike]:
        return self._raw["observation"], self._raw["achieved_goal"]

    def _show_target(self, point: npt.NDArray[np.float64]) -> None:
        places = point.reshape(len(self.target_sites), -1)
        for name, place in zip(self.target_sites, places, strict=True):
            move_site(self.model, self.data, name, place)
