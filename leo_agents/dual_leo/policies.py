"""The policies of Dual LEO: a student that acts together with its teacher, and one that learns from it."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import MultiInputActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch.nn import functional as F

from leo_agents.leo_pqn.policies import GoalInputPolicy, MultiGoalPolicy
from leo_agents.networks.goal_descriptors import GoalDescriptorExtractor
from leo_agents.networks.policies import GoalActing, Observation
from leo_agents.networks.q_network import state_space
from leo_wrappers.keys import GOAL_KEY

Combine = Literal["mix", "max", "min", "teacher", "student"]

# Under these keys a minibatch of observations holds what the teacher says about them.
ADVICE_KEY, WORTH_KEY = "teacher_actions", "teacher_value"


class DualPolicy(GoalInputPolicy):
    """
    Acts greedily by the values of a student that reads the goal and of a teacher that knows all goals, together.

    The arguments are those of :class:`~leo_agents.leo_pqn.policies.GoalInputPolicy`, which are the student's, and:

    :param teacher_kwargs: arguments of :class:`~leo_agents.leo_pqn.policies.MultiGoalPolicy`, the teacher's
    :param combine: ``"mix"`` for ``(1 - c) student + c teacher``, the ``"max"`` or ``"min"`` of both, or ``"teacher"`` or
        ``"student"`` alone
    :param teacher_weight: c
    """

    teacher_weight: th.Tensor

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Discrete,
        lr_schedule: Schedule,
        goal_names: Sequence[str],
        teacher_kwargs: dict[str, Any] | None = None,
        combine: Combine = "mix",
        teacher_weight: float = 0.3,
        **student_kwargs: Any,
    ) -> None:
        if combine not in get_args(Combine):
            raise ValueError(f"expected combine to be one of {get_args(Combine)}, got {combine!r}")
        super().__init__(observation_space, action_space, lr_schedule, goal_names, **student_kwargs)
        self.teacher_kwargs, self.combine = dict(teacher_kwargs or {}), combine
        self.register_buffer("teacher_weight", th.tensor(float(teacher_weight)))
        # The teacher must not change what is random about the student.
        with th.random.fork_rng(devices=[]):
            self.teacher = MultiGoalPolicy(observation_space, action_space, lr_schedule, goal_names, **self.teacher_kwargs)

    def scores(self, student_outputs: th.Tensor, teacher_outputs: th.Tensor) -> th.Tensor:
        """
        How good actions look, to be compared with each other only.

        :param student_outputs: of its head
        :param teacher_outputs: of its head for the same goals and actions
        :return: of the same shape; where one alone decides these are its outputs, which differ where values have saturated
        """
        share = float(self.teacher_weight) if self.combine == "mix" else {"teacher": 1.0, "student": 0.0}.get(self.combine)
        if share in (0.0, 1.0):
            return teacher_outputs if share else student_outputs
        return self._combined(self.q_net.values(student_outputs).float(), self.teacher.q_net.values(teacher_outputs).float())

    def q_values(self, observation: Observation) -> np.ndarray:
        """
        The values of every goal and action by which it acts.

        :param observation: a batch of observations, or a single one
        :return: ``[B, G, A]``
        """
        student, teacher = super().q_values(observation), self.teacher.q_values(observation)
        return self._combined(th.as_tensor(student), th.as_tensor(teacher)).numpy()

    def _combined(self, student: th.Tensor, teacher: th.Tensor) -> th.Tensor:
        if self.combine == "mix":
            return th.lerp(student, teacher, self.teacher_weight.to(student))
        choices = {"max": th.maximum, "min": th.minimum}
        if self.combine in choices:
            return choices[self.combine](student, teacher)
        return teacher if self.combine == "teacher" else student

    def _predict(self, obs: PyTorchObs, deterministic: bool = True) -> th.Tensor:
        assert isinstance(obs, dict)
        goals = obs[GOAL_KEY]
        scores = self.scores(self.q_net.goal_outputs(obs, goals), self.teacher.q_net.goal_outputs(obs, goals))
        return scores.argmax(dim=1)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        own = {"teacher_kwargs": self.teacher_kwargs, "combine": self.combine}
        return {**super()._get_constructor_parameters(), **own}


class _AlsoLearn(th.autograd.Function):
    """Hands a tensor on unchanged; whoever differentiates through it differentiates a loss besides."""

    @staticmethod
    def forward(ctx: Any, tensor: th.Tensor, loss: th.Tensor) -> th.Tensor:
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, grad: th.Tensor) -> tuple[th.Tensor, th.Tensor]:  # type: ignore[override]
        return grad, grad.new_ones(())


class TaughtActorCriticPolicy(GoalActing, MultiInputActorCriticPolicy):
    """
    PPO's policy and values for the goal in the observation, which also imitates a teacher while it learns.

    The arguments are those of Stable-Baselines3's ``MultiInputActorCriticPolicy``, and:

    :param observation_space: a flat Dict with ``goal_id``
    :param action_space: the actions, discrete
    :param lr_schedule: the learning rate
    :param goal_names: the goals, in order; filled in by the algorithm
    :param descriptors: a vector per goal ``[G, d]``; their numbers one-hot when None
    :param features_extractor_class: reads the state and the goal
    :param features_extractor_kwargs: further arguments of the extractor
    """

    # How much an imitation weighs beside PPO's loss; set by the algorithm.
    teacher_coef = 0.0
    teacher_value_coef = 0.0

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Discrete,
        lr_schedule: Schedule,
        goal_names: Sequence[str],
        descriptors: npt.ArrayLike | None = None,
        features_extractor_class: type[BaseFeaturesExtractor] = GoalDescriptorExtractor,
        features_extractor_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.goal_names = tuple(goal_names)
        self.descriptors = descriptors
        self._state_space = state_space(observation_space)
        self.losses: list[th.Tensor] = []
        super().__init__(
            observation_space,  # type: ignore[arg-type]
            action_space,
            lr_schedule,
            features_extractor_class=features_extractor_class,
            features_extractor_kwargs=features_extractor_kwargs,
            **kwargs,
        )

    def make_features_extractor(self) -> BaseFeaturesExtractor:
        """
        :return: an extractor for the state and the goal's descriptor; nothing else of the command is shown
        """
        shown = {key: space for key, space in self.observation_space.spaces.items() if key != "desired_goal"}  # type: ignore[attr-defined]
        kwargs = {"descriptors": self.descriptors, **self.features_extractor_kwargs}
        return self.features_extractor_class(spaces.Dict(shown), **kwargs)

    def evaluate_actions(self, obs: PyTorchObs, actions: th.Tensor) -> tuple[th.Tensor, th.Tensor, th.Tensor | None]:
        """
        What PPO learns from. Where the observations come with the teacher's advice, a backward pass through the log
        probabilities also adds the gradient of imitating it.

        :param obs: observations
        :param actions: the actions taken in them
        :return: values, log probabilities and entropies
        """
        assert isinstance(obs, dict)
        shown = {key: value for key, value in obs.items() if key not in (ADVICE_KEY, WORTH_KEY)}
        values, log_prob, entropy = super().evaluate_actions(shown, actions)
        if ADVICE_KEY not in obs:
            return values, log_prob, entropy
        # The distribution that the parent has just made: its logits are normalised.
        log_probs = self.action_dist.distribution.logits  # type: ignore[union-attr]
        cross_entropy = -(obs[ADVICE_KEY] * log_probs).sum(dim=1).mean()
        self.losses.append(cross_entropy.detach())
        loss = self.teacher_coef * cross_entropy
        if self.teacher_value_coef > 0.0:
            loss = loss + self.teacher_value_coef * F.mse_loss(values.flatten(), obs[WORTH_KEY])
        return values, _AlsoLearn.apply(log_prob, loss), entropy  # type: ignore[no-untyped-call]

    def _get_constructor_parameters(self) -> dict[str, Any]:
        own = {"goal_names": self.goal_names, "descriptors": self.descriptors}
        return {**super()._get_constructor_parameters(), **own}
