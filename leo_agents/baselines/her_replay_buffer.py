"""Hindsight Experience Replay (HER) for finite goal sets with masks."""

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.type_aliases import DictReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize

from leo_agents.baselines.episode_replay_buffer import EpisodeReplayBuffer
from leo_agents.baselines.relabeling import RelabelingReplayBuffer
from leo_agents.replay.episode_bounds import EpisodeBounds, Ids
from leo_agents.replay.goal_dataset import GoalDataset
from leo_wrappers.keys import DESIRED_GOAL_KEY
from leo_wrappers.validation import check_choice, check_integer

HindsightStrategy = Literal["final", "future", "episode", "random"]


class MaskHerReplayBuffer(EpisodeReplayBuffer, RelabelingReplayBuffer):
    """
    Replay buffer for Hindsight Experience Replay (https://arxiv.org/abs/1707.01495): a fraction ``k / (k + 1)`` of the sampled
    rows is relabeled with an achieved goal.

    For each of these rows a step is drawn, then the new goal uniformly from those achieved at that step. If there is none, the
    row keeps its commanded goal. The step is drawn uniformly from

    - ``"future"``: the steps of the same episode from the row's own step on
    - ``"final"``: the last step of the same episode
    - ``"episode"``: all steps of the same episode
    - ``"random"``: all steps in the buffer

    Here an episode ends where the environment was terminated, truncated or reset, which includes a new call of ``learn``.
    Achieving the commanded goal does not end it if the environment continues with another goal. Running episodes count up to
    their newest step, and partly overwritten ones from their oldest step in the buffer, so every stored transition can be
    sampled.

    The other arguments are those of :class:`~leo_agents.baselines.relabeling.RelabelingReplayBuffer`.

    :param n_sampled_goal: k, the number of relabeled rows per row with its own goal; 0 disables relabeling
    :param goal_selection_strategy: ``"future"``, ``"final"``, ``"episode"`` or ``"random"``

    Example::

        >>> import numpy as np
        >>> from gymnasium import spaces
        >>> space = spaces.Dict({"observation": spaces.Box(0, 9, (1,)), "goal_id": spaces.Discrete(10)})
        >>> buffer = MaskHerReplayBuffer(100, space, spaces.Discrete(2), n_sampled_goal=4, goal_selection_strategy="final")
        >>> for x in range(4):  # goal g is x = g, the commanded goal is 9
        ...     obs, next_obs = ({"observation": np.array([[x + dx]]), "goal_id": np.array([9])} for dx in (0, 1))
        ...     infos = [{"goals_achieved": np.arange(10) == x + 1}]
        ...     buffer.add(obs, next_obs, np.array([1]), np.array([0.0]), np.array([x == 3]), infos)
        >>> buffer.sample(5).observations["goal_id"].flatten()
        tensor([4, 4, 4, 4, 9])
    """

    command_key = DESIRED_GOAL_KEY

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
        verbose: int = 0,
    ) -> None:
        check_choice("goal_selection_strategy", goal_selection_strategy, get_args(HindsightStrategy))
        check_integer("n_sampled_goal", n_sampled_goal, 0)
        super().__init__(
            buffer_size,
            observation_space,
            action_space,
            device,
            n_envs,
            optimize_memory_usage,
            handle_timeout_termination,
            goal_points=goal_points,
            verbose=verbose,
        )
        self.n_sampled_goal = n_sampled_goal
        self.her_ratio = n_sampled_goal / (n_sampled_goal + 1)
        self.goal_selection_strategy = goal_selection_strategy
        self.episodes = EpisodeBounds(self.buffer_size, n_envs)

    def read_dataset(self, dataset: GoalDataset) -> None:
        """
        Replace the transitions by those of a dataset, see :class:`~leo_agents.replay.goal_replay_buffer.GoalReplayBuffer`.

        :param dataset: the dataset
        """
        super().read_dataset(dataset)
        self.episodes = EpisodeBounds.of_ends(dataset.ended)

    def _get_samples(self, batch_inds: np.ndarray, env: VecNormalize | None = None) -> DictReplayBufferSamples:  # type: ignore[override]
        env_inds = np.random.randint(0, self.n_envs, size=len(batch_inds))
        goals = self.goal_ids[batch_inds, env_inds].astype(np.int64)
        num_relabeled = round(self.her_ratio * len(batch_inds))
        hindsight = self._hindsight_goals(batch_inds[:num_relabeled], env_inds[:num_relabeled])
        goals[:num_relabeled] = np.where(hindsight >= 0, hindsight, goals[:num_relabeled])
        return self._relabel(batch_inds, env_inds, goals[:, None], env)

    def _hindsight_goals(self, inds: Ids, env_inds: Ids) -> npt.NDArray[np.int64]:
        """Draw a goal for each transition from those achieved at a drawn step, -1 if there is none."""
        steps, envs = self._draw_steps(inds, env_inds)
        masks = np.unpackbits(self.packed_masks[steps % self.buffer_size, envs], axis=1, count=self.num_goals)
        counts = masks.sum(axis=1, dtype=np.int64)
        _, achieved = np.nonzero(masks)  # row by row
        offsets = np.cumsum(counts) - counts
        nonempty = counts > 0
        goals = np.full(len(inds), -1, dtype=np.int64)
        goals[nonempty] = achieved[offsets[nonempty] + np.random.randint(0, counts[nonempty])]
        return goals

    def _draw_steps(self, inds: Ids, env_inds: Ids) -> tuple[Ids, Ids]:
        """Draw the steps that provide the hindsight goals; return steps and environments."""
        episodes = self.episodes
        last = episodes.last(inds, env_inds)
        if self.goal_selection_strategy == "final":
            return last, env_inds
        if self.goal_selection_strategy == "future":
            return np.random.randint(episodes.steps_of(inds), last + 1), env_inds
        if self.goal_selection_strategy == "episode":
            return np.random.randint(episodes.first(inds, env_inds), last + 1), env_inds
        steps = np.random.randint(episodes.oldest, episodes.newest + 1, size=len(inds))
        return steps, np.random.randint(0, self.n_envs, size=len(inds))
