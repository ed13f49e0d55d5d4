"""Off-policy learning in this process from the transitions of Ray actors."""

import io
import time
import warnings
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from stable_baselines3.common.type_aliases import MaybeCallback, TrainFrequencyUnit

from leo_agents.algorithms.off_policy_algorithm import GoalOffPolicyAlgorithm
from leo_agents.distributed.actor_pool import PATIENCE_SECONDS, ActorPool, make_factories
from leo_agents.distributed.env_shard import EnvFactory
from leo_agents.distributed.ray_cluster import connect_to_ray
from leo_agents.distributed.rollout_actor import Block, RolloutActor, acting_weights
from leo_agents.learning.precision import matmul_precision
from leo_wrappers.infos import InfoList
from leo_wrappers.validation import check_at_least, check_instance, check_integer

# Blocks that an actor collects or has collected while the learner is busy.
_BLOCKS_AHEAD = 2
# Steps per block. An actor explores less if its policy stays the same for many steps.
_STEPS_PER_BLOCK = 2
# The same for each step of an n-step window: below an eighth of the windows end early with their block.
_STEPS_PER_WINDOW_STEP = 8


class DistributedLearning:
    """
    Trains LEODQN, LEOTD3 or LEOSAC with a finite goal set by transitions that Ray actors collect; needs the extra ``ray``.

    Each actor has its own environments and a copy of the policy on a CPU, and sends blocks of transitions with their masks.
    This process stores them in the model's replay buffer and trains with the model's ratio of gradient steps to environment
    steps. Each request for a block comes with the newest weights. Actors are at most two blocks ahead, so that no transitions
    are dropped; they wait if the learner is slower. The order in which blocks arrive is random, and so are the results.

    An actor keeps its policy for a block, and up to ``2 * num_actors`` blocks are trained on before the block itself. A policy
    that stays the same for several steps explores less than one that changes at every step, so that short blocks learn better;
    they cost messages.

    The end of a block is stored like a truncation: with ``n_steps > 1``, windows do not extend over it. Each actor chooses the
    goals of its environments, with the model's ``goal_selector`` and the statistics of all actors, which are in the selector
    of the model's environment. Recent success, which some selectors use, is that of each actor's own attempts. The model's
    environment is not stepped. Callbacks are called once per block.

    If the process of an actor dies, it is started again and collects its unfinished block anew, with a warning. If this
    process dies, load a checkpoint, which callbacks save as usual, and continue with ``learn(reset_num_timesteps=False)``.

    The log has ``distributed/lag``, the mean number of gradient steps since the weights that transitions were collected with;
    ``distributed/waiting``, the fraction of time in which the learner waited for transitions; and ``distributed/restarts`` of
    actors. The throughput is ``time/fps``.

    :param model: the model; its environment must have as many parallel environments as that of each actor
    :param make_env: creates the environments of an actor, see :class:`~leo_agents.distributed.RayVecEnv`
    :param num_actors: number of actors; with a list of functions, its length
    :param num_cpus: processor cores that Ray reserves for each actor, also a fraction
    :param steps_per_block: (vectorized) steps per block; by default 2, or ``8 * n_steps`` with n-step windows
    :param address: address of the cluster, see :class:`~leo_agents.distributed.RayVecEnv`
    """

    def __init__(
        self,
        model: GoalOffPolicyAlgorithm,
        make_env: EnvFactory | Sequence[EnvFactory],
        num_actors: int | None = None,
        num_cpus: float = 0.5,
        steps_per_block: int | None = None,
        address: str | None = None,
    ) -> None:
        _check_model(model)
        if steps_per_block is None:
            n_steps = model.replay_buffer_kwargs["n_steps"]
            steps_per_block = _STEPS_PER_BLOCK if n_steps == 1 else _STEPS_PER_WINDOW_STEP * n_steps
        check_integer("steps_per_block", steps_per_block, 1)
        factories = make_factories(make_env, num_actors)
        self.model, self.steps_per_block = model, steps_per_block
        saved = io.BytesIO()
        model.save(saved)
        seeds = [_seed_of(model, number) for number in range(len(factories))]
        # Sent with each call, because restarted actors need it; in a list, Ray loads it only on demand.
        self._saved = [connect_to_ray(address).put(saved.getvalue())]
        common = (type(model), model.goal_selector, steps_per_block)
        arguments = [(factory, *common, seed) for factory, seed in zip(factories, seeds, strict=True)]
        self._pool = ActorPool(RolloutActor, arguments, num_cpus, address)
        try:
            sizes, processes = zip(*self._pool.call("prepare", [(self._saved,)] * len(factories)), strict=True)
            self._check_sizes(sizes)
        except BaseException:
            self._pool.close()
            raise
        self._in_flight: dict[Any, int] = {}
        self._processes: list[str] = list(processes)
        self._restarts = 0
        self._send_weights()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int | None = None,
        tb_log_name: str | None = None,
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> GoalOffPolicyAlgorithm:
        """
        Train the model, see Stable-Baselines3.

        :param total_timesteps: number of environment steps of all actors, rounded up to a whole number of blocks
        :param callback: called once per block
        :param log_interval: number of episodes between logs, 4 if None; there is at most one log per block
        :param tb_log_name: name of the run for TensorBoard, the name of the class if None
        :param reset_num_timesteps: whether to start counting steps from 0
        :param progress_bar: whether to show a progress bar
        :return: the model
        """
        check_at_least("total_timesteps", total_timesteps, 0)
        log_interval = self.model.default_log_interval if log_interval is None else log_interval
        check_integer("log_interval", log_interval, 1)
        model: Any = self.model
        name = tb_log_name or type(model).__name__
        total, callbacks = model._setup_learn(total_timesteps, callback, reset_num_timesteps, name, progress_bar)
        next_log = model._episode_num + log_interval
        self._waited, self._last_log = 0.0, time.monotonic()
        callbacks.on_training_start(locals(), globals())
        with matmul_precision(model.device, model.tf32):
            while model.num_timesteps < total:
                callbacks.on_rollout_start()
                block = self._next_block(total)
                self._store(block)
                callbacks.update_locals(locals())
                if not callbacks.on_step():
                    break
                callbacks.on_rollout_end()
                if model._episode_num >= next_log:
                    self._dump_logs()
                    next_log = model._episode_num + log_interval
                self._train()
        # Blocks that were collected after a callback stopped the training.
        self._in_flight.clear()
        callbacks.on_training_end()
        model._read_device()
        return self.model

    def close(self) -> None:
        """Stop the actors."""
        self._pool.close()

    def _next_block(self, total: int) -> Block:
        """Give each actor blocks to collect, and wait for one."""
        start = time.monotonic()
        for _ in range(_BLOCKS_AHEAD):
            for actor in range(len(self._pool)):
                self._request(actor, total)
        ready: list[Any] = []
        while not ready:
            ready, _ = self._pool.ray.wait(list(self._in_flight), timeout=PATIENCE_SECONDS)
            if not ready:
                self._pool.warn_of_waiting()
        actor = self._in_flight.pop(ready[0])
        block: Block = self._pool.get_now(ready[0])
        self._waited += time.monotonic() - start
        if self._processes[actor] != block.process:
            self._processes[actor] = block.process
            self._restarts += 1
            warnings.warn(
                f"Actor {actor} of {len(self._pool)} died and was restarted: its environments start new episodes.",
                stacklevel=3,
            )
        return block

    def _request(self, actor: int, total: int) -> None:
        """Let an actor collect a block, unless it has enough to do or the others suffice."""
        model = self.model
        missing = total - model.num_timesteps - len(self._in_flight) * self.steps_per_block * model.n_envs
        if missing <= 0 or list(self._in_flight.values()).count(actor) >= _BLOCKS_AHEAD:
            return
        if self._version != model._n_updates:
            self._send_weights()
        selector = None if model.goal_sampler is None else model.goal_sampler.goal_selector
        statistics = None if selector is None else (selector.seen, selector.attempts, selector.successes)
        arguments = (self._saved, self._weights, self._version, statistics, model.num_timesteps, total)
        self._in_flight[self._pool.actors[actor].collect.remote(*arguments)] = actor

    def _send_weights(self) -> None:
        self._weights = self._pool.ray.put(acting_weights(self.model.policy))
        self._version: int = self.model._n_updates

    def _store(self, block: Block) -> None:
        """Add a block to the replay buffer and to the statistics."""
        model: Any = self.model
        masks = np.unpackbits(block.packed_masks, axis=2, count=len(model.goal_names)).view(bool)
        dones, timeouts = block.dones.astype(bool), block.timeouts.astype(bool)
        # The next stored step is of another block.
        timeouts[-1] |= ~dones[-1]
        dones[-1] = True
        for step in range(len(dones)):
            infos = InfoList([{"TimeLimit.truncated": timeout} for timeout in timeouts[step].tolist()], masks[step])
            obs, next_obs = (_step_of(one, step) for one in (block.observations, block.next_observations))
            model.replay_buffer.add(obs, next_obs, block.actions[step], block.rewards[step], dones[step], infos)
            if model.goal_sampler is not None:
                before = masks[step - 1] & ~dones[step - 1][:, None] if step else np.zeros_like(masks[0])
                model.goal_sampler.goal_selector.discover(masks[step], before)
        model._update_normalizers({key: array.reshape(-1, *array.shape[2:]) for key, array in block.observations.items()})
        model._refresh_normalizers()
        if block.goal_statistics is not None and model.goal_sampler is not None:
            selector = model.goal_sampler.goal_selector
            seen, attempts, successes = block.goal_statistics
            selector.seen |= seen
            selector.attempts += attempts
            selector.successes += successes
        model.ep_info_buffer.extend(block.episodes)
        model.ep_success_buffer.extend(block.episode_successes)
        model._episode_num += block.num_episodes
        model.num_timesteps += dones.size
        model._update_current_progress_remaining(model.num_timesteps, model._total_timesteps)
        model._on_step()
        model.logger.record_mean("distributed/lag", model._n_updates - block.version)

    def _train(self) -> None:
        """Make the gradient steps of a block, as many per environment step as the model's own ``learn``."""
        model: Any = self.model
        if model.num_timesteps <= model.learning_starts:
            return
        gradient_steps = self._gradient_steps_due(model)
        if gradient_steps > 0:
            model.train(batch_size=model.batch_size, gradient_steps=gradient_steps)

    def _gradient_steps_due(self, model: Any) -> int:
        if model.replay_ratio is not None:
            return model.gradient_steps_of(self.steps_per_block * model.n_envs)
        per_update = model.gradient_steps if model.gradient_steps >= 0 else model.train_freq.frequency * model.n_envs
        steps = model.num_timesteps // model.n_envs
        # Differences of a whole number per step, so that nothing is lost between blocks, or if training is resumed.
        due = [per_update * number // model.train_freq.frequency for number in (steps - self.steps_per_block, steps)]
        return int(due[1] - due[0])

    def _dump_logs(self) -> None:
        now = time.monotonic()
        self.model.logger.record("distributed/waiting", self._waited / max(now - self._last_log, 1e-9))
        self.model.logger.record("distributed/restarts", self._restarts)
        self._waited, self._last_log = 0.0, now
        self.model.dump_logs()

    def _check_sizes(self, sizes: Sequence[int]) -> None:
        if set(sizes) != {self.model.n_envs}:
            raise ValueError(
                f"expected {self.model.n_envs} parallel environments in each actor, as the model has, got {list(sizes)}; "
                "create the model with as many, or pass another make_env"
            )


def _check_model(model: Any) -> None:
    check_instance("model", model, GoalOffPolicyAlgorithm, "pass a LEODQN, LEOTD3 or LEOSAC")
    if model.env is None:
        raise ValueError("expected a model with an environment, got None; pass one to set_env or load(..., env=...)")
    if not model.goal_names:
        raise ValueError("expected a finite goal set, got goals that are points; wrap the environment with MultiGoalWrapper")
    if model.get_vec_normalize_env() is not None:
        raise ValueError("expected no VecNormalize, got one; the policy normalizes its inputs itself")
    frequency = model.train_freq
    if getattr(frequency, "unit", TrainFrequencyUnit.STEP) != TrainFrequencyUnit.STEP:
        raise ValueError(f"expected train_freq in steps, got {frequency}; pass a number")


def _seed_of(model: GoalOffPolicyAlgorithm, actor: int) -> int | None:
    """Return the seed of an actor; actors of a resumed training must not repeat the episodes of its beginning."""
    if model.seed is None:
        return None
    return int(np.random.SeedSequence([model.seed, actor, model.num_timesteps]).generate_state(1)[0])


def _step_of(observations: dict[str, Any], step: int) -> dict[str, Any]:
    return {key: array[step] for key, array in observations.items()}
