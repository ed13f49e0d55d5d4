"""The paper's way of choosing goals."""

import numpy as np

from leo_wrappers.goal_set import BoolArray
from leo_wrappers.selection import SeenGoals


class SeenPerRollout(SeenGoals):
    """
    Uniform over the goals that were seen before the current rollout, the current state's own ones included: as in the paper,
    what a rollout sees counts from its end on.

    Unlike the paper's it takes note of every state, terminal ones and the last one of a rollout too.
    """

    def __init__(self, *, seed: int | None = None) -> None:
        super().__init__(skip_achieved=False, seed=seed)
        self._pending: BoolArray | None = None

    def observe(self, achieved: BoolArray) -> None:
        """
        Takes note of which goals some states achieved, for later where some are known already.

        :param achieved: masks ``[..., G]``
        """
        if self._pending is None:
            self._pending = np.zeros(self.num_goals, dtype=bool)
        self._pending |= achieved.reshape(-1, self.num_goals).any(axis=0)
        if not self.seen.any():
            self.on_rollout_end()

    def on_rollout_end(self) -> None:
        """From now on, what was seen counts."""
        if self._pending is not None:
            self.seen |= self._pending
            self._pending = None
