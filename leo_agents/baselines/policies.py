"""Policies of the baselines: those of Stable-Baselines3 with the commanded goal as input, and values of all goals."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from sb3_contrib.tqc.policies import MultiInputPolicy as TQCMultiInputPolicy
from stable_baselines3.common.policies import MultiInputActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from stable_baselines3.dqn.policies import MultiInputPolicy as DQNMultiInputPolicy
from stable_baselines3.dqn.policies import QNetwork
from stable_baselines3.sac.policies import MultiInputPolicy as SACMultiInputPolicy
from stable_baselines3.td3.policies import MultiInputPolicy as TD3MultiInputPolicy
from torch import nn

from leo_agents.networks.goal_descriptors import check_table
from leo_agents.networks.normalization import NormalizingPolicy
from leo_agents.networks.policies import GoalPolicyMixin, Observation
from leo_agents.networks.state_network import state_space
from leo_wrappers.keys import DESIRED_GOAL_KEY, GOAL_KEY
from leo_wrappers.validation import check_instance, float_array


class NormalizedInputMixin(NormalizingPolicy):
    """
    Mixin for a policy of Stable-Baselines3 with normalized inputs, to be listed before it among the base classes.

    :param args: arguments of the policy
    :param normalize_observations: whether to standardize observations and goals by running statistics, see
        :class:`~leo_agents.networks.normalization.ObservationNormalizer`
    :param kwargs: arguments of the policy
    """

    def __init__(self, *args: Any, normalize_observations: bool = True, **kwargs: Any) -> None:
        self.normalize_observations = normalize_observations
        super().__init__(*args, **kwargs)

    @classmethod
    def _check_arguments(cls, arguments: Mapping[str, Any]) -> None:
        super()._check_arguments(arguments)
        check_instance("observation_space", arguments.get("observation_space"), spaces.Dict, "use a goal environment")

    def make_features_extractor(self) -> BaseFeaturesExtractor:
        """Create a features extractor behind the normalizer that all networks share."""
        return self.add_normalizer(super().make_features_extractor(), self.observation_space)


class BoundedValuesMixin(NormalizingPolicy):
    """
    Mixin for an actor-critic policy of Stable-Baselines3 with bounded targets, to be listed before it among the base classes.

    :param args: arguments of the policy
    :param value_range: smallest and largest possible return, to which the outputs of the target critics are clipped, as in the
        HER paper; no clipping if None
    :param kwargs: arguments of the policy
    """

    action_spaces: ClassVar = (spaces.Box,)

    def __init__(self, *args: Any, value_range: tuple[float, float] | None = None, **kwargs: Any) -> None:
        if value_range is not None:
            low, high = float_array("value_range", value_range).tolist() if np.shape(value_range) == (2,) else (0.0, 0.0)
            if not low < high:
                raise ValueError(f"expected value_range to be two increasing numbers, got {value_range}; use e.g. (0, 1)")
        self.value_range = value_range
        super().__init__(*args, **kwargs)

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)  # type: ignore[misc]
        if self.value_range is not None:
            for network in self.critic_target.q_networks:  # type: ignore[union-attr]
                network.append(nn.Hardtanh(*self.value_range))  # type: ignore[operator]

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "value_range": self.value_range}


class SquashedValuesMixin(NormalizingPolicy):
    """
    Mixin for a policy of DQN with values in ``[0, 1]``, to be listed before it among the base classes.

    :param args: arguments of the policy
    :param squash: pass Q-values through a sigmoid. With reward 1 on success and the episode ending there, true Q-values lie in
        ``[0, 1]``; without bounds the maximum over actions can raise all of them above 1 until actions no longer differ. (The
        HER paper clips targets to the possible range instead.)
    :param kwargs: arguments of the policy
    """

    action_spaces: ClassVar = (spaces.Discrete,)

    def __init__(self, *args: Any, squash: bool = True, **kwargs: Any) -> None:
        self.squash = squash
        super().__init__(*args, **kwargs)

    def make_q_net(self) -> QNetwork:
        """Create a Q-network, with a sigmoid after the last layer if ``squash``."""
        network: QNetwork = super().make_q_net()  # type: ignore[misc]
        if self.squash:
            network.q_net.append(nn.Sigmoid())  # type: ignore[operator]
        return network

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "squash": self.squash}


class GoalInputPolicyMixin(NormalizedInputMixin, GoalPolicyMixin):
    """
    Mixin for a policy of Stable-Baselines3 that reads the commanded goal, to be listed before it among the base classes.

    :param observation_space: a flat Dict space with ``goal_id``
    :param action_space: action space
    :param lr_schedule: learning rate schedule
    :param goal_names: names of the goals, in order
    :param goal_points: a point per goal ``[G, d]``, if observations contain the commanded one as ``desired_goal``
    :param kwargs: arguments of the policy
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        goal_names: Sequence[str],
        goal_points: npt.ArrayLike | None = None,
        **kwargs: Any,
    ) -> None:
        self.goal_names = tuple(goal_names)
        # As lists: arguments of saved models are compared with ==.
        table = None if goal_points is None else check_table("goal_points", goal_points, len(self.goal_names))
        self.goal_points = None if table is None else table.tolist()
        self.state_space = state_space(observation_space)
        super().__init__(observation_space, action_space, lr_schedule, **kwargs)

    def with_goal(self, observation: Observation, goal_id: int) -> dict[str, npt.NDArray[Any]]:
        """
        Command a goal in an observation, or the same goal in every row of a batch.

        :param observation: an observation, or a batch of them; a commanded goal in it is replaced
        :param goal_id: index of the goal
        :return: the observation with ``goal_id`` and, if the policy has ``goal_points``, ``desired_goal``
        """
        result = super().with_goal(observation, goal_id)
        if self.goal_points is not None:
            point = np.asarray(self.goal_points[goal_id])
            result[DESIRED_GOAL_KEY] = np.broadcast_to(point, (*result[GOAL_KEY].shape, *point.shape)).copy()
        return result

    def values(self, observation: Observation, goals: npt.ArrayLike | None = None) -> npt.NDArray[np.float32]:
        """
        Compute V_g(s) of all goals, with one forward pass per goal.

        :param observation: an observation, or a batch of them; a commanded goal in it is ignored
        :param goals: not supported
        :return: ``[B, G]``
        """
        self._check_no_descriptors(goals)
        self.set_training_mode(False)
        columns = []
        with th.no_grad():
            for goal in range(len(self.goal_names)):
                tensors, _ = self.obs_to_tensor(self.with_goal(observation, goal))
                columns.append(self.commanded_values(tensors))
        return th.cat(columns, dim=1).cpu().numpy()

    @abstractmethod
    def commanded_values(self, obs: PyTorchObs) -> th.Tensor:
        """
        Compute the values of the commanded goals.

        :param obs: observations with ``goal_id``
        :return: ``[B, 1]``
        """

    def _get_constructor_parameters(self) -> dict[str, Any]:
        own = {"goal_names": self.goal_names, "goal_points": self.goal_points}
        return {**super()._get_constructor_parameters(), **own}


class GoalInputDQNPolicy(SquashedValuesMixin, GoalInputPolicyMixin, DQNMultiInputPolicy):
    """Policy of goal-conditioned DQN; the arguments are those of the base classes."""

    def commanded_values(self, obs: PyTorchObs) -> th.Tensor:
        return self.q_net(obs).amax(dim=1, keepdim=True)  # type: ignore[no-any-return]


class BoundedDQNPolicy(SquashedValuesMixin, NormalizedInputMixin, DQNMultiInputPolicy):
    """DQN's policy with values in ``[0, 1]`` and normalized inputs; the arguments are those of the base classes."""


class GoalInputPPOPolicy(GoalInputPolicyMixin, MultiInputActorCriticPolicy):
    """Policy of goal-conditioned PPO; the arguments are those of the base classes."""

    def commanded_values(self, obs: PyTorchObs) -> th.Tensor:
        return self.predict_values(obs)


class _OffPolicyActorCriticMixin(BoundedValuesMixin, GoalInputPolicyMixin):
    def commanded_values(self, obs: PyTorchObs) -> th.Tensor:
        estimates = self.critic(obs, self._predict(obs, deterministic=True))  # type: ignore[operator]
        if isinstance(estimates, tuple):
            return th.cat(estimates, dim=1).amin(dim=1, keepdim=True)
        return estimates.mean(dim=(1, 2)).unsqueeze(1)  # quantiles of TQC's critics


class GoalInputTD3Policy(_OffPolicyActorCriticMixin, TD3MultiInputPolicy):
    """Policy of goal-conditioned TD3; the arguments are those of the base classes."""


class GoalInputSACPolicy(_OffPolicyActorCriticMixin, SACMultiInputPolicy):
    """Policy of goal-conditioned SAC; the arguments are those of the base classes."""


class GoalInputTQCPolicy(_OffPolicyActorCriticMixin, TQCMultiInputPolicy):
    """Policy of goal-conditioned TQC; the arguments are those of the base classes."""


class GoalEnvTD3Policy(BoundedValuesMixin, NormalizedInputMixin, TD3MultiInputPolicy):
    """Policy of TD3 for goal environments; the arguments are those of the base classes."""


class GoalEnvSACPolicy(BoundedValuesMixin, NormalizedInputMixin, SACMultiInputPolicy):
    """Policy of SAC for goal environments; the arguments are those of the base classes."""


class GoalEnvTQCPolicy(BoundedValuesMixin, NormalizedInputMixin, TQCMultiInputPolicy):
    """Policy of TQC for goal environments; the arguments are those of the base classes."""
