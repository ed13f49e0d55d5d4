"""The scalars of Craftax's symbolic observation, in its order."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
import numpy.typing as npt
from craftax.craftax.constants import MONSTERS_KILLED_TO_CLEAR_LEVEL
from craftax.craftax.util.game_logic_utils import is_boss_vulnerable
from jax import Array

from leo_envs.craftax.goal_names import (
    CLASSIC_INVENTORY,
    CLASSIC_TOOLS,
    FULL_INVENTORY,
    MAX_ATTRIBUTE,
    MAX_CARRIED,
    NUM_FLOORS,
)

Values = npt.NDArray[Any]


def _identity(value: Values) -> Values:
    return value


def _sqrt_tenth(value: Values) -> Values:
    return np.sqrt(value.astype(np.float32)) / 10.0


def _divide_by(divisor: int) -> Callable[[Values], Values]:
    return lambda value: value / np.float32(divisor)


def _half_precision_tenth(value: Values) -> Values:
    """Craftax-Classic divides in half precision."""
    return value.astype(np.float16) / np.float16(10.0)


class Scalar(NamedTuple):
    """
    One or more scalars of the state with the same range and scaling.

    :param key: entry of the compact observation, float32 for ``"continuous"``, else uint8
    :param high: upper bound; the lower bound is 0
    :param read: function from a single ``EnvState`` to the scalars
    :param scale: function from the scalars to their values in the symbolic observation
    :param size: number of scalars
    """

    key: Literal["inventory", "status", "continuous"]
    high: int
    read: Callable[[Any], Any]
    scale: Callable[[Values], Values] = _identity
    size: int = 1


def _facing(state: Any) -> Array:
    """Return the one-hot direction (left, right, up, down) that the player faces."""
    return jax.nn.one_hot(state.player_direction - 1, num_classes=4)


def _floor_cleared(state: Any) -> Array:
    return state.monsters_killed[state.player_level] >= MONSTERS_KILLED_TO_CLEAR_LEVEL  # type: ignore[no-any-return]


_CLASSIC_MAX = 9

CLASSIC_SCALARS: tuple[Scalar, ...] = (
    *(
        Scalar("inventory", _CLASSIC_MAX, attrgetter(f"inventory.{name}"), _half_precision_tenth)
        for name in (*CLASSIC_INVENTORY, *CLASSIC_TOOLS)
    ),
    *(
        Scalar("status", _CLASSIC_MAX, attrgetter(f"player_{name}"), _half_precision_tenth)
        for name in ("health", "food", "drink", "energy")
    ),
    Scalar("status", 1, _facing, size=4),
    Scalar("continuous", 1, attrgetter("light_level")),
    Scalar("status", 1, attrgetter("is_sleeping")),
)

# One experience point per floor below the first.
_MAX_XP = NUM_FLOORS - 1

FULL_SCALARS: tuple[Scalar, ...] = (
    *(Scalar("inventory", MAX_CARRIED, attrgetter(f"inventory.{name}"), _sqrt_tenth) for name in FULL_INVENTORY),
    Scalar("inventory", 2, attrgetter("inventory.books"), _divide_by(2)),
    Scalar("inventory", 4, attrgetter("inventory.pickaxe"), _divide_by(4)),
    Scalar("inventory", 4, attrgetter("inventory.sword"), _divide_by(4)),
    Scalar("inventory", 2, attrgetter("sword_enchantment")),
    Scalar("inventory", 2, attrgetter("bow_enchantment")),
    Scalar("inventory", 1, attrgetter("inventory.bow")),
    Scalar("inventory", MAX_CARRIED, attrgetter("inventory.potions"), _sqrt_tenth, size=6),
    Scalar("continuous", 8 + MAX_ATTRIBUTE, attrgetter("player_health"), _divide_by(10)),
    *(
        Scalar("status", 7 + 2 * MAX_ATTRIBUTE, attrgetter(f"player_{name}"), _divide_by(10))
        for name in ("food", "drink", "energy")
    ),
    Scalar("status", 6 + 3 * MAX_ATTRIBUTE, attrgetter("player_mana"), _divide_by(10)),
    Scalar("status", _MAX_XP, attrgetter("player_xp"), _divide_by(10)),
    *(
        Scalar("status", MAX_ATTRIBUTE, attrgetter(f"player_{name}"), _divide_by(10))
        for name in ("dexterity", "strength", "intelligence")
    ),
    Scalar("status", 1, _facing, size=4),
    Scalar("inventory", 2, attrgetter("inventory.armour"), _divide_by(2), size=4),
    Scalar("inventory", 2, attrgetter("armour_enchantments"), size=4),
    Scalar("continuous", 1, attrgetter("light_level")),
    Scalar("status", 1, attrgetter("is_sleeping")),
    Scalar("status", 1, attrgetter("is_resting")),
    Scalar("status", 1, attrgetter("learned_spells"), size=2),
    Scalar("status", NUM_FLOORS - 1, attrgetter("player_level"), _divide_by(10)),
    Scalar("status", 1, _floor_cleared),
    Scalar("status", 1, is_boss_vulnerable),
)
