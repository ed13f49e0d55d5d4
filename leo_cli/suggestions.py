"""Names that people type: the error for an unknown one suggests the nearest."""

import difflib
from collections.abc import Iterable, Sequence

from leo_wrappers.goal_set import goal_index


def nearest(name: str, known: Iterable[str], limit: int = 3) -> list[str]:
    """
    :param name: what was typed
    :param known: what there is
    :param limit: the most to suggest
    :return: the names most like it, letters' case aside; those that contain it first

    Example::

        >>> nearest("leodnq", ["leodqn", "dqn", "sac"])
        ['leodqn']
    """
    by_lower: dict[str, str] = {}
    for one in known:
        by_lower.setdefault(one.lower(), one)
    wanted = name.lower()
    inside = sorted((lower for lower in by_lower if wanted and wanted in lower), key=len)
    alike = difflib.get_close_matches(wanted, list(by_lower), n=limit, cutoff=0.5)
    return [by_lower[lower] for lower in dict.fromkeys([*inside, *alike])][:limit]


def unknown(what: str, name: str, known: Iterable[str], near: Sequence[str] = ()) -> ValueError:
    """
    :param what: the kind of thing, as in "an algorithm"
    :param name: what was typed
    :param known: what there is
    :param near: what to suggest, where that is known better than by the letters
    :return: the error, to be raised
    """
    known = list(known)
    near = near or nearest(name, known)
    hint = f"nearest: {', '.join(near)}" if near else f"there are: {', '.join(known[:12])}" + (", ..." if known[12:] else "")
    return ValueError(f"expected {what}, got {name!r}; {hint}")


def goal_named(names: Sequence[str], goal: str) -> str:
    """
    :param names: all goals
    :param goal: what was typed, a name or a number
    :return: the goal's name; an error suggests the nearest

    Example::

        >>> goal_named(("tools/bow", "tools/sword"), "1")
        'tools/sword'
    """
    return names[goal_index(names, int(goal) if goal.isdigit() and goal not in names else goal)]
