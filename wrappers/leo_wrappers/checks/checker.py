"""A wrapper that judges everything an environment returns, as Gymnasium's PassiveEnvChecker does for its own API."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, Self, SupportsFloat

import gymnasium as gym
import numpy as np

from leo_wrappers.checks.declarations import check_declarations, read_goal_names
from leo_wrappers.checks.errors import Clock, quote, select_names
from leo_wrappers.checks.goal_judge import GoalJudge, commander, is_goal_view, shown_goal
from leo_wrappers.checks.mask_consistency import EndWatch, ObservationTable
from leo_wrappers.checks.masks import MaskJudge
from leo_wrappers.checks.recording import Call, Outcome, compare, perform
from leo_wrappers.goal_set import BoolArray, Goal, goal_index

Oracle = Callable[[Any, dict[str, Any]], Any]
"""(observation, info) -> the mask that the observation should come with."""


class ContractChecker(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """
    Passes everything through, and raises a :class:`~leo_wrappers.checks.ContractError` at the first reset or step that breaks
    the multi-goal contract.

    It is what :func:`~leo_wrappers.check_multigoal_env` runs; around an environment in training it finds what only a trained
    agent reaches.

    :param env: the environment to watch
    :param observation_determines_mask: refuse two different masks for the same observation. This is how the mask of another
        state than the observation's is found: one step late, or of the next episode. Turn it off where goals are about
        something that the observation does not show, or about what happened on the way.
    :param oracle: ``(observation, info) -> mask``, another way to compute the mask, which must agree at every reset and step
    :param record: keep every call and what it returned, so that :meth:`replay` can repeat them

    Example::

        >>> import gymnasium as gym
        >>> from leo_wrappers import MultiGoalWrapper, PredicateGoals
        >>> goals = PredicateGoals({"pole/left": lambda obs: obs[..., 2] < 0, "cart/left": lambda obs: obs[..., 0] < 0})
        >>> env = ContractChecker(MultiGoalWrapper(gym.make("CartPole-v1"), goals))
        >>> obs, info = env.reset(seed=0)
        >>> obs, reward, terminated, truncated, info = env.step(1)
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        *,
        observation_determines_mask: bool = True,
        oracle: Oracle | None = None,
        record: bool = False,
    ) -> None:
        gym.utils.RecordConstructorArgs.__init__(
            self,
            _disable_deepcopy=True,
            observation_determines_mask=observation_determines_mask,
            oracle=oracle,
            record=record,
        )
        gym.Wrapper.__init__(self, env)
        self._names = read_goal_names(env)
        check_declarations(env)
        self.clock = Clock()
        self.calls: list[Call] = []
        """Every call so far, where they are recorded."""
        self.needs_reset = True
        """Whether the next call must be a reset."""
        self._record = record
        self._oracle = oracle
        self._masks = MaskJudge(self._names)
        self._table = ObservationTable(env.observation_space, self._names) if observation_determines_mask else None
        self._ends = EndWatch(env.observation_space)
        self._goals = self._make_goal_judge()
        self._goal: int | None = None
        self._last: tuple[Any, BoolArray] | None = None
        self._end: tuple[BoolArray, tuple[Any, BoolArray]] | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Resets the environment and judges what it returns."""
        self.clock.tick_reset(seed)
        call = self._note(Call("reset", {"seed": seed, "options": deepcopy(options)}, commanded=self._goal))
        result = self.env.reset(seed=seed, options=options)
        if not isinstance(result, tuple) or len(result) != 2:
            raise self.clock.error("reset() to return (observation, info)", repr(result)[:200], "return both")
        observation, info = result
        mask = self._judge(observation, info)
        if self._goals is not None:
            self._goals.judge_reset(observation, info, self.clock)
        if self._end is not None:
            self._ends.note(*self._end, (observation, mask))
        self._after(call, observation, mask)
        return observation, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Steps the environment and judges what it returns."""
        self.clock.tick_step()
        call = self._note(Call("step", {"action": deepcopy(action)}))
        result = self.env.step(action)
        if not isinstance(result, tuple) or len(result) != 5:
            raise self.clock.error(
                "step() to return (observation, reward, terminated, truncated, info)", repr(result)[:200], "return all five"
            )
        observation, reward, terminated, truncated, info = result
        self._judge_scalars(reward, terminated, truncated)
        ended = terminated or truncated
        mask = self._judge(observation, info, ended)
        if self._goals is not None:
            self._goals.judge_step(observation, float(reward), terminated, info, mask, self.clock)
        self._after(call, observation, mask, float(reward), terminated, truncated)
        return observation, reward, terminated, truncated, info

    def command_goal(self, goal: Goal) -> Self:
        """
        Commands a goal by the environment's ``set_goal``, else by its ``set_commanded_goal``.

        :param goal: a name or an index
        """
        method = commander(self.env)
        if method is None:
            raise ValueError(
                "expected an environment with set_goal or set_commanded_goal, got one with neither; "
                "wrap it with GoalConditionedWrapper"
            )
        index = goal_index(self._names, goal)
        self._note(Call("command_goal", {"goal": index}))
        self.env.get_wrapper_attr(method)(index)
        if self._goals is not None:
            self._goals.command(index)
        self._goal = index
        return self

    def replay(self, env: gym.Env[Any, Any] | None = None) -> Self:
        """
        Repeats every call since the last seeded reset and compares what comes with what came.

        :param env: repeat them on this other copy of the environment; None for the same one
        """
        if not self._record:
            raise ValueError("expected a checker that records its calls, got one that does not; make it with record=True")
        calls = self._since_seed()
        if env is None:
            self._note(Call("replay", {}))
        moment = Clock(origin=self.clock.origin)
        for call in calls:
            again = perform(self.env if env is None else env, call, moment)
            if env is None and self._goals is not None:
                self._follow(self._goals, call, again, moment)
            if call.outcome is not None and again is not None:
                compare(call.outcome, again, self._names, moment, "the first time" if env is None else "from another copy")
        return self

    @staticmethod
    def _follow(goals: GoalJudge, call: Call, again: Outcome | None, moment: Clock) -> None:
        """A selector that learns may switch to other goals the second time; the judge must know the one that it ends with."""
        if call.method == "command_goal":
            goals.command(call.arguments["goal"])
        elif again is not None and call.method == "reset":
            goals.judge_reset(again.observation, again.info, moment)
        elif again is not None:
            goals.judge_step(again.observation, again.reward, again.terminated, again.info, again.mask, moment)

    def warn_if_suspicious(self) -> None:
        """Warns about what is probably, but not certainly, wrong."""
        self._ends.warn()

    def _since_seed(self) -> list[Call]:
        seeded = [i for i, call in enumerate(self.calls) if call.arguments.get("seed") is not None]
        if not seeded:
            raise ValueError("expected a seeded reset to replay from, got none; call reset(seed=...) first")
        return self.calls[seeded[-1] :]

    def _make_goal_judge(self) -> GoalJudge | None:
        if not is_goal_view(self.env.observation_space):
            return None
        has_mode = self.env.has_wrapper_attr("on_success")
        return GoalJudge(self._names, self.env.get_wrapper_attr("on_success") if has_mode else None)

    def _note(self, call: Call) -> Call:
        if self._record:
            self.calls.append(call)
        return call

    def _after(
        self,
        call: Call,
        observation: Any,
        mask: BoolArray,
        reward: float = 0.0,
        terminated: bool = False,
        truncated: bool = False,
    ) -> None:
        self.needs_reset = terminated or truncated
        if self._record:
            call.outcome = Outcome(deepcopy(observation), mask.copy(), reward, terminated, truncated)
        now = (deepcopy(observation), mask.copy())
        self._end = (self._last[1], now) if self.needs_reset and self._last is not None else None
        self._last = now

    def _judge(self, observation: Any, info: Any, is_end: bool = False) -> BoolArray:
        mask = self._masks.judge(info, self.clock)
        self._judge_names()
        if not self.env.observation_space.contains(observation):
            raise self.clock.error(
                f"an observation in {self.env.observation_space}",
                repr(observation)[:200],
                "return it with that shape, dtype and range",
            )
        shown = shown_goal(observation)
        goal = self._goal if shown is None else shown
        if self._oracle is not None:
            self._judge_by_oracle(observation, info, mask)
        if self._table is not None:
            self._table.judge(observation, mask, self.clock, is_end=is_end, goal=goal)
        return mask

    def _judge_by_oracle(self, observation: Any, info: dict[str, Any], mask: BoolArray) -> None:
        assert self._oracle is not None
        wanted = np.asarray(self._oracle(observation, info), dtype=bool)
        if not np.array_equal(wanted, mask):
            wrong = select_names(self._names, wanted != mask) if wanted.shape == mask.shape else list(self._names)
            raise self.clock.error(
                f"the mask that the oracle gives for the observation (achieved: {quote(self._achieved(wanted))})",
                f"another one (achieved: {quote(self._achieved(mask))})",
                "compute the mask after the step and before any reset",
                wrong,
            )

    def _achieved(self, mask: BoolArray) -> list[str]:
        return select_names(self._names, mask) if mask.shape == (len(self._names),) else [f"(a mask of shape {mask.shape})"]

    def _judge_names(self) -> None:
        names = read_goal_names(self.env)
        if names != self._names:
            changed = [new for new, old in zip(names, self._names, strict=False) if new != old]
            raise self.clock.error(
                f"the {len(self._names)} goal_names that the environment began with",
                f"{len(names)} names, changed: {quote(changed) if changed else 'only how many there are'}",
                "fix the goal names in the constructor: an index must mean the same goal for the environment's whole life",
                changed,
            )

    def _judge_scalars(self, reward: Any, terminated: Any, truncated: Any) -> None:
        for name, value in (("terminated", terminated), ("truncated", truncated)):
            if type(value) is not bool:
                raise self.clock.error(f"{name} to be a Python bool", f"{value!r} of {type(value)}", f"return bool({name})")
        wanted = float if self._goals is not None else (float, int)
        if not isinstance(reward, wanted) or isinstance(reward, bool):
            raise self.clock.error("the reward to be a Python float", f"{reward!r} of {type(reward)}", "return float(reward)")
