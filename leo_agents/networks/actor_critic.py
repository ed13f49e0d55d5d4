"""Networks for continuous actions: an action and a value for every goal."""

import math
from collections.abc import Iterable
from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import nn

from leo_agents.networks.action_critic_head import ActionCriticHead
from leo_agents.networks.q_network import StateNetwork, make_trunk


class GoalLinear(nn.Module):
    """
    A linear map for every goal.

    :param features_dim: number of features
    :param num_goals: number of goals
    :param outputs: number of outputs for each goal
    """

    def __init__(self, features_dim: int, num_goals: int, outputs: int) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(max(features_dim, 1))
        self.weight = nn.Parameter(th.empty(num_goals, outputs, features_dim).uniform_(-bound, bound))
        self.bias = nn.Parameter(th.empty(num_goals, outputs).uniform_(-bound, bound))

    def forward(self, features: th.Tensor, goals: th.Tensor | None = None) -> th.Tensor:
        """
        :param features: ``[batch, features_dim]``
        :param goals: ids of the goals to compute ``[k]``; all of them by default
        :return: ``[batch, num_goals, outputs]`` or ``[batch, k, outputs]``
        """
        weight, bias = (self.weight, self.bias) if goals is None else (self.weight[goals], self.bias[goals])
        return th.addmm(bias.reshape(-1), features, weight.flatten(0, 1).t()).view(-1, *bias.shape)

    def for_goals(self, features: th.Tensor, goal_ids: th.Tensor) -> th.Tensor:
        """
        :param features: ``[batch, features_dim]``
        :param goal_ids: a goal each ``[batch]``
        :return: ``[batch, outputs]``
        """
        return th.bmm(self.weight[goal_ids], features.unsqueeze(2)).squeeze(2) + self.bias[goal_ids]


class GoalActorNetwork(StateNetwork):
    """
    What an actor computes for every goal from one pass over the state; subclasses make actions of it.

    :param observation_space: of the goal-conditioned environment
    :param action_space: the actions
    :param num_goals: number of goals
    :param features_extractor: for the state space
    :param net_arch: widths of the hidden layers
    :param activation_fn: the nonlinearity
    :param layer_norm: whether to normalise before each nonlinearity
    :param normalize_images: divide images by 255
    """

    action_space: spaces.Box
    optimizer: th.optim.Optimizer
    # How many outputs each component of an action needs.
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
        self.trunk = make_trunk(features_extractor.features_dim, net_arch, activation_fn, layer_norm)
        width = net_arch[-1] if net_arch else features_extractor.features_dim
        self.head = GoalLinear(width, num_goals, self.outputs_per_component * get_action_dim(action_space))

    def features(self, obs: PyTorchObs) -> th.Tensor:
        """
        :param obs: observations, with or without the command
        :return: what the head reads ``[B, H]``
        """
        return self.trunk(self.extract_state(obs))

    def for_goals(self, obs: PyTorchObs, goal_ids: th.Tensor, deterministic: bool = True) -> th.Tensor:
        """
        The action for one goal a row, which is all that acting needs.

        :param obs: observations
        :param goal_ids: a goal each ``[B]`` or ``[B, 1]``
        :param deterministic: do not draw from a distribution
        :return: ``[B, act]``, between -1 and 1
        """
        outputs = self.head.for_goals(self.features(obs), goal_ids.long().reshape(-1))
        return self.actions(outputs, deterministic)

    def best(self, obs: PyTorchObs, goals: th.Tensor | None = None) -> th.Tensor:
        """
        The best action for each goal.

        :param obs: observations
        :param goals: ids of the goals to compute ``[k]``; all of them by default
        :return: ``[B, G, act]`` or ``[B, k, act]``, between -1 and 1
        """
        return self.actions(self.head(self.features(obs), goals), deterministic=True)

    def actions(self, outputs: th.Tensor, deterministic: bool) -> th.Tensor:
        """
        :param outputs: what the head gave ``[..., outputs]``
        :param deterministic: do not draw from a distribution
        :return: the actions ``[..., act]`` that they mean
        """
        raise NotImplementedError


class GoalCritic(StateNetwork):
    """
    Several independent estimates of the value of every goal. In each, all but the last layer of ``net_arch`` read the state;
    the last is the one in which the action joins, see :class:`~leo_agents.networks.action_critic_head.ActionCriticHead`.

    :param observation_space: of the goal-conditioned environment
    :param action_space: the actions
    :param num_goals: number of goals
    :param features_extractor: for the state space
    :param net_arch: widths of the hidden layers, at least one
    :param activation_fn: the nonlinearity of the layers that read the state
    :param layer_norm: whether to normalise before each nonlinearity, the last layer's excepted
    :param head_kwargs: further arguments of the heads
    :param squash: the values are the outputs' sigmoid, so that they stay in ``[0, 1]``
    :param n_critics: number of estimates
    :param normalize_images: divide images by 255
    """

    action_space: spaces.Box
    optimizer: th.optim.Optimizer

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Box,
        num_goals: int,
        features_extractor: BaseFeaturesExtractor,
        net_arch: list[int],
        activation_fn: type[nn.Module] = nn.ReLU,
        layer_norm: bool = True,
        head_kwargs: dict[str, Any] | None = None,
        squash: bool = True,
        n_critics: int = 2,
        normalize_images: bool = True,
    ) -> None:
        if not net_arch:
            raise ValueError(
                "expected net_arch of the critic to have at least one layer, got none; the action joins in the last"
            )
        if n_critics < 1:
            raise ValueError(f"expected n_critics of at least 1, got {n_critics}")
        super().__init__(observation_space, action_space, features_extractor, normalize_images)
        self.squash = squash
        inputs, action_dim = features_extractor.features_dim, get_action_dim(action_space)
        width = net_arch[-2] if len(net_arch) > 1 else inputs
        self.trunks = nn.ModuleList(make_trunk(inputs, net_arch[:-1], activation_fn, layer_norm) for _ in range(n_critics))
        self.heads: Iterable[ActionCriticHead] = nn.ModuleList(  # type: ignore[assignment]
            ActionCriticHead(width, num_goals, action_dim, net_arch[-1], **(head_kwargs or {})) for _ in range(n_critics)
        )

    def taken(self, obs: PyTorchObs, actions: th.Tensor, goals: th.Tensor | None = None) -> list[th.Tensor]:
        """
        Every goal's opinion of one action a row.

        :param obs: observations
        :param actions: between -1 and 1 ``[B, act]``
        :param goals: ids of the goals to compute ``[k]``; all of them by default
        :return: the outputs of each critic ``[B, G]`` or ``[B, k]``
        """
        state = self.extract_state(obs)
        return [head.taken(trunk(state), actions, goals) for trunk, head in zip(self.trunks, self.heads, strict=True)]

    def diagonal(
        self, obs: PyTorchObs, actions: th.Tensor, goals: th.Tensor | None = None, n_critics: int | None = None
    ) -> list[th.Tensor]:
        """
        Each goal's opinion of its own action. Gradients flow into the actions, never into the critic.

        :param obs: observations
        :param actions: between -1 and 1 ``[B, G, act]`` or ``[B, k, act]``
        :param goals: ids of the goals to compute ``[k]``; all of them by default
        :param n_critics: ask only so many critics; all of them by default
        :return: the outputs of each critic ``[B, G]`` or ``[B, k]``
        """
        with th.no_grad():
            state = self.extract_state(obs)
            features = [trunk(state) for trunk in self.trunks[:n_critics]]
        return [head.diagonal(x, actions, goals) for x, head in zip(features, self.heads, strict=False)]

    def lowest_diagonal(self, obs: PyTorchObs, actions: th.Tensor, goals: th.Tensor | None = None) -> th.Tensor:
        """
        The lowest of the critics' opinions, as :meth:`diagonal`.

        :param obs: observations
        :param actions: between -1 and 1 ``[B, G, act]`` or ``[B, k, act]``
        :param goals: ids of the goals to compute ``[k]``; all of them by default
        :return: the outputs ``[B, G]`` or ``[B, k]``
        """
        return th.stack(self.diagonal(obs, actions, goals)).amin(dim=0)

    def values(self, outputs: th.Tensor) -> th.Tensor:
        """
        :param outputs: what a critic gave
        :return: the values they mean
        """
        return th.sigmoid(outputs) if self.squash else outputs
