"""What Craftax's symbolic observation shows in given cells, looked up cell by cell instead of drawn as a whole."""

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

Numbers = npt.NDArray[np.int64]

LIGHT_THRESHOLD = 0.05
"""Full Craftax shows a cell only if its light is above this."""


class Cells(NamedTuple):
    """
    Cells of the view, by their rows and columns in it; the two arrays broadcast together.

    :param rows: rows, from the view's upper edge
    :param columns: columns, from its left edge
    """

    rows: Numbers
    columns: Numbers

    @classmethod
    def whole(cls, view: tuple[int, int]) -> "Cells":
        """
        :param view: the view's height and width
        :return: every cell
        """
        return cls(np.arange(view[0])[:, None], np.arange(view[1])[None, :])

    @classmethod
    def around_player(cls, view: tuple[int, int], offsets: Sequence[tuple[int, int]]) -> "Cells":
        """
        :param view: the view's height and width
        :param offsets: (row, column) offsets from the player, who stands in the centre
        :return: those cells, in that order
        """
        return cls(*(np.array([size // 2 + offset[axis] for offset in offsets]) for axis, size in enumerate(view)))


class FullCells(NamedTuple):
    """
    What full Craftax shows in some cells.

    :param lit: whether anything is shown at all
    :param blocks: block ids as they are, dark or not
    :param items: item ids as they are, dark or not
    :param mobs: a byte for each of the five classes of mobs, one bit a type, on a new last axis; nothing where it is dark
    """

    lit: Array
    blocks: Array
    items: Array
    mobs: Array


def classic_blocks(state: Any, cells: Cells) -> Array:
    """
    :param state: one ``EnvState`` of Craftax-Classic
    :param cells: cells of its view
    :return: the block ids there
    """
    (at,), inside = _on_map((state.map,), (), state.player_position, cells, CLASSIC_VIEW)
    return jnp.where(inside, at, ClassicBlock.OUT_OF_BOUNDS.value)


def classic_mobs(state: Any, cells: Cells) -> Array:
    """
    :param state: one ``EnvState`` of Craftax-Classic
    :param cells: cells of its view
    :return: a byte per cell on a new last axis, one bit a mob: zombie, cow, skeleton, arrow
    """
    plane = jnp.uint8(0)
    for channel, mobs in enumerate((state.zombies, state.cows, state.skeletons, state.arrows)):
        bits = jnp.full(mobs.mask.shape, 1 << channel, dtype=jnp.uint8)
        plane |= _mob_plane(mobs.position, mobs.mask, bits, state.player_position, cells, CLASSIC_VIEW)
    return plane[..., None]


def full_cells(state: Any, cells: Cells) -> FullCells:
    """
    :param state: one ``EnvState`` of full Craftax
    :param cells: cells of its view
    :return: what is in them
    """
    level, player = state.player_level, state.player_position
    maps = (state.map, state.item_map, state.light_map)
    (blocks, items, light), inside = _on_map(maps, (level,), player, cells, FULL_VIEW)
    # Beyond the map there is no light: the symbolic observation shows nothing there, not even that it is out of bounds.
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
    """Each map's values in the cells, and which of the cells are on the map; the values elsewhere mean nothing."""
    height, width = maps[0].shape[-2:]
    rows = player[0] - view[0] // 2 + cells.rows
    columns = player[1] - view[1] // 2 + cells.columns
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    index = (*floor, jnp.clip(rows, 0, height - 1), jnp.clip(columns, 0, width - 1))
    return [array[index] for array in maps], inside


def _mob_plane(positions: Array, alive: Array, bits: Array, player: Array, cells: Cells, view: tuple[int, int]) -> Array:
    """
    Which bits are set in each cell, uint8.

    Craftax writes its mobs one after the other, the dead as zeros, and a position beyond the upper or left edge wraps round to
    the other side: a later mob of the same type can blot out an earlier one. The mask and the compact observation are to say
    what the symbolic observation says, so this does the same.
    """
    size = jnp.array(view)
    local = positions - player + size // 2
    shown = alive & ((local >= 0) & (local < size)).all(axis=-1)
    wrapped = jnp.where(local < 0, local + size, local)
    plane = jnp.zeros(jnp.broadcast_shapes(cells.rows.shape, cells.columns.shape), dtype=jnp.uint8)
    for mob in range(len(positions)):
        here = (cells.rows == wrapped[mob, 0]) & (cells.columns == wrapped[mob, 1])
        plane = jnp.where(here, (plane & ~bits[mob]) | (bits[mob] * shown[mob]), plane)
    return plane
