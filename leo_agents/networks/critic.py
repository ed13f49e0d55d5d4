"""Critic network for continuous actions: the values of all goals from one pass over the state."""

from collections.abc import Iterable
from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import nn

from leo_agents.networks.action_critic_head import ActionCriticHead
from leo_agents.networks.candidate_goals import Goals
from leo_agents.networks.point_goals import PointCriticHead, normalizer_of, point_size
from leo_agents.networks.state_network import StateNetwork, make_trunk
from leo_wrappers.validation import check_integer


class GoalCritic(StateNetwork):
    """
    Ensemble of independent critics, each of which estimates the values of all goals.

    All but the last layer of ``net_arch`` form a trunk that reads the state only. The last one is the hidden layer of
    :class:`~leo_agents.networks.action_critic_head.ActionCriticHead`, which combines state and action.

    :param observation_space: goal-conditioned observation space
    :param action_space: action space
    :param num_goals: number of goals; None for points in the space of ``desired_goal``
    :param features_extractor: features extractor of the state
    :param net_arch: widths of the hidden layers; without any, values are bilinear in the features and the action
    :param activation_fn: activation function of the trunk
    :param layer_norm: apply layer normalization before each activation of the trunk
    :param head_kwargs: additional keyword arguments of the heads
    :param encoder_kwargs: additional keyword arguments of the heads' :class:`~leo_agents.networks.point_goals.GoalEncoder`, if
        the goals are points
    :param num_anchors: number of anchors of the heads, if the goals are points; 0 for none, see
        :class:`~leo_agents.networks.anchored_heads.GoalAnchors`
    :param squash: pass the outputs through a sigmoid, which keeps the values in ``[0, 1]``
    :param n_critics: number of critics
    :param share_features_extractor: whether the features extractor belongs to the actor and is not trained here
    :param normalize_images: divide images by 255
    """

    action_space: spaces.Box
    optimizer: th.optim.Optimizer

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Box,
        num_goals: int | None,
        features_extractor: BaseFeaturesExtractor,
        net_arch: list[int],
        activation_fn: type[nn.Module] = nn.ReLU,
        layer_norm: bool = True,
        head_kwargs: dict[str, Any] | None = None,
        encoder_kwargs: dict[str, Any] | None = None,
        num_anchors: int = 64,
        squash: bool = True,
        n_critics: int = 2,
        share_features_extractor: bool = False,
        normalize_images: bool = True,
    ) -> None:
        check_integer("n_critics", n_critics, 1)
        super().__init__(observation_space, action_space, features_extractor, normalize_images)
        self.squash = squash
        self.share_features_extractor = share_features_extractor
        inputs, action_dim = features_extractor.features_dim, get_action_dim(action_space)
        width = net_arch[-2] if len(net_arch) > 1 else inputs
        self.trunks = nn.ModuleList(make_trunk(inputs, net_arch[:-1], activation_fn, layer_norm) for _ in range(n_critics))
        combined = net_arch[-1] if net_arch else 0

        def make_head() -> nn.Module:
            if num_goals is not None:
                return ActionCriticHead(width, num_goals, action_dim, combined, **(head_kwargs or {}))
            goal_dim, normalizer = point_size(observation_space), normalizer_of(features_extractor)
            options = {"encoder_kwargs": encoder_kwargs, "num_anchors": num_anchors, **(head_kwargs or {})}
            return PointCriticHead(width, goal_dim, action_dim, combined, normalizer=normalizer, **options)

        self.heads: Iterable[Any] = nn.ModuleList(make_head() for _ in range(n_critics))

    def trained_modules(self) -> nn.Module:
        """Return the modules that the critic's optimizer trains: without a shared features extractor."""
        return nn.ModuleList([self.trunks, self.get_submodule("heads")]) if self.share_features_extractor else self

    def taken(self, obs: PyTorchObs, actions: th.Tensor, goals: Goals = None) -> list[th.Tensor]:
        """
        Compute the outputs for Q_g(s, a) of the taken actions, for all goals.

        :param obs: observations
        :param actions: one action per row ``[B, act]``, scaled to ``[-1, 1]``
        :param goals: ids of the goals to compute ``[k]``, or points; all goals by default
        :return: for each critic ``[B, G]`` or ``[B, k]``, before the sigmoid
        """
        with th.set_grad_enabled(th.is_grad_enabled() and not self.share_features_extractor):
            state = self.extract_state(obs)
        return [head.taken(trunk(state), actions, goals) for trunk, head in zip(self.trunks, self.heads, strict=True)]

    def diagonal(
        self, obs: PyTorchObs, actions: th.Tensor, goals: Goals = None, n_critics: int | None = None
    ) -> list[th.Tensor]:
        """
        Compute the outputs for Q_g(s, a_g), where each goal has its own action. Gradients flow into the actions only.

        :param obs: observations
        :param actions: one action per row and goal ``[B, G, act]`` or ``[B, k, act]``, scaled to ``[-1, 1]``
        :param goals: ids of the goals to compute ``[k]``, or points; all goals by default
        :param n_critics: evaluate only the first ``n_critics`` critics; all of them by default
        :return: for each critic ``[B, G]`` or ``[B, k]``, before the sigmoid
        """
        with th.no_grad():
            state = self.extract_state(obs)
            features = [trunk(state) for trunk in self.trunks[:n_critics]]
        return [head.diagonal(x, actions, goals) for x, head in zip(features, self.heads, strict=False)]

    def lowest_diagonal(self, obs: PyTorchObs, actions: th.Tensor, goals: Goals = None) -> th.Tensor:
        """
        Compute the minimum of :meth:`diagonal` over the critics (clipped double Q-learning).

        :param obs: observations
        :param actions: one action per row and goal ``[B, G, act]`` or ``[B, k, act]``, scaled to ``[-1, 1]``
        :param goals: ids of the goals to compute ``[k]``, or points; all goals by default
        :return: ``[B, G]`` or ``[B, k]``, before the sigmoid
        """
        return th.stack(self.diagonal(obs, actions, goals)).amin(dim=0)

    def values(self, outputs: th.Tensor) -> th.Tensor:
        """
        Convert outputs to values.

        :param outputs: outputs of a critic
        :return: their sigmoid with ``squash``, else the outputs
        """
        return th.sigmoid(outputs) if self.squash else outputs
