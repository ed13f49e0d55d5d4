"""The mountain car as Gymnasium environments."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from leo_envs.common.env import WorldEnv
from leo_envs.common.mdp import FloatArray
from leo_envs.mountain_car.mdp import MountainCar


class MountainCarEnv(WorldEnv):
    """
    Gymnasium's mountain car on a fine grid of positions and velocities, which makes its values exactly computable: what
    ``optimal_q`` returns is true to the last bit of this environment, and close to true of the original.

    - **Actions**: ``Discrete(3)``: push left, roll, push right; each lasts ``moments`` of the original's steps.
    - **Observation**: position and velocity, float32, each from -1 to 1.
    - **Goals**, by ``goals``: "position/-0.5..-0.4" for each tenth of the valley (the last one is the flag), or
      "state/-0.5..-0.4,+0.01..+0.02" with the velocity too. An interval contains its lower end.
    - **Reward**: 0.0 always; a goal-conditioned wrapper makes the reward from the mask.
    - **Ends**: nothing terminates, not even at the flag. ``gym.make`` truncates after 100 steps.

    The native vector version is :class:`MountainCarVectorEnv`, made by ``gym.make_vec``.

    :param shape: how many positions and velocities the grid has
    :param moments: how many steps of the original one step lasts
    :param goals: "position" or "state"
    :param start: where episodes begin: a position at rest, or a position and a velocity; at random from -0.6 to -0.4 when None
    :param time_limit: truncate after this many steps; None leaves it to ``gym.make``
    :param render_mode: "rgb_array", "human", "ansi" or None

    Example::

        >>> import gymnasium as gym
        >>> import leo_envs
        >>> env = gym.make("leo/MountainCar-v0", start=-0.5)
        >>> observation, info = env.reset(seed=0)
        >>> env.unwrapped.goal_names[info["goals_achieved"].argmax()]
        'position/-0.5..-0.4'
        >>> flag = env.unwrapped.distances(["position/+0.5..+0.6"])
        >>> int(flag[env.unwrapped.state, 0])  # swinging back and forth, five moments a step
        21
    """

    def __init__(
        self,
        shape: Sequence[int] = (181, 141),
        *,
        moments: int = 5,
        goals: str = "position",
        start: Any = None,
        time_limit: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        world = MountainCar("discrete", shape, moments, goals, start)
        super().__init__(world, time_limit=time_limit, render_mode=render_mode)


class MountainCarContinuousEnv(WorldEnv):
    """
    The same with the stronger engine of Gymnasium's ``MountainCarContinuous-v0`` and its continuous action, a force from -1
    to 1, of which the nearest of five counts: -1, -0.5, 0, 0.5 and 1. Its exact values are those of these five.

    :param shape: as in :class:`MountainCarEnv`
    :param moments: as in :class:`MountainCarEnv`
    :param goals: as in :class:`MountainCarEnv`
    :param start: as in :class:`MountainCarEnv`
    :param time_limit: as in :class:`MountainCarEnv`
    :param render_mode: as in :class:`MountainCarEnv`

    Example::

        >>> import gymnasium as gym
        >>> import leo_envs
        >>> env = gym.make("leo/MountainCarContinuous-v0", start=-0.5)
        >>> observation, info = env.reset()
        >>> env.step([0.9])[0].round(3), env.unwrapped.force_number([0.9])
        (array([-0.2  ,  0.086], dtype=float32), 4)
    """

    world: MountainCar

    def __init__(
        self,
        shape: Sequence[int] = (181, 141),
        *,
        moments: int = 5,
        goals: str = "position",
        start: Any = None,
        time_limit: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        world = MountainCar("continuous", shape, moments, goals, start)
        super().__init__(world, time_limit=time_limit, render_mode=render_mode)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)  # type: ignore[assignment]

    def step(self, action: npt.ArrayLike) -> tuple[FloatArray, float, bool, bool, dict[str, Any]]:
        """
        Take one step.

        :param action: the force, one number from -1 to 1; what lies outside is clipped
        """
        return super().step(self.force_number(action))

    def force_number(self, action: npt.ArrayLike) -> int:
        """
        Which of the world's actions a force means: the column of :meth:`optimal_q`.

        :param action: the force
        """
        array = np.asarray(action, dtype=np.float64)
        if array.shape != (1,) or not np.isfinite(array).all():
            raise ValueError(f"expected a force in an array of shape (1,), got {action!r}; pass e.g. [0.5]")
        return int(np.abs(np.array(self.world.engine.forces) - np.clip(array[0], -1.0, 1.0)).argmin())
