"""Validation of user input. Error messages state what was expected, what was passed and what to do."""

import operator
from collections.abc import Sequence
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt


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


def check_num_envs(num_envs: int) -> int:
    """
    Validate a number of environments: a positive integer.

    :param num_envs: number of parallel environments
    :return: the number as an int
    """
    if isinstance(num_envs, bool) or not isinstance(num_envs, int | np.integer) or num_envs < 1:
        raise ValueError(f"expected num_envs to be a positive integer, got {num_envs!r}; pass num_envs=1 or more")
    return int(num_envs)


def check_fraction(name: str, value: float) -> None:
    """
    Raise a ValueError unless a number lies in [0, 1].

    :param name: name of the argument
    :param value: its value
    """
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"expected {name} between 0 and 1, got {value}")


def check_at_least(name: str, value: float, minimum: float) -> None:
    """
    Raise a ValueError if a number is too small.

    :param name: name of the argument
    :param value: its value
    :param minimum: the smallest valid value
    """
    if not value >= minimum:
        raise ValueError(f"expected {name} of at least {minimum}, got {value}")


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
    if isinstance(seed, int | np.integer):
        return [int(seed) + row for row in range(num_envs)]
    if len(seed) != num_envs:
        raise ValueError(f"expected {num_envs} seeds, got {len(seed)}; pass one per environment, or a single int")
    return seed
