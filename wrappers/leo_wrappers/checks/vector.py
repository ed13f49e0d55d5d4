"""Check a vector environment of Gymnasium or Stable-Baselines3."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import VectorEnv

from leo_wrappers.checks.arguments import check_checker_arguments
from leo_wrappers.checks.declarations import check_flat, check_unchanged_goal_names
from leo_wrappers.checks.episodes import EpisodeChecker, Oracle, check_observation
from leo_wrappers.checks.errors import ContractError, RunPosition
from leo_wrappers.checks.evidence import RunEvidence
from leo_wrappers.checks.goal_conditioned import (
    GoalConditionedChecker,
    commanded_goal,
    is_goal_conditioned,
    replay_options,
    without_goal_input,
)
from leo_wrappers.checks.gymnasium_adapter import GymnasiumAdapter
from leo_wrappers.checks.mask_recomputation import (
    MaskFunction,
    MaskRecomputation,
    check_recomputed_mask,
    find_mask_function,
)
from leo_wrappers.checks.results import ResetResult, Result
from leo_wrappers.checks.time_limits import declared_time_limits
from leo_wrappers.checks.vector_adapter import VectorAdapter
from leo_wrappers.goal_set import BoolArray
from leo_wrappers.keys import MASK_KEY

EnvFn = Callable[[], gym.Env[Any, Any]]


def check_multigoal_vec_env(
    venv: Any,
    *,
    seed: int = 0,
    steps: int = 200,
    observation_determines_mask: bool = True,
    oracle: Oracle | None = None,
    env_fn: EnvFn | None = None,
) -> None:
    """
    Check that a vector environment follows the multi-goal contract, above all where episodes end.

    A Gymnasium vector environment returns ``infos["goals_achieved"]``, bool ``[N, G]``, and ``infos["_goals_achieved"]``. In
    autoreset mode SAME_STEP the masks of last steps are in ``infos["final_info"]``; in NEXT_STEP the step after the last one
    is the reset. A Stable-Baselines3 vector environment returns ``infos[i]["goals_achieved"]`` of the transition just made,
    including last steps. Both are run twice with the same seed and actions, which must reproduce masks and observations.
    :func:`~leo_wrappers.check_multigoal_env` finds more in a single environment than this function in a vector of them.

    :param venv: a ``gymnasium.vector.VectorEnv`` or a Stable-Baselines3 ``VecEnv``
    :param seed: seed of the environments and the actions
    :param steps: number of steps to play
    :param observation_determines_mask: raise if the same observation is returned with two different masks, or if a mask
        differs from the one that a goal set computes, see :func:`~leo_wrappers.check_multigoal_env`; in vector environments
        this needs environments in the same process, or ``env_fn``. Set it to False where goals depend on parts of the state
        that are not in the observation.
    :param oracle: ``(observation, info) -> mask`` for one environment, compared at every reset and step
    :param env_fn: creates a single environment. N of them, seeded ``seed``, ``seed + 1`` and so on, are stepped with the same
        actions and must return the same masks; this detects every wrong row. For a ``SyncVectorEnv`` or ``AsyncVectorEnv``
        without wrappers it defaults to the functions that created its environments.

    Example::

        >>> import gymnasium as gym
        >>> from leo_wrappers import MultiGoalWrapper, PredicateGoals
        >>> goals = PredicateGoals({"pole/left": lambda obs: obs[..., 2] < 0, "cart/left": lambda obs: obs[..., 0] < 0})
        >>> make_env = lambda: MultiGoalWrapper(gym.make("CartPole-v1"), goals)
        >>> check_multigoal_vec_env(gym.vector.SyncVectorEnv([make_env] * 3))
    """
    check_checker_arguments(
        oracle=oracle, env_fn=env_fn, steps=steps, seed=seed, observation_determines_mask=observation_determines_mask
    )
    adapter = _make_adapter(venv)
    if isinstance(adapter.space, gym.spaces.Dict):
        check_flat(adapter.space)
    action_source = f"The actions of this run are {adapter.action_source.format(seed=seed)}."
    env_fns = _default_env_fns(venv, adapter.num_envs) if env_fn is None else [env_fn] * adapter.num_envs
    actions = adapter.sample_actions(seed, steps)
    run = _Run(adapter, action_source, observation_determines_mask, oracle)
    first = run.play(seed, actions, env_fns)
    again = _Run(adapter, action_source, observation_determines_mask, oracle).play(seed, actions, [])
    check_unchanged_goal_names(adapter.names, _make_adapter(venv).names, run.position)
    spec = getattr(venv, "spec", None)
    if not (spec is not None and spec.nondeterministic):
        position = RunPosition(action_source=action_source, is_vector=True)
        # Wrappers such as VecNormalize keep statistics across resets.
        _compare_runs(adapter.names, first, again, seed, position, compare_observations=run.is_unwrapped)
    if run.reference_error is not None:
        raise run.reference_error
    run.evidence.warn(run.masks_are_verified, stacklevel=2)


def _make_adapter(venv: Any) -> VectorAdapter:
    if isinstance(venv, VectorEnv):
        return GymnasiumAdapter(venv)
    # Stable-Baselines3 imports torch. If venv is a VecEnv, it has been imported already.
    module = sys.modules.get("stable_baselines3.common.vec_env")
    if module is not None and isinstance(venv, module.VecEnv):
        from leo_wrappers.checks.sb3_adapter import SB3Adapter

        return SB3Adapter(venv)
    raise TypeError(
        f"expected a gymnasium.vector.VectorEnv or a stable_baselines3 VecEnv, got {type(venv).__name__}; "
        "use check_multigoal_env for a single environment"
    )


def _default_env_fns(venv: Any, num_envs: int) -> list[EnvFn]:
    """Return the functions that created the environments; empty if wrappers may change what these return."""
    env_fns = getattr(venv, "env_fns", None) if getattr(venv, "unwrapped", None) is venv else None
    return list(env_fns) if env_fns is not None and len(env_fns) == num_envs else []


def _envs_in_process(adapter: VectorAdapter) -> list[gym.Env[Any, Any]]:
    """Return the list that a ``SyncVectorEnv`` or ``DummyVecEnv`` calls its environments from; empty for others."""
    venv = getattr(adapter.venv, "unwrapped", None)
    envs = getattr(getattr(venv, "vector_env", venv), "envs", None)
    if isinstance(envs, list) and len(envs) == adapter.num_envs and all(isinstance(env, gym.Env) for env in envs):
        return envs
    return []


class _Run:
    """A run of a vector environment, checked row by row."""

    def __init__(
        self, adapter: VectorAdapter, action_source: str, observation_determines_mask: bool, oracle: Oracle | None
    ) -> None:
        self.adapter = adapter
        self.position = RunPosition(action_source=action_source, is_vector=True)
        envs = _envs_in_process(adapter)
        limits = declared_time_limits(adapter.venv).union(*map(declared_time_limits, envs))
        self.evidence = RunEvidence(adapter.space, adapter.names, observation_determines_mask, limits)
        self.masks_are_verified = oracle is not None
        self.is_unwrapped = getattr(adapter.venv, "unwrapped", None) is adapter.venv
        self.reference_error: ContractError | None = None
        """The first difference from a single environment; to be raised only if the run can be reproduced."""
        self._determines = observation_determines_mask
        self._references: list[gym.Env[Any, Any]] = []
        self._reference_recomputations: list[MaskRecomputation | None] = []
        self._recomputations = self._find_recomputations(envs)
        self._compute = self._find_mask_function()
        has_goal = is_goal_conditioned(adapter.space)
        self._checkers = [
            EpisodeChecker(
                adapter.names,
                self.evidence,
                GoalConditionedChecker(adapter.names, adapter.on_success) if has_goal else None,
                oracle,
                row,
            )
            for row in range(adapter.num_envs)
        ]

    def _find_recomputations(self, envs: list[gym.Env[Any, Any]]) -> list[MaskRecomputation | None]:
        """Return the recomputation of every environment in a list; the list must be where the environments are called from."""
        if not self._determines:
            return [None] * len(envs)
        found = [
            MaskRecomputation.find(env, self.adapter.names, partial(envs.__setitem__, row)) for row, env in enumerate(envs)
        ]
        self.masks_are_verified |= bool(found) and None not in found
        return found

    def _find_mask_function(self) -> MaskFunction | None:
        """Return the function that computes the masks of a vector environment with its own goal set."""
        if not self._determines or not self.is_unwrapped:
            return None
        compute = find_mask_function(self.adapter.venv, self.adapter.space, self.adapter.names)
        self.masks_are_verified |= compute is not None
        return compute

    def play(self, seed: int, actions: list[Any], env_fns: list[EnvFn]) -> list[list[Result]]:
        """Play the actions, and compare each row with a single environment that plays the same actions."""
        self.position.count_reset(seed)
        try:
            self._references = [env_fn() for env_fn in env_fns]
            self._reference_recomputations = self._find_recomputations(self._references)
            with self._recording(self._recomputations):
                resets = self.adapter.reset(seed, self.position)
            for row, reset in enumerate(resets):
                self._check(row, reset)
            for row in range(len(self._references)):
                self._reset_reference(row, resets[row], "first state", seed + row)
            history: list[list[Result]] = [list(resets)]
            for batch in actions:
                history.append(self._step(batch))
            return history
        finally:
            for env in self._references:
                env.close()

    def _step(self, actions: Any) -> list[Result]:
        self.position.count_step()
        with self._recording(self._recomputations):
            results = self.adapter.step(actions, self.position)
        for row, (action, result) in enumerate(zip(self.adapter.split_actions(actions), results, strict=True)):
            self._check(row, result)
            if self._references and self.reference_error is None:
                self._step_reference(row, action, result)
        return results

    def _check(self, row: int, result: Result) -> None:
        """Check the observation and the recomputed mask of a row, then everything else."""
        reset = None if isinstance(result, ResetResult) else result.reset
        for number, part in enumerate([result] if reset is None else [result, reset]):
            if self.is_unwrapped:  # VecNormalize returns observations outside of its observation space
                check_observation(self.adapter.space, part.observation, self.position)
            if self._recomputations and (recomputation := self._recomputations[row]) is not None:
                recomputation.check(part.mask, self.position, number)
            if self._compute is not None:
                wanted = self._compute(part.observation, part.info)
                source = type(self.adapter.venv).__name__
                check_recomputed_mask(wanted, part.mask, self.adapter.names, source, self.position)
        self._checkers[row].check(result, self.position)

    @staticmethod
    @contextmanager
    def _recording(recomputations: list[MaskRecomputation | None]) -> Iterator[None]:
        """Compute the expected masks of all environments within the context."""
        with ExitStack() as stack:
            for recomputation in recomputations:
                if recomputation is not None:
                    stack.enter_context(recomputation.recording())
            yield

    def _step_reference(self, row: int, action: Any, result: Result) -> None:
        if isinstance(result, ResetResult):
            self._reset_reference(row, result, "reset state")
            return
        with self._recording(self._reference_recomputations[row : row + 1]):
            _, _, terminated, truncated, info = self._references[row].step(action)
        self._compare(row, result.mask, info[MASK_KEY], "last state" if result.done else "state")
        if (terminated or truncated) and result.reset is not None:
            self._reset_reference(row, result.reset, "reset state")

    def _reset_reference(self, row: int, reset: ResetResult, state: str, seed: int | None = None) -> None:
        # Without the same goal, the reference's episode may end at another step.
        options = replay_options(self._references[row], None, reset.observation)
        with self._recording(self._reference_recomputations[row : row + 1]):
            _, info = self._references[row].reset(seed=seed, options=options)
        self._compare(row, reset.mask, info[MASK_KEY], state)

    def _compare(self, row: int, mask: BoolArray, wanted: BoolArray, state: str) -> None:
        if self.reference_error is None and not np.array_equal(mask, wanted):
            self.reference_error = self.position.mask_error(
                self.adapter.names,
                wanted,
                mask,
                f"for environment {row}'s {state} the same mask as from a single environment",
                "return the mask of the transition just made, before any reset, in the row of its own environment",
            )
        recomputation = self._reference_recomputations[row]
        if recomputation is not None:
            recomputation.check(wanted, self.position)


def _compare_runs(
    names: tuple[str, ...],
    first: list[list[Result]],
    again: list[list[Result]],
    seed: int,
    position: RunPosition,
    compare_observations: bool,
) -> None:
    position.count_reset(seed)
    same_goals = [True] * len(first[0])
    for number, (one, two) in enumerate(zip(first, again, strict=True)):
        if number > 0:
            position.count_step()
        for row, (a, b) in enumerate(zip(one, two, strict=True)):
            if not same_goals[row]:
                continue
            remedy = "draw every random number from a generator that reset(seed=...) seeds"
            if not np.array_equal(a.mask, b.mask):
                expected = f"for the same seed and actions the same mask in environment {row} as the first time"
                raise position.mask_error(names, a.mask, b.mask, expected, remedy)
            one_obs, two_obs = without_goal_input(a.observation), without_goal_input(b.observation)
            if compare_observations and not data_equivalence(one_obs, two_obs):
                expected = f"for the same seed and actions the same observation in environment {row} as the first time, "
                raise position.error(f"{expected}{one_obs!r}"[:500], f"{two_obs!r}"[:300], remedy)
            # A goal selector that learns may command another goal the second time, and so end the episode at another step.
            same_goals[row] &= commanded_goal(_next_observation(a)) == commanded_goal(_next_observation(b))


def _next_observation(result: Result) -> Any:
    """Return the observation that the next action is chosen for."""
    if isinstance(result, ResetResult) or result.reset is None:
        return result.observation
    return result.reset.observation
