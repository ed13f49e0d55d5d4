"""Base class of goal selectors: choose the next goal to command, and keep statistics of the goals."""

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from leo_wrappers.goal_set import BoolArray, check_goal_names
from leo_wrappers.validation import check_bool, check_seed, shorten

FloatArray = npt.NDArray[np.float64]
GoalIds = npt.NDArray[np.int64]
ValueFunction = Callable[[Any], npt.NDArray[Any]]
"""Maps a batch of n observations to the values V_g(s) of all goals, ``[n, G]``."""

NEVER = -1
"""Step and origin of a goal that no state has achieved."""

_STATISTICS = ("seen", "attempts", "successes", "first_seen", "reached_from")
# Draws of already achieved goals are rejected at most this many times; then the remaining rows are drawn exactly.
_REDRAWS = 8


class GoalSelector:
    """
    Choose the goals to command and keep statistics of each goal. The base class draws uniformly from all goals.

    The statistics are public, all ``[G]``: ``seen`` (whether any state has achieved a goal), ``attempts`` and ``successes``,
    ``first_seen`` (number of environment steps until a state first achieved it, -1 if none has) and ``reached_from`` (the goal
    that it was first reached from, see :meth:`discover`). ``num_steps`` counts the environment steps. Goals are drawn from the
    selector's own generator ``rng``, so that no other random number depends on them.

    A subclass overrides ``_weights``, or :meth:`select` to choose by the state. Where it sets ``needs_values``, it gets the
    current observations, and ``value_function`` maps these to the agent's values of all goals. The algorithms of
    ``leo_agents`` set that function when training starts; it is not saved.

    :param skip_achieved: do not command a goal that the current state achieves, unless there is no other one
    :param seed: seed of the generator

    Example::

        >>> import numpy as np
        >>> selector = SeenGoals(seed=0).bind(("a", "b", "c"))
        >>> selector.observe(np.array([[False, True, False]]))
        >>> selector.select(np.zeros((2, 3), dtype=bool))
        array([1, 1])
    """

    needs_values: bool = False
    """Whether :meth:`select` needs the current observations and the values of the agent."""
    value_function: ValueFunction | None = None
    """The agent's V_g(s) of a batch of observations, ``[n, G]``; None if no agent with values is trained."""

    def __init__(self, *, skip_achieved: bool = True, seed: int | None = None) -> None:
        check_bool("skip_achieved", skip_achieved)
        self.skip_achieved = skip_achieved
        check_seed(seed)
        self.rng = np.random.default_rng(seed)
        self.goal_names: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.num_goals} goals)"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "value_function"}

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
            self.first_seen: GoalIds = np.full(len(names), NEVER, dtype=np.int64)
            self.reached_from: GoalIds = np.full(len(names), NEVER, dtype=np.int64)
            self.num_steps = 0
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

    def discover(self, achieved: BoolArray, before: BoolArray | None = None) -> None:
        """
        Record when, and from which goal, goals are achieved for the first time.

        A goal is reached from the one, of those that the previous state achieved, that was discovered last; from none (-1) if
        that state achieved no goal, or at a reset.

        :param achieved: the masks of the states just reached, ``[n, G]``
        :param before: the masks of the states before the step, ``[n, G]``; None after a reset, which is not counted as a step
        """
        self.num_steps += 0 if before is None else len(achieved)
        new = np.flatnonzero(achieved.any(axis=0) & (self.first_seen == NEVER))
        known = self.first_seen.copy() if len(new) else self.first_seen
        for goal in new.tolist():
            self.first_seen[goal] = self.num_steps
            if before is not None:
                origins = np.where(before[achieved[:, goal].argmax()], known, NEVER)
                self.reached_from[goal] = origins.argmax() if origins.max() > NEVER else NEVER

    def on_rollout_end(self) -> None:
        """Called by on-policy algorithms after each rollout; does nothing here."""

    def record(self, goal_ids: npt.ArrayLike, success: npt.ArrayLike) -> None:
        """
        Add completed attempts to the statistics.

        :param goal_ids: the commanded goal of each attempt
        :param success: whether each attempt achieved it
        """
        goal_ids = np.atleast_1d(np.asarray(goal_ids, dtype=np.int64))
        success = np.atleast_1d(np.asarray(success, dtype=bool))
        np.add.at(self.attempts, goal_ids, 1)
        np.add.at(self.successes, goal_ids, success.astype(np.int64))
        self._update(goal_ids, success)

    def select(self, achieved: BoolArray, observations: Any = None) -> GoalIds:
        """
        Choose a goal for each of n states.

        :param achieved: the masks of the states, ``[n, G]``
        :param observations: their observations, if ``needs_values``
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
        weights = self._checked_weights()
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
        arrays = {key: getattr(self, key).copy() for key in _STATISTICS}
        rng = self.rng.bit_generator.state
        return {"goal_names": self.goal_names, "rng": rng, "num_steps": self.num_steps, **arrays}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """
        Restore a saved state.

        :param state: result of :meth:`state_dict` of a selector for the same goals
        """
        self.bind(state["goal_names"])
        self.rng.bit_generator.state = state["rng"]
        self.num_steps = state["num_steps"]
        for key in _STATISTICS:
            setattr(self, key, state[key].copy())

    def share(self, other: "GoalSelector") -> None:
        """
        Use the statistics and the generator of another selector for the same goals.

        :param other: the other selector
        """
        for name in (*_STATISTICS, "num_steps", "rng", "value_function"):
            setattr(self, name, getattr(other, name))

    def values(self, observations: Any, count: int) -> FloatArray:
        """
        Compute the agent's values of all goals.

        :param observations: observations of n states
        :param count: their number, n
        :return: V_g(s), ``[n, G]``
        """
        if self.value_function is None or observations is None:
            raise ValueError(
                f"expected an agent with values of all goals for {type(self).__name__}, got none; train an algorithm of "
                "leo_agents with a VecGoalSampler, or set value_function"
            )
        values = np.asarray(self.value_function(observations), dtype=np.float64)
        if values.shape != (count, self.num_goals) or np.isnan(values).any():
            raise ValueError(
                f"expected values of shape ({count}, {self.num_goals}) without NaN from value_function, got "
                f"{shorten(values)} of shape {values.shape}; return V_g(s) of all goals"
            )
        return values

    def _update(self, goal_ids: GoalIds, success: BoolArray) -> None:
        """Add completed attempts to further statistics; to be overridden by subclasses."""

    def _weights(self) -> FloatArray:
        """Unnormalized probability of each goal, ``[G]``; to be overridden by subclasses."""
        return np.ones(self.num_goals)

    def _checked_weights(self) -> FloatArray:
        weights = np.asarray(self._weights(), dtype=np.float64)
        if weights.shape != (self.num_goals,):
            raise ValueError(
                f"expected {self.num_goals} weights of {type(self).__name__}, one per goal, got shape {weights.shape}; "
                "return an array [G]"
            )
        total = weights.sum()
        if not (np.isfinite(total) and total > 0 and weights.min() >= 0):
            raise ValueError(
                f"expected finite weights of {type(self).__name__} of at least 0, not all 0, got {shorten(weights.tolist())}; "
                "let some goal always be eligible, e.g. all of them until one was seen"
            )
        return weights

    def _draw(self, count: int) -> GoalIds:
        cumulative = np.cumsum(self._checked_weights())
        drawn = np.searchsorted(cumulative, self.rng.random(count) * cumulative[-1], side="right")
        # Rounding may give a draw equal to the total, past the last goal with positive weight.
        return np.minimum(drawn, np.searchsorted(cumulative, cumulative[-1]))


class UniformGoals(GoalSelector):
    """Uniform over all goals, whether any state has achieved them or not."""


class SeenGoals(GoalSelector):
    """Uniform over the goals that any state has achieved so far; over all goals until there is one."""

    def _weights(self) -> FloatArray:
        return (self.seen if self.seen.any() else ~self.seen).astype(np.float64)
