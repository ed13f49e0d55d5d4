"""Mountain car, with discrete and continuous actions, as Gymnasium environments."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from leo_envs.common.arrays import finite_array
from leo_envs.common.env import FiniteMDPEnv
from leo_envs.common.mdp import FloatArray
from leo_envs.mountain_car.mdp import MountainCar


class MountainCarEnv(FiniteMDPEnv):
    """
    Gymnasium's ``MountainCar-v0`` discretized on a fine grid of positions and velocities. ``optimal_q`` returns the exact
    Q-values of the discretized environment, which approximate those of the original.

    - **Actions**: ``Discrete(3)``: push left, no push, push right; each is repeated for ``moments`` steps of the original.
    - **Observation**: position and velocity, float32, each scaled to [-1, 1].
    - **Goals**, by ``goals``: "position/-0.5..-0.4" for each position interval of width 0.1 (the last one is the flag), or
      "state/-0.5..-0.4,+0.01..+0.02" for each interval of position and velocity. Intervals include their lower end.
    - **Reward**: always 0.0; a goal-conditioned wrapper computes the reward from the mask.
    - **Termination**: never, not even at the flag. ``gym.make`` truncates after 100 steps.

    ``gym.make_vec`` creates the natively vectorized :class:`MountainCarVectorEnv`.

    :param shape: number of positions and number of velocities of the grid
    :param moments: number of steps of the original per step (frame skip)
    :param goals: "position" or "state"
    :param start: start position (at rest), or start position and velocity; random position from -0.6 to -0.4 when None
    :param time_limit: truncate after this many steps; no limit when None
    :param render_mode: "rgb_array", "human", "ansi" or None

    Example::

        >>> import gymnasium as gym
        >>> import leo_envs
        >>> env = gym.make("leo/MountainCar-v0", start=-0.5)
        >>> observation, info = env.reset(seed=0)
        >>> env.unwrapped.goal_names[info["goals_achieved"].argmax()]
        'position/-0.5..-0.4'
        >>> distances = env.unwrapped.distances(["position/+0.5..+0.6"])
        >>> int(distances[env.unwrapped.state, 0])  # smallest number of steps to the flag
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
        mdp = MountainCar("discrete", shape, moments, goals, start)
        super().__init__(mdp, time_limit=time_limit, render_mode=render_mode)


class MountainCarContinuousEnv(FiniteMDPEnv):
    """
    :class:`MountainCarEnv` with the stronger engine and the continuous action of Gymnasium's ``MountainCarContinuous-v0``. The
    action, a force from -1 to 1, is rounded to the nearest of -1, -0.5, 0, 0.5 and 1; the exact Q-values have these five
    actions.

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

    mdp: MountainCar

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
        mdp = MountainCar("continuous", shape, moments, goals, start)
        super().__init__(mdp, time_limit=time_limit, render_mode=render_mode)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def step(self, action: npt.ArrayLike) -> tuple[FloatArray, float, bool, bool, dict[str, Any]]:
        """
        Take one step.

        :param action: the force, ``[1]``, clipped to [-1, 1]
        :return: observation, reward 0.0, terminated False, truncated, and info with ``goals_achieved``
        """
        return super().step(self.force_number(action))

    def force_number(self, action: npt.ArrayLike) -> int:
        """
        Return the index of the discrete force nearest to a force: the column of :meth:`optimal_q`.

        :param action: the force, ``[1]``
        :return: index into the engine's ``forces``
        """
        array = finite_array(action, (1,), np.float64)
        if array is None:
            raise ValueError(f"expected a force in an array of shape (1,), got {action!r}; pass e.g. [0.5]")
        return int(np.abs(np.array(self.mdp.engine.forces) - np.clip(array[0], -1.0, 1.0)).argmin())
