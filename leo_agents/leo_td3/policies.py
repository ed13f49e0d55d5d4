"""Policy of LEOTD3."""

from typing import ClassVar

import torch as th
from stable_baselines3.common.type_aliases import PyTorchObs

from leo_agents.networks.actor import GoalActorNetwork
from leo_agents.networks.candidate_goals import Goals
from leo_agents.networks.continuous_policy import ContinuousGoalPolicy
from leo_agents.networks.point_policy import PointGoalPolicyMixin


class DeterministicGoalActor(GoalActorNetwork):
    """Deterministic actor of all goals; see :class:`~leo_agents.networks.actor.GoalActorNetwork`."""

    def forward(self, obs: PyTorchObs, goals: Goals = None) -> th.Tensor:
        """
        Compute pi_g(s) of all goals.

        :param obs: observations
        :param goals: goals to compute, ids ``[K]`` or points; all goals if None
        :return: ``[B, G, act]`` or ``[B, K, act]`` in [-1, 1]
        """
        return self.best(obs, goals)

    def actions(self, outputs: th.Tensor, deterministic: bool) -> th.Tensor:
        """
        Convert outputs of the head to actions.

        :param outputs: ``[..., act]``
        :param deterministic: not used
        :return: ``[..., act]`` in [-1, 1]
        """
        return th.tanh(outputs)


class LEOTD3Policy(ContinuousGoalPolicy):
    """Policy of LEOTD3; see :class:`~leo_agents.networks.continuous_policy.ContinuousGoalPolicy`."""

    actor_class: ClassVar[type[GoalActorNetwork]] = DeterministicGoalActor
    has_actor_target: ClassVar[bool] = True


class LEOTD3PointPolicy(PointGoalPolicyMixin, LEOTD3Policy):
    """Policy of LEOTD3 for goals that are points."""
