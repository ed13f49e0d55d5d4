"""The checker of vector environments, Gymnasium's and Stable-Baselines3's."""

import sys
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv

from leo_wrappers.checks.declarations import check_flat
from leo_wrappers.checks.errors import Clock, quote, select_names
from leo_wrappers.checks.goal_judge import GoalJudge, is_goal_view, shown_goal
from leo_wrappers.checks.mask_consistency import EndWatch, ObservationTable
from leo_wrappers.checks.vector_views import GymnasiumView, Start, Transition, VectorView
from leo_wrappers.goal_set import BoolArray


def check_multigoal_vec_env(
    venv: Any,
    *,
    seed: int = 0,
    steps: int = 200,
    observation_determines_mask: bool = True,
    env_fn: Callable[[], gym.Env[Any, Any]] | None = None,
) -> None:
    """
    Checks that a vector environment keeps the multi-goal contract, above all where episodes end.

    A Gymnasium vector environment reports ``infos["goals_achieved"]``, bool ``[N, G]``, with ``infos["_goals_achieved"]``; in
    SAME_STEP mode the masks of last steps are in ``infos["final_info"]``, in NEXT_STEP mode the step after the last one is the
    reset. A Stable-Baselines3 one reports ``infos[i]["goals_achieved"]`` of the transition just made, last ones included. Both
    are played twice from the same seed, so the masks must also be reproducible.

    :param venv: a ``gymnasium.vector.VectorEnv`` or a Stable-Baselines3 ``VecEnv``
    :param seed: seeds the environments and the actions
    :param steps: how many steps to play
    :param observation_determines_mask: refuse two different masks for the same observation. It finds last steps that report
        the mask of the reset after them. Turn it off where goals are about something that the observation does not show.
    :param env_fn: makes one environment alone. N of them, seeded ``seed``, ``seed + 1`` and so on, are played beside the
        vector environment and must give the same masks; this finds every wrong row. A ``SyncVectorEnv`` or ``AsyncVectorEnv``
        brings its own.

    Example::

        >>> import gymnasium as gym
        >>> from leo_wrappers import MultiGoalWrapper, PredicateGoals
        >>> goals = PredicateGoals({"pole/left": lambda obs: obs[..., 2] < 0, "cart/left": lambda obs: obs[..., 0] < 0})
        >>> make_env = lambda: MultiGoalWrapper(gym.make("CartPole-v1"), goals)
        >>> check_multigoal_vec_env(gym.vector.SyncVectorEnv([make_env] * 3))
    """
    view = _make_view(venv)
    if isinstance(view.space, gym.spaces.Dict):
        check_flat(view.space)
    origin = f"The actions of this run are {view.action_hint.format(seed=seed)}."
    env_fns = _reference_fns(venv, view.num_envs) if env_fn is None else [env_fn] * view.num_envs
    actions = view.sample_actions(seed, steps)
    run = _Run(view, Clock(origin=origin, batched=True), observation_determines_mask)
    first = run.play(seed, actions, env_fns)
    again = _Run(view, Clock(origin=origin, batched=True), observation_determines_mask).play(seed, actions, [])
    spec = getattr(venv, "spec", None)
    if not (spec is not None and spec.nondeterministic):
        _compare_runs(view.names, first, again, seed, Clock(origin=origin, batched=True))
    run.ends.warn()


def _make_view(venv: Any) -> VectorView:
    if isinstance(venv, VectorEnv):
        return GymnasiumView(venv)
    # Whoever holds a VecEnv has imported it already; nobody else should pay for importing torch.
    base = sys.modules.get("stable_baselines3.common.vec_env")
    if base is not None and isinstance(venv, base.VecEnv):
        from leo_wrappers.checks.sb3_view import SB3View

        return SB3View(venv)
    raise TypeError(
        f"expected a gymnasium.vector.VectorEnv or a stable_baselines3 VecEnv, got {type(venv).__name__}; "
        "use check_multigoal_env for a single environment"
    )


def _reference_fns(venv: Any, num_envs: int) -> list[Callable[[], gym.Env[Any, Any]]]:
    """The functions that a bare SyncVectorEnv or AsyncVectorEnv was made of; wrappers may change what they give."""
    env_fns = getattr(venv, "env_fns", None) if getattr(venv, "unwrapped", None) is venv else None
    return list(env_fns) if env_fns is not None and len(env_fns) == num_envs else []


class _Run:
    """One run of a vector environment, judged environment by environment."""

    def __init__(self, view: VectorView, clock: Clock, observation_determines_mask: bool) -> None:
        self.view = view
        self.clock = clock
        self.table = ObservationTable(view.space, view.names) if observation_determines_mask else None
        self.ends = EndWatch(view.space)
        self.is_goal_view = is_goal_view(view.space)
        self.goals = [GoalJudge(view.names, view.on_success) for _ in range(view.num_envs)]
        self.last: list[BoolArray] = []
        self.references: list[gym.Env[Any, Any]] = []

    def play(
        self, seed: int, actions: list[Any], env_fns: list[Callable[[], gym.Env[Any, Any]]]
    ) -> list[list[Transition | Start]]:
        """Plays the actions, and beside them, on the references, each environment's own."""
        self.clock.tick_reset(seed)
        try:
            self.references = [env_fn() for env_fn in env_fns]
            starts = self.view.reset(seed, self.clock)
            self.last = [start.mask.copy() for start in starts]
            for row, start in enumerate(starts):
                self._judge_start(row, start)
            for row in range(len(self.references)):
                self._reset_reference(row, starts[row], "first state", seed + row)
            history: list[list[Transition | Start]] = [list(starts)]
            for batch in actions:
                self.clock.tick_step()
                results = self.view.step(batch, self.clock)
                for row, (action, result) in enumerate(zip(self.view.split_actions(batch), results, strict=True)):
                    self._judge(row, result)
                    if self.references:
                        self._step_reference(row, action, result)
                history.append(results)
            return history
        finally:
            for env in self.references:
                env.close()

    def _judge(self, row: int, result: Transition | Start) -> None:
        if isinstance(result, Start):
            self._judge_start(row, result)
            self.last[row] = result.mask.copy()
            return
        if self.table is not None:
            self.table.judge(result.observation, result.mask, self.clock, is_end=result.done)
        if self.is_goal_view:
            self.goals[row].judge_step(
                result.observation, result.reward, result.terminated, result.info, result.mask, self.clock
            )
        if result.start is not None:
            self._judge_start(row, result.start)
            end, first = (result.observation, result.mask), (result.start.observation, result.start.mask)
            self.ends.note(self.last[row], end, first)
        self.last[row] = (result if result.start is None else result.start).mask.copy()

    def _judge_start(self, row: int, start: Start) -> None:
        if self.table is not None:
            self.table.judge(start.observation, start.mask, self.clock)
        if self.is_goal_view:
            self.goals[row].judge_reset(start.observation, start.info, self.clock)

    def _step_reference(self, row: int, action: Any, result: Transition | Start) -> None:
        env = self.references[row]
        if isinstance(result, Start):
            self._reset_reference(row, result, "reset state")
            return
        _, _, terminated, truncated, info = env.step(action)
        self._compare(row, result.mask, info["goals_achieved"], "last state" if result.done else "state")
        if (terminated or truncated) and result.start is not None:
            self._reset_reference(row, result.start, "reset state")

    def _reset_reference(self, row: int, start: Start, state: str, seed: int | None = None) -> None:
        env = self.references[row]
        goal = shown_goal(start.observation)
        # A selector may choose another goal than the one beside it did, which may end episodes elsewhere.
        has_selector = goal is not None and env.has_wrapper_attr("selector")
        _, info = env.reset(seed=seed, options={"goal": goal} if has_selector else None)
        self._compare(row, start.mask, info["goals_achieved"], state)

    def _compare(self, row: int, mask: BoolArray, wanted: BoolArray, state: str) -> None:
        names = self.view.names
        if not np.array_equal(mask, wanted):
            raise self.clock.error(
                f"the mask of environment {row}'s {state} to be that of the same environment alone "
                f"(achieved: {quote(select_names(names, wanted))})",
                f"another one (achieved: {quote(select_names(names, mask))})",
                "report the mask of the transition just made, before any reset, in the row of its own environment",
                select_names(names, mask != wanted),
            )


def _compare_runs(
    names: tuple[str, ...],
    first: list[list[Transition | Start]],
    again: list[list[Transition | Start]],
    seed: int,
    clock: Clock,
) -> None:
    clock.tick_reset(seed)
    same_goals = [True] * len(first[0])
    for number, (one, two) in enumerate(zip(first, again, strict=True)):
        if number > 0:
            clock.tick_step()
        for row, (a, b) in enumerate(zip(one, two, strict=True)):
            if same_goals[row] and not np.array_equal(a.mask, b.mask):
                raise clock.error(
                    f"the same mask in environment {row} for the same seed and actions (the first time, achieved: "
                    f"{quote(select_names(names, a.mask))})",
                    f"another one (achieved: {quote(select_names(names, b.mask))})",
                    "draw every random number from a generator that reset(seed=...) seeds",
                    select_names(names, a.mask != b.mask),
                )
            # A selector that learns may command another goal the second time, and so end the episode at another step.
            same_goals[row] &= shown_goal(_latest(a)) == shown_goal(_latest(b))


def _latest(result: Transition | Start) -> Any:
    return result.start.observation if isinstance(result, Transition) and result.start is not None else result.observation
