"""Hypothesis strategies for task sets and the transitions that they are functions of."""

from typing import Any

import gymnasium as gym
import numpy as np

from leo_wrappers.tasks import FunctionTasks, GoalTasks, PreferenceTasks, Task, TaskSet, Transition
from leo_wrappers.testing._hypothesis import st, st_numpy
from leo_wrappers.testing.strategies import from_space, goal_names, masks
from leo_wrappers.validation import check_integer, check_iterable

_QUARTERS = st.integers(-20, 20).map(lambda quarter: quarter / 4)


def transitions(
    observation_space: gym.Space[Any], action_space: gym.Space[Any], num_goals: int, batch_shape: tuple[int, ...] = ()
) -> st.SearchStrategy[Transition]:
    """
    Generate transitions with masks, scalar rewards and empty infos.

    :param observation_space: a Box
    :param action_space: a Box or Discrete
    :param num_goals: number of goals, G
    :param batch_shape: shape in front of all entries

    Example::

        >>> from gymnasium import spaces
        >>> from hypothesis import find
        >>> found = find(transitions(spaces.Box(-1, 1, (1,)), spaces.Discrete(2), 2, (3,)), lambda t: t.terminated.any())
        >>> found.terminated.shape, found.goals_achieved.shape
        ((3,), (3, 2))
    """
    check_integer("num_goals", num_goals, 1)
    check_iterable("axes of batch_shape", batch_shape)
    size = int(np.prod(batch_shape))

    def stacked(space: gym.Space[Any]) -> st.SearchStrategy[Any]:
        rows = st.lists(from_space(space), min_size=size, max_size=size)
        return rows.map(lambda values: np.array(values, dtype=space.dtype).reshape(*batch_shape, *(space.shape or ())))

    return st.builds(
        Transition,
        observation=stacked(observation_space),
        action=stacked(action_space),
        next_observation=stacked(observation_space),
        reward=st_numpy.arrays(np.float64, batch_shape, elements=_QUARTERS),
        terminated=st_numpy.arrays(np.bool_, batch_shape),
        goals_achieved=masks(num_goals, batch_shape),
        info=st.just({}),
    )


def task_sets(num_goals: int, max_tasks: int = 4) -> st.SearchStrategy[TaskSet]:
    """
    Generate task sets of several kinds, and unions of them, for environments with masks and flat Box observations.

    :param num_goals: number of goals of the environment
    :param max_tasks: maximum number of tasks in a set; a union may have twice as many
    """
    check_integer("num_goals", num_goals, 1)
    check_integer("max_tasks", max_tasks, 1)
    discounts = st.one_of(st.none(), st.sampled_from([0.0, 0.5, 0.9, 1.0]))
    goals = st.builds(lambda discount: GoalTasks([f"goal/{number}" for number in range(num_goals)], discount), discounts)
    functions = _function_tasks(num_goals, max_tasks, discounts)
    preferences = st.builds(_preferences, functions, st.integers(0, 2**16))
    return st.one_of(functions, goals, preferences, st.tuples(goals, functions).map(lambda pair: pair[0] | pair[1]))


def _function_tasks(num_goals: int, max_tasks: int, discounts: st.SearchStrategy[Any]) -> st.SearchStrategy[FunctionTasks]:
    part = st.tuples(st.integers(0, num_goals - 1), _QUARTERS, _QUARTERS, st.booleans(), discounts)
    named = st.lists(st.tuples(goal_names(1, 1), part), min_size=1, max_size=max_tasks, unique_by=lambda pair: pair[0])
    return named.map(lambda pairs: FunctionTasks([_task(f"task/{names[0]}", *part) for names, part in pairs]))


def _task(name: str, goal: int, bonus: float, cost: float, ends: bool, discount: float | None) -> Task:
    """Return a task that rewards a goal, costs per step and, with the first entry of the observation, by position."""

    def reward(t: Transition) -> Any:
        return bonus * t.goals_achieved[..., goal] - cost + t.next_observation[..., 0]  # type: ignore[index]

    termination = (lambda t: t.goals_achieved[..., goal]) if ends else None
    return Task(name, reward, termination, discount)


def _preferences(tasks: FunctionTasks, seed: int) -> PreferenceTasks:
    """Return random preferences among the rewards of tasks that do not end."""
    endless = FunctionTasks([Task(task.name, task.reward) for task in tasks.tasks])
    count = 3 if len(tasks) > 1 else 1  # all preferences among one reward are the same
    weights = np.random.default_rng(seed).random((count, len(tasks))) + 0.01
    return PreferenceTasks(endless, weights)
