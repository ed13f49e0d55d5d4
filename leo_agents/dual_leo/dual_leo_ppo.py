"""DualLEOPPO: PPO that imitates a LEO teacher."""

from collections import defaultdict
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch as th
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from stable_baselines3.common.utils import LinearSchedule, explained_variance, obs_as_tensor
from stable_baselines3.common.vec_env import VecEnv
from torch.nn import functional as F

from leo_agents.algorithms.env_wrapping import check_discrete_actions
from leo_agents.baselines.goal_conditioned import goal_conditioned_venv
from leo_agents.dual_leo.dual_algorithm import DualGoalAlgorithm, fraction_schedule, teacher_q_values
from leo_agents.dual_leo.jump_start import JumpStart
from leo_agents.dual_leo.policies import DualLEOPPOPolicy
from leo_agents.dual_leo.pretrained_teacher import PretrainedTeacher
from leo_agents.dual_leo.rollout_buffer import DualRolloutBuffer, DualRolloutBufferSamples
from leo_agents.learning.optimization import optimizer_step
from leo_agents.leo_pqn import LEOPQNPolicy
from leo_agents.networks.goal_descriptors import GoalInput
from leo_agents.replay.goal_rollout_buffer import GoalRolloutBuffer
from leo_wrappers.sb3 import step_arrays
from leo_wrappers.selection import GoalSelectorLike
from leo_wrappers.validation import check_at_least, check_fraction, check_integer, check_positive


class DualLEOPPO(DualGoalAlgorithm, PPO):
    """
    Dual LEO with PPO: a goal-conditioned PPO student with an additional cross-entropy to the best action of a LEO teacher.
    Paper: https://arxiv.org/abs/2605.23551

    The loss of the student is

        L_PPO - beta * sum_a p_teacher(a | s, g) log pi(a | s, g) + beta_V (V(s, g) - max_a Q_teacher,g(s, a))^2

    for the commanded goal g, with beta = ``teacher_coef``, annealed to 0, and beta_V = ``teacher_value_coef``. The teacher is
    updated for all goals from the same rollouts, as in :class:`~leo_agents.leo_pqn.LEOPQN`. Only the student acts, unless a
    ``jump_start`` lets the teacher take the first steps, which PPO's loss leaves out. Achieving the commanded goal ends the
    student's episode while the environment continues.

    :attr:`teacher` is a :class:`~leo_agents.learning.RolloutQLearner`. Parameters not listed here are as in
    :class:`~leo_agents.leo_pqn.LEOPQN`.

    :param policy: policy class, or ``"MultiGoalPolicy"``, ``"MlpPolicy"``, ``"CnnPolicy"`` or ``"MultiInputPolicy"``, all of
        which mean :class:`~leo_agents.dual_leo.policies.DualLEOPPOPolicy`
    :param env: parallel multi-goal environments; if goal-conditioned, with ``on_success="terminate"``
    :param teacher: pretrained LEOPQN or LEODQN to start from
    :param teacher_coef: coefficient of the cross-entropy in [0, 1], or a schedule; annealed linearly from 0.1 to 0 if None
    :param teacher_temperature: 0 to imitate the greedy action, else temperature of the softmax of the teacher's Q-values (one
        additional step costs about ``1 - gamma`` of the value)
    :param teacher_value_coef: coefficient of the squared difference between both values, in [0, 1]
    :param teacher_update_fraction: fraction of the goals for which the teacher is updated, drawn for each rollout; 0 freezes a
        pretrained teacher
    :param teacher_kwargs: arguments of the teacher, as of :class:`~leo_agents.leo_pqn.LEOPQN`: learning_rate, batch_size,
        n_epochs, q_lambda, max_grad_norm, loss, goal_reduction, amp, cuda_graph, head, paper_mode, policy_kwargs
    :param jump_start: lets the teacher take the first steps, see :class:`~leo_agents.dual_leo.JumpStart`
    :param goal_input: input of the student, the goal's ``"descriptor"`` or its index ``"one_hot"``
    :param descriptors: a vector per goal ``[G, d]``; those of the environment's goal set if None
    :param learning_rate: learning rate of the student, or a schedule; the default is LEOPQN's initial rate
    :param n_steps: number of steps per environment and rollout
    :param batch_size: number of transitions in a minibatch
    :param n_epochs: number of epochs per rollout
    :param gamma: discount factor
    :param gae_lambda: lambda of generalized advantage estimation
    :param clip_range: clipping parameter, or a schedule
    :param clip_range_vf: clipping parameter of the value function, or a schedule; no clipping if None
    :param normalize_advantage: whether to normalize advantages per minibatch
    :param ent_coef: coefficient of the entropy
    :param vf_coef: coefficient of the value loss
    :param max_grad_norm: maximum norm of the gradient. 0.5 as in PPO (LEODQN has 10 as DQN)
    :param target_kl: limit of the KL divergence between updates; no limit if None
    :param tf32: with CUDA, compute float32 matrix products in TensorFloat-32 while learning: several times as fast, with 10
        bits of mantissa
    :param policy_kwargs: additional arguments of the student's policy
    :param seed: seed of all random number generators; the teacher has its own

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from leo_agents import DualLEOPPO
        >>> envs = gym.make_vec("leo/GridWorld-v0", num_envs=64, autoreset_mode="SameStep")
        >>> model = DualLEOPPO("MultiGoalPolicy", envs, seed=0).learn(4_096)
        >>> obs, info = gym.make("leo/GridWorld-v0").reset(seed=0)
        >>> model.act(obs, goal="cell/0,0") in range(4)
        True
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MultiGoalPolicy": DualLEOPPOPolicy,
        "MlpPolicy": DualLEOPPOPolicy,
        "CnnPolicy": DualLEOPPOPolicy,
        "MultiInputPolicy": DualLEOPPOPolicy,
    }
    not_saved: ClassVar[tuple[str, ...]] = (*DualGoalAlgorithm.not_saved, "teacher_rollout")
    policy: DualLEOPPOPolicy  # type: ignore[assignment]
    rollout_buffer: DualRolloutBuffer
    teacher_rollout: GoalRolloutBuffer

    def __init__(
        self,
        policy: str | type[DualLEOPPOPolicy],
        env: GymEnv | str,
        teacher: PretrainedTeacher | None = None,
        teacher_coef: float | Schedule | None = None,
        teacher_temperature: float = 0.0,
        teacher_value_coef: float = 0.0,
        teacher_update_fraction: float = 1.0,
        teacher_kwargs: dict[str, Any] | None = None,
        jump_start: JumpStart | None = None,
        goal_input: GoalInput = "descriptor",
        descriptors: npt.ArrayLike | None = None,
        learning_rate: float | Schedule = 1e-3,
        n_steps: int = 32,
        batch_size: int = 512,
        n_epochs: int = 4,
        gamma: float = 0.99,
        gae_lambda: float = 0.95,
        clip_range: float | Schedule = 0.2,
        clip_range_vf: float | Schedule | None = None,
        normalize_advantage: bool = True,
        ent_coef: float = 0.01,
        vf_coef: float = 0.5,
        max_grad_norm: float = 0.5,
        target_kl: float | None = None,
        tf32: bool = True,
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
        if normalize_advantage and batch_size == 1:
            check_integer("batch_size with normalize_advantage", batch_size, 2)
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
            gae_lambda=gae_lambda,
            clip_range=clip_range,
            clip_range_vf=clip_range_vf,
            normalize_advantage=normalize_advantage,
            ent_coef=ent_coef,
            vf_coef=vf_coef,
            max_grad_norm=max_grad_norm,
            target_kl=target_kl,
            tf32=tf32,
            goal_selector=goal_selector,
            log_goals=log_goals,
            rollout_buffer_class=DualRolloutBuffer,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs=policy_kwargs,
            verbose=verbose,
            seed=seed,
            device=device,
            _init_setup_model=_init_setup_model,
        )
        self.teacher_coef = fraction_schedule(
            "teacher_coef", LinearSchedule(0.1, 0.0, 1.0) if teacher_coef is None else teacher_coef
        )
        check_fraction("teacher_value_coef", teacher_value_coef)
        check_at_least("teacher_temperature", teacher_temperature, 0)
        self.teacher_temperature, self.teacher_value_coef = teacher_temperature, teacher_value_coef
        if _init_setup_model:
            self._setup_model()

    @staticmethod
    def _wrap_env(env: GymEnv, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
        return check_discrete_actions(goal_conditioned_venv(env))

    def _check_options(self) -> None:
        super()._check_options()
        check_integer("n_epochs", self.n_epochs, 1)
        check_fraction("gae_lambda", self.gae_lambda)
        for name in ("ent_coef", "vf_coef"):
            check_at_least(name, getattr(self, name), 0)
        for name in ("clip_range", "clip_range_vf", "target_kl"):
            value = getattr(self, name)
            if value is not None or name == "clip_range":
                check_positive(name, float(value(1.0)) if callable(value) else value)

    def _setup_model(self) -> None:
        self._check_options()
        self._setup_goals()
        super()._setup_model()
        with self._teacher_rng():
            teacher_policy = LEOPQNPolicy(
                self.observation_space,
                self.action_space,  # type: ignore[arg-type]
                self.lr_schedule,
                self.goal_names,
                **self._teacher_policy_kwargs(),
            )
        self._setup_teacher(teacher_policy.to(self.device))
        self.teacher_rollout = GoalRolloutBuffer(
            self.n_steps,
            self.n_envs,
            self.observation_space,  # type: ignore[arg-type]
            len(self.goal_names),
            self.device,
        )

    def collect_rollouts(  # type: ignore[override]
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: DualRolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """
        Collect a rollout with the student's policy, for the student and the teacher.

        :param env: the environments
        :param callback: called at every step, and at the start and the end of the rollout
        :param rollout_buffer: the student's buffer to fill
        :param n_rollout_steps: number of steps per environment
        :return: False if the callback stopped training
        """
        assert isinstance(self._last_obs, dict)
        self._refresh_normalizers()
        self.policy.set_training_mode(False)
        self.teacher.policy.set_training_mode(False)
        rollout_buffer.reset()
        self.teacher_rollout.reset(self._last_obs)
        self.teacher.start_rollout()
        callback.on_rollout_start()
        for step_number in range(n_rollout_steps):
            obs: Any = self._last_obs
            with th.no_grad():
                action_tensor, values, log_probs = self.policy(obs_as_tensor(obs, self.device))
            actions = action_tensor.cpu().numpy()
            self._let_teacher_act(actions, rollout_buffer.by_student[step_number])
            step = step_arrays(env, actions)
            new_obs, rewards, dones, infos = step.obs, step.rewards, step.dones, step.infos
            self.num_timesteps += env.num_envs
            callback.update_locals(locals())
            if not callback.on_step():
                self._last_obs = new_obs  # type: ignore[assignment]  # training may be continued from here
                return False
            self._update_info_buffer(infos, dones)
            self.teacher_rollout.add(actions, step)
            self._update_normalizers(new_obs)
            self._bootstrap_truncated(rewards, dones, infos)
            rollout_buffer.add(
                obs,
                actions.reshape(-1, 1),
                rewards,
                self._last_episode_starts,  # type: ignore[arg-type]
                values,
                log_probs,
            )
            self._last_obs = new_obs  # type: ignore[assignment]
            self._last_episode_starts = dones
        with th.no_grad():
            last_values = self.policy.predict_values(obs_as_tensor(new_obs, self.device))  # type: ignore[arg-type]
        rollout_buffer.compute_returns_and_advantage(last_values=last_values, dones=dones)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def _let_teacher_act(self, actions: npt.NDArray[Any], by_student: npt.NDArray[np.bool_]) -> None:
        """Replace, in place, the student's actions where the teacher takes the next step."""
        teacher_acts = self._jump_start_steps()
        if teacher_acts is None and self.teacher_update_fraction == 0.0:
            return
        with th.no_grad(), self.teacher.autocast():
            teacher_actions = self.teacher.acting_outputs(self.teacher_rollout).argmax(dim=1).cpu().numpy()
        if teacher_acts is not None:
            actions[teacher_acts] = teacher_actions[teacher_acts]
            by_student[teacher_acts] = False

    def _bootstrap_truncated(self, rewards: npt.NDArray[np.float32], dones: npt.NDArray[np.bool_], infos: Any) -> None:
        """Add, in place, the discounted value of the final state to the reward of truncated steps, as PPO does."""
        for row in np.flatnonzero(dones).tolist():
            if infos[row].get("TimeLimit.truncated", False):
                final_obs, _ = self.policy.obs_to_tensor(infos[row]["terminal_observation"])
                with th.no_grad():
                    rewards[row] += self.gamma * self.policy.predict_values(final_obs)[0]  # type: ignore[arg-type]

    def train(self) -> None:
        """Update the teacher for all goals, then the student by PPO's loss and imitation."""
        self._train_teacher(self.teacher_rollout)
        if not self.rollout_buffer.by_student.any():
            return
        teacher_coef = self.teacher_coef(self._current_progress_remaining)
        if teacher_coef > 0.0 or self.teacher_value_coef > 0.0:
            q_values = teacher_q_values(self.teacher, self.teacher_rollout)
            self.rollout_buffer.set_teacher_targets(self._teacher_probs(q_values), q_values.amax(dim=1))
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        logged: dict[str, list[float]] = defaultdict(list)
        for epoch in range(self.n_epochs):
            stopped = self._train_epoch(epoch, teacher_coef, logged)
            self._n_updates += 1
            if stopped:
                break
        for name, values in logged.items():
            self.logger.record(f"train/{name}", values[-1] if name == "loss" else np.mean(values))
        buffer = self.rollout_buffer
        self.logger.record("train/explained_variance", explained_variance(buffer.values.flatten(), buffer.returns.flatten()))
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/clip_range", self._clip_ranges()[0])
        self.logger.record("train/teacher_coef", teacher_coef)

    def _train_epoch(self, epoch: int, teacher_coef: float, logged: dict[str, list[float]]) -> bool:
        """Run one epoch of minibatch updates; return True if it was stopped by ``target_kl``."""
        for batch in self.rollout_buffer.get(self.batch_size):
            terms = self.loss_terms(batch, teacher_coef)
            for name, value in terms.items():
                logged[name].append(value.item())
            if self.target_kl is not None and terms["approx_kl"] > 1.5 * self.target_kl:
                if self.verbose >= 1:
                    print(f"Early stopping at epoch {epoch}, KL divergence {terms['approx_kl']:.2f} exceeds target_kl")
                return True
            optimizer_step(self.policy.optimizer, terms["loss"], self.max_grad_norm)
        return False

    def loss_terms(self, batch: DualRolloutBufferSamples, teacher_coef: float) -> dict[str, th.Tensor]:
        """
        Compute the student's ``"loss"`` and its terms.

        :param batch: a minibatch
        :param teacher_coef: coefficient of the cross-entropy
        :return: scalars by name
        """
        clip_range, clip_range_vf = self._clip_ranges()
        actions = batch.actions.long().flatten()
        values, log_prob, entropy, all_log_probs = self.policy.evaluate_all_actions(batch.observations, actions)
        values = values.flatten()
        advantages = batch.advantages
        if self.normalize_advantage and len(advantages) > 1:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        log_ratio = log_prob - batch.old_log_prob
        ratio = th.exp(log_ratio)
        policy_loss = -th.min(advantages * ratio, advantages * th.clamp(ratio, 1 - clip_range, 1 + clip_range)).mean()
        clipped_values = values
        if clip_range_vf is not None:
            clipped_values = batch.old_values + th.clamp(values - batch.old_values, -clip_range_vf, clip_range_vf)
        value_loss = F.mse_loss(batch.returns, clipped_values)
        entropy_loss = log_prob.mean() if entropy is None else -entropy.mean()
        loss = policy_loss + self.ent_coef * entropy_loss + self.vf_coef * value_loss
        terms = {"policy_gradient_loss": policy_loss, "value_loss": value_loss, "entropy_loss": entropy_loss}
        if batch.teacher_probs is not None and batch.teacher_values is not None:
            terms["teacher_cross_entropy"] = -(batch.teacher_probs * all_log_probs).sum(dim=1).mean()
            loss = loss + teacher_coef * terms["teacher_cross_entropy"]
            if self.teacher_value_coef > 0.0:
                terms["teacher_value_loss"] = F.mse_loss(values, batch.teacher_values)
                loss = loss + self.teacher_value_coef * terms["teacher_value_loss"]
        with th.no_grad():
            terms["approx_kl"] = (ratio - 1 - log_ratio).mean()
            terms["clip_fraction"] = ((ratio - 1).abs() > clip_range).float().mean()
        return {**terms, "loss": loss}

    def _clip_ranges(self) -> tuple[float, float | None]:
        progress = self._current_progress_remaining
        clip_range: Any = self.clip_range
        clip_range_vf: Any = self.clip_range_vf
        return clip_range(progress), None if clip_range_vf is None else clip_range_vf(progress)

    def _teacher_probs(self, q_values: th.Tensor) -> th.Tensor:
        """Return the action probabilities to imitate ``[B, A]``; equally good actions share the probability."""
        if self.teacher_temperature > 0.0:
            return (q_values / self.teacher_temperature).softmax(dim=1)
        is_best = (q_values == q_values.amax(dim=1, keepdim=True)).float()
        return is_best / is_best.sum(dim=1, keepdim=True)

    def dump_logs(self, iteration: int = 0) -> None:
        """
        Write the log.

        :param iteration: number of rollouts so far
        """
        self._log_goals()
        super().dump_logs(iteration)

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        names, tensors = super()._get_torch_save_params()
        return [*names, "teacher.policy", "teacher.policy.optimizer"], tensors
