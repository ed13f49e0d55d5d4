"""Checks of masks against observations, which find masks of another state than the observation's."""

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from leo_wrappers.checks.errors import RunPosition
from leo_wrappers.checks.results import ResetResult, StepResult
from leo_wrappers.goal_set import BoolArray
from leo_wrappers.keys import GOAL_INPUT_KEYS

# Bounds the memory of a checker that wraps an environment during training.
MAX_OBSERVATIONS = 100_000
# Fraction of masks that must be comparable with another mask of the same observation for the comparison to mean something.
MIN_COMPARED = 0.1
# Number of terminal masks that must equal the next reset's, without a counterexample, before there is a warning.
MIN_SUSPICIOUS = 3
# Number of masks within episodes, all with an achieved goal, that make an empty last mask suspicious.
MIN_WITHIN = 10
# Average number of steps of an episode above which masks that change at resets only are suspicious.
MIN_LENGTH = 3


def observation_key(space: gym.Space[Any], observation: Any) -> bytes:
    """
    Hash an observation, independently of whether its parts are int or np.int64, lists or arrays.

    The commanded goal is left out, because the mask must not depend on it.

    :param space: the observation space
    :param observation: an element of the space
    """
    digest = hashlib.blake2b(digest_size=16)
    _update_digest(digest, space, observation)
    return digest.digest()


def _update_digest(digest: "hashlib.blake2b", space: Any, value: Any) -> None:
    if isinstance(space, spaces.Dict) and isinstance(value, Mapping):
        for key in sorted(map(str, value)):
            if key not in GOAL_INPUT_KEYS:
                digest.update(key.encode())
                _update_digest(digest, space.spaces.get(key), value[key])
    elif isinstance(space, spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
        digest.update(np.asarray(value, dtype=space.dtype).tobytes())
    elif isinstance(value, np.ndarray) and value.dtype != object:
        digest.update(f"{value.dtype}{value.shape}".encode() + value.tobytes())
    elif isinstance(value, tuple | list):
        parts = space.spaces if isinstance(space, spaces.Tuple) else [None] * len(value)
        digest.update(f"{len(value)}".encode())
        for part, item in zip(parts, value, strict=False):
            _update_digest(digest, part, item)
    else:
        digest.update(repr(value).encode())


class _Record(NamedTuple):
    mask: BoolArray
    position: str
    is_first: bool
    is_last: bool
    goal: int | None


class MaskConsistencyChecker:
    """
    Remembers the mask of every observation, and raises if the same observation has two different masks.

    :param space: the observation space
    :param names: the goal names
    """

    def __init__(self, space: gym.Space[Any], names: tuple[str, ...]) -> None:
        self.space = space
        self.names = names
        self.num_masks = 0
        self.num_compared = 0
        """How many masks were compared with another one; not counting resets to the same state, which prove nothing."""
        self._records: dict[bytes, _Record] = {}

    def check(
        self, observation: Any, mask: BoolArray, position: RunPosition, *, is_last: bool = False, goal: int | None = None
    ) -> None:
        """
        Compare a mask with the one that was returned with the same observation before.

        :param observation: the observation
        :param mask: the mask returned with it, bool ``[G]``
        :param position: where in the run, for the error message
        :param is_last: whether the step ended the episode
        :param goal: the commanded goal, if there is one
        """
        key = observation_key(self.space, observation)
        record = _Record(mask.copy(), str(position), position.at_reset, is_last, goal)
        earlier = self._records.get(key)
        self.num_masks += 1
        self.num_compared += int(earlier is not None and not (earlier.is_first and record.is_first))
        if earlier is None:
            if len(self._records) < MAX_OBSERVATIONS:
                self._records[key] = record
        elif not np.array_equal(earlier.mask, mask):
            expected = f"the same mask as at {earlier.position}, where the observation was the same"
            raise position.mask_error(self.names, earlier.mask, mask, expected, self._remedy(earlier, record))

    def warning(self) -> str:
        """Return a warning about what was not checked: the order of the goals, or too few observations that repeat."""
        compared = f"{self.num_compared} of {self.num_masks} masks that could be compared with one of the same observation"
        remedy = "pass oracle=lambda observation, info: ... that computes the mask, or use MultiGoalWrapper, to check all"
        if self.num_compared >= MIN_COMPARED * self.num_masks:
            return (
                f"Expected a goal set that computes the masks again, got none, but {compared}: these cannot show whether the "
                f"masks have the order of goal_names; {remedy}."
            )
        return (
            f"Expected observations that repeat, got only {compared}, so that masks of another state, or in another order of "
            f"the goals, may be missed; {remedy}."
        )

    def _remedy(self, earlier: _Record, record: _Record) -> str:
        if earlier.goal != record.goal:
            goals = " and ".join(repr(self.names[one.goal]) for one in (earlier, record) if one.goal is not None)
            advice = f"make the mask independent of the commanded goal (here {goals})"
        elif earlier.is_last or record.is_last:
            advice = (
                "on the step that ends an episode, return the mask of the state that the last observation describes, "
                "not that of the next episode's first state"
            )
        else:
            advice = (
                "compute the mask from the state that the returned observation describes: after the step, before any reset"
            )
        return (
            f"{advice}; or pass observation_determines_mask=False if the goals depend on parts of the state that are not in "
            "the observation, or on the history of the episode"
        )


class EpisodeBoundaryChecker:
    """
    Finds first and last masks of episodes that are always empty, and last masks that always equal the next episode's first.

    Where these states never occur within an episode, no repeated observation can contradict such a mask. It may still be
    right, hence a warning and not an error.

    :param space: the observation space
    """

    def __init__(self, space: gym.Space[Any]) -> None:
        self.space = space
        self._masks = {"first": 0, "within": 0, "last": 0}
        self._empty_masks = {"first": 0, "within": 0, "last": 0}
        self._changed_within = False
        self._distinct_first: set[bytes] = set()
        self._suspicious = 0
        self._has_counterexample = False

    def record_mask(self, mask: BoolArray, before: BoolArray | None, kind: str) -> None:
        """
        Record a mask.

        :param mask: bool ``[G]``
        :param before: the mask before the step; None for resets
        :param kind: "first" for resets, "last" for terminated steps, "within" for others, including truncated steps
        """
        if before is None:
            self._distinct_first.add(mask.tobytes())
        elif not np.array_equal(before, mask):
            self._changed_within = True
        self._masks[kind] += 1
        self._empty_masks[kind] += int(not mask.any())

    def record_end(self, before: BoolArray, last: StepResult, first: ResetResult) -> None:
        """
        Record the end of an episode.

        :param before: the mask before the last step, bool ``[G]``
        :param last: the last step
        :param first: the reset that followed
        """
        if np.array_equal(before, last.mask) or not last.mask.any():
            return  # an unchanged or empty mask is no evidence for either state
        keys = [observation_key(self.space, result.observation) for result in (last, first)]
        if np.array_equal(last.mask, first.mask) and keys[0] != keys[1]:
            self._suspicious += 1
        else:
            self._has_counterexample = True

    def warning(self) -> str | None:
        """Return a warning if masks change at resets only, are empty there, or are those of the next reset at the end."""
        enough_steps = self._masks["within"] >= max(MIN_WITHIN, MIN_LENGTH * self._masks["first"])
        if len(self._distinct_first) > 1 and not self._changed_within and enough_steps:
            return (
                "Expected the mask of the state after each step, got the mask of the reset before them at all "
                f"{self._masks['within']} steps, although resets return different masks; test the goals at every step, or "
                "pass an oracle that confirms these masks."
            )
        if self._suspicious >= MIN_SUSPICIOUS and not self._has_counterexample:
            return (
                "Expected the last mask of an episode to describe its last state, got exactly the mask of the reset that "
                f"followed in all {self._suspicious} episodes that ended with a changed mask, although the observations "
                "differ; compute the last mask before any reset, or pass an oracle that confirms these masks."
            )
        for kind, call in (("last", "terminated step"), ("first", "reset")):
            number = self._masks[kind]
            all_empty = number >= MIN_SUSPICIOUS and self._empty_masks[kind] == number
            if all_empty and self._masks["within"] >= MIN_WITHIN and self._empty_masks["within"] == 0:
                return (
                    f"Expected the {kind} mask of an episode to describe its {kind} state, got an empty mask at every {call} "
                    f"({number}), but at none of {self._masks['within']} other steps; test the goals there too, or pass an "
                    "oracle that confirms these masks."
                )
        return None
