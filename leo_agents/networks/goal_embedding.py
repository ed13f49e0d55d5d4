"""Vectors of goals, computed from their descriptors."""

import math

import numpy as np
import torch as th
from torch import nn

from leo_wrappers.validation import check_fraction, check_integer

# Sines and cosines of the descriptors, with half a period, one and two periods over the range of the training.
FREQUENCIES = (0.5 * math.pi, math.pi, 2.0 * math.pi)


class GoalEmbedding(nn.Module):
    """
    A vector per goal: a network computes it from the descriptor, and goals of the training add an offset of their own.

    With the network alone, goals interfere with each other and are learned much more slowly. With the offsets alone, there is
    nothing for other goals. In training, offsets are left out at random, so that the network learns to do without them.

    :param descriptors: a vector per goal ``[num_goals, d]``
    :param outputs: length of the vectors
    :param hidden_dim: width of the network's hidden layer
    :param offset_dropout: probability to leave out the offset of a goal in an update
    """

    descriptors: th.Tensor
    center: th.Tensor
    half_width: th.Tensor

    def __init__(
        self, descriptors: np.ndarray | th.Tensor, outputs: int, hidden_dim: int = 256, offset_dropout: float = 0.5
    ) -> None:
        super().__init__()
        check_integer("hidden_dim", hidden_dim, 1)
        check_fraction("offset_dropout", offset_dropout)
        self.offset_dropout = offset_dropout
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
        if goals is not None and goals.is_floating_point():
            return self._from_descriptors(goals) + self.offsets_of(goals)
        ids = th.arange(len(self.offsets), device=self.offsets.device) if goals is None else goals
        offsets = self.offsets.index_select(0, ids)
        if self.training and self.offset_dropout > 0.0:
            offsets = offsets * (th.rand(len(ids), 1, device=offsets.device) >= self.offset_dropout)
        return self._from_descriptors(self.descriptors.index_select(0, ids)) + offsets

    def offsets_of(self, descriptors: th.Tensor) -> th.Tensor:
        """
        Return the offsets of goals.

        :param descriptors: ``[k, d]``
        :return: ``[k, outputs]``, zero for goals that are not among those of the training
        """
        is_goal = (descriptors.unsqueeze(1) == self.descriptors).all(dim=2).to(self.offsets.dtype)
        # The mean, if goals of the training have equal descriptors.
        return is_goal @ self.offsets / is_goal.sum(dim=1, keepdim=True).clamp(min=1.0)

    def _from_descriptors(self, descriptors: th.Tensor) -> th.Tensor:
        position = (descriptors - self.center) / self.half_width
        waves = [wave(frequency * position) for frequency in FREQUENCIES for wave in (th.sin, th.cos)]
        return self.scale * self.last(self.hidden(th.cat([position, *waves], dim=1)))  # type: ignore[no-any-return]
