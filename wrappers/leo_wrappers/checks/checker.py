"""A wrapper that checks everything an environment returns, as Gymnasium's PassiveEnvChecker does for its own API."""

from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from typing import Any, Self, SupportsFloat

import gymnasium as gym

from leo_wrappers.checks.arguments import check_checker_arguments
from leo_wrappers.checks.declarations import check_declarations, check_unchanged_goal_names, read_goal_names
from leo_wrappers.checks.episodes import EpisodeChecker, Oracle, check_observation
from leo_wrappers.checks.errors import RunPosition
from leo_wrappers.checks.evidence import RunEvidence
from leo_wrappers.checks.goal_conditioned import GoalConditionedChecker, goal_setter_name, is_goal_conditioned
from leo_wrappers.checks.mask_recomputation import MaskRecomputation
from leo_wrappers.checks.masks import MaskChecker
from leo_wrappers.checks.recording import Call, check_same_result, repeat_call
from leo_wrappers.checks.results import ResetResult, Result, StepResult, copy_result
from leo_wrappers.checks.time_limits import declared_time_limits
from leo_wrappers.goal_set import BoolArray, Goal, goal_index
from leo_wrappers.validation import check_env


class ContractChecker(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """
    Wrapper that raises a :class:`~leo_wrappers.checks.ContractError` at the first reset or step that breaks the multi-goal
    contract, and otherwise changes nothing.

    :func:`~leo_wrappers.check_multigoal_env` uses it. Around an environment in training it also checks states that only a
    trained agent reaches.

    :param env: the environment to check
    :param observation_determines_mask: raise if the same observation is returned with two different masks, or if a mask
        differs from the one that the environment's goal set computes, see :func:`~leo_wrappers.check_multigoal_env`. Set it to
        False where goals depend on parts of the state that are not in the observation, or on the history of the episode.
    :param oracle: ``(observation, info) -> mask``, an independent computation of the mask, compared at every reset and step
    :param record: record every call and its result, for :meth:`replay`

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
        check_env(env)
        check_checker_arguments(oracle=oracle, observation_determines_mask=observation_determines_mask, record=record)
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
        self.position = RunPosition()
        self.calls: list[Call] = []
        """Every call so far, if calls are recorded."""
        self.needs_reset = True
        """Whether the next call must be a reset."""
        self._record = record
        self._oracle = oracle
        self._masks = MaskChecker(self._names)
        find = MaskRecomputation.find
        self._recomputation = find(env, self._names, self._install_env) if observation_determines_mask else None
        self.evidence = RunEvidence(env.observation_space, self._names, observation_determines_mask, declared_time_limits(env))
        self._episodes = EpisodeChecker(self._names, self.evidence, self._make_goal_conditioned_checker(), oracle)

    @property
    def masks_are_verified(self) -> bool:
        """Whether every mask is compared with one that is computed independently."""
        return self._recomputation is not None or self._oracle is not None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset the environment and check the result."""
        self.position.count_reset(seed)
        call = self._record_call(Call("reset", {"seed": seed, "options": deepcopy(options)}, goal=self._episodes.goal))
        with self._recording():
            returned = self.env.reset(seed=seed, options=options)
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise self.position.error("reset() to return (observation, info)", repr(returned)[:200], "return both")
        observation, info = returned
        result = ResetResult(observation, self._check_state(observation, info), info)
        self._episodes.check_reset(result, self.position)
        self._record_result(call, result)
        self.needs_reset = False
        return observation, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step the environment and check the result."""
        self.position.count_step()
        call = self._record_call(Call("step", {"action": deepcopy(action)}))
        with self._recording():
            returned = self.env.step(action)
        if not isinstance(returned, tuple) or len(returned) != 5:
            raise self.position.error(
                "step() to return (observation, reward, terminated, truncated, info)", repr(returned)[:200], "return all five"
            )
        observation, reward, terminated, truncated, info = returned
        self._check_scalars(reward, terminated, truncated)
        mask = self._check_state(observation, info)
        done = terminated or truncated
        result = StepResult(observation, mask, float(reward), done, terminated, truncated, info)
        self._episodes.check_step(result, self.position)
        self._record_result(call, result)
        self.needs_reset = done
        return observation, reward, terminated, truncated, info

    def command_goal(self, goal: Goal) -> Self:
        """
        Command a goal with ``set_goal`` of a goal-conditioned environment, or ``set_commanded_goal`` of another one; if it has
        only the other method, with that.

        :param goal: a name or an index
        """
        name = goal_setter_name(self.env)
        if name is None:
            raise ValueError(
                "expected an environment with set_goal or set_commanded_goal, got one with neither; "
                "wrap it with GoalConditionedWrapper"
            )
        index = goal_index(self._names, goal)
        self._record_call(Call("command_goal", {"goal": index}))
        self.env.get_wrapper_attr(name)(index)
        self._episodes.set_goal(index)
        return self

    def replay(self, env: gym.Env[Any, Any] | None = None) -> Self:
        """
        Repeat every call since the last seeded reset, and raise if a result differs from the recorded one.

        :param env: another copy of the environment to repeat the calls on; this environment if None
        """
        if not self._record:
            raise ValueError("expected a checker that records its calls, got one that does not; create it with record=True")
        calls = self._calls_since_seed()
        if env is None:
            self._record_call(Call("replay", {}))
        position = RunPosition(action_source=self.position.action_source)
        for call in calls:
            again = repeat_call(self.env if env is None else env, call, position)
            if env is None and self._episodes.goal_conditioned is not None:
                self._follow_goal(self._episodes.goal_conditioned, call, again, position)
            if call.result is not None and again is not None:
                source = "the first time" if env is None else "in another copy of the environment"
                check_same_result(call.result, again, self._names, position, source)
        return self

    @staticmethod
    def _follow_goal(checker: GoalConditionedChecker, call: Call, again: Result | None, position: RunPosition) -> None:
        """Track the commanded goal through a replay, in which a selector that learns may switch to other goals."""
        if call.method == "command_goal":
            checker.set_goal(call.arguments["goal"])
        elif isinstance(again, ResetResult):
            checker.check_reset(again, position)
        elif again is not None:
            checker.check_step(again, position)

    def _install_env(self, env: gym.Env[Any, Any]) -> None:
        self.env = env

    def _calls_since_seed(self) -> list[Call]:
        seeded = [i for i, call in enumerate(self.calls) if call.arguments.get("seed") is not None]
        if not seeded:
            raise ValueError("expected a seeded reset to replay from, got none; call reset(seed=...) first")
        return self.calls[seeded[-1] :]

    def _make_goal_conditioned_checker(self) -> GoalConditionedChecker | None:
        if not is_goal_conditioned(self.env.observation_space):
            return None
        has_mode = self.env.has_wrapper_attr("on_success")
        return GoalConditionedChecker(self._names, self.env.get_wrapper_attr("on_success") if has_mode else None)

    def _recording(self) -> AbstractContextManager[None]:
        return nullcontext() if self._recomputation is None else self._recomputation.recording()

    def _record_call(self, call: Call) -> Call:
        if self._record:
            self.calls.append(call)
        return call

    def _record_result(self, call: Call, result: Result) -> None:
        if self._record:
            call.result = copy_result(result)

    def _check_state(self, observation: Any, info: Any) -> BoolArray:
        """Check what a reset and a step have in common, and return the mask."""
        mask = self._masks.check(info, self.position)
        check_unchanged_goal_names(self._names, read_goal_names(self.env), self.position)
        check_observation(self.env.observation_space, observation, self.position)
        if self._recomputation is not None:
            self._recomputation.check(mask, self.position)
        return mask

    def _check_scalars(self, reward: Any, terminated: Any, truncated: Any) -> None:
        for name, value in (("terminated", terminated), ("truncated", truncated)):
            if type(value) is not bool:
                raise self.position.error(f"{name} to be a Python bool", f"{value!r} of {type(value)}", f"return bool({name})")
        allowed = float if self._episodes.goal_conditioned is not None else (float, int)
        if not isinstance(reward, allowed) or isinstance(reward, bool):
            raise self.position.error(
                "the reward to be a Python float", f"{reward!r} of {type(reward)}", "return float(reward)"
            )
