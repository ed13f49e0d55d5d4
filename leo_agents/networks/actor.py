"""Actor networks for continuous actions: the actions of all goals from one pass over the state."""

from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import nn

from leo_agents.networks.candidate_goals import Goals
from leo_agents.networks.goal_linear import GoalLinear
from leo_agents.networks.point_goals import PointActorHead, normalizer_of, point_size
from leo_agents.networks.state_network import ActingNetwork, make_trunk
from leo_wrappers.keys import DESIRED_GOAL_KEY, GOAL_KEY


class GoalActorNetwork(ActingNetwork):
    """
    Base class of actors with one output head per goal. Subclasses implement :meth:`actions`.

    :param observation_space: goal-conditioned observation space
    :param action_space: action space
    :param num_goals: number of goals; None for points in the space of ``desired_goal``
    :param features_extractor: features extractor of the state
    :param net_arch: widths of the hidden layers
    :param activation_fn: activation function
    :param layer_norm: apply layer normalization before each activation
    :param encoder_kwargs: additional keyword arguments of the head's :class:`~leo_agents.networks.point_goals.GoalEncoder`, if
        the goals are points
    :param num_anchors: number of anchors of the head, if the goals are points; 0 for none, see
        :class:`~leo_agents.networks.anchored_heads.GoalAnchors`
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
        num_goals: int | None,
        features_extractor: BaseFeaturesExtractor,
        net_arch: list[int],
        activation_fn: type[nn.Module] = nn.ReLU,
        layer_norm: bool = True,
        encoder_kwargs: dict[str, Any] | None = None,
        num_anchors: int = 64,
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
            "encoder_kwargs": encoder_kwargs,
            "num_anchors": num_anchors,
            "normalize_images": normalize_images,
        }
        self.trunk = make_trunk(features_extractor.features_dim, net_arch, activation_fn, layer_norm)
        width = net_arch[-1] if net_arch else features_extractor.features_dim
        outputs = self.outputs_per_component * get_action_dim(action_space)
        self.head: Any
        if num_goals is None:
            size, normalizer = point_size(observation_space), normalizer_of(features_extractor)
            self.head = PointActorHead(
                width, size, outputs, encoder_kwargs=encoder_kwargs, num_anchors=num_anchors, normalizer=normalizer
            )
        else:
            self.head = GoalLinear(width, num_goals, outputs)
        self.goal_key = DESIRED_GOAL_KEY if num_goals is None else GOAL_KEY

    def features(self, obs: PyTorchObs) -> th.Tensor:
        """
        Compute the input of the head.

        :param obs: observations, with or without ``goal_id``
        :return: features of the states ``[B, H]``
        """
        return self.trunk(self.extract_state(obs))

    def for_goals(self, obs: PyTorchObs, goals: th.Tensor, deterministic: bool = True) -> th.Tensor:
        """
        Compute the action for one goal per row.

        :param obs: observations
        :param goals: the goal of each row: ids ``[B]`` or ``[B, 1]``, or points ``[B, d]``
        :param deterministic: whether to use deterministic or stochastic actions
        :return: actions ``[B, act]``, scaled to ``[-1, 1]``
        """
        if self.goal_key == GOAL_KEY:
            goals = goals.long().reshape(-1)
        return self.actions(self.head.for_goals(self.features(obs), goals), deterministic)

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> th.Tensor:
        assert isinstance(observation, dict)
        return self.for_goals(observation, observation[self.goal_key], deterministic)

    def best(self, obs: PyTorchObs, goals: Goals = None) -> th.Tensor:
        """
        Compute the deterministic action for every goal.

        :param obs: observations
        :param goals: ids of the goals to compute ``[k]``, or points; all goals by default
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
