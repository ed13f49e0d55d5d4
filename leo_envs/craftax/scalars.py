"""The numbers that Craftax shows beside the map, in the order of its symbolic observation."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
import numpy.typing as npt
from craftax.craftax.constants import MONSTERS_KILLED_TO_CLEAR_LEVEL
from craftax.craftax.util.game_logic_utils import is_boss_vulnerable
from jax import Array

from leo_envs.craftax.goal_names import MAX_ATTRIBUTE, MOST_CARRIED, NUM_FLOORS

Numbers = npt.NDArray[Any]


def _as_is(value: Numbers) -> Numbers:
    return value


def _root(value: Numbers) -> Numbers:
    return np.sqrt(value.astype(np.float32)) / 10.0


def _over(most: int) -> Callable[[Numbers], Numbers]:
    return lambda value: value / np.float32(most)


def _half_tenths(value: Numbers) -> Numbers:
    """Craftax-Classic divides in half precision."""
    return value.astype(np.float16) / np.float16(10.0)


class Number(NamedTuple):
    """
    A number, or a few of a kind, of the player or the world.

    :param part: the entry of the compact observation that holds it; ``"continuous"`` holds floats, the others ``uint8``
    :param high: the largest value that the game allows, from 0
    :param of: takes it from one ``EnvState``
    :param shown: what the symbolic observation makes of it
    :param size: how many numbers these are
    """

    part: Literal["inventory", "status", "continuous"]
    high: int
    of: Callable[[Any], Any]
    shown: Callable[[Numbers], Numbers] = _as_is
    size: int = 1


def _facing(state: Any) -> Array:
    """Left, right, up, down as indicators: a number would say that left is more like right than like down."""
    return jax.nn.one_hot(state.player_direction - 1, num_classes=4)


def _floor_cleared(state: Any) -> Array:
    return state.monsters_killed[state.player_level] >= MONSTERS_KILLED_TO_CLEAR_LEVEL  # type: ignore[no-any-return]


_CLASSIC_ITEMS = ("wood", "stone", "coal", "iron", "diamond", "sapling")
_CLASSIC_TOOLS = tuple(f"{material}_{tool}" for tool in ("pickaxe", "sword") for material in ("wood", "stone", "iron"))
_CLASSIC_CAP = 9

CLASSIC_NUMBERS: tuple[Number, ...] = (
    *(
        Number("inventory", _CLASSIC_CAP, attrgetter(f"inventory.{name}"), _half_tenths)
        for name in (*_CLASSIC_ITEMS, *_CLASSIC_TOOLS)
    ),
    *(
        Number("status", _CLASSIC_CAP, attrgetter(f"player_{name}"), _half_tenths)
        for name in ("health", "food", "drink", "energy")
    ),
    Number("status", 1, _facing, size=4),
    Number("continuous", 1, attrgetter("light_level")),
    Number("status", 1, attrgetter("is_sleeping")),
)

_FULL_ITEMS = ("wood", "stone", "coal", "iron", "diamond", "sapphire", "ruby", "sapling", "torches", "arrows")
# One point for each floor but the first, when it is first entered.
_MAX_XP = NUM_FLOORS - 1

FULL_NUMBERS: tuple[Number, ...] = (
    *(Number("inventory", MOST_CARRIED, attrgetter(f"inventory.{name}"), _root) for name in _FULL_ITEMS),
    Number("inventory", 2, attrgetter("inventory.books"), _over(2)),
    Number("inventory", 4, attrgetter("inventory.pickaxe"), _over(4)),
    Number("inventory", 4, attrgetter("inventory.sword"), _over(4)),
    Number("inventory", 2, attrgetter("sword_enchantment")),
    Number("inventory", 2, attrgetter("bow_enchantment")),
    Number("inventory", 1, attrgetter("inventory.bow")),
    Number("inventory", MOST_CARRIED, attrgetter("inventory.potions"), _root, size=6),
    Number("continuous", 8 + MAX_ATTRIBUTE, attrgetter("player_health"), _over(10)),
    *(
        Number("status", 7 + 2 * MAX_ATTRIBUTE, attrgetter(f"player_{name}"), _over(10))
        for name in ("food", "drink", "energy")
    ),
    Number("status", 6 + 3 * MAX_ATTRIBUTE, attrgetter("player_mana"), _over(10)),
    Number("status", _MAX_XP, attrgetter("player_xp"), _over(10)),
    *(
        Number("status", MAX_ATTRIBUTE, attrgetter(f"player_{name}"), _over(10))
        for name in ("dexterity", "strength", "intelligence")
    ),
    Number("status", 1, _facing, size=4),
    Number("inventory", 2, attrgetter("inventory.armour"), _over(2), size=4),
    Number("inventory", 2, attrgetter("armour_enchantments"), size=4),
    Number("continuous", 1, attrgetter("light_level")),
    Number("status", 1, attrgetter("is_sleeping")),
    Number("status", 1, attrgetter("is_resting")),
    Number("status", 1, attrgetter("learned_spells"), size=2),
    Number("status", NUM_FLOORS - 1, attrgetter("player_level"), _over(10)),
    Number("status", 1, _floor_cleared),
    Number("status", 1, is_boss_vulnerable),
)
