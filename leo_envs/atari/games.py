"""What is known of the memory of each game: the names of its goals and their tests on the console's 128 bytes."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from leo_envs.common.arrays import one_hot
from leo_wrappers.goal_set import BoolArray

IntArray = npt.NDArray[np.int64]


class Game(NamedTuple):
    """A game of the console."""

    names: tuple[str, ...]
    """Names of all goals."""
    test: Callable[[IntArray], BoolArray]
    """Maps a batch of memories ``[B, 128]`` to masks ``[B, G]``."""


def _cell_columns(pixels: IntArray) -> IntArray:
    """Return the column of each horizontal position; the screen of 160 pixels has eight columns."""
    return np.minimum(pixels // 20, 7)


def _room_cells(rooms: BoolArray, cells: IntArray, num_cells: int) -> BoolArray:
    """Return for each room and each of its cells whether the player is there, ``[B, rooms * cells]``."""
    return np.asarray((rooms[:, :, None] & one_hot(cells, num_cells, np.bool_)[:, None, :]).reshape(len(rooms), -1))


MONTEZUMA_ROOMS = 24
_ITEMS = {"hammer": 0b00000001, "key": 0b00011110, "sword": 0b01100000, "torch": 0b10000000}
"""Bits of the inventory; there are four keys and two swords."""


def _montezuma_names() -> tuple[str, ...]:
    cells = [f"cell/{room}/{row},{column}" for room in range(MONTEZUMA_ROOMS) for row in range(8) for column in range(8)]
    return (*(f"room/{room}" for room in range(MONTEZUMA_ROOMS)), *(f"item/{item}" for item in _ITEMS), *cells)


def _test_montezuma(ram: IntArray) -> BoolArray:
    rooms = ram[:, 3, None] == np.arange(MONTEZUMA_ROOMS)
    items = (ram[:, 65, None] & np.array(list(_ITEMS.values()))) != 0
    # The vertical position counts upwards and ends at the room's top with 255; the player is drawn 3 pixels to the right.
    cells = np.minimum((255 - ram[:, 43]) // 16, 7) * 8 + _cell_columns(ram[:, 42] + 3)
    # When the player enters a room, byte 4 is not 0 until the position is that in the new room.
    return np.concatenate([rooms, items, _room_cells(rooms & (ram[:, 4, None] == 0), cells, 64)], axis=1)


def _pitfall_rooms() -> IntArray:
    """Return the rooms in their order from the first to the right, as bytes: the states of a shift register."""
    rooms = [0xC4]
    for _ in range(254):
        room = rooms[-1]
        rooms.append((room << 1) & 0xFF | (room >> 7 ^ room >> 5 ^ room >> 4 ^ room >> 3) & 1)
    return np.array(rooms)


PITFALL_ROOMS = _pitfall_rooms()
"""The byte of each of the 255 rooms, which form a ring."""
_ROOM_LABELS = [f"{number if number <= 127 else number - 255:+d}" if number else "0" for number in range(255)]
_TREASURE_ROOMS = np.flatnonzero((PITFALL_ROOMS >> 3) & 7 == 5)
_TREASURE_BYTES = 109 + (PITFALL_ROOMS[_TREASURE_ROOMS] >> 6)
_TREASURE_BITS = 7 - (PITFALL_ROOMS[_TREASURE_ROOMS] & 7)


def _pitfall_names() -> tuple[str, ...]:
    cells = [f"cell/{room}/{level},{col}" for room in _ROOM_LABELS for level in ("jungle", "tunnel") for col in range(8)]
    return (
        *(f"room/{room}" for room in _ROOM_LABELS),
        *(f"treasure/{_ROOM_LABELS[number]}" for number in _TREASURE_ROOMS),
        *cells,
    )


def _test_pitfall(ram: IntArray) -> BoolArray:
    rooms = ram[:, 1, None] == PITFALL_ROOMS
    treasures = (ram[:, _TREASURE_BYTES] >> _TREASURE_BITS & 1).astype(np.bool_)
    # Harry stands at 32 in the jungle and at 86 in the tunnel, and is drawn 4 pixels to the right.
    cells = (ram[:, 105] >= 60) * 8 + _cell_columns(ram[:, 97] + 4)
    return np.concatenate([rooms, treasures, _room_cells(rooms, cells, 16)], axis=1)


MAZE = (
    "....#........#....",
    "o##.#.######.#.##o",
    "..................",
    "#.#.##.####.##.#.#",
    "..#............#..",
    "#.####.####.####.#",
    "#......####......#",
    "#.####.####.####.#",
    "..#............#..",
    "#.#.#.#.##.#.#.#.#",
    "....#.#....#.#....",
    ".##.#...##...#.##.",
    "o##.###.##.###.##o",
    "..................",
)
"""The first maze of Ms. Pac-Man: "." a pellet, "o" a pill, "#" neither."""
_PELLETS, _PILLS, _FREE = (np.argwhere(np.isin([list(row) for row in MAZE], list(kinds))) for kinds in (".", "o", ".o"))
# A row of pellets is three bytes from 59 on. The byte and the bit of each column:
_BYTES = np.array([0, 1, 1, 1, 1, 2, 2, 2, 2, 1, 1, 1, 1, 2, 2, 2, 2, 0])
_BITS = np.array([6, 7, 5, 3, 1, 0, 2, 4, 6, 6, 4, 2, 0, 1, 3, 5, 7, 4])
_PELLET_BYTES, _PELLET_BITS = 59 + 3 * _PELLETS[:, 0] + _BYTES[_PELLETS[:, 1]], _BITS[_PELLETS[:, 1]]
_FREE_PLACES = _FREE @ [18, 1]
_PILL_BITS = np.array([5, 3, 4, 2])
_POSITIONS = np.array([17 + 8 * column + 4 * (column > 8) for column in range(18)])
"""The player's horizontal position in each column."""
_COLUMN_OF = np.abs(np.arange(256)[:, None] - _POSITIONS).argmin(axis=1)


def _pacman_names() -> tuple[str, ...]:
    groups = {"cell": _FREE, "pellet": _PELLETS, "pill": _PILLS}
    return (*(f"{family}/{row},{column}" for family, places in groups.items() for row, column in places), "maze/cleared")


def _test_pacman(ram: IntArray) -> BoolArray:
    rows = np.clip((ram[:, 16] + 4) // 12, 0, len(MAZE) - 1)
    places = rows * 18 + _COLUMN_OF[ram[:, 10]]
    # The upper half of this byte is the number of cleared mazes, in which all pellets and pills were eaten.
    cleared = ram[:, 123, None] >= 16
    pellets = (ram[:, _PELLET_BYTES] >> _PELLET_BITS & 1) == 0
    pills = (ram[:, 117, None] >> _PILL_BITS & 1) == 0
    return np.concatenate([places[:, None] == _FREE_PLACES, pellets | cleared, pills | cleared, cleared], axis=1)


GAMES = {
    "montezuma_revenge": Game(_montezuma_names(), _test_montezuma),
    "ms_pacman": Game(_pacman_names(), _test_pacman),
    "pitfall": Game(_pitfall_names(), _test_pitfall),
}
"""The games by ale-py's names."""
