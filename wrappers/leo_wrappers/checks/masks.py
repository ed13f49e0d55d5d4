"""Checks of a sequence of masks: present, bool, of the right shape, and a fresh array each time."""

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from leo_wrappers.checks.errors import RunPosition, quote, select_names
from leo_wrappers.goal_set import BoolArray
from leo_wrappers.keys import MASK_KEY

# Number of earlier masks that each mask is compared with: enough to detect any plausible ring of buffers.
NUM_REMEMBERED = 8


class MaskChecker:
    """
    Checks the masks of one environment, or the batched masks of a vector environment, in the order they are returned.

    :param names: the goal names
    :param batch_shape: () for one environment, (N,) for a vector environment
    """

    def __init__(self, names: tuple[str, ...], batch_shape: tuple[int, ...] = ()) -> None:
        self.names = names
        self.shape = (*batch_shape, len(names))
        self._remembered: deque[tuple[BoolArray, BoolArray, str]] = deque(maxlen=NUM_REMEMBERED)

    def check(self, info: Any, position: RunPosition, source: str = "info") -> BoolArray:
        """
        Check the mask in an info and return it.

        :param info: the info of a reset or a step
        :param position: where in the run, for the error message
        :param source: what the info is called in the error message
        :return: bool, ``[G]`` or ``[N, G]``
        """
        name = f'{source}["{MASK_KEY}"]'
        if not isinstance(info, Mapping):
            raise position.error(f"{source} to be a dict", f"a {type(info).__name__}", "return a dict as the last value")
        if MASK_KEY not in info:
            raise position.error(
                f"{name} at every reset and every step, including the last step of an episode",
                f"only the keys {sorted(map(str, info))}" if info else "no keys at all",
                "add the mask to the info on every return path, or wrap the environment with MultiGoalWrapper",
                self.names,
            )
        mask = self._check_type(info[MASK_KEY], name, position)
        self._check_fresh(mask, name, position)
        return mask

    @property
    def latest(self) -> BoolArray:
        """The mask that was checked last."""
        return self._remembered[-1][0]

    def _check_type(self, mask: Any, name: str, position: RunPosition) -> BoolArray:
        if type(mask) is not np.ndarray:  # masked arrays and other subclasses compare and copy in their own ways
            raise position.error(
                f"{name} to be a numpy.ndarray", f"a {type(mask).__name__}", "return np.asarray(mask, dtype=bool)", self.names
            )
        if mask.dtype != np.bool_:
            raise position.error(f"{name} of dtype bool", f"dtype {mask.dtype}", "return mask.astype(bool)", self.names)
        if mask.shape != self.shape:
            raise position.error(
                f"{name} of shape {self.shape}, one value for each of the {len(self.names)} goal_names",
                f"shape {mask.shape}",
                "return one bool per goal, in the order of goal_names",
                self.names,
            )
        return mask

    def _check_fresh(self, mask: BoolArray, name: str, position: RunPosition) -> None:
        for earlier, copy, moment in self._remembered:
            changed = select_names(self.names, (earlier != copy).reshape(-1, len(self.names)).any(axis=0))
            if np.shares_memory(mask, earlier):
                effect = f", whose values for {quote(changed)} were overwritten" if changed else ""
                raise position.error(
                    f"{name} to be a fresh array",
                    f"memory that it shares with the mask of {moment}{effect}",
                    "return a new array each time, such as mask.copy(), because callers keep the masks they receive",
                    changed,
                )
            if changed:
                raise position.error(
                    f"the mask of {moment} to stay unchanged",
                    f"other values for {quote(changed)}",
                    "never write into a mask that was returned: return a new array, such as mask.copy()",
                    changed,
                )
        self._remembered.append((mask, mask.copy(), str(position)))
