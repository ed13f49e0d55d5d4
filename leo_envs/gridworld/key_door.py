"""Grid world with a key and a locked door as a finite MDP."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from leo_envs.common.drawing import Color, disc, rounded_square
from leo_envs.common.mdp import BoolArray, FiniteMDP, FloatArray, Frame, IntArray
from leo_envs.gridworld.maps import GridMap
from leo_envs.gridworld.mdp import GridWorld
from leo_envs.gridworld.rendering import GridPainter

KEY: Color = (222, 170, 32)
DOOR: Color = (150, 92, 48)
NUM_PHASES = 3
"""Without the key, with the key, and with the door open."""


class KeyDoorWorld(GridWorld):
    """
    Grid world with a key, which the agent picks up by entering its cell, and a door, which is a wall until the agent enters it
    with the key. State ``phase * C + cell`` is one of C cells, without the key (phase 0), with it (1), or with the door open
    (2). Two goals follow those of the cells: "has key" and "door open", which stay achieved for the rest of the episode.

    The observation is that of the cell and two more entries, the latter goals.

    :param grid: the map, with a key and a door
    :param start: see :class:`~leo_envs.gridworld.mdp.GridWorld`
    :param observation: see :class:`~leo_envs.gridworld.mdp.GridWorld`

    Example::

        >>> mdp = KeyDoorWorld(GridMap("KSD."))
        >>> mdp.next_states([1, 1, 4, 5, 6], [1, 3, 1, 1, 1])  # closed, key taken, away from the key, door opened, behind it
        array([ 1,  4,  5, 10,  7])
    """

    def __init__(self, grid: GridMap, start: Sequence[int] | str | None = None, observation: str = "row_column") -> None:
        super().__init__(grid, start, observation)
        self.num_cells = self.num_states
        self.key, self.door = (grid.number_of(cell) for cell in (grid.key, grid.door) if cell is not None)
        self.num_states *= NUM_PHASES
        self.goal_names = (*self.goal_names, "has key", "door open")
        self.goal_cells = np.append(self.goal_cells, [self.key, self.door])
        self.observation_space = spaces.Box(0.0, 1.0, (self._observation.space.shape[0] + 2,), np.float32)
        # Relevant for random starts.
        self.starts = self.starts[~np.isin(self.starts, (self.key, self.door))]

    def next_states(self, states: npt.ArrayLike, actions: npt.ArrayLike) -> IntArray:
        """Return the state after each move."""
        phases, cells = np.divmod(np.asarray(states, dtype=np.intp), self.num_cells)
        targets = super().next_states(cells, actions)
        targets = np.where((targets == self.door) & (phases == 0), cells, targets)
        phases = np.where((targets == self.key) & (phases == 0), 1, phases)
        phases = np.where((targets == self.door) & (phases == 1), 2, phases)
        return phases * self.num_cells + targets

    def observe(self, states: npt.ArrayLike) -> FloatArray:
        """Return the observations of the states."""
        phases, cells = np.divmod(np.asarray(states, dtype=np.intp), self.num_cells)
        return np.concatenate([super().observe(cells), _flags(phases).astype(np.float32)], axis=-1)

    def states_of(self, observations: npt.ArrayLike) -> IntArray:
        """Return the states of these observations."""
        array = np.asarray(observations, dtype=np.float32)
        self._check_observations(array)
        cells = self._cells_of(array[..., :-2])
        return (array[..., -2:] > 0.5).sum(axis=-1) * self.num_cells + cells

    def achieved(self, states: npt.ArrayLike) -> BoolArray:
        """Return True for the goal of the agent's own cell, and for the key and the open door."""
        phases, cells = np.divmod(np.asarray(states, dtype=np.intp), self.num_cells)
        mask = np.zeros((*cells.shape, self.num_goals), dtype=np.bool_)
        np.put_along_axis(mask, cells[..., None], True, axis=-1)
        mask[..., self.num_cells :] = _flags(phases)
        return mask

    def states_achieving(self, goals: IntArray) -> tuple[IntArray, IntArray]:
        """Return all pairs of a state and one of the goals that it achieves."""
        return FiniteMDP.states_achieving(self, goals)

    def goal_descriptors(self) -> FloatArray:
        """Return row and column of each goal's cell, scaled to [0, 1], and whether it is the key's or the door's goal."""
        table = np.zeros((self.num_goals, 4), dtype=np.float32)
        table[:, :2] = self._cell_descriptors()[self.goal_cells]
        table[-2:, 2:] = np.eye(2)
        return table

    @cached_property
    def painter(self) -> "KeyDoorPainter":
        """Renderer of the map, the key, the door, the agent and the goal."""
        return KeyDoorPainter(self)


class KeyDoorPainter(GridPainter):
    """
    Renderer that adds the key (yellow disc) until it is taken, and the door (brown square) until it is open.

    :param mdp: the grid world

    Example::

        >>> print(KeyDoorPainter(KeyDoorWorld(GridMap("KSD."))).text(1, 3))
        KADG
    """

    def __init__(self, mdp: KeyDoorWorld) -> None:
        super().__init__(mdp.grid)
        self.mdp = mdp

    def frame(self, state: int, commanded_goal: int | None) -> Frame:
        """
        Render a state as an image.

        :param state: the state
        :param commanded_goal: the goal to draw, or None
        :return: RGB ``[height, width, 3]``
        """
        phase, cell = divmod(state, self.mdp.num_cells)
        frame = super().frame(cell, self._cell(commanded_goal))
        if phase == 0:
            self._stamp(frame, self.mdp.key, disc(self.marker, 0.2 * self.marker), KEY)
        if phase < NUM_PHASES - 1:
            self._stamp(frame, self.mdp.door, rounded_square(self.marker, 0.4 * self.marker, 0.08 * self.marker), DOOR)
        return frame

    def text(self, state: int, commanded_goal: int | None) -> str:
        """
        Render a state as text, with ``K`` for the key and ``D`` for the locked door.

        :param state: the state
        :param commanded_goal: the goal to draw, or None
        :return: one line per row of the map
        """
        phase, cell = divmod(state, self.mdp.num_cells)
        rows = [list(row) for row in super().text(cell, self._cell(commanded_goal)).split("\n")]
        for letter, number, is_there in (("K", self.mdp.key, phase == 0), ("D", self.mdp.door, phase < NUM_PHASES - 1)):
            row, column = self.grid.cells[number].tolist()
            if is_there and rows[row][column] == ".":
                rows[row][column] = letter
        return "\n".join("".join(row) for row in rows)

    def _cell(self, goal: int | None) -> int | None:
        return None if goal is None else int(self.mdp.goal_cells[goal])


def _flags(phases: IntArray) -> BoolArray:
    """Return whether the agent has the key, and whether the door is open, bool ``[..., 2]``."""
    return np.stack([phases >= 1, phases >= NUM_PHASES - 1], axis=-1)
