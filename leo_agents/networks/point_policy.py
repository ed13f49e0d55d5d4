"""Mixin of policies whose goals are points: any point can be commanded, instead of one of a finite set of goals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

from leo_agents.networks.candidate_goals import CandidateGoals
from leo_agents.networks.continuous_policy import ContinuousGoalPolicy
from leo_agents.networks.policies import Observation, check_finite_observation
from leo_agents.networks.state_network import state_space
from leo_wrappers.keys import ACHIEVED_GOAL_KEY, DESIRED_GOAL_KEY
from leo_wrappers.validation import shorten

Points = npt.NDArray[np.float32]


def _as_points(goals: Any) -> Points:
    """Convert points to an array; infinity and NaN are found when they are compared with the bounds."""
    try:
        return np.asarray(goals, dtype=np.float32)
    except (TypeError, ValueError):
        raise ValueError(f"expected goals of numbers, got {shorten(goals)}; pass points like desired_goal") from None


class PointGoalPolicyMixin(ContinuousGoalPolicy):
    """
    Mixin for a policy of a finite goal set, to be listed before it among the base classes: goals are points in the space of
    ``desired_goal``, and ``goal_names`` is empty.
    """

    @classmethod
    def _check_goals(cls, observation_space: spaces.Space[Any], goal_names: Sequence[str]) -> None:
        if tuple(goal_names):
            raise ValueError(f"expected no goal_names for goals that are points, got {shorten(goal_names)}; leave them empty")
        parts = getattr(observation_space, "spaces", {})
        state_space(observation_space)
        for key in (ACHIEVED_GOAL_KEY, DESIRED_GOAL_KEY):
            if not isinstance(parts.get(key), spaces.Box):
                raise ValueError(f"expected {key!r} to be a Box of points, got {parts.get(key)}; use a goal environment")

    @property
    def takes_descriptors(self) -> bool:
        """True: goals are points."""
        return True

    @property
    def goal_space(self) -> spaces.Box:
        """The space of the points."""
        space = self.observation_space[DESIRED_GOAL_KEY]
        assert isinstance(space, spaces.Box)
        return space

    def with_goal(self, observation: Observation, goal: Any) -> dict[str, npt.NDArray[Any]]:
        """
        Command a goal in an observation, or the same goal in every row of a batch.

        :param observation: an observation, or a batch of them; a commanded goal in it is replaced
        :param goal: a point ``[d]``
        :return: the observation with ``desired_goal``
        """
        point = self.checked_points(goal, ndim=1)
        state, batch_shape = self._split_state(observation)
        return {**state, DESIRED_GOAL_KEY: np.broadcast_to(point, (*batch_shape, *point.shape)).copy()}

    def values(self, observation: Observation, goals: npt.ArrayLike | None = None) -> npt.NDArray[np.float32]:
        """
        Compute V_g(s) = min over critics of Q_g(s, pi_g(s)) of goals.

        :param observation: an observation, or a batch of them
        :param goals: points ``[K, d]``; the commanded ones in ``desired_goal``, one per observation, if None
        :return: ``[B, K]``, or ``[B, 1]`` for the commanded goals
        """
        if goals is None:
            if not isinstance(observation, dict) or DESIRED_GOAL_KEY not in observation:
                raise ValueError(f"expected goals, or observations with {DESIRED_GOAL_KEY!r}, got neither; pass points [K, d]")
            self._split_state(self._check_commanded_goals(observation))
            check_finite_observation(observation)
        points = None if goals is None else self.checked_points(goals, ndim=2)
        obs: Any = observation if points is None else self.with_goal(observation, points[0])
        tensors: Any = self.obs_to_tensor(obs)[0]
        commanded = tensors[DESIRED_GOAL_KEY]
        if points is None:
            candidates = CandidateGoals.one_per_row(commanded)
        else:
            candidates = CandidateGoals.common(th.as_tensor(points, device=self.device), len(commanded))
        self.set_training_mode(False)
        with th.no_grad():
            outputs = self.critic.lowest_diagonal(tensors, self.actor.best(tensors, candidates), candidates)
            return self.critic.values(outputs).cpu().numpy()

    def checked_points(self, goals: Any, ndim: int) -> Points:
        """
        Convert points to an array and raise a ``ValueError`` unless they are points of the goal space.

        :param goals: a point, or several
        :param ndim: 1 for a point ``[d]``, 2 for several ``[K, d]``
        :return: float32 ``[d]`` or ``[K, d]``
        """
        shape = self.goal_space.shape
        if isinstance(goals, str) or np.ndim(goals) == 0:
            raise ValueError(f"expected a goal of {shape[0]} coordinates, got {goals!r}; this model has no finite goal set")
        points = _as_points(goals)
        if points.ndim != ndim or points.shape[-1:] != shape:
            expected = f"a goal of {shape[0]} coordinates" if ndim == 1 else f"goals of shape [K, {shape[0]}]"
            raise ValueError(f"expected {expected}, got an array of shape {points.shape}; pass points like desired_goal")
        inside = (points >= self.goal_space.low) & (points <= self.goal_space.high)
        outside = ~(inside & np.isfinite(points))
        if outside.any():
            raise ValueError(
                f"expected finite goals between {shorten(self.goal_space.low)} and {shorten(self.goal_space.high)}, "
                f"got {shorten(points[outside.any(axis=-1)] if ndim == 2 else points)}; pass points of the goal space"
            )
        return points

    def _example_goal(self) -> Any:
        return np.clip(np.zeros(self.goal_space.shape, np.float32), self.goal_space.low, self.goal_space.high)

    def _command(self, observation: Observation, goal: Any) -> dict[str, npt.NDArray[Any]]:
        return self.with_goal(observation, goal)

    def _check_commanded_goals(self, observation: Observation) -> dict[str, npt.NDArray[Any]]:
        if not isinstance(observation, dict) or DESIRED_GOAL_KEY not in observation:
            raise ValueError(
                f"expected an observation with {DESIRED_GOAL_KEY!r}, got one without; pass one of the environment, or use "
                "act(observation, goal)"
            )
        shape = np.shape(observation[DESIRED_GOAL_KEY])
        if shape[-1:] != self.goal_space.shape:
            raise ValueError(
                f"expected {DESIRED_GOAL_KEY!r} of {self.goal_space.shape[0]} coordinates, got an array of shape {shape}; "
                "pass an observation of the environment"
            )
        return observation

    def make_features_extractor(self) -> BaseFeaturesExtractor:
        """Create the features extractor of the state; the statistics of points include the commanded goals."""
        extractor = self.features_extractor_class(self.state_space, **self.features_extractor_kwargs)
        return self.add_normalizer(extractor, self.observation_space)
