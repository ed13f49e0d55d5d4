"""The goals of Craftax-Classic (136) and Craftax (512): their names, in order, and what each asks for. Needs no JAX."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

DIRECTIONS = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}
"""The neighbouring cells, as (row, column) offsets from the player's."""

MAP_FAMILIES = ("block_map", "item_map", "mob_map")

MOST_CARRIED = 99
"""The most of anything that full Craftax lets the player carry; Classic stops at 9."""

NO_LIMIT = 2**31 - 1
"""As :attr:`CraftaxGoal.high`: at least so many."""


class CraftaxGoal(NamedTuple):
    """
    One goal: something seen in a neighbouring cell, or a number of the player's that lies in a range.

    :param name: the goal's name, ``"family/detail"``
    :param family: the part of the name before the slash
    :param subject: the block, item or mob to be seen, or the number that counts
    :param direction: a key of :data:`DIRECTIONS` for what is seen, else empty
    :param low: the smallest number that will do
    :param high: the largest
    """

    name: str
    family: str
    subject: str
    direction: str = ""
    low: int = 0
    high: int = 0


CLASSIC_BLOCKS = (
    *("OUT_OF_BOUNDS", "GRASS", "WATER", "STONE", "TREE", "PATH", "COAL", "IRON", "DIAMOND"),
    *("CRAFTING_TABLE", "FURNACE", "SAND", "LAVA", "PLANT", "RIPE_PLANT"),
)
FULL_BLOCKS = (
    *CLASSIC_BLOCKS,
    *("WALL", "WALL_MOSS", "STALAGMITE", "SAPPHIRE", "RUBY", "CHEST", "FOUNTAIN", "FIRE_GRASS", "ICE_GRASS", "FIRE_TREE"),
    *("ICE_SHRUB", "ENCHANTMENT_TABLE_FIRE", "ENCHANTMENT_TABLE_ICE", "NECROMANCER", "GRAVE", "GRAVE2", "GRAVE3"),
    "NECROMANCER_VULNERABLE",
)
FULL_ITEMS = ("TORCH", "LADDER_DOWN", "LADDER_UP", "LADDER_DOWN_BLOCKED")

CLASSIC_MOBS: Mapping[str, int] = {"zombie": 0, "cow": 1, "skeleton": 2, "arrow": 3}
"""Goal subject -> channel among Classic's 4 mob channels."""

# A class of mobs has eight types, which the game numbers without naming them. Passive mobs use the first three only; the
# fourth projectile (an ice ball) is nobody's but the player's, who shoots arrows of the stronger kind.
_MOB_CLASSES: tuple[Mapping[str, int], ...] = (
    {
        **{"zombie": 0, "gnome_warrior": 1, "orc_soldier": 2, "lizard": 3},
        **{"knight": 4, "troll": 5, "pigman": 6, "frost_troll": 7},
    },
    {"cow": 0, "bat": 1, "snail": 2},
    {
        **{"skeleton": 0, "gnome_archer": 1, "orc_mage": 2, "kobold": 3},
        **{"knight_archer": 4, "deep_thing": 5, "fire_elemental": 6, "ice_elemental": 7},
    },
    {"arrow": 0, "dagger": 1, "fireball": 2, "arrow2": 4, "slimeball": 5, "fireball2": 6, "iceball2": 7},
    {"player_fireball": 2, "player_iceball": 3, "player_arrow": 4},
)
MOB_TYPES_PER_CLASS = 8
FULL_MOBS: Mapping[str, int] = {
    name: number * MOB_TYPES_PER_CLASS + mob_type
    for number, mob_class in enumerate(_MOB_CLASSES)
    for name, mob_type in mob_class.items()
}
"""Goal subject -> channel among full Craftax's 40: melee, passive, ranged, mobs' projectiles, the player's projectiles."""

MATERIALS = {"wood": 1, "stone": 2, "iron": 3, "diamond": 4}
ARMOUR = ("helmet", "chestplate", "pants", "boots")
ARMOUR_MATERIALS = {"iron": 1, "diamond": 2}
ENCHANTMENTS = {"fire": 1, "ice": 2}
ATTRIBUTES = ("intelligence", "strength", "dexterity")
NUM_FLOORS = 9
MAX_ATTRIBUTE = 5

_CLASSIC_ITEMS = ("wood", "stone", "coal", "iron", "diamond", "sapling")
_FULL_ITEMS = ("wood", "stone", "coal", "iron", "diamond", "sapphire", "ruby", "sapling", "torches", "arrows")
_FULL_STACKED_ITEMS = ("wood", "stone", "coal", "iron", "torches", "arrows")
_STACK = 5


def _number(family: str, detail: str, subject: str, low: int, high: int | None = None) -> CraftaxGoal:
    return CraftaxGoal(f"{family}/{detail}", family, subject, "", low, low if high is None else high)


def _neighbours(family: str, subjects: Iterable[str]) -> Iterator[CraftaxGoal]:
    for subject in subjects:
        for direction in DIRECTIONS:
            yield CraftaxGoal(f"{family}/{subject}_{direction}", family, subject, direction)


def _exact_counts(items: Iterable[str]) -> Iterator[CraftaxGoal]:
    for item in items:
        for count in range(1, 10):
            yield _number("inventory", f"{item}_{count}", item, count)


def _stacked_counts(items: Iterable[str]) -> Iterator[CraftaxGoal]:
    for item in items:
        for low in range(10, 100, _STACK):
            yield _number("inventory", f"{item}_{low}-{low + _STACK - 1}", item, low, low + _STACK - 1)


def _classic_goals() -> Iterator[CraftaxGoal]:
    yield from _exact_counts(_CLASSIC_ITEMS)
    for tool in ("pickaxe", "sword"):
        for material in ("wood", "stone", "iron"):
            yield _number("tools", f"{material}_{tool}", f"{material}_{tool}", 1, NO_LIMIT)
    yield from _neighbours("block_map", CLASSIC_BLOCKS)
    yield from _neighbours("mob_map", CLASSIC_MOBS)


def _full_goals() -> Iterator[CraftaxGoal]:
    yield from _exact_counts(_FULL_ITEMS)
    yield from _stacked_counts(_FULL_STACKED_ITEMS)
    yield from _neighbours("block_map", FULL_BLOCKS)
    yield from _neighbours("mob_map", FULL_MOBS)
    yield from _neighbours("item_map", FULL_ITEMS)
    for material, level in MATERIALS.items():
        for tool in ("pickaxe", "sword"):
            yield _number("tools", f"{material}_{tool}", tool, level)
    yield _number("tools", "bow", "bow", 1, NO_LIMIT)
    for piece in ARMOUR:
        for material, level in ARMOUR_MATERIALS.items():
            yield _number("tools", f"{material}_{piece}", piece, level)
    for piece in ARMOUR:
        for element, level in ENCHANTMENTS.items():
            yield _number("enchant", f"{piece}_{element}", f"{piece}_enchantment", level)
    for element, level in ENCHANTMENTS.items():
        for weapon in ("sword", "bow"):
            yield _number("enchant", f"{weapon}_{element}", f"{weapon}_enchantment", level)
    for floor in range(NUM_FLOORS):
        yield _number("dungeon_level", f"dlvl_{floor}", "floor", floor)
    for attribute in ATTRIBUTES:
        for value in range(2, MAX_ATTRIBUTE + 1):
            yield _number("intrinsics", f"{attribute}_{value}", attribute, value)


CLASSIC_GOALS = tuple(_classic_goals())
FULL_GOALS = tuple(_full_goals())
CLASSIC_GOAL_NAMES: tuple[str, ...] = tuple(goal.name for goal in CLASSIC_GOALS)
FULL_GOAL_NAMES: tuple[str, ...] = tuple(goal.name for goal in FULL_GOALS)


def goal_descriptors(goals: Sequence[CraftaxGoal]) -> npt.NDArray[np.float32]:
    """
    A vector per goal that says what it shares with others, for networks that take the goal as input.

    Indicators of the family, of the direction and of the subject come first; then the range of numbers, on the scale on
    which Craftax shows counts (``sqrt(n) / 10``).

    :param goals: the goals, in order
    :return: float32 ``[len(goals), d]``, no two rows alike
    """
    families = list(dict.fromkeys(goal.family for goal in goals))
    # What is carried and what lies around are different things, even where both are called iron.
    subjects = list(dict.fromkeys((goal.family, goal.subject) for goal in goals))
    directions = list(DIRECTIONS)
    result = np.zeros((len(goals), len(families) + len(directions) + len(subjects) + 2), dtype=np.float32)
    for row, goal in zip(result, goals, strict=True):
        row[families.index(goal.family)] = 1.0
        if goal.direction:
            row[len(families) + directions.index(goal.direction)] = 1.0
        row[len(families) + len(directions) + subjects.index((goal.family, goal.subject))] = 1.0
        row[-2:] = np.sqrt([goal.low, min(goal.high, MOST_CARRIED)]) / 10.0
    return result


def classic_goal_descriptors() -> npt.NDArray[np.float32]:
    """
    The descriptors of Craftax-Classic's goals, see :func:`goal_descriptors`.

    :return: float32 ``[136, d]``
    """
    return goal_descriptors(CLASSIC_GOALS)


def full_goal_descriptors() -> npt.NDArray[np.float32]:
    """
    The descriptors of Craftax's goals, see :func:`goal_descriptors`.

    :return: float32 ``[512, d]``
    """
    return goal_descriptors(FULL_GOALS)


def goal_runs(goals: Sequence[CraftaxGoal]) -> list[tuple[str, list[CraftaxGoal]]]:
    """
    The goals in stretches that one rule decides: ``"number"``, or one of :data:`MAP_FAMILIES`.

    :param goals: the goals, in order
    :return: each stretch with its rule
    """
    rules = groupby(goals, key=lambda goal: goal.family if goal.direction else "number")
    return [(rule, list(run)) for rule, run in rules]
