"""The network of goal-conditioned DQN."""

from stable_baselines3.dqn.policies import MultiInputPolicy, QNetwork
from torch import nn


class SquashedMultiInputPolicy(MultiInputPolicy):
    """
    DQN's policy for Dict observations, with values that pass through a sigmoid.

    Where a success is worth 1 and ends the episode, no value lies outside ``[0, 1]``. The maximum over actions overestimates,
    and with nothing to hold them the values of plain DQN can rise above 1 everywhere, until no action stands out. The authors
    of hindsight replay clip the targets to the possible range instead.
    """

    def make_q_net(self) -> QNetwork:
        """
        :return: a new network
        """
        network = super().make_q_net()
        network.q_net.append(nn.Sigmoid())  # type: ignore[operator]
        return network
