"""Find masks that are one step late where observations never repeat."""

from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from leo_wrappers.checks.errors import quote
from leo_wrappers.goal_set import BoolArray
from leo_wrappers.keys import GOAL_INPUT_KEYS

MAX_STEPS = 10_000
MAX_FEATURES = 256
# Contradictions of the current observations before there is a warning, and how many times more than of the previous ones.
MIN_CONTRADICTIONS = 10
MIN_RATIO = 10


class MaskDelayChecker:
    """
    Finds masks that fit the observations before the step better than those after it.

    Many goals are boxes in the observation: a cell, a threshold, or the complement of one. The bounding box of all
    observations that achieve such a goal contains no other observation. If this holds for each step's previous observation,
    but not for the returned one, the masks are probably one step late. Goals of other shapes give no evidence for either.

    :param space: the observation space
    :param names: the goal names
    """

    def __init__(self, space: gym.Space[Any], names: tuple[str, ...]) -> None:
        self.names = names
        inner = space.spaces if isinstance(space, spaces.Dict) else {"": space}
        boxes = {key: box for key, box in inner.items() if isinstance(box, spaces.Box) and key not in GOAL_INPUT_KEYS}
        self._is_dict = isinstance(space, spaces.Dict)
        self._keys = sorted(boxes) if sum(box.low.size for box in boxes.values()) <= MAX_FEATURES else []
        self._features: dict[int, npt.NDArray[np.float64]] = {}
        self._steps: dict[int, list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], BoolArray]]] = {}

    def record_reset(self, observation: Any, row: int = 0) -> None:
        """
        Record the first observation of an episode.

        :param observation: the observation
        :param row: the environment's number in a vector environment
        """
        if self._keys:
            parts = [observation[key] if self._is_dict else observation for key in self._keys]
            self._features[row] = np.concatenate([np.asarray(part, dtype=np.float64).ravel() for part in parts])

    def record_step(self, observation: Any, mask: BoolArray, row: int = 0) -> None:
        """
        Record a step.

        :param observation: the observation after it
        :param mask: the mask returned with the observation, bool ``[G]``
        :param row: the environment's number in a vector environment
        """
        if not self._keys:
            return
        previous = self._features[row]
        self.record_reset(observation, row)
        steps = self._steps.setdefault(row, [])
        if len(steps) < MAX_STEPS:
            steps.append((previous, self._features[row], mask.copy()))

    def warning(self) -> str | None:
        """Return a warning if the recorded masks are probably one step late."""
        steps = [step for row in self._steps.values() for step in row]
        if not steps:
            return None
        previous, current, masks = (np.array(part) for part in zip(*steps, strict=True))
        evidence = {name: _count_evidence(previous, current, mask) for name, mask in zip(self.names, masks.T, strict=True)}
        late, in_time = (sum(counts) for counts in zip(*evidence.values(), strict=True))
        if late < MIN_RATIO * in_time:
            # Correct goals hide that others are late: count only goals without evidence of the former.
            evidence = {name: counts for name, counts in evidence.items() if counts[1] == 0}
            late = max((counts[0] for counts in evidence.values()), default=0)
        if late < MIN_CONTRADICTIONS:
            return None
        goals = [name for name, counts in evidence.items() if counts[0] > 0]
        return (
            "Expected each mask to describe the state after its step, got masks that are probably one step late: they fit "
            f"the observations before the steps, but are contradicted by those after the steps ({late} times); compute "
            f"the mask after the step, or pass an oracle that confirms these masks. Goals concerned: {quote(goals)}."
        )


def _count_evidence(previous: npt.NDArray[np.float64], current: npt.NDArray[np.float64], mask: BoolArray) -> tuple[int, int]:
    """Count how often a goal's masks show that they are one step late, and that they are not."""
    late, in_time = 0, 0
    for achieved in (mask, ~mask):
        before, after = _count_contradictions(previous, achieved), _count_contradictions(current, achieved)
        late += after if before == 0 else 0
        in_time += before if after == 0 else 0
    return late, in_time


def _count_contradictions(features: npt.NDArray[np.float64], achieved: BoolArray) -> int:
    """Count how often the trajectory enters the bounding box of the achieving observations without achieving the goal."""
    if achieved.sum() < 2:
        return 0
    low, high = features[achieved].min(axis=0), features[achieved].max(axis=0)
    wrong = ((features >= low) & (features <= high)).all(axis=1) & ~achieved
    return int(wrong[0]) + int((wrong[1:] & ~wrong[:-1]).sum())
