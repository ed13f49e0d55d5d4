"""Checks of what an environment declares before its first reset: goal names, spaces and methods."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
from gymnasium import spaces

from leo_wrappers.checks.errors import ContractError, RunPosition, quote
from leo_wrappers.goal_set import check_goal_names
from leo_wrappers.keys import DESIRED_GOAL_KEY, GOAL_KEY


def read_goal_names(env: gym.Env[Any, Any]) -> tuple[str, ...]:
    """
    Return the goal names of an environment, validated.

    :param env: the environment
    """
    try:
        names = env.get_wrapper_attr("goal_names")
    except AttributeError:
        raise ContractError(
            "expected the environment to have goal_names, got none on it or on any environment that it wraps; "
            "set self.goal_names = (...) in its constructor, or wrap it with MultiGoalWrapper"
        ) from None
    return validate_goal_names(names)


def validate_goal_names(names: Any) -> tuple[str, ...]:
    """
    Raise unless goal names are a tuple of unique, non-empty strings.

    :param names: the environment's goal names
    :return: the goal names
    """
    if not isinstance(names, tuple):
        raise ContractError(
            f"expected goal_names to be a tuple of str, got a {type(names).__name__}: {names!r}; "
            "make it immutable with tuple(...)"
        )
    try:
        return check_goal_names(names)
    except ValueError as error:
        raise ContractError(str(error)) from None


def check_same_goal_names(names: tuple[str, ...], others: tuple[str, ...], other: str) -> None:
    """
    Raise if two copies of an environment do not have the same goals in the same order.

    :param names: the goal names of the first copy
    :param others: the goal names of another copy
    :param other: what the other copy is called in the error message
    """
    if names == others:
        return
    changed = sorted(set(names) ^ set(others))
    difference = f"only one of them has {quote(changed)}" if changed else "the same names in another order"
    raise ContractError(
        f"expected the same goal_names in every copy of the environment, got {len(names)} and {len(others)} names in {other} "
        f"({difference}); derive the names, in a fixed order, from the constructor's arguments alone",
        goals=changed,
    )


def check_unchanged_goal_names(names: tuple[str, ...], now: tuple[str, ...], position: RunPosition) -> None:
    """
    Raise if the goal names of an environment change during a run.

    :param names: the goal names when the environment was created
    :param now: the goal names now
    :param position: where in the run, for the error message
    """
    if now != names:
        changed = [new for new, old in zip(now, names, strict=False) if new != old]
        raise position.error(
            f"the {len(names)} goal_names of the environment when it was created",
            f"{len(now)} names, changed: {quote(changed)}",
            "set the goal names once, in the constructor, because an index must always mean the same goal",
            changed,
        )


def check_declarations(env: gym.Env[Any, Any]) -> None:
    """
    Raise for spaces and methods that Stable-Baselines3 rejects or misinterprets.

    :param env: the environment
    """
    space = env.observation_space
    if isinstance(space, spaces.Dict):
        check_flat(space)
        if GOAL_KEY in space.spaces:
            check_goal_id_space(space[GOAL_KEY], read_goal_names(env))
    is_goal_env = isinstance(space, spaces.Dict) and {"achieved_goal", DESIRED_GOAL_KEY} <= set(space.spaces)
    if hasattr(env.unwrapped, "compute_reward") and not is_goal_env:
        raise ContractError(
            "expected no method compute_reward on an environment whose observation lacks 'achieved_goal' and 'desired_goal', "
            f"got one on {type(env.unwrapped).__name__} with observation space {space}; rename the method, because "
            "Stable-Baselines3 treats any environment with compute_reward as a GoalEnv and requires those keys"
        )


def check_flat(space: spaces.Dict) -> None:
    """
    Raise if a Dict observation space contains a Dict or Tuple space.

    :param space: the observation space
    """
    nested = [key for key, inner in space.spaces.items() if isinstance(inner, spaces.Dict | spaces.Tuple)]
    if nested:
        raise ContractError(
            f"expected a flat Dict observation space, got a {type(space[nested[0]]).__name__} under {quote(nested)}; "
            "move the inner keys to the top level, because Stable-Baselines3 does not support nested observations"
        )


def check_goal_id_space(space: gym.Space[Any], names: Sequence[str]) -> None:
    """
    Raise unless the space of commanded goals consists of exactly the goal indices.

    :param space: the space of ``goal_id``
    :param names: the goal names
    """
    if not isinstance(space, spaces.Discrete) or space.n != len(names) or space.start != 0:
        raise ContractError(
            f"expected observation_space[{GOAL_KEY!r}] to be Discrete({len(names)}), one value per goal, got {space}; "
            "use Discrete(len(goal_names))"
        )
