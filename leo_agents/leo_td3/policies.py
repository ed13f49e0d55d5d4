"""The policy of LEOTD3: a deterministic action for every goal."""

import torch as th
from stable_baselines3.common.type_aliases import PyTorchObs

from leo_agents.networks.actor import GoalActorNetwork
from leo_agents.networks.continuous_policy import ContinuousGoalPolicy


class DeterministicGoalActor(GoalActorNetwork):
    """An action for every goal; see :class:`~leo_agents.networks.actor.GoalActorNetwork`."""

    def forward(self, obs: PyTorchObs, goals: th.Tensor | None = None) -> th.Tensor:
        """
        :param obs: observations
        :param goals: ids of the goals to compute ``[k]``; all of them by default
        :return: ``[B, G, act]`` or ``[B, k, act]``, between -1 and 1
        """
        return self.best(obs, goals)

    def actions(self, outputs: th.Tensor, deterministic: bool) -> th.Tensor:
        """
        :param outputs: what the head gave ``[..., act]``
        :param deterministic: no effect
        :return: the actions
        """
        return th.tanh(outputs)


class MultiGoalPolicy(ContinuousGoalPolicy):
    """The policy of LEOTD3; see :class:`~leo_agents.networks.continuous_policy.ContinuousGoalPolicy`."""

    actor_class = DeterministicGoalActor
    has_actor_target = True
