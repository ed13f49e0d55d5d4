"""Policy of goal-conditioned DQN."""

from stable_baselines3.dqn.policies import MultiInputPolicy, QNetwork
from torch import nn


class SigmoidMultiInputPolicy(MultiInputPolicy):
    """
    DQN policy for Dict observations whose Q-values pass through a sigmoid.

    With reward 1 on success and the episode ending there, all true Q-values lie in ``[0, 1]``. Unbounded Q-values can grow
    above 1 everywhere because of the overestimation by the maximum over actions, until the actions no longer differ. The HER
    paper clips the targets to the possible range instead.
    """

    def make_q_net(self) -> QNetwork:
        """Create a Q-network that ends with a sigmoid."""
        network = super().make_q_net()
        network.q_net.append(nn.Sigmoid())  # type: ignore[operator]
        return network
