"""For every goal of Craftax: states that just achieve it and states that just do not, each a few changes of a blank world."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from tests.envs.craftax_oracle import OFFSETS, channel_names
from tests.envs.craftax_states import SMALL, mob_fields

CENTRE = SMALL // 2


class Change(NamedTuple):
    """
    A field of the state to overwrite.

    :param field: the field, with dots
    :param value: the new value
    :param where: the index inside the field
    """

    field: str
    value: Any
    where: tuple[int, ...] = ()


class Case(NamedTuple):
    """
    A state and whether it achieves a goal.

    :param goal: the goal
    :param label: what the state is an example of
    :param achieved: whether the goal is achieved
    :param changes: what to change in a blank world
    """

    goal: str
    label: str
    achieved: bool
    changes: tuple[Change, ...]


def cases(game: str, goal: str) -> Iterator[Case]:
    """
    :param game: ``"classic"`` or ``"full"``
    :param goal: a goal's name
    :return: at least one case that achieves it and one that misses it
    """
    family, detail = goal.split("/")
    if family.endswith("_map"):
        yield from _map_cases(game, goal, family, *detail.rsplit("_", 1))
        return
    low, high, field, where = _range(game, family, detail)
    # Where no upper end is, any number will do: nine for one, and more than either game allows.
    for value in {low, high} if high is not None else {low, 9, 254}:
        yield Case(goal, f"{value}", True, (Change(field, value, where),))
    for value in (low - 1, *([] if high is None else [high + 1])):
        if value >= 0:
            yield Case(goal, f"{value}", False, (Change(field, value, where),))
    if where:
        yield Case(goal, "another piece", False, (Change(field, low, ((where[0] + 1) % 4,)),))


def _range(game: str, family: str, detail: str) -> tuple[int, int | None, str, tuple[int, ...]]:
    """The smallest and the largest number that achieve the goal, and where it is in the state."""
    pieces = ["helmet", "chestplate", "pants", "boots"]
    first, _, second = detail.rpartition("_")
    if family == "inventory":
        low, _, high = second.partition("-")
        return int(low), int(high or low), f"inventory.{first}", ()
    if game == "classic":
        return 1, None, f"inventory.{detail}", ()
    if detail == "bow":
        return 1, None, "inventory.bow", ()
    if family == "tools":
        if second in pieces:
            level = {"iron": 1, "diamond": 2}[first]
            return level, level, "inventory.armour", (pieces.index(second),)
        level = {"wood": 1, "stone": 2, "iron": 3, "diamond": 4}[first]
        return level, level, f"inventory.{second}", ()
    if family == "enchant":
        level = {"fire": 1, "ice": 2}[second]
        if first in pieces:
            return level, level, "armour_enchantments", (pieces.index(first),)
        return level, level, f"{first}_enchantment", ()
    field = "player_level" if family == "dungeon_level" else f"player_{first}"
    return int(second), int(second), field, ()


def _map_cases(game: str, goal: str, family: str, subject: str, direction: str) -> Iterator[Case]:
    place = _place_mob if family == "mob_map" else _place
    index = channel_names(game)[family].index(subject)
    row, column = OFFSETS[direction]
    there = (CENTRE + row, CENTRE + column)
    on_cell = place(game, family, index, there)
    yield Case(goal, "there", True, on_cell)
    diagonals = [(CENTRE + a, CENTRE + b) for a in (-1, 1) for b in (-1, 1)]
    elsewhere = [*diagonals, (CENTRE, CENTRE), (CENTRE - row, CENTRE - column), (CENTRE + 2 * row, CENTRE + 2 * column)]
    for label, cell in zip(["diagonal"] * 4 + ["under the player", "opposite", "two away"], elsewhere, strict=True):
        yield Case(goal, label, False, place(game, family, index, cell))
    if family == "mob_map":
        yield from _mob_misses(game, goal, index, there, on_cell)
    if game == "full":
        threshold = np.float32(0.05)
        bright = np.nextafter(threshold, np.float32(1))
        yield Case(goal, "hardly lit", True, (*on_cell, Change("light_map", bright, (0, *there))))
        yield Case(goal, "just dark", False, (*on_cell, Change("light_map", threshold, (0, *there))))
        yield Case(goal, "another floor", False, (*on_cell, Change("player_level", 1)))
        yield Case(goal, "there on that floor", True, (*place(game, family, index, there, floor=1), Change("player_level", 1)))


def _place(game: str, family: str, index: int, cell: tuple[int, int], floor: int = 0) -> tuple[Change, ...]:
    field = {"block_map": "map", "item_map": "item_map"}[family]
    return (Change(field, index, cell if game == "classic" else (floor, *cell)),)


def _place_mob(
    game: str, family: str, channel: int, cell: tuple[int, int], floor: int = 0, slot: int = 0, alive: bool = True
) -> tuple[Change, ...]:
    assert family == "mob_map"
    if game == "classic":
        mobs, where = mob_fields(game)[channel], (slot,)
    else:
        mobs, where = mob_fields(game)[channel // 8], (floor, slot)
    changes = (
        *(Change(f"{mobs}.position", cell[axis], (*where, axis)) for axis in range(2)),
        Change(f"{mobs}.mask", alive, where),
    )
    return changes if game == "classic" else (*changes, Change(f"{mobs}.type_id", channel % 8, where))


def _mob_misses(game: str, goal: str, channel: int, there: tuple[int, int], on_cell: tuple[Change, ...]) -> Iterator[Case]:
    yield Case(goal, "dead", False, _place_mob(game, "mob_map", channel, there, alive=False))
    # The game's observation draws the second mob of a kind over the first, even if it is dead.
    yield Case(goal, "blotted out", False, (*on_cell, *_place_mob(game, "mob_map", channel, there, slot=1, alive=False)))
    yield Case(goal, "the second of two", True, (*_place_mob(game, "mob_map", channel, there, slot=1),))
    # A place beyond the upper edge of the view is drawn, as nothing, on the other side.
    height = 7 if game == "classic" else 9
    above = (there[0] - height, there[1])
    wraps = _place_mob(game, "mob_map", channel, above, slot=1)
    yield Case(goal, "blotted out from afar", False, (*on_cell, *wraps))
    if game == "full":
        other = channel // 8 * 8 + (channel + 1) % 8
        yield Case(goal, "another type", False, _place_mob(game, "mob_map", other, there))
        yield Case(goal, "another class", False, _place_mob(game, "mob_map", (channel + 8) % 40, there))


def subject_of(goal: str) -> str:
    """
    :param goal: a goal's name
    :return: the name without its direction or number
    """
    return re.sub(r"_(left|right|up|down|\d+(-\d+)?)$", "", goal)
