"""Reads observations made of small maps: class ids and packed bits cell by cell, beside vectors of numbers."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_flattened_obs_dim, is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import TensorDict
from torch import nn

_BITS_PER_BYTE = 8
_KINDS = ("ids", "bits", "numbers", "flat")


def _is_bytes(space: spaces.Space[Any]) -> bool:
    return isinstance(space, spaces.Box) and space.dtype == np.uint8


def is_id_map(space: spaces.Space[Any]) -> bool:
    """
    :param space: a part of an observation
    :return: whether it is a map of class ids: a ``uint8`` Box ``[rows, columns]``
    """
    return _is_bytes(space) and len(space.shape or ()) == 2


def is_bit_map(space: spaces.Space[Any]) -> bool:
    """
    :param space: a part of an observation
    :return: whether it is a map of packed bits: a ``uint8`` Box ``[rows, columns, bytes]`` that is no image
    """
    return _is_bytes(space) and len(space.shape or ()) == 3 and not is_image_space(space)


def _kind(space: spaces.Space[Any]) -> str:
    """How :class:`MapExtractor` reads a part of the observation."""
    if is_id_map(space):
        return "ids"
    if is_bit_map(space):
        return "bits"
    return "numbers" if isinstance(space, spaces.Box) and len(space.shape) == 1 else "flat"


def has_maps(space: spaces.Space[Any]) -> bool:
    """
    :param space: an observation space
    :return: whether it is a dictionary with a map of class ids
    """
    return isinstance(space, spaces.Dict) and any(is_id_map(part) for part in space.spaces.values())


class _NumberFeatures(nn.Module):
    """
    A vector scaled by its bounds; if it holds counts, also looked up, so that "exactly three" is as plain as "many".

    The sum over the rows looked up is what a linear layer would make of one indicator per number and count.
    """

    scale: th.Tensor
    high: th.Tensor
    first_rows: th.Tensor

    def __init__(self, space: spaces.Box, width: int) -> None:
        super().__init__()
        high = space.high.astype(np.float32)
        # A number without bounds is left as it is.
        self.register_buffer("scale", th.as_tensor(np.where(np.isfinite(high) & (high > 0), high, np.float32(1))))
        self.table: nn.EmbeddingBag | None = None
        self.num_features = len(high)
        if _is_bytes(space):
            counts = space.high.astype(np.int64) + 1
            self.register_buffer("high", th.as_tensor(counts - 1))
            self.register_buffer("first_rows", th.as_tensor(np.cumsum(counts) - counts))
            self.table = nn.EmbeddingBag(int(counts.sum()), width, mode="sum")
            # The sum then starts with the variance that one row of PyTorch's has.
            nn.init.normal_(self.table.weight, std=len(high) ** -0.5)
            self.num_features += width

    def forward(self, numbers: th.Tensor) -> th.Tensor:
        scaled = numbers / self.scale
        if self.table is None:
            return scaled
        # A count above its bound is as good as the bound; it must not be looked up among its neighbour's rows.
        rows = th.minimum(numbers.long(), self.high) + self.first_rows
        return th.cat([scaled, self.table(rows)], dim=1)


class MapExtractor(BaseFeaturesExtractor):
    """
    Features of a dictionary of small maps and vectors, which the shapes of its entries tell apart:

    - a ``uint8`` Box ``[rows, columns]`` holds class ids up to its ``high``;
    - a ``uint8`` Box ``[rows, columns, bytes]`` that is no image holds bits, in ``bitorder="little"``;
    - a Box ``[n]`` holds numbers up to its ``high``, counts if it is ``uint8``;
    - anything else is flattened.

    The first layer works cell by cell: a row of a table for each id and a linear map of the bits, summed. That is a 1x1
    convolution of the indicators without ever making them. Convolutions and the vectors follow, and a normalisation of all.

    :param observation_space: a Dict space with a map of class ids; all its maps have the same rows and columns
    :param channels: features of a cell after the first layer, then after each 3x3 convolution
    :param number_width: features that the counts of a vector are looked up as

    Example::

        >>> import numpy as np, torch as th
        >>> from gymnasium import spaces
        >>> board, held = spaces.Box(0, 5, (4, 6), np.uint8), spaces.Box(0, 9, (3,), np.uint8)
        >>> extractor = MapExtractor(spaces.Dict({"board": board, "held": held}), channels=(8, 16), number_width=10)
        >>> extractor.features_dim == 4 * 6 * 16 + 3 + 10
        True
        >>> extractor({"board": th.zeros(2, 4, 6), "held": th.zeros(2, 3)}).shape
        torch.Size([2, 397])
    """

    shifts: th.Tensor

    def __init__(self, observation_space: spaces.Dict, channels: Sequence[int] = (32, 16), number_width: int = 64) -> None:
        rows, columns = _checked_shape(observation_space, channels)
        parts = observation_space.spaces
        # Kept as lists beside their keys: a ModuleDict takes no key like "items".
        keys = {kind: [key for key, part in parts.items() if _kind(part) == kind] for kind in _KINDS}
        numbers = [_NumberFeatures(parts[key], number_width) for key in keys["numbers"]]  # type: ignore[arg-type]
        num_features = (
            rows * columns * channels[-1]
            + sum(module.num_features for module in numbers)
            + sum(get_flattened_obs_dim(parts[key]) for key in keys["flat"])
        )
        super().__init__(observation_space, num_features)
        self.keys = keys
        self.tables = nn.ModuleList(nn.Embedding(int(parts[key].high.max()) + 1, channels[0]) for key in keys["ids"])  # type: ignore[attr-defined]
        self.bit_layers = nn.ModuleList(
            nn.Linear(parts[key].shape[-1] * _BITS_PER_BYTE, channels[0], bias=False)  # type: ignore[index]
            for key in keys["bits"]
        )
        self.register_buffer("shifts", th.arange(_BITS_PER_BYTE, dtype=th.uint8), persistent=False)
        # As large as the rows of the tables: with PyTorch's default the bits drown among the ids and are learned late.
        for layer in self.bit_layers:
            nn.init.normal_(layer.weight)  # type: ignore[arg-type]
        self.convolutions = nn.Sequential()
        for fan_in, fan_out in pairwise(channels):
            self.convolutions.extend([nn.Conv2d(fan_in, fan_out, kernel_size=3, padding=1), nn.ReLU()])
        self.numbers = nn.ModuleList(numbers)
        self.norm = nn.LayerNorm(num_features)

    def forward(self, observations: TensorDict) -> th.Tensor:
        """
        :param observations: preprocessed by SB3, which makes floats of everything
        :return: features ``[batch, features_dim]``
        """
        ids, bits, numbers, flat = ([observations[key] for key in self.keys[kind]] for kind in _KINDS)
        cells = [table(part.long()) for table, part in zip(self.tables, ids, strict=True)]
        cells += [layer(self._unpacked(part)) for layer, part in zip(self.bit_layers, bits, strict=True)]
        # Channels stay last in memory, which is how convolutions on a CPU like them.
        maps = self.convolutions(sum(cells[1:], cells[0]).permute(0, 3, 1, 2))
        features = [maps.flatten(start_dim=1)]
        features += [module(part) for module, part in zip(self.numbers, numbers, strict=True)]
        features += [part.flatten(start_dim=1) for part in flat]
        return self.norm(th.cat(features, dim=1))

    def _unpacked(self, packed: th.Tensor) -> th.Tensor:
        bits = (packed.to(th.uint8).unsqueeze(-1) >> self.shifts) & 1
        return bits.flatten(start_dim=-2).float()


def _checked_shape(space: spaces.Space[Any], channels: Sequence[int]) -> tuple[int, int]:
    """The rows and columns of the maps; everything that would not do is refused."""
    if not has_maps(space):
        raise ValueError(
            f"expected a Dict observation space with a uint8 Box [rows, columns] of class ids, got {space}; "
            "use SB3's CombinedExtractor"
        )
    assert isinstance(space, spaces.Dict)
    images = [key for key, part in space.spaces.items() if is_image_space(part)]
    if images:
        raise ValueError(
            f"expected maps of ids, packed bits and vectors, got the images {images}; use SB3's CombinedExtractor"
        )
    shapes = {key: part.shape[:2] for key, part in space.spaces.items() if is_id_map(part) or is_bit_map(part)}  # type: ignore[index]
    if len(set(shapes.values())) > 1:
        raise ValueError(f"expected maps with the same rows and columns, got {shapes}; crop or pad them")
    if len(channels) == 0 or min(channels) < 1:
        raise ValueError(f"expected channels to be positive numbers, at least one, got {channels!r}")
    rows, columns = next(iter(shapes.values()))
    return rows, columns
