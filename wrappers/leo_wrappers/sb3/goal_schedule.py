"""When commanded goals are replaced within an episode: after exploration from an achieved goal, or without progress."""

from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from leo_wrappers.goal_selector import FloatArray, GoalIds
from leo_wrappers.goal_set import BoolArray
from leo_wrappers.validation import check_integer


class GoalSchedule:
    """
    Decides for N environments when the goal is replaced within an episode.

    :param num_envs: number of environments, N
    :param explore_steps: number of steps with random actions between a success and the next goal
    :param explore_repeat: mean number of steps, geometrically distributed, for which a random action is repeated
    :param patience: number of steps after which a goal is given up; if the agent's values are known, only if the value of the
        goal has not risen in these steps. None to keep goals
    """

    def __init__(self, num_envs: int, explore_steps: int, explore_repeat: int, patience: int | None) -> None:
        check_integer("explore_steps", explore_steps, 0)
        check_integer("explore_repeat", explore_repeat, 1)
        if patience is not None:
            check_integer("patience", patience, 1)
        self.explore_steps, self.explore_repeat, self.patience = explore_steps, explore_repeat, patience
        self._explore_left: GoalIds = np.zeros(num_envs, dtype=np.int64)
        self._repeat_left: GoalIds = np.zeros(num_envs, dtype=np.int64)
        self._age: GoalIds = np.zeros(num_envs, dtype=np.int64)
        self._values: FloatArray = np.full(num_envs, -np.inf)
        self._actions: npt.NDArray[Any] | None = None

    @property
    def arguments(self) -> dict[str, int | None]:
        """The arguments, without the number of environments."""
        return {"explore_steps": self.explore_steps, "explore_repeat": self.explore_repeat, "patience": self.patience}

    @property
    def exploring(self) -> BoolArray:
        """The environments whose next action is random, bool ``[N]``."""
        return self._explore_left > 0

    def start(self, rows: npt.NDArray[np.integer], values: FloatArray | None) -> None:
        """
        Start with new goals.

        :param rows: the environments
        :param values: the values of their goals, ``[len(rows)]``, if they are known
        """
        self._explore_left[rows] = self._age[rows] = 0
        self._values[rows] = -np.inf if values is None else values

    def update(self, succeeded: BoolArray) -> tuple[BoolArray, BoolArray]:
        """
        Count a step.

        :param succeeded: the environments whose goal was achieved, and that continue, ``[N]``
        :return: the environments that get a new goal because of their success, now or ``explore_steps`` ago; and those whose
            goal is as old as the patience, both ``[N]``
        """
        exploring = self.exploring
        self._explore_left -= exploring
        finished = exploring & (self._explore_left == 0)
        if self.explore_steps:
            begins = succeeded & ~exploring
            self._explore_left[begins] = self.explore_steps
            self._repeat_left[begins] = 0
        else:
            finished = succeeded
        self._age += 1
        impatient = np.zeros_like(succeeded)
        if self.patience is not None:
            impatient = (self._age >= self.patience) & ~finished & ~self.exploring
        return finished, impatient

    def keep_rising(self, rows: npt.NDArray[np.integer], values: FloatArray | None) -> BoolArray:
        """
        Decide which goals are kept for another period, because their value has risen.

        :param rows: the environments whose patience is over
        :param values: the current values of their goals, if they are known
        :return: bool ``[len(rows)]``
        """
        if values is None:
            return np.zeros(len(rows), dtype=bool)
        rising: BoolArray = values > self._values[rows]
        self._age[rows[rising]] = 0
        self._values[rows[rising]] = values[rising]
        return rising

    def random_actions(self, space: spaces.Space[Any], rng: np.random.Generator) -> npt.NDArray[Any]:
        """
        Return the actions of this step, of which only those of ``exploring`` environments are meant.

        :param space: the action space
        :param rng: generator of the actions
        :return: ``[N, *space.shape]``
        """
        if self._actions is None:
            self._actions = np.zeros((len(self._age), *(space.shape or ())), dtype=space.dtype)
        rows = np.flatnonzero(self.exploring & (self._repeat_left == 0))
        self._repeat_left[rows] = rng.geometric(1.0 / self.explore_repeat, len(rows))
        if isinstance(space, spaces.Discrete):
            self._actions[rows] = space.start + rng.integers(space.n, size=len(rows))
        elif isinstance(space, spaces.Box):
            self._actions[rows] = rng.uniform(space.low, space.high, (len(rows), *space.shape))
        else:
            raise ValueError(f"expected Discrete or Box actions with explore_steps, got {space}; leave out explore_steps")
        self._repeat_left -= self.exploring
        return self._actions
