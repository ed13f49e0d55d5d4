"""Oracle for the goals of Craftax: evaluates each goal by its name on the symbolic observation and the state."""

import re
from typing import Any

import numpy as np

OFFSETS = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}
CLASSIC_MOBS = ["zombie", "cow", "skeleton", "arrow"]


def full_mobs() -> list[str]:
    """Return the names of Craftax's 40 mob channels, empty for unused channels."""
    from craftax.craftax.constants import ProjectileType

    melee = ["zombie", "gnome_warrior", "orc_soldier", "lizard", "knight", "troll", "pigman", "frost_troll"]
    passive = ["cow", "bat", "snail", "", "", "", "", ""]
    ranged = [
        *("skeleton", "gnome_archer", "orc_mage", "kobold"),
        *("knight_archer", "deep_thing", "fire_elemental", "ice_elemental"),
    ]
    projectiles = [projectile.name.lower() for projectile in ProjectileType]
    # The player's arrows are of type ARROW2.
    of_player = {"FIREBALL": "player_fireball", "ICEBALL": "player_iceball", "ARROW2": "player_arrow"}
    return melee + passive + ranged + projectiles + [of_player.get(projectile.name, "") for projectile in ProjectileType]


def channel_names(variant: str) -> dict[str, list[str]]:
    """Return the names of the symbolic map's channels by family, in order."""
    if variant == "classic":
        from craftax.craftax_classic.constants import BlockType

        return {"block_map": [block.name for block in BlockType], "mob_map": CLASSIC_MOBS}
    from craftax.craftax.constants import BlockType, ItemType

    return {
        "block_map": [block.name for block in BlockType],
        "item_map": [item.name for item in ItemType],
        "mob_map": full_mobs(),
    }


def view_of(variant: str) -> tuple[int, int]:
    """Return height and width of the player's view."""
    return (7, 9) if variant == "classic" else (9, 11)


def oracle_masks(variant: str, names: tuple[str, ...], symbolic: np.ndarray, states: Any) -> np.ndarray:
    """
    Evaluate the goals on a batch of states.

    :param variant: ``"classic"`` or ``"full"``
    :param names: names of the goals
    :param symbolic: symbolic observations ``[N, n]``
    :param states: the states
    :return: bool ``[N, G]``
    """
    return np.stack([_achieved(variant, name, symbolic, states) for name in names], axis=1)


def _achieved(variant: str, name: str, symbolic: np.ndarray, states: Any) -> np.ndarray:
    family, detail = name.split("/")
    if family.endswith("_map"):
        subject, direction = detail.rsplit("_", 1)
        return _sees(variant, family, subject, direction, symbolic)
    if family == "inventory":
        item, low, high = re.fullmatch(r"(\w+)_(\d+)(?:-(\d+))?", detail).groups()
        count = getattr(states.inventory, item)
        return (count >= int(low)) & (count <= int(high or low))
    if variant == "classic":
        assert family == "tools"
        return getattr(states.inventory, detail) >= 1
    return _full_number(family, detail, states)


def _sees(variant: str, family: str, subject: str, direction: str, symbolic: np.ndarray) -> np.ndarray:
    families = channel_names(variant)
    height, width = view_of(variant)
    num_channels = sum(map(len, families.values())) + (variant == "full")  # light is the last channel
    maps = symbolic[:, : height * width * num_channels].reshape(-1, height, width, num_channels)
    all_channels = [(of, name) for of, names in families.items() for name in names]
    row, column = OFFSETS[direction]
    return maps[:, height // 2 + row, width // 2 + column, all_channels.index((family, subject))] == 1


def _full_number(family: str, detail: str, states: Any) -> np.ndarray:
    pieces = ["helmet", "chestplate", "pants", "boots"]
    if detail == "bow":
        return states.inventory.bow >= 1
    first, _, second = detail.partition("_")
    if family == "tools":
        level = ["wood", "stone", "iron", "diamond"].index(first) + 1
        if second in pieces:
            return states.inventory.armour[:, pieces.index(second)] == {"iron": 1, "diamond": 2}[first]
        return getattr(states.inventory, second) == level
    if family == "enchant":
        level = {"fire": 1, "ice": 2}[second]
        if first in pieces:
            return states.armour_enchantments[:, pieces.index(first)] == level
        return {"sword": states.sword_enchantment, "bow": states.bow_enchantment}[first] == level
    if family == "dungeon_level":
        return states.player_level == int(second)
    assert family == "intrinsics"
    return getattr(states, f"player_{first}") == int(second)
