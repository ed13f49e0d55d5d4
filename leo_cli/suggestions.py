"""Errors for unknown names that suggest the nearest known ones."""

import difflib
from collections.abc import Iterable, Sequence

from leo_wrappers.goal_set import goal_index


def nearest(name: str, known: Iterable[str], limit: int = 3) -> list[str]:
    """
    Return the known names most similar to a given one, ignoring case.

    :param name: the name that was typed
    :param known: names to choose from
    :param limit: maximum number of suggestions
    :return: the most similar names, those that contain ``name`` first

    Example::

        >>> nearest("leodnq", ["leodqn", "dqn", "sac"])
        ['leodqn']
    """
    by_lower: dict[str, str] = {}
    for candidate in known:
        by_lower.setdefault(candidate.lower(), candidate)
    wanted = name.lower()
    containing = sorted((lower for lower in by_lower if wanted and wanted in lower), key=len)
    similar = difflib.get_close_matches(wanted, list(by_lower), n=limit, cutoff=0.5)
    return [by_lower[lower] for lower in dict.fromkeys([*containing, *similar])][:limit]


def unknown(kind: str, name: str, known: Iterable[str], suggestions: Sequence[str] = ()) -> ValueError:
    """
    Create the error for an unknown name.

    :param kind: what was expected, such as "an algorithm"
    :param name: the name that was typed
    :param known: valid names
    :param suggestions: names to suggest instead of the most similar ones
    :return: the error to raise
    """
    known = list(known)
    near = suggestions or nearest(name, known)
    hint = f"nearest: {', '.join(near)}" if near else f"choose from: {', '.join(known[:12])}" + (", ..." if known[12:] else "")
    return ValueError(f"expected {kind}, got {name!r}; {hint}")


def find_goal(names: Sequence[str], goal: str) -> str:
    """
    Resolve a goal given on the command line.

    :param names: names of all goals
    :param goal: a goal's name or id
    :return: the goal's name

    Example::

        >>> find_goal(("tools/bow", "tools/sword"), "1")
        'tools/sword'
    """
    return names[goal_index(names, int(goal) if goal.isdigit() and goal not in names else goal)]
