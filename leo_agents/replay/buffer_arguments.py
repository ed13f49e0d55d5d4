"""Arguments of replay buffers, checked before memory is allocated."""

import difflib
import inspect
from collections.abc import Iterable
from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_action_dim, get_obs_shape

from leo_wrappers.validation import check_bool, check_integer, shorten


def check_buffer_arguments(
    buffer_size: int,
    observation_space: spaces.Space[Any],
    action_space: spaces.Space[Any],
    device: th.device | str,
    n_envs: int,
    optimize_memory_usage: bool,
    handle_timeout_termination: bool,
) -> None:
    """
    Raise an error for arguments that a replay buffer of Dict observations cannot be created from.

    :param buffer_size: number of transitions, over all environments
    :param observation_space: a Dict space
    :param action_space: the action space
    :param device: device of the samples
    :param n_envs: number of parallel environments
    :param optimize_memory_usage: not supported
    :param handle_timeout_termination: whether to separate truncation from termination
    """
    if not isinstance(observation_space, spaces.Dict):
        raise ValueError(f"expected a Dict observation space, got {observation_space}; make the observation a Dict")
    try:
        get_obs_shape(observation_space)
        get_action_dim(action_space)
    except (NotImplementedError, AssertionError) as error:
        raise ValueError(f"expected spaces of arrays, got others ({error}); flatten them") from error
    check_integer("buffer_size", buffer_size, 1)
    check_integer("n_envs", n_envs, 1)
    check_device(device)
    if optimize_memory_usage:
        raise ValueError("expected optimize_memory_usage=False, got True; Dict observations cannot share their storage")
    check_bool("handle_timeout_termination", handle_timeout_termination)


def check_buffer_names(buffer_class: type, names: Iterable[str]) -> None:
    """
    Raise a ``TypeError`` for keyword arguments that a replay buffer does not have.

    :param buffer_class: class of the buffer
    :param names: names of the arguments
    """
    parameters = inspect.signature(buffer_class).parameters
    if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return
    for name in names:
        if name not in parameters:
            near = difflib.get_close_matches(str(name), parameters, n=1)
            remedy = f"did you mean {near[0]!r}?" if near else f"use some of {list(parameters)}"
            raise TypeError(f"expected replay_buffer_kwargs of {buffer_class.__name__}, got {name!r}; {remedy}")


def check_device(device: Any) -> None:
    """
    Raise a ``ValueError`` unless a value is a device of PyTorch or ``"auto"``.

    :param device: the value
    """
    try:
        th.device("cpu" if device == "auto" else device)
    except (RuntimeError, TypeError) as error:  # PyTorch takes integers as accelerators
        raise ValueError(
            f'expected a device of PyTorch or "auto", got {shorten(device)}; pass e.g. "cpu" or "cuda"'
        ) from error
