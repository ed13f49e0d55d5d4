"""Arguments that the checkers share."""

from typing import Any

from leo_wrappers.validation import check_bool, check_callable, check_integer


def check_checker_arguments(
    *, oracle: Any, env_fn: Any = None, steps: Any = 1, seed: Any = 0, max_examples: Any = 1, **flags: Any
) -> None:
    """
    Raise an error for an invalid argument of a checker.

    :param oracle: a function or None
    :param env_fn: a function or None
    :param steps: number of steps
    :param seed: a seed
    :param max_examples: number of runs
    :param flags: arguments that are True or False
    """
    for name, function in (("oracle", oracle), ("env_fn", env_fn)):
        if function is not None:
            check_callable(name, function)
    check_integer("steps", steps, 1)
    check_integer("seed", seed, 0)
    check_integer("max_examples", max_examples, 1)
    for name, value in flags.items():
        check_bool(name, value)
