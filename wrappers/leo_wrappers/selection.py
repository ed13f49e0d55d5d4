"""Goal selectors: strategies that choose the next goal to command, and their statistics."""

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from leo_wrappers.goal_set import BoolArray, Goal, check_goal_names, goal_index
from leo_wrappers.validation import check_callable, check_integer, check_seed

GoalIds = npt.NDArray[np.int64]

# Draws of already achieved goals are rejected at most this many times; then the remaining rows are drawn exactly.
_REDRAWS = 8


class GoalSelector:
    """
    Choose the goals to command and keep statistics of each goal. The base class draws uniformly from all goals.

    The statistics are public: ``seen`` (whether any state has achieved a goal), ``attempts`` and ``successes``, all ``[G]``.
    Goals are drawn from the selector's own generator ``rng``, so that no other random number depends on them.

    :param skip_achieved: do not command a goal that the current state achieves, unless there is no other one
    :param seed: seed of the generator

    Example::

        >>> import numpy as np
        >>> selector = SeenGoals(seed=0).bind(("a", "b", "c"))
        >>> selector.observe(np.array([[False, True, False]]))
        >>> selector.select(np.zeros((2, 3), dtype=bool))
        array([1, 1])
    """

    def __init__(self, *, skip_achieved: bool = True, seed: int | None = None) -> None:
        self.skip_achieved = skip_achieved
        check_seed(seed)
        self.rng = np.random.default_rng(seed)
        self.goal_names: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.num_goals} goals)"

    def bind(self, goal_names: Sequence[str]) -> Self:
        """
        Set the goals to choose from; binding to the same goals again keeps the statistics.

        :param goal_names: the names of all goals, in order
        :return: the selector itself
        """
        names = check_goal_names(goal_names)
        if self.goal_names and self.goal_names != names:
            raise ValueError(
                f"expected the {len(self.goal_names)} goals that this selector was made for, got {len(names)} others; "
                "use a new selector for another environment"
            )
        if not self.goal_names:
            self.goal_names = names
            self.seen: BoolArray = np.zeros(len(names), dtype=bool)
            self.attempts: GoalIds = np.zeros(len(names), dtype=np.int64)
            self.successes: GoalIds = np.zeros(len(names), dtype=np.int64)
        return self

    @property
    def num_goals(self) -> int:
        """Number of goals, G."""
        return len(self.goal_names)

    def seed(self, seed: int | None) -> None:
        """
        Create a new generator.

        :param seed: its seed
        """
        check_seed(seed)
        self.rng = np.random.default_rng(seed)

    def observe(self, achieved: BoolArray) -> None:
        """
        Add the goals achieved by some states to ``seen``.

        :param achieved: the masks of the states, ``[..., G]``
        """
        self.seen |= achieved.reshape(-1, self.num_goals).any(axis=0)

    def on_rollout_end(self) -> None:
        """Called by on-policy algorithms after each rollout; does nothing here."""

    def record(self, goal_ids: npt.ArrayLike, success: npt.ArrayLike) -> None:
        """
        Add completed attempts to the statistics.

        :param goal_ids: the commanded goal of each attempt
        :param success: whether each attempt achieved it
        """
        goal_ids = np.atleast_1d(np.asarray(goal_ids, dtype=np.int64))
        np.add.at(self.attempts, goal_ids, 1)
        np.add.at(self.successes, goal_ids, np.atleast_1d(np.asarray(success)).astype(np.int64))

    def select(self, achieved: BoolArray) -> GoalIds:
        """
        Choose a goal for each of n states.

        :param achieved: the masks of the states, ``[n, G]``
        :return: goal ids ``[n]``
        """
        chosen = self._draw(len(achieved))
        if not self.skip_achieved:
            return chosen
        for _ in range(_REDRAWS):
            rejected = np.flatnonzero(achieved[np.arange(len(achieved)), chosen])
            if len(rejected) == 0:
                return chosen
            chosen[rejected] = self._draw(len(rejected))
        weights = self._weights()
        for row in np.flatnonzero(achieved[np.arange(len(achieved)), chosen]):
            remaining = np.where(achieved[row], 0.0, weights)
            if remaining.any():
                chosen[row] = self.rng.choice(self.num_goals, p=remaining / remaining.sum())
        return chosen

    def state_dict(self) -> dict[str, Any]:
        """
        Return everything that the next choice depends on.

        :return: a dictionary for :meth:`load_state_dict`
        """
        return {
            "goal_names": self.goal_names,
            "rng": self.rng.bit_generator.state,
            "seen": self.seen.copy(),
            "attempts": self.attempts.copy(),
            "successes": self.successes.copy(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """
        Restore a saved state.

        :param state: result of :meth:`state_dict` of a selector for the same goals
        """
        self.bind(state["goal_names"])
        self.rng.bit_generator.state = state["rng"]
        self.seen, self.attempts, self.successes = (state[key].copy() for key in ("seen", "attempts", "successes"))

    def _weights(self) -> npt.NDArray[np.float64]:
        """Unnormalized probability of each goal, ``[G]``; to be overridden by subclasses."""
        return np.ones(self.num_goals)

    def _draw(self, count: int) -> GoalIds:
        cumulative = np.cumsum(self._weights())
        drawn = np.searchsorted(cumulative, self.rng.random(count) * cumulative[-1], side="right")
        # Rounding may give a draw equal to the total, past the last goal with positive weight.
        return np.minimum(drawn, np.searchsorted(cumulative, cumulative[-1]))


class UniformGoals(GoalSelector):
    """Uniform over all goals, whether any state has achieved them or not."""


class SeenGoals(GoalSelector):
    """Uniform over the goals that any state has achieved so far; over all goals until there is one."""

    def _weights(self) -> npt.NDArray[np.float64]:
        return (self.seen if self.seen.any() else ~self.seen).astype(np.float64)


class LeastAchievedGoals(SeenGoals):
    """
    Seen goals with probability proportional to 1 / (1 + successes).

    Goals never seen are excluded: in most environments some cannot be achieved, and would receive nearly all attempts.
    """

    def _weights(self) -> npt.NDArray[np.float64]:
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


STRATEGIES: dict[str, type[GoalSelector]] = {
    "uniform": UniformGoals,
    "seen": SeenGoals,
    "least_achieved": LeastAchievedGoals,
    "round_robin": RoundRobinGoals,
}

GoalSelectorLike = str | int | GoalSelector | Callable[[GoalSelector, int], npt.ArrayLike]


def make_goal_selector(spec: GoalSelectorLike, goal_names: Sequence[str], seed: int | None = None) -> GoalSelector:
    """
    Create a goal selector from its specification.

    :param spec: the name of a strategy, a goal (name or index) to always command, a function, or a selector
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
