"""What every environment over a world offers besides stepping: its goals, its states and its exact values."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from leo_envs.common import solver
from leo_envs.common.mdp import BoolArray, FloatArray, IntArray, World
from leo_wrappers import GoalSet


class FiniteMDPView:
    """
    The goals and the exact values of an environment's world; the base of single and vector environments.

    :param world: the rules of the environment
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.goal_names: tuple[str, ...] = world.goal_names

    @property
    def goal_set(self) -> GoalSet:
        """The goals as a set over state numbers, with descriptors and families."""
        return self.world.goal_set

    def all_observations(self) -> FloatArray:
        """
        The observation of every state: row s belongs to row s of :meth:`optimal_q`.

        :return: float32 ``[S, *observation shape]``
        """
        return self.world.observe(np.arange(self.world.num_states))

    def states_of(self, observations: npt.ArrayLike) -> IntArray:
        """
        The states that look like these observations.

        :param observations: one observation or a batch
        :return: state numbers
        """
        return self.world.states_of(observations)

    def optimal_q(self, gamma: float, goals: Iterable[str | int] | None = None) -> solver.Values:
        """
        The exact optimal action values, ``gamma ** (n - 1)`` where n counts the steps to the goal, this action included.

        Achieving a goal ends its bootstrap, so a state that achieves it already is worth what it takes to achieve it *again*.

        :param gamma: the discount
        :param goals: only these goals, by name or id; all when None
        :return: float64 ``[S, G, A]``
        """
        return solver.optimal_q(self.world, gamma, self._goal_ids(goals))

    def distances(self, goals: Iterable[str | int] | None = None) -> solver.Distances:
        """
        The least number of steps, at least one, to each goal from each state.

        :param goals: only these goals, by name or id; all when None
        :return: int32 ``[S, G]``, -1 where the goal is out of reach
        """
        return solver.distances(self.world, self._goal_ids(goals))

    def reachable(self, start: Any = None) -> BoolArray:
        """
        The goals that can be achieved from a start; ``distances() > 0`` tells it for every state.

        :param start: a place, as in ``reset(options={"start": ...})``; where episodes begin when None
        :return: bool ``[G]``
        """
        starts = self.world.starts if start is None else np.array([self.world.state_at(start)])
        return solver.reachable(self.world, starts)

    def _goal_ids(self, goals: Iterable[str | int] | None) -> IntArray:
        if goals is None:
            return np.arange(self.world.num_goals)
        if isinstance(goals, str):
            raise ValueError(f"expected a sequence of goals, got the single string {goals!r}; write [{goals!r}]")
        return np.array([self.goal_set.index(goal) for goal in goals], dtype=np.intp)
