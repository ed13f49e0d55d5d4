"""DualLEOPQN: PQN that acts together with LEO."""

from typing import Any, ClassVar

import numpy.typing as npt
import torch as th
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, Schedule

from leo_agents.dual_leo.jump_start import JumpStart
from leo_agents.dual_leo.policies import Combine, DualPolicy
from leo_agents.dual_leo.teacher import FinishedTeacher, TaughtAlgorithm, share_schedule
from leo_agents.leo_pqn import PQN
from leo_agents.networks.goal_descriptors import GoalInput
from leo_agents.replay.goal_rollout_buffer import GoalRolloutBuffer

STUDENTS_OPTIONS = ("learning_rate", "n_epochs", "max_grad_norm", "loss", "amp", "paper_mode")


class DualLEOPQN(TaughtAlgorithm, PQN):
    """
    Dual LEO with Q-learning (https://arxiv.org/abs/2605.23551): a LEO teacher and a goal-conditioned student learn from the
    same rollouts and choose their actions together, by ``(1 - c) student + c teacher`` of their values.

    Each learns by itself: the teacher as :class:`~leo_agents.leo_pqn.LEOPQN` about all goals, the student, which reads the
    goal's descriptor, as :class:`~leo_agents.leo_pqn.PQN` about the commanded one (with ``her_ratio`` about others by
    hindsight). The teacher is the quicker one, and a student that never acts does not learn where it is wrong: c decides
    whose mistakes are made and mended.

    ``policy`` acts by both, alone and loaded too; ``teacher`` is the teacher as a :class:`~leo_agents.leo_pqn.LEOPQN`.

    :param policy: ``"DualPolicy"``, a class like it, or one of Stable-Baselines3's names, which mean the same here
    :param env: a vector of many multi-goal environments
    :param teacher: a finished agent to begin with; when None the teacher begins as ignorant as the student
    :param teacher_weight: c, a number or a schedule (a function of the progress remaining), within [0, 1]
    :param combine: ``"mix"``, the ``"max"`` or ``"min"`` of both values, or ``"teacher"`` or ``"student"`` alone
    :param teacher_update_fraction: share of the goals that the teacher learns about from each rollout, drawn anew for each;
        0 keeps a finished teacher as it is
    :param teacher_kwargs: the teacher's own arguments, as of :class:`~leo_agents.leo_pqn.LEOPQN`, ``policy_kwargs`` among
        them; otherwise learning rate, epochs, loss and so on are the student's
    :param roll_in: lets the teacher alone begin each pursuit, see :class:`~leo_agents.dual_leo.JumpStart`
    :param goal_input: give the student the goal's ``"descriptor"``, or its number ``"one_hot"``
    :param descriptors: a vector per goal ``[num_goals, d]``; taken from the environment's goal set when None
    :param n_steps: number of steps of each environment in a rollout
    :param batch_size: number of transitions in a gradient step; its largest divisor of a rollout's transitions is taken
    :param seed: seeds everything random; the teacher's randomness is apart from the student's
    :param student_kwargs: further arguments of :class:`~leo_agents.leo_pqn.PQN`; ``policy_kwargs`` are the student's network's

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from leo_agents import DualLEOPQN
        >>> envs = gym.make_vec("leo/GridWorld-v0", num_envs=64, autoreset_mode="SameStep")
        >>> model = DualLEOPQN("DualPolicy", envs, seed=0).learn(4_096)
        >>> obs, info = gym.make("leo/GridWorld-v0").reset(seed=0)
        >>> model.act(obs, goal="cell/0,0") in range(4)
        True
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "DualPolicy": DualPolicy,
        "MlpPolicy": DualPolicy,
        "CnnPolicy": DualPolicy,
        "MultiInputPolicy": DualPolicy,
    }
    policy: DualPolicy  # type: ignore[assignment]

    def __init__(
        self,
        policy: str | type[DualPolicy],
        env: GymEnv | str,
        teacher: FinishedTeacher | None = None,
        teacher_weight: float | Schedule = 0.3,
        combine: Combine = "mix",
        teacher_update_fraction: float = 1.0,
        teacher_kwargs: dict[str, Any] | None = None,
        roll_in: JumpStart | None = None,
        goal_input: GoalInput = "descriptor",
        descriptors: npt.ArrayLike | None = None,
        n_steps: int = 32,
        batch_size: int = 512,
        policy_kwargs: dict[str, Any] | None = None,
        seed: int | None = None,
        **student_kwargs: Any,
    ) -> None:
        self.teacher_weight = share_schedule("teacher_weight", teacher_weight)
        super().__init__(
            policy,
            env,
            teacher=teacher,
            teacher_update_fraction=teacher_update_fraction,
            teacher_kwargs=teacher_kwargs,
            roll_in=roll_in,
            goal_input=goal_input,
            descriptors=descriptors,
            n_steps=n_steps,
            batch_size=batch_size,
            policy_kwargs={"combine": combine, **(policy_kwargs or {})},
            seed=seed,
            **student_kwargs,
        )

    def train(self) -> None:
        """Learns what the rollout teaches, first the teacher, then the student."""
        self._teach()
        super().train()

    def _begin_rollout(self) -> None:
        super()._begin_rollout()
        self.teacher._begin_rollout()
        self.policy.teacher_weight.fill_(self.teacher_weight(self._current_progress_remaining))

    def _scores(self, rollout: GoalRolloutBuffer) -> th.Tensor:
        student, teacher = super()._scores(rollout), self.teacher._scores(rollout)
        scores = self.policy.scores(student, teacher)
        begins = self._teacher_acts()
        if begins is not None:
            scores = th.where(th.as_tensor(begins, device=self.device).unsqueeze(1), teacher, scores)
        return scores

    def _teacher_defaults(self) -> dict[str, Any]:
        return {**super()._teacher_defaults(), **{name: getattr(self, name) for name in STUDENTS_OPTIONS}}

    def _bind_goals(self) -> None:
        super()._bind_goals()
        networks = {name: value for name, value in self.teacher.policy_kwargs.items() if name != "goal_names"}
        self.policy_kwargs["teacher_kwargs"] = networks

    def _setup_model(self) -> None:
        super()._setup_model()
        self.teacher.policy, self.teacher.rollout_buffer = self.policy.teacher, self.rollout_buffer
        self._take_over_teacher()

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        names, tensors = super()._get_torch_save_params()
        return [*names, "policy.teacher.optimizer"], tensors
