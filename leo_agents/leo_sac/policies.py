"""The policy of LEOSAC: a distribution over actions for every goal."""

import torch as th
from stable_baselines3.common.distributions import SquashedDiagGaussianDistribution
from stable_baselines3.common.type_aliases import PyTorchObs
from stable_baselines3.sac.policies import LOG_STD_MAX, LOG_STD_MIN

from leo_agents.networks.actor import GoalActorNetwork
from leo_agents.networks.continuous_policy import ContinuousGoalPolicy


class GaussianGoalActor(GoalActorNetwork):
    """A squashed Gaussian for every goal; see :class:`~leo_agents.networks.actor.GoalActorNetwork`."""

    outputs_per_component = 2

    def forward(self, obs: PyTorchObs, goals: th.Tensor | None = None) -> tuple[th.Tensor, th.Tensor]:
        """
        Draws an action for each goal.

        :param obs: observations
        :param goals: ids of the goals to compute ``[k]``; all of them by default
        :return: the actions ``[B, G, act]`` or ``[B, k, act]``, between -1 and 1, and their log probabilities ``[B, G]`` or
            ``[B, k]``
        """
        outputs = self.head(self.features(obs), goals)
        distribution = self._distribution(outputs)
        actions: th.Tensor = distribution.sample()
        log_probs = distribution.log_prob(actions, distribution.gaussian_actions)
        return actions.view(*outputs.shape[:-1], -1), log_probs.view(outputs.shape[:-1])

    def actions(self, outputs: th.Tensor, deterministic: bool) -> th.Tensor:
        """
        :param outputs: means and logarithms of standard deviations ``[..., 2 * act]``
        :param deterministic: the means, squashed
        :return: the actions
        """
        if deterministic:
            return th.tanh(outputs.chunk(2, dim=-1)[0])
        return self._distribution(outputs).sample().view(*outputs.shape[:-1], -1)

    @staticmethod
    def _distribution(outputs: th.Tensor) -> SquashedDiagGaussianDistribution:
        if not th.isfinite(outputs).all():
            broken = ~th.isfinite(outputs).flatten(2).all(dim=2).all(dim=0) if outputs.ndim == 3 else th.ones(1)
            raise FloatingPointError(
                f"expected finite actions, got others for {int(broken.sum())} of {len(broken)} goals; the update was not made "
                "and the last checkpoint is untouched: check the observations, or lower learning_rate"
            )
        # The parent library's distributions know rows only.
        means, log_stds = outputs.flatten(0, -2).chunk(2, dim=1)
        return SquashedDiagGaussianDistribution(means.shape[1]).proba_distribution(
            means, log_stds.clamp(LOG_STD_MIN, LOG_STD_MAX)
        )


class MultiGoalPolicy(ContinuousGoalPolicy):
    """The policy of LEOSAC; see :class:`~leo_agents.networks.continuous_policy.ContinuousGoalPolicy`."""

    actor_class = GaussianGoalActor
