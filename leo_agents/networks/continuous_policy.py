"""What the policies for continuous actions share: an actor and a critic over all goals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, get_actor_critic_arch
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import nn

from leo_agents.networks.actor import GoalActorNetwork
from leo_agents.networks.critic import GoalCritic
from leo_agents.networks.policies import GoalPolicy, Observation, expected_steps
from leo_wrappers.keys import GOAL_KEY

NetArch = list[int] | dict[str, list[int]]


class _Acting(nn.Module):
    """The actions for the goals given: what an export is about."""

    def __init__(self, actor: GoalActorNetwork) -> None:
        super().__init__()
        self.actor = actor

    def forward(self, state: PyTorchObs, goal_ids: th.Tensor) -> th.Tensor:
        return self.actor.for_goals(state, goal_ids)


class ContinuousGoalPolicy(GoalPolicy):
    """
    Acts for the goal in the observation, ``goal_id``; knows the actions and values of all others too.

    :param observation_space: a flat Dict with ``goal_id``
    :param action_space: the actions
    :param lr_schedule: the learning rate
    :param goal_names: the goals, in order; filled in by the algorithm
    :param net_arch: widths of the hidden layers, of both networks or as ``{"pi": [...], "qf": [...]}``; the critic's last
        layer is the one in which the action joins. ``[256, 256]`` for the actor and ``[256, 256, 128]`` for the critic by
        default
    :param activation_fn: the nonlinearity (where the action joins it is always ReLU)
    :param layer_norm: whether to normalise before each nonlinearity
    :param head_kwargs: further arguments of the critic's heads, see
        :class:`~leo_agents.networks.action_critic_head.ActionCriticHead`
    :param squash: pass the values through a sigmoid, so that they stay in ``[0, 1]``
    :param n_critics: number of independent critics, the lowest of which counts
    :param features_extractor_class: reads the state (the observation without the command); chosen by its space when None.
        Actor and critic have one each
    :param features_extractor_kwargs: further arguments of the extractor
    :param normalize_images: divide images by 255
    :param optimizer_class: the optimiser
    :param optimizer_kwargs: its arguments besides the learning rate; a fused update for Adam by default
    """

    actor_class: type[GoalActorNetwork]
    # Which networks have a target beside them.
    has_actor_target = False
    actor: GoalActorNetwork
    actor_target: GoalActorNetwork
    critic: GoalCritic
    critic_target: GoalCritic
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
        squash: bool = True,
        n_critics: int = 2,
        features_extractor_class: type[BaseFeaturesExtractor] | None = None,
        features_extractor_kwargs: dict[str, Any] | None = None,
        normalize_images: bool = True,
        optimizer_class: type[th.optim.Optimizer] = th.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            observation_space,
            action_space,
            goal_names,
            features_extractor_class=features_extractor_class,
            features_extractor_kwargs=features_extractor_kwargs,
            normalize_images=normalize_images,
            optimizer_class=optimizer_class,
            optimizer_kwargs=optimizer_kwargs,
            squash_output=True,
        )
        self.net_args: dict[str, Any] = {
            "net_arch": {"pi": [256, 256], "qf": [256, 256, 128]} if net_arch is None else net_arch,
            "activation_fn": activation_fn,
            "layer_norm": layer_norm,
            "head_kwargs": head_kwargs,
            "squash": squash,
            "n_critics": n_critics,
        }
        self._build(lr_schedule)

    def make_actor(self) -> GoalActorNetwork:
        """
        :return: a new actor
        """
        actor_arch, _ = get_actor_critic_arch(self.net_args["net_arch"])
        network = self.actor_class(
            self.observation_space,
            self.action_space,
            num_goals=len(self.goal_names),
            features_extractor=self.make_features_extractor(),
            net_arch=actor_arch,
            activation_fn=self.net_args["activation_fn"],
            layer_norm=self.net_args["layer_norm"],
            normalize_images=self.normalize_images,
        )
        return network.to(self.device)

    def make_critic(self) -> GoalCritic:
        """
        :return: a new critic
        """
        _, critic_arch = get_actor_critic_arch(self.net_args["net_arch"])
        network = GoalCritic(
            self.observation_space,
            self.action_space,
            num_goals=len(self.goal_names),
            features_extractor=self.make_features_extractor(),
            normalize_images=self.normalize_images,
            **{**self.net_args, "net_arch": critic_arch},
        )
        return network.to(self.device)

    def forward(self, obs: PyTorchObs, deterministic: bool = True) -> th.Tensor:
        """
        :param obs: observations with ``goal_id``
        :param deterministic: do not draw from a distribution
        :return: the actions ``[B, act]``, between -1 and 1
        """
        return self._predict(obs, deterministic=deterministic)

    def values(self, observation: Observation) -> npt.NDArray[np.float32]:
        """
        The value of every goal, of the action that is best for it.

        :param observation: a batch of observations, or a single one
        :return: ``[B, G]``
        """
        tensors, _ = self.obs_to_tensor(self._commanded(observation, 0))
        self.set_training_mode(False)
        with th.no_grad():
            return self.critic.values(self.critic.lowest_diagonal(tensors, self.actor.best(tensors))).cpu().numpy()

    def expected_steps(self, observation: Observation, gamma: float) -> npt.NDArray[Any]:
        """
        The values as numbers of steps, ``1 + log(value) / log(gamma)``: exact where the world is deterministic.

        :param observation: a batch of observations, or a single one
        :param gamma: the discount that the values were learned with
        :return: ``[B, G]``, infinite where the value is 0
        """
        return expected_steps(self.values(observation), gamma)

    def to_torchscript(self) -> th.jit.ScriptModule:
        """
        The actor without this library: ``(states, goal_ids) -> actions [B, act]`` between -1 and 1, to be used through PyTorch
        alone.

        :return: a module to ``save``; its states are a tensor, or a dictionary of tensors where the state has several parts
        """
        return self._export(self.actor, _Acting(self.actor))

    def set_training_mode(self, mode: bool) -> None:
        """
        The target networks never train.

        :param mode: whether the others do
        """
        self.actor.set_training_mode(mode)
        self.critic.set_training_mode(mode)
        self.training = mode

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> th.Tensor:
        assert isinstance(observation, dict)
        return self.actor.for_goals(observation, observation[GOAL_KEY], deterministic)

    def _build(self, lr_schedule: Schedule) -> None:
        self.actor, self.critic, self.critic_target = self.make_actor(), self.make_critic(), self.make_critic()
        self.critic_target.load_state_dict(self.critic.state_dict())
        self.critic_target.set_training_mode(False)
        if self.has_actor_target:
            self.actor_target = self.make_actor()
            self.actor_target.load_state_dict(self.actor.state_dict())
            self.actor_target.set_training_mode(False)
        for network in (self.actor, self.critic):
            network.optimizer = self.optimizer_class(  # type: ignore[call-arg]
                network.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs
            )

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), **self.net_args}
