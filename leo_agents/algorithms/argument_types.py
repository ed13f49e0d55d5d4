"""Types of the arguments of algorithms and policies that are not numbers, checked before anything is created from them."""

import inspect
import os
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import Schedule

from leo_agents.networks.policy_arguments import check_dict, check_policy_kwargs, check_policy_names
from leo_agents.replay.buffer_arguments import check_device
from leo_wrappers.validation import check_at_least, check_bool, check_integer


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
            check_dict(name, value)
    check_integer("verbose", arguments.get("verbose", 0), 0, 2)
    log = arguments.get("tensorboard_log")
    if log is not None and not isinstance(log, str | os.PathLike):
        raise TypeError(f"expected tensorboard_log to be a path, got {log!r}; pass a folder, or None")
    check_device(arguments.get("device", "auto"))
    policy_kwargs, policy = arguments.get("policy_kwargs") or {}, arguments.get("policy")
    check_policy_kwargs(policy_kwargs)
    policy = algorithm.policy_aliases.get(policy) if isinstance(policy, str) else policy
    if isinstance(policy, type) and issubclass(policy, BasePolicy):
        check_policy_names(policy, policy_kwargs)


def check_learning_rate(learning_rate: float | Schedule) -> None:
    """
    Raise an error unless a learning rate, or both ends of its schedule, is a finite number of at least 0.

    :param learning_rate: a number, or a function of the remaining progress
    """
    rates = [float(learning_rate(1.0)), float(learning_rate(0.0))] if callable(learning_rate) else [learning_rate]
    for rate in rates:
        check_at_least("learning_rate", rate, 0)
