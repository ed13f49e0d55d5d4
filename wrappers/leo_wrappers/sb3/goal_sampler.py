"""Commanded goals for training: one goal selector in the main process for all environments."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, get_args

import cloudpickle
import numpy as np
import numpy.typing as npt
import torch as th
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, unwrap_vec_normalize
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from leo_wrappers.goal_conditioned import GoalView
from leo_wrappers.goal_selector import FloatArray, GoalIds, GoalSelector
from leo_wrappers.goal_set import BoolArray, Goal, check_goal_names, goal_index
from leo_wrappers.goal_tracker import GoalTracker, OnSuccess, StepOutcome
from leo_wrappers.infos import read_mask
from leo_wrappers.keys import ENDED_BY_GOAL_KEY, GOAL_KEY
from leo_wrappers.sb3.array_step import (
    ArrayStep,
    LazyInfos,
    Observations,
    has_tensors,
    observations_on_host,
    rows_of,
    step_arrays,
    step_tensors,
)
from leo_wrappers.sb3.goal_schedule import GoalSchedule
from leo_wrappers.selection import GoalSelectorLike, make_goal_selector
from leo_wrappers.validation import check_choice, check_seed


class VecGoalSampler(VecEnvWrapper):
    """
    Wrapper that commands goals in vectorized multi-goal environments, with one goal selector for all of them.

    As in :class:`~leo_wrappers.GoalConditionedWrapper`, ``goal_id`` in the observation is the goal of the next step, the
    reward is ``float(mask[goal])``, and ``info["is_success"]`` is about the goal commanded at the start of the episode. When a
    goal is replaced, ``info["terminal_observation"]`` is the observation with the old goal.

    The defaults differ from those of :class:`~leo_wrappers.GoalConditionedWrapper`: the sampler is for training all goals,
    where the commanded goal only decides how to explore. ``"seen"`` spends no step on goals that may be impossible, and with
    ``"switch"`` a success does not end the episode. The wrapper is for evaluation, deployment and algorithms that learn one
    goal at a time.

    To return first and then explore, ``explore_steps`` lets the algorithm act randomly after a success, before the next goal
    is commanded, and ``patience`` gives up goals without progress. Both need ``"switch"``, and an algorithm of ``leo_agents``.

    A ``VecNormalize`` must wrap the sampler, not be wrapped by it, and needs ``norm_obs_keys=["observation"]``.

    :param venv: multi-goal environments; any ``VecEnv``
    :param goal_selector: the name of a strategy, a goal, a function, or a :class:`~leo_wrappers.selection.GoalSelector`
    :param on_success: ``"switch"`` commands a new goal without a reset; ``"terminate"`` also reports ``done``, for algorithms
        that learn the commanded goal only (DQN, PPO), but does not reset the environment; ``"continue"`` keeps the goal
    :param seed: seed of the selector, which ``seed()`` sets too
    :param explore_steps: number of steps with random actions between a success and the next goal
    :param explore_repeat: mean number of steps for which such a random action is repeated
    :param patience: number of steps after which a goal is given up; an agent with values of all goals keeps it as long as the
        goal's value has risen in these steps. None to keep goals until the end of the episode

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from stable_baselines3.common.env_util import make_vec_env
        >>> venv = VecGoalSampler(make_vec_env("leo/GridWorld-v0", n_envs=2), goal_selector="seen", seed=0)
        >>> obs = venv.reset()
        >>> sorted(obs), obs["goal_id"].shape
        (['goal_id', 'observation'], (2,))
    """

    def __init__(
        self,
        venv: VecEnv,
        goal_selector: GoalSelectorLike = "seen",
        on_success: OnSuccess = "switch",
        seed: int | None = None,
        explore_steps: int = 0,
        explore_repeat: int = 1,
        patience: int | None = None,
    ) -> None:
        if not isinstance(venv, VecEnv):
            raise TypeError(
                f"expected a VecEnv of Stable-Baselines3, got {type(venv).__name__}; use make_vec_env, or GymVecEnv for a "
                "vector environment of Gymnasium"
            )
        check_seed(seed)
        if unwrap_vec_normalize(venv) is not None:
            raise ValueError(
                "expected no VecNormalize below VecGoalSampler, got one: replay buffers would store observations without "
                "goal_id; wrap the other way round, VecNormalize(VecGoalSampler(venv), norm_obs_keys=[...])"
            )
        self.goal_names = _common_goal_names(venv)
        check_choice("on_success", on_success, get_args(OnSuccess))
        self.on_success = on_success
        schedule = GoalSchedule(venv.num_envs, explore_steps, explore_repeat, patience)
        self._schedule = schedule if explore_steps or patience else None
        if self._schedule is not None and on_success != "switch":
            raise ValueError(
                f'expected on_success="switch" with explore_steps or patience, got {on_success!r}; leave them out'
            )
        self._has_explored = False
        points = venv.get_attr("goal_points", 0)[0] if venv.has_attr("goal_points") else None
        self._view = GoalView(venv.observation_space, len(self.goal_names), points)
        super().__init__(venv, observation_space=self._view.space)
        self._tracker = GoalTracker(make_goal_selector(goal_selector, self.goal_names, seed), self.num_envs)
        self._masks: BoolArray = np.zeros((self.num_envs, len(self.goal_names)), dtype=bool)
        self._actions: npt.NDArray[Any] = np.empty(0)
        # Environments need their goal only for rendering, and sending it costs a message to each process.
        self._notifies_envs = self.render_mode is not None and venv.has_attr("set_commanded_goal")

    @property
    def goal_selector(self) -> GoalSelector:
        """The selector that chooses the goals, with its statistics."""
        return self._tracker.goal_selector

    @property
    def goals(self) -> GoalIds:
        """The currently commanded goals, which the next step is rewarded for, ``[N]``."""
        return self._tracker.goals.copy()

    @property
    def seen(self) -> BoolArray:
        """Whether any state of any environment has achieved a goal so far, bool ``[G]``."""
        return self.goal_selector.seen.copy()

    @property
    def explores(self) -> bool:
        """Whether algorithms must call :meth:`explore` before each step."""
        return self._schedule is not None and self._schedule.explore_steps > 0

    def set_goal_selector(self, goal_selector: GoalSelectorLike) -> None:
        """
        Replace the goal selector. Current goals are kept until they are replaced.

        :param goal_selector: the name of a strategy, a goal, a function, or a :class:`~leo_wrappers.selection.GoalSelector`
        """
        selector = make_goal_selector(goal_selector, self.goal_names)
        selector.value_function = selector.value_function or self.goal_selector.value_function
        self._tracker.goal_selector = selector

    @contextmanager
    def commanding(self, goal_selector: GoalSelectorLike) -> Iterator[None]:
        """
        Context manager that uses another goal selector and keeps goals for whole episodes, for evaluation.

        On exit, the selector with its statistics and ``on_success`` are restored. Reset the environments after entering, and
        again before training continues.

        :param goal_selector: the name of a strategy, a goal, a function, or a :class:`~leo_wrappers.selection.GoalSelector`
        """
        before = self._tracker, self.on_success, self._schedule
        self._tracker = GoalTracker(make_goal_selector(goal_selector, self.goal_names), self.num_envs)
        self.on_success, self._schedule = "continue", None
        try:
            yield
        finally:
            self._tracker, self.on_success, self._schedule = before

    def seed(self, seed: int | None = None) -> list[int | None]:  # type: ignore[override]
        """
        Seed the selector and the environments.

        :param seed: the seed
        :return: the seed of each environment
        """
        if seed is not None:
            self.goal_selector.seed(seed)
        return list(self.venv.seed(seed))

    def set_goal(self, goal: Goal, indices: VecEnvIndices = None) -> None:
        """
        Command a goal from the next step on, until the selector replaces it.

        :param goal: a name or an index
        :param indices: the environments; all if None
        """
        rows = np.array(list(self._get_indices(indices)), dtype=np.int64)
        self._tracker.start(rows, self._masks[rows], goal_index(self.goal_names, goal))
        if self._schedule is not None:
            self._schedule.start(rows, None)
        self._notify_envs(rows)

    def reset(self) -> VecEnvObs:
        """
        Reset all environments and command a goal in each.

        :return: the observations with ``goal_id``
        """
        obs = self.venv.reset()
        self.reset_infos = list(self.venv.unwrapped.reset_infos)
        self._masks = self._reset_masks(range(self.num_envs))
        self._command(np.arange(self.num_envs), obs, is_new_episode=True)
        return self._view.add(obs, self._tracker.goals)

    def explore(self, actions: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """
        Replace the actions of the environments that explore after a success by random ones.

        The algorithms of ``leo_agents`` call it before each step.

        :param actions: one action per environment
        :return: the actions to take and to learn from; the same array if no environment explores
        """
        self._has_explored = True
        if self._schedule is None or not self._schedule.exploring.any():
            return actions
        random_actions = self._schedule.random_actions(self.action_space, self.goal_selector.rng)
        is_random = self._schedule.exploring.reshape(-1, *[1] * (actions.ndim - 1))
        return np.where(is_random, random_actions, actions).astype(actions.dtype)

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """
        Store the actions of the next step.

        :param actions: one action per environment
        """
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """
        Take the step of :meth:`step_arrays` and create the infos of all environments.

        :return: observations, rewards, dones and infos
        """
        return self.step_arrays(self._actions).to_step_return()

    def step_arrays(self, actions: npt.NDArray[Any]) -> ArrayStep:
        """
        Step the environments, reward the commanded goals, and replace the goals of finished episodes and, depending on
        ``on_success``, of successful ones. Infos are created on access, see :func:`~leo_wrappers.sb3.step_arrays`.

        :param actions: one action per environment
        :return: the result of the step
        """
        return self._command_goals(step_arrays(self.venv, actions))

    def step_tensors(self, actions: th.Tensor) -> ArrayStep:
        """
        Step as :meth:`step_arrays`, leaving observations on the device, see :func:`~leo_wrappers.sb3.step_tensors`.

        Goals are chosen on the host, from the masks; ``goal_id`` is an array.

        :param actions: one valid action per environment
        :return: the result of the step
        """
        return self._command_goals(step_tensors(self.venv, actions))

    def _command_goals(self, step: ArrayStep) -> ArrayStep:
        """Reward the commanded goals of a step of the environments, and replace them."""
        before, self._masks = self._masks, step.goals_achieved
        outcome = self._tracker.update(step.goals_achieved, step.dones, before)
        # Episodes that continue, but not with the goal just achieved.
        succeeded = np.zeros_like(step.dones) if self.on_success == "continue" else outcome.achieved & ~step.dones
        dones = step.dones | succeeded if self.on_success == "terminate" else step.dones
        final_obs = self._final_obs(step, dones, outcome.goals) if dones.any() else None
        replaced = succeeded if self._schedule is None else self._scheduled(self._schedule, step, succeeded)
        self._replace_goals(step, replaced)
        rewards = outcome.achieved.astype(np.float32)
        if step.task_rewards is not None:
            rewards = step.task_rewards[np.arange(self.num_envs), outcome.goals]
        return ArrayStep(
            obs=self._view.add(step.obs, self._tracker.goals),
            rewards=rewards,
            dones=dones,
            terminated=step.terminated,
            goals_achieved=step.goals_achieved,
            final_obs=final_obs,
            infos=LazyInfos(self.num_envs, partial(self._make_infos, step, outcome, replaced)),
            is_success=None if step.is_success is None else outcome.is_success,
            task_rewards=step.task_rewards,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """
        Save the selector with its statistics, and the other arguments; not the environments.

        :param path: the file to write
        """
        saved = {"goal_selector": self.goal_selector, "on_success": self.on_success}
        with open(path, "wb") as file:
            cloudpickle.dump(saved | ({} if self._schedule is None else self._schedule.arguments), file)

    @classmethod
    def load(cls, path: str | os.PathLike[str], venv: VecEnv) -> "VecGoalSampler":
        """
        Create a sampler with a saved selector.

        :param path: a file written by :meth:`save`; as with any pickle, load only files that you trust
        :param venv: environments with the same goals
        :return: the sampler
        """
        with open(path, "rb") as file:
            return cls(venv, **cloudpickle.load(file))

    def _final_obs(self, step: ArrayStep, dones: BoolArray, goals: GoalIds) -> Observations:
        if has_tensors(step.final_obs) and np.array_equal(dones, step.dones):
            final_obs: Any = step.final_obs
        else:
            # Copied also without successes: environments may report terminal observations of another dtype.
            final_obs = rows_of(step.obs, np.flatnonzero(dones))
            if step.final_obs is not None:
                _write_rows(final_obs, np.flatnonzero(step.dones[dones]), step.final_obs)
        return self._view.add(final_obs, goals[dones])

    def _make_infos(self, step: ArrayStep, outcome: StepOutcome, replaced: BoolArray, rows: slice) -> list[dict[str, Any]]:
        goals, is_success = outcome.goals[rows].tolist(), outcome.is_success[rows].tolist()
        infos = [
            {**info, GOAL_KEY: goal, "is_success": success}
            for info, goal, success in zip(step.infos[rows], goals, is_success, strict=True)
        ]
        terminates = self.on_success == "terminate"
        for number in np.flatnonzero(step.dones[rows]).tolist():
            info = infos[number]
            info["terminal_observation"] = self._view.add(info["terminal_observation"], goals[number])
            if terminates and outcome.achieved[rows][number] and info.get("TimeLimit.truncated", False):
                # Achieving the goal on the step of a time-out terminates: the commanded goal must not bootstrap.
                info.update({"TimeLimit.truncated": False, ENDED_BY_GOAL_KEY: True})
        for number in np.flatnonzero(replaced[rows]).tolist():
            obs = observations_on_host(rows_of(step.obs, rows.start + number))
            infos[number]["terminal_observation"] = self._view.add(obs, goals[number])
            if terminates:
                infos[number][ENDED_BY_GOAL_KEY] = True
        return infos

    def _scheduled(self, schedule: GoalSchedule, step: ArrayStep, succeeded: BoolArray) -> BoolArray:
        """Give up goals without progress; return the environments that continue with another goal."""
        if schedule.exploring.any() and not self._has_explored:
            raise ValueError(
                "expected an algorithm that explores after a success, got one that did not call VecGoalSampler.explore; leave "
                "out explore_steps, or train e.g. LEODQN"
            )
        self._has_explored = False
        finished, impatient = schedule.update(succeeded)
        rows = np.flatnonzero(impatient & ~step.dones)
        if len(rows):
            given_up = rows[~schedule.keep_rising(rows, self._commanded_values(step.obs, rows))]
            self._tracker.give_up(given_up)
            finished[given_up] = True
        return finished & ~step.dones

    def _replace_goals(self, step: ArrayStep, replaced: BoolArray) -> None:
        done_rows = np.flatnonzero(step.dones)
        if len(done_rows):
            self._masks = self._masks.copy()  # the step keeps the terminal masks
            self._masks[done_rows] = self._reset_masks(done_rows)
            for row in done_rows:
                self.reset_infos[row] = self.venv.unwrapped.reset_infos[row]
            self._command(done_rows, step.obs, is_new_episode=True)
        if replaced.any():
            self._command(np.flatnonzero(replaced), step.obs, is_new_episode=self.on_success == "terminate")

    def _command(self, rows: npt.NDArray[np.integer], obs: Observations, is_new_episode: bool) -> None:
        """Let the selector choose the goals of some environments, from the current observations of all."""
        start = self._tracker.start if is_new_episode else self._tracker.set_goals
        needs_values = self.goal_selector.needs_values
        start(rows, self._masks[rows], observations=observations_on_host(rows_of(obs, rows)) if needs_values else None)
        if self._schedule is not None:
            has_patience = self._schedule.patience is not None
            self._schedule.start(rows, self._commanded_values(obs, rows) if has_patience else None)
        self._notify_envs(rows)

    def _commanded_values(self, obs: Observations, rows: npt.NDArray[np.integer]) -> FloatArray | None:
        """Compute the agent's values of the goals of some environments; None if there is no agent with values."""
        if self.goal_selector.value_function is None:
            return None
        values = self.goal_selector.values(observations_on_host(rows_of(obs, rows)), len(rows))
        return values[np.arange(len(rows)), self._tracker.goals[rows]]

    def _reset_masks(self, rows: Any) -> BoolArray:
        # Only the innermost VecEnv fills its reset_infos.
        infos = self.venv.unwrapped.reset_infos
        return np.stack([read_mask(infos[row], f"at the reset of environment {row}") for row in rows])

    def _notify_envs(self, rows: npt.NDArray[np.integer]) -> None:
        if self._notifies_envs:
            for row in rows.tolist():
                self.venv.env_method("set_commanded_goal", int(self._tracker.goals[row]), indices=row)


def _write_rows(obs: Any, rows: npt.NDArray[np.integer], values: Any) -> None:
    """Overwrite rows of a batch of observations."""
    if isinstance(obs, dict):
        for key, value in values.items():
            obs[key][rows] = value
    else:
        obs[rows] = values


def _common_goal_names(venv: VecEnv) -> tuple[str, ...]:
    # Asked first: the worker processes of a SubprocVecEnv end if an attribute is missing.
    if not venv.has_attr("goal_names"):
        raise ValueError(
            "expected environments with goal_names, got some without; wrap each with MultiGoalWrapper before vectorizing"
        )
    all_names = venv.get_attr("goal_names")
    names = check_goal_names(all_names[0])
    for number, other in enumerate(all_names):
        if tuple(other) != names:
            raise ValueError(
                f"expected the same goals in the same order everywhere, got environment {number} that differs from 0; use one "
                "goal set"
            )
    return names
