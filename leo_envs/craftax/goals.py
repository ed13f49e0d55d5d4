"""Which goals a state of Craftax achieves: look-ups in the four cells around the player, and comparisons of numbers."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from craftax.craftax.constants import OBS_DIM as FULL_VIEW
from craftax.craftax.constants import BlockType as FullBlock
from craftax.craftax.constants import ItemType as FullItem
from craftax.craftax_classic.constants import OBS_DIM as CLASSIC_VIEW
from craftax.craftax_classic.constants import BlockType as ClassicBlock
from jax import Array

from leo_envs.craftax.goal_names import (
    ARMOUR,
    CLASSIC_GOAL_NAMES,
    CLASSIC_GOALS,
    CLASSIC_MOBS,
    DIRECTIONS,
    FULL_GOAL_NAMES,
    FULL_GOALS,
    FULL_MOBS,
    MOB_TYPES_PER_CLASS,
    CraftaxGoal,
    classic_goal_descriptors,
    full_goal_descriptors,
    goal_runs,
)
from leo_envs.craftax.local_view import Cells, classic_blocks, classic_mobs, full_cells
from leo_wrappers.goal_set import GoalSet

Game = Literal["classic", "full"]

_OFFSETS = tuple(DIRECTIONS.values())
_NO_BLOCK = -1
_CLASSIC_BLOCK_IDS = {block.name: block.value for block in ClassicBlock}
_FULL_BLOCK_IDS = {block.name: block.value for block in FullBlock}
_FULL_ITEM_IDS = {item.name: item.value for item in FullItem}


def classic_goals_achieved(state: Any) -> Array:
    """
    Which of Craftax-Classic's goals a state achieves.

    :param state: one ``EnvState`` of Craftax-Classic; ``jax.vmap`` for more
    :return: bool ``[136]``, in the order of :data:`CLASSIC_GOAL_NAMES`
    """
    cells = Cells.around_player(CLASSIC_VIEW, _OFFSETS)
    blocks, mobs = classic_blocks(state, cells), classic_mobs(state, cells)
    inventory = state.inventory
    rules = {
        "block_map": lambda run: _neighbours_with_id(blocks, run, _CLASSIC_BLOCK_IDS),
        "mob_map": lambda run: _neighbours_with_mob(mobs, run, CLASSIC_MOBS),
        "number": lambda run: _numbers_in_range({name: getattr(inventory, name) for name in _subjects(run)}, run),
    }
    return _by_run(CLASSIC_GOALS, rules)


def full_goals_achieved(state: Any) -> Array:
    """
    Which of Craftax's goals a state achieves.

    :param state: one ``EnvState`` of full Craftax; ``jax.vmap`` for more
    :return: bool ``[512]``, in the order of :data:`FULL_GOAL_NAMES`
    """
    seen = full_cells(state, Cells.around_player(FULL_VIEW, _OFFSETS))
    blocks = jnp.where(seen.lit, seen.blocks, _NO_BLOCK)
    items = jnp.where(seen.lit, seen.items, FullItem.NONE.value)
    numbers = _full_numbers(state)
    rules = {
        "block_map": lambda run: _neighbours_with_id(blocks, run, _FULL_BLOCK_IDS),
        "item_map": lambda run: _neighbours_with_id(items, run, _FULL_ITEM_IDS),
        "mob_map": lambda run: _neighbours_with_mob(seen.mobs, run, FULL_MOBS),
        "number": lambda run: _numbers_in_range(numbers, run),
    }
    return _by_run(FULL_GOALS, rules)


def goal_set(game: Game) -> GoalSet:
    """
    The goals of a game as a set; its signal is an ``EnvState``, or a batch of them with any leading shape.

    :param game: ``"classic"`` or ``"full"``
    :return: the goals, with descriptors
    """
    if game == "classic":
        return GoalSet(CLASSIC_GOAL_NAMES, _classic_test, descriptors=classic_goal_descriptors())
    if game == "full":
        return GoalSet(FULL_GOAL_NAMES, _full_test, descriptors=full_goal_descriptors())
    raise ValueError(f'expected game to be "classic" or "full", got {game!r}')


def _classic_test(states: Any) -> np.ndarray:
    return np.asarray(_over_batch(classic_goals_achieved, jnp.ndim(states.timestep), states))


def _full_test(states: Any) -> np.ndarray:
    return np.asarray(_over_batch(full_goals_achieved, jnp.ndim(states.timestep), states))


@partial(jax.jit, static_argnums=(0, 1))
def _over_batch(achieved: Callable[[Any], Array], batch_dims: int, states: Any) -> Array:
    for _ in range(batch_dims):
        achieved = jax.vmap(achieved)
    return achieved(states)


def _full_numbers(state: Any) -> dict[str, Array]:
    inventory = state.inventory
    items = ("wood", "stone", "coal", "iron", "diamond", "sapphire", "ruby", "sapling", "torches", "arrows")
    return {
        **{name: getattr(inventory, name) for name in (*items, "pickaxe", "sword", "bow")},
        **{piece: inventory.armour[index] for index, piece in enumerate(ARMOUR)},
        **{f"{piece}_enchantment": state.armour_enchantments[index] for index, piece in enumerate(ARMOUR)},
        "sword_enchantment": state.sword_enchantment,
        "bow_enchantment": state.bow_enchantment,
        "floor": state.player_level,
        "intelligence": state.player_intelligence,
        "strength": state.player_strength,
        "dexterity": state.player_dexterity,
    }


def _by_run(goals: Sequence[CraftaxGoal], rules: Mapping[str, Callable[[Sequence[CraftaxGoal]], Array]]) -> Array:
    return jnp.concatenate([rules[rule](run) for rule, run in goal_runs(goals)])


def _subjects(run: Sequence[CraftaxGoal]) -> list[str]:
    return list(dict.fromkeys(goal.subject for goal in run))


def _neighbours_with_id(ids: Array, run: Sequence[CraftaxGoal], id_of: Mapping[str, int]) -> Array:
    """Subjects outside, directions inside, as the goals are ordered."""
    wanted = jnp.array([id_of[subject] for subject in _subjects(run)])
    return (ids[None, :] == wanted[:, None]).reshape(-1)


def _neighbours_with_mob(mobs: Array, run: Sequence[CraftaxGoal], channel_of: Mapping[str, int]) -> Array:
    channels = np.array([channel_of[subject] for subject in _subjects(run)])
    of_class = mobs.T[channels // MOB_TYPES_PER_CLASS]
    bit = (1 << channels % MOB_TYPES_PER_CLASS).astype(np.uint8)
    return ((of_class & bit[:, None]) != 0).reshape(-1)


def _numbers_in_range(numbers: Mapping[str, Array], run: Sequence[CraftaxGoal]) -> Array:
    subjects = _subjects(run)
    values = jnp.stack([jnp.asarray(numbers[subject], dtype=jnp.int32) for subject in subjects])
    values = values[np.array([subjects.index(goal.subject) for goal in run])]
    return (values >= np.array([goal.low for goal in run])) & (values <= np.array([goal.high for goal in run]))
