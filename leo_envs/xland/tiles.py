"""Tiles of XLand-MiniGrid by name: "red ball", "yellow locked door", or of any color: "ball"."""

from typing import NamedTuple

KINDS = (
    *("empty", "floor", "wall", "ball", "square", "pyramid", "goal", "key", "locked door", "closed door", "open door"),
    *("hex", "star"),
)
"""Kinds of tiles, in the order of XLand-MiniGrid's encoding."""

COLORS = ("empty", "red", "green", "blue", "purple", "yellow", "grey", "black", "orange", "white", "brown", "pink")
"""Colors of tiles, in the order of XLand-MiniGrid's encoding."""

PICKABLE = ("ball", "square", "pyramid", "key", "hex", "star")
"""Kinds of tiles that the agent can carry."""

ANY_COLOR = -1


class Tile(NamedTuple):
    """
    A kind of tile and its color.

    :param kind: index in :data:`KINDS`
    :param color: index in :data:`COLORS`, or :data:`ANY_COLOR`
    """

    kind: int
    color: int

    @property
    def is_pickable(self) -> bool:
        """Whether the agent can carry it."""
        return KINDS[self.kind] in PICKABLE

    def __str__(self) -> str:
        return KINDS[self.kind] if self.color == ANY_COLOR else f"{COLORS[self.color]} {KINDS[self.kind]}"


def parse_tile(name: str, *, any_color: bool = False) -> Tile:
    """
    Return the tile of a name.

    :param name: a color and a kind, such as "red ball"
    :param any_color: whether the kind alone is a name too
    :return: the tile

    Example::

        >>> parse_tile("yellow locked door"), parse_tile("key", any_color=True)
        (Tile(kind=8, color=5), Tile(kind=7, color=-1))
    """
    color, _, kind = name.partition(" ") if isinstance(name, str) else ("", "", "")
    if color in COLORS[1:] and kind in KINDS[3:]:
        return Tile(KINDS.index(kind), COLORS.index(color))
    if any_color and name in KINDS[3:]:
        return Tile(KINDS.index(name), ANY_COLOR)
    raise ValueError(
        f"expected a tile such as 'red ball'{' or ' + repr('ball') if any_color else ''}, got {name!r}; colors are "
        f"{', '.join(COLORS[1:])}, kinds are {', '.join(KINDS[3:])}"
    )
