"""Wrapper that turns a multi-goal environment into a goal-conditioned one."""

from collections.abc import Callable
from typing import Any, SupportsFloat, get_args

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from leo_wrappers.goal_selector import GoalIds, GoalSelector
from leo_wrappers.goal_set import BoolArray, Goal, GoalSet, check_goal_names, goal_index
from leo_wrappers.goal_tracker import GoalTracker, OnSuccess
from leo_wrappers.infos import read_mask
from leo_wrappers.keys import ENDED_BY_GOAL_KEY, GOAL_KEY, TASK_REWARDS_KEY
from leo_wrappers.multi_goal import goal_env_method
from leo_wrappers.selection import GoalSelectorLike, make_goal_selector
from leo_wrappers.validation import check_choice, check_env, check_seed

_ONLY_ROW = np.zeros(1, dtype=np.int64)


class GoalConditionedWrapper(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """
    Wrapper that commands one goal of a multi-goal environment and rewards only this goal.

    The observation becomes a flat dictionary with ``goal_id``, the goal of the *next* step. The reward is
    ``float(mask[goal])``, ``info["goal_id"]`` the goal that this reward is for, and ``info["is_success"]`` whether any step so
    far achieved the goal commanded at the start of the episode (a goal already achieved at reset does not count).

    Goal environments keep their three keys. If the goals are points, ``desired_goal`` is the commanded one and
    ``compute_reward`` is 1.0 within the tolerance of any desired point and 0.0 elsewhere, consistent with the reward. (With
    ``"switch"`` the observation of a successful step already has the next goal; use another mode for hindsight relabeling.)

    The defaults differ from those of :class:`~leo_wrappers.sb3.VecGoalSampler`: this wrapper is for evaluation, deployment and
    algorithms that learn one goal at a time, where every goal counts equally (``"uniform"``) and an episode is one attempt
    (``"terminate"``). The sampler is for training all goals, which needs no episode to end.

    :param env: a multi-goal environment
    :param goal: name or index of the goal to command at every reset
    :param goal_selector: chooses the goal of each episode if ``goal`` is None: name of a strategy, a goal, a function, or a
        :class:`~leo_wrappers.selection.GoalSelector`
    :param on_success: ``"terminate"`` ends the episode, ``"continue"`` keeps the goal, ``"switch"`` commands a new one
    :param seed: seed of the selector until the first ``reset(seed=...)``

    Example::

        >>> import gymnasium as gym
        >>> from leo_wrappers import GoalConditionedWrapper, MultiGoalWrapper, PredicateGoals
        >>> goals = PredicateGoals({"pole/left": lambda s: s[..., 2] < -0.05, "pole/right": lambda s: s[..., 2] > 0.05})
        >>> env = GoalConditionedWrapper(MultiGoalWrapper(gym.make("CartPole-v1"), goals))
        >>> obs, info = env.reset(seed=0, options={"goal": "pole/right"})
        >>> sorted(obs), int(obs["goal_id"])
        (['goal_id', 'observation'], 1)
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        goal: Goal | None = None,
        goal_selector: GoalSelectorLike = "uniform",
        on_success: OnSuccess = "terminate",
        seed: int | None = None,
    ) -> None:
        check_env(env)
        check_seed(seed)
        gym.utils.RecordConstructorArgs.__init__(
            self, _disable_deepcopy=True, goal=goal, goal_selector=goal_selector, on_success=on_success, seed=seed
        )
        gym.Wrapper.__init__(self, env)
        if not env.has_wrapper_attr("goal_names"):
            raise ValueError(
                "expected a multi-goal environment, got one without goal_names; wrap it with MultiGoalWrapper first"
            )
        self.goal_names = check_goal_names(env.get_wrapper_attr("goal_names"))
        check_choice("on_success", on_success, get_args(OnSuccess))
        self.on_success = on_success
        points = env.get_wrapper_attr("goal_points") if env.has_wrapper_attr("goal_points") else None
        self._view = GoalView(env.observation_space, len(self.goal_names), points)
        self.observation_space = self._view.space
        self._fixed_goal = None if goal is None else goal_index(self.goal_names, goal)
        self._tracker = GoalTracker(make_goal_selector(goal_selector, self.goal_names, seed), num_envs=1)
        self._mask: BoolArray = np.zeros(len(self.goal_names), dtype=bool)

    @property
    def goal_selector(self) -> GoalSelector:
        """The selector that chooses the goals, with its statistics."""
        return self._tracker.goal_selector

    @property
    def goal_id(self) -> int:
        """The currently commanded goal, which the next step is rewarded for."""
        return int(self._tracker.goals[0])

    @property
    def fixed_goal(self) -> int | None:
        """The goal commanded at every reset, see :meth:`set_goal`; None if the selector chooses."""
        return self._fixed_goal

    def set_goal(self, goal: Goal | None) -> None:
        """
        Command a goal from the next step on, and at every later reset.

        :param goal: name or index of the goal; None lets the selector choose again from the next reset on
        """
        self._fixed_goal = None if goal is None else goal_index(self.goal_names, goal)
        if self._fixed_goal is not None:
            self._tracker.start(_ONLY_ROW, self._mask[None], self._fixed_goal)
            self._notify_env()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """
        Start an episode and command its goal.

        :param seed: seed of the environment and of the selector
        :param options: ``{"goal": name_or_index}`` commands a goal for this episode; other keys go to the environment
        """
        options = dict(options or {})
        requested = options.pop("goal", None)
        # Validated before the environment is reset, so that an invalid goal changes nothing.
        goal = self._fixed_goal if requested is None else goal_index(self.goal_names, requested)
        if seed is not None:
            self.goal_selector.seed(seed)
        obs, info = self.env.reset(seed=seed, options=options or None)
        self._mask = read_mask(info, "at reset")
        self._tracker.start(_ONLY_ROW, self._mask[None], goal)
        self._notify_env()
        return self._view.add(obs, self.goal_id), {**info, GOAL_KEY: self.goal_id, "is_success": False}

    def step(self, action: Any) -> tuple[dict[str, Any], SupportsFloat, bool, bool, dict[str, Any]]:
        """Step the environment and reward the commanded goal."""
        obs, _, terminated, truncated, info = self.env.step(action)
        before, self._mask = self._mask, read_mask(info, "at a step")
        outcome = self._tracker.update(self._mask[None], np.array([terminated or truncated]), before[None])
        achieved = bool(outcome.achieved[0])
        if achieved and self.on_success == "switch":
            self._tracker.set_goals(_ONLY_ROW, self._mask[None])
            self._notify_env()
        info = {**info, GOAL_KEY: int(outcome.goals[0]), "is_success": bool(outcome.is_success[0])}
        if achieved and self.on_success == "terminate" and not terminated:
            terminated = info[ENDED_BY_GOAL_KEY] = True
        reward = float(info[TASK_REWARDS_KEY][outcome.goals[0]]) if TASK_REWARDS_KEY in info else float(achieved)
        return self._view.add(obs, self.goal_id), reward, bool(terminated), bool(truncated), info

    def __getattr__(self, name: str) -> Any:
        if name == "compute_reward" and self._view.has_desired_goal:
            goal_env_method(self, name)  # raises AttributeError if the environment is not a GoalEnv
            return self._compute_reward
        return goal_env_method(self, name)

    def _compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> npt.NDArray[np.float32] | float:
        goals: GoalSet = self.env.get_wrapper_attr("goal_set")
        reached = goals.reaches(achieved_goal, desired_goal)
        return float(reached) if reached.ndim == 0 else reached.astype(np.float32)

    def _notify_env(self) -> None:
        if self.env.has_wrapper_attr("set_commanded_goal"):
            set_commanded_goal: Callable[[int], None] = self.env.get_wrapper_attr("set_commanded_goal")
            set_commanded_goal(self.goal_id)


class GoalView:
    """
    Add the commanded goal, or another number, to an observation space and to its observations, single or batched.

    :param space: the observation space without a goal
    :param num_goals: number of goals, G
    :param goal_points: the points of the goals ``[G, d]``, written to ``desired_goal`` if the space has it; None if the goals
        are not points
    :param key: the entry of the observations
    """

    def __init__(
        self, space: gym.Space[Any], num_goals: int, goal_points: npt.NDArray[Any] | None = None, key: str = GOAL_KEY
    ) -> None:
        self._key = key
        if isinstance(space, spaces.Dict):
            if key in space.spaces:
                raise ValueError(
                    f"expected an observation space without {key!r}, got one that has it already; wrap the environment "
                    "only once"
                )
            nested = [key for key, inner in space.spaces.items() if isinstance(inner, spaces.Dict | spaces.Tuple)]
            if nested:
                raise ValueError(
                    f"expected a flat Dict observation, got nested spaces at {nested}; flatten them first, for example with "
                    "gymnasium.wrappers.FlattenObservation or TransformObservation"
                )
        self._is_dict = isinstance(space, spaces.Dict)
        inner = dict(space.spaces) if isinstance(space, spaces.Dict) else {"observation": space}
        self.space = spaces.Dict({**inner, key: spaces.Discrete(num_goals)})
        desired = inner.get("desired_goal")
        self._points: npt.NDArray[Any] | None = None
        if goal_points is not None and desired is not None and desired.shape == goal_points.shape[1:]:
            self._points = goal_points.astype(desired.dtype)

    @property
    def has_desired_goal(self) -> bool:
        """Whether ``desired_goal`` is the point of the commanded goal."""
        return self._points is not None

    def add(self, obs: Any, goal_id: int | GoalIds) -> dict[str, Any]:
        """
        Add the commanded goal to observations.

        :param obs: one observation, or a batch of N
        :param goal_id: the commanded goal, or ``[N]`` of them
        :return: a new dictionary with ``goal_id`` and, for point goals, the commanded ``desired_goal``
        """
        result = dict(obs) if self._is_dict else {"observation": obs}
        result[self._key] = np.array(goal_id, dtype=np.int64)[()]
        if self._points is not None:
            result["desired_goal"] = np.take(self._points, goal_id, axis=0)  # copies, even a single goal
        return result
