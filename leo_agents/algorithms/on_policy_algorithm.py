"""Base class of parallel Q-learning from rollouts, without replay buffer and target network: LEOPQN and PQN."""

import warnings
from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv

from leo_agents.algorithms.discrete_algorithm import DiscreteGoalAlgorithm
from leo_agents.algorithms.exploration import check_exploration, epsilon_greedy_on_device, spread_epsilon
from leo_agents.algorithms.seen_per_rollout import SeenPerRollout
from leo_agents.learning.cuda_graph import check_cuda_graph
from leo_agents.learning.losses import LossName, check_loss_options
from leo_agents.networks.device import is_asynchronous
from leo_agents.networks.map_extractor import has_maps
from leo_agents.networks.policies import GoalPolicy
from leo_agents.networks.state_network import state_space
from leo_agents.replay.goal_rollout_buffer import GoalRolloutBuffer, fitting_batch_size, warn_of_batch_size
from leo_wrappers.sb3 import ArrayStep, step_arrays, step_tensors
from leo_wrappers.sb3.array_step import has_tensors, observations_on_host
from leo_wrappers.selection import make_goal_selector
from leo_wrappers.validation import check_fraction, check_integer

# Values of arguments that are None: the paper's with paper_mode, else ours.
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
# Batch renormalization takes the place of running statistics.
PAPER_NETWORK: dict[str, Any] = {
    "net_arch": [1024, 1024, 1024, 1024],
    "input_norm": True,
    "normalize_observations": False,
}


def resolve_defaults(paper_mode: bool, **arguments: Any) -> dict[str, Any]:
    """
    Replace arguments that are None by their defaults; a learning rate is then annealed linearly to 0.

    :param paper_mode: whether to use the defaults of the paper
    :param arguments: arguments named in ``DEFAULTS``
    :return: the arguments
    """
    defaults = PAPER_DEFAULTS if paper_mode else DEFAULTS
    resolved = {name: defaults[name] if value is None else value for name, value in arguments.items()}
    if arguments.get("learning_rate", 0.0) is None:
        resolved["learning_rate"] = LinearSchedule(defaults["learning_rate"], 0.0, 1.0)
    return resolved


def with_paper_network(policy_kwargs: dict[str, Any], observation_space: spaces.Space[Any]) -> dict[str, Any]:
    """
    Add the network of the paper to the arguments of a policy.

    :param policy_kwargs: the user's, which take precedence
    :param observation_space: of the goal-conditioned environment
    :return: all arguments
    """
    policy_kwargs = {**PAPER_NETWORK, **policy_kwargs}
    if has_maps(state_space(observation_space)):
        extractor_kwargs = {"channels": (32, 32), **(policy_kwargs.get("features_extractor_kwargs") or {})}
        policy_kwargs["features_extractor_kwargs"] = extractor_kwargs
    return policy_kwargs


class GoalOnPolicyAlgorithm(DiscreteGoalAlgorithm, OnPolicyAlgorithm):
    """
    Acts in N environments for T steps, then updates from this rollout and discards it.

    Subclasses compute the outputs to act by (:meth:`_acting_outputs`) and implement ``train``.

    The parameters are those of :class:`~leo_agents.leo_pqn.leo_pqn.LEOPQN`.
    """

    checkpointed: ClassVar[tuple[str, ...]] = ("exploration_state",)
    rollout_buffer: GoalRolloutBuffer  # type: ignore[assignment]
    policy: GoalPolicy  # type: ignore[assignment]
    _last_obs: dict[str, np.ndarray]

    def __init__(
        self,
        policy: Any,
        env: GymEnv | str,
        *,
        learning_rate: float | Schedule | None,
        batch_size: int,
        n_epochs: int | None,
        q_lambda: float,
        exploration_fraction: float,
        exploration_initial_eps: float | None,
        exploration_final_eps: float | None,
        exploration_spread: float,
        loss: LossName | None,
        amp: bool,
        cuda_graph: bool | None,
        paper_mode: bool,
        **kwargs: Any,
    ) -> None:
        resolved = resolve_defaults(
            paper_mode,
            learning_rate=learning_rate,
            n_epochs=n_epochs,
            exploration_initial_eps=exploration_initial_eps,
            exploration_final_eps=exploration_final_eps,
            loss=loss,
        )
        super().__init__(
            policy,
            env,
            learning_rate=resolved["learning_rate"],
            # Not used by Q-learning.
            gae_lambda=1.0,
            ent_coef=0.0,
            vf_coef=0.0,
            use_sde=False,
            sde_sample_freq=-1,
            _init_setup_model=False,
            **kwargs,
        )
        self.batch_size = batch_size
        self.n_epochs: int = resolved["n_epochs"]
        self.q_lambda = q_lambda
        self.exploration_fraction = exploration_fraction
        self.exploration_initial_eps: float = resolved["exploration_initial_eps"]
        self.exploration_final_eps: float = resolved["exploration_final_eps"]
        self.exploration_spread = exploration_spread
        self.exploration_rate = 0.0
        self.loss: str = resolved["loss"]
        self.amp = amp
        self.cuda_graph = cuda_graph
        self.paper_mode = paper_mode
        self._n_updates = 0

    def _setup_model(self) -> None:
        self._check_options()
        self._setup_goals()
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        self.exploration_schedule = LinearSchedule(
            self.exploration_initial_eps, self.exploration_final_eps, self.exploration_fraction
        )
        # A generator of its own: NumPy's, which explores otherwise, would need the greedy actions on the host.
        self.device_generator = self._seeded_generator() if is_asynchronous(self.device) else None
        policy: Any = self.policy_class(self.observation_space, self.action_space, self.lr_schedule, **self.policy_kwargs)
        self.policy = policy.to(self.device)
        self.rollout_buffer = GoalRolloutBuffer(
            self.n_steps,
            self.n_envs,
            self.observation_space,  # type: ignore[arg-type]
            len(self.goal_names),
            self.device,
            has_tasks=self.task_discounts is not None,
        )

    def _seeded_generator(self) -> th.Generator:
        """Create a generator on the device, for exploration, with another seed than PyTorch's own generator."""
        return th.Generator(self.device).manual_seed(int(np.random.SeedSequence(self.seed).generate_state(1)[0]))

    @property
    def exploration_state(self) -> th.Tensor | None:
        """State of the generator that explores on the device; None if NumPy's global generator explores."""
        return None if self.device_generator is None else self.device_generator.get_state()

    @exploration_state.setter
    def exploration_state(self, state: th.Tensor | None) -> None:
        if state is not None and self.device_generator is not None:
            self.device_generator.set_state(state)

    def _setup_goals(self) -> None:
        super()._setup_goals()
        if self.paper_mode:
            self.policy_kwargs = with_paper_network(self.policy_kwargs, self.observation_space)

    def _set_goal_selector(self) -> None:
        sampler = self.goal_sampler
        if self.paper_mode and self.goal_selector is None and sampler is not None:
            sampler.set_goal_selector(make_goal_selector(SeenPerRollout(), sampler.goal_names, self.seed))
            return
        super()._set_goal_selector()

    def _check_options(self) -> None:
        super()._check_options()
        for name in ("n_steps", "batch_size", "n_epochs"):
            check_integer(name, getattr(self, name), 1)
        check_fraction("q_lambda", self.q_lambda)
        check_cuda_graph(self.cuda_graph)
        rates = (self.exploration_fraction, self.exploration_initial_eps, self.exploration_final_eps)
        check_exploration(*rates, self.exploration_spread)
        check_loss_options(self.loss, self.policy_kwargs.get("squash", True))

    def collect_rollouts(  # type: ignore[override]
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: GoalRolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """
        Collect a rollout with the epsilon-greedy policy.

        :param env: the environments
        :param callback: called at every step, and at the start and the end of the rollout
        :param rollout_buffer: buffer to fill
        :param n_rollout_steps: not used, the buffer has its size
        :return: False if the callback stopped training
        """
        self.policy.set_training_mode(False)
        # From the progress at the last update, so that a resumed run explores in the same way.
        self.exploration_rate = self.exploration_schedule(self._current_progress_remaining)
        self._refresh_normalizers()
        callback.on_rollout_start()
        rollout_buffer.reset(self._last_obs)
        self._start_rollout()
        while not rollout_buffer.full:
            with th.no_grad(), self._autocast(self.amp):
                greedy_actions = self._acting_outputs(rollout_buffer).argmax(dim=1)
            actions, step = self._explore_and_step(env, greedy_actions)
            new_obs, rewards, dones, infos = step.obs, step.rewards, step.dones, step.infos
            self.num_timesteps += env.num_envs
            callback.update_locals(locals())
            if not callback.on_step():
                self._last_obs = observations_on_host(new_obs)  # training may be continued from here
                return False
            if step.is_success is None:
                self._update_info_buffer(infos, dones)
            else:
                assert self.ep_success_buffer is not None
                self.ep_success_buffer.extend(step.is_success[dones].tolist())
            rollout_buffer.add(actions, step)
            self._update_normalizers(new_obs)
            self._last_obs = new_obs  # type: ignore[assignment]
            self._last_episode_starts = dones
        self._last_obs = observations_on_host(self._last_obs)
        if self.goal_sampler is not None:
            self.goal_sampler.goal_selector.on_rollout_end()
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def _explore_and_step(self, env: VecEnv, greedy_actions: th.Tensor) -> tuple[Any, ArrayStep]:
        """Take a step with the epsilon-greedy actions; return these, on the device if there is one, and the step."""
        if self.device_generator is None:
            actions = self._explore_after_success(self._explore(greedy_actions.cpu().numpy()))
            return actions, step_arrays(env, actions)
        epsilon = spread_epsilon(self.exploration_rate, self.exploration_spread, self.n_envs)
        device_actions = epsilon_greedy_on_device(greedy_actions, int(self.action_space.n), epsilon, self.device_generator)
        if self.goal_sampler is not None and self.goal_sampler.explores:
            explored = self._explore_after_success(device_actions.cpu().numpy())
            device_actions = th.as_tensor(explored, device=device_actions.device)
        return device_actions, step_tensors(env, device_actions)

    def _start_rollout(self) -> None:
        """Called before the first step of a rollout."""

    @abstractmethod
    def _acting_outputs(self, rollout: GoalRolloutBuffer) -> th.Tensor:
        """Compute outputs ``[N, A]`` in the newest observations, whose argmax is the greedy action for the commanded goal."""

    @property
    def minibatch_size(self) -> int:
        """The largest divisor of a rollout's transitions up to ``batch_size``: all minibatches have equal size."""
        return fitting_batch_size(self.n_steps, self.n_envs, self.batch_size)

    def dump_logs(self, iteration: int = 0) -> None:
        """
        Write the log.

        :param iteration: number of rollouts so far
        """
        self.logger.record("rollout/exploration_rate", self.exploration_rate)
        self._log_goals()
        super().dump_logs(iteration)

    def _excluded_save_params(self) -> list[str]:
        # In a callback during a rollout, the last observations may be views of memory of the environments on the device.
        views = ["_last_obs"] if has_tensors(self._last_obs) else []
        return [*super()._excluded_save_params(), "device_generator", *views]

    def _log_update(self, losses: th.Tensor) -> None:
        """Count the updates of a rollout and log their losses ``[U]``."""
        self._n_updates += len(losses)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/loss", float(losses.mean()))

    def _check_before_learn(self) -> None:
        super()._check_before_learn()
        if self.n_envs == 1:
            warnings.warn(
                f"{type(self).__name__} learns from many parallel environments and got 1: use make_vec_env(..., n_envs=64), a "
                "vector environment (gymnasium.make_vec) or JaxVecEnv.",
                stacklevel=3,
            )
        warn_of_batch_size(self.n_steps, self.n_envs, self.batch_size, stacklevel=3)
