"""The judge of one mask after another: there, bool, of the right shape, and never handed out twice."""

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from leo_wrappers.checks.errors import Clock, quote, select_names
from leo_wrappers.goal_set import BoolArray

# How many earlier masks a new one is compared with: enough to catch any ring of buffers that an env would plausibly use.
WINDOW = 8


class MaskJudge:
    """
    Judges the masks of one environment, or the ``[N, G]`` masks of a vector environment, in the order they come.

    :param names: the goal names
    :param lead: the shape before the goals: () for one environment, (N,) for a vector environment
    :param key: where in an info the mask is
    """

    def __init__(self, names: tuple[str, ...], lead: tuple[int, ...] = (), key: str = "goals_achieved") -> None:
        self.names = names
        self.shape = (*lead, len(names))
        self.key = key
        self._handed_out: deque[tuple[BoolArray, BoolArray, str]] = deque(maxlen=WINDOW)

    def judge(self, info: Any, clock: Clock, source: str = "info") -> BoolArray:
        """
        The mask in an info, after everything about it has been checked.

        :param info: the info of a reset or a step
        :param clock: when it came, for the error message
        :param source: what the info is called there
        """
        where = f'{source}["{self.key}"]'
        if not isinstance(info, Mapping):
            raise clock.error(f"{source} to be a dict", f"a {type(info).__name__}", "return a dict as the last value")
        if self.key not in info:
            raise clock.error(
                f"{where} at every reset and every step, the last one of an episode included",
                f"only the keys {sorted(map(str, info))}" if info else "no keys at all",
                "put the mask into the info on every return path, or wrap the environment with MultiGoalWrapper",
                self.names,
            )
        mask = self._check_type(info[self.key], where, clock)
        self._check_fresh(mask, where, clock)
        return mask

    @property
    def latest(self) -> BoolArray:
        """The mask judged last."""
        return self._handed_out[-1][0]

    def _check_type(self, mask: Any, where: str, clock: Clock) -> BoolArray:
        if not isinstance(mask, np.ndarray):
            raise clock.error(
                f"{where} to be a numpy.ndarray", f"a {type(mask).__name__}", "return np.asarray(mask, dtype=bool)", self.names
            )
        if mask.dtype != np.bool_:
            raise clock.error(f"{where} of dtype bool", f"dtype {mask.dtype}", "return mask.astype(bool)", self.names)
        if mask.shape != self.shape:
            raise clock.error(
                f"{where} of shape {self.shape}, a value for each of the {len(self.names)} goal_names",
                f"shape {mask.shape}",
                "return one bool a goal, in the order of goal_names",
                self.names,
            )
        return mask

    def _check_fresh(self, mask: BoolArray, where: str, clock: Clock) -> None:
        for earlier, copy, moment in self._handed_out:
            changed = (earlier != copy).reshape(-1, len(self.names)).any(axis=0)
            if np.shares_memory(mask, earlier):
                effect = (
                    f", whose values for {quote(select_names(self.names, changed))} it has overwritten"
                    if changed.any()
                    else ""
                )
                raise clock.error(
                    f"{where} to be a fresh array",
                    f"memory that it shares with the mask of {moment}{effect}",
                    "return a new array each time, such as mask.copy(), because callers keep what they are given",
                    select_names(self.names, changed),
                )
            if changed.any():
                raise clock.error(
                    f"the mask of {moment} to stay what it was",
                    f"other values for {quote(select_names(self.names, changed))}",
                    "never write into a mask that was handed out: return a new array, such as mask.copy()",
                    select_names(self.names, changed),
                )
        self._handed_out.append((mask, mask.copy(), str(clock)))
