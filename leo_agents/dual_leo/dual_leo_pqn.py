"""DualLEOPQN: PQN that acts by its own and LEO's Q-values."""

from typing import Any, ClassVar

import numpy.typing as npt
import torch as th
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, Schedule

from leo_agents.baselines.pqn import PQN
from leo_agents.dual_leo.dual_algorithm import DualGoalAlgorithm, fraction_schedule
from leo_agents.dual_leo.jump_start import JumpStart
from leo_agents.dual_leo.policies import Combine, DualLEOPQNPolicy
from leo_agents.dual_leo.pretrained_teacher import PretrainedTeacher
from leo_agents.learning.losses import LossName
from leo_agents.networks.goal_descriptors import GoalInput
from leo_agents.replay.goal_rollout_buffer import GoalRolloutBuffer
from leo_wrappers.selection import GoalSelectorLike

SHARED_OPTIONS = ("learning_rate", "n_epochs", "max_grad_norm", "loss", "amp", "cuda_graph", "paper_mode")


class DualLEOPQN(DualGoalAlgorithm, PQN):
    """
    Dual LEO with Q-learning: a LEO teacher of all goals and a goal-conditioned student train on the same rollouts and act by
    ``(1 - c) Q_student + c Q_teacher``.
    Paper: https://arxiv.org/abs/2605.23551

    The teacher is updated for all goals as in :class:`~leo_agents.leo_pqn.LEOPQN`. The student has the goal's descriptor as
    input and is updated for the commanded goal as in :class:`~leo_agents.baselines.pqn.PQN` (for hindsight goals too with
    ``her_ratio``). ``teacher_weight`` trades the teacher's faster learning against on-policy data for the student.

    :attr:`teacher` is a :class:`~leo_agents.learning.RolloutQLearner`; the saved policy contains both networks. Parameters not
    listed here are as in :class:`~leo_agents.baselines.pqn.PQN`.

    :param policy: policy class, or ``"MultiGoalPolicy"``, ``"MlpPolicy"``, ``"CnnPolicy"`` or ``"MultiInputPolicy"``, all of
        which mean :class:`~leo_agents.dual_leo.policies.DualLEOPQNPolicy`
    :param env: parallel multi-goal environments
    :param teacher: pretrained LEOPQN or LEODQN to start from
    :param teacher_weight: c in [0, 1], or a schedule (a function of the remaining progress)
    :param combine: ``"mix"``, ``"max"`` or ``"min"`` of both values, or ``"teacher"`` or ``"student"`` alone
    :param teacher_update_fraction: fraction of the goals for which the teacher is updated, drawn for each rollout; 0 freezes a
        pretrained teacher
    :param teacher_kwargs: arguments of the teacher, as of :class:`~leo_agents.leo_pqn.LEOPQN`: learning_rate, batch_size,
        n_epochs, q_lambda, max_grad_norm, loss, goal_reduction, amp, cuda_graph, head, paper_mode, policy_kwargs. Those
        that PQN has are the student's by default
    :param jump_start: lets the teacher take the first steps, see :class:`~leo_agents.dual_leo.JumpStart`
    :param goal_input: input of the student, the goal's ``"descriptor"`` or its index ``"one_hot"``
    :param descriptors: a vector per goal ``[G, d]``; those of the environment's goal set if None
    :param policy_kwargs: additional arguments of the student's network
    :param seed: seed of all random number generators; the teacher has its own

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from leo_agents import DualLEOPQN
        >>> envs = gym.make_vec("leo/GridWorld-v0", num_envs=64, autoreset_mode="SameStep")
        >>> model = DualLEOPQN("MultiGoalPolicy", envs, seed=0).learn(4_096)
        >>> obs, info = gym.make("leo/GridWorld-v0").reset(seed=0)
        >>> model.act(obs, goal="cell/0,0") in range(4)
        True
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MultiGoalPolicy": DualLEOPQNPolicy,
        "MlpPolicy": DualLEOPQNPolicy,
        "CnnPolicy": DualLEOPQNPolicy,
        "MultiInputPolicy": DualLEOPQNPolicy,
    }
    not_saved: ClassVar[tuple[str, ...]] = (*DualGoalAlgorithm.not_saved, *PQN.not_saved)
    policy: DualLEOPQNPolicy

    def __init__(
        self,
        policy: str | type[DualLEOPQNPolicy],
        env: GymEnv | str,
        teacher: PretrainedTeacher | None = None,
        teacher_weight: float | Schedule = 0.3,
        combine: Combine = "mix",
        teacher_update_fraction: float = 1.0,
        teacher_kwargs: dict[str, Any] | None = None,
        jump_start: JumpStart | None = None,
        goal_input: GoalInput = "descriptor",
        descriptors: npt.ArrayLike | None = None,
        learning_rate: float | Schedule | None = None,
        n_steps: int = 32,
        batch_size: int = 512,
        n_epochs: int | None = None,
        gamma: float = 0.99,
        q_lambda: float = 0.0,
        exploration_fraction: float = 0.2,
        exploration_initial_eps: float | None = None,
        exploration_final_eps: float | None = None,
        exploration_spread: float = 0.0,
        max_grad_norm: float = 1.0,
        loss: LossName | None = None,
        amp: bool = False,
        tf32: bool = True,
        cuda_graph: bool | None = None,
        her_ratio: float = 0.0,
        paper_mode: bool = False,
        goal_selector: GoalSelectorLike | None = None,
        log_goals: bool = False,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: th.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        super().__init__(
            policy,
            env,
            teacher=teacher,
            teacher_update_fraction=teacher_update_fraction,
            teacher_kwargs=teacher_kwargs,
            jump_start=jump_start,
            goal_input=goal_input,
            descriptors=descriptors,
            learning_rate=learning_rate,
            n_steps=n_steps,
            batch_size=batch_size,
            n_epochs=n_epochs,
            gamma=gamma,
            q_lambda=q_lambda,
            exploration_fraction=exploration_fraction,
            exploration_initial_eps=exploration_initial_eps,
            exploration_final_eps=exploration_final_eps,
            exploration_spread=exploration_spread,
            max_grad_norm=max_grad_norm,
            loss=loss,
            amp=amp,
            tf32=tf32,
            cuda_graph=cuda_graph,
            her_ratio=her_ratio,
            paper_mode=paper_mode,
            goal_selector=goal_selector,
            log_goals=log_goals,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs={"combine": combine, **(policy_kwargs or {})},
            verbose=verbose,
            seed=seed,
            device=device,
            _init_setup_model=_init_setup_model,
        )
        self.teacher_weight = fraction_schedule("teacher_weight", teacher_weight)
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        super()._setup_model()
        self._setup_teacher(self.policy.teacher)

    def _setup_goals(self) -> None:
        super()._setup_goals()
        self.policy_kwargs["teacher_kwargs"] = self._teacher_policy_kwargs()

    def _student_options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in SHARED_OPTIONS}

    def _start_rollout(self) -> None:
        super()._start_rollout()
        self.teacher.start_rollout()
        self.policy.teacher_weight.fill_(self.teacher_weight(self._current_progress_remaining))

    def _acting_outputs(self, rollout: GoalRolloutBuffer) -> th.Tensor:
        student_outputs, teacher_outputs = super()._acting_outputs(rollout), self.teacher.acting_outputs(rollout)
        outputs = self.policy.combined_outputs(student_outputs, teacher_outputs)
        teacher_acts = self._jump_start_steps()
        if teacher_acts is not None:
            outputs = th.where(th.as_tensor(teacher_acts, device=self.device).unsqueeze(1), teacher_outputs, outputs)
        return outputs

    def train(self) -> None:
        """Update the teacher for all goals, then the student for the commanded or hindsight goals."""
        self._train_teacher(self.rollout_buffer)
        super().train()

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        names, tensors = super()._get_torch_save_params()
        return [*names, "policy.teacher.optimizer"], tensors
