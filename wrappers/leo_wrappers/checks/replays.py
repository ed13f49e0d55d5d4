"""Checks that play episodes again with one change that must not change the masks."""

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils.env_checker import data_equivalence

from leo_wrappers.checks.checker import ContractChecker
from leo_wrappers.checks.declarations import read_goal_names
from leo_wrappers.checks.errors import ContractError, RunPosition
from leo_wrappers.checks.goal_conditioned import is_goal_conditioned, without_goal_input
from leo_wrappers.checks.mask_consistency import observation_key
from leo_wrappers.checks.recording import Call, repeat_call, to_source
from leo_wrappers.checks.results import StepResult
from leo_wrappers.checks.time_limits import time_limit_wrappers
from leo_wrappers.goal_set import BoolArray
from leo_wrappers.keys import MASK_KEY

# Number of goals that are commanded in turn to check that the masks do not depend on the goal, and of steps per episode.
COMMANDED_GOALS = 8
COMMANDED_STEPS = 25
# Number of last steps of episodes, and of first steps of the run, that are repeated with other random numbers.
MAX_ENDS = 5
MAX_RANDOM_STEPS = 5
# Number of episodes that are repeated with a shorter time limit, and of steps per episode.
MAX_TRUNCATIONS = 3
TRUNCATED_STEPS = 25
# Number of episodes whose actions are played in other orders, and of actions per episode.
MAX_ORDERS = 10
ORDER_STEPS = 8
# Number of steps that are repeated after a reset with options.
OPTION_STEPS = 10


def check_random_masks(checker: ContractChecker) -> None:
    """
    Repeat single steps, above all last ones, with other random numbers, and compare the masks if the observations are equal.

    This detects masks that are drawn at random and those of a reset state that is drawn within the last step, even if
    observations never repeat.

    :param checker: the checker that recorded the episodes
    """
    results = [call.result for call in checker.calls]
    steps = [i for i, result in enumerate(results) if isinstance(result, StepResult)]
    ends = [i for i in steps if getattr(results[i], "done", False)]
    for numbers in (ends[:MAX_ENDS], steps[:MAX_RANDOM_STEPS]):
        for number in numbers:
            if not _repeat_with_other_numbers(checker, number):
                break


def _repeat_with_other_numbers(checker: ContractChecker, number: int) -> bool:
    """Repeat a recorded call after all calls before it; return whether it drew random numbers."""
    env, result = checker.env.unwrapped, checker.calls[number].result
    position = RunPosition(action_source=checker.position.action_source)
    for call in checker.calls[:number]:
        repeat_call(checker.env, call, position)
    generator, env.np_random = env.np_random, np.random.default_rng(number)
    again = repeat_call(checker.env, checker.calls[number], position)
    has_drawn = env.np_random.bit_generator.state != np.random.default_rng(number).bit_generator.state
    env.np_random = generator
    assert result is not None and again is not None
    same = data_equivalence(without_goal_input(result.observation), without_goal_input(again.observation))
    if has_drawn and same and not np.array_equal(result.mask, again.mask):
        raise position.mask_error(
            read_goal_names(checker.env),
            result.mask,
            again.mask,
            "the mask to describe the same state as the observation",
            "compute the mask without random numbers and before any reset; or pass observation_determines_mask=False if the "
            "goals depend on parts of the state that are not in the observation",
            "another mask for the same observation and other random numbers",
        )
    return has_drawn


def check_truncated_masks(checker: ContractChecker, seed: int, actions: list[Any]) -> None:
    """
    Repeat the beginning of episodes with a shorter time limit, which must change neither the masks nor ``terminated``.

    :param checker: the checker of the environment
    :param seed: the seed of the first episode
    :param actions: the actions of all episodes
    """
    limits = time_limit_wrappers(checker.env)
    if not limits:
        return
    original = [limit._max_episode_steps for limit in limits]
    for number in range(min(MAX_TRUNCATIONS, len(actions))):
        start = number * len(actions) // MAX_TRUNCATIONS
        part = actions[start : start + TRUNCATED_STEPS]
        source = f"{checker.position.action_source} Those of this episode begin with number {start + 1}."
        position = RunPosition(action_source=source)
        steps = [result for _, result in play_actions(checker.env, seed + number, part, position)]
        last = _step_to_truncate(steps)
        if last is None:
            continue
        position.action_source += f" The TimeLimit was set to {last + 1} steps."
        try:
            for limit in limits:
                limit._max_episode_steps = last + 1
            again = [result for _, result in play_actions(checker.env, seed + number, part[: last + 1], position)]
        finally:
            for limit, limit_steps in zip(limits, original, strict=True):
                limit._max_episode_steps = limit_steps
        _compare_truncated(read_goal_names(checker.env), steps[last], again[-1], position)


def _step_to_truncate(steps: list[StepResult]) -> int | None:
    """Return the last step at which the episode can be truncated, if possible one that changes the mask."""
    running = [i for i, step in enumerate(steps) if not step.done]
    changing = [i for i in running[1:] if steps[i].mask.any() and not np.array_equal(steps[i].mask, steps[i - 1].mask)]
    return next(reversed(changing or running), None)


def _compare_truncated(names: tuple[str, ...], first: StepResult, again: StepResult, position: RunPosition) -> None:
    if not again.truncated:
        raise position.error(
            "truncated=True where a TimeLimit ends the episode",
            f"terminated={again.terminated}, truncated={again.truncated}",
            "pass truncated through unchanged, because algorithms treat the value of a terminal state as 0",
        )
    if not np.array_equal(first.mask, again.mask):
        raise position.mask_error(
            names,
            first.mask,
            again.mask,
            "the same mask for the last step of a truncated episode as without the truncation",
            "on the step that ends an episode, return the mask of the state that the last observation describes",
        )


def check_reset_options(checker: ContractChecker) -> None:
    """
    Repeat the first steps after a reset with options that must not change the masks of the same observations.

    :param checker: the checker that recorded the episode
    """
    first = checker.calls[0].result
    assert first is not None
    choices: list[dict[str, Any]] = [{}]
    if not is_goal_conditioned(checker.env.observation_space):
        choices.append({"goal": int(np.argmin(first.mask))})
        if isinstance(first.observation, dict) and "achieved_goal" in first.observation:
            choices.append({"desired_goal": first.observation["achieved_goal"].copy()})
    for options in choices:
        try:
            _repeat_with_options(checker, options)
        except ContractError:
            raise
        except Exception:
            # An environment may reject options that it does not know, with any error.
            if not options:
                raise


def _repeat_with_options(checker: ContractChecker, options: dict[str, Any]) -> None:
    position = RunPosition(action_source=f"{checker.position.action_source} The options of the reset are {options}.")
    for number, call in enumerate(checker.calls[: OPTION_STEPS + 1]):
        if number > 0 and call.method == "reset":
            return
        changed = Call("reset", {**call.arguments, "options": options}, call.result, call.goal) if number == 0 else call
        again = repeat_call(checker.env, changed, position)
        assert call.result is not None and again is not None
        space = checker.env.observation_space
        if observation_key(space, call.result.observation) != observation_key(space, again.observation):
            return
        if not np.array_equal(call.result.mask, again.mask):
            raise position.mask_error(
                read_goal_names(checker.env),
                call.result.mask,
                again.mask,
                "for the same seed and actions the same mask as without reset options",
                "compute the mask from the state alone, or pass observation_determines_mask=False if options change the goals",
            )


def check_action_orders(checker: ContractChecker, seed: int, actions: list[Any]) -> None:
    """
    Play the same actions in different orders from the same seed, and compare the masks wherever the observations are equal.

    This detects masks that depend on how a state was reached, such as late ones, also where the observation contains the time.

    :param checker: the checker of the environment
    :param seed: the seed of the first episode
    :param actions: the actions of all episodes
    """
    consistency = checker.evidence.consistency
    assert consistency is not None
    for number in range(min(MAX_ORDERS, len(actions) // ORDER_STEPS)):
        part = actions[number * ORDER_STEPS : (number + 1) * ORDER_STEPS]
        known: dict[bytes, tuple[list[str], BoolArray]] = {}
        for order in (part, part[::-1], [*part[1:], part[0]]):
            position = RunPosition(action_source=f"The actions of this run are {to_source(order)}.")
            for path, result in play_actions(checker.env, seed + number, order, position):
                key = observation_key(checker.env.observation_space, result.observation)
                other, mask = known.setdefault(key, (path, result.mask.copy()))
                if other == path:
                    continue
                consistency.num_masks += 1
                consistency.num_compared += 1
                if not np.array_equal(mask, result.mask):
                    raise position.mask_error(
                        read_goal_names(checker.env),
                        mask,
                        result.mask,
                        f"the same mask as after the actions [{', '.join(other)}], where the observation was the same",
                        "compute the mask from the state that the returned observation describes, after the step; or pass "
                        "observation_determines_mask=False if the goals depend on parts of the state that are not in the "
                        "observation, or on the history of the episode",
                    )


def play_actions(
    env: gym.Env[Any, Any], seed: int, actions: list[Any], position: RunPosition
) -> Iterator[tuple[list[str], StepResult]]:
    """
    Play an episode, and yield the actions so far and the result of every step.

    :param env: the environment
    :param seed: the seed of the reset
    :param actions: the actions
    :param position: advanced by the calls
    """
    repeat_call(env, Call("reset", {"seed": seed, "options": None}), position)
    path: list[str] = []
    for action in actions:
        path = [*path, to_source(action)]
        result = repeat_call(env, Call("step", {"action": action}), position)
        assert isinstance(result, StepResult)
        yield path, result
        if result.done:
            return


def check_commanded_goals(env: gym.Env[Any, Any], seed: int, actions: list[Any], action_source: str) -> None:
    """
    Play the same actions from the same seeds with different commanded goals, and compare the masks.

    :param env: the environment
    :param seed: the seed of the first episode
    :param actions: the actions of all episodes
    :param action_source: a sentence on how to generate the actions, for the error message
    """
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
