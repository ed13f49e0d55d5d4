"""The checker of one multi-goal environment."""

import copy
import importlib.util
import warnings
from collections.abc import Callable
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium.utils.env_checker import check_env as gymnasium_check_env

from leo_wrappers.checks.checker import ContractChecker, Oracle
from leo_wrappers.checks.declarations import read_goal_names
from leo_wrappers.checks.errors import Clock, ContractError, quote, select_names
from leo_wrappers.checks.goal_judge import is_goal_view
from leo_wrappers.goal_set import BoolArray
from leo_wrappers.keys import GOAL_INPUT_KEYS
from leo_wrappers.multi_goal import goal_env_method

# How many different goals are commanded to see whether the mask cares, and for how many steps an episode.
COMMANDED_GOALS = 8
COMMANDED_STEPS = 25


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
    Checks that an environment keeps the multi-goal contract, and Gymnasium's and Stable-Baselines3's API with it.

    It plays random episodes and checks every mask (there, bool, of shape ``(G,)``, a fresh array, of the state that the
    observation describes), the goal names, the scalars' types, and in a goal-conditioned view reward, ``goal_id`` and
    ``is_success``. Then it repeats the same calls and compares, commands different goals and compares the masks, and runs the
    other two checkers. A :class:`~leo_wrappers.checks.ContractError` says which goals, at which step, from which seed, what
    was expected, and what to do. The environment is left open, to be reset before its next use.

    :param env: the environment
    :param seed: seeds the environment and the actions
    :param steps: how many steps to play, in as many episodes as they need
    :param observation_determines_mask: refuse two different masks for the same observation. It finds masks of another state
        than the observation's: one step late, or of the next episode. Turn it off where goals are about something that the
        observation does not show (partial observation), or about what happened on the way.
    :param oracle: ``(observation, info) -> mask``, another way to compute the mask, which must agree at every reset and step
    :param env_fn: makes another copy of the environment, which must have the same goal names and give the same run
    :param skip_sb3_check: do not run ``stable_baselines3.common.env_checker.check_env``, which else runs if it is installed
    :param skip_gymnasium_check: do not run ``gymnasium.utils.env_checker.check_env``

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
    if steps < 1:
        raise ValueError(f"expected at least one step, got steps={steps}")
    actions = sample_actions(env.action_space, seed, steps)
    origin = f"The actions of this run are env.action_space.sample() after env.action_space.seed({seed})."
    checker = ContractChecker(env, observation_determines_mask=observation_determines_mask, oracle=oracle, record=True)
    checker.clock.origin = origin
    play(checker, seed, actions)
    if not (env.spec is not None and env.spec.nondeterministic):
        checker.replay()
        if env_fn is not None:
            _compare_copy(checker, env_fn)
        _check_commanded_goals(env, seed, actions, origin)
    checker.warn_if_suspicious()
    env.action_space.seed(seed)  # the other checkers sample from it
    if not skip_gymnasium_check:
        run_gymnasium_check(env)
    if not skip_sb3_check:
        run_sb3_check(env)


def sample_actions(space: gym.Space[Any], seed: int, steps: int) -> list[Any]:
    """
    The actions that ``space.sample()`` gives after ``space.seed(seed)``, without touching the space.

    :param space: the action space
    :param seed: its seed
    :param steps: how many
    """
    space = copy.deepcopy(space)
    space.seed(seed)
    return [space.sample() for _ in range(steps)]


def play(env: ContractChecker, seed: int, actions: list[Any]) -> None:
    """
    Plays the actions from a seeded reset, with unseeded resets where episodes end, and one at the end.

    :param env: the environment
    :param seed: its seed
    :param actions: what to do
    """
    env.reset(seed=seed)
    for action in actions:
        env.step(action)
        if env.needs_reset:
            env.reset()
    env.reset()


def _compare_copy(checker: ContractChecker, env_fn: Callable[[], gym.Env[Any, Any]]) -> None:
    other = env_fn()
    try:
        names, others = read_goal_names(checker.env), read_goal_names(other)
        if names != others:
            changed = [name for name in others if name not in names]
            raise ContractError(
                f"expected every copy of the environment to have the same goal_names, got {len(names)} and {len(others)} "
                f"names, new in the second: {quote(changed)}; derive the names from the constructor's arguments alone",
                goals=changed,
            )
        checker.replay(other)
    finally:
        other.close()


def _check_commanded_goals(env: gym.Env[Any, Any], seed: int, actions: list[Any], origin: str) -> None:
    """Plays the same actions from the same seeds with different goals commanded, and compares the masks."""
    by_options = is_goal_view(env.observation_space)
    if not by_options and not env.has_wrapper_attr("set_commanded_goal"):
        return
    names = read_goal_names(env)
    goals = np.unique(np.linspace(0, len(names) - 1, COMMANDED_GOALS).astype(int)).tolist()
    for start in range(0, len(actions), COMMANDED_STEPS):
        part = actions[start : start + COMMANDED_STEPS]
        episode_seed = seed + start // COMMANDED_STEPS
        moment = Clock(origin=f"{origin} This episode's begin with number {start + 1} of them." if start else origin)
        first, *others = (_masks_under_goal(env, goal, episode_seed, part, by_options) for goal in goals)
        for goal, masks in zip(goals[1:], others, strict=True):
            _compare_masks(names, (goals[0], first), (goal, masks), episode_seed, moment)
    if not by_options:
        env.get_wrapper_attr("set_commanded_goal")(None)


def _masks_under_goal(env: gym.Env[Any, Any], goal: int, seed: int, actions: list[Any], by_options: bool) -> list[BoolArray]:
    if not by_options:
        env.get_wrapper_attr("set_commanded_goal")(goal)
    _, info = env.reset(seed=seed, options={"goal": goal} if by_options else None)
    if not by_options:
        env.get_wrapper_attr("set_commanded_goal")(goal)
    masks = [info["goals_achieved"]]
    for action in actions:
        _, _, terminated, truncated, info = env.step(action)
        masks.append(info["goals_achieved"])
        if terminated or truncated:
            break
    return masks


def _compare_masks(
    names: tuple[str, ...], one: tuple[int, list[BoolArray]], two: tuple[int, list[BoolArray]], seed: int, clock: Clock
) -> None:
    clock.tick_reset(seed)
    # Achieving the commanded goal may end an episode: the shorter one is compared.
    for step, (mask_one, mask_two) in enumerate(zip(one[1], two[1], strict=False)):
        if step > 0:
            clock.tick_step()
        differ = select_names(names, mask_one != mask_two)
        if differ:
            raise clock.error(
                f"the same mask whichever goal is commanded (with {names[one[0]]!r}, achieved: "
                f"{quote(select_names(names, mask_one))})",
                f"another one with {names[two[0]]!r} (achieved: {quote(select_names(names, mask_two))})",
                "compute the mask, and everything that happens, without looking at the commanded goal",
                differ,
            )


class _GoalEnvWrapper(gym.Wrapper[Any, Any, Any, Any]):
    """
    Passes on the methods of goal environments, which Gymnasium's own wrappers hide: TimeLimit, for one, is on everything that
    ``gym.make`` returns, and Stable-Baselines3 asks the outermost wrapper for them.
    """

    def __getattr__(self, name: str) -> Any:
        return goal_env_method(self, name)


class _PinnedGoal(_GoalEnvWrapper):
    """
    Commands and shows always goal 0, for checkers that know nothing of goals: a selector that learns would look
    non-deterministic to Gymnasium's, a switch of goals like a reward for the wrong goal to Stable-Baselines3's.
    """

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options={**(options or {}), "goal": 0})
        self._shown = {key: observation[key] for key in GOAL_INPUT_KEYS if key in observation}
        return observation, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        observation, *rest = self.env.step(action)
        return {**observation, **copy.deepcopy(self._shown)}, *rest  # type: ignore[return-value]


def _pinned(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    return (_PinnedGoal if is_goal_view(env.observation_space) else _GoalEnvWrapper)(env)


def run_gymnasium_check(env: gym.Env[Any, Any]) -> None:
    """
    Runs Gymnasium's checker on the environment as it is, wrappers included.

    :param env: the environment
    """
    with warnings.catch_warnings():
        # The wrappers are meant to be checked too: without them there is no mask.
        warnings.filterwarnings("ignore", message=".*is different from the unwrapped version.*")
        try:
            gymnasium_check_env(_pinned(env), skip_render_check=True, skip_close_check=True)
        except (AssertionError, gym.error.Error) as error:
            raise ContractError(
                f"expected the environment to pass gymnasium.utils.env_checker.check_env, got: {error}; "
                "see https://gymnasium.farama.org/introduction/create_custom_env for what it asks for"
            ) from error


def run_sb3_check(env: gym.Env[Any, Any]) -> None:
    """
    Runs Stable-Baselines3's checker, if it is installed.

    :param env: the environment
    """
    if importlib.util.find_spec("stable_baselines3") is None:
        return
    from stable_baselines3.common.env_checker import check_env as sb3_check_env

    try:
        sb3_check_env(_pinned(env))
    except AssertionError as error:
        raise ContractError(
            f"expected the environment to pass stable_baselines3.common.env_checker.check_env, got: {error}; "
            "see https://stable-baselines3.readthedocs.io/en/master/guide/custom_env.html for what it asks for"
        ) from error
