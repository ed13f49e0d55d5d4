"""Checks of goal-conditioned environments: reward, ``goal_id`` and ``is_success`` against the masks."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from leo_wrappers.checks.errors import ContractError, RunPosition
from leo_wrappers.checks.results import ResetResult, StepResult
from leo_wrappers.keys import GOAL_INPUT_KEYS, GOAL_KEY, TASK_REWARDS_KEY


def is_goal_conditioned(space: gym.Space[Any]) -> bool:
    """
    Return whether observations of this space contain the commanded goal.

    :param space: the observation space
    """
    return isinstance(space, spaces.Dict) and GOAL_KEY in space.spaces


class GoalConditionedChecker:
    """
    Tracks the commanded goal of one environment and checks every reset and step against it.

    :param names: the goal names
    :param on_success: what the environment does when the goal is achieved; None if unknown
    """

    def __init__(self, names: tuple[str, ...], on_success: str | None = None) -> None:
        self.names = names
        self.on_success = on_success
        self.goal = 0
        self._first_goal = 0
        self._success = False

    def check_reset(self, result: ResetResult, position: RunPosition) -> None:
        """
        Check a reset and start tracking its episode.

        :param result: what the reset returned
        :param position: where in the run, for the error message
        """
        self.set_goal(int(result.observation[GOAL_KEY]))
        if result.info.get(GOAL_KEY, self.goal) != self.goal:
            raise self._goal_id_error(result.info[GOAL_KEY], "the goal in the observation", position)
        if result.info.get("is_success", False):
            raise position.error(
                'info["is_success"] to be False',
                "True",
                "do not count goals that are already achieved at the reset",
                self._named(self.goal),
            )

    def set_goal(self, goal: int) -> None:
        """
        Track another goal from now on and forget earlier successes.

        :param goal: the goal's index
        """
        self.goal = self._first_goal = goal
        self._success = False

    def check_step(self, result: StepResult, position: RunPosition) -> None:
        """
        Check a step.

        :param result: what the step returned
        :param position: where in the run, for the error message
        """
        achieved = bool(result.mask[self.goal])
        goal_id = result.info.get(GOAL_KEY, "nothing")
        if goal_id != self.goal:
            raise self._goal_id_error(goal_id, "the goal in the observation before the step", position)
        if TASK_REWARDS_KEY in result.info:
            self._check_task_reward(result, position)
        elif result.reward != float(achieved):
            raise position.error(
                f"reward {float(achieved)}, because the mask has the commanded goal as {'' if achieved else 'not '}achieved",
                f"reward {result.reward!r}",
                "return float(mask[goal_id]) with the goal_id that was commanded before the step",
                self._named(self.goal),
            )
        self._success |= bool(result.mask[self._first_goal])
        self._check_success(result.info, position)
        if achieved and self.on_success == "terminate" and result.terminated is False:
            raise position.error(
                'terminated=True, because the commanded goal is achieved and on_success is "terminate"',
                "terminated=False",
                "terminate the episode at this step",
                self._named(self.goal),
            )
        self._check_next_goal(int(result.observation[GOAL_KEY]), achieved, position)

    def _check_task_reward(self, result: StepResult, position: RunPosition) -> None:
        expected = float(result.info[TASK_REWARDS_KEY][self.goal])
        if result.reward != expected:
            raise position.error(
                f"reward {expected}, that of the commanded task",
                f"reward {result.reward!r}",
                'return info["task_rewards"][goal_id] with the goal_id that was commanded before the step',
                self._named(self.goal),
            )

    def _check_success(self, info: Mapping[str, Any], position: RunPosition) -> None:
        got = info.get("is_success", "nothing")
        if type(got) is not bool or got != self._success:
            raise position.error(
                f'info["is_success"] to be the bool {self._success}, because the goal commanded at the start of the episode '
                f"was {'' if self._success else 'not '}achieved by a step since the reset",
                f"{got!r}",
                "set it at every step to whether any step of the episode so far has achieved that goal",
                self._named(self._first_goal),
            )

    def _check_next_goal(self, next_goal: int, achieved: bool, position: RunPosition) -> None:
        may_switch = achieved and self.on_success in ("switch", None)
        if next_goal != self.goal and not may_switch:
            raise position.error(
                f'observation["goal_id"] to stay {self.goal}',
                str(next_goal),
                'change the commanded goal only at a reset, by set_goal, or on success with on_success="switch"',
                [*self._named(self.goal), *self._named(next_goal)],
            )
        self.goal = next_goal

    def _goal_id_error(self, got: Any, meaning: str, position: RunPosition) -> ContractError:
        return position.error(
            f'info["goal_id"] to be {self.goal}, {meaning}',
            f"{got!r}",
            "return the goal that the reward is computed for",
            self._named(self.goal),
        )

    def _named(self, goal: int) -> list[str]:
        return [self.names[goal]] if 0 <= goal < len(self.names) else []


def goal_setter_name(env: gym.Env[Any, Any]) -> str | None:
    """
    Return the name of the method that sets the commanded goal, None if the environment has none.

    :param env: the environment
    """
    names = ["set_goal", "set_commanded_goal"]
    if not is_goal_conditioned(env.observation_space):
        names.reverse()  # set_goal of a goal environment may take points
    return next((name for name in names if env.has_wrapper_attr(name)), None)


def commanded_goal(observation: Any) -> int | None:
    """
    Return the commanded goal in an observation, None if it contains none.

    :param observation: an observation
    """
    if isinstance(observation, Mapping) and GOAL_KEY in observation:
        return int(np.asarray(observation[GOAL_KEY]).item())
    return None


def without_goal_input(observation: Any) -> Any:
    """
    Return an observation without the entries that depend on the commanded goal.

    :param observation: an observation
    """
    if commanded_goal(observation) is None:
        return observation
    return {key: value for key, value in observation.items() if key not in GOAL_INPUT_KEYS}


def replay_options(env: gym.Env[Any, Any], options: dict[str, Any] | None, observation: Any) -> dict[str, Any] | None:
    """
    Return the reset options for replaying an episode.

    A goal selector that learns may choose another goal the second time, so the options command the recorded one.

    :param env: the environment
    :param options: the options of the recorded reset
    :param observation: the observation that the recorded reset returned; None if it raised
    """
    goal = commanded_goal(observation)
    if goal is not None and env.has_wrapper_attr("goal_selector"):
        return {**(options or {}), "goal": goal}
    return None if options is None else dict(options)
