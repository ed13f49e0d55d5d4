"""Learning from rollouts of many environments at once, without replay: what LEOPQN and its baselines share."""

import warnings
from abc import abstractmethod
from functools import partial
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch as th
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv

from leo_agents.algorithms.discrete_algorithm import DiscreteGoalAlgorithm
from leo_agents.algorithms.seen_per_rollout import SeenPerRollout
from leo_agents.learning.grouped_adam import gradient_step
from leo_agents.learning.losses import LOSSES
from leo_agents.networks.map_extractor import has_maps
from leo_agents.networks.policies import GoalPolicy, explore
from leo_agents.networks.q_network import state_space
from leo_agents.replay.goal_rollout_buffer import GoalRolloutBuffer, fitting_batch_size, warn_of_batch_size
from leo_wrappers.sb3 import step_arrays
from leo_wrappers.selection import GoalSelectorLike, make_goal_selector

LossName = Literal["bce", "squared"]

# What an argument of None means: the paper's choice with paper_mode, else ours.
DEFAULTS: dict[str, Any] = {
    "learning_rate": 1e-3,
    "n_epochs": 4,
    "exploration_initial_eps": 1.0,
    "exploration_final_eps": 0.1,
    "loss": "bce",
}
PAPER_DEFAULTS: dict[str, Any] = {
    "learning_rate": 2e-4,
    "n_epochs": 2,
    "exploration_initial_eps": 0.2,
    "exploration_final_eps": 0.01,
    "loss": "squared",
}
PAPER_POLICY: dict[str, Any] = {"net_arch": [1024, 1024, 1024, 1024], "input_norm": True}


class GoalOnPolicyAlgorithm(DiscreteGoalAlgorithm, OnPolicyAlgorithm):
    """
    Acts in N environments for T steps, says once what each step teaches, learns that in some epochs of minibatches, and
    forgets it all.

    A subclass says how good actions look in the states shown (:meth:`_scores`), what a rollout teaches (:meth:`_lesson`), and
    how wrong the network is about some of it (:meth:`_loss`).

    The arguments are those of :class:`~leo_agents.leo_pqn.leo_pqn.LEOPQN`.
    """

    rollout_buffer: GoalRolloutBuffer  # type: ignore[assignment]
    policy: GoalPolicy  # type: ignore[assignment]
    _last_obs: dict[str, np.ndarray]
    # What is of one rollout only, and no part of a saved model.
    transient: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        policy: str | type[GoalPolicy],
        env: GymEnv | str,
        *,
        learning_rate: float | Schedule | None,
        n_steps: int,
        batch_size: int,
        n_epochs: int | None,
        gamma: float,
        q_lambda: float,
        exploration_fraction: float,
        exploration_initial_eps: float | None,
        exploration_final_eps: float | None,
        max_grad_norm: float,
        loss: LossName | None,
        amp: bool,
        paper_mode: bool,
        goal_selector: GoalSelectorLike | None,
        log_goals: bool,
        stats_window_size: int,
        tensorboard_log: str | None,
        policy_kwargs: dict[str, Any] | None,
        verbose: int,
        seed: int | None,
        device: th.device | str,
        _init_setup_model: bool,
    ) -> None:
        defaults = PAPER_DEFAULTS if paper_mode else DEFAULTS
        if learning_rate is None:
            learning_rate = LinearSchedule(defaults["learning_rate"], 0.0, 1.0)
        super().__init__(
            self.policy_aliases.get(policy, policy) if isinstance(policy, str) else policy,  # type: ignore[arg-type]
            env,
            learning_rate=learning_rate,
            n_steps=n_steps,
            gamma=gamma,
            gae_lambda=1.0,
            ent_coef=0.0,
            vf_coef=0.0,
            max_grad_norm=max_grad_norm,
            use_sde=False,
            sde_sample_freq=-1,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs={**(PAPER_POLICY if paper_mode else {}), **(policy_kwargs or {})},
            verbose=verbose,
            seed=seed,
            device=device,
            _init_setup_model=False,
        )
        self.batch_size = batch_size
        self.n_epochs: int = defaults["n_epochs"] if n_epochs is None else n_epochs
        self.q_lambda = q_lambda
        self.exploration_fraction = exploration_fraction
        self.exploration_initial_eps: float = (
            defaults["exploration_initial_eps"] if exploration_initial_eps is None else exploration_initial_eps
        )
        self.exploration_final_eps: float = (
            defaults["exploration_final_eps"] if exploration_final_eps is None else exploration_final_eps
        )
        self.exploration_rate = 0.0
        self.loss: str = loss or defaults["loss"]
        self.amp = amp
        self.paper_mode = paper_mode
        self.goal_selector = goal_selector
        self.log_goals = log_goals
        self.goal_names = ()
        self._n_updates = 0
        if _init_setup_model:
            self._setup_model()

    @abstractmethod
    def _scores(self, rollout: GoalRolloutBuffer) -> th.Tensor:
        """How good every action looks in the states that are shown, for the goals commanded there ``[N, A]``."""

    @abstractmethod
    def _lesson(self, rollout: GoalRolloutBuffer) -> Any:
        """What a rollout teaches, computed by the network that acted in it."""

    @abstractmethod
    def _loss(self, rollout: GoalRolloutBuffer, rows: th.Tensor, lesson: Any) -> th.Tensor:
        """How wrong the network is about some transitions."""

    def learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 1,
        tb_log_name: str | None = None,
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """
        Learns; see Stable-Baselines3.

        :param total_timesteps: number of steps of the environments
        :param callback: called at every step of all environments
        :param log_interval: number of rollouts between logs
        :param tb_log_name: name of the run for TensorBoard; the algorithm's by default
        :param reset_num_timesteps: count the steps from 0
        :param progress_bar: show one
        :return: self
        """
        if self.env is None:
            raise ValueError("expected an environment to learn in, got none; give it one with set_env or load(..., env=...)")
        self._warn_of_small_rollouts()
        name = tb_log_name or type(self).__name__
        return super().learn(total_timesteps, callback, log_interval, name, reset_num_timesteps, progress_bar)

    def collect_rollouts(  # type: ignore[override]
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: GoalRolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """
        Acts in all environments.

        :param env: the environments
        :param callback: called at every step, and before and after all of them
        :param rollout_buffer: keeps what happens
        :param n_rollout_steps: number of steps, which is the buffer's own
        :return: whether to go on learning
        """
        self.policy.set_training_mode(False)
        # From the progress at the last update: a run that is resumed here explores alike.
        self.exploration_rate = self._exploration_schedule(self._current_progress_remaining)
        callback.on_rollout_start()
        self._begin_rollout()
        rollout_buffer.begin(self._last_obs)
        while not rollout_buffer.full:
            with th.no_grad(), self._autocast():
                greedy = self._scores(rollout_buffer).argmax(dim=1)
            actions = explore(greedy.cpu().numpy(), int(self.action_space.n), self.exploration_rate)  # type: ignore[attr-defined]
            step = step_arrays(env, actions)
            new_obs, rewards, dones, infos = step.obs, step.rewards, step.dones, step.infos
            self.num_timesteps += env.num_envs
            callback.update_locals(locals())
            if not callback.on_step():
                self._last_obs = new_obs  # type: ignore[assignment]  # for who goes on: the environments are there by now
                return False
            # Only where episodes ended is there something to note.
            ended = np.flatnonzero(dones)
            self._update_info_buffer([infos[row] for row in ended.tolist()], dones[ended])
            rollout_buffer.add(th.as_tensor(actions), step)
            self._last_obs = new_obs  # type: ignore[assignment]
            self._last_episode_starts = dones
        self._end_rollout()
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def train(self) -> None:
        """Learns what the rollout teaches."""
        rollout, optimizer = self.rollout_buffer, self.policy.optimizer
        lesson = self._lesson(rollout)
        self.policy.set_training_mode(True)
        self._update_learning_rate(optimizer)
        losses = []
        for _ in range(self.n_epochs):
            for rows in th.randperm(len(rollout), device=self.device).split(self.minibatch_size):  # type: ignore[no-untyped-call]
                make_loss = partial(self._loss, rollout, rows, lesson)
                parameters = self.policy.parameters()
                losses.append(gradient_step(optimizer, parameters, make_loss, self.max_grad_norm, self.num_timesteps))
                self._n_updates += 1
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/loss", float(th.stack(losses).mean()))

    @property
    def minibatch_size(self) -> int:
        """The largest divisor of a rollout's transitions up to ``batch_size``: all minibatches are equally large."""
        return fitting_batch_size(self.n_steps, self.n_envs, self.batch_size)

    def dump_logs(self, iteration: int = 0) -> None:
        """
        Writes the log.

        :param iteration: number of rollouts so far
        """
        self.logger.record("rollout/exploration_rate", self.exploration_rate)
        self._log_goals()
        super().dump_logs(iteration)

    def _begin_rollout(self) -> None:
        """Before the first step of a rollout."""

    def _end_rollout(self) -> None:
        """After the last step of a rollout."""
        sampler = self.goal_sampler
        if sampler is not None:
            sampler.goal_selector.on_rollout_end()

    def _exploration_schedule(self, progress_remaining: float) -> float:
        schedule = LinearSchedule(self.exploration_initial_eps, self.exploration_final_eps, self.exploration_fraction)
        return schedule(progress_remaining)

    def _autocast(self) -> th.autocast:
        return th.autocast(self.device.type, dtype=th.bfloat16, enabled=self.amp)

    def _setup_model(self) -> None:
        self._check_options()
        self._bind_goals()
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        policy = self.policy_class(self.observation_space, self.action_space, self.lr_schedule, **self.policy_kwargs)
        self.policy = policy.to(self.device)  # type: ignore[assignment]
        self.rollout_buffer = GoalRolloutBuffer(
            self.n_steps,
            self.n_envs,
            self.observation_space,  # type: ignore[arg-type]
            len(self.goal_names),
            self.device,
        )

    def _bind_goals(self) -> None:
        super()._bind_goals()
        if self.paper_mode and has_maps(state_space(self.observation_space)):
            kwargs = {"channels": (32, 32), **(self.policy_kwargs.get("features_extractor_kwargs") or {})}
            self.policy_kwargs = {**self.policy_kwargs, "features_extractor_kwargs": kwargs}

    def _apply_selector(self) -> None:
        sampler = self.goal_sampler
        if self.paper_mode and self.goal_selector is None and sampler is not None:
            sampler.set_goal_selector(make_goal_selector(SeenPerRollout(), sampler.goal_names, self.seed))
            return
        super()._apply_selector()

    def _check_options(self) -> None:
        """Refuses what could not be learned with, before anything is allocated."""
        for name in ("n_steps", "batch_size", "n_epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} of at least 1, got {getattr(self, name)}")
        shares = ("gamma", "q_lambda", "exploration_fraction", "exploration_initial_eps", "exploration_final_eps")
        for name in shares:
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"expected {name} between 0 and 1, got {getattr(self, name)}")
        if not self.max_grad_norm > 0.0:
            raise ValueError(f"expected max_grad_norm above 0, got {self.max_grad_norm}")
        if self.loss not in LOSSES:
            raise ValueError(f"expected loss to be one of {list(LOSSES)}, got {self.loss!r}")
        if self.loss == "bce" and not self.policy_kwargs.get("squash", True):
            raise ValueError('expected values in [0, 1] for loss="bce", got squash=False; use loss="squared"')

    def _warn_of_small_rollouts(self) -> None:
        if self.n_envs == 1:
            warnings.warn(
                f"{type(self).__name__} learns from many environments at once and got 1: use make_vec_env(..., n_envs=64), a "
                "vector environment (gymnasium.make_vec) or JaxVecEnv.",
                stacklevel=3,
            )
        warn_of_batch_size(self.n_steps, self.n_envs, self.batch_size, stacklevel=3)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), *self.transient]
