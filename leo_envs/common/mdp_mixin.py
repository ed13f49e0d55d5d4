"""Goals, states and exact values of environments on a finite MDP."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from leo_envs.common import solver
from leo_envs.common.mdp import BoolArray, FiniteMDP, FloatArray, IntArray
from leo_wrappers import GoalSet


class FiniteMDPMixin:
    """
    Mixin with the goals, states and exact values of an MDP, for single and vector environments.

    :param mdp: dynamics, observations and goals
    """

    def __init__(self, mdp: FiniteMDP) -> None:
        self.mdp = mdp
        self.goal_names: tuple[str, ...] = mdp.goal_names

    @property
    def goal_set(self) -> GoalSet:
        """The goals with their descriptors; the signal is the state number."""
        return self.mdp.goal_set

    def goal_signal(self, observation: npt.ArrayLike, info: dict[str, Any]) -> IntArray:
        """
        Return the signal of :attr:`goal_set`, from which the checkers compute the mask again.

        :param observation: one observation, ``[*observation_space.shape]``
        :param info: unused
        :return: the state, an integer ``[]``
        """
        return self.mdp.states_of(observation)

    def all_observations(self) -> FloatArray:
        """
        Return the observation of every state, in the order of the rows of :meth:`optimal_q`.

        :return: float32 ``[S, *observation_space.shape]``
        """
        return self.mdp.observe(np.arange(self.mdp.num_states))

    def states_of(self, observations: npt.ArrayLike) -> IntArray:
        """
        Return the states of these observations.

        :param observations: one observation or a batch, ``[..., *observation_space.shape]``
        :return: states, integers ``[...]``
        """
        return self.mdp.states_of(observations)

    def optimal_q(self, gamma: float, goals: Iterable[str | int] | None = None) -> solver.Values:
        """
        Compute the exact optimal Q-values: ``gamma ** (n - 1)`` where the goal is achieved after n steps, this one included.

        In a state that achieves the goal already, the Q-value is that of achieving it *again*.

        :param gamma: discount factor
        :param goals: names or ids of some goals; all goals when None
        :return: Q-values, float64 ``[S, G, A]``
        """
        return solver.optimal_q(self.mdp, gamma, self._goal_ids(goals))

    def distances(self, goals: Iterable[str | int] | None = None) -> solver.Distances:
        """
        Compute the smallest number of steps, at least one, from each state to each goal.

        :param goals: names or ids of some goals; all goals when None
        :return: int32 ``[S, G]``, -1 where the goal is unreachable
        """
        return solver.distances(self.mdp, self._goal_ids(goals))

    def reachable(self, start: Any = None) -> BoolArray:
        """
        Return the goals that can be achieved from a start state; ``distances() > 0`` holds this for every state.

        :param start: start state as in ``reset(options={"start": ...})``; any start state of the environment when None
        :return: bool ``[G]``
        """
        starts = self.mdp.starts if start is None else np.array([self.mdp.state_at(start)])
        return solver.reachable(self.mdp, starts)

    def _goal_ids(self, goals: Iterable[str | int] | None) -> IntArray:
        if goals is None:
            return np.arange(self.mdp.num_goals)
        if isinstance(goals, str):
            raise ValueError(f"expected a sequence of goals, got the single string {goals!r}; write [{goals!r}]")
        return np.array([self.goal_set.index(goal) for goal in goals], dtype=np.intp)
