"""The all-goals Q-network: Q_g(s, a) of all goals and actions from one forward pass."""

from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import nn

from leo_agents.networks.heads import DenseHead, FactoredHead, GoalHead
from leo_agents.networks.quasimetric_head import QuasimetricHead
from leo_agents.networks.state_network import ActingNetwork, make_trunk
from leo_wrappers.keys import GOAL_KEY
from leo_wrappers.validation import check_choice

HEADS: dict[str, type[GoalHead]] = {"dense": DenseHead, "factored": FactoredHead, "quasimetric": QuasimetricHead}


def make_head(
    kind: str, features_dim: int, num_goals: int, num_actions: int, head_kwargs: dict[str, Any] | None = None
) -> GoalHead:
    """
    Create an all-goals head by name.

    :param kind: ``"dense"``, ``"factored"`` or ``"quasimetric"``
    :param features_dim: number of features
    :param num_goals: number of goals
    :param num_actions: number of actions
    :param head_kwargs: additional arguments of the head
    :return: the head
    """
    check_choice("head", kind, tuple(HEADS))
    return HEADS[kind](features_dim, num_goals, num_actions, **(head_kwargs or {}))


class GoalQNetwork(ActingNetwork):
    """
    Q-network with a head for all goals.

    :param observation_space: of the goal-conditioned environment
    :param action_space: action space
    :param num_goals: number of goals
    :param features_extractor: features extractor of the state space
    :param net_arch: widths of the hidden layers
    :param activation_fn: activation function
    :param layer_norm: whether to apply layer normalization before each activation
    :param head: ``"dense"``, ``"factored"`` or ``"quasimetric"``
    :param head_kwargs: additional arguments of the head
    :param squash: whether values are the sigmoid of the head's outputs, in ``[0, 1]``
    :param normalize_images: whether to divide images by 255
    :param input_norm: whether to apply batch renormalization to the extracted features
    """

    action_space: spaces.Discrete

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Discrete,
        num_goals: int,
        features_extractor: BaseFeaturesExtractor,
        net_arch: list[int],
        activation_fn: type[nn.Module] = nn.ReLU,
        layer_norm: bool = True,
        head: str = "dense",
        head_kwargs: dict[str, Any] | None = None,
        squash: bool = True,
        normalize_images: bool = True,
        input_norm: bool = False,
    ) -> None:
        super().__init__(observation_space, action_space, features_extractor, normalize_images)
        self.constructor_arguments = {
            "observation_space": observation_space,
            "action_space": action_space,
            "num_goals": num_goals,
            "features_extractor": features_extractor,
            "net_arch": net_arch,
            "activation_fn": activation_fn,
            "layer_norm": layer_norm,
            "head": head,
            "head_kwargs": head_kwargs,
            "squash": squash,
            "normalize_images": normalize_images,
            "input_norm": input_norm,
        }
        self.squash = squash
        self.trunk = make_trunk(features_extractor.features_dim, net_arch, activation_fn, layer_norm, input_norm)
        width = net_arch[-1] if net_arch else features_extractor.features_dim
        self.head = make_head(head, width, num_goals, int(action_space.n), head_kwargs)
        if isinstance(self.head, QuasimetricHead):
            self._check_goal_states(self.head.goal_states)
            self.head.encoder = self.features

    def _check_goal_states(self, goal_states: th.Tensor) -> None:
        """Raise a ``ValueError`` unless goals can be encoded as states, with values in [0, 1]."""
        shape = self.observation_space.shape if isinstance(self.observation_space, spaces.Box) else None
        if shape != goal_states.shape[1:]:
            raise ValueError(
                f"expected an observation of each goal in {self.observation_space}, one vector, as descriptors for "
                f'head="quasimetric", got descriptors of shape {tuple(goal_states.shape[1:])}; pass '
                "head_kwargs={'descriptors': observations}, or use head=\"factored\""
            )
        if not self.squash:
            raise ValueError('expected squash=True with head="quasimetric", values in [0, 1], got False; leave it out')

    def features(self, obs: PyTorchObs) -> th.Tensor:
        """
        Compute the input of the head.

        :param obs: observations, with or without the commanded goal
        :return: ``[B, H]``
        """
        return self.trunk(self.extract_state(obs))

    def forward(self, obs: PyTorchObs) -> th.Tensor:
        """
        Compute Q_g(s, a) of all goals and actions.

        :param obs: observations
        :return: ``[B, G, A]``
        """
        return self.values(self.head(self.features(obs)))

    def values(self, outputs: th.Tensor) -> th.Tensor:
        """
        Convert outputs of the head to values.

        :param outputs: any shape
        :return: values of the same shape
        """
        return th.sigmoid(outputs) if self.squash else outputs

    def goal_outputs(self, obs: PyTorchObs, goals: th.Tensor) -> th.Tensor:
        """
        Compute the head's outputs of all actions for one goal per row, as needed for acting.

        :param obs: observations
        :param goals: a goal per row, ids ``[B]`` or ``[B, 1]``, or descriptors ``[B, d]`` for a head that takes them
        :return: ``[B, A]``, with the same argmax as the values
        """
        return self.head.for_goals(self.features(obs), goals if goals.is_floating_point() else goals.long().reshape(-1))

    def _predict(self, observation: PyTorchObs, deterministic: bool = True) -> th.Tensor:
        assert isinstance(observation, dict)
        return self.goal_outputs(observation, observation[GOAL_KEY]).argmax(dim=1)
