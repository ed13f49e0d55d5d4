"""Replay buffer that relabels sequences of goals in hindsight."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.type_aliases import DictReplayBufferSamples, TensorDict
from stable_baselines3.common.vec_env import VecNormalize

from leo_agents.baselines.episode_replay_buffer import EpisodeReplayBuffer
from leo_agents.replay.episode_bounds import EpisodeBounds, Ids
from leo_wrappers.goal_sequence import next_sequences
from leo_wrappers.keys import SEQUENCE_KEY
from leo_wrappers.validation import check_integer

IntArray = npt.NDArray[np.int64]


class SequenceReplayBuffer(EpisodeReplayBuffer):
    """
    Replay buffer for sequences of goals, in the format of SB3's ``DictReplayBuffer``: a fraction ``k / (k + 1)`` of the
    sampled rows is relabeled with goals that the rest of the episode achieved, in this order (as the instructions of AMAGO,
    https://arxiv.org/abs/2310.09971).

    For each of these rows a length is drawn uniformly, then as many different steps of the same episode from the row's own one
    on, and of each step a goal uniformly from those that it achieved; steps that achieved none are left out. If no goal is
    left, the row keeps its commanded sequence. Reward and done are those of the relabeled sequence: the reward is 1 if the
    transition achieved its last goal; done is 1 if it did or if the environment terminated.

    The other arguments are those of SB3's ``DictReplayBuffer``.

    :param observation_space: of a :class:`~leo_wrappers.GoalSequenceWrapper`
    :param n_sampled_goal: k, the number of relabeled rows per row with its own sequence; 0 disables relabeling
    :param verbose: 1 to print the required memory

    Example::

        >>> import numpy as np
        >>> from gymnasium import spaces
        >>> sequences = spaces.MultiDiscrete([4, 4])  # of at most two of three goals
        >>> space = spaces.Dict({"observation": spaces.Box(0, 9, (1,)), "goal_sequence": sequences})
        >>> buffer = SequenceReplayBuffer(100, space, spaces.Discrete(2), n_sampled_goal=10**6)
        >>> for x in range(2):  # goal g is x = g
        ...     obs, next_obs = ({"observation": [[x + dx]], "goal_sequence": [[0, 3]]} for dx in (0, 1))
        ...     mask = {"goals_achieved": np.arange(3) == x + 1}
        ...     obs, next_obs = ({key: np.array(value) for key, value in one.items()} for one in (obs, next_obs))
        ...     buffer.add(obs, next_obs, np.array([1]), np.array([0.0]), np.array([x == 1]), [mask])
        >>> rows = buffer.sample(100).observations
        >>> sorted({(int(x), *goals.tolist()) for x, goals in zip(rows["observation"], rows["goal_sequence"])})
        [(0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3)]
    """

    command_key = SEQUENCE_KEY

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        device: th.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        handle_timeout_termination: bool = True,
        *,
        n_sampled_goal: int = 4,
        verbose: int = 0,
    ) -> None:
        check_integer("n_sampled_goal", n_sampled_goal, 0)
        super().__init__(
            buffer_size,
            observation_space,
            action_space,
            device,
            n_envs,
            optimize_memory_usage,
            handle_timeout_termination,
            num_goals=num_sequence_goals(observation_space),
            verbose=verbose,
        )
        self.n_sampled_goal = n_sampled_goal
        self.her_ratio = n_sampled_goal / (n_sampled_goal + 1)
        self.episodes = EpisodeBounds(self.buffer_size, n_envs)

    def _get_samples(self, batch_inds: np.ndarray, env: VecNormalize | None = None) -> DictReplayBufferSamples:  # type: ignore[override]
        env_inds = np.random.randint(0, self.n_envs, size=len(batch_inds))
        sequences = self.observations[SEQUENCE_KEY][batch_inds, env_inds].astype(np.int64)
        num_relabeled = round(self.her_ratio * len(batch_inds))
        hindsight = self._hindsight_sequences(batch_inds[:num_relabeled], env_inds[:num_relabeled], sequences.shape[1])
        found = hindsight[:, :1] < self.num_goals
        sequences[:num_relabeled] = np.where(found, hindsight, sequences[:num_relabeled])
        return self._relabel(batch_inds, env_inds, sequences, env)

    def _hindsight_sequences(self, inds: Ids, env_inds: Ids, max_length: int) -> IntArray:
        """Draw goals that were achieved in order from each transition on, ids ``[B, L]`` filled up with G."""
        steps = self.episodes.steps_of(inds)[:, None]
        num_steps = self.episodes.last(inds, env_inds)[:, None] - steps + 1
        lengths = np.minimum(np.random.randint(1, max_length + 1, size=(len(inds), 1)), num_steps)
        # Sorted draws plus 0, 1, 2, ... are different steps.
        slots = np.arange(max_length)
        draws = (np.random.random((len(inds), max_length)) * (num_steps - lengths + 1)).astype(np.int64)
        draws = np.sort(np.where(slots < lengths, draws, num_steps), axis=1) + slots
        rows = ((steps + np.minimum(draws, num_steps - 1)) % self.buffer_size, np.broadcast_to(env_inds[:, None], draws.shape))
        masks = np.unpackbits(self.packed_masks[rows], axis=2, count=self.num_goals)
        # The largest of random keys of the achieved goals.
        keys = np.where(masks, np.random.random(masks.shape), -1.0)
        goals = np.where((keys.max(axis=2) < 0.0) | (slots >= lengths), self.num_goals, keys.argmax(axis=2))
        return np.take_along_axis(goals, np.argsort(goals == self.num_goals, axis=1, kind="stable"), axis=1)

    def _relabel(self, inds: Ids, env_inds: Ids, sequences: IntArray, env: VecNormalize | None) -> DictReplayBufferSamples:
        """Return transitions with other sequences ``[B, L]``, and the rewards and dones of these."""
        following = next_sequences(sequences, self._unpack(inds, env_inds) > 0)
        completed = (sequences[:, 0] < self.num_goals) & (following[:, 0] == self.num_goals)
        rewards = completed.astype(np.float32)[:, None]
        # Truncations and episodes that ended by completing the commanded sequence are stored as timeouts; they bootstrap.
        terminated = self.dones[inds, env_inds] * (1 - self.timeouts[inds, env_inds])
        dones = np.maximum(rewards, terminated[:, None])
        return DictReplayBufferSamples(
            observations=self._with_sequences(self.observations, inds, env_inds, sequences, env),
            actions=self.to_torch(self.actions[inds, env_inds], copy=False),
            next_observations=self._with_sequences(self.next_observations, inds, env_inds, following, env),
            dones=self.to_torch(dones, copy=False),
            rewards=self.to_torch(self._normalize_reward(rewards, env), copy=False),
        )

    def _with_sequences(
        self, stored: dict[str, Any], inds: Ids, env_inds: Ids, sequences: IntArray, env: VecNormalize | None
    ) -> TensorDict:
        tensors = self._observations(stored, inds, env_inds, env)
        tensors[SEQUENCE_KEY] = self.to_torch(sequences, copy=False)
        return tensors


def num_sequence_goals(observation_space: spaces.Space[Any]) -> int:
    """
    Return the number of goals, G, of an environment that commands sequences.

    :param observation_space: of a :class:`~leo_wrappers.GoalSequenceWrapper`
    :return: number of goals
    """
    space = observation_space.spaces.get(SEQUENCE_KEY) if isinstance(observation_space, spaces.Dict) else None
    if not isinstance(space, spaces.MultiDiscrete) or space.nvec.ndim != 1 or len(set(space.nvec.tolist())) != 1:
        raise ValueError(
            f"expected observations with {SEQUENCE_KEY!r}, got {observation_space}; wrap the environment with "
            "GoalSequenceWrapper"
        )
    if len(observation_space.spaces) == 1:  # type: ignore[attr-defined]
        raise ValueError(f"expected observations of more than the goals, got {observation_space}; add the state")
    return int(space.nvec[0]) - 1
