"""The goal selector of the paper."""

import numpy as np

from leo_wrappers.goal_selector import SeenGoals
from leo_wrappers.goal_set import BoolArray


class SeenPerRollout(SeenGoals):
    """
    Select goals uniformly from those achieved before the current rollout, even if the current state achieves them.

    As in the paper, the goals achieved during a rollout are added at its end. Unlike the paper's implementation, terminal
    states and the last state of a rollout are included.

    :param seed: seed of the generator
    """

    def __init__(self, *, seed: int | None = None) -> None:
        super().__init__(skip_achieved=False, seed=seed)
        self._pending: BoolArray | None = None

    def observe(self, achieved: BoolArray) -> None:
        """
        Record achieved goals. They are selected from the next rollout on, or immediately if none was known before.

        :param achieved: masks of the achieved goals ``[..., G]``
        """
        if self._pending is None:
            self._pending = np.zeros(self.num_goals, dtype=bool)
        self._pending |= achieved.reshape(-1, self.num_goals).any(axis=0)
        if not self.seen.any():
            self.on_rollout_end()

    def on_rollout_end(self) -> None:
        """Add the goals recorded since the last call to the goals to select from."""
        if self._pending is not None:
            self.seen |= self._pending
            self._pending = None
