"""Types of the arguments of algorithms and policies that are not numbers, checked before anything is created from them."""

import inspect
import os
from collections.abc import Mapping
from typing import Any

import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import nn

from leo_wrappers.validation import check_bool, check_integer, shorten

_POLICY_CLASSES = {
    "features_extractor_class": nn.Module,
    "activation_fn": nn.Module,
    "optimizer_class": th.optim.Optimizer,
}
_POLICY_FLAGS = (
    "layer_norm",
    "squash",
    "input_norm",
    "normalize_images",
    "normalize_observations",
    "share_features_extractor",
)


def check_argument_types(algorithm: type[BaseAlgorithm], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """
    Raise a ``TypeError`` for flags, dictionaries, the device and other arguments of the wrong type.

    :param algorithm: class of the algorithm
    :param args: positional arguments of its constructor
    :param kwargs: keyword arguments of its constructor
    """
    parameters = list(inspect.signature(algorithm).parameters.values())
    arguments = {parameter.name: value for parameter, value in zip(parameters, args, strict=False)} | kwargs
    for parameter in parameters:
        if isinstance(parameter.default, bool) and parameter.name in arguments:
            check_bool(parameter.name, arguments[parameter.name])
    for name, value in arguments.items():
        if name.endswith("_kwargs") and value is not None:
            _check_dict(name, value)
    check_integer("verbose", arguments.get("verbose", 0), 0, 2)
    log = arguments.get("tensorboard_log")
    if log is not None and not isinstance(log, str | os.PathLike):
        raise TypeError(f"expected tensorboard_log to be a path, got {log!r}; pass a folder, or None")
    _check_device(arguments.get("device", "auto"))
    _check_policy_kwargs(arguments.get("policy_kwargs") or {})


def check_class(name: str, value: Any, base: type) -> None:
    """
    Raise a ``TypeError`` unless a value is a class with the given base class.

    :param name: name of the argument
    :param value: its value
    :param base: the base class
    """
    if not (isinstance(value, type) and issubclass(value, base)):
        raise TypeError(
            f"expected {name} to be a subclass of {base.__module__}.{base.__qualname__}, got {shorten(value)}; pass a class"
        )


def _check_dict(name: str, value: Any) -> None:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise TypeError(f"expected {name} to be a dict of arguments by name, got {shorten(value)}; pass {{name: value}}")


def _check_device(device: Any) -> None:
    try:
        th.device("cpu" if device == "auto" else device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f'expected a device of PyTorch or "auto", got {device!r}; pass e.g. "cpu" or "cuda"') from error


def _check_policy_kwargs(policy_kwargs: Mapping[str, Any]) -> None:
    for name, value in policy_kwargs.items():
        if value is None:
            continue  # the default of the policy
        if name in _POLICY_CLASSES:
            check_class(name, value, _POLICY_CLASSES[name])
        elif name in _POLICY_FLAGS:
            check_bool(name, value)
        elif name.endswith("_kwargs"):
            _check_dict(name, value)
        elif name == "net_arch":
            _check_net_arch(value)


def _check_net_arch(net_arch: Any) -> None:
    for widths in net_arch.values() if isinstance(net_arch, dict) else [net_arch]:
        if not isinstance(widths, list | tuple):
            raise TypeError(f"expected net_arch to be a list of widths, got {shorten(net_arch)}; pass e.g. [256, 256]")
        for width in widths:
            if isinstance(width, dict):  # the older form of Stable-Baselines3's actor-critics
                _check_net_arch(width)
            else:
                check_integer("each width in net_arch", width, 1)
