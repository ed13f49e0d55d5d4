"""
What an agent sees of Craftax: ``compact`` (the default), ``symbolic`` or ``pixels``.

``compact`` says exactly what ``symbolic`` says, in a few hundred bytes instead of thousands of floats, as a dictionary that
tells by shapes how to read it:

- a ``uint8`` Box ``[rows, columns]`` holds ids of classes, from 0 to its ``high``;
- a ``uint8`` Box ``[rows, columns, bytes]`` holds bits: channel ``c`` is bit ``c % 8``, counted from the least significant, of
  byte ``c // 8`` (NumPy's ``bitorder="little"``); its ``high`` has the bits that the game can set. That is never 255
  everywhere, or Stable-Baselines3 would take the map for an image, divide it by 255 and turn its axes;
- a Box ``[n]`` holds numbers, between 0 and its ``high``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from craftax.craftax import renderer as full_renderer
from craftax.craftax.constants import BLOCK_PIXEL_SIZE_AGENT as FULL_BLOCK_PIXELS
from craftax.craftax.constants import INVENTORY_OBS_HEIGHT as FULL_INVENTORY_ROWS
from craftax.craftax.constants import OBS_DIM as FULL_VIEW
from craftax.craftax.constants import BlockType as FullBlock
from craftax.craftax.constants import ItemType as FullItem
from craftax.craftax_classic import renderer as classic_renderer
from craftax.craftax_classic.constants import BLOCK_PIXEL_SIZE_AGENT as CLASSIC_BLOCK_PIXELS
from craftax.craftax_classic.constants import INVENTORY_OBS_HEIGHT as CLASSIC_INVENTORY_ROWS
from craftax.craftax_classic.constants import OBS_DIM as CLASSIC_VIEW
from craftax.craftax_classic.constants import BlockType as ClassicBlock
from gymnasium import spaces
from jax import Array

from leo_envs.craftax.goal_names import CLASSIC_MOBS, FULL_MOBS, MOB_TYPES_PER_CLASS
from leo_envs.craftax.local_view import Cells, classic_blocks, classic_mobs, full_cells
from leo_envs.craftax.pixels import pixel_renderer
from leo_envs.craftax.scalars import CLASSIC_NUMBERS, FULL_NUMBERS, Number

ObservationKind = Literal["compact", "symbolic", "pixels"]

FULL_DARK = len(FullBlock)
"""The class of a cell that full Craftax shows nothing of, among the ids of ``blocks``."""

# Above everything that Craftax's symbolic vector holds; its own space says 1, which enchantments and mana exceed.
_SYMBOLIC_HIGH = 3.0


@dataclass(frozen=True)
class Observation:
    """
    A kind of observation.

    :param space: the space of one observation
    :param encode: maps one ``EnvState`` to it, as ``jax.numpy`` arrays; to be mapped over a batch and compiled by the caller
    """

    space: spaces.Space[Any]
    encode: Callable[[Any], Any]


def make_observation(game: str, kind: str = "compact") -> Observation:
    """
    A kind of observation of a game.

    :param game: ``"classic"`` or ``"full"``
    :param kind: ``"compact"``, ``"symbolic"`` or ``"pixels"``
    :return: its space and how to make it from a state
    """
    if game not in ("classic", "full"):
        raise ValueError(f'expected game to be "classic" or "full", got {game!r}')
    if kind not in get_args(ObservationKind):
        raise ValueError(f"expected observation to be one of {list(get_args(ObservationKind))}, got {kind!r}")
    if kind == "pixels":
        return _pixels(game)
    if kind == "symbolic":
        return _symbolic(game)
    return _classic_compact() if game == "classic" else _full_compact()


def expand_compact(observation: Mapping[str, npt.ArrayLike], game: str) -> npt.NDArray[np.float32]:
    """
    The symbolic observation that a compact one stands for.

    :param observation: one compact observation, or a batch with any leading shape
    :param game: ``"classic"`` or ``"full"``
    :return: Craftax's flat vector, float32 ``[..., n]``
    """
    if game not in ("classic", "full"):
        raise ValueError(f'expected game to be "classic" or "full", got {game!r}')
    arrays = {key: np.asarray(value) for key, value in observation.items()}
    blocks = arrays["blocks"]
    bits = np.unpackbits(arrays["mobs"], axis=-1, bitorder="little")
    if game == "classic":
        numbers = CLASSIC_NUMBERS
        maps = [np.eye(len(ClassicBlock))[blocks], bits[..., : len(CLASSIC_MOBS)]]
    else:
        numbers = FULL_NUMBERS
        lit = (blocks != FULL_DARK)[..., None]
        # The last class, darkness, has no channel: its row is empty.
        maps = [np.eye(FULL_DARK + 1, FULL_DARK)[blocks], np.eye(len(FullItem))[arrays["items"]] * lit, bits, lit]
    flat_map = np.concatenate(maps, axis=-1).reshape(*blocks.shape[:-2], -1)
    return np.concatenate([flat_map, *_shown_numbers(arrays, numbers)], axis=-1).astype(np.float32)


def _shown_numbers(arrays: Mapping[str, npt.NDArray[Any]], numbers: tuple[Number, ...]) -> list[npt.NDArray[Any]]:
    shown, taken = [], dict.fromkeys(arrays, 0)
    for number in numbers:
        start = taken[number.part]
        taken[number.part] = start + number.size
        shown.append(number.shown(arrays[number.part][..., start : start + number.size]))
    return shown


def _number_spaces(numbers: tuple[Number, ...]) -> dict[str, spaces.Space[Any]]:
    highs: dict[str, list[int]] = {}
    for number in numbers:
        highs.setdefault(number.part, []).extend([number.high] * number.size)
    dtypes = {part: np.float32 if part == "continuous" else np.uint8 for part in highs}
    return {part: spaces.Box(0, np.array(high, dtype=dtypes[part]), dtype=dtypes[part]) for part, high in highs.items()}


def _encode_numbers(state: Any, numbers: tuple[Number, ...]) -> dict[str, Array]:
    values: dict[str, list[Array]] = {}
    for number in numbers:
        values.setdefault(number.part, []).append(jnp.atleast_1d(jnp.asarray(number.of(state))))
    dtypes = {part: jnp.float32 if part == "continuous" else jnp.uint8 for part in values}
    return {part: jnp.concatenate([v.astype(dtypes[part]) for v in value]) for part, value in values.items()}


def _ids_space(view: tuple[int, int], num_classes: int) -> spaces.Box:
    return spaces.Box(0, num_classes - 1, view, dtype=np.uint8)


def _bits_space(view: tuple[int, int], channels: Mapping[str, int], num_bytes: int) -> spaces.Box:
    high = np.zeros(num_bytes, dtype=np.uint8)
    for channel in channels.values():
        high[channel // MOB_TYPES_PER_CLASS] |= 1 << channel % MOB_TYPES_PER_CLASS
    return spaces.Box(0, np.broadcast_to(high, (*view, num_bytes)), dtype=np.uint8)


def _classic_compact() -> Observation:
    cells = Cells.whole(CLASSIC_VIEW)
    space = spaces.Dict(
        {
            "blocks": _ids_space(CLASSIC_VIEW, len(ClassicBlock)),
            "mobs": _bits_space(CLASSIC_VIEW, CLASSIC_MOBS, 1),
            **_number_spaces(CLASSIC_NUMBERS),
        }
    )

    def encode(state: Any) -> dict[str, Array]:
        return {
            "blocks": classic_blocks(state, cells).astype(jnp.uint8),
            "mobs": classic_mobs(state, cells),
            **_encode_numbers(state, CLASSIC_NUMBERS),
        }

    return Observation(space, encode)


def _full_compact() -> Observation:
    cells = Cells.whole(FULL_VIEW)
    space = spaces.Dict(
        {
            "blocks": _ids_space(FULL_VIEW, FULL_DARK + 1),
            "items": _ids_space(FULL_VIEW, len(FullItem)),
            "mobs": _bits_space(FULL_VIEW, FULL_MOBS, 5),
            **_number_spaces(FULL_NUMBERS),
        }
    )

    def encode(state: Any) -> dict[str, Array]:
        seen = full_cells(state, cells)
        return {
            "blocks": jnp.where(seen.lit, seen.blocks, FULL_DARK).astype(jnp.uint8),
            "items": jnp.where(seen.lit, seen.items, FullItem.NONE.value).astype(jnp.uint8),
            "mobs": seen.mobs,
            **_encode_numbers(state, FULL_NUMBERS),
        }

    return Observation(space, encode)


def _symbolic(game: str) -> Observation:
    renderer = classic_renderer if game == "classic" else full_renderer
    compact = make_observation(game, "compact").space
    assert isinstance(compact, spaces.Dict)
    length = expand_compact({key: np.zeros(box.shape, box.dtype) for key, box in compact.items()}, game).size
    space = spaces.Box(0.0, _SYMBOLIC_HIGH, (length,), dtype=np.float32)

    def encode(state: Any) -> Array:
        return renderer.render_craftax_symbolic(state).astype(jnp.float32)

    return Observation(space, encode)


def _pixels(game: str) -> Observation:
    if game == "classic":
        view, inventory_rows, block = CLASSIC_VIEW, CLASSIC_INVENTORY_ROWS, CLASSIC_BLOCK_PIXELS
    else:
        view, inventory_rows, block = FULL_VIEW, FULL_INVENTORY_ROWS, FULL_BLOCK_PIXELS
    space = spaces.Box(0, 255, ((view[0] + inventory_rows) * block, view[1] * block, 3), dtype=np.uint8)
    return Observation(space, partial(_draw, game, block))


def _draw(game: str, block_pixel_size: int, state: Any) -> Array:
    # The textures are made when the first picture is, not when the space is asked for.
    picture = pixel_renderer(game, block_pixel_size)(state)
    return jnp.clip(jnp.round(picture), 0, 255).astype(jnp.uint8)
