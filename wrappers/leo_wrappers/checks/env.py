"""Check a multi-goal environment."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils.env_checker import data_equivalence

from leo_wrappers.checks.checker import ContractChecker, Oracle
from leo_wrappers.checks.declarations import check_same_goal_names, read_goal_names
from leo_wrappers.checks.errors import RunPosition
from leo_wrappers.checks.external import run_gymnasium_check, run_sb3_check
from leo_wrappers.checks.goal_conditioned import is_goal_conditioned, without_goal_input
from leo_wrappers.checks.recording import repeat_call, sample_actions
from leo_wrappers.checks.results import StepResult
from leo_wrappers.goal_set import BoolArray
from leo_wrappers.keys import MASK_KEY

# Number of goals that are commanded in turn to check that the masks do not depend on the goal, and of steps per episode.
COMMANDED_GOALS = 8
COMMANDED_STEPS = 25
# Number of episodes whose last step is repeated with other random numbers.
MAX_ENDS = 5


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
    ``goal_id`` and ``is_success``. Then replays the same calls, commands different goals and compares the masks, and runs the
    other two checkers. A :class:`~leo_wrappers.checks.ContractError` reports the goals, the step and the seed, what was
    expected, and how to fix it. A ``UserWarning`` reports masks that are probably wrong, and how many could be compared where
    observations rarely repeat. The environment is left open; reset it before its next use.

    :param env: the environment
    :param seed: seed of the environment and the actions
    :param steps: number of steps to play, over as many episodes as they take
    :param observation_determines_mask: raise if the same observation is returned with two different masks, or if a mask
        differs from the one that a :class:`~leo_wrappers.MultiGoalWrapper` in the environment computes. Where
        observations repeat or there is such a wrapper, this detects masks of another state than the observation's, one step
        late or of the next episode. Set it to False where goals depend on parts of the state that are not in the observation
        (partial observability), or on the history of the episode.
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
    _check_arguments(env, steps)
    actions = sample_actions(env.action_space, seed, steps)
    action_source = f"The actions of this run are env.action_space.sample() after env.action_space.seed({seed})."
    checker = ContractChecker(env, observation_determines_mask=observation_determines_mask, oracle=oracle, record=True)
    checker.position.action_source = action_source
    play(checker, seed, actions)
    if not (env.spec is not None and env.spec.nondeterministic):
        checker.replay()
        if observation_determines_mask:
            _check_terminal_masks(checker)
        if env_fn is not None:
            _check_copy(checker, env_fn)
        _check_commanded_goals(env, seed, actions, action_source)
    checker.warn()
    env.action_space.seed(seed)  # the external checkers sample from it
    if not skip_gymnasium_check:
        run_gymnasium_check(env)
    if not skip_sb3_check:
        run_sb3_check(env)


def _check_arguments(env: Any, steps: int) -> None:
    if not isinstance(env, gym.Env):
        raise TypeError(
            f"expected a gymnasium.Env, got {type(env).__name__}; use check_multigoal_vec_env for vector environments"
        )
    if steps < 1:
        raise ValueError(f"expected at least one step, got steps={steps}; pass a positive number of steps")


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


def _check_terminal_masks(checker: ContractChecker) -> None:
    """
    Repeat last steps of episodes with other random numbers, and compare the masks if the observations are equal.

    This detects the mask of a reset state that is drawn within the last step, even if observations never repeat.
    """
    env, names = checker.env.unwrapped, read_goal_names(checker.env)
    results = [call.result for call in checker.calls]
    ends = [(i, result) for i, result in enumerate(results) if isinstance(result, StepResult) and result.done]
    for end, result in ends[:MAX_ENDS]:
        position = RunPosition(action_source=checker.position.action_source)
        for call in checker.calls[:end]:
            repeat_call(checker.env, call, position)
        generator, env.np_random = env.np_random, np.random.default_rng(end)
        again = repeat_call(checker.env, checker.calls[end], position)
        has_drawn = env.np_random.bit_generator.state != np.random.default_rng(end).bit_generator.state
        env.np_random = generator
        if again is None or not has_drawn:
            return
        same = data_equivalence(without_goal_input(result.observation), without_goal_input(again.observation))
        if same and not np.array_equal(result.mask, again.mask):
            raise position.mask_error(
                names,
                result.mask,
                again.mask,
                "the last mask of an episode to describe the same state as the last observation",
                "compute the mask before any reset; or pass observation_determines_mask=False if the goals depend on parts of "
                "the state that are not in the observation",
                "another mask for the same observation and other random numbers",
            )


def _check_commanded_goals(env: gym.Env[Any, Any], seed: int, actions: list[Any], action_source: str) -> None:
    """Play the same actions from the same seeds with different commanded goals, and compare the masks."""
    by_options = is_goal_conditioned(env.observation_space)
    if not by_options and not env.has_wrapper_attr("set_commanded_goal"):
        return
    names = read_goal_names(env)
    goals = np.unique(np.linspace(0, len(names) - 1, COMMANDED_GOALS).astype(int)).tolist()
    for start in range(0, len(actions), COMMANDED_STEPS):
        part = actions[start : start + COMMANDED_STEPS]
        episode_seed = seed + start // COMMANDED_STEPS
        source = f"{action_source} Those of this episode begin with number {start + 1}." if start else action_source
        position = RunPosition(action_source=source)
        first, *others = (_masks_of_goal(env, goal, episode_seed, part, by_options) for goal in goals)
        for goal, masks in zip(goals[1:], others, strict=True):
            _compare_masks(names, (goals[0], first), (goal, masks), episode_seed, position)
    if not by_options:
        env.get_wrapper_attr("set_commanded_goal")(None)


def _masks_of_goal(env: gym.Env[Any, Any], goal: int, seed: int, actions: list[Any], by_options: bool) -> list[BoolArray]:
    """Return the masks of one episode in which the goal is commanded."""
    if not by_options:
        env.get_wrapper_attr("set_commanded_goal")(goal)
    _, info = env.reset(seed=seed, options={"goal": goal} if by_options else None)
    if not by_options:
        env.get_wrapper_attr("set_commanded_goal")(goal)
    masks = [info[MASK_KEY]]
    for action in actions:
        _, _, terminated, truncated, info = env.step(action)
        masks.append(info[MASK_KEY])
        if terminated or truncated:
            break
    return masks


def _compare_masks(
    names: tuple[str, ...],
    one: tuple[int, list[BoolArray]],
    two: tuple[int, list[BoolArray]],
    seed: int,
    position: RunPosition,
) -> None:
    position.count_reset(seed)
    # One episode may be shorter, because achieving the commanded goal may end it.
    for step, (mask_one, mask_two) in enumerate(zip(one[1], two[1], strict=False)):
        if step > 0:
            position.count_step()
        if not np.array_equal(mask_one, mask_two):
            raise position.mask_error(
                names,
                mask_one,
                mask_two,
                f"the same mask for every commanded goal, with {names[one[0]]!r}",
                "compute the mask and the dynamics independently of the commanded goal",
                f"another mask with {names[two[0]]!r}",
            )
