"""Replay buffer that stores the mask of achieved goals of every transition."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.type_aliases import TensorDict
from stable_baselines3.common.utils import get_device
from stable_baselines3.common.vec_env import VecNormalize

from leo_agents.replay.action_scaling import scale_actions
from leo_agents.replay.buffer_arguments import check_buffer_arguments, check_device
from leo_agents.replay.device_storage import DeviceArray, to_device, unpack_bits
from leo_agents.replay.n_step_buffer import GoalWindow, NStepDictReplayBuffer
from leo_agents.replay.replay_size import check_replay_memory, packed_width, replay_nbytes
from leo_wrappers.infos import InfoList, achieved_from_infos, task_rewards_from_infos
from leo_wrappers.keys import ENDED_BY_GOAL_KEY, GOAL_KEY
from leo_wrappers.validation import check_bool, check_fraction, check_integer

if TYPE_CHECKING:
    from leo_agents.replay.goal_dataset import GoalDataset


class GoalReplayBufferSamples(NamedTuple):
    """
    The fields of SB3's ``DictReplayBufferSamples`` and the achieved goals.

    - ``goals_achieved``: mask of the transition as float32 ``[batch, goals]``.
    - ``goal_returns``: discounted return of each goal within the n-step window, float32 ``[batch, goals]``: ``gamma ** k``
      where the goal was first achieved k steps after the first step of the window, else 0. With ``n_steps=1`` it is
      ``goals_achieved``.
    - ``discounts``: ``gamma`` to the power of the window's length, ``[batch, 1]``; None with ``n_steps=1``. Tasks have their
      own, ``[batch, goals]``.
    - ``ended``: whether the window ends each task, bool ``[batch, goals]``; None for goals, which end where they are achieved.
    - ``next_observations``, ``dones``: at the end of the window. As in SB3, ``dones`` is 1 where the episode terminated, not
      where it was truncated.
    """

    observations: TensorDict
    actions: th.Tensor
    next_observations: TensorDict
    dones: th.Tensor
    rewards: th.Tensor
    discounts: th.Tensor | None
    goals_achieved: th.Tensor
    goal_returns: th.Tensor
    ended: th.Tensor | None = None
    window: GoalWindow | None = None

    def returns_of(self, goals: Any) -> th.Tensor:
        """Return the goal returns of some goals, ids ``[K]``, as ``[B, K]``; of all goals if None."""
        return self.goal_returns if goals is None else self.goal_returns[:, goals]

    def discounts_of(self, goals: Any, gamma: float) -> float | th.Tensor:
        """Return the discounts of the windows ``[B, 1]``, those of tasks as ``[B, K]``, ``gamma`` for one-step windows."""
        if self.discounts is None:
            return gamma
        return self.discounts if goals is None or self.ended is None else self.discounts[:, goals]

    def ended_of(self, goals: Any) -> th.Tensor | None:
        """Return which tasks the windows end, of some tasks as ``[B, K]``; None for goals."""
        return self.ended if goals is None or self.ended is None else self.ended[:, goals]


class GoalReplayBuffer(NStepDictReplayBuffer):
    """
    SB3's ``DictReplayBuffer`` that also stores the mask ``infos[i]["goals_achieved"]`` of each transition, bit-packed.

    One million transitions with 512 goals need 64 MB of masks. The commanded goal is stored once: sampled next observations
    have the goal that was commanded when the action was taken. As in SB3, sampling uses NumPy's global generator, which
    ``set_random_seed`` seeds.

    :param buffer_size: number of transitions, over all environments
    :param observation_space: a Dict space; the key ``goal_id`` may be missing
    :param action_space: the action space
    :param device: device of the samples
    :param n_envs: number of parallel environments
    :param optimize_memory_usage: not supported, as in ``DictReplayBuffer``
    :param handle_timeout_termination: separate truncation from termination by ``info["TimeLimit.truncated"]``
    :param num_goals: number of goals
    :param n_steps: length of the windows for n-step targets; for each goal the window ends where it is first achieved
    :param gamma: discount factor within the windows, for ``n_steps > 1``
    :param with_windows: whether samples have all steps of the windows
    :param verbose: print the memory usage if at least 1
    :param storage_device: where observations and masks are stored, as ``"cuda"``: samples there need no copy from the host.
        The memory of the host if None. Not for environments with ``VecNormalize``, and not for tasks
    :param task_discounts: discount factor of each task, of environments with tasks, whose ``infos[i]["task_rewards"]`` are
        stored too; None for other environments
    """

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
        num_goals: int,
        n_steps: int = 1,
        gamma: float = 0.99,
        with_windows: bool = False,
        verbose: int = 0,
        storage_device: th.device | str | None = None,
        task_discounts: Sequence[float] | None = None,
    ) -> None:
        check_buffer_arguments(
            buffer_size,
            observation_space,
            action_space,
            device,
            n_envs,
            optimize_memory_usage,
            handle_timeout_termination,
        )
        assert isinstance(observation_space, spaces.Dict)
        check_integer("num_goals", num_goals, 1)
        check_integer("n_steps", n_steps, 1, max(buffer_size // n_envs, 1))
        check_fraction("gamma", gamma)
        check_bool("with_windows", with_windows)
        self.num_goals = num_goals
        # Set by the algorithm, which compares them when it loads a buffer.
        self.goal_names: tuple[str, ...] = ()
        self.n_steps = n_steps
        self.gamma = gamma
        self.with_windows = with_windows
        # The parent class would store the goal twice, as int64.
        stored_space = spaces.Dict({key: space for key, space in observation_space.items() if key != GOAL_KEY})
        if not stored_space.spaces:
            raise ValueError(f"expected observations of more than the goal, got {observation_space}; add the state")
        if storage_device is not None:
            if task_discounts is not None:
                raise ValueError("expected no storage_device for tasks, got one; leave it out")
            check_device(storage_device)
            storage_device = get_device(storage_device)
        sizes = replay_nbytes(
            max(buffer_size // n_envs, 1), stored_space, action_space, n_envs, num_goals, task_discounts is not None
        )
        check_replay_memory(buffer_size, sizes, verbose, storage_device)
        super().__init__(
            buffer_size,
            stored_space,
            action_space,
            device,
            n_envs=n_envs,
            handle_timeout_termination=handle_timeout_termination,
        )
        self.has_goal_ids = GOAL_KEY in observation_space.spaces
        self.goal_ids = np.zeros((self.buffer_size, n_envs), dtype=np.int32)
        self.packed_masks: Any = np.zeros((self.buffer_size, n_envs, packed_width(num_goals)), dtype=np.uint8)
        self.task_discounts: Any = None if task_discounts is None else np.asarray(task_discounts, dtype=np.float64)
        num_rewards = 0 if task_discounts is None else num_goals
        self.task_rewards = np.zeros((self.buffer_size, n_envs, num_rewards), dtype=np.float32)
        self.storage_device = storage_device
        if storage_device is not None:
            self._store_on(storage_device)

    def _store_on(self, device: th.device) -> None:
        """Replace the arrays of observations and masks, still without memory, by arrays on a device."""
        for arrays in (self.observations, self.next_observations):
            arrays.update({key: DeviceArray.like(array, device) for key, array in arrays.items()})
        self.packed_masks = DeviceArray.like(self.packed_masks, device)

    def read_dataset(self, dataset: "GoalDataset") -> None:
        """
        Replace the transitions by those of a dataset, see :class:`~leo_agents.replay.n_step_buffer.NStepDictReplayBuffer`.

        :param dataset: the dataset
        """
        if self.task_discounts is not None:
            raise ValueError("expected goals, got tasks, whose rewards a dataset has not; train in the environment")
        super().read_dataset(dataset)
        self.packed_masks = self._stored(dataset.packed_masks[:, None])
        self.goal_ids = np.random.default_rng(0).integers(self.num_goals, size=(len(dataset), 1), dtype=np.int32)

    def extend(self, dataset: "GoalDataset") -> None:
        """
        Add the transitions of a dataset, the last ones if not all fit, so that training online goes on from them.

        They are split into as many parts as there are environments, and n-step windows end with their part. The commanded
        goals, which a dataset has not, are drawn uniformly.

        :param dataset: the dataset, of the spaces and goals of the buffer
        """
        assert isinstance(self.observation_space, spaces.Dict)
        dataset.check_matches(self.observation_space, self.action_space, self.goal_names)
        num_steps = min(len(dataset) // self.n_envs, self.buffer_size)
        first = len(dataset) - num_steps * self.n_envs
        parts = first + np.arange(num_steps * self.n_envs).reshape(self.n_envs, num_steps)
        goal_ids = np.random.default_rng(0).integers(self.num_goals, size=parts.shape)
        for step, rows in enumerate(parts.T):
            terminated, is_last = dataset.terminated[rows], step == num_steps - 1
            ended = dataset.ended[rows] | is_last
            masks = np.unpackbits(dataset.packed_masks[rows], axis=1, count=self.num_goals).view(bool)
            infos = InfoList([{"TimeLimit.truncated": bool(flag)} for flag in ended & ~terminated], masks)
            self.add(
                {key: array[rows] for key, array in dataset.observations.items()} | {GOAL_KEY: goal_ids[:, step]},
                {key: array[rows] for key, array in dataset.next_observations.items()},
                scale_actions(dataset.actions[rows], self.action_space),
                np.zeros(self.n_envs, dtype=np.float32),
                ended,
                infos,
            )

    def _stored(self, array: np.ndarray) -> Any:
        """Return an array on the device where the buffer stores observations and masks."""
        if self.storage_device is None:
            return array
        stored = DeviceArray.like(array[:0], self.storage_device)
        stored.values = to_device(np.array(array), self.storage_device)
        return stored

    def add(  # type: ignore[override]
        self,
        obs: dict[str, np.ndarray],
        next_obs: dict[str, np.ndarray],
        action: np.ndarray,
        reward: np.ndarray,
        done: np.ndarray,
        infos: list[dict[str, Any]],
    ) -> None:
        """
        Add one transition per environment.

        :param obs: observations before the step
        :param next_obs: observations after the step and before any reset
        :param action: actions
        :param reward: rewards
        :param done: whether the episodes ended
        :param infos: infos of the step, with ``goals_achieved``
        """
        achieved = achieved_from_infos(infos, self.n_envs)
        if achieved.shape != (self.n_envs, self.num_goals):
            raise ValueError(
                f"expected goals_achieved of shape ({self.n_envs}, {self.num_goals}), got {achieved.shape}; "
                "use the environment that the buffer was created for"
            )
        self.packed_masks[self.pos] = np.packbits(achieved, axis=1)
        if self.task_discounts is not None:
            self.task_rewards[self.pos] = task_rewards_from_infos(infos, self.num_goals)
        if self.has_goal_ids:
            self.goal_ids[self.pos] = obs[GOAL_KEY].reshape(self.n_envs)
        position = self.pos
        # The parent class reassigns entries of the dicts it gets.
        super().add(dict(obs), dict(next_obs), action, reward, done, infos)
        for row in np.flatnonzero(done):
            if infos[row].get(ENDED_BY_GOAL_KEY, False):
                # Done for the commanded goal only: the other goals bootstrap, as after a truncation.
                self.timeouts[position, row] = 1.0

    def _get_samples(  # type: ignore[override]
        self, batch_inds: np.ndarray, env: VecNormalize | None = None
    ) -> GoalReplayBufferSamples:
        if self.storage_device is not None and env is not None:
            raise ValueError("expected no VecNormalize with storage_device, got one; leave out storage_device")
        env_inds = np.random.randint(0, self.n_envs, size=len(batch_inds))
        lengths = self._window_lengths(batch_inds, env_inds)
        last_inds = (batch_inds + lengths - 1) % self.buffer_size
        terminated = self.dones[last_inds, env_inds] * (1 - self.timeouts[last_inds, env_inds])
        goals_achieved = goal_returns = self.to_torch(self._unpack(batch_inds, env_inds), copy=False)
        discounts = ended = None
        if self.task_discounts is not None:
            parts = self._task_returns(batch_inds, env_inds, lengths)
            goal_returns, discounts, ended = (self.to_torch(part, copy=False) for part in parts)
        elif self.n_steps > 1:
            goal_returns = self.to_torch(self._goal_returns(batch_inds, env_inds, lengths), copy=False)
            discounts = self.to_torch((self.gamma**lengths).astype(np.float32).reshape(-1, 1), copy=False)
        observations = self._observations(self.observations, *self._rows(batch_inds, env_inds), env)
        next_observations = self._observations(self.next_observations, *self._rows(last_inds, env_inds), env)
        return GoalReplayBufferSamples(
            observations=self._with_commanded_goals(observations, batch_inds, env_inds),
            actions=self.to_torch(self.actions[batch_inds, env_inds], copy=False),
            next_observations=self._with_commanded_goals(next_observations, batch_inds, env_inds),
            dones=self.to_torch(terminated.reshape(-1, 1), copy=False),
            rewards=self.to_torch(self._normalize_reward(self.rewards[batch_inds, env_inds].reshape(-1, 1), env)),
            discounts=discounts,
            goals_achieved=goals_achieved,
            goal_returns=goal_returns,
            ended=ended,
            window=self._window(batch_inds, env_inds, lengths, env) if self.with_windows else None,
        )

    def _window(
        self, batch_inds: np.ndarray, env_inds: np.ndarray, lengths: np.ndarray, env: VecNormalize | None
    ) -> GoalWindow:
        """Return all steps of windows, ``n_steps`` of each."""
        steps = np.arange(self.n_steps)[:, None]
        inds = ((batch_inds + np.minimum(steps, lengths - 1)) % self.buffer_size).flatten()
        rows = np.tile(env_inds, self.n_steps)
        later = inds[len(batch_inds) :], rows[len(batch_inds) :]
        grid = (self.n_steps, len(batch_inds))
        terminated = self.dones[inds, rows] * (1 - self.timeouts[inds, rows])
        rewards = goals_achieved = self.to_torch(self._unpack(inds, rows), copy=False).view(*grid, -1)
        discounts = None
        if self.task_discounts is not None:
            rewards = self.to_torch(self.task_rewards[inds, rows], copy=False).view(*grid, -1)
            discounts = self.to_torch(self.task_discounts.astype(np.float32))
        return GoalWindow(
            observations=self._observations(self.observations, *self._rows(*later), env),
            actions=self.to_torch(self.actions[later], copy=False),
            goals_achieved=goals_achieved,
            rewards=rewards,
            discounts=discounts,
            terminated=self.to_torch(terminated, copy=False).view(grid),
            ends=self.to_torch(steps >= lengths - 1, copy=False),
        )

    def _rows(self, inds: np.ndarray, env_inds: np.ndarray) -> tuple[Any, Any]:
        """Return indices of transitions, on the device if they are stored there."""
        return (inds, env_inds) if self.storage_device is None else (self.to_torch(inds), self.to_torch(env_inds))

    def _with_commanded_goals(self, observations: TensorDict, inds: np.ndarray, env_inds: np.ndarray) -> TensorDict:
        """Add the goals commanded at ``inds`` to observations."""
        if self.has_goal_ids:
            goal_ids = self.goal_ids[inds, env_inds].astype(np.int64).reshape(-1, 1)
            observations[GOAL_KEY] = self.to_torch(goal_ids, copy=False)
        return observations

    def _goal_returns(self, batch_inds: np.ndarray, env_inds: np.ndarray, lengths: np.ndarray) -> Any:
        """Return ``gamma ** k`` for the first step ``k`` of the window that achieved the goal, else 0."""
        returns = self._unpack(batch_inds, env_inds)
        for step in range(1, self.n_steps):
            rows = np.flatnonzero(lengths > step)
            later = self._unpack((batch_inds[rows] + step) % self.buffer_size, env_inds[rows])
            later *= self.gamma**step
            if isinstance(returns, np.ndarray):
                returns[rows] = np.maximum(returns[rows], later)
            else:
                indices = self.to_torch(rows)
                returns[indices] = th.maximum(returns[indices], later)
        return returns

    def _task_returns(self, batch_inds: np.ndarray, env_inds: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the discounted sums of the tasks' rewards in the windows, their discounts, and whether they ended."""
        returns = np.zeros((len(batch_inds), self.num_goals), dtype=np.float32)
        ended = np.zeros(returns.shape, dtype=np.bool_)
        for step in range(self.n_steps):
            rows = np.flatnonzero(lengths > step)
            inds = (batch_inds[rows] + step) % self.buffer_size, env_inds[rows]
            returns[rows] += ~ended[rows] * self.task_rewards[inds] * (self.task_discounts**step).astype(np.float32)
            ended[rows] |= self._unpack(*inds) > 0
        return returns, (self.task_discounts ** lengths[:, None]).astype(np.float32), ended

    def _unpack(self, batch_inds: np.ndarray, env_inds: np.ndarray) -> Any:
        """Return masks of transitions as float32 ``[batch, goals]``: an array, or a tensor if they are on a device."""
        packed = self.packed_masks[self._rows(batch_inds, env_inds)]
        if isinstance(packed, th.Tensor):
            return unpack_bits(packed, self.num_goals)
        return np.unpackbits(packed, axis=1, count=self.num_goals).astype(np.float32)
