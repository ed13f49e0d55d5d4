"""Wrapping of environments for training, and checks of what they offer."""

import gymnasium as gym
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.vec_env import VecEnv, unwrap_vec_wrapper

from leo_wrappers.keys import GOAL_KEY
from leo_wrappers.sb3 import GymVecEnv, VecGoalSampler
from leo_wrappers.validation import check_env


def find_goal_sampler(env: VecEnv | None) -> VecGoalSampler | None:
    """
    Return the ``VecGoalSampler`` among the wrappers of an environment.

    :param env: a wrapped vectorized environment
    :return: the wrapper, or None
    """
    return None if env is None else unwrap_vec_wrapper(env, VecGoalSampler)


def wrap_env(env: GymEnv, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
    """
    Wrap an environment as Stable-Baselines3 does; also takes Gymnasium's vector environments.

    :param env: an environment
    :param verbose: 1 to print the wrappers
    :param monitor_wrapper: whether to add a ``Monitor``
    :return: a vectorized environment
    """
    check_env(env, (gym.Env, VectorEnv, VecEnv))
    return BaseAlgorithm._wrap_env(GymVecEnv(env) if isinstance(env, VectorEnv) else env, verbose, monitor_wrapper)


def wrap_multi_goal_env(env: GymEnv, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
    """
    Wrap an environment, and add a ``VecGoalSampler`` if no wrapper commands goals yet.

    :param env: a multi-goal environment
    :param verbose: 1 to print the wrappers
    :param monitor_wrapper: whether to add a ``Monitor``
    :return: a goal-conditioned vectorized environment
    """
    venv = wrap_env(env, verbose, monitor_wrapper)
    if GOAL_KEY in getattr(venv.observation_space, "spaces", {}):
        return venv
    if verbose >= 1:
        print("Wrapping the env in a VecGoalSampler.")
    # A task need not end, and is no less worth commanding if it never has.
    return VecGoalSampler(venv, "uniform" if venv.has_attr("task_discounts") else "seen")


def check_discrete_actions(venv: VecEnv) -> VecEnv:
    """
    Raise a ``ValueError`` unless the actions are discrete.

    :param venv: vectorized environment
    :return: the environment
    """
    if not isinstance(venv.action_space, spaces.Discrete):
        remedy = "use LEOTD3 or LEOSAC" if isinstance(venv.action_space, spaces.Box) else "flatten the actions to Discrete"
        raise ValueError(f"expected Discrete actions, got {venv.action_space}; {remedy}")
    return venv


def check_same_goals(expected: tuple[str, ...], names: tuple[str, ...], what: str) -> None:
    """
    Raise a ``ValueError`` unless goals are those of a model, in their order.

    :param expected: names of the goals of the model
    :param names: names of the other goals
    :param what: description of what has the other goals
    """
    if names == expected:
        return
    if set(names) == set(expected):
        raise ValueError(
            f"expected {what} with the {len(expected)} goals of the model in this order, got them in another order; sort them"
        )
    missing, extra = sorted(set(expected) - set(names))[:3], sorted(set(names) - set(expected))[:3]
    raise ValueError(
        f"expected {what} with the {len(expected)} goals of the model, got {len(names)} other goals; "
        f"missing: {missing}, unknown: {extra}"
    )
