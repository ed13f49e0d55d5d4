"""What the algorithms that learn from a replay buffer share."""

import io
import pathlib
from typing import get_args

import torch as th
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from leo_agents.algorithms.goal_algorithm import GoalAlgorithm
from leo_agents.learning.losses import LOSSES, GoalReduction


class GoalOffPolicyAlgorithm(GoalAlgorithm, OffPolicyAlgorithm):
    """
    A mixin, to stand before one of Stable-Baselines3's off-policy algorithms.

    ``loss`` is a name in :data:`~leo_agents.learning.losses.LOSSES`, ``goals_per_update`` how many goals a gradient step is
    about (None for all), and ``goal_reduction`` whether their losses are averaged or summed.
    """

    loss: str
    goals_per_update: int | None
    goal_reduction: GoalReduction

    def dump_logs(self) -> None:
        """Writes the log."""
        self._log_goals()
        super().dump_logs()

    def load_replay_buffer(self, path: str | pathlib.Path | io.BufferedIOBase, truncate_last_traj: bool = True) -> None:
        """
        Loads a replay buffer, unless it belongs to other goals or another number of environments.

        :param path: the file
        :param truncate_last_traj: no effect
        """
        before = self.replay_buffer
        super().load_replay_buffer(path, truncate_last_traj)
        found: ReplayBuffer | None = self.replay_buffer
        for what, expected in (("n_envs", self.n_envs), ("num_goals", len(self.goal_names))):
            if getattr(found, what, None) != expected:
                self.replay_buffer = before
                raise ValueError(
                    f"expected a replay buffer with {what} {expected}, got {getattr(found, what, None)}; load one that was "
                    "saved from the same kind of training"
                )

    def _bind_goals(self) -> None:
        super()._bind_goals()
        num_goals = len(self.goal_names)
        if self.goals_per_update is not None and not 1 <= self.goals_per_update <= num_goals:
            raise ValueError(f"expected goals_per_update from 1 to {num_goals}, got {self.goals_per_update}")
        self.replay_buffer_kwargs = {**self.replay_buffer_kwargs, "num_goals": num_goals}

    def _check_options(self) -> None:
        """Refuses what could not be learned with, before anything is allocated."""
        if self.optimize_memory_usage:
            raise ValueError("expected optimize_memory_usage=False, got True; Dict observations cannot share storage")
        if self.loss not in LOSSES:
            raise ValueError(f"expected loss to be one of {list(LOSSES)}, got {self.loss!r}")
        if self.loss == "bce" and not self.policy_kwargs.get("squash", True):
            raise ValueError('expected values in [0, 1] for loss="bce", got squash=False; use loss="squared"')
        if self.goal_reduction not in get_args(GoalReduction):
            raise ValueError(f'expected goal_reduction "mean" or "sum", got {self.goal_reduction!r}')
        if self.batch_size > self.buffer_size:
            raise ValueError(
                f"expected batch_size of at most buffer_size, got {self.batch_size} > {self.buffer_size}; enlarge the buffer"
            )

    def _draw_goals(self) -> th.Tensor | None:
        """The goals of one gradient step; None for all."""
        if self.goals_per_update is None:
            return None
        return th.randperm(len(self.goal_names), device=self.device)[: self.goals_per_update]
