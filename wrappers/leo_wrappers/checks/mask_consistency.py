"""Which mask came with which observation: how a mask of another state than the observation's is found out."""

import hashlib
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from leo_wrappers.checks.errors import Clock, quote, select_names
from leo_wrappers.goal_set import BoolArray
from leo_wrappers.keys import GOAL_INPUT_KEYS

# How an observation shows the commanded goal.
# The table stops growing here, so that a checker may stay around an environment for a whole training run.
LIMIT = 100_000
# A mask that equals the next reset's this often, and never differs from it, is no coincidence any more.
SUSPICIOUS = 3


def fingerprint(space: gym.Space[Any], observation: Any) -> bytes:
    """
    A short key for an observation, the same whichever of the equal forms (int or np.int64, list or array) it comes in.

    The commanded goal is left out: it is the one part of an observation that the mask must not depend on.

    :param space: the observation space
    :param observation: an element of it
    """
    digest = hashlib.blake2b(digest_size=16)
    _feed(digest, space, observation)
    return digest.digest()


def _feed(digest: "hashlib.blake2b", space: Any, value: Any) -> None:
    if isinstance(space, spaces.Dict) and isinstance(value, Mapping):
        for key in sorted(map(str, value)):
            if key not in GOAL_INPUT_KEYS:
                digest.update(key.encode())
                _feed(digest, space.spaces.get(key), value[key])
    elif isinstance(space, spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
        digest.update(np.asarray(value, dtype=space.dtype).tobytes())
    elif isinstance(value, np.ndarray) and value.dtype != object:
        digest.update(f"{value.dtype}{value.shape}".encode() + value.tobytes())
    elif isinstance(value, tuple | list):
        parts = space.spaces if isinstance(space, spaces.Tuple) else [None] * len(value)
        digest.update(f"{len(value)}".encode())
        for part, item in zip(parts, value, strict=False):
            _feed(digest, part, item)
    else:
        digest.update(repr(value).encode())


class _Sighting(NamedTuple):
    mask: BoolArray
    moment: str
    is_end: bool
    goal: int | None


class ObservationTable:
    """
    Remembers the mask that came with every observation, and refuses a second, different one.

    :param space: the observation space
    :param names: the goal names
    """

    def __init__(self, space: gym.Space[Any], names: tuple[str, ...]) -> None:
        self.space = space
        self.names = names
        self._seen: dict[bytes, _Sighting] = {}

    def judge(self, observation: Any, mask: BoolArray, clock: Clock, *, is_end: bool = False, goal: int | None = None) -> None:
        """
        Compares a mask with the one that the same observation came with before.

        :param observation: what was returned
        :param mask: bool ``[G]``
        :param clock: when it came
        :param is_end: whether the step ended the episode
        :param goal: the commanded goal, where there is one
        """
        key = fingerprint(self.space, observation)
        now = _Sighting(mask.copy(), str(clock), is_end, goal)
        before = self._seen.get(key)
        if before is None:
            if len(self._seen) < LIMIT:
                self._seen[key] = now
        elif not np.array_equal(before.mask, mask):
            raise clock.error(
                f"the mask that the same observation came with at {before.moment} "
                f"(achieved: {quote(select_names(self.names, before.mask))})",
                f"another one (achieved: {quote(select_names(self.names, mask))})",
                self._remedy(before, now),
                select_names(self.names, before.mask != mask),
            )

    def _remedy(self, before: _Sighting, now: _Sighting) -> str:
        if before.goal != now.goal:
            commanded = " and ".join(repr(self.names[sight.goal]) for sight in (before, now) if sight.goal is not None)
            advice = f"make the mask independent of the commanded goal (here {commanded})"
        elif before.is_end or now.is_end:
            advice = (
                "on the step that ends an episode, return the mask of the state that the last observation describes, "
                "not that of the next episode's first state"
            )
        else:
            advice = (
                "compute the mask from the state that the returned observation describes: after the step, before any reset"
            )
        return (
            f"{advice}; or pass observation_determines_mask=False if the goals are about something that the observation does "
            "not show, or about what happened on the way"
        )


class EndWatch:
    """
    Watches for masks that always are the next episode's first mask when an episode ends.

    Where every episode begins in the same state and the last state is never seen in mid-episode, no observation contradicts
    such a mask. It is then only suspicious, so this ends in a warning, not in an error.

    :param space: the observation space
    """

    def __init__(self, space: gym.Space[Any]) -> None:
        self.space = space
        self._suspicious = 0
        self._cleared = 0

    def note(self, before: BoolArray, end: tuple[Any, BoolArray], first: tuple[Any, BoolArray]) -> None:
        """
        Records the end of an episode.

        :param before: the mask one step before the end
        :param end: observation and mask of the last step
        :param first: observation and mask of the reset that followed
        """
        if np.array_equal(before, end[1]) or not end[1].any():
            return  # nothing changed at the end, or nothing is achieved: says nothing about whose mask it is
        if np.array_equal(end[1], first[1]) and fingerprint(self.space, end[0]) != fingerprint(self.space, first[0]):
            self._suspicious += 1
        else:
            self._cleared += 1

    def warn(self) -> None:
        """Warns if every end looked like the reset after it."""
        if self._suspicious >= SUSPICIOUS and not self._cleared:
            warnings.warn(
                f"All {self._suspicious} episodes that ended with a new mask ended with exactly the mask of the reset that "
                "followed, although the observations differ. Check that the last step's mask is computed before any reset; "
                "pass an oracle to have it checked, or ignore this if the goals really are so.",
                UserWarning,
                stacklevel=3,
            )
