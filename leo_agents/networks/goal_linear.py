"""Output layer with separate weights for each goal."""

import math

import torch as th
from torch import nn


class GoalLinear(nn.Module):
    """
    A separate linear layer for each goal.

    :param features_dim: number of features
    :param num_goals: number of goals
    :param outputs: number of outputs per goal
    """

    def __init__(self, features_dim: int, num_goals: int, outputs: int) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(max(features_dim, 1))
        self.weight = nn.Parameter(th.empty(num_goals, outputs, features_dim).uniform_(-bound, bound))
        self.bias = nn.Parameter(th.empty(num_goals, outputs).uniform_(-bound, bound))

    def forward(self, features: th.Tensor, goals: th.Tensor | None = None) -> th.Tensor:
        """
        Compute the outputs of all goals.

        :param features: ``[batch, features_dim]``
        :param goals: ids of the goals to compute ``[k]``; all of them by default
        :return: ``[batch, num_goals, outputs]`` or ``[batch, k, outputs]``, float32 under autocast too
        """
        weight, bias = (self.weight, self.bias) if goals is None else (self.weight[goals], self.bias[goals])
        outputs = th.addmm(bias.reshape(-1), features, weight.flatten(0, 1).t())
        return outputs.to(bias.dtype).view(-1, *bias.shape)

    def for_goals(self, features: th.Tensor, goal_ids: th.Tensor) -> th.Tensor:
        """
        Compute the outputs of one goal per row.

        :param features: ``[batch, features_dim]``
        :param goal_ids: the goal of each row ``[batch]``
        :return: ``[batch, outputs]``, float32 under autocast too
        """
        return th.bmm(self.weight[goal_ids], features.unsqueeze(2)).squeeze(2) + self.bias[goal_ids]
