"""Mountain car on a grid of positions and velocities as a finite MDP."""

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise, product
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from leo_envs.common.mdp import BoolArray, FiniteMDP, FloatArray, IntArray
from leo_envs.mountain_car.rendering import HillPainter
from leo_wrappers.validation import check_choice, check_integer, float_array

POSITIONS, VELOCITIES = (-1.2, 0.6), (-0.07, 0.07)
"""Ranges of the position and of the velocity."""
STARTS = (-0.6, -0.4)
"""Range of the start position; the start velocity is 0."""
GRAVITY = 0.0025
MAX_MOMENTS = 1_000
POSITION_GOALS, VELOCITY_GOALS = 18, 14
"""Number of goal intervals, of width 0.1 in position and 0.01 in velocity."""

Array = npt.NDArray[np.float64]


class Engine(NamedTuple):
    """Engine of the car."""

    power: float
    """Change of the velocity by a force of 1 in one step of the original."""
    forces: tuple[float, ...]
    """Force of each action."""


ENGINES = {
    "discrete": Engine(0.001, (-1.0, 0.0, 1.0)),
    "continuous": Engine(0.0015, (-1.0, -0.5, 0.0, 0.5, 1.0)),
}
"""Engines of Gymnasium's ``MountainCar-v0`` and ``MountainCarContinuous-v0``; five forces of the latter's continuum."""


class MountainCar(FiniteMDP):
    """
    Mountain car on a grid. A transition takes ``moments`` steps of Gymnasium's mountain car from a grid point and rounds the
    result to the nearest grid point. State numbers are ``position_index * num_velocities + velocity_index``.

    :param engine: key of :data:`ENGINES`
    :param shape: number of positions and number of velocities of the grid; the latter is odd, so that it contains 0
    :param moments: number of steps of the original per step (frame skip)
    :param goals: "position" for intervals of the position, "state" for intervals of position and velocity
    :param start: start position (at rest), or start position and velocity; random position from -0.6 to -0.4 when None

    Example::

        >>> mdp = MountainCar()
        >>> state = mdp.state_at(-0.5)
        >>> mdp.position_and_velocity(mdp.next_states(state, [0, 2])).round(3)
        array([[-0.52 , -0.006],
               [-0.49 ,  0.004]])
        >>> mdp.goal_names[:2]
        ('position/-1.2..-1.1', 'position/-1.1..-1.0')
    """

    def __init__(
        self,
        engine: str = "discrete",
        shape: Sequence[int] = (181, 141),
        moments: int = 5,
        goals: str = "position",
        start: Any = None,
    ) -> None:
        check_choice("goals", goals, ("position", "state"))
        self.engine = ENGINES[engine]
        self.shape = _checked_shape(shape)
        check_integer("moments", moments, 1, MAX_MOMENTS)
        self.moments = int(moments)
        self.goals = goals
        self._positions = np.linspace(*POSITIONS, self.shape[0])
        self._velocities = np.linspace(*VELOCITIES, self.shape[1])
        # Index of the goal interval of each position and velocity. Intervals include their lower end, the last also its upper.
        self._position_goal = _interval_of(self._positions, POSITIONS, POSITION_GOALS)
        self._velocity_goal = _interval_of(self._velocities, VELOCITIES, VELOCITY_GOALS)
        super().__init__(
            num_states=self.shape[0] * self.shape[1],
            num_actions=len(self.engine.forces),
            goal_names=_goal_names(goals),
            starts=self._starts(start),
            observation_space=spaces.Box(-1.0, 1.0, (2,), np.float32),
        )
        self._next = self._all_next_states()

    def next_states(self, states: npt.ArrayLike, actions: npt.ArrayLike) -> IntArray:
        """Return the grid point nearest to the car after the step."""
        return self._next[np.asarray(states, dtype=np.intp), np.asarray(actions, dtype=np.intp)]

    def observe(self, states: npt.ArrayLike) -> FloatArray:
        """Return position and velocity, each scaled to [-1, 1]."""
        low, high = np.array([POSITIONS, VELOCITIES]).T
        return ((self.position_and_velocity(states) - low) / (high - low) * 2.0 - 1.0).astype(np.float32)

    def states_of(self, observations: npt.ArrayLike) -> IntArray:
        """Return the nearest grid points."""
        array = np.asarray(observations, dtype=np.float64)
        self._check_observations(array)
        low, high = np.array([POSITIONS, VELOCITIES]).T
        values = (array + 1.0) / 2.0 * (high - low) + low
        return self._nearest(values[..., 0], values[..., 1])

    def achieved(self, states: npt.ArrayLike) -> BoolArray:
        """Return True for the interval that contains the car's state."""
        position, velocity = np.divmod(np.asarray(states, dtype=np.intp), self.shape[1])
        goal = self._position_goal[position]
        if self.goals == "state":
            goal = goal * VELOCITY_GOALS + self._velocity_goal[velocity]
        return np.asarray(goal[..., None] == np.arange(self.num_goals))

    def state_at(self, start: Any) -> int:
        """Return the state nearest to a position (at rest), or to a position and a velocity."""
        array = np.atleast_1d(float_array("start", start))
        values = np.array([array[0], 0.0]) if array.shape == (1,) else array
        low, high = np.array([POSITIONS, VELOCITIES]).T
        if values.shape != (2,) or not ((values >= low) & (values <= high)).all():
            raise ValueError(
                f"expected a position from {POSITIONS[0]} to {POSITIONS[1]}, optionally with a velocity from {VELOCITIES[0]} "
                f"to {VELOCITIES[1]}, got {start!r}; pass e.g. -0.5 or (-0.5, 0.0)"
            )
        return int(self._nearest(values[0], values[1]))

    def goal_descriptors(self) -> FloatArray:
        """Return the center of each goal's interval, scaled to [-1, 1]."""
        axes = [(np.arange(count) + 0.5) / count * 2.0 - 1.0 for count in self._goal_counts]
        return np.array(list(product(*axes)), dtype=np.float32)

    @cached_property
    def painter(self) -> HillPainter:
        """Renderer of the valley, the car and the goal."""
        return HillPainter(self.position_and_velocity, self.goal_names, POSITIONS, self._position_interval)

    def position_and_velocity(self, states: npt.ArrayLike) -> Array:
        """
        Return position and velocity in Gymnasium's units.

        :param states: states ``[...]``
        :return: float64 ``[..., 2]``
        """
        position, velocity = np.divmod(np.asarray(states, dtype=np.intp), self.shape[1])
        return np.stack([self._positions[position], self._velocities[velocity]], axis=-1)

    @property
    def _goal_counts(self) -> tuple[int, ...]:
        return (POSITION_GOALS,) if self.goals == "position" else (POSITION_GOALS, VELOCITY_GOALS)

    def _position_interval(self, goal: int) -> tuple[float, float]:
        ends = np.linspace(*POSITIONS, POSITION_GOALS + 1)
        number = goal if self.goals == "position" else goal // VELOCITY_GOALS
        return float(ends[number]), float(ends[number + 1])

    def _starts(self, start: Any) -> list[int]:
        if start is not None:
            return [self.state_at(start)]
        in_range = (self._positions >= STARTS[0] - 1e-9) & (self._positions <= STARTS[1] + 1e-9)
        return [self.state_at(position) for position in self._positions[in_range]]

    def _all_next_states(self) -> IntArray:
        values = self.position_and_velocity(np.arange(self.num_states))
        position, velocity = values[:, :1], values[:, 1:]
        thrust = self.engine.power * np.array(self.engine.forces)
        for _ in range(self.moments):
            velocity = np.clip(velocity + thrust - GRAVITY * np.cos(3.0 * position), *VELOCITIES)
            position = np.clip(position + velocity, *POSITIONS)
            # The wall at the left end stops the car.
            velocity = np.where((position <= POSITIONS[0]) & (velocity < 0), 0.0, velocity)
        return self._nearest(position, velocity)

    def _nearest(self, position: npt.ArrayLike, velocity: npt.ArrayLike) -> IntArray:
        indices = []
        for values, (low, high), count in zip((position, velocity), (POSITIONS, VELOCITIES), self.shape, strict=True):
            scaled = (np.asarray(values, dtype=np.float64) - low) / (high - low) * (count - 1)
            indices.append(np.clip(np.rint(scaled), 0, count - 1).astype(np.intp))
        return np.asarray(indices[0] * self.shape[1] + indices[1])


def _interval_of(values: Array, ends: tuple[float, float], count: int) -> IntArray:
    # The small constant keeps grid points on a lower end in the interval despite rounding errors.
    scaled = (values - ends[0]) / (ends[1] - ends[0]) * count + 1e-9
    return np.clip(np.floor(scaled), 0, count - 1).astype(np.intp)


def _goal_names(goals: str) -> list[str]:
    positions = [f"{low:+.1f}..{high:+.1f}" for low, high in pairwise(np.linspace(*POSITIONS, POSITION_GOALS + 1) + 1e-9)]
    if goals == "position":
        return [f"position/{position}" for position in positions]
    velocities = [f"{low:+.2f}..{high:+.2f}" for low, high in pairwise(np.linspace(*VELOCITIES, VELOCITY_GOALS + 1) + 1e-9)]
    return [f"state/{position},{velocity}" for position in positions for velocity in velocities]


def _checked_shape(shape: Sequence[int]) -> tuple[int, int]:
    counts = tuple(shape) if isinstance(shape, Sequence | np.ndarray) else ()
    good = len(counts) == 2 and all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in counts)
    if not good or counts[0] < POSITION_GOALS + 1 or counts[1] < VELOCITY_GOALS + 1 or counts[1] % 2 == 0:
        raise ValueError(
            f"expected shape to be the number of positions, at least {POSITION_GOALS + 1}, and an odd number of velocities, "
            f"at least {VELOCITY_GOALS + 1}, got {shape!r}; pass e.g. (181, 141)"
        )
    return int(counts[0]), int(counts[1])
