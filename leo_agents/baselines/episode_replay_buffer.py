"""Base class of replay buffers that relabel by what the rest of an episode achieved."""

from typing import Any, ClassVar

import numpy as np

from leo_agents.replay.episode_bounds import EpisodeBounds, continues_episode
from leo_agents.replay.goal_replay_buffer import GoalReplayBuffer
from leo_wrappers.keys import ENDED_BY_GOAL_KEY


class EpisodeReplayBuffer(GoalReplayBuffer):
    """
    Replay buffer that knows the bounds of the stored episodes. Achieving a goal ends none if the environment continues.

    Subclasses create :attr:`episodes`.
    """

    command_key: ClassVar[str]
    """Entry of observations that may differ between a step and the next one of the same episode: what is commanded."""
    episodes: EpisodeBounds

    def reset(self) -> None:
        """Empty the buffer."""
        super().reset()
        self.episodes = EpisodeBounds(self.buffer_size, self.n_envs)

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
        Store one transition per environment.

        :param obs: observations before the step
        :param next_obs: observations after the step and before any reset
        :param action: actions
        :param reward: rewards; not used for sampling, where rewards are computed from the masks
        :param done: whether the episodes ended
        :param infos: infos of the step, with ``goals_achieved``
        """
        position = self.pos
        super().add(obs, next_obs, action, reward, done, infos)
        continues = continues_episode(self.observations, self.next_observations, position, self.command_key)
        ended_by_goal = np.array([bool(info.get(ENDED_BY_GOAL_KEY)) for info in infos])
        self.episodes.add(continues, np.asarray(done, dtype=bool) & ~ended_by_goal)
