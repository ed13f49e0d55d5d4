"""DualLEOPPO: PPO that imitates LEO a little."""

from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch as th
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv

from leo_agents.algorithms.goal_algorithm import check_discrete_actions
from leo_agents.baselines.goal_conditioned import goal_conditioned_venv
from leo_agents.dual_leo.jump_start import JumpStart
from leo_agents.dual_leo.policies import TaughtActorCriticPolicy
from leo_agents.dual_leo.rollout_buffer import AdvisedRolloutBuffer, WatchedEnv
from leo_agents.dual_leo.teacher import FinishedTeacher, TaughtAlgorithm, advise, check_share, share_schedule
from leo_agents.networks.goal_descriptors import GoalInput
from leo_wrappers.selection import GoalSelectorLike


class DualLEOPPO(TaughtAlgorithm, PPO):
    """
    Dual LEO with PPO (https://arxiv.org/abs/2605.23551): Stable-Baselines3's PPO learns to reach the commanded goal, by its
    own loss plus a little cross-entropy to the best action that a LEO teacher knows for that goal. The teacher learns all
    goals from the same rollouts.

    The student acts alone and its loss is about its own actions; whatever ``roll_in`` lets the teacher do is left out of it.
    Reaching the commanded goal ends its episode for PPO, while the environment itself runs on.

    ``policy`` is the student; ``teacher`` is the teacher as a :class:`~leo_agents.leo_pqn.LEOPQN`.

    :param policy: ``"TaughtActorCriticPolicy"``, a class like it, or one of Stable-Baselines3's names, which mean the same
        here
    :param env: a vector of many multi-goal environments; where they are goal-conditioned, with ``on_success="terminate"``
    :param teacher: a finished agent to begin with; when None the teacher begins as ignorant as the student
    :param teacher_coef: weight of the cross-entropy, a number or a schedule, within [0, 1]; when None it falls linearly from
        0.1 to 0
    :param teacher_temperature: 0 to imitate the best action; else the softmax of the teacher's values divided by this (one
        step further costs about ``1 - gamma`` of a value)
    :param teacher_value_coef: weight of the squared difference between PPO's values and the teacher's, within [0, 1]
    :param teacher_update_fraction: share of the goals that the teacher learns about from each rollout, drawn anew for each;
        0 keeps a finished teacher as it is
    :param teacher_kwargs: the teacher's own arguments, as of :class:`~leo_agents.leo_pqn.LEOPQN`, ``policy_kwargs`` among them
    :param roll_in: lets the teacher begin each pursuit, see :class:`~leo_agents.dual_leo.JumpStart`
    :param goal_input: give the student the goal's ``"descriptor"``, or its number ``"one_hot"``
    :param descriptors: a vector per goal ``[num_goals, d]``; taken from the environment's goal set when None
    :param goal_selector: how goals are commanded in training: a strategy's name, a goal, a function or a
        :class:`~leo_wrappers.GoalSelector`; None leaves it to the environment (``"seen"`` for a bare one)
    :param log_goals: log a success rate for every goal, not only aggregates
    :param learning_rate: of the student, a number or a schedule; the default is the rate that LEOPQN begins with
    :param n_steps: number of steps of each environment in a rollout
    :param batch_size: number of transitions in a gradient step; its largest divisor of a rollout's transitions is taken
    :param n_epochs: how often the student learns from each transition
    :param ent_coef: weight of the entropy in PPO's loss
    :param seed: seeds everything random; the teacher's randomness is apart from the student's
    :param ppo_kwargs: further arguments of ``stable_baselines3.PPO``; ``policy_kwargs`` are the student's

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from leo_agents import DualLEOPPO
        >>> envs = gym.make_vec("leo/GridWorld-v0", num_envs=64, autoreset_mode="SameStep")
        >>> model = DualLEOPPO("TaughtActorCriticPolicy", envs, seed=0).learn(4_096)
        >>> obs, info = gym.make("leo/GridWorld-v0").reset(seed=0)
        >>> model.act(obs, goal="cell/0,0") in range(4)
        True
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "TaughtActorCriticPolicy": TaughtActorCriticPolicy,
        "MlpPolicy": TaughtActorCriticPolicy,
        "CnnPolicy": TaughtActorCriticPolicy,
        "MultiInputPolicy": TaughtActorCriticPolicy,
    }
    policy: TaughtActorCriticPolicy  # type: ignore[assignment]
    rollout_buffer: AdvisedRolloutBuffer

    def __init__(
        self,
        policy: str | type[TaughtActorCriticPolicy],
        env: GymEnv | str,
        teacher: FinishedTeacher | None = None,
        teacher_coef: float | Schedule | None = None,
        teacher_temperature: float = 0.0,
        teacher_value_coef: float = 0.0,
        teacher_update_fraction: float = 1.0,
        teacher_kwargs: dict[str, Any] | None = None,
        roll_in: JumpStart | None = None,
        goal_input: GoalInput = "descriptor",
        descriptors: npt.ArrayLike | None = None,
        goal_selector: GoalSelectorLike | None = None,
        log_goals: bool = False,
        learning_rate: float | Schedule = 1e-3,
        n_steps: int = 32,
        batch_size: int = 512,
        n_epochs: int = 4,
        ent_coef: float = 0.01,
        policy_kwargs: dict[str, Any] | None = None,
        seed: int | None = None,
        **ppo_kwargs: Any,
    ) -> None:
        self.teacher_coef = share_schedule(
            "teacher_coef", LinearSchedule(0.1, 0.0, 1.0) if teacher_coef is None else teacher_coef
        )
        check_share("teacher_value_coef", teacher_value_coef)
        if teacher_temperature < 0.0:
            raise ValueError(f"expected teacher_temperature of at least 0, got {teacher_temperature}")
        self.teacher_temperature, self.teacher_value_coef = teacher_temperature, teacher_value_coef
        self.goal_selector, self.log_goals, self.goal_names = goal_selector, log_goals, ()
        super().__init__(
            policy,
            env,
            teacher=teacher,
            teacher_update_fraction=teacher_update_fraction,
            teacher_kwargs=teacher_kwargs,
            roll_in=roll_in,
            goal_input=goal_input,
            descriptors=descriptors,
            learning_rate=learning_rate,
            n_steps=n_steps,
            batch_size=batch_size,
            n_epochs=n_epochs,
            ent_coef=ent_coef,
            policy_kwargs=policy_kwargs,
            seed=seed,
            **ppo_kwargs,
        )

    @staticmethod
    def _wrap_env(env: GymEnv, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
        return check_discrete_actions(goal_conditioned_venv(env))

    def learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 1,
        tb_log_name: str = "DualLEOPPO",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """
        Learns; see Stable-Baselines3.

        :param total_timesteps: number of steps of the environments
        :param callback: called at every step of all environments
        :param log_interval: number of rollouts between logs
        :param tb_log_name: name of the run for TensorBoard
        :param reset_num_timesteps: count the steps from 0
        :param progress_bar: show one
        :return: self
        """
        if self.env is None:
            raise ValueError("expected an environment to learn in, got none; give it one with set_env or load(..., env=...)")
        return super().learn(total_timesteps, callback, log_interval, tb_log_name, reset_num_timesteps, progress_bar)

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """
        Acts in all environments, as Stable-Baselines3 does.

        :param env: the environments
        :param callback: called at every step, and before and after all of them
        :param rollout_buffer: keeps what happens
        :param n_rollout_steps: number of steps
        :return: whether to go on learning
        """
        assert isinstance(self._last_obs, dict)
        rollout = self.teacher.rollout_buffer
        self.teacher.policy.set_training_mode(False)
        self.teacher._begin_rollout()
        rollout.begin(self._last_obs)
        watched: Any = WatchedEnv(env, self._let_teacher_act, rollout.add)
        return super().collect_rollouts(watched, callback, rollout_buffer, n_rollout_steps)

    def _let_teacher_act(self, actions: npt.NDArray[Any]) -> None:
        """Replaces, before a step, the student's actions where the teacher is to act."""
        rollout = self.teacher.rollout_buffer
        begins = self._teacher_acts()
        if begins is None and self.teacher_update_fraction == 0.0:
            return
        with th.no_grad(), self.teacher._autocast():
            best = self.teacher._scores(rollout).argmax(dim=1).cpu().numpy()
        if begins is not None:
            # In place: buffers and callbacks see what was done.
            actions[begins] = best[begins]
            self.rollout_buffer.by_student[rollout.step] = ~begins

    def train(self) -> None:
        """Learns what the rollout teaches, first the teacher, then the student."""
        self._teach()
        if not self.rollout_buffer.by_student.any():
            return
        policy = self.policy
        policy.teacher_coef = self.teacher_coef(self._current_progress_remaining)
        policy.teacher_value_coef = self.teacher_value_coef
        policy.losses.clear()
        if policy.teacher_coef > 0.0 or policy.teacher_value_coef > 0.0:
            rollout = self.teacher.rollout_buffer
            advice = advise(self.teacher, rollout, self._imitated)
            self.rollout_buffer.set_advice(advice[:, :-1], advice[:, -1])
        super().train()
        self.logger.record("train/teacher_coef", policy.teacher_coef)
        if policy.losses:
            self.logger.record("train/teacher_cross_entropy", float(th.stack(policy.losses).mean()))

    def _imitated(self, values: th.Tensor) -> th.Tensor:
        """How likely the student should take each action, and what the state is worth ``[B, A + 1]``."""
        best = values.amax(dim=1, keepdim=True)
        if self.teacher_temperature > 0.0:
            actions = (values / self.teacher_temperature).softmax(dim=1)
        else:
            # Actions that are equally good, as all of them are before anything was learned, share the blame.
            actions = (values == best).float()
            actions = actions / actions.sum(dim=1, keepdim=True)
        return th.cat([actions, best], dim=1)

    def dump_logs(self, iteration: int = 0) -> None:
        """
        Writes the log.

        :param iteration: number of rollouts so far
        """
        self._log_goals()
        super().dump_logs(iteration)

    def _update_info_buffer(self, infos: Any, dones: npt.NDArray[Any] | None = None) -> None:
        # Only where episodes ended is there something to note.
        ended = np.flatnonzero(dones) if dones is not None else np.arange(len(infos))
        super()._update_info_buffer([infos[row] for row in ended.tolist()], None if dones is None else dones[ended])

    def _setup_model(self) -> None:
        self._bind_goals()
        self.rollout_buffer_class = AdvisedRolloutBuffer
        super()._setup_model()
        with self._teachers_randomness():
            self.teacher._setup_model()
        self._take_over_teacher()

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        names, tensors = super()._get_torch_save_params()
        return [*names, "teacher.policy", "teacher.policy.optimizer"], tensors
