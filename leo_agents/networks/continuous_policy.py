"""Base class of the policies with continuous actions: an actor and critics for all goals."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, get_actor_critic_arch
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import nn

from leo_agents.networks.actor import GoalActorNetwork
from leo_agents.networks.critic import GoalCritic
from leo_agents.networks.policies import GoalPolicy, Observation

NetArch = list[int] | dict[str, list[int]]


class ContinuousGoalPolicy(GoalPolicy):
    """
    Policy with actions and values for all goals, which acts for the commanded goal.

    :param observation_space: a flat Dict space with ``goal_id``
    :param action_space: action space
    :param lr_schedule: learning rate schedule
    :param goal_names: names of the goals, in order; set by the algorithm
    :param net_arch: widths of the hidden layers, of actor and critic or as ``{"pi": [...], "qf": [...]}``; the action is an
        input of the critic's last hidden layer. ``[256, 256]`` for the actor and ``[256, 256, 128]`` for the critic by default
    :param activation_fn: activation function; the critic's last hidden layer always has ReLU
    :param layer_norm: whether to apply layer normalization before each activation
    :param head_kwargs: additional arguments of the critics' heads, see
        :class:`~leo_agents.networks.action_critic_head.ActionCriticHead`
    :param encoder_kwargs: additional arguments of the networks that read the goal, see
        :class:`~leo_agents.networks.point_goals.GoalEncoder`; only if the goals are points
    :param num_anchors: number of points in the goal space whose outputs are learned separately and interpolated, see
        :class:`~leo_agents.networks.anchored_heads.GoalAnchors`; 0 for none; only if the goals are points
    :param squash: whether values are the sigmoid of the head's outputs, in ``[0, 1]``
    :param n_critics: number of critics; targets take their minimum
    :param share_features_extractor: whether the critic uses the actor's features extractor, which then only learns from the
        actor's loss
    :param features_extractor_class: features extractor of the state; chosen by the state space if None
    :param features_extractor_kwargs: additional arguments of the features extractor
    :param normalize_images: whether to divide images by 255
    :param normalize_observations: whether to standardize observations by running statistics, see
        :class:`~leo_agents.networks.normalization.ObservationNormalizer`
    :param optimizer_class: optimizer, Adam by default
    :param optimizer_kwargs: additional arguments of the optimizer; ``fused=True`` for Adam by default
    :param has_value_net: whether there is a network of V_g(s), a critic whose action is always 0; set by the algorithm
    """

    action_spaces: ClassVar = (spaces.Box,)
    actor_class: ClassVar[type[GoalActorNetwork]]
    has_actor_target: ClassVar[bool] = False
    actor: GoalActorNetwork
    actor_target: GoalActorNetwork
    critic: GoalCritic
    critic_target: GoalCritic
    value_net: GoalCritic
    action_space: spaces.Box

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Box,
        lr_schedule: Schedule,
        goal_names: Sequence[str],
        net_arch: NetArch | None = None,
        activation_fn: type[nn.Module] = nn.ReLU,
        layer_norm: bool = True,
        head_kwargs: dict[str, Any] | None = None,
        encoder_kwargs: dict[str, Any] | None = None,
        num_anchors: int = 64,
        squash: bool = True,
        n_critics: int = 2,
        share_features_extractor: bool = False,
        features_extractor_class: type[BaseFeaturesExtractor] | None = None,
        features_extractor_kwargs: dict[str, Any] | None = None,
        normalize_images: bool = True,
        normalize_observations: bool = True,
        optimizer_class: type[th.optim.Optimizer] | None = None,
        optimizer_kwargs: dict[str, Any] | None = None,
        has_value_net: bool = False,
    ) -> None:
        self.has_value_net = has_value_net
        super().__init__(
            observation_space,
            action_space,
            goal_names,
            features_extractor_class=features_extractor_class,
            features_extractor_kwargs=features_extractor_kwargs,
            normalize_images=normalize_images,
            normalize_observations=normalize_observations,
            optimizer_class=optimizer_class,
            optimizer_kwargs=optimizer_kwargs,
            squash_output=True,
        )
        self.net_args: dict[str, Any] = {
            "net_arch": {"pi": [256, 256], "qf": [256, 256, 128]} if net_arch is None else net_arch,
            "activation_fn": activation_fn,
            "layer_norm": layer_norm,
            "head_kwargs": head_kwargs,
            "encoder_kwargs": encoder_kwargs,
            "num_anchors": num_anchors,
            "squash": squash,
            "n_critics": n_critics,
            "share_features_extractor": share_features_extractor,
        }
        self._build(lr_schedule)

    def _build(self, lr_schedule: Schedule) -> None:
        """Create networks, target networks and optimizers."""
        share_features_extractor = self.net_args["share_features_extractor"]
        self.actor = self.make_actor()
        self.critic = self.make_critic(self.actor.features_extractor if share_features_extractor else None)
        # The target has its own features extractor in any case, which follows that of the critic.
        self.critic_target = self.make_critic()
        self.critic_target.load_state_dict(self.critic.state_dict())
        self.critic_target.set_training_mode(False)
        if self.has_actor_target:
            self.actor_target = self.make_actor()
            self.actor_target.load_state_dict(self.actor.state_dict())
            self.actor_target.set_training_mode(False)
        self.actor.optimizer = self.make_optimizer(self.actor, lr_schedule(1))
        trained = self.critic.trained_modules()
        if self.has_value_net:
            self.value_net = self.make_critic(n_critics=1)
            trained = nn.ModuleList([trained, self.value_net])
        self.critic.optimizer = self.make_optimizer(trained, lr_schedule(1))

    def make_actor(self) -> GoalActorNetwork:
        """Create an actor."""
        actor_arch, _ = get_actor_critic_arch(self.net_args["net_arch"])
        network = self.actor_class(
            self.observation_space,
            self.action_space,
            num_goals=len(self.goal_names) or None,
            features_extractor=self.make_features_extractor(),
            net_arch=actor_arch,
            activation_fn=self.net_args["activation_fn"],
            layer_norm=self.net_args["layer_norm"],
            encoder_kwargs=self.net_args["encoder_kwargs"],
            num_anchors=self.net_args["num_anchors"],
            normalize_images=self.normalize_images,
        )
        return network.to(self.device)

    def make_critic(self, features_extractor: BaseFeaturesExtractor | None = None, n_critics: int | None = None) -> GoalCritic:
        """
        Create critics.

        :param features_extractor: features extractor of the actor to share; the critics have their own if None
        :param n_critics: number of critics, that of the policy if None
        :return: the critics
        """
        _, critic_arch = get_actor_critic_arch(self.net_args["net_arch"])
        options = {"net_arch": critic_arch, "share_features_extractor": features_extractor is not None}
        if n_critics is not None:
            options["n_critics"] = n_critics
        network = GoalCritic(
            self.observation_space,
            self.action_space,
            num_goals=len(self.goal_names) or None,
            features_extractor=features_extractor or self.make_features_extractor(),
            normalize_images=self.normalize_images,
            **{**self.net_args, **options},
        )
        return network.to(self.device)

    def values(self, observation: Observation, goals: npt.ArrayLike | None = None) -> npt.NDArray[np.float32]:
        """
        Compute V_g(s) = min over critics of Q_g(s, pi_g(s)) of all goals.

        :param observation: an observation, or a batch of them; a commanded goal in it is ignored
        :param goals: not supported by policies of a finite goal set
        :return: ``[B, G]``
        """
        self._check_no_descriptors(goals)
        tensors, _ = self.obs_to_tensor(self.with_goal(observation, 0))
        self.set_training_mode(False)
        with th.no_grad():
            return self.critic.values(self.critic.lowest_diagonal(tensors, self.actor.best(tensors))).cpu().numpy()

    def to_torchscript(self) -> th.jit.ScriptModule:
        """
        Export the actor as TorchScript, ``(states, goal_ids) -> actions [B, act]`` in [-1, 1], for use without this library.

        :return: a module; its states are a tensor, or a dict of tensors if the state has several entries
        """
        return self._export(self.actor, _GoalActions(self.actor))

    def set_training_mode(self, mode: bool) -> None:
        """
        Set training or evaluation mode of actor and critics; target networks stay in evaluation mode.

        :param mode: True for training mode
        """
        self.actor.set_training_mode(mode)
        self.critic.set_training_mode(mode)
        self.training = mode

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> th.Tensor:
        return self.actor._predict(observation, deterministic)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), **self.net_args, "has_value_net": self.has_value_net}


class _GoalActions(nn.Module):
    """Actions for one goal per row, for the export."""

    def __init__(self, actor: GoalActorNetwork) -> None:
        super().__init__()
        self.actor = actor

    def forward(self, state: PyTorchObs, goal_ids: th.Tensor) -> th.Tensor:
        return self.actor.for_goals(state, goal_ids)
