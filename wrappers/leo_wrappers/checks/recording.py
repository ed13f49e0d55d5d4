"""Record calls of an environment, to replay them, compare their results and write them as source code."""

import copy
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import GraphInstance
from gymnasium.utils.env_checker import data_equivalence

from leo_wrappers.checks.errors import RunPosition
from leo_wrappers.checks.goal_conditioned import commanded_goal, goal_setter_name, replay_options, without_goal_input
from leo_wrappers.checks.results import ResetResult, Result, StepResult
from leo_wrappers.goal_set import BoolArray
from leo_wrappers.keys import MASK_KEY

REMEDY = (
    "draw every random number from self.np_random, which reset(seed=...) seeds, set the whole state in reset(), and check "
    "the environment without wrappers that keep statistics, such as NormalizeObservation and NormalizeReward"
)


@dataclass
class Call:
    """
    A call of a :class:`~leo_wrappers.checks.ContractChecker`.

    :param method: the name of the method
    :param arguments: its arguments
    :param result: a copy of what it returned; None if it returned nothing or raised
    :param goal: for a reset, the goal that was commanded before it
    """

    method: str
    arguments: dict[str, Any]
    result: Result | None = None
    goal: int | None = None

    def code(self, env: str = "env") -> str:
        """
        Write the call as a line of Python.

        :param env: the name of the environment

        Example::

            >>> Call("reset", {"seed": 3, "options": None}).code()
            'env.reset(seed=3)'
            >>> Call("step", {"action": np.array([0.5], dtype=np.float32)}).code()
            'env.step(np.array([0.5], dtype=np.float32))'
        """
        given = [(key, to_source(value)) for key, value in self.arguments.items() if value is not None]
        keyword = self.method == "reset"
        return f"{env}.{self.method}({', '.join(f'{key}={text}' if keyword else text for key, text in given)})"


def to_source(value: Any) -> str:
    """
    Write an element of any Gymnasium space as source code, for programs with ``import numpy as np``.

    :param value: the element

    Example::

        >>> to_source((np.int64(2), {"a": "x"}))
        "(np.int64(2), {'a': 'x'})"
    """
    if isinstance(value, np.ndarray):
        values = repr(value.tolist()).replace("inf", "np.inf").replace("nan", "np.nan")
        text = f"np.array({values}, dtype=np.{value.dtype})"
        return text if value.size else f"{text}.reshape({value.shape})"
    if isinstance(value, GraphInstance):
        return f"gym.spaces.GraphInstance({', '.join(to_source(part) for part in value)})"
    if isinstance(value, tuple):
        return f"({', '.join(to_source(part) for part in value)}{',' if len(value) == 1 else ''})"
    if isinstance(value, list):
        return f"[{', '.join(to_source(part) for part in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {to_source(part)}' for key, part in value.items())}}}"
    return repr(value)


def sample_actions(space: gym.Space[Any], seed: int, steps: int) -> list[Any]:
    """
    Return the actions that ``space.sample()`` returns after ``space.seed(seed)``, without changing the space's generator.

    :param space: the action space
    :param seed: the seed
    :param steps: the number of actions
    """
    space = copy.deepcopy(space)
    space.seed(seed)
    return [space.sample() for _ in range(steps)]


def repeat_call(env: gym.Env[Any, Any], call: Call, position: RunPosition) -> Result | None:
    """
    Repeat a recorded call.

    :param env: the environment to call
    :param call: the call
    :param position: advanced by the call
    :return: the result; None for calls that return nothing
    """
    if call.method == "reset":
        position.count_reset(call.arguments["seed"])
        if goal_setter_name(env) == "set_commanded_goal":
            # The environment may keep the commanded goal across resets: restore the one from the first time.
            env.get_wrapper_attr("set_commanded_goal")(call.goal)
        recorded = None if call.result is None else call.result.observation
        options = replay_options(env, call.arguments["options"], recorded)
        observation, info = env.reset(seed=call.arguments["seed"], options=options)
        return ResetResult(observation, _mask_in(info, position), info)
    if call.method == "step":
        position.count_step()
        observation, reward, terminated, truncated, info = env.step(call.arguments["action"])
        mask = _mask_in(info, position)
        return StepResult(observation, mask, float(reward), terminated or truncated, terminated, truncated, info)
    if call.method == "command_goal":
        name = goal_setter_name(env)
        assert name is not None
        env.get_wrapper_attr(name)(call.arguments["goal"])
    return None


def _mask_in(info: dict[str, Any], position: RunPosition) -> BoolArray:
    if MASK_KEY not in info:
        raise position.error(
            f'info["{MASK_KEY}"] at every reset and every step',
            f"only the keys {sorted(map(str, info))}",
            "add the mask to the info on every return path",
        )
    mask: BoolArray = info[MASK_KEY]
    return mask


def check_same_result(first: Result, again: Result, names: tuple[str, ...], position: RunPosition, source: str) -> None:
    """
    Raise if a repeated call did not return what it returned the first time.

    :param first: the first result
    :param again: the result of the repeated call
    :param names: the goal names
    :param position: where in the run, for the error message
    :param source: what the first result is called in the error message
    """
    if not np.array_equal(first.mask, again.mask):
        raise position.mask_error(
            names, first.mask, again.mask, f"for the same seed and actions the same mask as {source}", REMEDY
        )
    if not data_equivalence(without_goal_input(first.observation), without_goal_input(again.observation)):
        raise position.error(
            f"for the same seed and actions the same observation as {source}, {first.observation!r}"[:500],
            f"{again.observation!r}"[:300],
            REMEDY,
        )
    # A selector may have switched to another goal than the first time, which changes reward and termination.
    if isinstance(first, StepResult) and isinstance(again, StepResult) and commanded_goal(first.observation) is None:
        wanted, got = ((step.reward, step.terminated, step.truncated) for step in (first, again))
        if wanted[1:] != got[1:] or not np.isclose(wanted[0], got[0], rtol=1e-5, atol=1e-5, equal_nan=True):
            expected = f"for the same seed and actions the same (reward, terminated, truncated) as {source}, {wanted}"
            raise position.error(expected, f"{got}", REMEDY)
