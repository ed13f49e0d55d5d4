"""Selection of goals by patterns of their names."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from leo_wrappers.validation import check_iterable


def matching_names(names: Sequence[str], patterns: Iterable[str]) -> list[str]:
    """
    Return the names that match one of the patterns.

    :param names: names of goals
    :param patterns: names, or patterns with the wildcards of ``fnmatch``, such as "cell/*" or "*/yellow key"
    :return: the matching names, in the order of ``names``

    Example::

        >>> matching_names(["cell/0", "item/key", "cell/1"], ["cell/*"])
        ['cell/0', 'cell/1']
    """
    check_iterable("patterns of goals", patterns)
    found: set[str] = set()
    for pattern in patterns:
        matches = [name for name in names if isinstance(pattern, str) and fnmatchcase(name, pattern)]
        if not matches:
            raise ValueError(
                f"expected a name of a goal, or a pattern such as 'cell/*', got {pattern!r}; nothing in goal_names matches it"
            )
        found.update(matches)
    return [name for name in names if name in found]
