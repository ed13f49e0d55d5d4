"""States that achieve or narrowly miss each goal of Craftax, as changes of a blank state."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from tests.envs.craftax_oracle import OFFSETS, channel_names
from tests.envs.craftax_states import SMALL, mob_fields

CENTER = SMALL // 2


class Change(NamedTuple):
    """
    New value of a field of the state.

    :param field: path of the field, separated by dots
    :param value: the new value
    :param where: index into the field
    """

    field: str
    value: Any
    where: tuple[int, ...] = ()


class Case(NamedTuple):
    """
    A state and whether it achieves a goal.

    :param goal: name of the goal
    :param label: description of the state, for error messages
    :param achieved: whether the goal is achieved
    :param changes: changes of a blank state
    """

    goal: str
    label: str
    achieved: bool
    changes: tuple[Change, ...]


def cases(variant: str, goal: str) -> Iterator[Case]:
    """Yield at least one state that achieves a goal and one that misses it."""
    family, detail = goal.split("/")
    if family.endswith("_map"):
        yield from _map_cases(variant, goal, family, *detail.rsplit("_", 1))
        return
    low, high, field, where = _range(variant, family, detail)
    # Without an upper bound, also larger numbers, including one above the maximum of both variants.
    for value in {low, high} if high is not None else {low, 9, 254}:
        yield Case(goal, f"{value}", True, (Change(field, value, where),))
    for value in (low - 1, *([] if high is None else [high + 1])):
        if value >= 0:
            yield Case(goal, f"{value}", False, (Change(field, value, where),))
    if where:
        yield Case(goal, "another piece", False, (Change(field, low, ((where[0] + 1) % 4,)),))


def _range(variant: str, family: str, detail: str) -> tuple[int, int | None, str, tuple[int, ...]]:
    """Return the lower and upper bound of the goal's scalar, its field and its index in the field."""
    pieces = ["helmet", "chestplate", "pants", "boots"]
    first, _, second = detail.rpartition("_")
    if family == "inventory":
        low, _, high = second.partition("-")
        return int(low), int(high or low), f"inventory.{first}", ()
    if variant == "classic":
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


def _map_cases(variant: str, goal: str, family: str, subject: str, direction: str) -> Iterator[Case]:
    put = _put_mob if family == "mob_map" else _put
    index = channel_names(variant)[family].index(subject)
    row, column = OFFSETS[direction]
    neighbor = (CENTER + row, CENTER + column)
    on_neighbor = put(variant, family, index, neighbor)
    yield Case(goal, "neighbor", True, on_neighbor)
    diagonals = [(CENTER + a, CENTER + b) for a in (-1, 1) for b in (-1, 1)]
    elsewhere = [*diagonals, (CENTER, CENTER), (CENTER - row, CENTER - column), (CENTER + 2 * row, CENTER + 2 * column)]
    for label, cell in zip(["diagonal"] * 4 + ["own cell", "opposite", "two away"], elsewhere, strict=True):
        yield Case(goal, label, False, put(variant, family, index, cell))
    if family == "mob_map":
        yield from _mob_cases(variant, goal, index, neighbor, on_neighbor)
    if variant == "full":
        threshold = np.float32(0.05)
        bright = np.nextafter(threshold, np.float32(1))
        yield Case(goal, "light above threshold", True, (*on_neighbor, Change("light_map", bright, (0, *neighbor))))
        yield Case(goal, "light at threshold", False, (*on_neighbor, Change("light_map", threshold, (0, *neighbor))))
        yield Case(goal, "another floor", False, (*on_neighbor, Change("player_level", 1)))
        on_floor = put(variant, family, index, neighbor, floor=1)
        yield Case(goal, "neighbor on another floor", True, (*on_floor, Change("player_level", 1)))


def _put(variant: str, family: str, index: int, cell: tuple[int, int], floor: int = 0) -> tuple[Change, ...]:
    field = {"block_map": "map", "item_map": "item_map"}[family]
    return (Change(field, index, cell if variant == "classic" else (floor, *cell)),)


def _put_mob(
    variant: str, family: str, channel: int, cell: tuple[int, int], floor: int = 0, slot: int = 0, alive: bool = True
) -> tuple[Change, ...]:
    assert family == "mob_map"
    if variant == "classic":
        mobs, where = mob_fields(variant)[channel], (slot,)
    else:
        mobs, where = mob_fields(variant)[channel // 8], (floor, slot)
    changes = (
        *(Change(f"{mobs}.position", cell[axis], (*where, axis)) for axis in range(2)),
        Change(f"{mobs}.mask", alive, where),
    )
    return changes if variant == "classic" else (*changes, Change(f"{mobs}.type_id", channel % 8, where))


def _mob_cases(
    variant: str, goal: str, channel: int, neighbor: tuple[int, int], on_neighbor: tuple[Change, ...]
) -> Iterator[Case]:
    yield Case(goal, "dead", False, _put_mob(variant, "mob_map", channel, neighbor, alive=False))
    # In the symbolic observation, the second mob of a type overwrites the first, even if it is dead.
    second = _put_mob(variant, "mob_map", channel, neighbor, slot=1, alive=False)
    yield Case(goal, "overwritten by dead mob", False, (*on_neighbor, *second))
    yield Case(goal, "second mob", True, _put_mob(variant, "mob_map", channel, neighbor, slot=1))
    # Positions above the view wrap around to the bottom, where they are written as zeros.
    height = 7 if variant == "classic" else 9
    above = (neighbor[0] - height, neighbor[1])
    wraps = _put_mob(variant, "mob_map", channel, above, slot=1)
    yield Case(goal, "overwritten by wrapped position", False, (*on_neighbor, *wraps))
    if variant == "full":
        other = channel // 8 * 8 + (channel + 1) % 8
        yield Case(goal, "another type", False, _put_mob(variant, "mob_map", other, neighbor))
        yield Case(goal, "another class", False, _put_mob(variant, "mob_map", (channel + 8) % 40, neighbor))


def subject_of(goal: str) -> str:
    """Return a goal's name without its direction or number."""
    return re.sub(r"_(left|right|up|down|\d+(-\d+)?)$", "", goal)
