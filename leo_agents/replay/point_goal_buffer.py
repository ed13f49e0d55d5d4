"""Replay buffer for goals that are points: the goals of an update are drawn when it samples the transitions."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.type_aliases import TensorDict
from stable_baselines3.common.vec_env import VecNormalize

from leo_agents.networks.candidate_goals import CandidateGoals
from leo_agents.replay.buffer_arguments import check_buffer_arguments
from leo_agents.replay.episode_bounds import EpisodeBounds, Ids, continues_episode
from leo_agents.replay.n_step_buffer import NStepDictReplayBuffer
from leo_wrappers.keys import ACHIEVED_GOAL_KEY, DESIRED_GOAL_KEY
from leo_wrappers.validation import check_callable, check_fraction, check_integer

if TYPE_CHECKING:
    from leo_agents.replay.goal_dataset import GoalDataset

Points = npt.NDArray[Any]
GoalTest = Callable[[Points, Points], npt.NDArray[np.bool_]]
"""Returns which achieved points ``[M, d]`` achieve which desired points ``[M, d]``, as bool ``[M]``."""

# Future steps drawn for each own goal; the first one whose goal is not true already is used.
_TRIALS = 4


class PointGoalReplayBufferSamples(NamedTuple):
    """
    The fields of SB3's ``DictReplayBufferSamples``, candidate goals and their returns.

    - ``goals``: points drawn for this batch, K per row.
    - ``goal_returns``: discounted return of each of them within the n-step window, float32 ``[batch, K]``: ``gamma ** k``
      where it was first achieved k steps after the first step of the window, else 0.
    - ``discounts``: ``gamma`` to the power of the window's length, ``[batch, 1]``.
    - ``next_observations``, ``dones``: at the end of the window. As in SB3, ``dones`` is 1 where the episode terminated, not
      where it was truncated.
    """

    observations: TensorDict
    actions: th.Tensor
    next_observations: TensorDict
    dones: th.Tensor
    rewards: th.Tensor
    discounts: th.Tensor
    goals: CandidateGoals
    goal_returns: th.Tensor

    def returns_of(self, goals: Any) -> th.Tensor:
        """Return the goal returns ``[batch, K]``; the goals are those of the batch."""
        return self.goal_returns

    def discounts_of(self, goals: Any, gamma: float) -> th.Tensor:
        """Return the discounts of the windows ``[batch, 1]``."""
        return self.discounts

    def ended_of(self, goals: Any) -> None:
        """Return None: goals end where they are achieved."""


class PointGoalReplayBuffer(NStepDictReplayBuffer):
    """
    SB3's ``DictReplayBuffer`` of a goal environment, which draws K goals for each transition that it samples.

    ``shared_goals`` of them are drawn once for the batch: half are commanded goals and half are points achieved at any step in
    the buffer. ``own_goals`` are points achieved later in the transition's own episode, as in HER's "future" strategy, if
    possible ones that are not true already before the step. As in SB3, sampling uses NumPy's global generator.

    :param buffer_size: number of transitions, over all environments
    :param observation_space: a Dict space with ``achieved_goal`` and ``desired_goal``
    :param action_space: the action space
    :param device: device of the samples
    :param n_envs: number of parallel environments
    :param optimize_memory_usage: not supported, as in ``DictReplayBuffer``
    :param handle_timeout_termination: separate truncation from termination by ``info["TimeLimit.truncated"]``
    :param n_steps: length of the windows for n-step targets; for each goal the window ends where it is first achieved
    :param gamma: discount factor within the windows
    :param shared_goals: number of goals that all rows of a batch have in common
    :param own_goals: number of goals of each row's own
    :param goal_test: which points achieve which goals; set by the algorithm
    :param verbose: not used
    """

    goal_test: GoalTest | None

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
        n_steps: int = 1,
        gamma: float = 0.99,
        shared_goals: int = 16,
        own_goals: int = 1,
        goal_test: GoalTest | None = None,
        verbose: int = 0,
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
        for key in (ACHIEVED_GOAL_KEY, DESIRED_GOAL_KEY):
            if not isinstance(observation_space.spaces.get(key), spaces.Box):
                raise ValueError(f"expected {key!r} to be a Box of points, got {observation_space}; use a goal environment")
        if goal_test is not None:
            check_callable("goal_test", goal_test)
        check_integer("n_steps", n_steps, 1, max(buffer_size // n_envs, 1))
        check_fraction("gamma", gamma)
        check_integer("shared_goals", shared_goals, 0)
        check_integer("own_goals", own_goals, 0 if shared_goals else 1)
        super().__init__(
            buffer_size,
            observation_space,  # type: ignore[arg-type]
            action_space,
            device,
            n_envs=n_envs,
            optimize_memory_usage=optimize_memory_usage,
            handle_timeout_termination=handle_timeout_termination,
        )
        self.n_steps = n_steps
        self.gamma = gamma
        self.shared_goals = shared_goals
        self.own_goals = own_goals
        self.goal_test = goal_test
        # Without a finite goal set; set by the algorithm for all buffers.
        self.goal_names: tuple[str, ...] = ()
        self.episodes = EpisodeBounds(self.buffer_size, n_envs)

    def __getstate__(self) -> dict[str, Any]:
        # The goal test asks the environment, which is saved with the algorithm, if at all.
        return {**self.__dict__, "goal_test": None}

    def reset(self) -> None:
        """Empty the buffer."""
        super().reset()
        self.episodes = EpisodeBounds(self.buffer_size, self.n_envs)

    def read_dataset(self, dataset: "GoalDataset") -> None:
        """
        Replace the transitions by those of a dataset, see :class:`~leo_agents.replay.n_step_buffer.NStepDictReplayBuffer`. The
        commanded goals are points that the dataset achieves, its masks are not used.

        :param dataset: the dataset
        """
        super().read_dataset(dataset)
        achieved = self.next_observations[ACHIEVED_GOAL_KEY]
        drawn = np.random.default_rng(0).integers(len(dataset), size=len(dataset))
        commanded = achieved[drawn].astype(self.observation_space[DESIRED_GOAL_KEY].dtype)  # type: ignore[index]
        for observations in (self.observations, self.next_observations):
            observations[DESIRED_GOAL_KEY] = commanded
        self.episodes = EpisodeBounds.of_ends(dataset.ended)

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
        :param reward: rewards; not used by the targets, which ask ``goal_test``
        :param done: whether the episodes ended
        :param infos: infos of the step
        """
        position = self.pos
        # The parent class reassigns entries of the dicts it gets.
        super().add(dict(obs), dict(next_obs), action, reward, done, infos)
        continues = continues_episode(self.observations, self.next_observations, position, DESIRED_GOAL_KEY)
        self.episodes.add(continues, done)

    def _get_samples(  # type: ignore[override]
        self, batch_inds: np.ndarray, env: VecNormalize | None = None
    ) -> PointGoalReplayBufferSamples:
        env_inds = np.random.randint(0, self.n_envs, size=len(batch_inds))
        lengths = self._window_lengths(batch_inds, env_inds)
        last_inds = (batch_inds + lengths - 1) % self.buffer_size
        terminated = self.dones[last_inds, env_inds] * (1 - self.timeouts[last_inds, env_inds])
        shared = self._draw_shared_goals()
        own = self._draw_own_goals(batch_inds, env_inds)
        goals = np.concatenate([np.broadcast_to(shared, (len(batch_inds), *shared.shape)), own], axis=1)
        return PointGoalReplayBufferSamples(
            observations=self._observations(self.observations, batch_inds, env_inds, env),
            actions=self.to_torch(self.actions[batch_inds, env_inds], copy=False),
            next_observations=self._observations(self.next_observations, last_inds, env_inds, env),
            dones=self.to_torch(terminated.reshape(-1, 1), copy=False),
            rewards=self.to_torch(self._normalize_reward(self.rewards[batch_inds, env_inds].reshape(-1, 1), env)),
            discounts=self.to_torch((self.gamma**lengths).astype(np.float32).reshape(-1, 1), copy=False),
            goals=CandidateGoals(self.to_torch(shared, copy=False), self.to_torch(own, copy=False)),
            goal_returns=self.to_torch(self._goal_returns(batch_inds, env_inds, lengths, goals), copy=False),
        )

    def _draw_shared_goals(self) -> Points:
        """Draw goals for all rows ``[S, d]``: half of them commanded, the others achieved at any step."""
        steps = np.random.randint(self.episodes.oldest, self.episodes.newest + 1, size=self.shared_goals)
        positions, env_inds = steps % self.buffer_size, np.random.randint(0, self.n_envs, size=self.shared_goals)
        goals = self.next_observations[ACHIEVED_GOAL_KEY][positions, env_inds]
        commanded = slice(self.shared_goals // 2)
        goals[commanded] = self.observations[DESIRED_GOAL_KEY][positions[commanded], env_inds[commanded]]
        return goals

    def _draw_own_goals(self, batch_inds: Ids, env_inds: Ids) -> Points:
        """Draw goals for each row ``[batch, k, d]`` from those achieved from this step to the end of its episode."""
        if self.own_goals == 0:
            return np.empty((len(batch_inds), 0, *self.next_observations[ACHIEVED_GOAL_KEY].shape[2:]), dtype=np.float32)
        first, last = self.episodes.steps_of(batch_inds), self.episodes.last(batch_inds, env_inds)
        shape = (len(batch_inds), self.own_goals, _TRIALS)
        steps = np.random.randint(first[:, None, None], last[:, None, None] + 1, size=shape)
        trials = self.next_observations[ACHIEVED_GOAL_KEY][steps % self.buffer_size, env_inds[:, None, None]]
        before = self.observations[ACHIEVED_GOAL_KEY][batch_inds, env_inds][:, None, None]
        # The first trial that is not true already; the first one of all if there is none.
        chosen = self._achieves(before, trials).argmin(axis=2)
        return np.take_along_axis(trials, chosen[:, :, None, None], axis=2)[:, :, 0]

    def _goal_returns(self, batch_inds: Ids, env_inds: Ids, lengths: Ids, goals: Points) -> npt.NDArray[np.float32]:
        """Return ``gamma ** k`` for the first step ``k`` of the window that achieved the goal, else 0, ``[batch, K]``."""
        returns = np.zeros(goals.shape[:2], dtype=np.float32)
        # Backwards, so that the first step that achieved a goal is the last one written.
        for step in reversed(range(self.n_steps)):
            rows = np.flatnonzero(lengths > step)
            points = self.next_observations[ACHIEVED_GOAL_KEY][(batch_inds[rows] + step) % self.buffer_size, env_inds[rows]]
            achieved = self._achieves(points[:, None], goals[rows])
            returns[rows] = np.where(achieved, np.float32(self.gamma**step), returns[rows])
        return returns

    def _achieves(self, points: Points, goals: Points) -> npt.NDArray[np.bool_]:
        """Apply the goal test to all pairs of broadcast points ``[..., d]``."""
        if self.goal_test is None:
            raise ValueError("expected a goal_test to sample, got None; set it, or let the algorithm create the buffer")
        shape = np.broadcast_shapes(points.shape, goals.shape)
        flat = (-1, shape[-1])
        achieved = self.goal_test(np.broadcast_to(points, shape).reshape(flat), np.broadcast_to(goals, shape).reshape(flat))
        return achieved.reshape(shape[:-1])
