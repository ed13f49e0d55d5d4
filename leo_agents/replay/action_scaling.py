"""Actions of the environment and those that replay buffers store, in ``[-1, 1]`` for a Box."""

from typing import Any

import numpy.typing as npt
from gymnasium import spaces

Array = npt.NDArray[Any]


def scale_actions(actions: Array, space: spaces.Space[Any]) -> Array:
    """
    Convert actions of the environment to those that a replay buffer stores.

    :param actions: ``[T, ...]``
    :param space: the action space
    :return: ``[T, ...]``, in ``[-1, 1]`` for a Box
    """
    if isinstance(space, spaces.Box):
        return 2.0 * ((actions - space.low) / (space.high - space.low)) - 1.0
    return actions


def unscale_actions(actions: Array, space: spaces.Space[Any]) -> Array:
    """
    Convert actions as a replay buffer stores them to those of the environment.

    :param actions: ``[T, ...]``, in ``[-1, 1]`` for a Box
    :param space: the action space
    :return: ``[T, ...]``
    """
    if isinstance(space, spaces.Box):
        scaled = actions.reshape(len(actions), *space.shape)
        return (space.low + 0.5 * (scaled + 1.0) * (space.high - space.low)).clip(space.low, space.high).astype(space.dtype)
    return actions.reshape(len(actions), *(space.shape or ()))
