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


def row_of(tree: Any, row: int) -> Any:
    """
    Select one environment of a batch.

    :param tree: arrays ``[N, ...]`` in any nesting
    :param row: index of the environment
    :return: its arrays in the same nesting, without the batch axis
    """
    return jax.tree.map(lambda array: array[row], tree)


def to_actions(space: spaces.Space[Any], actions: Any) -> npt.NDArray[Any] | jax.Array:
    """
    Convert a batch of actions to the dtype that JAX uses for the action space; any other dtype would trigger a recompilation.

    :param space: the action space of a single environment
    :param actions: one action per environment
    :return: ``[N, ...]``: on the CPU a NumPy array, which compiled functions transfer faster than an explicit conversion;
        else an array on the device, as those of :func:`actions_from_torch`, so that both use the same compiled function
    """
    if space.dtype is None:
        raise ValueError(f"expected an action space of arrays (Box, Discrete, ...), got {space}; flatten it first")
    array = np.asarray(actions, dtype=jax.dtypes.canonicalize_dtype(space.dtype))
    return array if jax.default_backend() == "cpu" else jax.device_put(array, _default_device())


def actions_from_torch(space: spaces.Space[Any], actions: "torch.Tensor") -> npt.NDArray[Any] | jax.Array:
    """
    Convert a batch of actions as :func:`to_actions`, without a copy through the host if they are on the device of JAX.

    :param space: the action space of a single environment
    :param actions: one action per environment, which must not change until the step was computed
    :return: ``[N, ...]``
    """
    import torch

    device = _default_device()
    platform = "cuda" if device.platform == "gpu" else device.platform
    if actions.device.type != platform or (actions.device.index or 0) != (device.local_hardware_id or 0):
        return to_actions(space, actions.cpu().numpy())
    dtype = jax.dtypes.canonicalize_dtype(space.dtype)
    return jax.dlpack.from_dlpack(actions.to(getattr(torch, dtype.name)))


def _default_device() -> jax.Device:
    device = jax.config.jax_default_device  # type: ignore[attr-defined]
    return device if isinstance(device, jax.Device) else jax.local_devices()[0]
