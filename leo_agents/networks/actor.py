"""Actor networks for continuous actions: the actions of all goals from one pass over the state."""

import math
from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import nn

from leo_agents.networks.state_network import ActingNetwork, make_trunk
from leo_wrappers.keys import GOAL_KEY


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


class GoalActorNetwork(ActingNetwork):
    """
    Base class of actors with one output head per goal. Subclasses implement :meth:`actions`.

    :param observation_space: goal-conditioned observation space
    :param action_space: action space
    :param num_goals: number of goals
    :param features_extractor: features extractor of the state
    :param net_arch: widths of the hidden layers
    :param activation_fn: activation function
    :param layer_norm: apply layer normalization before each activation
    :param normalize_images: divide images by 255
    """

    action_space: spaces.Box
    optimizer: th.optim.Optimizer
    # Number of head outputs per action dimension.
    outputs_per_component = 1

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Box,
        num_goals: int,
        features_extractor: BaseFeaturesExtractor,
        net_arch: list[int],
        activation_fn: type[nn.Module] = nn.ReLU,
        layer_norm: bool = True,
        normalize_images: bool = True,
    ) -> None:
        super().__init__(observation_space, action_space, features_extractor, normalize_images)
        self._squash_output = True
        self.constructor_arguments = {
            "observation_space": observation_space,
            "action_space": action_space,
            "num_goals": num_goals,
            "features_extractor": features_extractor,
            "net_arch": net_arch,
            "activation_fn": activation_fn,
            "layer_norm": layer_norm,
            "normalize_images": normalize_images,
        }
        self.trunk = make_trunk(features_extractor.features_dim, net_arch, activation_fn, layer_norm)
        width = net_arch[-1] if net_arch else features_extractor.features_dim
        self.head = GoalLinear(width, num_goals, self.outputs_per_component * get_action_dim(action_space))

    def features(self, obs: PyTorchObs) -> th.Tensor:
        """
        Compute the input of the head.

        :param obs: observations, with or without ``goal_id``
        :return: features of the states ``[B, H]``
        """
        return self.trunk(self.extract_state(obs))

    def for_goals(self, obs: PyTorchObs, goal_ids: th.Tensor, deterministic: bool = True) -> th.Tensor:
        """
        Compute the action for one goal per row.

        :param obs: observations
        :param goal_ids: the goal of each row ``[B]`` or ``[B, 1]``
        :param deterministic: whether to use deterministic or stochastic actions
        :return: actions ``[B, act]``, scaled to ``[-1, 1]``
        """
        outputs = self.head.for_goals(self.features(obs), goal_ids.long().reshape(-1))
        return self.actions(outputs, deterministic)

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> th.Tensor:
        assert isinstance(observation, dict)
        return self.for_goals(observation, observation[GOAL_KEY], deterministic)

    def best(self, obs: PyTorchObs, goals: th.Tensor | None = None) -> th.Tensor:
        """
        Compute the deterministic action for every goal.

        :param obs: observations
        :param goals: ids of the goals to compute ``[k]``; all of them by default
        :return: actions ``[B, G, act]`` or ``[B, k, act]``, scaled to ``[-1, 1]``
        """
        return self.actions(self.head(self.features(obs), goals), deterministic=True)

    def actions(self, outputs: th.Tensor, deterministic: bool) -> th.Tensor:
        """
        Convert the outputs of the head to actions.

        :param outputs: outputs of the head ``[..., outputs]``
        :param deterministic: whether to use deterministic or stochastic actions
        :return: actions ``[..., act]``, scaled to ``[-1, 1]``
        """
        raise NotImplementedError
