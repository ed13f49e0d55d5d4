"""Commanded goals for training: one sampler in the main process for all environments."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cloudpickle
import numpy as np
import numpy.typing as npt
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecNormalize
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from leo_wrappers.goal_conditioned import GoalView
from leo_wrappers.goal_set import BoolArray, Goal, check_goal_names, goal_index
from leo_wrappers.goal_tracker import GoalTracker, Judgement, OnSuccess, check_on_success
from leo_wrappers.infos import InfoList, achieved_from_infos, read_mask
from leo_wrappers.keys import ENDED_BY_GOAL_KEY, GOAL_KEY
from leo_wrappers.sb3.array_step import ArrayStep, LazyInfos, rows_of, step_arrays
from leo_wrappers.selection import GoalIds, GoalSelector, GoalSelectorLike, make_goal_selector


class VecGoalSampler(VecEnvWrapper):
    """
    Commands goals in a vector of multi-goal environments, with one shared record of which goals were ever achieved.

    As in :class:`~leo_wrappers.GoalConditionedWrapper`, ``goal_id`` in the observation is the goal that the next step is
    judged by, the reward is ``float(mask[goal])``, and ``info["is_success"]`` speaks of the goal commanded at the episode's
    start. When a goal is replaced, ``info["terminal_observation"]`` holds the observation with the old one.

    Put a ``VecNormalize`` above it, never below, and name the keys to normalise: ``norm_obs_keys=["observation"]``.

    :param venv: multi-goal environments; any ``VecEnv``
    :param goal_selector: a strategy's name, a goal, a function, or a :class:`~leo_wrappers.selection.GoalSelector`
    :param on_success: ``"switch"`` commands a new goal in place, without a reset; ``"terminate"`` also reports ``done``,
        for algorithms whose values belong to one goal (DQN, PPO), while the environment itself runs on; ``"continue"``
        keeps the goal
    :param seed: seeds the selector; ``seed()`` does so too

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from stable_baselines3.common.env_util import make_vec_env
        >>> venv = VecGoalSampler(make_vec_env("leo/GridWorld-v0", n_envs=2), goal_selector="seen", seed=0)
        >>> obs = venv.reset()
        >>> sorted(obs), obs["goal_id"].shape
        (['goal_id', 'observation'], (2,))
    """

    def __init__(
        self, venv: VecEnv, goal_selector: GoalSelectorLike = "seen", on_success: OnSuccess = "switch", seed: int | None = None
    ) -> None:
        _refuse_normalisation_below(venv)
        self.goal_names = _common_goal_names(venv)
        self.on_success = check_on_success(on_success)
        points = venv.get_attr("goal_points", 0)[0] if venv.has_attr("goal_points") else None
        self._view = GoalView(venv.observation_space, len(self.goal_names), points)
        super().__init__(venv, observation_space=self._view.space)
        self._pursuit = GoalTracker(make_goal_selector(goal_selector, self.goal_names, seed), self.num_envs)
        self._masks: BoolArray = np.zeros((self.num_envs, len(self.goal_names)), dtype=bool)
        # Only an environment that is looked at needs to know its goal: telling it costs a message to each process.
        self._announces = self.render_mode is not None and venv.has_attr("set_commanded_goal")

    @property
    def goal_selector(self) -> GoalSelector:
        """Chooses the goals; its statistics are public."""
        return self._pursuit.goal_selector

    @property
    def goals(self) -> GoalIds:
        """The goals that the next steps are judged by, ``[N]``."""
        return self._pursuit.goals.copy()

    @property
    def seen(self) -> BoolArray:
        """Which goals any state of any environment has achieved so far, ``[G]``."""
        return self.goal_selector.seen.copy()

    def set_goal_selector(self, goal_selector: GoalSelectorLike) -> None:
        """
        Chooses goals in another way from the next choice on.

        :param goal_selector: a strategy's name, a goal, a function, or a :class:`~leo_wrappers.selection.GoalSelector`
        """
        self._pursuit.goal_selector = make_goal_selector(goal_selector, self.goal_names)

    @contextmanager
    def commanding(self, goal_selector: GoalSelectorLike) -> Iterator[None]:
        """
        Commands goals in another way for a while, each for its whole episode, as evaluations want. Then selector, statistics
        and ``on_success`` are what they were. Reset at the beginning, and before training goes on.

        :param goal_selector: a strategy's name, a goal, a function, or a :class:`~leo_wrappers.selection.GoalSelector`
        """
        before = self._pursuit, self.on_success
        self._pursuit = GoalTracker(make_goal_selector(goal_selector, self.goal_names), self.num_envs)
        self.on_success = "continue"
        try:
            yield
        finally:
            self._pursuit, self.on_success = before

    def seed(self, seed: int | None = None) -> list[int | None]:  # type: ignore[override]
        """
        Seeds the selector and the environments.

        :param seed: the seed
        :return: the environments' seeds
        """
        if seed is not None:
            self.goal_selector.seed(seed)
        return list(self.venv.seed(seed))

    def set_goal(self, goal: Goal, indices: VecEnvIndices = None) -> None:
        """
        Commands a goal from the next step on, until the selector replaces it.

        :param goal: a name or an index
        :param indices: in which environments; in all of them when None
        """
        rows = np.array(list(self._get_indices(indices)), dtype=np.int64)
        self._pursuit.start(rows, self._masks[rows], goal_index(self.goal_names, goal))
        self._announce(rows)

    def reset(self) -> VecEnvObs:
        """
        Resets all environments and commands a goal in each.

        :return: the observations, with ``goal_id``
        """
        obs = self.venv.reset()
        self.reset_infos = list(self.venv.unwrapped.reset_infos)
        self._masks = self._reset_masks(range(self.num_envs))
        everywhere = np.arange(self.num_envs)
        self._pursuit.start(everywhere, self._masks)
        self._announce(everywhere)
        return self._view.add(obs, self._pursuit.goals)

    def step_wait(self) -> VecEnvStepReturn:
        """
        Waits for the step, judges it, and replaces the goals of finished episodes and, as asked, of successful ones.

        :return: observations, rewards, dones and infos
        """
        obs, _, ended, infos = self.venv.step_wait()
        achieved = self._masks = achieved_from_infos(infos, self.num_envs)
        judgement = self._pursuit.judge(achieved, ended)
        succeeded = self._succeeded(judgement, ended)
        infos = [
            self._judged_info(info, obs, judgement, row, bool(ended[row]), bool(succeeded[row]))
            for row, info in enumerate(infos)
        ]
        dones = ended | succeeded if self.on_success == "terminate" else ended
        self._replace_goals(ended, succeeded)
        rewards = judgement.achieved.astype(np.float32)
        return self._view.add(obs, self._pursuit.goals), rewards, dones, InfoList(infos, achieved)  # type: ignore[return-value]

    def step_arrays(self, actions: npt.NDArray[Any]) -> ArrayStep:
        """
        The same step without making infos that nobody looks at.

        :param actions: one for each environment
        :return: the step
        """
        step = step_arrays(self.venv, actions)
        self._masks = step.goals_achieved
        judgement = self._pursuit.judge(step.goals_achieved, step.dones)
        succeeded = self._succeeded(judgement, step.dones)
        dones = step.dones | succeeded if self.on_success == "terminate" else step.dones
        final_obs = None
        if dones.any():
            final_obs = rows_of(step.obs, np.flatnonzero(dones))
            if step.final_obs is not None:
                _write_rows(final_obs, step.dones[dones], step.final_obs)
            final_obs = self._view.add(final_obs, judgement.goals[dones])
        self._replace_goals(step.dones, succeeded)

        def info(row: int) -> dict[str, Any]:
            ends = bool(step.dones[row]), bool(succeeded[row])
            return self._judged_info(step.infos[row], step.obs, judgement, row, *ends)

        return ArrayStep(
            obs=self._view.add(step.obs, self._pursuit.goals),
            rewards=judgement.achieved.astype(np.float32),
            dones=dones,
            terminated=step.terminated,
            goals_achieved=step.goals_achieved,
            final_obs=final_obs,
            infos=LazyInfos(self.num_envs, info),
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """
        Saves the selector with its statistics, not the environments.

        :param path: the file to write
        """
        with open(path, "wb") as file:
            cloudpickle.dump({"goal_selector": self.goal_selector, "on_success": self.on_success}, file)

    @classmethod
    def load(cls, path: str | os.PathLike[str], venv: VecEnv) -> "VecGoalSampler":
        """
        A sampler that goes on with saved statistics.

        :param path: a file that :meth:`save` wrote; as with any pickle, load only what you trust
        :param venv: environments with the same goals
        :return: the sampler
        """
        with open(path, "rb") as file:
            saved = cloudpickle.load(file)
        return cls(venv, goal_selector=saved["goal_selector"], on_success=saved["on_success"])

    def _succeeded(self, judgement: Judgement, ended: BoolArray) -> BoolArray:
        """Where the goal is replaced for having been achieved, the episode going on."""
        return np.zeros_like(ended) if self.on_success == "continue" else judgement.achieved & ~ended

    def _judged_info(
        self, info: dict[str, Any], obs: VecEnvObs, judgement: Judgement, row: int, ended: bool, succeeded: bool
    ) -> dict[str, Any]:
        goal = int(judgement.goals[row])
        judged = {**info, GOAL_KEY: goal, "is_success": bool(judgement.is_success[row])}
        terminates = self.on_success == "terminate"
        if ended:
            judged["terminal_observation"] = self._view.add(judged["terminal_observation"], goal)
            if terminates and judgement.achieved[row] and judged.get("TimeLimit.truncated", False):
                # Reaching the goal on the very step of a time-out is an end: the commanded goal has nothing left to bootstrap.
                judged.update({"TimeLimit.truncated": False, ENDED_BY_GOAL_KEY: True})
        if succeeded:
            inner = {key: value[row].copy() for key, value in obs.items()} if isinstance(obs, dict) else obs[row].copy()  # type: ignore[union-attr]
            judged["terminal_observation"] = self._view.add(inner, goal)
            if terminates:
                judged[ENDED_BY_GOAL_KEY] = True
        return judged

    def _replace_goals(self, ended: BoolArray, succeeded: BoolArray) -> None:
        finished, reached = np.flatnonzero(ended), np.flatnonzero(succeeded)
        if len(finished):
            self._masks = self._masks.copy()  # the infos keep the terminal masks
            self._masks[finished] = self._reset_masks(finished)
            for row in finished:
                self.reset_infos[row] = self.venv.unwrapped.reset_infos[row]
            self._pursuit.start(finished, self._masks[finished])
        if len(reached):
            renew = self._pursuit.start if self.on_success == "terminate" else self._pursuit.command
            renew(reached, self._masks[reached])
        if len(finished) or len(reached):
            self._announce(np.concatenate([finished, reached]))

    def _reset_masks(self, rows: Any) -> BoolArray:
        # The innermost VecEnv: wrappers own a reset_infos of their own, which nobody fills.
        infos = self.venv.unwrapped.reset_infos
        return np.stack([read_mask(infos[row], f"at the reset of environment {row}") for row in rows])

    def _announce(self, rows: npt.NDArray[np.integer]) -> None:
        if self._announces:
            for row in rows.tolist():
                self.venv.env_method("set_commanded_goal", int(self._pursuit.goals[row]), indices=row)


def _write_rows(obs: Any, rows: BoolArray, values: Any) -> None:
    """Into some rows of a batch of observations."""
    if isinstance(obs, dict):
        for key, value in values.items():
            obs[key][rows] = value
    else:
        obs[rows] = values


def _refuse_normalisation_below(venv: VecEnv) -> None:
    inner = venv
    while isinstance(inner, VecEnvWrapper):
        if isinstance(inner, VecNormalize):
            raise ValueError(
                "expected no VecNormalize below VecGoalSampler, got one: replay buffers would store observations without "
                "goal_id; wrap the other way round, VecNormalize(VecGoalSampler(venv), norm_obs_keys=[...])"
            )
        inner = inner.venv


def _common_goal_names(venv: VecEnv) -> tuple[str, ...]:
    try:
        all_names = venv.get_attr("goal_names")
    except AttributeError:
        raise ValueError(
            "expected environments with goal_names, got some without; wrap each with MultiGoalWrapper before vectorising"
        ) from None
    names = check_goal_names(all_names[0])
    for number, other in enumerate(all_names):
        if tuple(other) != names:
            raise ValueError(
                f"expected every environment to have the same goals in one order, environment {number} differs from 0"
            )
    return names
