"""Policies of Dual LEO."""

import inspect
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule

from leo_agents.baselines.policies import GoalInputPPOPolicy
from leo_agents.baselines.pqn import PQNPolicy
from leo_agents.leo_pqn import LEOPQNPolicy
from leo_agents.networks.goal_descriptors import GoalDescriptorExtractor
from leo_agents.networks.policies import Observation
from leo_wrappers.keys import DESIRED_GOAL_KEY, GOAL_KEY
from leo_wrappers.validation import check_choice, check_fraction

Combine = Literal["mix", "max", "min", "teacher", "student"]


class DualLEOPQNPolicy(PQNPolicy):
    """
    Policy of DualLEOPQN, greedy with respect to the combined Q-values of student and teacher.

    The parameters are those of :class:`~leo_agents.baselines.pqn.policies.PQNPolicy`, which are the student's, and:

    :param teacher_kwargs: arguments of the teacher's :class:`~leo_agents.leo_pqn.policies.LEOPQNPolicy`
    :param combine: ``"mix"`` for ``(1 - c) Q_student + c Q_teacher``, ``"max"`` or ``"min"`` of both, ``"teacher"`` or
        ``"student"`` for one of them
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
        check_choice("combine", combine, get_args(Combine))
        check_fraction("teacher_weight", teacher_weight)
        super().__init__(observation_space, action_space, lr_schedule, goal_names, **student_kwargs)
        self.teacher_kwargs, self.combine = dict(teacher_kwargs or {}), combine
        self.register_buffer("teacher_weight", th.tensor(float(teacher_weight)))
        # The teacher does not affect the student's random numbers.
        with th.random.fork_rng(devices=[]):
            self.teacher = LEOPQNPolicy(observation_space, action_space, lr_schedule, goal_names, **self.teacher_kwargs)

    def combined_outputs(self, student_outputs: th.Tensor, teacher_outputs: th.Tensor) -> th.Tensor:
        """
        Combine the outputs of both heads for choosing actions.

        :param student_outputs: ``[B, A]``
        :param teacher_outputs: ``[B, A]``, for the same goals
        :return: ``[B, A]``: combined values or, if one of both has all the weight, its outputs, whose argmax is exact even
            where values are saturated
        """
        weight = float(self.teacher_weight) if self.combine == "mix" else {"teacher": 1.0, "student": 0.0}.get(self.combine)
        if weight in (0.0, 1.0):
            return teacher_outputs if weight else student_outputs
        student_values = self.q_net.values(student_outputs).float()
        return self._combine(student_values, self.teacher.q_net.values(teacher_outputs).float())

    def q_values(self, observation: Observation) -> npt.NDArray[np.float32]:
        """
        Compute the combined Q-values of all goals and actions.

        :param observation: an observation, or a batch of them; a commanded goal in it is ignored
        :return: ``[B, G, A]``
        """
        student, teacher = super().q_values(observation), self.teacher.q_values(observation)
        return self._combine(th.as_tensor(student), th.as_tensor(teacher)).numpy()

    def _combine(self, student: th.Tensor, teacher: th.Tensor) -> th.Tensor:
        if self.combine == "mix":
            return th.lerp(student, teacher, self.teacher_weight.to(student))
        functions = {"max": th.maximum, "min": th.minimum}
        if self.combine in functions:
            return functions[self.combine](student, teacher)
        return teacher if self.combine == "teacher" else student

    def _predict(self, obs: PyTorchObs, deterministic: bool = True) -> th.Tensor:
        assert isinstance(obs, dict)
        goal_ids = obs[GOAL_KEY]
        student_outputs = self.q_net.goal_outputs(obs, goal_ids)
        return self.combined_outputs(student_outputs, self.teacher.q_net.goal_outputs(obs, goal_ids)).argmax(dim=1)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        own = {"teacher_kwargs": self.teacher_kwargs, "combine": self.combine}
        return {**super()._get_constructor_parameters(), **own}


class DualLEOPPOPolicy(GoalInputPPOPolicy):
    """
    Policy of DualLEOPPO: Stable-Baselines3's actor-critic with the goal's descriptor as input.

    The parameters are those of :class:`~leo_agents.baselines.policies.GoalInputPPOPolicy`, and:

    :param descriptors: a vector per goal ``[G, d]``; one-hot vectors if None
    """

    action_spaces: ClassVar = (spaces.Discrete,)

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Discrete,
        lr_schedule: Schedule,
        goal_names: Sequence[str],
        descriptors: npt.ArrayLike | None = None,
        features_extractor_class: type[BaseFeaturesExtractor] = GoalDescriptorExtractor,
        **kwargs: Any,
    ) -> None:
        self.descriptors = descriptors
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            goal_names,
            features_extractor_class=features_extractor_class,
            **kwargs,
        )

    def make_features_extractor(self) -> BaseFeaturesExtractor:
        """
        Create the features extractor of the state and the goal, behind the normalizer. One that does not take descriptors
        reads the goal as one-hot.
        """
        parts = self.observation_space.spaces.items()  # type: ignore[attr-defined]
        inputs = spaces.Dict({key: space for key, space in parts if key != DESIRED_GOAL_KEY})
        extractor_class, kwargs = self.features_extractor_class, self.features_extractor_kwargs
        parameters = inspect.signature(extractor_class).parameters
        if "descriptors" in parameters or any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            kwargs = {"descriptors": self.descriptors, **kwargs}
        elif self.descriptors is not None:
            raise TypeError(
                f"expected a features_extractor_class whose constructor takes descriptors, got {extractor_class.__name__}"
                f'({", ".join(parameters)}); add the argument, or pass goal_input="one_hot" to read {GOAL_KEY!r} from the '
                "observation"
            )
        return self.add_normalizer(extractor_class(inputs, **kwargs), inputs)

    def evaluate_all_actions(
        self, obs: PyTorchObs, actions: th.Tensor
    ) -> tuple[th.Tensor, th.Tensor, th.Tensor | None, th.Tensor]:
        """
        Evaluate the taken actions as ``evaluate_actions``, and return the log probabilities of all actions.

        :param obs: observations
        :param actions: the taken actions ``[B]``
        :return: values, log probabilities and entropies of the taken actions, log probabilities of all actions ``[B, A]``
        """
        values, log_prob, entropy = self.evaluate_actions(obs, actions)
        # The logits of a Categorical distribution are normalized.
        return values, log_prob, entropy, self.action_dist.distribution.logits  # type: ignore[union-attr]

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "descriptors": self.descriptors}
