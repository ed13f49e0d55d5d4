"""Goals of XLand-MiniGrid: predicates of a state, tested in JAX on its observation."""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from leo_envs.xland.predicates import FAMILIES, Predicate, parse_predicate
from leo_envs.xland.tiles import ANY_COLOR, KINDS, PICKABLE, Tile
from leo_wrappers import GoalSet
from leo_wrappers.goal_set import BoolArray, Goal
from leo_wrappers.validation import check_instance, check_iterable


class XLandGoals(GoalSet):
    """
    Goals of a grid of a given size; the signal is the observation of :class:`XLandEnv`, or a batch of observations.

    - "cell/3,4": the agent is in row 3, column 4, counted from 0
    - "on/green goal": the agent is on such a tile
    - "near/red ball": such a tile is in one of the four cells around the agent
    - "carrying/red ball": the agent carries such a tile
    - "exists/green star": such a tile is in the grid, or carried
    - "adjacent/red ball, blue square": two such tiles are in neighboring cells of a row or a column

    The color may be left out: "near/ball".

    :param height: number of rows, walls included
    :param width: number of columns
    :param names: names of the goals

    Example::

        >>> goals = XLandGoals(9, 9, ["cell/3,4", "near/ball", "carrying/red ball"])
        >>> goals.descriptors.shape
        (3, 26)
    """

    def __init__(self, height: int, width: int, names: Iterable[str]) -> None:
        super().__init__(names)
        self.height, self.width = height, width
        self._predicates = [parse_predicate(name, any_color=True) for name in self.names]
        for goal in self._predicates:
            if not (goal.cell[0] < height and goal.cell[1] < width):
                raise ValueError(f"expected cells of a grid of {height}x{width}, got '{goal}'; count from 0")
        self._tiles = list(dict.fromkeys(tile for goal in self._predicates for tile in goal.tiles))
        # Overrides the cached property, whose default is one-hot.
        self.__dict__["descriptors"] = self._describe()

    def subset(self, goals: Iterable[Goal]) -> "XLandGoals":
        """
        Return the set of the given goals, in the given order.

        :param goals: names or indices
        :return: a new goal set over the same signal
        """
        return XLandGoals(self.height, self.width, [self.names[goal] for goal in self._indices(goals)])

    def mask(self, observation: Mapping[str, jax.Array]) -> jax.Array:
        """
        Return the mask of one observation, as a function of JAX.

        :param observation: a single observation
        :return: bool ``[G]``
        """
        present = self._is_tile(observation["tiles"], observation["colors"])
        carried = self._is_tile(*observation["carried"])
        agent = observation["agent"] > 0
        around = jnp.pad(present, ((0, 0), (1, 1), (1, 1)))
        beside = around[:, :-2, 1:-1] | around[:, 2:, 1:-1] | around[:, 1:-1, :-2] | around[:, 1:-1, 2:]
        tests = {
            "cell": lambda goals: agent[tuple(np.array([goal.cell for goal in goals]).T)],
            "on": lambda goals: (present & agent).any((1, 2))[self._numbers(goals)],
            "near": lambda goals: (beside & agent).any((1, 2))[self._numbers(goals)],
            "carrying": lambda goals: carried[self._numbers(goals)],
            "exists": lambda goals: (present.any((1, 2)) | carried)[self._numbers(goals)],
            "adjacent": lambda goals: (present[self._numbers(goals)] & beside[self._numbers(goals, 1)]).any((1, 2)),
        }
        result = jnp.zeros(len(self), dtype=bool)
        for family, ids in self.families.items():
            result = result.at[ids].set(tests[family]([self._predicates[goal_id] for goal_id in ids]))
        return result

    def _is_tile(self, kinds: jax.Array, colors: jax.Array) -> jax.Array:
        """Return for each of the tiles where it is, bool ``[T, *kinds.shape]``."""
        tiles = np.array(self._tiles or [Tile(0, 0)]).reshape(-1, 2, *[1] * jnp.ndim(kinds))
        return (kinds == tiles[:, 0]) & ((colors == tiles[:, 1]) | (tiles[:, 1] == ANY_COLOR))

    def _numbers(self, goals: Sequence[Predicate], which: int = 0) -> npt.NDArray[np.int64]:
        """Return the number of one of the tiles of each goal."""
        return np.array([self._tiles.index(goal.tiles[which]) for goal in goals])

    def _describe(self) -> npt.NDArray[np.float32]:
        """Return one-hot encodings of the family, the row, the column and the tiles of each goal, side by side."""
        sizes = (len(FAMILIES), self.height, self.width, len(self._tiles))
        offsets = np.cumsum((0, *sizes))
        result = np.zeros((len(self), offsets[-1]), dtype=np.float32)
        for row, goal in zip(result, self._predicates, strict=True):
            row[FAMILIES.index(goal.family)] = 1.0
            if goal.family == "cell":
                row[[offsets[1] + goal.cell[0], offsets[2] + goal.cell[1]]] = 1.0
            row[[offsets[3] + self._tiles.index(tile) for tile in goal.tiles]] = 1.0
        return result

    def _test(self, signal: Any) -> BoolArray:
        return np.array(_masks(self, np.ndim(signal["agent"]) - 2, dict(signal)))


@partial(jax.jit, static_argnums=(0, 1))
def _masks(goals: XLandGoals, batch_dims: int, observations: Any) -> jax.Array:
    mask = goals.mask
    for _ in range(batch_dims):
        mask = jax.vmap(mask)
    return mask(observations)


def cell_goals(height: int, width: int) -> list[Predicate]:
    """Return a goal for each cell inside the outer walls."""
    return [Predicate("cell", cell=(row, column)) for row in range(1, height - 1) for column in range(1, width - 1)]


def goals_of_any_color() -> list[Predicate]:
    """Return goals of tiles of any color, for levels without a ruleset."""
    pickable = [Tile(KINDS.index(kind), ANY_COLOR) for kind in PICKABLE]
    fixed = {kind: Tile(KINDS.index(kind), ANY_COLOR) for kind in ("goal", "locked door", "closed door", "open door")}
    goals = [Predicate("on", (fixed[kind],)) for kind in ("goal", "open door")]
    goals += [Predicate("near", (tile,)) for tile in (*pickable, fixed["locked door"], fixed["closed door"])]
    return [*goals, *(Predicate("carrying", (tile,)) for tile in pickable), Predicate("exists", (fixed["open door"],))]


def matching(names: Sequence[str], patterns: Iterable[str]) -> list[str]:
    """
    Return the goals of patterns and names.

    :param names: names of goals, which patterns select
    :param patterns: patterns with wildcards, such as "cell/*", and names of any goals
    :return: names, each once
    """
    check_iterable("goals", patterns)
    found: list[str] = []
    for pattern in patterns:
        check_instance("a goal", pattern, str, "pass names and patterns")
        matches = [name for name in names if fnmatchcase(name, pattern)]
        if "*" in pattern and not matches:
            raise ValueError(f"expected a pattern of goals such as 'cell/*', got {pattern!r}; see XLandGoals")
        # Other names are checked by XLandGoals.
        found += matches or [pattern]
    return list(dict.fromkeys(found))
