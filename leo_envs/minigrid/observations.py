"""Binary observations of the whole grid, from which all goals can be tested."""

from typing import Any

import numpy as np
import numpy.typing as npt

COLORS = ("red", "green", "blue", "purple", "yellow", "grey")
"""MiniGrid's colors, in the order of its encoding."""
TYPES = ("door", "key", "ball", "box")
"""The types of objects that have a color and can be in an instruction; all but the door can be carried."""
_PLANES = ("wall", "floor", "goal", "lava", *TYPES, "open", "locked", *COLORS, "agent")
PLANE = {name: index for index, name in enumerate(_PLANES)}
"""Index of each plane: one binary entry per cell."""
NUM_PLANES = len(_PLANES)
CARRIED = ("key", "ball", "box", *COLORS)
"""The entries for the carried object, which follow the cells; four for the agent's direction come last."""

BinaryArray = npt.NDArray[np.uint8]


def observation_size(width: int, height: int) -> int:
    """
    Return the number of entries of an observation.

    :param width: number of columns, walls included
    :param height: number of rows
    """
    return width * height * NUM_PLANES + len(CARRIED) + 4


def observe(simulation: Any) -> BinaryArray:
    """
    Encode the state of a MiniGrid environment.

    :param simulation: the environment, a ``minigrid.minigrid_env.MiniGridEnv``
    :return: binary uint8: ``height * width`` cells in rows of :data:`NUM_PLANES` entries, the carried object, the direction
    """
    # One gather for all cells: a Python loop over planes would cost more than MiniGrid's own step.
    cells = _PLANES_OF[[_EMPTY if thing is None else _code(*thing.encode()) for thing in simulation.grid.grid]]
    column, row = simulation.agent_pos
    cells[row * simulation.width + column, PLANE["agent"]] = 1
    tail = np.zeros(len(CARRIED) + 4, dtype=np.uint8)
    if simulation.carrying is not None:
        tail[CARRIED.index(simulation.carrying.type)] = tail[CARRIED.index(simulation.carrying.color)] = 1
    tail[len(CARRIED) + int(simulation.agent_dir)] = 1
    return np.concatenate([cells.reshape(-1), tail])


def _code(kind: int, color: int, state: int) -> int:
    return (kind * len(COLORS) + color) * 3 + state


_EMPTY = _code(1, 0, 0)


def _planes_of_codes() -> BinaryArray:
    """Return the planes of each type, color and state of MiniGrid's encoding, ``[11 * 6 * 3, planes]``."""
    table = np.zeros((11, len(COLORS), 3, NUM_PLANES), dtype=np.uint8)
    numbers = {"wall": 2, "floor": 3, "door": 4, "key": 5, "ball": 6, "box": 7, "goal": 8, "lava": 9}
    for name, number in numbers.items():
        table[number, ..., PLANE[name]] = 1
        if name in TYPES:
            for index, color in enumerate(COLORS):
                table[number, index, :, PLANE[color]] = 1
    table[numbers["door"], :, 0, PLANE["open"]] = 1
    table[numbers["door"], :, 2, PLANE["locked"]] = 1
    return table.reshape(-1, NUM_PLANES)


_PLANES_OF = _planes_of_codes()
