"""Checks of what users pass to the environments: expected what, got what, what to do."""

import operator
from collections.abc import Sequence
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt


def check_action(action: SupportsIndex, num_actions: int) -> int:
    """
    One action as an int, refused unless it is an integer in range.

    :param action: what the user passed to ``step``
    :param num_actions: the number of actions
    :return: the action
    """
    try:
        number = operator.index(action)
    except TypeError:
        raise ValueError(
            f"expected an integer action from 0 to {num_actions - 1}, got {action!r}; pass one that action_space contains"
        ) from None
    if not 0 <= number < num_actions:
        raise ValueError(
            f"expected an action from 0 to {num_actions - 1}, got {number}; pass one that action_space contains",
        )
    return number


def check_actions(actions: npt.ArrayLike, num_envs: int, num_actions: int) -> npt.NDArray[np.intp]:
    """
    A batch of actions, refused unless it holds one integer in range for each environment.

    :param actions: what the user passed to a vector environment's ``step``
    :param num_envs: the number of environments
    :param num_actions: the number of actions
    :return: the actions
    """
    array = np.asarray(actions)
    if array.shape != (num_envs,) or array.dtype.kind not in "iu":
        raise ValueError(
            f"expected {num_envs} integer actions of shape ({num_envs},), got {array.dtype} of shape {array.shape}; "
            "pass one action for each environment"
        )
    result = array.astype(np.intp, copy=False)
    # Seen as unsigned, a negative number is a huge one: a single maximum checks both ends of the range.
    if result.view(np.uintp).max() >= num_actions:
        row = int(np.argmax(result.view(np.uintp)))
        raise ValueError(
            f"expected actions from 0 to {num_actions - 1}, got {result[row]} for environment {row}; "
            "pass actions that single_action_space contains"
        )
    return result


def check_time_limit(time_limit: int | None, name: str = "time_limit") -> int | None:
    """
    A time limit in steps, refused unless it is a positive integer or None.

    :param time_limit: the number of steps, or None for no limit
    :param name: what the argument is called
    :return: the limit
    """
    if time_limit is None:
        return None
    if isinstance(time_limit, bool) or not isinstance(time_limit, int | np.integer) or time_limit < 1:
        raise ValueError(f"expected {name} to be a positive number of steps or None, got {time_limit!r}; pass e.g. {name}=200")
    return int(time_limit)


def check_num_envs(num_envs: int) -> int:
    """
    A number of environments, refused unless it is a positive integer.

    :param num_envs: how many environments to step at once
    :return: the number
    """
    if isinstance(num_envs, bool) or not isinstance(num_envs, int | np.integer) or num_envs < 1:
        raise ValueError(f"expected num_envs to be a positive integer, got {num_envs!r}; pass num_envs=1 or more")
    return int(num_envs)


def check_fraction(name: str, value: float) -> None:
    """
    Raises unless a number lies in [0, 1].

    :param name: what the argument is called
    :param value: what the user passed
    """
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"expected {name} between 0 and 1, got {value}")


def check_at_least(name: str, value: float, minimum: float) -> None:
    """
    Raises unless a number is large enough.

    :param name: what the argument is called
    :param value: what the user passed
    :param minimum: the smallest valid value
    """
    if not value >= minimum:
        raise ValueError(f"expected {name} of at least {minimum}, got {value}")


def check_choice(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    """
    Refuse a value that is not one of the choices.

    :param name: what the argument is called
    :param value: what the user passed
    :param choices: what is allowed
    """
    if not any(value is choice or (isinstance(value, str) and value == choice) for choice in choices):
        raise ValueError(f"expected {name} to be one of {list(choices)}, got {value!r}; choose one of these")


def check_reset_mask(mask: Any, num_envs: int) -> npt.NDArray[np.bool_]:
    """
    Which environments a ``reset`` is to reset: a mask as Gymnasium describes it, or all of them.

    :param mask: the option ``reset_mask`` of ``reset``, or None
    :param num_envs: the number of environments
    :return: bool ``[N]``
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
    One seed for each environment, as Gymnasium's vector environments count them.

    :param seed: environment i gets ``seed + i``, or item i of a list; None where it is to go on as it was
    :param num_envs: the number of environments
    :return: the seeds
    """
    if seed is None:
        return [None] * num_envs
    if isinstance(seed, int | np.integer):
        return [int(seed) + row for row in range(num_envs)]
    if len(seed) != num_envs:
        raise ValueError(f"expected {num_envs} seeds, got {len(seed)}; pass one for each environment, or a single int")
    return seed
