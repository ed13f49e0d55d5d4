"""Check a multi-goal environment."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym

from leo_wrappers.checks.arguments import check_checker_arguments
from leo_wrappers.checks.checker import ContractChecker
from leo_wrappers.checks.declarations import check_same_goal_names, read_goal_names
from leo_wrappers.checks.episodes import Oracle
from leo_wrappers.checks.external import run_gymnasium_check, run_sb3_check
from leo_wrappers.checks.recording import sample_actions
from leo_wrappers.checks.replays import (
    check_action_orders,
    check_commanded_goals,
    check_random_masks,
    check_reset_options,
    check_truncated_masks,
)


def check_multigoal_env(
    env: gym.Env[Any, Any],
    *,
    seed: int = 0,
    steps: int = 200,
    observation_determines_mask: bool = True,
    oracle: Oracle | None = None,
    env_fn: Callable[[], gym.Env[Any, Any]] | None = None,
    skip_sb3_check: bool = False,
    skip_gymnasium_check: bool = False,
) -> None:
    """
    Check that an environment follows the multi-goal contract and the APIs of Gymnasium and Stable-Baselines3.

    Plays random episodes and checks every mask (present, bool, of shape ``(G,)``, a fresh array, the same for the same
    observation), the goal names, the types of reward, terminated and truncated, and in goal-conditioned environments reward,
    ``goal_id`` and ``is_success``. Then replays the same calls, also with shorter time limits, reset options, other random
    numbers in some steps, other orders of the actions and other commanded goals, compares the masks, and runs the other two
    checkers. A :class:`~leo_wrappers.checks.ContractError` reports the goals, the step and the seed, what was expected, and
    how to fix it. A ``UserWarning`` reports masks that are probably wrong and, without a goal set, how many could be compared.
    The environment is left open; reset it before its next use.

    Every mask is computed again where there is a goal set: that of a :class:`~leo_wrappers.MultiGoalWrapper`, or an attribute
    ``goal_set`` of the environment without wrappers, tested on the observation's ``achieved_goal`` or on what its method
    ``goal_signal(observation, info)`` returns.

    :param env: the environment
    :param seed: seed of the environment and the actions
    :param steps: number of steps to play, over as many episodes as they take
    :param observation_determines_mask: raise if the same observation is returned with two different masks, or if a mask
        differs from the one that the goal set computes. This detects masks of another state than the observation's, such as
        that before the step or the first one of the next episode. Set it to False where goals depend on parts of the state
        that are not in the observation (partial observability), or on the history of the episode.
    :param oracle: ``(observation, info) -> mask``, an independent computation of the mask, compared at every reset and step
    :param env_fn: creates another copy of the environment, which must have the same goal names and reproduce the run
    :param skip_sb3_check: skip ``stable_baselines3.common.env_checker.check_env``, which otherwise runs if installed
    :param skip_gymnasium_check: skip ``gymnasium.utils.env_checker.check_env``

    Example::

        >>> import gymnasium as gym
        >>> from leo_wrappers import MultiGoalWrapper, PredicateGoals
        >>> goals = PredicateGoals({"pole/left": lambda obs: obs[..., 2] < 0, "cart/left": lambda obs: obs[..., 0] < 0})
        >>> check_multigoal_env(MultiGoalWrapper(gym.make("CartPole-v1"), goals), skip_sb3_check=True)
    """
    if not isinstance(env, gym.Env):
        raise TypeError(
            f"expected a gymnasium.Env, got {type(env).__name__}; use check_multigoal_vec_env for vector environments"
        )
    check_checker_arguments(
        oracle=oracle,
        env_fn=env_fn,
        steps=steps,
        seed=seed,
        observation_determines_mask=observation_determines_mask,
        skip_sb3_check=skip_sb3_check,
        skip_gymnasium_check=skip_gymnasium_check,
    )
    actions = sample_actions(env.action_space, seed, steps)
    action_source = f"The actions of this run are env.action_space.sample() after env.action_space.seed({seed})."
    checker = ContractChecker(env, observation_determines_mask=observation_determines_mask, oracle=oracle, record=True)
    checker.position.action_source = action_source
    play(checker, seed, actions)
    if not (env.spec is not None and env.spec.nondeterministic):
        checker.replay()
        if env_fn is not None:
            _check_copy(checker, env_fn)
        check_truncated_masks(checker, seed, actions)
        if observation_determines_mask:
            check_random_masks(checker)
            check_reset_options(checker)
            if not checker.masks_are_verified:
                check_action_orders(checker, seed, actions)
        check_commanded_goals(env, seed, actions, action_source)
    checker.evidence.warn(checker.masks_are_verified, stacklevel=2)
    env.action_space.seed(seed)  # the external checkers sample from it
    if not skip_gymnasium_check:
        run_gymnasium_check(env)
    if not skip_sb3_check:
        run_sb3_check(env)


def play(env: ContractChecker, seed: int, actions: list[Any]) -> None:
    """
    Play the actions after a seeded reset, with an unseeded reset after every episode and after the last action.

    :param env: the environment
    :param seed: the seed of the first reset
    :param actions: the actions
    """
    env.reset(seed=seed)
    for action in actions:
        env.step(action)
        if env.needs_reset:
            env.reset()
    env.reset()


def _check_copy(checker: ContractChecker, env_fn: Callable[[], gym.Env[Any, Any]]) -> None:
    other = env_fn()
    try:
        check_same_goal_names(read_goal_names(checker.env), read_goal_names(other), "the copy made by env_fn")
        checker.replay(other)
    finally:
        other.close()
