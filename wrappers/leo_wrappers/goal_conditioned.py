"""One commanded goal: the view of a multi-goal environment that goal-conditioned agents train and act in."""

from collections.abc import Callable
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from leo_wrappers.goal_set import BoolArray, Goal, GoalSet, check_goal_names, goal_index
from leo_wrappers.goal_tracker import GoalTracker, OnSuccess, check_on_success
from leo_wrappers.infos import read_mask
from leo_wrappers.keys import ENDED_BY_GOAL_KEY, GOAL_KEY
from leo_wrappers.multi_goal import goal_env_method
from leo_wrappers.selection import GoalIds, GoalSelector, GoalSelectorLike, make_goal_selector

_ONLY_ROW = np.zeros(1, dtype=np.int64)


class GoalConditionedWrapper(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """
    Commands one goal of a multi-goal environment and rewards only that one.

    The observation becomes a flat dictionary with ``goal_id``: always the goal that the *next* step is judged by. The reward
    is ``float(mask[goal])``, ``info["goal_id"]`` the goal that the step was judged by, and ``info["is_success"]`` whether the
    goal commanded at the episode's start was achieved by any step so far (being true at the reset does not count).

    Goal environments keep their three keys. Where the goals are points, ``desired_goal`` shows the commanded one and
    ``compute_reward`` is 1.0 within reach of any desired point and 0.0 elsewhere, in line with the reward. (With ``"switch"``
    the observation of a successful step shows the next goal already; for hindsight relabelling use the other two.)

    :param env: a multi-goal environment
    :param goal: command always this goal, by name or index
    :param goal_selector: else choose a goal at each reset: a strategy's name, a function, or a
        :class:`~leo_wrappers.selection.GoalSelector`
    :param on_success: ``"terminate"`` ends the episode, ``"continue"`` goes on with the same goal, ``"switch"`` with a new one
    :param seed: seeds the selector until the first ``reset(seed=...)``

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
        gym.utils.RecordConstructorArgs.__init__(
            self, _disable_deepcopy=True, goal=goal, goal_selector=goal_selector, on_success=on_success, seed=seed
        )
        gym.Wrapper.__init__(self, env)
        if not env.has_wrapper_attr("goal_names"):
            raise ValueError(
                "expected a multi-goal environment, got one without goal_names; wrap it with MultiGoalWrapper first"
            )
        self.goal_names = check_goal_names(env.get_wrapper_attr("goal_names"))
        self.on_success = check_on_success(on_success)
        points = env.get_wrapper_attr("goal_points") if env.has_wrapper_attr("goal_points") else None
        self._view = GoalView(env.observation_space, len(self.goal_names), points)
        self.observation_space = self._view.space
        self._fixed_goal = None if goal is None else goal_index(self.goal_names, goal)
        self._pursuit = GoalTracker(make_goal_selector(goal_selector, self.goal_names, seed), num_envs=1)
        self._mask: BoolArray = np.zeros(len(self.goal_names), dtype=bool)

    @property
    def goal_selector(self) -> GoalSelector:
        """Chooses the goals; its statistics are public."""
        return self._pursuit.goal_selector

    @property
    def goal_id(self) -> int:
        """The goal that the next step is judged by."""
        return int(self._pursuit.goals[0])

    @property
    def fixed_goal(self) -> int | None:
        """The goal commanded at every reset, as :meth:`set_goal` takes it; None where the selector chooses."""
        return self._fixed_goal

    def set_goal(self, goal: Goal | None) -> None:
        """
        Commands a goal from the next step on, and at every reset to come.

        :param goal: a name or an index; None hands the choice back to the selector at the next reset
        """
        self._fixed_goal = None if goal is None else goal_index(self.goal_names, goal)
        if self._fixed_goal is not None:
            self._pursuit.start(_ONLY_ROW, self._mask[None], self._fixed_goal)
            self._announce()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """
        Starts an episode with a newly commanded goal.

        :param seed: seeds the environment and the selector
        :param options: ``{"goal": name_or_index}`` commands a goal for this episode; other keys go to the environment
        """
        options = dict(options or {})
        wanted = options.pop("goal", None)
        # Judged before the environment moves, so that a wrong goal leaves everything as it was.
        goal = self._fixed_goal if wanted is None else goal_index(self.goal_names, wanted)
        if seed is not None:
            self.goal_selector.seed(seed)
        obs, info = self.env.reset(seed=seed, options=options or None)
        self._mask = read_mask(info, "at reset")
        self._pursuit.start(_ONLY_ROW, self._mask[None], goal)
        self._announce()
        return self._view.add(obs, self.goal_id), {**info, GOAL_KEY: self.goal_id, "is_success": False}

    def step(self, action: Any) -> tuple[dict[str, Any], SupportsFloat, bool, bool, dict[str, Any]]:
        """Steps the environment and judges the step by the commanded goal."""
        obs, _, terminated, truncated, info = self.env.step(action)
        self._mask = read_mask(info, "at a step")
        judgement = self._pursuit.judge(self._mask[None], np.array([terminated or truncated]))
        achieved = bool(judgement.achieved[0])
        if achieved and self.on_success == "switch":
            self._pursuit.command(_ONLY_ROW, self._mask[None])
            self._announce()
        info = {**info, GOAL_KEY: int(judgement.goals[0]), "is_success": bool(judgement.is_success[0])}
        if achieved and self.on_success == "terminate" and not terminated:
            terminated = info[ENDED_BY_GOAL_KEY] = True
        return self._view.add(obs, self.goal_id), float(achieved), bool(terminated), bool(truncated), info

    def __getattr__(self, name: str) -> Any:
        if name == "compute_reward" and self._view.shows_point:
            goal_env_method(self, name)  # an AttributeError where the environment is no GoalEnv
            return self._compute_reward
        return goal_env_method(self, name)

    def _compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> npt.NDArray[np.float32] | float:
        goals: GoalSet = self.env.get_wrapper_attr("goal_set")
        reached = goals.reaches(achieved_goal, desired_goal)
        return float(reached) if reached.ndim == 0 else reached.astype(np.float32)

    def _announce(self) -> None:
        if self.env.has_wrapper_attr("set_commanded_goal"):
            set_commanded_goal: Callable[[int], None] = self.env.get_wrapper_attr("set_commanded_goal")
            set_commanded_goal(self.goal_id)


class GoalView:
    """
    Adds the commanded goal to observation spaces and observations, single or batched.

    :param space: the observation space without a goal
    :param num_goals: G
    :param goal_points: the goals' places ``[G, d]``, if they have any: ``desired_goal`` then shows the commanded one
    """

    def __init__(self, space: gym.Space[Any], num_goals: int, goal_points: npt.NDArray[Any] | None) -> None:
        if isinstance(space, spaces.Dict):
            if GOAL_KEY in space.spaces:
                raise ValueError(
                    f"expected an observation space without {GOAL_KEY!r}, got one that has it already; command goals only once"
                )
            nested = [key for key, inner in space.spaces.items() if isinstance(inner, spaces.Dict | spaces.Tuple)]
            if nested:
                raise ValueError(
                    f"expected a flat Dict observation, got nested spaces at {nested}; flatten them first, for example with "
                    "gymnasium.wrappers.FlattenObservation or TransformObservation"
                )
        self._is_dict = isinstance(space, spaces.Dict)
        inner = dict(space.spaces) if isinstance(space, spaces.Dict) else {"observation": space}
        self.space = spaces.Dict({**inner, GOAL_KEY: spaces.Discrete(num_goals)})
        desired = inner.get("desired_goal")
        self._points: npt.NDArray[Any] | None = None
        if goal_points is not None and desired is not None and desired.shape == goal_points.shape[1:]:
            self._points = goal_points.astype(desired.dtype)

    @property
    def shows_point(self) -> bool:
        """Whether ``desired_goal`` shows the commanded goal."""
        return self._points is not None

    def add(self, obs: Any, goal_id: int | GoalIds) -> dict[str, Any]:
        """
        :param obs: an observation, or a batch of them
        :param goal_id: the commanded goal of each
        :return: a new dictionary with the goal in it
        """
        result = dict(obs) if self._is_dict else {"observation": obs}
        result[GOAL_KEY] = np.array(goal_id, dtype=np.int64)[()]
        if self._points is not None:
            result["desired_goal"] = np.take(self._points, goal_id, axis=0)  # a copy, also for one goal
        return result
