"""
Observations of Craftax: ``compact`` (the default), ``symbolic`` or ``pixels``.

``compact`` contains the same information as ``symbolic``, in a few hundred bytes instead of thousands of floats. It is a Dict
whose entries are encoded according to their shape:

- a ``uint8`` Box ``[rows, columns]`` contains class ids from 0 to ``high``;
- a ``uint8`` Box ``[rows, columns, bytes]`` contains bits: channel ``c`` is bit ``c % 8``, counted from the least significant,
  of byte ``c // 8`` (NumPy's ``bitorder="little"``). ``high`` has the bits that Craftax can set. It is not 255 everywhere,
  because Stable-Baselines3 would treat the entry as an image, normalizing and transposing it;
- a Box ``[n]`` contains scalars from 0 to ``high``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

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

from leo_envs.craftax.goal_names import CLASSIC_MOBS, FULL_MOBS, MOB_TYPES_PER_CLASS, VARIANTS
from leo_envs.craftax.local_view import Cells, classic_blocks, classic_mobs, full_cells
from leo_envs.craftax.pixels import pixel_renderer
from leo_envs.craftax.scalars import CLASSIC_SCALARS, FULL_SCALARS, Scalar
from leo_wrappers.validation import check_choice

KINDS = ("compact", "symbolic", "pixels")

FULL_DARK = len(FullBlock)
"""Class id of a dark cell in Craftax's ``blocks``."""

# An upper bound of Craftax's symbolic observation; the 1.0 of its own space is exceeded by enchantments and mana.
_SYMBOLIC_HIGH = 3.0


@dataclass(frozen=True)
class Observation:
    """
    Space and encoder of one kind of observation.

    :param space: space of a single observation
    :param encode: function from a single ``EnvState`` to an observation of ``jax.numpy`` arrays, not compiled
    """

    space: spaces.Space[Any]
    encode: Callable[[Any], Any]


def make_observation(variant: str, kind: str = "compact") -> Observation:
    """
    Return space and encoder of a kind of observation.

    :param variant: ``"classic"`` or ``"full"``
    :param kind: ``"compact"``, ``"symbolic"`` or ``"pixels"``
    :return: space and encoder
    """
    check_choice("variant", variant, VARIANTS)
    check_choice("observation", kind, KINDS)
    if kind == "pixels":
        return _pixels(variant)
    if kind == "symbolic":
        return _symbolic(variant)
    return _classic_compact() if variant == "classic" else _full_compact()


def expand_compact(observation: Mapping[str, npt.ArrayLike], variant: str) -> npt.NDArray[np.float32]:
    """
    Convert compact observations to symbolic observations.

    :param observation: one compact observation, or a batch with any leading dimensions
    :param variant: ``"classic"`` or ``"full"``
    :return: Craftax's flat symbolic observation, float32 ``[..., n]``
    """
    check_choice("variant", variant, VARIANTS)
    arrays = {key: np.asarray(value) for key, value in observation.items()}
    blocks = arrays["blocks"]
    bits = np.unpackbits(arrays["mobs"], axis=-1, bitorder="little")
    if variant == "classic":
        scalars = CLASSIC_SCALARS
        maps = [np.eye(len(ClassicBlock))[blocks], bits[..., : len(CLASSIC_MOBS)]]
    else:
        scalars = FULL_SCALARS
        lit = (blocks != FULL_DARK)[..., None]
        # Dark cells are zero in all channels.
        maps = [np.eye(FULL_DARK + 1, FULL_DARK)[blocks], np.eye(len(FullItem))[arrays["items"]] * lit, bits, lit]
    flat_map = np.concatenate(maps, axis=-1).reshape(*blocks.shape[:-2], -1)
    return np.concatenate([flat_map, *_scaled_scalars(arrays, scalars)], axis=-1).astype(np.float32)


def _scaled_scalars(arrays: Mapping[str, npt.NDArray[Any]], scalars: tuple[Scalar, ...]) -> list[npt.NDArray[Any]]:
    scaled, offsets = [], dict.fromkeys(arrays, 0)
    for scalar in scalars:
        start = offsets[scalar.key]
        offsets[scalar.key] = start + scalar.size
        scaled.append(scalar.scale(arrays[scalar.key][..., start : start + scalar.size]))
    return scaled


def _scalar_spaces(scalars: tuple[Scalar, ...]) -> dict[str, spaces.Space[Any]]:
    highs: dict[str, list[int]] = {}
    for scalar in scalars:
        highs.setdefault(scalar.key, []).extend([scalar.high] * scalar.size)
    dtypes = {key: np.float32 if key == "continuous" else np.uint8 for key in highs}
    return {key: spaces.Box(0, np.array(high, dtype=dtypes[key]), dtype=dtypes[key]) for key, high in highs.items()}


def _encode_scalars(state: Any, scalars: tuple[Scalar, ...]) -> dict[str, Array]:
    values: dict[str, list[Array]] = {}
    for scalar in scalars:
        values.setdefault(scalar.key, []).append(jnp.atleast_1d(jnp.asarray(scalar.read(state))))
    dtypes = {key: jnp.float32 if key == "continuous" else jnp.uint8 for key in values}
    return {key: jnp.concatenate([v.astype(dtypes[key]) for v in value]) for key, value in values.items()}


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
            **_scalar_spaces(CLASSIC_SCALARS),
        }
    )

    def encode(state: Any) -> dict[str, Array]:
        return {
            "blocks": classic_blocks(state, cells).astype(jnp.uint8),
            "mobs": classic_mobs(state, cells),
            **_encode_scalars(state, CLASSIC_SCALARS),
        }

    return Observation(space, encode)


def _full_compact() -> Observation:
    cells = Cells.whole(FULL_VIEW)
    space = spaces.Dict(
        {
            "blocks": _ids_space(FULL_VIEW, FULL_DARK + 1),
            "items": _ids_space(FULL_VIEW, len(FullItem)),
            "mobs": _bits_space(FULL_VIEW, FULL_MOBS, 5),
            **_scalar_spaces(FULL_SCALARS),
        }
    )

    def encode(state: Any) -> dict[str, Array]:
        contents = full_cells(state, cells)
        return {
            "blocks": jnp.where(contents.lit, contents.blocks, FULL_DARK).astype(jnp.uint8),
            "items": jnp.where(contents.lit, contents.items, FullItem.NONE.value).astype(jnp.uint8),
            "mobs": contents.mobs,
            **_encode_scalars(state, FULL_SCALARS),
        }

    return Observation(space, encode)


def _symbolic(variant: str) -> Observation:
    renderer = classic_renderer if variant == "classic" else full_renderer
    compact = make_observation(variant, "compact").space
    assert isinstance(compact, spaces.Dict)
    length = expand_compact({key: np.zeros(box.shape, box.dtype) for key, box in compact.items()}, variant).size
    space = spaces.Box(0.0, _SYMBOLIC_HIGH, (length,), dtype=np.float32)

    def encode(state: Any) -> Array:
        return renderer.render_craftax_symbolic(state).astype(jnp.float32)

    return Observation(space, encode)


def _pixels(variant: str) -> Observation:
    if variant == "classic":
        view, inventory_rows, block = CLASSIC_VIEW, CLASSIC_INVENTORY_ROWS, CLASSIC_BLOCK_PIXELS
    else:
        view, inventory_rows, block = FULL_VIEW, FULL_INVENTORY_ROWS, FULL_BLOCK_PIXELS
    space = spaces.Box(0, 255, ((view[0] + inventory_rows) * block, view[1] * block, 3), dtype=np.uint8)
    return Observation(space, partial(_encode_pixels, variant, block))


def _encode_pixels(variant: str, block_pixel_size: int, state: Any) -> Array:
    # The renderer is created here because loading its textures is slow and the space does not need them.
    image = pixel_renderer(variant, block_pixel_size)(state)
    return jnp.clip(jnp.round(image), 0, 255).astype(jnp.uint8)
