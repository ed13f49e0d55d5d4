"""Masks of Craftax's goals, from the four cells around the player and from scalars of the state."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

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
    ATTRIBUTES,
    CLASSIC_GOALS,
    CLASSIC_MOBS,
    DIRECTIONS,
    FULL_GOALS,
    FULL_INVENTORY,
    FULL_MOBS,
    MOB_TYPES_PER_CLASS,
    VARIANTS,
    CraftaxGoal,
    goal_descriptors,
    goal_runs,
)
from leo_envs.craftax.local_view import Cells, classic_blocks, classic_mobs, full_cells
from leo_wrappers.goal_set import GoalSet
from leo_wrappers.validation import check_choice

_OFFSETS = tuple(DIRECTIONS.values())
_NO_BLOCK = -1
_CLASSIC_BLOCK_IDS = {block.name: block.value for block in ClassicBlock}
_FULL_BLOCK_IDS = {block.name: block.value for block in FullBlock}
_FULL_ITEM_IDS = {item.name: item.value for item in FullItem}


def classic_goals_achieved(state: Any) -> Array:
    """
    Return the mask of Craftax-Classic's goals.

    :param state: a single ``EnvState`` of Craftax-Classic
    :return: bool ``[136]``, in the order of :data:`CLASSIC_GOALS`
    """
    cells = Cells.around_player(CLASSIC_VIEW, _OFFSETS)
    blocks, mobs = classic_blocks(state, cells), classic_mobs(state, cells)
    inventory = state.inventory
    tests = {
        "block_map": lambda run: _neighbors_with_id(blocks, run, _CLASSIC_BLOCK_IDS),
        "mob_map": lambda run: _neighbors_with_mob(mobs, run, CLASSIC_MOBS),
        "scalar": lambda run: _scalars_in_range({name: getattr(inventory, name) for name in _subjects(run)}, run),
    }
    return _concatenate_runs(CLASSIC_GOALS, tests)


def full_goals_achieved(state: Any) -> Array:
    """
    Return the mask of Craftax's goals.

    :param state: a single ``EnvState`` of Craftax
    :return: bool ``[512]``, in the order of :data:`FULL_GOALS`
    """
    cells = full_cells(state, Cells.around_player(FULL_VIEW, _OFFSETS))
    blocks = jnp.where(cells.lit, cells.blocks, _NO_BLOCK)
    items = jnp.where(cells.lit, cells.items, FullItem.NONE.value)
    scalars = _full_scalars(state)
    tests = {
        "block_map": lambda run: _neighbors_with_id(blocks, run, _FULL_BLOCK_IDS),
        "item_map": lambda run: _neighbors_with_id(items, run, _FULL_ITEM_IDS),
        "mob_map": lambda run: _neighbors_with_mob(cells.mobs, run, FULL_MOBS),
        "scalar": lambda run: _scalars_in_range(scalars, run),
    }
    return _concatenate_runs(FULL_GOALS, tests)


GOALS_ACHIEVED = {"classic": classic_goals_achieved, "full": full_goals_achieved}


def goal_set(variant: str) -> GoalSet:
    """
    Return all goals of a variant with their descriptors; the signal is an ``EnvState`` with any leading batch dimensions.

    :param variant: ``"classic"`` or ``"full"``
    :return: the goals
    """
    check_choice("variant", variant, VARIANTS)
    goals = CLASSIC_GOALS if variant == "classic" else FULL_GOALS
    names = [goal.name for goal in goals]
    return GoalSet(names, partial(_batch_achieved, GOALS_ACHIEVED[variant]), descriptors=goal_descriptors(goals))


def _batch_achieved(achieved: Callable[[Any], Array], states: Any) -> np.ndarray:
    return np.asarray(_vmapped(achieved, jnp.ndim(states.timestep), states))


@partial(jax.jit, static_argnums=(0, 1))
def _vmapped(achieved: Callable[[Any], Array], batch_dims: int, states: Any) -> Array:
    for _ in range(batch_dims):
        achieved = jax.vmap(achieved)
    return achieved(states)


def _full_scalars(state: Any) -> dict[str, Array]:
    inventory = state.inventory
    return {
        **{name: getattr(inventory, name) for name in (*FULL_INVENTORY, "pickaxe", "sword", "bow")},
        **{piece: inventory.armour[index] for index, piece in enumerate(ARMOUR)},
        **{f"{piece}_enchantment": state.armour_enchantments[index] for index, piece in enumerate(ARMOUR)},
        "sword_enchantment": state.sword_enchantment,
        "bow_enchantment": state.bow_enchantment,
        "floor": state.player_level,
        **{name: getattr(state, f"player_{name}") for name in ATTRIBUTES},
    }


def _concatenate_runs(goals: Sequence[CraftaxGoal], tests: Mapping[str, Callable[[Sequence[CraftaxGoal]], Array]]) -> Array:
    return jnp.concatenate([tests[test](run) for test, run in goal_runs(goals)])


def _subjects(run: Sequence[CraftaxGoal]) -> list[str]:
    return list(dict.fromkeys(goal.subject for goal in run))


def _neighbors_with_id(ids: Array, run: Sequence[CraftaxGoal], id_of: Mapping[str, int]) -> Array:
    """Compare every subject with every neighboring cell, in the order of the goals: direction varies fastest."""
    subject_ids = jnp.array([id_of[subject] for subject in _subjects(run)])
    return (ids[None, :] == subject_ids[:, None]).reshape(-1)


def _neighbors_with_mob(mobs: Array, run: Sequence[CraftaxGoal], channel_of: Mapping[str, int]) -> Array:
    channels = np.array([channel_of[subject] for subject in _subjects(run)])
    of_class = mobs.T[channels // MOB_TYPES_PER_CLASS]
    bit = (1 << channels % MOB_TYPES_PER_CLASS).astype(np.uint8)
    return ((of_class & bit[:, None]) != 0).reshape(-1)


def _scalars_in_range(scalars: Mapping[str, Array], run: Sequence[CraftaxGoal]) -> Array:
    subjects = _subjects(run)
    values = jnp.stack([jnp.asarray(scalars[subject], dtype=jnp.int32) for subject in subjects])
    values = values[np.array([subjects.index(goal.subject) for goal in run])]
    return (values >= np.array([goal.low for goal in run])) & (values <= np.array([goal.high for goal in run]))
