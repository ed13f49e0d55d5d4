"""Goals of MiniGrid and BabyAI, tested on observations of the whole grid."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from leo_envs.common.goal_patterns import matching_names
from leo_envs.minigrid.instructions import goal_name_of, instruction_descriptors, instruction_of
from leo_envs.minigrid.observations import CARRIED, COLORS, NUM_PLANES, PLANE, TYPES, BinaryArray, observation_size
from leo_wrappers import GoalSet
from leo_wrappers.goal_set import BoolArray, Goal
from leo_wrappers.validation import check_integer

_FRONT = np.array([[0, 1], [1, 0], [0, -1], [-1, 0]])
"""Row and column of the cell in front of the agent, relative to its own, by direction: right, down, left, up."""


class MiniGridGoals(GoalSet):
    """
    Goals of a grid of a given size; the signal is the observation of :class:`MiniGridEnv`.

    - "cell/3,4": the agent is in row 3, column 4, counted from 0; one per cell inside the outer walls
    - "at/goal": the agent is on a goal square
    - "facing/red ball": the agent is next to such an object and looks at it; also by type ("facing/ball") and color
      ("facing/red") alone
    - "carrying/blue key": the agent carries such an object; also by type and color alone
    - "open/yellow door": a door of this color is open; "open/door": any door

    :param width: number of columns, walls included
    :param height: number of rows
    :param names: names of some of these goals; all of them when None

    Example::

        >>> goals = MiniGridGoals(8, 8)
        >>> len(goals), goals.names[36:40]
        (105, ('at/goal', 'facing/red door', 'facing/green door', 'facing/blue door'))
        >>> goals.instructions[39], goals.names[goals.index_of_instruction("pick up a grey box")]
        ('go to the blue door', 'carrying/grey box')
    """

    def __init__(self, width: int, height: int, names: Iterable[str] | None = None) -> None:
        for name, size in (("width", width), ("height", height)):
            check_integer(name, size, 3, 1000)
        self.width, self.height = width, height
        all_names = _all_names(width, height)
        super().__init__(all_names if names is None else names, signal_shape=(observation_size(width, height),))
        ids = {name: goal_id for goal_id, name in enumerate(all_names)}
        unknown = [name for name in self.names if name not in ids]
        if unknown:
            raise ValueError(f"expected names of goals of a grid of {width}x{height}, got {unknown[:5]}; see MiniGridGoals")
        self._columns = np.array([ids[name] for name in self.names])
        self._front = _cells_in_front(width, height)
        self._inner = np.arange(width * height).reshape(height, width)[1:-1, 1:-1].reshape(-1)
        self.instructions = tuple(instruction_of(name) for name in self.names)
        """The text of each goal."""
        # Overrides the cached property, whose default is one-hot.
        self.__dict__["descriptors"] = instruction_descriptors(self.instructions)

    def index_of_instruction(self, instruction: str) -> int | None:
        """
        Return the goal that an instruction asks for.

        :param instruction: one of ``instructions``, or a mission of MiniGrid or BabyAI
        :return: the index of the goal; None if it is none of these
        """
        return self._ids.get(goal_name_of(instruction) or "")

    def matching(self, patterns: Iterable[str]) -> "MiniGridGoals":
        """
        Return the goals whose names match one of the patterns.

        :param patterns: patterns with wildcards, such as "cell/*" or "*/yellow key"
        :return: the goals in the order of this set
        """
        return MiniGridGoals(self.width, self.height, matching_names(self.names, patterns))

    def subset(self, goals: Iterable[Goal]) -> "MiniGridGoals":
        """
        Return the set of the given goals, in the given order.

        :param goals: names or indices
        :return: a new goal set over the same signal
        """
        return MiniGridGoals(self.width, self.height, [self.names[goal] for goal in self._indices(goals)])

    def _test(self, signal: BinaryArray) -> BoolArray:
        flat = signal.reshape(-1, signal.shape[-1]).astype(np.bool_)
        grid_size = self.width * self.height * NUM_PLANES
        things = flat[:, :grid_size].reshape(len(flat), -1, NUM_PLANES)
        carried = flat[:, grid_size : grid_size + len(CARRIED)]
        agent = things[..., PLANE["agent"]]
        row, position = np.arange(len(flat)), agent.argmax(axis=1)
        front = things[row, self._front[flat[:, -4:].argmax(axis=1), position]]
        open_doors = (things[..., PLANE["open"], None] & things[..., _COLORS]).any(axis=1)
        parts = [
            agent[:, self._inner],
            things[row, position, PLANE["goal"], None],
            *_by_kind(front[:, _TYPES], front[:, _COLORS]),
            *_by_kind(carried[:, :3], carried[:, 3:]),
            open_doors,
            np.any(open_doors, axis=1, keepdims=True),
        ]
        return np.concatenate(parts, axis=1)[:, self._columns].reshape(*signal.shape[:-1], len(self))


_TYPES = slice(PLANE[TYPES[0]], PLANE[TYPES[-1]] + 1)
_COLORS = slice(PLANE[COLORS[0]], PLANE[COLORS[-1]] + 1)


def _all_names(width: int, height: int) -> list[str]:
    names = [f"cell/{row},{column}" for row in range(1, height - 1) for column in range(1, width - 1)]
    names.append("at/goal")
    for family, types in (("facing", TYPES), ("carrying", TYPES[1:])):
        names += [f"{family}/{color} {kind}" for kind in types for color in COLORS]
        names += [f"{family}/{detail}" for detail in (*types, *COLORS)]
    return [*names, *(f"open/{color} door" for color in COLORS), "open/door"]


def _by_kind(types: BoolArray, colors: BoolArray) -> list[BoolArray]:
    """Return for one object per row whether it is of each type and color, each type, and each color."""
    return [(types[:, :, None] & colors[:, None, :]).reshape(len(types), -1), types, colors]


def _cells_in_front(width: int, height: int) -> npt.NDArray[np.intp]:
    """Return the number of the cell in front of an agent by its direction and its own cell, ``[4, cells]``."""
    rows, columns = np.divmod(np.arange(width * height), width)
    # An agent in a door of the outer wall may look out of the grid.
    front_rows = np.clip(rows + _FRONT[:, :1], 0, height - 1)
    return np.asarray(front_rows * width + np.clip(columns + _FRONT[:, 1:], 0, width - 1))
