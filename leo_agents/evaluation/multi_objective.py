"""Returns of tasks and of preferences, Pareto fronts and their hypervolume."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from leo_wrappers.goal_set import Goal, check_goal_names, goal_index
from leo_wrappers.keys import TASK_REWARDS_KEY
from leo_wrappers.validation import check_env, check_fraction, check_integer, check_iterable, check_seed, float_array

FloatArray = npt.NDArray[np.float64]


class TaskResult(NamedTuple):
    """Result of the episodes of one task."""

    task: str
    """Name of the task."""
    returns: tuple[float, ...]
    """Discounted return of each episode, until the task ends."""
    ended: int
    """Number of episodes in which the task ended."""

    @property
    def mean(self) -> float:
        """Mean return."""
        return float(np.mean(self.returns))


class PreferenceReport(NamedTuple):
    """What a model achieves with preferences among the entries of a vector reward."""

    weights: FloatArray
    """The preferences, ``[W, d]``."""
    returns: FloatArray
    """Mean discounted return of each entry of the reward, ``[W, d]``."""

    @property
    def front(self) -> FloatArray:
        """The Pareto front of the returns, ``[F, d]``."""
        return pareto_front(self.returns)

    def hypervolume(self, reference: npt.ArrayLike) -> float:
        """
        Compute the hypervolume of the front.

        :param reference: a point that is worse than all returns
        :return: the hypervolume
        """
        return hypervolume(self.returns, reference)


def evaluate_tasks(
    model: Any,
    env: gym.Env[Any, Any],
    episodes: int = 1,
    seed: int | None = None,
    *,
    tasks: Iterable[Goal] | None = None,
    max_steps: int = 1_000,
) -> list[TaskResult]:
    """
    Evaluate a model on tasks, one after the other: the discounted sum of a task's rewards until it ends.

    :param model: a trained agent
    :param env: environment with the tasks of the model, see :class:`~leo_wrappers.tasks.TaskWrapper`
    :param episodes: number of episodes per task
    :param seed: seed of the first episode of each task; episode i has ``seed + i``. None leaves them unseeded
    :param tasks: names or indices; all tasks if None
    :param max_steps: number of steps after which an episode ends
    :return: a result per task

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from leo_agents import LEODQN
        >>> from leo_wrappers.tasks import FunctionTasks, Task, TaskWrapper
        >>> env = TaskWrapper(gym.make("leo/GridWorld-v0", map="S.."), FunctionTasks([Task("wait", lambda t: -1.0)]))
        >>> model = LEODQN("MultiGoalPolicy", env, gamma=0.5, seed=0)
        >>> evaluate_tasks(model, env, max_steps=3)
        [TaskResult(task='wait', returns=(-1.75,), ended=0)]
    """
    check_env(env)
    if getattr(model, "task_discounts", None) is None or not env.has_wrapper_attr("task_discounts"):
        raise ValueError("expected a model and an environment with tasks, got others; use evaluate_goals")
    if tasks is not None:
        check_iterable("tasks", tasks)
    names = check_goal_names(env.get_wrapper_attr("goal_names"))
    results = []
    for task in [goal_index(names, task) for task in (names if tasks is None else tasks)]:

        def rewards_of(reward: Any, info: dict[str, Any], task: int = task) -> tuple[Any, bool]:
            return info[TASK_REWARDS_KEY][task], bool(info["goals_achieved"][task])

        outcomes = _run_episodes(
            lambda obs, task=task: model.act(obs, task),  # type: ignore[misc]
            env,
            rewards_of,
            model.task_discounts[task],
            episodes,
            seed,
            max_steps,
        )
        results.append(
            TaskResult(names[task], tuple(float(total) for total, _ in outcomes), sum(ended for _, ended in outcomes))
        )
    return results


def evaluate_preferences(
    act: Callable[[Any, FloatArray], Any],
    env: gym.Env[Any, Any],
    weights: npt.ArrayLike,
    gamma: float,
    episodes: int = 1,
    seed: int | None = None,
    *,
    max_steps: int = 1_000,
) -> PreferenceReport:
    """
    Evaluate preferences among the entries of a vector reward.

    :param act: ``(observation, weights) -> action``, such as ``lambda obs, weights: model.act(obs, weights=weights)``
    :param env: environment with vector rewards, such as those of MO-Gymnasium
    :param weights: the preferences ``[W, d]``
    :param gamma: discount factor of the returns
    :param episodes: number of episodes per preference
    :param seed: seed of the first episode of each preference; episode i has ``seed + i``. None leaves them unseeded
    :param max_steps: number of steps after which an episode ends
    :return: the returns
    """
    check_env(env)
    check_fraction("gamma", gamma)
    preferences = float_array("weights", weights)
    if preferences.ndim != 2:
        raise ValueError(f"expected weights of shape [W, d], got {preferences.shape}; pass a row per preference")
    returns = []
    for row in preferences:
        outcomes = _run_episodes(
            lambda obs, row=row: act(obs, row),  # type: ignore[misc]
            env,
            lambda reward, info: (reward, False),
            gamma,
            episodes,
            seed,
            max_steps,
        )
        returns.append(np.mean([total for total, _ in outcomes], axis=0))
    if np.shape(returns) != preferences.shape:
        raise ValueError(
            f"expected rewards with {preferences.shape[1]} entries, got returns of shape {np.shape(returns)}; pass an "
            "environment with vector rewards"
        )
    return PreferenceReport(preferences, np.array(returns, dtype=np.float64))


def pareto_front(points: npt.ArrayLike) -> FloatArray:
    """
    Return the points that no other point equals or exceeds in all coordinates, sorted and each once.

    :param points: ``[N, d]``, larger is better
    :return: ``[F, d]``
    """
    unique = np.unique(_points(points), axis=0)
    rows = unique[:, None]
    exceeded = np.all(rows <= unique, axis=2) & np.any(rows < unique, axis=2)
    return np.asarray(unique[~exceeded.any(axis=1)])


def hypervolume(points: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """
    Compute the volume that points dominate above a reference point, exactly.

    Slices along the last coordinate: fast in two and three dimensions, exponential in their number.

    :param points: ``[N, d]``, larger is better; points that do not exceed the reference in all coordinates count as nothing
    :param reference: ``[d]``
    :return: the volume

    Example::

        >>> hypervolume([[2.0, 1.0], [1.0, 3.0]], [0.0, 0.0])
        4.0
    """
    array, corner = _points(points), float_array("reference", reference)
    if corner.shape != array.shape[1:]:
        raise ValueError(
            f"expected a reference of shape {array.shape[1:]}, got {corner.shape}; pass one number per coordinate"
        )
    return _volume(array - corner)


def _volume(points: FloatArray) -> float:
    """Return the volume between the origin and points ``[N, d]``."""
    points = points[(points > 0).all(axis=1)]
    if len(points) == 0:
        return 0.0
    if points.shape[1] == 1:
        return float(points.max())
    levels = np.unique(points[:, -1])
    heights = np.diff(levels, prepend=0.0)
    slices = [_volume(points[points[:, -1] >= level, :-1]) for level in levels]
    return float(heights @ np.array(slices))


def _points(points: npt.ArrayLike) -> FloatArray:
    array = float_array("points", points)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(f"expected points of shape [N, d], got {array.shape}; pass a row per point")
    return array


def _run_episodes(
    act: Callable[[Any], Any],
    env: gym.Env[Any, Any],
    reward_of: Callable[[Any, dict[str, Any]], tuple[Any, bool]],
    gamma: float,
    episodes: int,
    seed: int | None,
    max_steps: int,
) -> list[tuple[Any, bool]]:
    """Run episodes; return the discounted sum of the rewards of each, and whether ``reward_of`` ended it."""
    check_integer("episodes", episodes, 1)
    check_integer("max_steps", max_steps, 1)
    check_seed(seed)
    outcomes = []
    for number in range(episodes):
        obs, _ = env.reset(seed=None if seed is None else seed + number)
        total: Any = 0.0
        discount, done, ended, count = 1.0, False, False, 0
        while not (done or ended) and count < max_steps:
            obs, env_reward, terminated, truncated, info = env.step(act(obs))
            reward, ended = reward_of(env_reward, info)
            total = total + discount * np.asarray(reward, dtype=np.float64)
            discount, done, count = discount * gamma, terminated or truncated, count + 1
        outcomes.append((total, ended))
    return outcomes
