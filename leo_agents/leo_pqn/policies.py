"""The policies of LEOPQN and PQN: one network each, and no target network."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import nn

from leo_agents.learning.grouped_adam import GroupedRAdam
from leo_agents.leo_dqn.policies import MultiGoalPolicy as ReplayMultiGoalPolicy
from leo_agents.networks.heads import logit
from leo_agents.networks.policies import GoalPolicy, Observation
from leo_agents.networks.q_network import StateNetwork, make_trunk
from leo_wrappers.keys import GOAL_KEY


class MultiGoalPolicy(ReplayMultiGoalPolicy):
    """
    LEODQN's policy without its target network, and with RAdam.

    The arguments are those of :class:`~leo_agents.leo_dqn.policies.MultiGoalPolicy`, and:

    :param input_norm: normalise what the extractor gives, by batch renormalisation
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Discrete,
        lr_schedule: Schedule,
        goal_names: Sequence[str],
        net_arch: list[int] | None = None,
        activation_fn: type[nn.Module] = nn.ReLU,
        layer_norm: bool = True,
        head: str = "dense",
        head_kwargs: dict[str, Any] | None = None,
        squash: bool = True,
        features_extractor_class: type[BaseFeaturesExtractor] | None = None,
        features_extractor_kwargs: dict[str, Any] | None = None,
        normalize_images: bool = True,
        optimizer_class: type[th.optim.Optimizer] = GroupedRAdam,
        optimizer_kwargs: dict[str, Any] | None = None,
        input_norm: bool = False,
    ) -> None:
        # Before the parent builds the network.
        self.input_norm = input_norm
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            goal_names,
            net_arch=net_arch,
            activation_fn=activation_fn,
            layer_norm=layer_norm,
            head=head,
            head_kwargs=head_kwargs,
            squash=squash,
            features_extractor_class=features_extractor_class,
            features_extractor_kwargs=features_extractor_kwargs,
            normalize_images=normalize_images,
            optimizer_class=optimizer_class,
            optimizer_kwargs=optimizer_kwargs,
        )

    def _build(self, lr_schedule: Schedule) -> None:
        self.net_args["input_norm"] = self.input_norm
        self.q_net = self.make_q_net()
        self.optimizer = self.optimizer_class(  # type: ignore[call-arg]
            self.q_net.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs
        )


class GoalInputQNetwork(StateNetwork):
    """
    The values of every action for one goal, which is an input: a universal value function approximator.

    :param observation_space: of the goal-conditioned environment
    :param action_space: the actions
    :param descriptors: a vector per goal ``[G, d]``, which the network reads beside the state
    :param features_extractor: for the state space
    :param net_arch: widths of the hidden layers
    :param activation_fn: the nonlinearity
    :param layer_norm: whether to normalise before each nonlinearity
    :param squash: pass the values through a sigmoid, so that they stay in ``[0, 1]``
    :param normalize_images: divide images by 255
    :param input_norm: whether to normalise features and descriptors, by batch renormalisation
    :param initial_value: the value of every goal and action before learning, where values are squashed
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
        self.squash = squash
        self.register_buffer("descriptors", descriptors)
        inputs = features_extractor.features_dim + descriptors.shape[1]
        self.trunk = make_trunk(inputs, net_arch, activation_fn, layer_norm, input_norm)
        self.head = nn.Linear(net_arch[-1] if net_arch else inputs, int(action_space.n))
        # As the all-goals heads: every value starts at the initial one.
        nn.init.zeros_(self.head.weight)
        nn.init.constant_(self.head.bias, logit(initial_value))

    def goal_outputs(self, obs: PyTorchObs, goal_ids: th.Tensor) -> th.Tensor:
        """
        :param obs: observations, with or without the command
        :param goal_ids: a goal each ``[B]`` or ``[B, 1]``
        :return: the head's outputs ``[B, A]``, which order the actions as the values do
        """
        goals = self.descriptors.index_select(0, goal_ids.long().reshape(-1))
        return self.head(self.trunk(th.cat([self.extract_state(obs), goals], dim=1)))  # type: ignore[no-any-return]

    def values(self, outputs: th.Tensor) -> th.Tensor:
        """
        :param outputs: what the head gave
        :return: the values they mean
        """
        return th.sigmoid(outputs) if self.squash else outputs

    def _predict(self, observation: PyTorchObs, deterministic: bool = True) -> th.Tensor:
        assert isinstance(observation, dict)
        return self.goal_outputs(observation, observation[GOAL_KEY]).argmax(dim=1)


class GoalInputPolicy(GoalPolicy):
    """
    Acts greedily for the goal in the observation, by a network that reads that goal.

    :param observation_space: a flat Dict with ``goal_id``
    :param action_space: the actions
    :param lr_schedule: the learning rate
    :param goal_names: the goals, in order; filled in by the algorithm
    :param descriptors: a vector per goal ``[G, d]``; their numbers one-hot when None
    :param net_arch: widths of the hidden layers, ``[256, 256]`` by default
    :param activation_fn: the nonlinearity
    :param layer_norm: whether to normalise before each nonlinearity
    :param squash: pass the values through a sigmoid, so that they stay in ``[0, 1]``
    :param features_extractor_class: reads the state (the observation without the command); chosen by its space when None
    :param features_extractor_kwargs: further arguments of the extractor
    :param normalize_images: divide images by 255
    :param optimizer_class: the optimiser
    :param optimizer_kwargs: its arguments besides the learning rate
    :param input_norm: normalise features and descriptors, by batch renormalisation
    :param initial_value: the value of every goal and action before learning, where values are squashed
    """

    q_net: GoalInputQNetwork
    action_space: spaces.Discrete

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
        optimizer_class: type[th.optim.Optimizer] = GroupedRAdam,
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
        )
        num_goals = len(self.goal_names)
        table = np.eye(num_goals) if descriptors is None else np.asarray(descriptors)
        if table.ndim != 2 or len(table) != num_goals:
            raise ValueError(f"expected descriptors of shape [{num_goals}, d], got {table.shape}; give one row per goal")
        # As lists: a saved model's arguments are compared with ==.
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
        self.optimizer = self.optimizer_class(  # type: ignore[call-arg]
            self.q_net.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs
        )

    def forward(self, obs: PyTorchObs, deterministic: bool = True) -> th.Tensor:
        """
        :param obs: observations with ``goal_id``
        :param deterministic: no effect, the policy is greedy
        :return: the actions ``[B]``
        """
        return self._predict(obs, deterministic=deterministic)

    def q_values(self, observation: Observation) -> np.ndarray:
        """
        The values of every goal and action, from one pass for each goal.

        :param observation: a batch of observations, or a single one
        :return: ``[B, G, A]``
        """
        tensors, _ = self.obs_to_tensor(self._commanded(observation, 0))
        self.set_training_mode(False)
        count = len(next(iter(tensors.values())))  # type: ignore[union-attr]
        with th.no_grad():
            outputs = [
                self.q_net.goal_outputs(tensors, th.full((count,), goal, device=self.device))
                for goal in range(len(self.goal_names))
            ]
            return self.q_net.values(th.stack(outputs, dim=1)).cpu().numpy()

    def _predict(self, obs: PyTorchObs, deterministic: bool = True) -> th.Tensor:
        return self.q_net._predict(obs, deterministic=deterministic)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), **self.net_args, "descriptors": self.descriptors}
