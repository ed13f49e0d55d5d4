"""Task sets: for each task a reward, a termination and a discount, as functions of the transition."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from leo_wrappers.goal_set import BoolArray, check_goal_names
from leo_wrappers.validation import check_callable, check_fraction, check_instance, check_iterable

FloatArray = npt.NDArray[np.float32]


class Transition(NamedTuple):
    """A transition, or a batch of them: ``reward``, ``terminated`` and all else have the same leading batch shape."""

    observation: Any
    """The observation before the step."""
    action: Any
    next_observation: Any
    """The observation after the step and before any reset."""
    reward: npt.NDArray[Any]
    """The reward of the environment; with a last axis if it is a vector."""
    terminated: BoolArray
    """Whether the environment terminated."""
    goals_achieved: BoolArray | None
    """The mask of a multi-goal environment, bool ``[..., G]``; None for other environments."""
    info: Mapping[str, Any]
    """The info of the step; from a vector environment a dictionary of arrays."""


class TaskStep(NamedTuple):
    """What a transition means for all tasks."""

    rewards: FloatArray
    """float32 ``[..., K]``"""
    ended: BoolArray
    """Whether the transition ends the task, bool ``[..., K]``"""


@dataclass(frozen=True)
class Task:
    """
    A task: what it rewards, when it ends, and how much later rewards count.

    The functions take a :class:`Transition` with any leading batch shape, so write ``t.next_observation[..., 0]``, not
    ``t.next_observation[0]``; a number as the result stands for all transitions. The return of a task is the discounted sum of
    its rewards until the task ends or the environment terminates.

    :param name: name of the task; ``"family/detail"`` defines families
    :param reward: ``Transition -> reward``
    :param termination: ``Transition -> bool``, whether the task ends; the environment goes on. Never if None
    :param discount: discount factor in [0, 1]; the ``gamma`` of the algorithm if None
    """

    name: str
    reward: Callable[[Transition], npt.ArrayLike]
    termination: Callable[[Transition], npt.ArrayLike] | None = None
    discount: float | None = None

    def __post_init__(self) -> None:
        check_callable(f"the reward of task {self.name!r}", self.reward)
        if self.termination is not None:
            check_callable(f"the termination of task {self.name!r}", self.termination)
        _check_discount(self.name, self.discount)


class TaskSet(ABC):
    """
    Base class of finite, ordered sets of named tasks; ``|`` joins two of them.

    :param names: unique names, in order
    :param discounts: discount factor of each task; None for the ``gamma`` of the algorithm
    """

    def __init__(self, names: Iterable[str], discounts: Sequence[float | None]) -> None:
        self.names = check_goal_names(names, kind="task")
        self.discounts = tuple(discounts)
        for name, discount in zip(self.names, self.discounts, strict=True):
            _check_discount(name, discount)

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        names = ", ".join(self.names[:3]) + (", ..." if len(self) > 3 else "")
        return f"{type(self).__name__}({len(self)} tasks: {names})"

    @property
    def weights(self) -> FloatArray | None:
        """The preferences ``[K, d]`` of :class:`~leo_wrappers.tasks.PreferenceTasks`; None for other tasks."""
        return None

    @cached_property
    def descriptors(self) -> FloatArray:
        """One vector per task, for networks that take the task as input: the preferences, else one-hot, ``[K, d]``."""
        return np.eye(len(self), dtype=np.float32) if self.weights is None else self.weights

    @abstractmethod
    def evaluate(self, transition: Transition, steps: npt.ArrayLike | None = None) -> TaskStep:
        """
        Compute rewards and terminations of all tasks.

        :param transition: a transition, or a batch of them
        :param steps: number of each step in its episode, for error messages
        :return: rewards float32 ``[..., K]`` and terminations bool ``[..., K]``, new arrays
        """

    def _checked_step(self, rewards: npt.ArrayLike, ended: npt.ArrayLike, steps: npt.ArrayLike | None) -> TaskStep:
        """Convert rewards and terminations to new arrays, and raise a ``ValueError`` for rewards that are not finite."""
        rewards = np.array(rewards, dtype=np.float32)
        if not np.isfinite(rewards).all():
            *row, task = np.argwhere(~np.isfinite(rewards))[0].tolist()
            where = "" if steps is None else f" at step {int(np.asarray(steps)[tuple(row)])} of the episode"
            where += f" of environment {row[0]}" if row else ""
            raise ValueError(
                f"expected finite rewards, got {rewards[(*row, task)]} for task {self.names[task]!r}{where}; check its reward "
                "function for divisions and logarithms"
            )
        return TaskStep(rewards, np.array(ended, dtype=np.bool_))

    def __or__(self, other: "TaskSet") -> "TaskSet":
        return UnionTasks([self, other]) if isinstance(other, TaskSet) else NotImplemented


class FunctionTasks(TaskSet):
    """
    Tasks given by functions.

    :param tasks: the tasks, in order

    Example::

        >>> import numpy as np
        >>> tasks = FunctionTasks([
        ...     Task("right", lambda t: t.next_observation[..., 0] > 2, termination=lambda t: t.next_observation[..., 0] > 2),
        ...     Task("save energy", lambda t: -np.abs(t.action).sum(axis=-1), discount=0.9),
        ... ])
        >>> action, next_observation, terminated = np.array([0.5]), np.array([3.0]), np.array(False)
        >>> step = tasks.evaluate(Transition(np.zeros(1), action, next_observation, np.array(0.0), terminated, None, {}))
        >>> step.rewards, step.ended
        (array([ 1. , -0.5], dtype=float32), array([ True, False]))
    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        check_iterable("tasks", tasks)
        self.tasks = tuple(tasks)
        for task in self.tasks:
            check_instance("each task", task, Task, "pass Task(name, reward)")
        super().__init__([task.name for task in self.tasks], [task.discount for task in self.tasks])

    def evaluate(self, transition: Transition, steps: npt.ArrayLike | None = None) -> TaskStep:
        """Call the functions of all tasks."""
        shape = np.shape(transition.terminated)
        rewards = np.empty((*shape, len(self)))
        ended = np.zeros((*shape, len(self)), dtype=np.bool_)
        for number, task in enumerate(self.tasks):
            rewards[..., number] = _checked(f"the reward of task {task.name!r}", task.reward(transition), "biuf", shape)
            if task.termination is not None:
                result = task.termination(transition)
                ended[..., number] = _checked(f"the termination of task {task.name!r}", result, "b", shape)
        return self._checked_step(rewards, ended, steps)


class UnionTasks(TaskSet):
    """
    Union of task sets over the same environment; see ``a | b``.

    :param parts: the sets to join; their names must be unique across all parts
    """

    def __init__(self, parts: Sequence[TaskSet]) -> None:
        self._parts = tuple(parts)
        super().__init__(
            [name for part in parts for name in part.names], [discount for part in parts for discount in part.discounts]
        )

    def evaluate(self, transition: Transition, steps: npt.ArrayLike | None = None) -> TaskStep:
        """Join what the parts compute."""
        results = zip(*[part.evaluate(transition, steps) for part in self._parts], strict=True)
        return TaskStep(*(np.concatenate(arrays, axis=-1) for arrays in results))


def _check_discount(name: str, discount: Any) -> None:
    if discount is not None:
        check_fraction(f"the discount of task {name!r}", discount)


def _checked(what: str, result: npt.ArrayLike, kinds: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    array = np.asarray(result)
    if array.dtype.kind not in kinds or array.shape not in (shape, ()):
        expected = "bool" if kinds == "b" else "numbers"
        raise ValueError(
            f"expected {what} to be {expected} of shape {shape}, got {array.dtype} of shape {array.shape}; index the "
            "transition from its end, as in t.next_observation[..., 0]"
        )
    return array
