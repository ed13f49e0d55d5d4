"""Definitions of the goals of Craftax-Classic (136) and Craftax (512). Does not import JAX."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

Variant = Literal["classic", "full"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)

DIRECTIONS = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}
"""(Row, column) offsets of the neighboring cells from the player's cell."""

MAP_FAMILIES = ("block_map", "item_map", "mob_map")

MAX_CARRIED = 99
"""Largest count in Craftax's inventory."""

NO_LIMIT = 2**31 - 1
"""Value of :attr:`CraftaxGoal.high` for a range without upper bound."""


class CraftaxGoal(NamedTuple):
    """
    Goal that a neighboring cell contains a block, item or mob, or that a scalar of the state lies in a range.

    :param name: name of the goal, ``"family/detail"``
    :param family: the part of the name before the slash
    :param subject: the block, item or mob, or the scalar
    :param direction: key of :data:`DIRECTIONS` for goals of a neighboring cell, else empty
    :param low: lower bound of the scalar, inclusive
    :param high: upper bound of the scalar, inclusive
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
FULL_MAP_ITEMS = ("TORCH", "LADDER_DOWN", "LADDER_UP", "LADDER_DOWN_BLOCKED")

CLASSIC_MOBS: Mapping[str, int] = {"zombie": 0, "cow": 1, "skeleton": 2, "arrow": 3}
"""Goal subject -> channel among Classic's 4 mob channels."""

# Each class of mobs has eight types, which have no names in Craftax. Passive mobs use the first three; type 3 of the
# projectiles (an iceball) is only shot by the player, whose arrows are of type 4.
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

CLASSIC_INVENTORY = ("wood", "stone", "coal", "iron", "diamond", "sapling")
CLASSIC_TOOLS = tuple(f"{material}_{tool}" for tool in ("pickaxe", "sword") for material in ("wood", "stone", "iron"))
FULL_INVENTORY = ("wood", "stone", "coal", "iron", "diamond", "sapphire", "ruby", "sapling", "torches", "arrows")
_STACKED_ITEMS = ("wood", "stone", "coal", "iron", "torches", "arrows")
_STACK = 5


def _scalar_goal(family: str, detail: str, subject: str, low: int, high: int | None = None) -> CraftaxGoal:
    return CraftaxGoal(f"{family}/{detail}", family, subject, "", low, low if high is None else high)


def _neighbor_goals(family: str, subjects: Iterable[str]) -> Iterator[CraftaxGoal]:
    for subject in subjects:
        for direction in DIRECTIONS:
            yield CraftaxGoal(f"{family}/{subject}_{direction}", family, subject, direction)


def _exact_count_goals(items: Iterable[str]) -> Iterator[CraftaxGoal]:
    for item in items:
        for count in range(1, 10):
            yield _scalar_goal("inventory", f"{item}_{count}", item, count)


def _stacked_count_goals(items: Iterable[str]) -> Iterator[CraftaxGoal]:
    for item in items:
        for low in range(10, 100, _STACK):
            yield _scalar_goal("inventory", f"{item}_{low}-{low + _STACK - 1}", item, low, low + _STACK - 1)


def _classic_goals() -> Iterator[CraftaxGoal]:
    yield from _exact_count_goals(CLASSIC_INVENTORY)
    for tool in CLASSIC_TOOLS:
        yield _scalar_goal("tools", tool, tool, 1, NO_LIMIT)
    yield from _neighbor_goals("block_map", CLASSIC_BLOCKS)
    yield from _neighbor_goals("mob_map", CLASSIC_MOBS)


def _full_goals() -> Iterator[CraftaxGoal]:
    yield from _exact_count_goals(FULL_INVENTORY)
    yield from _stacked_count_goals(_STACKED_ITEMS)
    yield from _neighbor_goals("block_map", FULL_BLOCKS)
    yield from _neighbor_goals("mob_map", FULL_MOBS)
    yield from _neighbor_goals("item_map", FULL_MAP_ITEMS)
    for material, level in MATERIALS.items():
        for tool in ("pickaxe", "sword"):
            yield _scalar_goal("tools", f"{material}_{tool}", tool, level)
    yield _scalar_goal("tools", "bow", "bow", 1, NO_LIMIT)
    for piece in ARMOUR:
        for material, level in ARMOUR_MATERIALS.items():
            yield _scalar_goal("tools", f"{material}_{piece}", piece, level)
    for piece in ARMOUR:
        for element, level in ENCHANTMENTS.items():
            yield _scalar_goal("enchant", f"{piece}_{element}", f"{piece}_enchantment", level)
    for element, level in ENCHANTMENTS.items():
        for weapon in ("sword", "bow"):
            yield _scalar_goal("enchant", f"{weapon}_{element}", f"{weapon}_enchantment", level)
    for floor in range(NUM_FLOORS):
        yield _scalar_goal("dungeon_level", f"dlvl_{floor}", "floor", floor)
    for attribute in ATTRIBUTES:
        for value in range(2, MAX_ATTRIBUTE + 1):
            yield _scalar_goal("intrinsics", f"{attribute}_{value}", attribute, value)


CLASSIC_GOALS = tuple(_classic_goals())
FULL_GOALS = tuple(_full_goals())
CLASSIC_GOAL_NAMES: tuple[str, ...] = tuple(goal.name for goal in CLASSIC_GOALS)
FULL_GOAL_NAMES: tuple[str, ...] = tuple(goal.name for goal in FULL_GOALS)


def goal_descriptors(goals: Sequence[CraftaxGoal]) -> npt.NDArray[np.float32]:
    """
    Return one descriptor per goal, for networks that take the goal as input.

    A descriptor consists of one-hot encodings of family, direction and subject, and of the bounds of the scalar, scaled like
    the counts in Craftax's symbolic observation (``sqrt(n) / 10``).

    :param goals: the goals, in order
    :return: float32 ``[len(goals), d]``, all rows different
    """
    families = list(dict.fromkeys(goal.family for goal in goals))
    # Per family: iron in the inventory and iron on the map are different subjects.
    subjects = list(dict.fromkeys((goal.family, goal.subject) for goal in goals))
    directions = list(DIRECTIONS)
    result = np.zeros((len(goals), len(families) + len(directions) + len(subjects) + 2), dtype=np.float32)
    for row, goal in zip(result, goals, strict=True):
        row[families.index(goal.family)] = 1.0
        if goal.direction:
            row[len(families) + directions.index(goal.direction)] = 1.0
        row[len(families) + len(directions) + subjects.index((goal.family, goal.subject))] = 1.0
        row[-2:] = np.sqrt([goal.low, min(goal.high, MAX_CARRIED)]) / 10.0
    return result


def goal_runs(goals: Sequence[CraftaxGoal]) -> list[tuple[str, list[CraftaxGoal]]]:
    """
    Split the goals into runs of consecutive goals with the same success test.

    :param goals: the goals, in order
    :return: pairs of a success test (``"scalar"`` or one of :data:`MAP_FAMILIES`) and a run of goals
    """
    rules = groupby(goals, key=lambda goal: goal.family if goal.direction else "scalar")
    return [(rule, list(run)) for rule, run in rules]
