"""The goals that an update learns, if goals are points."""

from typing import NamedTuple

import torch as th


class CandidateGoals(NamedTuple):
    """
    The goals of an update: some that all rows of the batch have in common, and some of each row's own.

    - ``shared``: points ``[S, d]``
    - ``own``: points ``[batch, k, d]``

    Outputs of networks for candidate goals have the columns of ``shared``, then those of ``own``: ``[batch, S + k]``.
    """

    shared: th.Tensor
    own: th.Tensor

    @classmethod
    def common(cls, points: th.Tensor, batch_size: int) -> "CandidateGoals":
        """Return candidates that are the same for every row, from points ``[S, d]``."""
        return cls(points, points.new_empty(batch_size, 0, points.shape[1]))

    @classmethod
    def one_per_row(cls, points: th.Tensor) -> "CandidateGoals":
        """Return candidates with one goal per row, from points ``[batch, d]``."""
        return cls(points[:0], points.unsqueeze(1))


Goals = th.Tensor | CandidateGoals | None
"""Goals to compute: ids of a finite goal set ``[K]``, None for all of them, or points."""
