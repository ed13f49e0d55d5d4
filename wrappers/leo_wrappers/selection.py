"""Goal selectors by name, a fixed goal, a user-defined function, and mixtures of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from leo_wrappers.curricula import FrontierGoals, IntermediateGoals, LearningProgressGoals
from leo_wrappers.goal_selector import FloatArray, GoalIds, GoalSelector, SeenGoals, UniformGoals
from leo_wrappers.goal_set import BoolArray, Goal, goal_index
from leo_wrappers.validation import check_callable, check_integer, check_positive, shorten


class LeastAchievedGoals(SeenGoals):
    """
    Seen goals with probability proportional to 1 / (1 + successes).

    Goals never seen are excluded: in most environments some cannot be achieved, and would receive nearly all attempts.
    """

    def _weights(self) -> FloatArray:
        return super()._weights() / (1.0 + self.successes)


class FixedGoal(GoalSelector):
    """
    Always the same goal.

    :param goal: name or index of the goal
    """

    def __init__(self, goal: Goal) -> None:
        super().__init__(skip_achieved=False)
        self.goal = goal

    def bind(self, goal_names: Sequence[str]) -> Self:
        """Set the goals to choose from; raises if the fixed goal is not one of them."""
        goal_index(goal_names, self.goal)
        return super().bind(goal_names)

    def _draw(self, count: int) -> GoalIds:
        return np.full(count, goal_index(self.goal_names, self.goal), dtype=np.int64)


class RoundRobinGoals(GoalSelector):
    """
    Cycle through all goals in order, e.g. for evaluation.

    :param start: index of the first goal
    """

    def __init__(self, *, start: int = 0) -> None:
        check_integer("start", start, 0)
        super().__init__(skip_achieved=False)
        self.next_goal = start

    def state_dict(self) -> dict[str, Any]:
        """Return the statistics and the next goal."""
        return {**super().state_dict(), "next_goal": self.next_goal}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the statistics and the next goal."""
        super().load_state_dict(state)
        self.next_goal = state["next_goal"]

    def _draw(self, count: int) -> GoalIds:
        drawn = (self.next_goal + np.arange(count, dtype=np.int64)) % self.num_goals
        self.next_goal = int((self.next_goal + count) % self.num_goals)
        return drawn


class CallableGoals(GoalSelector):
    """
    Choose goals with a user-defined function.

    :param function: ``(selector, count) -> goal ids [count]``; it can read ``selector.seen``, ``attempts`` and ``successes``,
        and should draw from ``selector.rng``
    :param seed: seed of the generator
    """

    def __init__(self, function: Callable[[GoalSelector, int], npt.ArrayLike], *, seed: int | None = None) -> None:
        check_callable("the goal selector", function)
        super().__init__(skip_achieved=False, seed=seed)
        self.function = function

    def _draw(self, count: int) -> GoalIds:
        drawn = np.asarray(self.function(self, count))
        if drawn.shape != (count,) or drawn.dtype.kind not in "iu":
            raise ValueError(
                f"expected the goal selector to return {count} integer goal ids, got {drawn.dtype} of shape {drawn.shape}; "
                "return an array of `count` ids"
            )
        if count and not (0 <= drawn.min() and drawn.max() < self.num_goals):
            raise ValueError(
                f"expected goal ids from 0 to {self.num_goals - 1} from the goal selector, got {drawn.tolist()[:5]}; "
                "see selector.goal_names"
            )
        return drawn.astype(np.int64)


class MixtureGoals(GoalSelector):
    """
    Choose each goal by one of several selectors, drawn with fixed probabilities.

    All selectors share the statistics and the generator of the mixture.

    :param selectors: the weight of each selector: name of a strategy, a goal, or a selector
    :param seed: seed of the generator

    Example::

        >>> MixtureGoals({"learning_progress": 0.5, "frontier": 0.5}, seed=0).bind(("a", "b"))
        MixtureGoals(2 goals)
    """

    def __init__(self, selectors: Mapping[Any, float], *, seed: int | None = None) -> None:
        super().__init__(seed=seed)
        if not isinstance(selectors, Mapping) or not selectors:
            raise TypeError(f"expected a weight per selector, got {shorten(selectors)}; pass e.g. {{'seen': 1, 'uniform': 1}}")
        for spec, weight in selectors.items():
            check_positive(f"the weight of {spec!r}", weight, 1e9)
        self._specs = tuple(selectors)
        weights = np.array(list(selectors.values()), dtype=np.float64)
        self.probabilities: FloatArray = weights / weights.sum()
        self.selectors: tuple[GoalSelector, ...] = ()

    def bind(self, goal_names: Sequence[str]) -> Self:
        """Set the goals to choose from, also for all selectors."""
        super().bind(goal_names)
        self.selectors = self.selectors or tuple(make_goal_selector(spec, self.goal_names) for spec in self._specs)
        self.needs_values = any(selector.needs_values for selector in self.selectors)
        return self

    def on_rollout_end(self) -> None:
        """Called by on-policy algorithms after each rollout."""
        for selector in self.selectors:
            selector.on_rollout_end()

    def select(self, achieved: BoolArray, observations: Any = None) -> GoalIds:
        """Choose a goal for each of n states."""
        chosen = np.zeros(len(achieved), dtype=np.int64)
        numbers = self.rng.choice(len(self.selectors), size=len(achieved), p=self.probabilities)
        for number in np.unique(numbers).tolist():
            rows = numbers == number
            selector = self.selectors[number]
            selector.share(self)
            chosen[rows] = selector.select(achieved[rows], _rows_of(observations, rows))
        return chosen

    def state_dict(self) -> dict[str, Any]:
        """Return the statistics, and those of all selectors."""
        for selector in self.selectors:
            selector.share(self)
        return {**super().state_dict(), "selectors": [selector.state_dict() for selector in self.selectors]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the statistics, and those of all selectors."""
        super().load_state_dict(state)
        for selector, part in zip(self.selectors, state["selectors"], strict=True):
            selector.load_state_dict(part)

    def _update(self, goal_ids: GoalIds, success: BoolArray) -> None:
        for selector in self.selectors:
            selector._update(goal_ids, success)


STRATEGIES: dict[str, type[GoalSelector]] = {
    "uniform": UniformGoals,
    "seen": SeenGoals,
    "least_achieved": LeastAchievedGoals,
    "round_robin": RoundRobinGoals,
    "intermediate": IntermediateGoals,
    "learning_progress": LearningProgressGoals,
    "frontier": FrontierGoals,
}

GoalSelectorLike = str | int | GoalSelector | Callable[[GoalSelector, int], npt.ArrayLike] | Mapping[Any, float]


def make_goal_selector(spec: GoalSelectorLike, goal_names: Sequence[str], seed: int | None = None) -> GoalSelector:
    """
    Create a goal selector from its specification.

    :param spec: the name of a strategy, a goal (name or index) to always command, a function, a selector, or a dictionary of
        weights of these, see :class:`MixtureGoals`
    :param goal_names: the goals to choose from
    :param seed: seed of the generator; not reseeded if None
    :return: a selector bound to the goals

    Example::

        >>> make_goal_selector("a", goal_names=("a", "b"))
        FixedGoal(2 goals)
    """
    if isinstance(spec, GoalSelector):
        selector = spec
    elif isinstance(spec, str) and spec in STRATEGIES:
        selector = STRATEGIES[spec]()
    elif isinstance(spec, Mapping):
        selector = MixtureGoals(spec)
    elif callable(spec):
        selector = CallableGoals(spec)
    else:
        selector = _fixed_goal(spec, goal_names)
    selector.bind(goal_names)
    if seed is not None:
        selector.seed(seed)
    return selector


def _fixed_goal(spec: Goal, goal_names: Sequence[str]) -> FixedGoal:
    try:
        goal_index(goal_names, spec)
    except (TypeError, ValueError) as error:
        raise type(error)(f"expected a strategy ({', '.join(STRATEGIES)}), a function, or a goal; {error}") from None
    return FixedGoal(spec)


def _rows_of(observations: Any, rows: BoolArray) -> Any:
    if isinstance(observations, dict):
        return {key: value[rows] for key, value in observations.items()}
    return None if observations is None else observations[rows]
