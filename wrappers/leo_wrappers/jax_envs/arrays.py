"""Arrays between JAX, NumPy and PyTorch."""

from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

if TYPE_CHECKING:
    from leo_wrappers.jax_envs.functional_env import Tree


def to_numpy(tree: "Tree") -> Any:
    """
    Copies arrays to the host: fresh ones that may be written to, as Gymnasium's users expect.

    :param tree: JAX arrays
    :return: NumPy arrays in the same nesting
    """
    return jax.tree.map(np.array, on_host(tree))


def on_host(tree: "Tree") -> Any:
    """
    Brings arrays to the host, to be read only.

    :param tree: JAX arrays
    :return: NumPy arrays in the same nesting, without a copy where JAX lies on the host itself
    """
    if jax.default_backend() != "cpu":
        return jax.device_get(tree)  # asks for all of them at once, where each has a way to go
    return jax.tree.map(np.asarray, tree)


def to_torch(tree: "Tree") -> Any:
    """
    Shows arrays to PyTorch without a copy, on the device they lie on.

    JAX takes its arrays for immutable: clone a tensor before writing to it in place.

    :param tree: JAX arrays
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
    One environment's part of a batch.

    :param tree: arrays with the batch as their first axis
    :param row: the environment
    :return: the same nesting without that axis
    """
    return jax.tree.map(lambda array: array[row], tree)


def to_actions(space: spaces.Space[Any], actions: Any) -> npt.NDArray[Any]:
    """
    A batch of actions for JAX, always of one type: another one would compile everything anew.

    :param space: the space of one environment's actions
    :param actions: one action for each environment
    :return: the actions in JAX's own width, still on the host: compiled functions take them over faster than JAX converts
    """
    if space.dtype is None:
        raise ValueError(f"expected an action space of arrays (Box, Discrete, ...), got {space}")
    return np.asarray(actions, dtype=jax.dtypes.canonicalize_dtype(space.dtype))
