"""Conversion of arrays between JAX, NumPy and PyTorch."""

from typing import TYPE_CHECKING, Any

import jax
import jax.dlpack
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

if TYPE_CHECKING:
    import torch

    from leo_wrappers.jax_envs.functional_env import Tree


def to_numpy(tree: "Tree") -> Any:
    """
    Copy JAX arrays to NumPy arrays that may be written to.

    :param tree: JAX arrays in any nesting
    :return: NumPy arrays in the same nesting
    """
    return jax.tree.map(np.array, on_host(tree))


def on_host(tree: "Tree") -> Any:
    """
    Transfer JAX arrays to read-only NumPy arrays.

    :param tree: JAX arrays in any nesting
    :return: NumPy arrays in the same nesting, not copied if JAX runs on the CPU
    """
    if jax.default_backend() != "cpu":
        return jax.device_get(tree)  # transfers all arrays concurrently
    return jax.tree.map(np.asarray, tree)


def to_torch(tree: "Tree") -> Any:
    """
    Convert JAX arrays to PyTorch tensors on the same device, without a copy.

    JAX assumes that its arrays never change: clone a tensor before writing to it in place.

    :param tree: JAX arrays in any nesting
    :return: tensors in the same nesting

    Example::

        >>> import jax.numpy as jnp
        >>> to_torch({"mask": jnp.array([True, False])})
        {'mask': tensor([ True, False])}
    """
    try:
        from torch.utils.dlpack import from_dlpack
    except ImportError as error:
        raise ImportError('to_torch needs PyTorch; install it with: pip install "leo-rl[agents]"') from error
    return jax.tree.map(from_dlpack, tree)


def actions_from_torch(space: spaces.Space[Any], actions: "torch.Tensor") -> Any:
    """
    Convert a batch of actions as :func:`to_actions`, without a copy through the host if JAX computes on their device.

    :param space: the action space of a single environment
    :param actions: one action per environment, which must not change until the step was computed
    :return: a JAX array ``[N, ...]``, or a NumPy array
    """
    import torch

    dtype = jax.dtypes.canonicalize_dtype(space.dtype)
    actions = actions.to(getattr(torch, dtype.name))
    device = jax.local_devices()[0]
    platform = "cuda" if device.platform == "gpu" else device.platform
    if actions.device.type == platform and (actions.device.index or 0) == (device.local_hardware_id or 0):
        return jax.dlpack.from_dlpack(actions)
    return actions.cpu().numpy()


def row_of(tree: Any, row: int) -> Any:
    """
    Select one environment of a batch.

    :param tree: arrays ``[N, ...]`` in any nesting
    :param row: index of the environment
    :return: its arrays in the same nesting, without the batch axis
    """
    return jax.tree.map(lambda array: array[row], tree)


def to_actions(space: spaces.Space[Any], actions: Any) -> npt.NDArray[Any]:
    """
    Convert a batch of actions to the dtype that JAX uses for the action space; any other dtype would trigger a recompilation.

    :param space: the action space of a single environment
    :param actions: one action per environment
    :return: NumPy array ``[N, ...]``, which compiled functions transfer faster than an explicit conversion to JAX
    """
    if space.dtype is None:
        raise ValueError(f"expected an action space of arrays (Box, Discrete, ...), got {space}; flatten it first")
    return np.asarray(actions, dtype=jax.dtypes.canonicalize_dtype(space.dtype))
