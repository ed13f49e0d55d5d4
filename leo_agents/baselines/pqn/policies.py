"""Policy of PQN: a Q-network with the goal as input."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import nn

from leo_agents.learning.optimization import FusedRAdam
from leo_agents.networks.goal_descriptors import check_table
from leo_agents.networks.heads import logit
from leo_agents.networks.policies import Observation
from leo_agents.networks.q_policy import GoalQPolicy, GoalQValues
from leo_agents.networks.state_network import ActingNetwork, make_trunk
from leo_wrappers.keys import GOAL_KEY


class GoalInputQNetwork(ActingNetwork):
    """
    Q-network with the descriptor of one goal as additional input (universal value function approximator).

    :param observation_space: of the goal-conditioned environment
    :param action_space: action space
    :param descriptors: a vector per goal ``[G, d]``
    :param features_extractor: features extractor of the state space
    :param net_arch: widths of the hidden layers
    :param activation_fn: activation function
    :param layer_norm: whether to apply layer normalization before each activation
    :param squash: whether values are the sigmoid of the outputs, in ``[0, 1]``
    :param normalize_images: whether to divide images by 255
    :param input_norm: whether to apply batch renormalization to features and descriptors
    :param initial_value: value of every goal and action before training, if values are squashed
    """

    descriptors: th.Tensor

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Discrete,
        descriptors: th.Tensor,
        features_extractor: BaseFeaturesExtractor,
        net_arch: list[int],
        activation_fn: type[nn.Module] = nn.ReLU,
        layer_norm: bool = True,
        squash: bool = True,
        normalize_images: bool = True,
        input_norm: bool = False,
        initial_value: float = 0.5,
    ) -> None:
        super().__init__(observation_space, action_space, features_extractor, normalize_images)
        self.constructor_arguments = {
            "observation_space": observation_space,
            "action_space": action_space,
            "descriptors": descriptors,
            "features_extractor": features_extractor,
            "net_arch": net_arch,
            "activation_fn": activation_fn,
            "layer_norm": layer_norm,
            "squash": squash,
            "normalize_images": normalize_images,
            "input_norm": input_norm,
            "initial_value": initial_value,
        }
        self.squash = squash
        self.register_buffer("descriptors", descriptors)
        inputs = features_extractor.features_dim + descriptors.shape[1]
        self.trunk = make_trunk(inputs, net_arch, activation_fn, layer_norm, input_norm)
        self.head = nn.Linear(net_arch[-1] if net_arch else inputs, int(action_space.n))
        # As in the all-goals heads, all values start at the initial value.
        nn.init.zeros_(self.head.weight)
        nn.init.constant_(self.head.bias, logit(initial_value))

    def goal_outputs(self, obs: PyTorchObs, goal_ids: th.Tensor) -> th.Tensor:
        """
        Compute the outputs of all actions for one goal per row.

        :param obs: observations, with or without the commanded goal
        :param goal_ids: a goal per row, ``[B]`` or ``[B, 1]``
        :return: ``[B, A]``, with the same argmax as the values
        """
        goals = self.descriptors.index_select(0, goal_ids.long().reshape(-1))
        return self.head(self.trunk(th.cat([self.extract_state(obs), goals], dim=1)))  # type: ignore[no-any-return]

    def values(self, outputs: th.Tensor) -> th.Tensor:
        """
        Convert outputs to values.

        :param outputs: any shape
        :return: values of the same shape
        """
        return th.sigmoid(outputs) if self.squash else outputs

    def _predict(self, observation: PyTorchObs, deterministic: bool = True) -> th.Tensor:
        assert isinstance(observation, dict)
        return self.goal_outputs(observation, observation[GOAL_KEY]).argmax(dim=1)


class PQNPolicy(GoalQPolicy):
    """
    Policy of PQN, greedy with respect to the commanded goal, which is an input of the network. Values of all goals take one
    forward pass per goal.

    :param observation_space: a flat Dict space with ``goal_id``
    :param action_space: action space
    :param lr_schedule: learning rate schedule
    :param goal_names: names of the goals, in order; set by the algorithm
    :param descriptors: a vector per goal ``[G, d]``; one-hot vectors if None
    :param net_arch: widths of the hidden layers, ``[256, 256]`` by default
    :param activation_fn: activation function
    :param layer_norm: whether to apply layer normalization before each activation
    :param squash: whether values are the sigmoid of the outputs, in ``[0, 1]``
    :param features_extractor_class: features extractor of the state; chosen by the state space if None
    :param features_extractor_kwargs: additional arguments of the features extractor
    :param normalize_images: whether to divide images by 255
    :param normalize_observations: whether to standardize observations by running statistics, see
        :class:`~leo_agents.networks.normalization.ObservationNormalizer`
    :param optimizer_class: optimizer, RAdam by default
    :param optimizer_kwargs: additional arguments of the optimizer
    :param input_norm: whether to apply batch renormalization to features and descriptors
    :param initial_value: value of every goal and action before training, if values are squashed
    """

    default_optimizer_class: ClassVar[type[th.optim.Optimizer]] = FusedRAdam
    q_net: GoalInputQNetwork

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Discrete,
        lr_schedule: Schedule,
        goal_names: Sequence[str],
        descriptors: npt.ArrayLike | None = None,
        net_arch: list[int] | None = None,
        activation_fn: type[nn.Module] = nn.ReLU,
        layer_norm: bool = True,
        squash: bool = True,
        features_extractor_class: type[BaseFeaturesExtractor] | None = None,
        features_extractor_kwargs: dict[str, Any] | None = None,
        normalize_images: bool = True,
        normalize_observations: bool = True,
        optimizer_class: type[th.optim.Optimizer] | None = None,
        optimizer_kwargs: dict[str, Any] | None = None,
        input_norm: bool = False,
        initial_value: float = 0.5,
    ) -> None:
        super().__init__(
            observation_space,
            action_space,
            goal_names,
            features_extractor_class=features_extractor_class,
            features_extractor_kwargs=features_extractor_kwargs,
            optimizer_class=optimizer_class,
            optimizer_kwargs=optimizer_kwargs,
            normalize_images=normalize_images,
            normalize_observations=normalize_observations,
        )
        num_goals = len(self.goal_names)
        table = np.eye(num_goals) if descriptors is None else check_table("descriptors", descriptors, num_goals)
        # As lists: arguments of saved models are compared with ==.
        self.descriptors = None if descriptors is None else table.tolist()
        self.net_args: dict[str, Any] = {
            "net_arch": [256, 256] if net_arch is None else list(net_arch),
            "activation_fn": activation_fn,
            "layer_norm": layer_norm,
            "squash": squash,
            "input_norm": input_norm,
            "initial_value": initial_value,
        }
        self.q_net = GoalInputQNetwork(
            self.observation_space,
            self.action_space,
            th.as_tensor(table, dtype=th.float32),
            features_extractor=self.make_features_extractor(),
            normalize_images=self.normalize_images,
            **self.net_args,
        ).to(self.device)
        self.optimizer = self.make_optimizer(self.q_net, lr_schedule(1))

    def q_values(self, observation: Observation) -> npt.NDArray[np.float32]:
        tensors, _ = self.obs_to_tensor(self.with_goal(observation, 0))
        self.set_training_mode(False)
        count = len(next(iter(tensors.values())))  # type: ignore[union-attr]
        with th.no_grad():
            outputs = [
                self.q_net.goal_outputs(tensors, th.full((count,), goal, device=self.device))
                for goal in range(len(self.goal_names))
            ]
            return self.q_net.values(th.stack(outputs, dim=1)).cpu().numpy()

    def to_torchscript(self) -> th.jit.ScriptModule:
        """
        Export the Q-network as TorchScript, ``(states, goal_ids) -> Q-values [B, A]``, for use without this library.

        :return: a module; its states are a tensor, or a dict of tensors if the state has several entries
        """
        return self._export(self.q_net, GoalQValues(self.q_net))

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), **self.net_args, "descriptors": self.descriptors}
