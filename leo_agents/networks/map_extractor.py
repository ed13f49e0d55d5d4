"""Features extractor for Dict observations with grid maps of class ids and packed bits, and with vectors."""

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

from leo_agents.networks.device import is_asynchronous

_BITS_PER_BYTE = 8
_KINDS = ("ids", "bits", "numbers", "flat")


def _is_bytes(space: spaces.Space[Any]) -> bool:
    return isinstance(space, spaces.Box) and space.dtype == np.uint8


def is_id_map(space: spaces.Space[Any]) -> bool:
    """
    Check whether a space is a map of class ids: a ``uint8`` Box ``[rows, columns]``.

    :param space: an entry of a Dict observation space
    :return: whether it is one
    """
    return _is_bytes(space) and len(space.shape or ()) == 2


def is_bit_map(space: spaces.Space[Any]) -> bool:
    """
    Check whether a space is a map of packed bits: a ``uint8`` Box ``[rows, columns, bytes]`` that is not an image.

    :param space: an entry of a Dict observation space
    :return: whether it is one
    """
    return _is_bytes(space) and len(space.shape or ()) == 3 and not is_image_space(space)


def _kind(space: spaces.Space[Any]) -> str:
    """Return how :class:`MapExtractor` reads an entry of the observation."""
    if is_id_map(space):
        return "ids"
    if is_bit_map(space):
        return "bits"
    return "numbers" if isinstance(space, spaces.Box) and len(space.shape) == 1 else "flat"


def has_maps(space: spaces.Space[Any]) -> bool:
    """
    Check whether an observation space is a Dict with at least one map of class ids.

    :param space: an observation space
    :return: whether it is one
    """
    return isinstance(space, spaces.Dict) and any(is_id_map(part) for part in space.spaces.values())


class _NumberFeatures(nn.Module):
    """
    Features of a vector: its entries scaled by their bounds and, for counts (``uint8``), an embedding of their exact values.

    The sum of the embeddings equals a linear layer on the one-hot encodings of all counts.
    """

    scale: th.Tensor
    high: th.Tensor
    first_rows: th.Tensor

    def __init__(self, space: spaces.Box, width: int) -> None:
        super().__init__()
        high = space.high.astype(np.float32)
        # Unbounded entries are not scaled.
        self.register_buffer("scale", th.as_tensor(np.where(np.isfinite(high) & (high > 0), high, np.float32(1))))
        self.table: nn.EmbeddingBag | None = None
        self.num_features = len(high)
        if _is_bytes(space):
            counts = space.high.astype(np.int64) + 1
            self.register_buffer("high", th.as_tensor(counts - 1))
            self.register_buffer("first_rows", th.as_tensor(np.cumsum(counts) - counts))
            self.table = nn.EmbeddingBag(int(counts.sum()), width, mode="sum")
            # Unit variance of the sum, which is PyTorch's default for a single embedding.
            nn.init.normal_(self.table.weight, std=len(high) ** -0.5)
            self.num_features += width

    def forward(self, numbers: th.Tensor) -> th.Tensor:
        scaled = numbers / self.scale
        if self.table is None:
            return scaled
        # Clamp counts above their bound: the rows after it belong to the next entry.
        rows = th.minimum(numbers.long(), self.high) + self.first_rows
        if not is_asynchronous(rows.device):
            return th.cat([scaled, self.table(rows)], dim=1)
        # As in _embed; the rows of an observation differ.
        weight = self.table.weight
        encoded = weight.new_zeros(len(rows), len(weight)).scatter_(1, rows, 1.0)
        return th.cat([scaled, encoded @ weight], dim=1)


class MapExtractor(BaseFeaturesExtractor):
    """
    Features extractor for a Dict of grid maps and vectors. Each entry is read according to its space:

    - ``uint8`` Box ``[rows, columns]``: class ids up to its ``high``
    - ``uint8`` Box ``[rows, columns, bytes]`` that is not an image: bits, packed with ``bitorder="little"``
    - Box ``[n]``: numbers up to its ``high``, counts if it is ``uint8``
    - anything else is flattened

    The first layer sums an embedding of each id and a linear map of the bits, cell by cell. This equals a 1x1 convolution of
    one-hot maps without materializing them. 3x3 convolutions follow; layer normalization is applied to the concatenation of
    map and vector features.

    :param observation_space: a Dict space with a map of class ids; all its maps have the same rows and columns
    :param channels: channels after the first layer and after each 3x3 convolution
    :param number_width: embedding dimension of the counts of a vector

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
        rows, columns = _check_space(observation_space, channels)
        parts = observation_space.spaces
        # Module lists parallel to lists of keys: a ModuleDict does not accept keys like "items".
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
        # The scale of the embeddings: with PyTorch's default the bits are dominated by the ids and learned late.
        for layer in self.bit_layers:
            nn.init.normal_(layer.weight)  # type: ignore[arg-type]
        self.convolutions = nn.Sequential()
        for fan_in, fan_out in pairwise(channels):
            self.convolutions.extend([nn.Conv2d(fan_in, fan_out, kernel_size=3, padding=1), nn.ReLU()])
        self.numbers = nn.ModuleList(numbers)
        self.norm = nn.LayerNorm(num_features)

    def forward(self, observations: TensorDict) -> th.Tensor:
        """
        Extract the features.

        :param observations: observations preprocessed by SB3, as floats
        :return: features ``[batch, features_dim]``
        """
        ids, bits, numbers, flat = ([observations[key] for key in self.keys[kind]] for kind in _KINDS)
        cells = [_embed(table, part.long()) for table, part in zip(self.tables, ids, strict=True)]
        cells += [layer(self._unpack(part)) for layer, part in zip(self.bit_layers, bits, strict=True)]
        # This permuted view has the channels-last memory format, which is fast for convolutions on CPU.
        maps = self.convolutions(sum(cells[1:], cells[0]).permute(0, 3, 1, 2))
        features = [maps.flatten(start_dim=1)]
        features += [module(part) for module, part in zip(self.numbers, numbers, strict=True)]
        features += [part.flatten(start_dim=1) for part in flat]
        return self.norm(th.cat(features, dim=1))

    def _unpack(self, packed: th.Tensor) -> th.Tensor:
        bits = (packed.to(th.uint8).unsqueeze(-1) >> self.shifts) & 1
        return bits.flatten(start_dim=-2).float()


def _embed(table: Any, ids: th.Tensor) -> th.Tensor:
    """
    Look up embeddings.

    With CUDA, they are the product of one-hot encodings and the table: the gradient of a lookup would sort the ids, in many
    small operations.

    :param table: an ``nn.Embedding``
    :param ids: any shape
    :return: embeddings, in the last dimension
    """
    if not is_asynchronous(ids.device):
        return table(ids)  # type: ignore[no-any-return]
    weight: th.Tensor = table.weight
    return (ids.unsqueeze(-1) == th.arange(len(weight), device=ids.device)).to(weight.dtype) @ weight


def _check_space(space: spaces.Space[Any], channels: Sequence[int]) -> tuple[int, int]:
    """Validate the arguments of :class:`MapExtractor` and return the rows and columns of the maps."""
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
        raise ValueError(f"expected channels to be positive numbers, at least one, got {channels!r}; use e.g. (32, 16)")
    rows, columns = next(iter(shapes.values()))
    return rows, columns
