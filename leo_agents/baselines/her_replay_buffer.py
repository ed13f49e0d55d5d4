"""Hindsight Experience Replay for goals that are told by masks."""

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.type_aliases import DictReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize

from leo_agents.baselines.relabelling import Ids, RelabellingReplayBuffer
from leo_wrappers.keys import DESIRED_GOAL_KEY, ENDED_BY_GOAL_KEY

HindsightStrategy = Literal["final", "future", "episode", "random"]

# The end of an episode that has not ended yet.
_OPEN = np.iinfo(np.int64).max


class MaskHerReplayBuffer(RelabellingReplayBuffer):
    """
    Hindsight Experience Replay (https://arxiv.org/abs/1707.01495): of the sampled rows, a share of ``k / (k + 1)`` is given a
    goal that some state was later found to achieve.

    For each such row a step is chosen, and the new goal is drawn uniformly from those achieved after that step. Where that
    state achieved no goal at all, the row keeps the goal that was commanded. The step is, of the same episode, with

    - ``"future"``: any from the row's own step on, the row's own included
    - ``"final"``: the last one
    - ``"episode"``: any

    and with ``"random"`` any step in the buffer.

    An episode here is a stretch of one environment's steps between physical ends. Reaching the commanded goal is no such end:
    where the environment runs on with another goal, hindsight looks past the change. Where it was reset instead (or by a new
    call of ``learn``), the next observation does not continue the last one, and that ends the episode too. An episode still
    under way counts up to its newest step, one overwritten in part from its oldest step left, so that every transition
    stored can be sampled at any time.

    The arguments are those of :class:`~leo_agents.baselines.relabelling.RelabellingReplayBuffer`, and:

    :param n_sampled_goal: k, the number of relabelled rows for each one with its own goal; 0 relabels nothing
    :param goal_selection_strategy: ``"future"``, ``"final"``, ``"episode"`` or ``"random"``

    Example::

        >>> import numpy as np
        >>> from gymnasium import spaces
        >>> space = spaces.Dict({"observation": spaces.Box(0, 9, (1,)), "goal_id": spaces.Discrete(10)})
        >>> buffer = MaskHerReplayBuffer(100, space, spaces.Discrete(2), n_sampled_goal=4, goal_selection_strategy="final")
        >>> for x in range(4):  # goal g is to be at x = g, goal 9 is commanded
        ...     obs, next_obs = ({"observation": np.array([[x + dx]]), "goal_id": np.array([9])} for dx in (0, 1))
        ...     infos = [{"goals_achieved": np.arange(10) == x + 1}]
        ...     buffer.add(obs, next_obs, np.array([1]), np.array([0.0]), np.array([x == 3]), infos)
        >>> buffer.sample(5).observations["goal_id"].flatten()
        tensor([4, 4, 4, 4, 9])
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
        n_sampled_goal: int = 4,
        goal_selection_strategy: HindsightStrategy = "future",
        goal_points: npt.ArrayLike | None = None,
        goal_key: str = "goal_id",
        verbose: int = 0,
    ) -> None:
        if goal_selection_strategy not in get_args(HindsightStrategy):
            raise ValueError(
                f"expected goal_selection_strategy to be one of {get_args(HindsightStrategy)}, got {goal_selection_strategy!r}"
            )
        if n_sampled_goal < 0:
            raise ValueError(f"expected n_sampled_goal of at least 0, got {n_sampled_goal}; 4 is usual, 0 relabels nothing")
        super().__init__(
            buffer_size,
            observation_space,
            action_space,
            device,
            n_envs,
            optimize_memory_usage,
            handle_timeout_termination,
            goal_points=goal_points,
            goal_key=goal_key,
            verbose=verbose,
        )
        self.n_sampled_goal = n_sampled_goal
        self.her_ratio = n_sampled_goal / (n_sampled_goal + 1)
        self.goal_selection_strategy = goal_selection_strategy
        # The first and the last step of each stored step's episode, counted from the first step ever added.
        self.first_steps = np.zeros((self.buffer_size, n_envs), dtype=np.int64)
        self.last_steps = np.full((self.buffer_size, n_envs), _OPEN, dtype=np.int64)
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        super().reset()
        self.num_steps = 0
        self._current_first = np.zeros(self.n_envs, dtype=np.int64)
        self._ended = np.ones(self.n_envs, dtype=bool)

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
        Store one transition of every environment.

        :param obs: observations before the step
        :param next_obs: observations after the step and before any reset
        :param action: actions
        :param reward: rewards; not used, the masks tell them
        :param done: whether the episodes ended
        :param infos: the step's infos, which hold ``goals_achieved``
        """
        position = self.pos
        super().add(obs, next_obs, action, reward, done, infos)
        starts = self._ended | ~self._continues(position)
        for env_ind in np.flatnonzero(starts & (self.num_steps > 0)):
            self._close_episode(int(env_ind))
        self._current_first[starts] = self.num_steps
        self.first_steps[position] = self._current_first
        self.last_steps[position] = _OPEN
        self._ended = np.asarray(done, dtype=bool) & ~np.array([bool(info.get(ENDED_BY_GOAL_KEY)) for info in infos])
        self.num_steps += 1

    def _continues(self, position: int) -> npt.NDArray[np.bool_]:
        """
        Whether the step just stored begins where the one before it ended, environment by environment. As stored, so that both
        went through the same rounding; the command is no part of the state.
        """
        if self.num_steps == 0:
            return np.zeros(self.n_envs, dtype=bool)
        before = (position - 1) % self.buffer_size
        same = np.ones(self.n_envs, dtype=bool)
        for key, observations in self.observations.items():
            if key != DESIRED_GOAL_KEY:
                equal = observations[position] == self.next_observations[key][before]
                same &= equal.reshape(self.n_envs, -1).all(axis=1)
        return same

    def _close_episode(self, env_ind: int) -> None:
        """The step before the one just stored was the last of its episode."""
        oldest = self.num_steps - self.buffer_size + 1
        steps = np.arange(max(self._current_first[env_ind], oldest), self.num_steps)
        self.last_steps[steps % self.buffer_size, env_ind] = self.num_steps - 1

    def _get_samples(self, batch_inds: np.ndarray, env: VecNormalize | None = None) -> DictReplayBufferSamples:  # type: ignore[override]
        env_inds = np.random.randint(0, self.n_envs, size=len(batch_inds))
        goals = self.goal_ids[batch_inds, env_inds].astype(np.int64)
        relabelled = round(self.her_ratio * len(batch_inds))
        hindsight = self._hindsight_goals(batch_inds[:relabelled], env_inds[:relabelled])
        goals[:relabelled] = np.where(hindsight >= 0, hindsight, goals[:relabelled])
        return self._relabelled(batch_inds, env_inds, goals[:, None], env)

    def _hindsight_goals(self, inds: Ids, env_inds: Ids) -> npt.NDArray[np.int64]:
        """A goal for each transition that the strategy's state achieved, -1 where it achieved none."""
        steps, envs = self._chosen_steps(inds, env_inds)
        masks = np.unpackbits(self.packed_masks[steps % self.buffer_size, envs], axis=1, count=self.num_goals)
        counts = masks.sum(axis=1, dtype=np.int64)
        _, achieved = np.nonzero(masks)  # row by row
        offsets = np.cumsum(counts) - counts
        some = counts > 0
        goals = np.full(len(inds), -1, dtype=np.int64)
        goals[some] = achieved[offsets[some] + np.random.randint(0, counts[some])]
        return goals

    def _chosen_steps(self, inds: Ids, env_inds: Ids) -> tuple[Ids, Ids]:
        """The steps whose states tell the new goals, counted from the first step ever added, and their environments."""
        newest = self.num_steps - 1
        oldest = max(0, self.num_steps - self.buffer_size)
        last = np.minimum(self.last_steps[inds, env_inds], newest)
        if self.goal_selection_strategy == "final":
            return last, env_inds
        if self.goal_selection_strategy == "future":
            own = newest - (newest - inds) % self.buffer_size
            return np.random.randint(own, last + 1), env_inds
        if self.goal_selection_strategy == "episode":
            first = np.maximum(self.first_steps[inds, env_inds], oldest)
            return np.random.randint(first, last + 1), env_inds
        steps = np.random.randint(oldest, newest + 1, size=len(inds))
        return steps, np.random.randint(0, self.n_envs, size=len(inds))
