"""Base classes of the policies of LEODQN, LEOPQN and PQN."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import nn

from leo_agents.networks.goal_descriptors import Descriptors, check_descriptors, descriptor_error
from leo_agents.networks.policies import GoalPolicy, Observation
from leo_agents.networks.q_network import GoalQNetwork
from leo_agents.networks.quasimetric_head import QuasimetricHead
from leo_wrappers.goal_set import Goal, GoalSet
from leo_wrappers.keys import GOAL_KEY
from leo_wrappers.validation import check_choice, check_instance


class GoalQPolicy(GoalPolicy):
    """Base class of policies that are greedy with respect to the Q-values of the commanded goal."""

    action_spaces: ClassVar = (spaces.Discrete,)
    q_net: Any
    action_space: spaces.Discrete

    @abstractmethod
    def q_values(self, observation: Observation) -> npt.NDArray[np.float32]:
        """
        Compute Q_g(s, a) of all goals and actions.

        :param observation: an observation, or a batch of them; a commanded goal in it is ignored
        :return: ``[B, G, A]``
        """

    def values(self, observation: Observation, goals: npt.ArrayLike | None = None) -> npt.NDArray[np.float32]:
        """
        Compute V_g(s) = max_a Q_g(s, a) of all goals.

        :param observation: an observation, or a batch of them; a commanded goal in it is ignored
        :param goals: not supported by policies without descriptors in the head
        :return: ``[B, G]``
        """
        self._check_no_descriptors(goals)
        return self.q_values(observation).max(axis=2)

    def _predict(self, obs: PyTorchObs, deterministic: bool = True) -> th.Tensor:
        return self.q_net._predict(obs, deterministic=deterministic)  # type: ignore[no-any-return]


class AllGoalsQPolicy(GoalQPolicy):
    """
    Policy with Q_g(s, a) of all goals and actions, greedy with respect to the commanded goal.

    :param observation_space: a flat Dict space with ``goal_id``
    :param action_space: action space
    :param lr_schedule: learning rate schedule
    :param goal_names: names of the goals, in order; set by the algorithm
    :param net_arch: widths of the hidden layers, ``[256, 256]`` by default. The dense head has goals x actions weights per
        unit of the last layer: with many goals and actions, keep that layer at 256
    :param activation_fn: activation function
    :param layer_norm: whether to apply layer normalization before each activation
    :param head: ``"dense"`` or ``"factored"``, see :mod:`leo_agents.networks.heads`, or ``"quasimetric"``, see
        :class:`~leo_agents.networks.quasimetric_head.QuasimetricHead`
    :param head_kwargs: additional arguments of the head
    :param squash: whether values are the sigmoid of the head's outputs, in ``[0, 1]``
    :param features_extractor_class: features extractor of the state; chosen by the state space if None
    :param features_extractor_kwargs: additional arguments of the features extractor
    :param normalize_images: whether to divide images by 255
    :param normalize_observations: whether to standardize observations by running statistics, see
        :class:`~leo_agents.networks.normalization.ObservationNormalizer`
    :param optimizer_class: optimizer; Adam for LEODQN and RAdam for LEOPQN if None
    :param optimizer_kwargs: additional arguments of the optimizer; ``fused=True`` for Adam by default
    :param input_norm: whether to apply batch renormalization to the extracted features
    """

    q_net: GoalQNetwork

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
        normalize_observations: bool = True,
        optimizer_class: type[th.optim.Optimizer] | None = None,
        optimizer_kwargs: dict[str, Any] | None = None,
        input_norm: bool = False,
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
        self.net_args: dict[str, Any] = {
            "net_arch": [256, 256] if net_arch is None else list(net_arch),
            "activation_fn": activation_fn,
            "layer_norm": layer_norm,
            "head": head,
            "head_kwargs": head_kwargs,
            "squash": squash,
            "input_norm": input_norm,
        }
        self._build(lr_schedule)

    def _build(self, lr_schedule: Schedule) -> None:
        """Create the network and the optimizer."""
        self.q_net = self.make_q_net()
        self.optimizer = self.make_optimizer(self.q_net, lr_schedule(1))

    def make_q_net(self, action_space: spaces.Discrete | None = None) -> GoalQNetwork:
        """
        Create a Q-network.

        :param action_space: the policy's if None
        :return: the network
        """
        network = GoalQNetwork(
            self.observation_space,
            action_space or self.action_space,
            num_goals=len(self.goal_names),
            features_extractor=self.make_features_extractor(),
            normalize_images=self.normalize_images,
            **self.net_args,
        )
        return network.to(self.device)

    @property
    def descriptors(self) -> Descriptors | None:
        """Descriptors of the goals ``[G, d]``, from which the head computes their values; None if it has none."""
        table = self.q_net.head.descriptors
        return None if table is None else table.cpu().numpy()

    @property
    def takes_descriptors(self) -> bool:
        """Whether the head computes values from descriptors, also those of goals that it was not trained on."""
        return self.q_net.head.descriptors is not None

    def q_values(self, observation: Observation, goals: npt.ArrayLike | None = None) -> npt.NDArray[np.float32]:
        """
        Compute Q_g(s, a) of all goals and actions.

        :param observation: an observation, or a batch of them; a commanded goal in it is ignored
        :param goals: descriptors ``[K, d]`` of the goals to compute instead, if the policy takes them
        :return: ``[B, G, A]`` or ``[B, K, A]``
        """
        descriptors = None if goals is None else self._checked_descriptors(goals, ndim=2)
        return self.q_net.values(self._outputs(observation, descriptors)).cpu().numpy()

    def values(self, observation: Observation, goals: npt.ArrayLike | None = None) -> npt.NDArray[np.float32]:
        """
        Compute V_g(s) = max_a Q_g(s, a) of all goals.

        :param observation: an observation, or a batch of them; a commanded goal in it is ignored
        :param goals: descriptors ``[K, d]`` of the goals to compute instead, if the policy takes them
        :return: ``[B, G]`` or ``[B, K]``
        """
        return self.q_values(observation, goals).max(axis=2)

    def _best_actions(self, observation: Observation, goal: Goal | npt.ArrayLike) -> npt.NDArray[Any]:
        if not self.takes_descriptors or isinstance(goal, str) or np.ndim(goal) == 0:
            return super()._best_actions(observation, goal)
        outputs = self._outputs(observation, self._checked_descriptors(goal, ndim=1)[None])
        return outputs[:, 0].argmax(dim=1).cpu().numpy().reshape(self._split_state(observation)[1])

    def with_goal_set(self, goals: GoalSet) -> Self:
        """
        Return a copy of the policy for other goals, whose values it computes from their descriptors, to act for them by name
        and to evaluate them.

        :param goals: goals with descriptors of the same kind as those of the training
        :return: a policy with the names of these goals
        """
        check_instance("goals", goals, GoalSet, "pass e.g. env.get_wrapper_attr('goal_set')")
        descriptors = self._checked_descriptors(goals.descriptors, ndim=2)
        arguments = {**self._get_constructor_parameters(), "goal_names": goals.names}
        arguments["observation_space"] = spaces.Dict({**self.observation_space.spaces, GOAL_KEY: spaces.Discrete(len(goals))})
        arguments["head_kwargs"] = {**(self.net_args["head_kwargs"] or {}), "descriptors": descriptors}
        with th.random.fork_rng(devices=[]):  # evaluations do not change the training
            policy = type(self)(**arguments).to(self.device)
        # Those of the training stay with its goals.
        own = ("head.goal_states", "goal_embedding.descriptors", "goal_embedding.offsets")
        policy.load_state_dict({k: value for k, value in self.state_dict().items() if not k.endswith(own)}, strict=False)
        before, after = self.q_net.head.goal_embedding, policy.q_net.head.goal_embedding
        if before is not None and after is not None:
            with th.no_grad():
                after.offsets.copy_(before.offsets_of(after.descriptors))
        policy.set_training_mode(False)
        return policy

    def _outputs(self, observation: Observation, descriptors: Descriptors | None) -> th.Tensor:
        """Compute the head's outputs ``[B, G, A]`` for all goals, or ``[B, K, A]`` for descriptors ``[K, d]``."""
        goals = None if descriptors is None else th.as_tensor(descriptors, device=self.device)
        tensors, _ = self.obs_to_tensor(self.with_goal(observation, 0))
        self.set_training_mode(False)
        with th.no_grad():
            return self.q_net.head(self.q_net.features(tensors), goals)  # type: ignore[no-any-return]

    def _checked_descriptors(self, goals: Any, ndim: int) -> Descriptors:
        if self.descriptors is None:
            raise descriptor_error(goals, self.goal_names, None)
        known, space = self.descriptors, self.q_net.observation_space
        if isinstance(self.q_net.head, QuasimetricHead) and isinstance(space, spaces.Box):
            # Goals are observations, all of which the network has learned to encode, not only those of its own goals.
            bounds = np.stack([space.low, space.high])
            known = np.concatenate([known, np.where(np.isfinite(bounds), bounds, known[:1])])
        return check_descriptors(goals, ndim, known)

    def to_torchscript(self, goals: Literal["goal_id", "descriptor"] = "goal_id") -> th.jit.ScriptModule:
        """
        Export the Q-network as TorchScript, ``(states, goals) -> Q-values [B, A]``, for use without this library.

        :param goals: the second argument of the module: ``"goal_id"`` for ids ``[B]``, or ``"descriptor"`` for descriptors
            ``[B, d]``, if the policy takes them
        :return: a module; its states are a tensor, or a dict of tensors if the state has several entries
        """
        check_choice("goals", goals, ("goal_id", "descriptor"))
        if goals == "goal_id":
            return self._export(self.q_net, GoalQValues(self.q_net))
        if self.descriptors is None:
            raise ValueError('expected a policy that takes descriptors, got one without; use head="factored", or "goal_id"')
        return self._export(self.q_net, GoalQValues(self.q_net), th.as_tensor(self.descriptors[:1], device=self.device))

    def set_training_mode(self, mode: bool) -> None:
        """
        Set training or evaluation mode of the Q-network; a target network stays in evaluation mode.

        :param mode: True for training mode
        """
        self.q_net.set_training_mode(mode)
        self.training = mode

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), **self.net_args}


class GoalQValues(nn.Module):
    """Q-values of all actions for one goal per row, for the export."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, state: PyTorchObs, goals: th.Tensor) -> th.Tensor:
        return self.network.values(self.network.goal_outputs(state, goals))
