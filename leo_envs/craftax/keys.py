"""The keyboard of both games."""

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


def key_names(game: str) -> dict[str, str]:
    """
    :param game: ``"classic"`` or ``"full"``
    :return: the name of the action that each key takes
    """
    return _BOTH if game == "classic" else _BOTH | _FULL_ONLY


def keys_to_action(game: str) -> dict[tuple[str, ...], int]:
    """
    :param game: ``"classic"`` or ``"full"``
    :return: the number of the action that each key takes, as ``gymnasium.utils.play`` wants it
    """
    actions = _actions(game)
    return {(key,): actions[name].value for key, name in key_names(game).items()}


def action_names(game: str) -> tuple[str, ...]:
    """
    :param game: ``"classic"`` or ``"full"``
    :return: what each action is called
    """
    by_number = sorted(_actions(game), key=lambda action: int(action.value))
    return tuple(action.name.lower().replace("_", " ") for action in by_number)


def _actions(game: str) -> Any:
    return ClassicAction if game == "classic" else FullAction
