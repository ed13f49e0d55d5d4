"""Goals of Atari games, tested on the console's memory."""

import re
from functools import cached_property

import numpy as np
import numpy.typing as npt

from leo_envs.atari.games import GAMES
from leo_wrappers import GoalSet
from leo_wrappers.goal_set import BoolArray
from leo_wrappers.validation import check_choice

RAM_SIZE = 128
"""Number of bytes of the console's memory."""


class AtariGoals(GoalSet):
    """
    All goals of a game; the signal is the console's memory, the observation of :class:`AtariEnv`.

    - Montezuma's Revenge: "room/1"; "cell/1/3,4": the player is in room 1, row 3, column 4 of eight each; "item/key":
      a key is in the inventory
    - Pitfall!: "room/+3": three rooms to the right of the first one; "cell/+3/tunnel,4": there, below the ground, in column 4
      of eight; "treasure/+6": the treasure of that room has been collected
    - Ms. Pac-Man: "cell/8,6": the player's position in the maze; "pellet/8,6", "pill/1,0": it has been eaten; "maze/cleared"

    The descriptor of a goal has an entry for each part of its name, such as the room, the row and the column.

    :param game: "montezuma_revenge", "ms_pacman" or "pitfall"

    Example::

        >>> goals = AtariGoals("montezuma_revenge")
        >>> ram = np.zeros(128, dtype=np.uint8)
        >>> ram[[3, 42, 43, 65]] = 1, 77, 235, 2
        >>> [goals.names[goal] for goal in np.flatnonzero(goals.achieved(ram))]
        ['room/1', 'item/key', 'cell/1/1,4']
    """

    def __init__(self, game: str) -> None:
        check_choice("game", game, tuple(GAMES))
        self.game = game
        super().__init__(GAMES[game].names, signal_shape=(RAM_SIZE,))

    @cached_property
    def descriptors(self) -> npt.NDArray[np.float32]:
        """One entry for each value of each part of the names, float32 ``[G, d]``; families share rows, columns and rooms."""
        parts = [list(enumerate(re.split("[/,]", name))) for name in self.names]
        columns = {part: column for column, part in enumerate(dict.fromkeys(part for row in parts for part in row))}
        result = np.zeros((len(self), len(columns)), dtype=np.float32)
        for row, row_parts in zip(result, parts, strict=True):
            row[[columns[part] for part in row_parts]] = 1.0
        return result

    def _test(self, signal: npt.NDArray[np.number]) -> BoolArray:
        ram = signal.reshape(-1, RAM_SIZE).astype(np.int64)
        return GAMES[self.game].test(ram).reshape(*signal.shape[:-1], len(self))
