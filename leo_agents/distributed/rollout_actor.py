"""An actor that collects transitions with a copy of the learner's policy."""

import io
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch as th
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit

from leo_agents.algorithms.env_wrapping import wrap_env
from leo_agents.algorithms.off_policy_algorithm import GoalOffPolicyAlgorithm
from leo_agents.distributed.env_shard import EnvFactory
from leo_agents.replay.goal_replay_buffer import GoalReplayBuffer
from leo_wrappers.goal_selector import GoalIds, GoalSelector
from leo_wrappers.goal_set import BoolArray
from leo_wrappers.keys import GOAL_KEY
from leo_wrappers.selection import GoalSelectorLike

Weights = Mapping[str, npt.NDArray[Any]]
GoalStatistics = tuple[BoolArray, GoalIds, GoalIds]
"""``seen``, ``attempts`` and ``successes`` of a goal selector, each ``[G]``."""
# Networks that choose no actions.
_NOT_FOR_ACTING = ("critic.", "critic_target.", "actor_target.", "q_net_target.")


class Block(NamedTuple):
    """Transitions of T steps of n environments; arrays start with ``[T, n]``, as in a replay buffer."""

    observations: dict[str, npt.NDArray[Any]]
    next_observations: dict[str, npt.NDArray[Any]]
    actions: npt.NDArray[Any]
    rewards: npt.NDArray[np.float32]
    dones: npt.NDArray[np.float32]
    timeouts: npt.NDArray[np.float32]
    packed_masks: npt.NDArray[np.uint8]
    episodes: list[dict[str, Any]]
    """Returns and lengths of finished episodes, from ``Monitor``."""
    episode_successes: list[bool]
    num_episodes: int
    goal_statistics: GoalStatistics | None
    """Goals seen, new attempts and new successes; None if the environments command their own goals."""
    version: int
    """Number of gradient steps of the weights that the actor acted with."""
    process: str
    """Identifies the process of the actor, which changes when it is restarted."""


class RolloutActor:
    """
    Collects blocks of transitions. The environments and the model are created when they are first used.

    :param make_env: creates the environments
    :param algorithm: class of the model
    :param goal_selector: the model's argument
    :param num_steps: steps per block, T
    :param seed: seed of environments and exploration, not used after a restart; None for no seed
    """

    def __init__(
        self,
        make_env: EnvFactory,
        algorithm: type[GoalOffPolicyAlgorithm],
        goal_selector: GoalSelectorLike | None,
        num_steps: int,
        seed: int | None,
    ) -> None:
        self._make_env, self._algorithm = make_env, algorithm
        self._goal_selector, self._num_steps, self._seed = goal_selector, num_steps, seed
        self._process = uuid.uuid4().hex
        self._version = -1
        self._model: Any = None

    def prepare(self, saved: list[Any]) -> tuple[int, str]:
        """
        Create environments and model.

        :param saved: list with a reference to the model as written by ``save``
        :return: number of environments, and what identifies the process
        """
        import ray

        if self._model is None:
            # The same seed again would repeat the episodes before a restart.
            was_restarted = ray.get_runtime_context().was_current_actor_reconstructed
            env = wrap_env(self._make_env())
            model: Any = self._algorithm.load(
                io.BytesIO(ray.get(saved[0])),
                env=env,
                device="cpu",
                seed=None if was_restarted else self._seed,
                verbose=0,
                buffer_size=self._num_steps * env.num_envs,
                replay_buffer_class=GoalReplayBuffer,
                replay_buffer_kwargs={},
            )
            if self._goal_selector is not None and model.goal_sampler is not None:
                model.goal_sampler.set_goal_selector(self._goal_selector)
                model.goal_sampler.goal_selector.seed(model.seed)
            model.set_logger(Logger(None, []))
            _, self._callback = model._setup_learn(0)
            self._model = model
        return self._model.n_envs, self._process

    def collect(
        self,
        saved: list[Any],
        weights: Weights,
        version: int,
        goal_statistics: GoalStatistics | None,
        num_timesteps: int,
        total_timesteps: int,
    ) -> Block:
        """
        Collect a block of transitions.

        :param saved: see :meth:`prepare`
        :param weights: weights of the policy
        :param version: number of gradient steps of the weights
        :param goal_statistics: statistics of all actors, for the choice of goals
        :param num_timesteps: steps of all actors so far, for the exploration
        :param total_timesteps: steps of the whole training
        :return: the transitions
        """
        self.prepare(saved)
        model = self._model
        if version != self._version:
            state = {name: th.as_tensor(np.array(value)) for name, value in weights.items()}
            model.policy.load_state_dict(state, strict=False)
            self._version = version
        model.num_timesteps, model._total_timesteps = num_timesteps, total_timesteps
        model._update_current_progress_remaining(num_timesteps, total_timesteps)
        model._on_step()
        selector = None if model.goal_sampler is None else model.goal_sampler.goal_selector
        if selector is not None and goal_statistics is not None:
            seen, attempts, successes = goal_statistics
            # The learner may not have the goals of the last block yet.
            selector.seen |= seen
            # Copies: arrays from Ray are read-only.
            selector.attempts, selector.successes = attempts.copy(), successes.copy()
        before = None if selector is None else (selector.attempts.copy(), selector.successes.copy())
        num_episodes = model._episode_num
        for statistics in (model.ep_info_buffer, model.ep_success_buffer):
            statistics.clear()
        model.replay_buffer.reset()
        frequency = TrainFreq(self._num_steps, TrainFrequencyUnit.STEP)
        model.collect_rollouts(
            model.env, self._callback, frequency, model.replay_buffer, model.action_noise, model.learning_starts
        )
        return self._block(model._episode_num - num_episodes, selector, before)

    def close(self) -> None:
        """Close the environments."""
        if self._model is not None:
            self._model.env.close()

    def _block(self, num_episodes: int, selector: GoalSelector | None, before: tuple[GoalIds, GoalIds] | None) -> Block:
        model, buffer = self._model, self._model.replay_buffer
        statistics = None
        if selector is not None and before is not None:
            statistics = (selector.seen, selector.attempts - before[0], selector.successes - before[1])
        return Block(
            observations={**buffer.observations, GOAL_KEY: buffer.goal_ids},
            next_observations=buffer.next_observations,
            actions=buffer.actions,
            rewards=buffer.rewards,
            dones=buffer.dones,
            timeouts=buffer.timeouts,
            packed_masks=buffer.packed_masks,
            episodes=list(model.ep_info_buffer),
            episode_successes=list(model.ep_success_buffer),
            num_episodes=num_episodes,
            goal_statistics=statistics,
            version=self._version,
            process=self._process,
        )


def acting_weights(policy: th.nn.Module) -> Weights:
    """
    Copy the weights of the networks that choose actions.

    :param policy: the policy of the learner
    :return: arrays by name
    """
    state = policy.state_dict()
    return {name: value.cpu().numpy().copy() for name, value in state.items() if not name.startswith(_NOT_FOR_ACTING)}
