"""Policy of LEOSAC."""

from typing import ClassVar

import torch as th
from stable_baselines3.common.distributions import SquashedDiagGaussianDistribution
from stable_baselines3.common.type_aliases import PyTorchObs
from stable_baselines3.sac.policies import LOG_STD_MAX, LOG_STD_MIN
from torch.distributions import Normal

from leo_agents.networks.actor import GoalActorNetwork
from leo_agents.networks.candidate_goals import Goals
from leo_agents.networks.continuous_policy import ContinuousGoalPolicy
from leo_agents.networks.device import is_asynchronous
from leo_agents.networks.point_policy import PointGoalPolicyMixin


class GaussianGoalActor(GoalActorNetwork):
    """Squashed Gaussian actor of all goals; see :class:`~leo_agents.networks.actor.GoalActorNetwork`."""

    outputs_per_component = 2

    def forward(self, obs: PyTorchObs, goals: Goals = None) -> tuple[th.Tensor, th.Tensor]:
        """
        Sample an action for every goal.

        :param obs: observations
        :param goals: goals to compute, ids ``[K]`` or points; all goals if None
        :return: actions ``[B, G, act]`` or ``[B, K, act]`` in [-1, 1] and their log probabilities ``[B, G]`` or ``[B, K]``
        """
        outputs = self.head(self.features(obs), goals).float()
        if not is_asynchronous(outputs.device):  # else the loss is checked on the device
            _check_finite(outputs)
        distribution = self._distribution(outputs)
        actions: th.Tensor = distribution.sample()
        log_probs = distribution.log_prob(actions, distribution.gaussian_actions)
        return actions.view(*outputs.shape[:-1], -1), log_probs.view(outputs.shape[:-1])

    def actions(self, outputs: th.Tensor, deterministic: bool) -> th.Tensor:
        """
        Convert outputs of the head to actions.

        :param outputs: means and log standard deviations ``[..., 2 * act]``
        :param deterministic: whether to return the squashed means instead of samples
        :return: ``[..., act]`` in [-1, 1]
        """
        if deterministic:
            return th.tanh(outputs.chunk(2, dim=-1)[0])
        outputs = outputs.float()
        _check_finite(outputs)
        return self._distribution(outputs).sample().view(*outputs.shape[:-1], -1)

    @staticmethod
    def _distribution(outputs: th.Tensor) -> SquashedDiagGaussianDistribution:
        """Return the distribution of outputs in float32, which sums over tanh corrections need."""
        # SB3's distributions take two-dimensional parameters.
        means, log_stds = outputs.flatten(0, -2).chunk(2, dim=1)
        distribution = SquashedDiagGaussianDistribution(means.shape[1])
        # Without PyTorch's validation, which reads flags from the device.
        distribution.distribution = Normal(means, log_stds.clamp(LOG_STD_MIN, LOG_STD_MAX).exp(), validate_args=False)
        return distribution


def _check_finite(outputs: th.Tensor) -> None:
    """Raise a ``FloatingPointError`` if outputs of the head are NaN or infinity."""
    if not th.isfinite(outputs).all():
        invalid = ~th.isfinite(outputs).flatten(2).all(dim=2).all(dim=0) if outputs.ndim == 3 else th.ones(1)
        raise FloatingPointError(
            f"expected finite actions, got NaN or infinity for {int(invalid.sum())} of {len(invalid)} goals; the update "
            "was not applied and the last checkpoint is valid: check the observations, or lower learning_rate"
        )


class LEOSACPolicy(ContinuousGoalPolicy):
    """Policy of LEOSAC; see :class:`~leo_agents.networks.continuous_policy.ContinuousGoalPolicy`."""

    actor_class: ClassVar[type[GoalActorNetwork]] = GaussianGoalActor


class LEOSACPointPolicy(PointGoalPolicyMixin, LEOSACPolicy):
    """Policy of LEOSAC for goals that are points."""
