"""A world: finite, deterministic dynamics with goals, written for any batch of states at once."""

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
    """Draws one state of a world."""

    def frame(self, state: int, commanded_goal: int | None) -> Frame:
        """The state as an RGB picture ``[height, width, 3]``."""
        ...

    def text(self, state: int, commanded_goal: int | None) -> str:
        """The state as lines of characters."""
        ...


class World(ABC):
    """
    The rules of a finite, deterministic environment: what each action does, what is seen, which goals each state achieves.

    States, actions and goals are numbers from 0. Every method takes a state number or an array of them with any shape, so
    that one world serves a single environment, a vector environment and the exact solver alike, and the three cannot
    disagree. A world holds no state of its own.

    :param num_states: the number of states
    :param num_actions: the number of actions, the same in every state
    :param goal_names: the names of the goals, in order
    :param starts: the states an episode may begin in, each equally likely
    :param observation_space: the space of one observation
    """

    def __init__(
        self,
        num_states: int,
        num_actions: int,
        goal_names: Sequence[str],
        starts: npt.ArrayLike,
        observation_space: spaces.Box[np.float32],
    ) -> None:
        self.num_states = num_states
        self.num_actions = num_actions
        self.goal_names = tuple(goal_names)
        self.starts: IntArray = np.asarray(starts, dtype=np.intp)
        self.observation_space = observation_space

    @abstractmethod
    def next_states(self, states: npt.ArrayLike, actions: npt.ArrayLike) -> IntArray:
        """The state after each action; the arguments broadcast."""

    @abstractmethod
    def observe(self, states: npt.ArrayLike) -> FloatArray:
        """What is seen in each state, freshly allocated: ``[..., *observation_space.shape]``."""

    @abstractmethod
    def states_of(self, observations: npt.ArrayLike) -> IntArray:
        """The states that look like these observations, the inverse of :meth:`observe`."""

    @abstractmethod
    def achieved(self, states: npt.ArrayLike) -> BoolArray:
        """Which goals each state achieves, freshly allocated: bool ``[..., G]``."""

    @abstractmethod
    def state_at(self, place: Any) -> int:
        """The state that a user calls by this name (a cell, a bit pattern); a ValueError if there is none."""

    @abstractmethod
    def goal_descriptors(self) -> FloatArray:
        """A vector per goal, ``[G, d]``."""

    @cached_property
    @abstractmethod
    def painter(self) -> Painter:
        """Draws states of this world."""

    @property
    def num_goals(self) -> int:
        """The number of goals, G."""
        return len(self.goal_names)

    @cached_property
    def goal_set(self) -> GoalSet:
        """The goals as a set over state numbers, with descriptors and families."""
        return GoalSet(self.goal_names, self.achieved, descriptors=self.goal_descriptors(), signal_shape=())

    def states_achieving(self, goals: IntArray) -> tuple[IntArray, IntArray]:
        """
        All pairs of a state and a goal it achieves.

        Worlds whose goals are single states answer without ever forming the ``[S, G]`` table.

        :param goals: goal ids
        :return: the states, and beside each the position in ``goals`` of a goal it achieves
        """
        states, columns = np.nonzero(self.achieved(np.arange(self.num_states))[:, goals])
        return states, columns

    def draw_start(self, generator: np.random.Generator) -> int:
        """
        A start state. This is the one place where randomness enters, so all kinds of environments draw alike.

        :param generator: the generator of the episode's environment
        :return: the state
        """
        return int(self.starts[generator.integers(len(self.starts))])

    @cached_property
    def successors(self) -> IntArray:
        """The state after every action in every state, ``[S, A]``."""
        return self.next_states(np.arange(self.num_states)[:, None], np.arange(self.num_actions))
