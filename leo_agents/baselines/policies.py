"""The network of goal-conditioned DQN."""

from stable_baselines3.dqn.policies import MultiInputPolicy, QNetwork
from torch import nn


class SquashedMultiInputPolicy(MultiInputPolicy):
    """
    DQN's policy for Dict observations, with values that pass through a sigmoid.

    Where a success is worth 1 and ends the episode, no value lies outside ``[0, 1]``. The maximum over actions overestimates,
    and with nothing to hold it the values of plain DQN rise above 1 until no action looks better than another; the authors of
    hindsight replay clip the targets for the same reason.
    """

    def make_q_net(self) -> QNetwork:
        """
        :return: a new network
        """
        network = super().make_q_net()
        network.q_net.append(nn.Sigmoid())  # type: ignore[operator]
        return network
