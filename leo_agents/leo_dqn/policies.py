"""The policy of LEODQN: an online and a target network over all goals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import nn

from leo_agents.learning.grouped_adam import GroupedAdam
from leo_agents.networks.policies import GoalPolicy, Observation, expected_steps
from leo_agents.networks.q_network import GoalQNetwork


class _Acting(nn.Module):
    """The values of the actions for the goals given: what an export is about."""

    def __init__(self, network: GoalQNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, state: PyTorchObs, goal_ids: th.Tensor) -> th.Tensor:
        return self.network.values(self.network.goal_outputs(state, goal_ids))


class MultiGoalPolicy(GoalPolicy):
    """
    Acts greedily for the goal in the observation, ``goal_id``; knows the values of all others too.

    :param observation_space: a flat Dict with ``goal_id``
    :param action_space: the actions
    :param lr_schedule: the learning rate
    :param goal_names: the goals, in order; filled in by the algorithm
    :param net_arch: widths of the hidden layers, ``[256, 256]`` by default; the head has goals x actions weights for each unit
        of the last, so where these are many keep that one at 256 rather than as wide as the others
    :param activation_fn: the nonlinearity
    :param layer_norm: whether to normalise before each nonlinearity
    :param head: ``"dense"`` or ``"factored"``, see :mod:`leo_agents.networks.heads`
    :param head_kwargs: further arguments of the head
    :param squash: pass the values through a sigmoid, so that they stay in ``[0, 1]``
    :param features_extractor_class: reads the state (the observation without the command); chosen by its space when None
    :param features_extractor_kwargs: further arguments of the extractor
    :param normalize_images: divide images by 255
    :param optimizer_class: the optimiser; by default Adam, in the form that suits large heads
    :param optimizer_kwargs: its arguments besides the learning rate; a fused update for Adam by default
    """

    q_net: GoalQNetwork
    q_net_target: GoalQNetwork
    action_space: spaces.Discrete

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
        optimizer_class: type[th.optim.Optimizer] = GroupedAdam,
        optimizer_kwargs: dict[str, Any] | None = None,
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
        self.net_args: dict[str, Any] = {
            "net_arch": [256, 256] if net_arch is None else list(net_arch),
            "activation_fn": activation_fn,
            "layer_norm": layer_norm,
            "head": head,
            "head_kwargs": head_kwargs,
            "squash": squash,
        }
        self._build(lr_schedule)

    def make_q_net(self) -> GoalQNetwork:
        """
        :return: a new network
        """
        network = GoalQNetwork(
            self.observation_space,
            self.action_space,
            num_goals=len(self.goal_names),
            features_extractor=self.make_features_extractor(),
            normalize_images=self.normalize_images,
            **self.net_args,
        )
        return network.to(self.device)

    def forward(self, obs: PyTorchObs, deterministic: bool = True) -> th.Tensor:
        """
        :param obs: observations with ``goal_id``
        :param deterministic: no effect, the policy is greedy
        :return: the actions ``[B]``
        """
        return self._predict(obs, deterministic=deterministic)

    def q_values(self, observation: Observation) -> np.ndarray:
        """
        The values of every goal and action.

        :param observation: a batch of observations, or a single one
        :return: ``[B, G, A]``
        """
        tensors, _ = self.obs_to_tensor(self._commanded(observation, 0))
        self.set_training_mode(False)
        with th.no_grad():
            return self.q_net(tensors).cpu().numpy()

    def expected_steps(self, observation: Observation, gamma: float) -> np.ndarray:
        """
        The values as numbers of steps, ``1 + log(max_a Q) / log(gamma)``: exact where the world is deterministic.

        :param observation: a batch of observations, or a single one
        :param gamma: the discount that the values were learned with
        :return: ``[B, G]``, infinite where the value is 0
        """
        return expected_steps(self.q_values(observation).max(axis=-1), gamma)

    def to_torchscript(self) -> th.jit.ScriptModule:
        """
        The online network without this library: ``(states, goal_ids) -> values [B, A]``, to be used through PyTorch alone.

        :return: a module to ``save``; its states are a tensor, or a dictionary of tensors where the state has several parts
        """
        return self._export(self.q_net, _Acting(self.q_net))

    def set_training_mode(self, mode: bool) -> None:
        """
        The target network never trains.

        :param mode: whether the online network does
        """
        self.q_net.set_training_mode(mode)
        self.training = mode

    def _predict(self, obs: PyTorchObs, deterministic: bool = True) -> th.Tensor:
        return self.q_net._predict(obs, deterministic=deterministic)

    def _build(self, lr_schedule: Schedule) -> None:
        self.q_net = self.make_q_net()
        self.q_net_target = self.make_q_net()
        self.q_net_target.load_state_dict(self.q_net.state_dict())
        self.q_net_target.set_training_mode(False)
        self.optimizer = self.optimizer_class(  # type: ignore[call-arg]
            self.q_net.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs
        )

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {
            **super()._get_constructor_parameters(),
            **self.net_args,
        }
