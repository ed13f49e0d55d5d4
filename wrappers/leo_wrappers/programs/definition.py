"""
What programs mean.

A program runs on a trace, the masks of the states after each step of an episode; as everywhere in this library, the initial
state is not part of it. A program is *complete* in the first state that fulfills it:

- a condition, such as ``goal("a")``, or a and b (``a & b``), a or b (``a | b``), a without b (``a - b``): in the first state
  that satisfies it;
- ``first >> second``: when ``second`` is complete, which starts in the state *after* the one that completed ``first``: a
  state that satisfies both conditions of ``a >> b`` counts for ``a`` alone;
- ``one | other``: when either is complete;
- ``one + other``: when both are complete, in any order or together; both start together;
- ``program & ~avoided``: when ``program`` is complete, unless ``avoided`` is complete by then, in this state or before. So
  ``~a & b`` avoids a until b, ``(~a & b) >> c`` allows a again after b, and ``~a & (b >> c)`` never allows it;
- ``repeat(program, times)``: ``program >> program >> ...``.

:func:`first_completion` is this definition as a function.
"""

from collections.abc import Sequence

import numpy as np

from leo_wrappers.goal_set import BoolArray, check_goal_names
from leo_wrappers.programs.expressions import Both, Except, Goals, Or, Program, Repeat, Then, as_program
from leo_wrappers.validation import check_integer, shorten


def first_completion(program: Program, masks: BoolArray, goal_names: Sequence[str], start: int = 0) -> int | None:
    """
    Find the first state of a trace in which a program is complete.

    :param program: the program
    :param masks: the masks of the states after each step, bool ``[T, G]``
    :param goal_names: the names of all goals, in order
    :param start: the state in which the program starts
    :return: number of the state, None if the program is not complete in this trace

    Example::

        >>> import numpy as np
        >>> from leo_wrappers.programs import goal
        >>> masks = np.array([[True, True], [False, False], [False, True]])
        >>> first_completion(goal("a") >> goal("b"), masks, ("a", "b"))
        2
    """
    as_program(program, "as the first argument")
    names = check_goal_names(goal_names)
    check_integer("start", start, 0)
    if not isinstance(masks, np.ndarray) or masks.dtype != np.bool_ or masks.ndim != 2 or masks.shape[1] != len(names):
        raise ValueError(
            f"expected masks to be a bool array of shape (T, {len(names)}), got {shorten(masks)}; stack those of the steps"
        )
    return _completion(program, masks, names, start)


def _completion(program: Program, masks: BoolArray, goal_names: Sequence[str], start: int) -> int | None:
    if program.is_condition:
        return next((t for t in range(start, len(masks)) if _holds(program, masks[t], goal_names)), None)
    if isinstance(program, Repeat):
        end: int | None = start - 1
        for _ in range(program.times):
            end = None if end is None else _completion(program.program, masks, goal_names, end + 1)
        return end
    one, other = (_completion(part, masks, goal_names, start) for part in program.parts)
    match program:
        case Then():
            return None if one is None else _completion(program.other, masks, goal_names, one + 1)
        case Or():
            return min((end for end in (one, other) if end is not None), default=None)
        case Both():
            return None if one is None or other is None else max(one, other)
        case _:  # Avoiding
            return None if one is None or (other is not None and other <= one) else one


def _holds(condition: Program, mask: BoolArray, goal_names: Sequence[str]) -> bool:
    if isinstance(condition, Goals):
        return bool(np.any(mask[condition.ids(goal_names)]))
    one, other = (_holds(part, mask, goal_names) for part in condition.parts)
    if isinstance(condition, Except):
        return one and not other
    return (one or other) if isinstance(condition, Or) else (one and other)
