"""Calls of an environment as data: repeated on it, compared, and written out as source code."""

from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import GraphInstance
from gymnasium.utils.env_checker import data_equivalence

from leo_wrappers.checks.errors import Clock, quote, select_names
from leo_wrappers.checks.goal_judge import commander, shown_goal, without_goal
from leo_wrappers.goal_set import BoolArray
from leo_wrappers.keys import GOAL_KEY


@dataclass
class Outcome:
    """What a reset or a step returned, copied."""

    observation: Any
    mask: BoolArray
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    info: dict[str, Any] = field(default_factory=dict)


@dataclass
class Call:
    """
    One call.

    :param method: the checker's method that was called
    :param arguments: with what
    :param outcome: what came, None where nothing comes or where it raised
    :param commanded: the goal that the environment had been told of before a reset
    """

    method: str
    arguments: dict[str, Any]
    outcome: Outcome | None = None
    commanded: int | None = None

    def code(self, env: str = "env") -> str:
        """
        The call as a line of Python.

        :param env: the name of the environment there

        Example::

            >>> Call("reset", {"seed": 3, "options": None}).code()
            'env.reset(seed=3)'
            >>> Call("step", {"action": np.array([0.5], dtype=np.float32)}).code()
            'env.step(np.array([0.5], dtype=np.float32))'
        """
        given = [(key, literal(value)) for key, value in self.arguments.items() if value is not None]
        keyword = self.method == "reset"
        return f"{env}.{self.method}({', '.join(f'{key}={text}' if keyword else text for key, text in given)})"


def literal(value: Any) -> str:
    """
    Source code for a value of any Gymnasium space, given ``import numpy as np``.

    :param value: the value

    Example::

        >>> literal((np.int64(2), {"a": "x"}))
        "(np.int64(2), {'a': 'x'})"
    """
    if isinstance(value, np.ndarray):
        values = repr(value.tolist()).replace("inf", "np.inf").replace("nan", "np.nan")
        text = f"np.array({values}, dtype=np.{value.dtype})"
        return text if value.size else f"{text}.reshape({value.shape})"
    if isinstance(value, GraphInstance):
        return f"gym.spaces.GraphInstance({', '.join(literal(part) for part in value)})"
    if isinstance(value, tuple):
        return f"({', '.join(literal(part) for part in value)}{',' if len(value) == 1 else ''})"
    if isinstance(value, list):
        return f"[{', '.join(literal(part) for part in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {literal(part)}' for key, part in value.items())}}}"
    return repr(value)


def perform(env: gym.Env[Any, Any], call: Call, clock: Clock) -> Outcome | None:
    """
    Makes a recorded call again.

    :param env: the environment to make it on
    :param call: the call
    :param clock: counts it
    :return: what came, None for calls that return nothing
    """
    if call.method == "reset":
        clock.tick_reset(call.arguments["seed"])
        if commander(env) == "set_commanded_goal":
            # An environment may remember it across resets, and should have to remember what it did the first time.
            env.get_wrapper_attr("set_commanded_goal")(call.commanded)
        observation, info = env.reset(seed=call.arguments["seed"], options=_options(env, call))
        return Outcome(observation, info["goals_achieved"], info=info)
    if call.method == "step":
        clock.tick_step()
        observation, reward, terminated, truncated, info = env.step(call.arguments["action"])
        return Outcome(observation, info["goals_achieved"], float(reward), terminated, truncated, info)
    if call.method == "command_goal":
        method = commander(env)
        assert method is not None
        env.get_wrapper_attr(method)(call.arguments["goal"])
    return None


def _options(env: gym.Env[Any, Any], call: Call) -> dict[str, Any] | None:
    """A selector remembers what was achieved before, so it may choose another goal now: command the one it chose then."""
    options = call.arguments["options"]
    goal = None if call.outcome is None else shown_goal(call.outcome.observation)
    if goal is None or not env.has_wrapper_attr("selector"):
        return options if options is None else dict(options)
    return {**(options or {}), "goal": goal}


def compare(first: Outcome, again: Outcome, names: tuple[str, ...], clock: Clock, source: str) -> None:
    """
    Refuses two outcomes of the same calls that differ.

    :param first: what came the first time
    :param again: what came the second time
    :param names: the goal names
    :param clock: when
    :param source: what is being compared with, for the message
    """
    remedy = (
        "draw every random number from self.np_random, which reset(seed=...) seeds, and let reset() set the whole state anew"
    )
    if not np.array_equal(first.mask, again.mask):
        raise clock.error(
            f"the same mask for the same seed and actions ({source}, achieved: {quote(select_names(names, first.mask))})",
            f"another one (achieved: {quote(select_names(names, again.mask))})",
            remedy,
            select_names(names, first.mask != again.mask),
        )
    if not data_equivalence(without_goal(first.observation), without_goal(again.observation)):
        raise clock.error(
            f"the same observation for the same seed and actions ({source}: {first.observation!r})"[:500],
            f"{again.observation!r}"[:300],
            remedy,
        )
    if GOAL_KEY in (first.observation if isinstance(first.observation, dict) else ()):
        return  # a selector may have switched to another goal than the first time, which changes rewards and ends
    got = (again.reward, again.terminated, again.truncated)
    wanted = (first.reward, first.terminated, first.truncated)
    if wanted[1:] != got[1:] or not np.isclose(wanted[0], got[0], rtol=1e-5, atol=1e-5, equal_nan=True):
        raise clock.error(
            f"the same (reward, terminated, truncated) for the same seed and actions ({source}: {wanted})", f"{got}", remedy
        )
