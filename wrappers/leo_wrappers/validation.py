"""Validation of user input. Error messages state what was expected, what was passed and what to do."""

import operator
import os
from collections.abc import Iterable, Sequence
from math import inf, isfinite, prod
from typing import Any, SupportsIndex

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from leo_wrappers.memory import total_memory


def check_action(action: SupportsIndex, num_actions: int) -> int:
    """
    Validate a discrete action: an integer in range.

    :param action: the action passed to ``step``
    :param num_actions: number of actions
    :return: the action as an int
    """
    try:
        number = operator.index(action)
    except TypeError:
        raise ValueError(
            f"expected an integer action from 0 to {num_actions - 1}, got {action!r}; pass an element of action_space"
        ) from None
    if not 0 <= number < num_actions:
        raise ValueError(
            f"expected an action from 0 to {num_actions - 1}, got {number}; pass an element of action_space",
        )
    return number


def check_actions(actions: npt.ArrayLike, num_envs: int, num_actions: int) -> npt.NDArray[np.intp]:
    """
    Validate a batch of discrete actions: one integer in range per environment.

    :param actions: the actions passed to ``step`` of a vector environment
    :param num_envs: number of environments, N
    :param num_actions: number of actions
    :return: the actions, intp ``[N]``
    """
    array = np.asarray(actions)
    if array.shape != (num_envs,) or array.dtype.kind not in "iu":
        raise ValueError(
            f"expected {num_envs} integer actions of shape ({num_envs},), got {array.dtype} of shape {array.shape}; "
            "pass one action per environment"
        )
    result = array.astype(np.intp, copy=False)
    # Viewed as unsigned, negative numbers are huge, so a single maximum checks both bounds.
    if result.view(np.uintp).max() >= num_actions:
        row = int(np.argmax(result.view(np.uintp)))
        raise ValueError(
            f"expected actions from 0 to {num_actions - 1}, got {result[row]} for environment {row}; "
            "pass elements of single_action_space"
        )
    return result


def check_time_limit(time_limit: int | None, name: str = "time_limit") -> int | None:
    """
    Validate a time limit: a positive integer or None.

    :param time_limit: number of steps, or None for no limit
    :param name: name of the argument
    :return: the limit as an int, or None
    """
    if time_limit is None:
        return None
    if isinstance(time_limit, bool) or not isinstance(time_limit, int | np.integer) or time_limit < 1:
        raise ValueError(f"expected {name} to be a positive number of steps or None, got {time_limit!r}; pass e.g. {name}=200")
    return int(time_limit)


def check_num_envs(num_envs: int, space: spaces.Space[Any], num_goals: int) -> int:
    """
    Validate a number of environments: a positive integer whose observations and masks fit in memory.

    :param num_envs: number of parallel environments
    :param space: observation space of a single environment
    :param num_goals: number of goals
    :return: the number as an int
    """
    check_integer("num_envs", num_envs, 1)
    # The bounds of the batched space and the observations of one step, and its masks.
    size, total = 3 * space_nbytes(space) + num_goals, total_memory()
    if total is not None and num_envs * size > total:
        raise ValueError(
            f"expected num_envs of at most {total // size:,}, whose observations and masks fit in {total / 1e9:.1f} GB of "
            f"memory, got {num_envs:,}; pass fewer"
        )
    return int(num_envs)


def space_nbytes(space: spaces.Space[Any]) -> int:
    """
    Return the size of an observation.

    :param space: a space of arrays, or a Dict or Tuple of such spaces
    :return: bytes; 0 for spaces without arrays
    """
    if isinstance(space, spaces.Dict | spaces.Tuple):
        return sum(space_nbytes(part) for part in (space.values() if isinstance(space, spaces.Dict) else space))
    return 0 if space.shape is None else prod(space.shape) * np.dtype(space.dtype).itemsize


def check_integer(name: str, value: Any, minimum: int, maximum: int | None = None) -> None:
    """
    Raise a ``TypeError`` unless a value is an integer, and a ``ValueError`` if it is out of range.

    :param name: name of the argument
    :param value: its value
    :param minimum: the smallest valid value
    :param maximum: the largest valid value; None for no limit
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"expected {name} to be an integer, got {value!r}; pass e.g. {minimum}")
    if maximum is not None and not minimum <= value <= maximum:
        raise ValueError(f"expected {name} from {minimum} to {maximum}, got {value}; pass an integer in this range")
    if value < minimum:
        raise ValueError(f"expected {name} of at least {minimum}, got {value}; pass a larger integer")


def check_seed(seed: Any) -> None:
    """
    Raise an error unless a seed is None or an integer that all random number generators accept.

    :param seed: the seed
    """
    if seed is not None:
        check_integer("seed", seed, 0, 2**32 - 1)


def check_fraction(name: str, value: Any, *, positive: bool = False) -> None:
    """
    Raise a ``TypeError`` unless a value is a number, and a ``ValueError`` unless it lies in [0, 1].

    :param name: name of the argument
    :param value: its value
    :param positive: whether 0 is invalid
    """
    _check_number(name, value)
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"expected {name} between 0 and 1, got {value}; pass a number in this range")
    if positive and value == 0.0:
        raise ValueError(f"expected {name} above 0 and up to 1, got {value}; pass a number in this range")


def check_finite(name: str, value: Any) -> None:
    """
    Raise a ``TypeError`` unless a value is a number, and a ``ValueError`` for NaN and infinity.

    :param name: name of the argument
    :param value: its value
    """
    _check_number(name, value)
    if not isfinite(value):
        raise ValueError(f"expected a finite {name}, got {value}; pass a finite number")


def check_at_least(name: str, value: Any, minimum: float) -> None:
    """
    Raise an error unless a value is a finite number that is not too small.

    :param name: name of the argument
    :param value: its value
    :param minimum: the smallest valid value
    """
    check_finite(name, value)
    if value < minimum:
        raise ValueError(f"expected {name} of at least {minimum}, got {value}; pass a larger number")


def check_positive(name: str, value: Any, maximum: float = inf) -> None:
    """
    Raise a ``TypeError`` unless a value is a number, and a ``ValueError`` unless it is above 0 and not above a limit.

    :param name: name of the argument
    :param value: its value
    :param maximum: the largest valid value; by default infinity is valid too
    """
    _check_number(name, value)
    if not value > 0:
        raise ValueError(f"expected {name} above 0, got {value}; pass a positive number")
    if value > maximum:
        raise ValueError(f"expected {name} of at most {maximum:g}, got {value}; pass a smaller number")


def _check_number(name: str, value: Any) -> None:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"expected {name} to be a number, got {value!r}; pass a float or an int")


def float_array(name: str, value: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """
    Convert numbers to a new array; raise a ``ValueError`` if they are not all finite.

    :param name: description of the numbers
    :param value: an array, or nested sequences of one length per level
    :return: float64 of the same shape
    """
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"expected {name} to be an array of numbers, got {shorten(value)}; pass e.g. a list of lists"
        ) from None
    if not np.isfinite(array).all():
        raise ValueError(f"expected finite {name}, got NaN or infinity in {shorten(value)}; replace these entries")
    return array


def int_array(name: str, value: npt.ArrayLike, minimum: int = 0) -> npt.NDArray[np.int64]:
    """
    Convert integers to a new array; raise a ``ValueError`` for other numbers, which a conversion would round.

    :param name: description of the numbers
    :param value: an array, or nested sequences of one length per level
    :param minimum: the smallest valid number
    :return: int64 of the same shape
    """
    try:
        array = np.array(value)
    except ValueError:  # ragged sequences
        array = np.array("ragged")
    if array.size and array.dtype.kind not in "iu":
        raise ValueError(f"expected {name} to be an array of integers, got {shorten(value)}; pass e.g. a list of int")
    if array.size and array.min() < minimum:
        raise ValueError(f"expected {name} of at least {minimum}, got {array.min()}; pass larger integers")
    return array.astype(np.int64)


def check_instance(name: str, value: Any, kind: type, remedy: str) -> None:
    """
    Raise a ``TypeError`` unless a value is an instance of a class.

    :param name: description of the value
    :param value: the value
    :param kind: the class
    :param remedy: what to do
    """
    if not isinstance(value, kind):
        raise TypeError(f"expected {name} to be a {kind.__name__}, got {shorten(value)}; {remedy}")


def check_path(name: str, value: Any) -> None:
    """
    Raise a ``TypeError`` unless a value is a path; Python would take an integer for an open file.

    :param name: name of the argument
    :param value: its value
    """
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"expected {name} to be a path, got {shorten(value)}; pass a str or a pathlib.Path")


def check_iterable(name: str, value: Any) -> None:
    """
    Raise a ``TypeError`` for a value that is not iterable, and for a string.

    :param name: description of the value
    :param value: the value
    """
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"expected a sequence of {name}, got {shorten(value)}; write [{shorten(value)}]")


def check_callable(name: str, value: Any) -> None:
    """
    Raise a ``TypeError`` unless a value can be called.

    :param name: description of the function
    :param value: the value
    """
    if not callable(value):
        raise TypeError(f"expected {name} to be a function, got {shorten(value)}; pass a function")


def check_bool(name: str, value: Any) -> None:
    """
    Raise a ``TypeError`` unless a value is True or False.

    :param name: name of the argument
    :param value: its value
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"expected {name} to be True or False, got {shorten(value)}; pass one of these")


def check_env(env: Any, kinds: tuple[type, ...] = (gym.Env,)) -> None:
    """
    Raise a ``TypeError`` unless a value is an environment.

    :param env: the value
    :param kinds: the valid classes
    """
    if not isinstance(env, kinds):
        names = " or ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"expected an environment ({names}), got {type(env).__name__}; make one with gymnasium.make")


def check_choice(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    """
    Raise a ValueError unless a value is one of the choices.

    :param name: name of the argument
    :param value: its value
    :param choices: the valid values; strings are compared by value, everything else by identity
    """
    if not any(value is choice or (isinstance(value, str) and value == choice) for choice in choices):
        raise ValueError(f"expected {name} to be one of {list(choices)}, got {value!r}; pass one of these")


def check_reset_mask(mask: Any, num_envs: int) -> npt.NDArray[np.bool_]:
    """
    Validate Gymnasium's ``reset_mask`` option.

    :param mask: the option ``reset_mask`` of ``reset``; None resets all environments
    :param num_envs: number of environments, N
    :return: which environments to reset, bool ``[N]``
    """
    if mask is None:
        return np.ones(num_envs, dtype=np.bool_)
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (num_envs,) or not mask.any():
        raise ValueError(
            f"expected reset_mask to be a bool array of shape ({num_envs},) with at least one True, got {mask!r}; "
            "pass terminations | truncations"
        )
    return mask


def row_seeds(seed: int | Sequence[int | None] | None, num_envs: int) -> Sequence[int | None]:
    """
    Return one seed per environment, as Gymnasium's vector environments do.

    :param seed: environment i gets ``seed + i``, or item i of a list; None keeps its random state
    :param num_envs: number of environments, N
    :return: the seed of each environment, or None
    """
    if seed is None:
        return [None] * num_envs
    if not isinstance(seed, Sequence | np.ndarray) or isinstance(seed, str):
        check_integer("seed", seed, 0)
        return [int(seed) + row for row in range(num_envs)]
    if len(seed) != num_envs:
        raise ValueError(f"expected {num_envs} seeds, got {len(seed)}; pass one per environment, or a single int")
    for one in seed:
        if one is not None:
            check_integer("each seed", one, 0)
    return seed


def shorten(value: Any) -> str:
    """
    Return the ``repr`` of a value for an error message.

    :param value: the value
    :return: at most 80 characters
    """
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
