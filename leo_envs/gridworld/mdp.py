"""Grid world as a finite MDP."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from leo_envs.common.arrays import one_hot
from leo_envs.common.mdp import BoolArray, FiniteMDP, FloatArray, IntArray
from leo_envs.gridworld.maps import Cell, GridMap
from leo_envs.gridworld.observations import OBSERVATIONS
from leo_envs.gridworld.rendering import GridPainter
from leo_wrappers.validation import check_choice

MOVES: IntArray = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)], dtype=np.intp)
"""Change of row and column for up, right, down and left."""


class GridWorld(FiniteMDP):
    """
    Grid world with four moves. A move into a wall or off the map leaves the agent in its cell. States are the free cells in
    row-major order; state g achieves goal g.

    :param grid: the map
    :param start: start cell, or "random" for any free cell; the map's ``S``, or else its center, when None
    :param observation: "row_column", "coordinates" or "one_hot"

    Example::

        >>> mdp = GridWorld(GridMap("S.."))
        >>> mdp.next_states([0, 0, 1], [1, 3, 1])
        array([1, 0, 2])
    """

    def __init__(self, grid: GridMap, start: Sequence[int] | str | None = None, observation: str = "row_column") -> None:
        check_choice("observation", observation, tuple(OBSERVATIONS))
        self.grid = grid
        self._observation = OBSERVATIONS[observation](grid)
        super().__init__(
            num_states=len(grid.cells),
            num_actions=len(MOVES),
            goal_names=[f"cell/{row},{column}" for row, column in grid.cells.tolist()],
            starts=_starts(grid, start),
            observation_space=self._observation.space,
        )
        # The cell of each goal.
        self.goal_cells: IntArray = np.arange(self.num_states)
        targets = grid.cells[:, None] + MOVES
        inside: BoolArray = np.all((targets >= 0) & (targets < grid.shape), axis=-1)
        numbers = grid.numbers[tuple(np.where(inside[..., None], targets, 0).transpose(2, 0, 1))]
        stays = ~inside | (numbers < 0)
        self._next = np.where(stays, np.arange(self.num_states)[:, None], numbers).reshape(-1)

    def next_states(self, states: npt.ArrayLike, actions: npt.ArrayLike) -> IntArray:
        """Return the cell after each move."""
        return self._next.take(np.asarray(states, dtype=np.intp) * len(MOVES) + np.asarray(actions, dtype=np.intp))

    def observe(self, states: npt.ArrayLike) -> FloatArray:
        """Return the observations of the cells."""
        return self._observation.encode(states)

    def states_of(self, observations: npt.ArrayLike) -> IntArray:
        """Return the cells of these observations."""
        array = np.asarray(observations, dtype=np.float32)
        self._check_observations(array)
        return self._cells_of(array)

    def _cells_of(self, observations: FloatArray) -> IntArray:
        states = self._observation.decode(observations)
        if np.any(states < 0):
            raise ValueError(
                "expected observations of free cells, got that of a wall; pass observations that this environment returned"
            )
        return states

    def achieved(self, states: npt.ArrayLike) -> BoolArray:
        """Return True for the goal of the agent's own cell."""
        return one_hot(states, self.num_goals, np.bool_)

    def states_achieving(self, goals: IntArray) -> tuple[IntArray, IntArray]:
        """Return each goal's own cell, the only state that achieves it."""
        return goals, np.arange(len(goals))

    def state_at(self, start: Any) -> int:
        """Return the state of a cell given as (row, column)."""
        return self.grid.number_of(start)

    def goal_descriptors(self) -> FloatArray:
        """Return row and column of each goal's cell, scaled to [0, 1]."""
        return self._cell_descriptors()

    def _cell_descriptors(self) -> FloatArray:
        return OBSERVATIONS["coordinates"](self.grid).encode(np.arange(len(self.grid.cells)))

    @cached_property
    def painter(self) -> GridPainter:
        """Renderer of the map, the agent and the goal."""
        return GridPainter(self.grid)


def _starts(grid: GridMap, start: Sequence[int] | str | None) -> list[int]:
    if isinstance(start, str):
        check_choice("start", start, ("random",))
        return list(range(len(grid.cells)))
    if start is not None:
        return [grid.number_of(start)]
    if grid.starts:
        return [grid.number_of(cell) for cell in grid.starts]
    center: Cell = grid.center
    if grid.walls[center]:
        raise ValueError(
            f"expected a start, got a map without 'S' whose center {center} is a wall; "
            "add an 'S' to the map or pass start=(row, column)"
        )
    return [grid.number_of(center)]
