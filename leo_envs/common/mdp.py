"""Finite, deterministic MDPs with goals, vectorized over states."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from leo_wrappers import GoalSet

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.intp]
Frame = npt.NDArray[np.uint8]


class Painter(Protocol):
    """Renderer of the states of an MDP."""

    def frame(self, state: int, commanded_goal: int | None) -> Frame:
        """Return the state as an RGB array ``[height, width, 3]``."""
        ...

    def text(self, state: int, commanded_goal: int | None) -> str:
        """Return the state as text."""
        ...


class FiniteMDP(ABC):
    """
    Finite, deterministic MDP with goals: transitions, observations, and the goals that each state achieves.

    States, actions and goals are integers from 0. Methods accept a state or an array of states of any shape, so that the
    single environment, the vector environment and the exact solver share one implementation. An MDP is stateless.

    :param num_states: number of states, S
    :param num_actions: number of actions, A, available in every state
    :param goal_names: names of the G goals, in order
    :param starts: possible start states, each equally likely
    :param observation_space: space of a single observation
    """

    def __init__(
        self,
        num_states: int,
        num_actions: int,
        goal_names: Sequence[str],
        starts: npt.ArrayLike,
        observation_space: spaces.Box,
    ) -> None:
        self.num_states = num_states
        self.num_actions = num_actions
        self.goal_names = tuple(goal_names)
        self.starts: IntArray = np.asarray(starts, dtype=np.intp)
        self.observation_space: Any = observation_space

    @abstractmethod
    def next_states(self, states: npt.ArrayLike, actions: npt.ArrayLike) -> IntArray:
        """Return the state after each action; the arguments broadcast."""

    @abstractmethod
    def observe(self, states: npt.ArrayLike) -> FloatArray:
        """Return the observation of each state as a new array ``[..., *observation_space.shape]``."""

    @abstractmethod
    def states_of(self, observations: npt.ArrayLike) -> IntArray:
        """Return the states of these observations, the inverse of :meth:`observe`."""

    @abstractmethod
    def achieved(self, states: npt.ArrayLike) -> BoolArray:
        """Return the goals that each state achieves as a new array, bool ``[..., G]``."""

    @abstractmethod
    def state_at(self, start: Any) -> int:
        """Return the state that ``start`` describes (a cell, a bit pattern); raise ValueError if there is none."""

    @abstractmethod
    def goal_descriptors(self) -> FloatArray:
        """Return one descriptor per goal, ``[G, d]``."""

    @cached_property
    @abstractmethod
    def painter(self) -> Painter:
        """Renderer of the states."""

    @property
    def num_goals(self) -> int:
        """Number of goals, G."""
        return len(self.goal_names)

    @cached_property
    def goal_set(self) -> GoalSet:
        """The goals with their descriptors; the signal is the state number."""
        return GoalSet(self.goal_names, self.achieved, descriptors=self.goal_descriptors(), signal_shape=())

    def states_achieving(self, goals: IntArray) -> tuple[IntArray, IntArray]:
        """
        Return all pairs of a state and a goal that it achieves.

        Overridden where each goal is a single state, which avoids the ``[S, G]`` table.

        :param goals: goal ids
        :return: states ``[P]`` and the index into ``goals`` of the achieved goal ``[P]``
        """
        states, columns = np.nonzero(self.achieved(np.arange(self.num_states))[:, goals])
        return states, columns

    def sample_start(self, generator: np.random.Generator) -> int:
        """
        Sample a start state. All randomness is here, so single and vector environments draw the same start states.

        :param generator: random generator of the environment
        :return: a state
        """
        return int(self.starts[generator.integers(len(self.starts))])

    @cached_property
    def successors(self) -> IntArray:
        """The next state of every state and action, ``[S, A]``."""
        return self.next_states(np.arange(self.num_states)[:, None], np.arange(self.num_actions))

    def _check_observations(self, observations: npt.NDArray[Any]) -> None:
        size = self.observation_space.shape[0]
        if observations.shape[-1:] != (size,):
            raise ValueError(f"expected observations of shape (..., {size}), got {observations.shape}; pass complete ones")
