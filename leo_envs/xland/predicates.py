"""Predicates of states by name, as goals, conditions of rules and missions: "near/red ball"."""

import re
from typing import NamedTuple

from leo_envs.xland.tiles import Tile, parse_tile

NUM_TILES = {"on": 1, "near": 1, "carrying": 1, "exists": 1, "adjacent": 2}
"""Number of tiles of the predicates of each family."""

FAMILIES = ("cell", *NUM_TILES)

_CELL = re.compile(r"(\d{1,3}),(\d{1,3})")


class Predicate(NamedTuple):
    """
    Predicate of a state.

    :param family: one of :data:`FAMILIES`
    :param tiles: the tiles; none for a cell
    :param cell: row and column of a cell, else (0, 0)
    """

    family: str
    tiles: tuple[Tile, ...] = ()
    cell: tuple[int, int] = (0, 0)

    def __str__(self) -> str:
        detail = ",".join(map(str, self.cell)) if self.family == "cell" else ", ".join(map(str, self.tiles))
        return f"{self.family}/{detail}"


def parse_predicate(name: str, *, any_color: bool = False) -> Predicate:
    """
    Return the predicate of a name.

    :param name: "cell/3,4", "on/green goal", "near/red ball", "carrying/red ball", "exists/red ball" or
        "adjacent/red ball, blue square"
    :param any_color: whether tiles may be of any color, as in "near/ball"
    :return: the predicate

    Example::

        >>> parse_predicate("adjacent/red ball, blue square").tiles
        (Tile(kind=3, color=1), Tile(kind=4, color=3))
    """
    family, _, detail = name.partition("/") if isinstance(name, str) else ("", "", "")
    cell = _CELL.fullmatch(detail)
    if family == "cell" and cell:
        return Predicate("cell", cell=(int(cell[1]), int(cell[2])))
    tiles = detail.split(", ")
    if len(tiles) == NUM_TILES.get(family):
        return Predicate(family, tuple(parse_tile(tile, any_color=any_color) for tile in tiles))
    raise ValueError(
        "expected the name of a goal such as 'cell/3,4', 'near/red ball' or 'adjacent/red ball, blue square', got "
        f"{name!r}; families are {', '.join(FAMILIES)}"
    )
