"""What an environment declares, before it is ever reset: goal names, spaces, methods."""

from typing import Any

import gymnasium as gym
from gymnasium import spaces

from leo_wrappers.checks.errors import ContractError, quote

GOAL_ENV_KEYS = ("achieved_goal", "desired_goal")


def read_goal_names(env: gym.Env[Any, Any]) -> tuple[str, ...]:
    """
    The goal names of an environment, refused unless they are what the contract asks for.

    :param env: the environment
    """
    try:
        names = env.get_wrapper_attr("goal_names")
    except AttributeError:
        raise ContractError(
            "expected the environment to have goal_names, got none on it or on anything that it wraps; "
            "set self.goal_names = (...) in its constructor, or wrap it with MultiGoalWrapper"
        ) from None
    return validate_goal_names(names)


def validate_goal_names(names: Any) -> tuple[str, ...]:
    """
    The same names, refused unless they are a tuple of unique, non-empty strings.

    :param names: what the environment calls its goal names
    """
    if not isinstance(names, tuple):
        raise ContractError(
            f"expected goal_names to be a tuple of str, got a {type(names).__name__}: {names!r}; "
            "write tuple(...) around it, so that nobody can change it"
        )
    if not names:
        raise ContractError("expected goal_names to name at least one goal, got (); give the goals names")
    wrong = [name for name in names if not isinstance(name, str) or not name]
    if wrong:
        raise ContractError(f"expected goal_names to hold non-empty str, got {wrong[:5]!r}; name every goal")
    duplicates = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if duplicates:
        raise ContractError(
            f"expected goal_names to be unique, got {quote(duplicates)} more than once; rename or drop them", goals=duplicates
        )
    return names


def check_declarations(env: gym.Env[Any, Any]) -> None:
    """
    Refuses spaces and methods that Stable-Baselines3 cannot read, or reads as something else.

    :param env: the environment
    """
    space = env.observation_space
    if isinstance(space, spaces.Dict):
        check_flat(space)
        if "goal_id" in space.spaces:
            check_goal_id_space(space["goal_id"], read_goal_names(env))
    is_goal_env = isinstance(space, spaces.Dict) and all(key in space.spaces for key in GOAL_ENV_KEYS)
    if hasattr(env.unwrapped, "compute_reward") and not is_goal_env:
        raise ContractError(
            "expected no method compute_reward on an environment whose observation lacks 'achieved_goal' and 'desired_goal', "
            f"got one on {type(env.unwrapped).__name__} with observation space {space}; rename the method, because "
            "Stable-Baselines3 takes any environment with compute_reward for a GoalEnv and then demands those keys"
        )


def check_flat(space: spaces.Dict) -> None:
    """
    Refuses an observation space with a Dict or Tuple inside its Dict.

    :param space: the observation space
    """
    nested = [key for key, inner in space.spaces.items() if isinstance(inner, spaces.Dict | spaces.Tuple)]
    if nested:
        raise ContractError(
            f"expected a flat Dict observation space, got a {type(space[nested[0]]).__name__} under {quote(nested)}; "
            "move the inner keys to the top, because Stable-Baselines3 refuses nested observations"
        )


def check_goal_id_space(space: gym.Space[Any], names: tuple[str, ...]) -> None:
    """
    Refuses a space of commanded goals that is not exactly the goal indices.

    :param space: the space under "goal_id"
    :param names: the goal names
    """
    if not isinstance(space, spaces.Discrete) or space.n != len(names) or space.start != 0:
        raise ContractError(
            f"expected observation_space['goal_id'] to be Discrete({len(names)}), one value a goal, got {space}; "
            "use Discrete(len(goal_names))"
        )
