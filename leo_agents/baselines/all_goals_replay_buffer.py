"""Replay buffer with all-goals relabeling."""

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.type_aliases import DictReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize

from leo_agents.baselines.relabeling import RelabelingReplayBuffer
from leo_wrappers.validation import check_integer


class AllGoalsReplayBuffer(RelabelingReplayBuffer):
    """
    Replay buffer that relabels each sampled transition with all goals, or with a random subset of them.

    With it, a network that reads the goal as an input updates as many goals per transition as LEO does, at the cost of one row
    per goal: ``sample(batch_size)`` returns ``batch_size * goals_per_transition`` rows.

    The other arguments are those of :class:`~leo_agents.baselines.relabeling.RelabelingReplayBuffer`.

    :param goals_per_transition: number of distinct goals per transition, drawn uniformly; all goals when None

    Example::

        >>> import numpy as np
        >>> from gymnasium import spaces
        >>> space = spaces.Dict({"observation": spaces.Box(0, 9, (1,)), "goal_id": spaces.Discrete(3)})
        >>> buffer = AllGoalsReplayBuffer(100, space, spaces.Discrete(2))
        >>> obs = {"observation": np.array([[5]]), "goal_id": np.array([0])}
        >>> infos = [{"goals_achieved": np.array([False, True, False])}]
        >>> buffer.add(obs, obs, np.array([1]), np.array([0.0]), np.array([False]), infos)
        >>> rows = buffer.sample(1)
        >>> rows.observations["goal_id"].flatten(), rows.rewards.flatten()
        (tensor([0, 1, 2]), tensor([0., 1., 0.]))
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
        goals_per_transition: int | None = None,
        goal_points: npt.ArrayLike | None = None,
        verbose: int = 0,
    ) -> None:
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
        if goals_per_transition is not None:
            check_integer("goals_per_transition", goals_per_transition, 1, self.num_goals)
        self.goals_per_transition = goals_per_transition

    def _get_samples(self, batch_inds: np.ndarray, env: VecNormalize | None = None) -> DictReplayBufferSamples:  # type: ignore[override]
        env_inds = np.random.randint(0, self.n_envs, size=len(batch_inds))
        if self.goals_per_transition is None:
            goals = np.broadcast_to(np.arange(self.num_goals), (len(batch_inds), self.num_goals))
        else:
            # The indices of the smallest of random keys are a uniform draw without replacement.
            keys = np.random.random((len(batch_inds), self.num_goals))
            goals = keys.argpartition(self.goals_per_transition - 1, axis=1)[:, : self.goals_per_transition]
        return self._relabel(batch_inds, env_inds, goals, env)
