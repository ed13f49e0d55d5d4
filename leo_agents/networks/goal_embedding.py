"""Vectors of goals, computed from their descriptors."""

import math

import numpy as np
import torch as th
from torch import nn

from leo_wrappers.validation import check_integer

# Sines and cosines of the descriptors, with half a period, one and two periods over the range of the training.
FREQUENCIES = (0.5 * math.pi, math.pi, 2.0 * math.pi)


class GoalEmbedding(nn.Module):
    """
    A vector per goal: a network computes a part of it from the descriptor, to which goals of the training add an offset.

    With the network alone, goals interfere with each other and are learned much more slowly. Other goals get a mean of the
    offsets, weighted by the distances of the descriptors.

    :param descriptors: a vector per goal ``[num_goals, d]``
    :param outputs: length of the vectors
    :param hidden_dim: width of the network's hidden layer
    """

    descriptors: th.Tensor
    center: th.Tensor
    half_width: th.Tensor

    def __init__(self, descriptors: np.ndarray | th.Tensor, outputs: int, hidden_dim: int = 256) -> None:
        super().__init__()
        check_integer("hidden_dim", hidden_dim, 1)
        table = th.as_tensor(descriptors, dtype=th.float32)
        low, high = table.amin(dim=0), table.amax(dim=0)
        self.register_buffer("descriptors", table)
        self.register_buffer("center", (low + high) / 2.0)
        self.register_buffer("half_width", th.where(high > low, (high - low) / 2.0, 1.0))
        self.hidden = nn.Sequential(
            nn.Linear(table.shape[1] * (1 + 2 * len(FREQUENCIES)), hidden_dim), nn.LayerNorm(hidden_dim), nn.ReLU()
        )
        self.last = nn.Linear(hidden_dim, outputs)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.offsets = nn.Parameter(th.zeros(len(table), outputs))
        # An optimizer step changes each output by the sum of the changes of as many weights as there are hidden units: without
        # the scale, it would be tens of times as large as that of an offset.
        self.scale = 4.0 / hidden_dim

    def forward(self, goals: th.Tensor | None = None) -> th.Tensor:
        """
        Compute the vectors.

        :param goals: ids ``[k]`` or descriptors ``[k, d]`` of the goals; all goals of the training by default
        :return: ``[k, outputs]``
        """
        if goals is None:
            return self._from_descriptors(self.descriptors) + self.offsets
        if goals.is_floating_point():
            return self._from_descriptors(goals) + self.offsets_of(goals)
        return self._from_descriptors(self.descriptors.index_select(0, goals)) + self.offsets.index_select(0, goals)

    def offsets_of(self, descriptors: th.Tensor) -> th.Tensor:
        """
        Interpolate the offsets.

        :param descriptors: ``[k, d]``
        :return: ``[k, outputs]``; a goal's own offset for its descriptor
        """
        distances = th.cdist(
            self._position(descriptors), self._position(self.descriptors), compute_mode="donot_use_mm_for_euclid_dist"
        )
        # Shepard's weights, with a power at which the nearest goals count. The small number lets a goal of the training
        # outweigh all others at its own descriptor.
        weights = (distances.square() + 1e-8) ** -4
        return (weights / weights.sum(dim=1, keepdim=True)).to(self.offsets.dtype) @ self.offsets

    def _position(self, descriptors: th.Tensor) -> th.Tensor:
        """Return descriptors relative to the range of the training, from -1 to 1."""
        return (descriptors - self.center) / self.half_width

    def _from_descriptors(self, descriptors: th.Tensor) -> th.Tensor:
        position = self._position(descriptors)
        waves = [wave(frequency * position) for frequency in FREQUENCIES for wave in (th.sin, th.cos)]
        return self.scale * self.last(self.hidden(th.cat([position, *waves], dim=1)))  # type: ignore[no-any-return]
