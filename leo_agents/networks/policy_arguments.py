"""Types of the arguments of policies, checked before networks are created from them."""

import difflib
import inspect
from collections.abc import Mapping
from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from torch import nn

from leo_wrappers.validation import check_at_least, check_bool, check_callable, check_integer, shorten

_CLASSES = {
    "features_extractor_class": nn.Module,
    "activation_fn": nn.Module,
    "optimizer_class": th.optim.Optimizer,
}
_FLAGS = (
    "layer_norm",
    "squash",
    "input_norm",
    "normalize_images",
    "normalize_observations",
    "share_features_extractor",
)
# The first arguments of every policy, which the algorithms pass.
_PASSED = ("observation_space", "action_space", "lr_schedule")
# Packages whose constructors with **kwargs pass all of them to the next class.
_PACKAGES = ("leo_agents", "stable_baselines3", "sb3_contrib")


def named_arguments(policy: type[BasePolicy], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """
    Return the arguments of a policy by name.

    :param policy: the class
    :param args: positional arguments
    :param kwargs: keyword arguments
    :return: the arguments; positional ones that the class takes as ``*args`` are left out
    """
    parameters = inspect.signature(policy).parameters.values()
    names = [one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
    return dict(zip(names or _PASSED, args, strict=False)) | kwargs


def check_policy_arguments(arguments: Mapping[str, Any], action_spaces: tuple[type[spaces.Space[Any]], ...]) -> None:
    """
    Raise an error for spaces, a schedule or other arguments of a policy that it cannot be created from.

    :param arguments: the arguments by name
    :param action_spaces: the valid classes of the action space
    """
    for name, kinds in (("observation_space", (spaces.Space,)), ("action_space", action_spaces)):
        if name in arguments and not isinstance(arguments[name], kinds):
            expected = " or ".join(kind.__name__ for kind in kinds)
            raise TypeError(
                f"expected {name} to be a {expected}, got {shorten(arguments[name])}; pass that of the environment"
            )
    if "lr_schedule" in arguments:
        check_callable("lr_schedule", arguments["lr_schedule"])
        check_at_least("the learning rate at the start", arguments["lr_schedule"](1.0), 0)
    check_policy_kwargs(arguments)


def check_policy_kwargs(policy_kwargs: Mapping[str, Any]) -> None:
    """
    Raise an error for arguments of a policy of the wrong type.

    :param policy_kwargs: some arguments by name
    """
    for name, value in policy_kwargs.items():
        if value is None:
            continue  # the default of the policy
        if name in _CLASSES:
            check_class(name, value, _CLASSES[name])
        elif name in _FLAGS:
            check_bool(name, value)
        elif name.endswith("_kwargs"):
            check_dict(name, value)
        elif name == "net_arch":
            _check_net_arch(value)
        elif name == "n_critics":
            check_integer(name, value, 1)


def check_policy_names(policy: type[BasePolicy], policy_kwargs: Mapping[str, Any]) -> None:
    """
    Raise a ``TypeError`` for an argument that a policy does not have.

    :param policy: the class of the policy
    :param policy_kwargs: its arguments by name
    """
    known = _parameter_names(policy)
    for name in policy_kwargs:
        if known and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            remedy = f"did you mean {near[0]!r}?" if near else f"use some of {sorted(known)}"
            raise TypeError(f"expected policy_kwargs of {policy.__name__}, got {name!r}; {remedy}")


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


def check_dict(name: str, value: Any) -> None:
    """
    Raise a ``TypeError`` unless a value is a dictionary of arguments by name.

    :param name: name of the argument
    :param value: its value
    """
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise TypeError(f"expected {name} to be a dict of arguments by name, got {shorten(value)}; pass {{name: value}}")


def _parameter_names(policy: type[BasePolicy]) -> set[str]:
    """Return the names of the arguments that users choose; none if they cannot be known."""
    names: set[str] = set()
    for cls in policy.__mro__:
        if "__init__" not in vars(cls):
            continue
        parameters = inspect.signature(vars(cls)["__init__"]).parameters.values()
        names |= {one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
        if not any(one.kind is one.VAR_KEYWORD for one in parameters):
            return names - {"self", *_PASSED}
        if cls.__module__.partition(".")[0] not in _PACKAGES:
            break
    return set()


def _check_net_arch(net_arch: Any) -> None:
    for widths in net_arch.values() if isinstance(net_arch, dict) else [net_arch]:
        if not isinstance(widths, list | tuple):
            raise TypeError(f"expected net_arch to be a list of widths, got {shorten(net_arch)}; pass e.g. [256, 256]")
        for width in widths:
            if isinstance(width, dict):  # the older form of Stable-Baselines3's actor-critics
                _check_net_arch(width)
            else:
                check_integer("each width in net_arch", width, 1)
