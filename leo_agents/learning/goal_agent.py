"""What every trained agent answers: the action for a goal, and the values of goals."""

from typing import Any

import numpy as np
import numpy.typing as npt

from leo_agents.networks.goal_descriptors import Descriptors, descriptor_error
from leo_agents.networks.policies import GoalPolicyMixin, Observation, expected_steps
from leo_wrappers.goal_set import Goal
from leo_wrappers.tasks.preferences import check_preferences


class GoalAgent:
    """Mixin for an agent with a policy and a discount factor."""

    policy: GoalPolicyMixin
    gamma: float
    goal_names: tuple[str, ...]
    task_discounts: tuple[float, ...] | None = None
    """Discount factor of each task; None for goals."""
    task_weights: npt.NDArray[np.float32] | None = None
    """Preference of each task ``[G, d]``, None without."""

    def act(
        self, observation: Observation, goal: Goal | npt.ArrayLike | None = None, *, weights: npt.ArrayLike | None = None
    ) -> Any:
        """
        Get the deterministic action for a goal or a task, or for a preference among rewards. For a program of goals, see
        :class:`~leo_agents.programs.ProgramPolicy`.

        :param observation: a single observation; a commanded goal in it is ignored
        :param goal: name or index; or the descriptor of any goal, such as its point, if the policy takes descriptors
        :param weights: weights of the rewards ``[d]`` instead of a goal, in environments with
            :class:`~leo_wrappers.tasks.PreferenceTasks`; the nearest preference of the training is used, or, if the policy
            takes descriptors, this one
        :return: the action, an int for discrete actions
        """
        if goal is None and weights is not None:
            return self.policy.act(observation, self._preferred(weights))
        if goal is None or weights is not None:
            raise ValueError(f"expected a goal or weights, got {'neither' if goal is None else 'both'}; pass one of them")
        if not isinstance(goal, str) and np.ndim(goal) > 0:
            self._check_descriptors_are_taken(goal)
        return self.policy.act(observation, goal)

    def values(self, observation: Observation, goals: npt.ArrayLike | None = None) -> npt.NDArray[np.float32]:
        """
        Compute V_g(s), the discounted probability of reaching the goal, of all goals, or of any goals by descriptor. For
        tasks it is the expected discounted return.

        :param observation: an observation, or a batch of them; a commanded goal in it is ignored unless ``goals`` are missing
            where all goals are points
        :param goals: descriptors ``[K, d]``, such as points, if the policy takes them; all goals if None, or, if the goals are
            points, the commanded one of each observation
        :return: ``[B, G]`` or ``[B, K]``
        """
        if goals is not None:
            self._check_descriptors_are_taken(goals)
        return self.policy.values(observation, goals)

    def expected_steps(self, observation: Observation, goals: npt.ArrayLike | None = None) -> npt.NDArray[np.float32]:
        """
        Convert the values to numbers of steps, exact in deterministic environments.

        :param observation: an observation, or a batch of them
        :param goals: see :meth:`values`
        :return: ``[B, G]`` or ``[B, K]``, infinite where the value is 0
        """
        if self.task_discounts is not None:
            raise ValueError("expected goals, whose values have a number of steps, got tasks; use values()")
        return expected_steps(self.values(observation, goals), self.gamma)

    def _known_descriptors(self) -> Descriptors | None:
        """Return the descriptors of the goals, if they are at hand: errors name the nearest goal by them."""
        return None

    def _preferred(self, weights: npt.ArrayLike) -> Goal | npt.ArrayLike:
        """Return the task whose preference is the nearest to the weights, or their descriptor if the policy takes it."""
        known = self.task_weights
        if known is None:
            raise ValueError(
                "expected a model trained with preferences, got one without; wrap the environment with TaskWrapper and "
                "PreferenceTasks, or use act(observation, goal)"
            )
        preference = check_preferences(weights, known.shape[1], ndim=1)
        return preference if self.policy.takes_descriptors else int(np.square(known - preference).sum(axis=1).argmin())

    def _check_descriptors_are_taken(self, goals: npt.ArrayLike) -> None:
        """Raise a ``ValueError``, which names the nearest goal, if the policy does not take descriptors."""
        if not self.policy.takes_descriptors:
            raise descriptor_error(goals, self.goal_names, self._known_descriptors())
