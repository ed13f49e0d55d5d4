"""The judge of a goal-conditioned view: its reward, ``goal_id`` and ``is_success`` against the masks."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from leo_wrappers.checks.errors import Clock
from leo_wrappers.goal_set import BoolArray
from leo_wrappers.keys import GOAL_KEY


def is_goal_view(space: gym.Space[Any]) -> bool:
    """
    Whether observations of this space show a commanded goal.

    :param space: the observation space
    """
    return isinstance(space, spaces.Dict) and GOAL_KEY in space.spaces


class GoalJudge:
    """
    Follows the commanded goal of one environment and judges each step by it.

    :param names: the goal names
    :param on_success: what the view does when the goal is achieved; None when it does not say
    """

    def __init__(self, names: tuple[str, ...], on_success: str | None = None) -> None:
        self.names = names
        self.on_success = on_success
        self.goal = 0
        self._first_goal = 0
        self._success = False

    def judge_reset(self, observation: Mapping[str, Any], info: Mapping[str, Any], clock: Clock) -> None:
        """
        Begins an episode.

        :param observation: what the reset returned
        :param info: what the reset returned
        :param clock: when it came
        """
        self.command(int(observation[GOAL_KEY]))
        if info.get(GOAL_KEY, self.goal) != self.goal:
            raise self._wrong_goal_id(info[GOAL_KEY], "the goal in the observation", clock)
        if info.get("is_success", False):
            raise clock.error(
                'info["is_success"] to be False',
                "True",
                "do not count goals that are already true at the reset",
                self._named(self.goal),
            )

    def command(self, goal: int) -> None:
        """
        Takes note that another goal is commanded from now on, and that its success counts anew.

        :param goal: the goal's index
        """
        self.goal = self._first_goal = goal
        self._success = False

    def judge_step(
        self,
        observation: Mapping[str, Any],
        reward: float,
        terminated: bool | None,
        info: Mapping[str, Any],
        mask: BoolArray,
        clock: Clock,
    ) -> None:
        """
        Judges one step.

        :param observation: what the step returned; in a vector environment the last observation of the episode
        :param reward: what the step returned
        :param terminated: what the step returned; None where only the end, not its kind, is known
        :param info: what the step returned
        :param mask: the goals that the step achieved
        :param clock: when it came
        """
        achieved = bool(mask[self.goal])
        if GOAL_KEY not in info or info[GOAL_KEY] != self.goal:
            raise self._wrong_goal_id(
                info.get(GOAL_KEY, "nothing"), "the goal that the agent was shown before the step", clock
            )
        if reward != float(achieved):
            raise clock.error(
                f"reward {float(achieved)}, because by the mask the commanded goal is {'' if achieved else 'not '}achieved",
                f"reward {reward!r}",
                "return float(mask[goal_id]) with the goal_id that was commanded before the step",
                self._named(self.goal),
            )
        self._success |= bool(mask[self._first_goal])
        self._judge_success(info, clock)
        if achieved and self.on_success == "terminate" and terminated is False:
            raise clock.error(
                'terminated=True, because the commanded goal is achieved and on_success is "terminate"',
                "terminated=False",
                "end the episode there",
                self._named(self.goal),
            )
        self._judge_next_goal(int(observation[GOAL_KEY]), achieved, clock)

    def _judge_success(self, info: Mapping[str, Any], clock: Clock) -> None:
        got = info.get("is_success", "nothing")
        if type(got) is not bool or got != self._success:
            raise clock.error(
                f'info["is_success"] to be the bool {self._success}, because since the reset (which does not count) the goal '
                f"commanded at the episode's start was {'' if self._success else 'never '}achieved",
                f"{got!r}",
                "set it at every step to whether any step of the episode has achieved that goal",
                self._named(self._first_goal),
            )

    def _judge_next_goal(self, shown: int, achieved: bool, clock: Clock) -> None:
        may_switch = achieved and self.on_success in ("switch", None)
        if shown != self.goal and not may_switch:
            raise clock.error(
                f'observation["goal_id"] to stay {self.goal}',
                str(shown),
                'command another goal only at a reset, by set_goal, or on success with on_success="switch"',
                [*self._named(self.goal), *self._named(shown)],
            )
        self.goal = shown

    def _wrong_goal_id(self, got: Any, meaning: str, clock: Clock) -> Exception:
        return clock.error(
            f'info["goal_id"] to be {self.goal}, {meaning}',
            f"{got!r}",
            "report the goal that the reward belongs to",
            self._named(self.goal),
        )

    def _named(self, goal: int) -> list[str]:
        return [self.names[goal]] if 0 <= goal < len(self.names) else []


def commander(env: gym.Env[Any, Any]) -> str | None:
    """
    The method by which an environment can be told which goal is commanded, None if it has none.

    :param env: the environment
    """
    return next((name for name in ("set_goal", "set_commanded_goal") if env.has_wrapper_attr(name)), None)


def without_goal(observation: Any) -> Any:
    """
    An observation without the keys that show the commanded goal.

    :param observation: an observation
    """
    if isinstance(observation, Mapping) and GOAL_KEY in observation:
        return {key: value for key, value in observation.items() if key not in (GOAL_KEY, "desired_goal")}
    return observation


def shown_goal(observation: Any) -> int | None:
    """
    The commanded goal in an observation, None if it shows none.

    :param observation: an observation
    """
    if isinstance(observation, Mapping) and GOAL_KEY in observation:
        return int(np.asarray(observation[GOAL_KEY]).item())
    return None
