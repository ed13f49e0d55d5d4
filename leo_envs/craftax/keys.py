"""Key bindings and action names of Craftax and Craftax-Classic."""

from typing import Any

from craftax.craftax.constants import Action as FullAction
from craftax.craftax_classic.constants import Action as ClassicAction

_BOTH = {
    "q": "NOOP",
    "a": "LEFT",
    "d": "RIGHT",
    "w": "UP",
    "s": "DOWN",
    " ": "DO",
    "\t": "SLEEP",
    "r": "PLACE_STONE",
    "t": "PLACE_TABLE",
    "f": "PLACE_FURNACE",
    "p": "PLACE_PLANT",
    "1": "MAKE_WOOD_PICKAXE",
    "2": "MAKE_STONE_PICKAXE",
    "3": "MAKE_IRON_PICKAXE",
    "4": "MAKE_WOOD_SWORD",
    "5": "MAKE_STONE_SWORD",
    "6": "MAKE_IRON_SWORD",
}
_FULL_ONLY = {
    "7": "MAKE_DIAMOND_PICKAXE",
    "8": "MAKE_DIAMOND_SWORD",
    "9": "MAKE_IRON_ARMOUR",
    "0": "MAKE_DIAMOND_ARMOUR",
    "e": "REST",
    ",": "ASCEND",
    ".": "DESCEND",
    "i": "SHOOT_ARROW",
    "o": "MAKE_ARROW",
    "g": "CAST_FIREBALL",
    "h": "CAST_ICEBALL",
    "j": "PLACE_TORCH",
    "u": "MAKE_TORCH",
    "z": "DRINK_POTION_RED",
    "x": "DRINK_POTION_GREEN",
    "c": "DRINK_POTION_BLUE",
    "v": "DRINK_POTION_PINK",
    "b": "DRINK_POTION_CYAN",
    "n": "DRINK_POTION_YELLOW",
    "m": "READ_BOOK",
    "k": "ENCHANT_SWORD",
    "l": "ENCHANT_ARMOUR",
    ";": "ENCHANT_BOW",
    "]": "LEVEL_UP_DEXTERITY",
    "-": "LEVEL_UP_STRENGTH",
    "=": "LEVEL_UP_INTELLIGENCE",
}


def keys_to_action(variant: str) -> dict[tuple[str, ...], int]:
    """
    Return the key bindings for ``gymnasium.utils.play``.

    :param variant: ``"classic"`` or ``"full"``
    :return: mapping of keys to actions
    """
    actions = _actions(variant)
    keys = _BOTH if variant == "classic" else _BOTH | _FULL_ONLY
    return {(key,): actions[name].value for key, name in keys.items()}


def action_names(variant: str) -> tuple[str, ...]:
    """
    Return the names of the actions.

    :param variant: ``"classic"`` or ``"full"``
    :return: one name per action, in order
    """
    by_number = sorted(_actions(variant), key=lambda action: int(action.value))
    return tuple(action.name.lower().replace("_", " ") for action in by_number)


def _actions(variant: str) -> Any:
    return ClassicAction if variant == "classic" else FullAction
