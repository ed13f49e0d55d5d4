"""Linear preferences over the rewards of tasks."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from leo_wrappers.tasks.task_set import FloatArray, TaskSet, TaskStep, Transition
from leo_wrappers.validation import check_instance, check_integer, shorten


class PreferenceTasks(TaskSet):
    """
    Linear preferences over the rewards of other tasks, each learned as a task of its own.

    The best action for a weighted sum of rewards is not the best one for the weighted sum of the tasks' own values: each of
    those assumes that only its task is pursued afterwards. So every preference gets values of its own, learned from the same
    transitions, and ``model.act(obs, weights=...)`` acts by the nearest one.

    :param tasks: the tasks ``[d]`` to prefer among, all with the same discount, and none of which ends before the others
    :param weights: preferences ``[K, d]``, none negative; each is divided by its sum

    Example::

        >>> from leo_wrappers.tasks import RewardTasks
        >>> tasks = PreferenceTasks(RewardTasks(["treasure", "time"]), preference_grid(2, 4))
        >>> tasks.names[1]
        'preference/0.25,0.75'
    """

    def __init__(self, tasks: TaskSet, weights: npt.ArrayLike) -> None:
        check_instance("tasks", tasks, TaskSet, "pass the tasks to prefer among")
        if len(set(tasks.discounts)) > 1:
            raise ValueError(f"expected tasks with the same discount, got {tasks.discounts}; a sum needs one discount")
        self.tasks = tasks
        self._weights = check_preferences(weights, len(tasks), ndim=2)
        names = ["preference/" + ",".join(f"{weight:.4g}" for weight in row) for row in self._weights.tolist()]
        super().__init__(names, [tasks.discounts[0]] * len(names))

    @property
    def weights(self) -> FloatArray:
        """The preferences ``[K, d]``, which sum to 1."""
        return self._weights

    def evaluate(self, transition: Transition, steps: npt.ArrayLike | None = None) -> TaskStep:
        """Weigh the rewards of the tasks."""
        rewards, ended = self.tasks.evaluate(transition, steps)
        if (ended != ended[..., :1]).any():
            some = self.tasks.names[int(np.argwhere(ended)[0, -1])]
            raise ValueError(
                f"expected tasks that end together, got a transition that ends {some!r} and not all others; preferences among "
                "tasks need one termination"
            )
        return TaskStep(rewards @ self._weights.T, np.repeat(ended[..., :1], len(self), axis=-1))


def preference_grid(num_rewards: int, divisions: int) -> FloatArray:
    """
    Return all preferences whose weights are multiples of ``1 / divisions``.

    :param num_rewards: number of weights, d
    :param divisions: number of steps from 0 to 1
    :return: ``[K, d]`` with rows that sum to 1, K = (divisions + d - 1) over (d - 1)
    """
    check_integer("num_rewards", num_rewards, 1)
    check_integer("divisions", divisions, 1)
    rows = np.array(list(_compositions(divisions, num_rewards)))
    return (rows / divisions).astype(np.float32)


def check_preferences(weights: Any, num_rewards: int, ndim: int) -> FloatArray:
    """
    Raise a ``ValueError`` for preferences of wrong length, negative ones and ones without a positive weight.

    :param weights: a preference, or several
    :param num_rewards: number of weights, d
    :param ndim: 1 for a preference ``[d]``, 2 for several ``[K, d]``
    :return: float32 ``[d]`` or ``[K, d]``, divided by their sums
    """
    try:
        array = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    expected = f"weights of shape {'[K, ' if ndim == 2 else '['}{num_rewards}]"
    if array.ndim != ndim or array.shape[-1] != num_rewards or array.size == 0:
        raise ValueError(f"expected {expected}, one for each reward, got {shorten(weights)}; pass e.g. {[1.0] * num_rewards}")
    if not np.isfinite(array).all() or (array < 0).any() or not (array.sum(axis=-1) > 0).all():
        raise ValueError(
            f"expected weights of at least 0 with a positive sum, got {shorten(weights)}; negate rewards of what shall be "
            "avoided"
        )
    return (array / array.sum(axis=-1, keepdims=True)).astype(np.float32)


def _compositions(total: int, parts: int) -> Iterable[tuple[int, ...]]:
    """Yield all tuples of ``parts`` integers of at least 0 with the given sum, in lexicographic order."""
    if parts == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in _compositions(total - first, parts - 1):
            yield (first, *rest)
