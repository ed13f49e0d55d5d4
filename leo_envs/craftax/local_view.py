"""Contents of given cells of Craftax's symbolic observation, looked up without computing the whole observation."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from craftax.craftax.constants import OBS_DIM as FULL_VIEW
from craftax.craftax.constants import BlockType as FullBlock
from craftax.craftax.constants import ItemType as FullItem
from craftax.craftax_classic.constants import OBS_DIM as CLASSIC_VIEW
from craftax.craftax_classic.constants import BlockType as ClassicBlock
from jax import Array

Indices = npt.NDArray[np.int64]

LIGHT_THRESHOLD = 0.05
"""Craftax hides cells whose light level is not above this."""


class Cells(NamedTuple):
    """
    Cells of the player's view; the two arrays broadcast together.

    :param rows: rows, from the top of the view
    :param columns: columns, from the left of the view
    """

    rows: Indices
    columns: Indices

    @classmethod
    def whole(cls, view: tuple[int, int]) -> "Cells":
        """
        Return all cells of a view.

        :param view: height and width of the view
        """
        return cls(np.arange(view[0])[:, None], np.arange(view[1])[None, :])

    @classmethod
    def around_player(cls, view: tuple[int, int], offsets: Sequence[tuple[int, int]]) -> "Cells":
        """
        Return cells at given offsets from the player, who is in the center of the view.

        :param view: height and width of the view
        :param offsets: (row, column) offsets
        """
        return cls(*(np.array([size // 2 + offset[axis] for offset in offsets]) for axis, size in enumerate(view)))


class FullCells(NamedTuple):
    """
    Contents of some cells of Craftax.

    :param lit: whether the cell is visible
    :param blocks: block ids, also of dark cells
    :param items: item ids, also of dark cells
    :param mobs: one byte per class of mobs, one bit per type, ``[..., 5]``; zeros in dark cells
    """

    lit: Array
    blocks: Array
    items: Array
    mobs: Array


def classic_blocks(state: Any, cells: Cells) -> Array:
    """
    Return the block ids of cells of Craftax-Classic.

    :param state: a single ``EnvState``
    :param cells: cells of the view
    :return: integers of the shape of ``cells``
    """
    (at,), inside = _on_map((state.map,), (), state.player_position, cells, CLASSIC_VIEW)
    return jnp.where(inside, at, ClassicBlock.OUT_OF_BOUNDS.value)


def classic_mobs(state: Any, cells: Cells) -> Array:
    """
    Return the mobs in cells of Craftax-Classic.

    :param state: a single ``EnvState``
    :param cells: cells of the view
    :return: uint8 ``[..., 1]``, one bit each for zombie, cow, skeleton and arrow
    """
    plane = jnp.uint8(0)
    for channel, mobs in enumerate((state.zombies, state.cows, state.skeletons, state.arrows)):
        bits = jnp.full(mobs.mask.shape, 1 << channel, dtype=jnp.uint8)
        plane |= _mob_plane(mobs.position, mobs.mask, bits, state.player_position, cells, CLASSIC_VIEW)
    return plane[..., None]


def full_cells(state: Any, cells: Cells) -> FullCells:
    """
    Return the contents of cells of Craftax.

    :param state: a single ``EnvState``
    :param cells: cells of the view
    :return: light, blocks, items and mobs of the shape of ``cells``
    """
    level, player = state.player_level, state.player_position
    maps = (state.map, state.item_map, state.light_map)
    (blocks, items, light), inside = _on_map(maps, (level,), player, cells, FULL_VIEW)
    # Cells outside the map are dark in the symbolic observation: they do not even show OUT_OF_BOUNDS.
    lit = inside & (light > LIGHT_THRESHOLD)
    classes = (state.melee_mobs, state.passive_mobs, state.ranged_mobs, state.mob_projectiles, state.player_projectiles)
    planes = [
        _mob_plane(mobs.position[level], mobs.mask[level], _type_bits(mobs.type_id[level]), player, cells, FULL_VIEW)
        for mobs in classes
    ]
    return FullCells(
        lit=lit,
        blocks=jnp.where(inside, blocks, FullBlock.OUT_OF_BOUNDS.value),
        items=jnp.where(inside, items, FullItem.NONE.value),
        mobs=jnp.where(lit[..., None], jnp.stack(planes, axis=-1), jnp.uint8(0)),
    )


def _type_bits(type_ids: Array) -> Array:
    return jnp.left_shift(jnp.uint8(1), type_ids.astype(jnp.uint8))


def _on_map(
    maps: Sequence[Array], floor: tuple[Array, ...], player: Array, cells: Cells, view: tuple[int, int]
) -> tuple[list[Array], Array]:
    """Return each map's values in the cells and whether the cells are on the map; values outside the map are arbitrary."""
    height, width = maps[0].shape[-2:]
    rows = player[0] - view[0] // 2 + cells.rows
    columns = player[1] - view[1] // 2 + cells.columns
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    index = (*floor, jnp.clip(rows, 0, height - 1), jnp.clip(columns, 0, width - 1))
    return [array[index] for array in maps], inside


def _mob_plane(positions: Array, alive: Array, bits: Array, player: Array, cells: Cells, view: tuple[int, int]) -> Array:
    """
    Return the bits set by the mobs in each cell, uint8.

    Craftax writes mobs in sequence, dead ones as zeros, and positions beyond the top or left edge wrap around to the opposite
    side, so a later mob of the same type can erase an earlier one. This function reproduces it, so that the mask and the
    compact observation match the symbolic observation.
    """
    size = jnp.array(view)
    local = positions - player + size // 2
    visible = alive & ((local >= 0) & (local < size)).all(axis=-1)
    wrapped = jnp.where(local < 0, local + size, local)
    plane = jnp.zeros(jnp.broadcast_shapes(cells.rows.shape, cells.columns.shape), dtype=jnp.uint8)
    for mob in range(len(positions)):
        here = (cells.rows == wrapped[mob, 0]) & (cells.columns == wrapped[mob, 1])
        plane = jnp.where(here, (plane & ~bits[mob]) | (bits[mob] * visible[mob]), plane)
    return plane
