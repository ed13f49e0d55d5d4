"""Instructions as text: one per goal, the goal of a mission, and descriptors of texts."""

import re
import zlib
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from leo_envs.minigrid.observations import COLORS, TYPES

_VERBS = {"facing": "go to", "carrying": "pick up", "open": "open"}
_FAMILIES = {verb: family for family, verb in _VERBS.items()}
_OBJECT = re.compile(rf"(go to|pick up|open) (?:the|an?) (?:({'|'.join(COLORS)}) )?({'|'.join((*TYPES, 'object'))})")
_SQUARE = re.compile(r"(?:.* and (?:then )?|traverse the rooms to )?(?:get to|reach|go to) the (?:green )?goal(?: square)?")
_FETCH = re.compile(r"(?:you must |go )?(?:get|fetch) (?=an? )")
_CELL = re.compile(r"go to row (\d+), column (\d+)")


def instruction_of(goal_name: str) -> str:
    """
    Return the instruction of a goal.

    :param goal_name: name of a goal of :class:`~leo_envs.minigrid.MiniGridGoals`
    :return: the text

    Example::

        >>> [instruction_of(name) for name in ("carrying/blue key", "facing/red", "cell/3,4")]
        ['pick up the blue key', 'go to a red object', 'go to row 3, column 4']
    """
    family, detail = goal_name.split("/")
    if family == "cell":
        return "go to row {}, column {}".format(*detail.split(","))
    if family == "at":
        return "go to the goal square"
    return f"{_VERBS[family]} {'the' if ' ' in detail else 'a'} {detail}{' object' if detail in COLORS else ''}"


def goal_name_of(instruction: str) -> str | None:
    """
    Return the name of the goal that an instruction asks for.

    :param instruction: an instruction of a goal, or a mission of MiniGrid or BabyAI
    :return: the name; None for any other text, such as a sequence or an object's position

    Example::

        >>> [goal_name_of(text) for text in ("open a yellow door", "get to the green goal square", "go to a box on your left")]
        ['open/yellow door', 'at/goal', None]
    """
    if match := _CELL.fullmatch(instruction):
        return "cell/{},{}".format(*match.groups())
    if _SQUARE.fullmatch(instruction):
        return "at/goal"
    match = _OBJECT.fullmatch(_FETCH.sub("pick up ", instruction))
    if match is None:
        return None
    verb, color, kind = match.groups()
    return f"{_FAMILIES[verb]}/{' '.join(part for part in (color, kind) if part and part != 'object')}"


def instruction_descriptors(texts: Iterable[str], size: int = 128) -> npt.NDArray[np.float32]:
    """
    Describe texts by their words: the sum of one fixed random vector per word and per pair of neighboring words, so that
    texts with common words are similar and any text has a descriptor.

    :param texts: the texts
    :param size: number of entries of a descriptor
    :return: vectors of length 1 (0 for a text without words), float32 ``[len(texts), size]``

    Example::

        >>> known, unseen, other = instruction_descriptors(["go to the red ball", "go to the red box", "open a door"])
        >>> bool(known @ unseen > known @ other)
        True
    """
    rows = np.zeros((0, size))
    for text in texts:
        words = re.findall(r"\w+", text.lower())
        parts = [*words, *map(" ".join, pairwise(words))]
        vectors = [np.random.default_rng(zlib.crc32(part.encode())).standard_normal(size) for part in parts]
        rows = np.vstack([rows, np.sum(vectors, axis=0) if vectors else np.zeros(size)])
    return (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)).astype(np.float32)
