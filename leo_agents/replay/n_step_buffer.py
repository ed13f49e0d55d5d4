"""Base class of replay buffers that sample n-step windows of transitions."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch as th
from stable_baselines3.common.buffers import DictReplayBuffer
from stable_baselines3.common.type_aliases import TensorDict
from stable_baselines3.common.vec_env import VecNormalize

from leo_agents.replay.action_scaling import scale_actions
from leo_agents.replay.device_storage import to_device

if TYPE_CHECKING:
    from leo_agents.replay.goal_dataset import GoalDataset


class GoalWindow(NamedTuple):
    """
    All steps of n-step windows, for targets that end the window of each goal at a step of its own.

    - ``observations``, ``actions``: of the steps after the first one, in order of time, ``[(n - 1) * batch, ...]``; those of
      the last step of a shorter window are repeated.
    - ``goals_achieved``: masks of all steps, float32 ``[n, batch, goals]``; of tasks, which of them each step ends.
    - ``rewards``: of tasks, like ``goals_achieved``; the same tensor for goals.
    - ``discounts``: discount factor of each task, ``[goals]``; None for goals.
    - ``terminated``: whether the episode terminated, float32 ``[n, batch]``.
    - ``ends``: True at the last step of the window and after it, bool ``[n, batch]``.
    """

    observations: TensorDict
    actions: th.Tensor
    goals_achieved: th.Tensor
    rewards: th.Tensor
    discounts: th.Tensor | None
    terminated: th.Tensor
    ends: th.Tensor


class NStepDictReplayBuffer(DictReplayBuffer):
    """SB3's ``DictReplayBuffer`` with windows of up to ``n_steps`` transitions. Subclasses set ``n_steps`` and ``gamma``."""

    n_steps: int
    gamma: float
    goal_names: tuple[str, ...]

    def read_dataset(self, dataset: "GoalDataset") -> None:
        """
        Replace the transitions by those of a dataset, of one environment. Observations are not copied to memory, so nothing
        can be added afterwards. The commanded goals, which a dataset has not, are drawn uniformly.

        :param dataset: the dataset, of the spaces and goals of the buffer
        """
        space: Any = self.observation_space
        dataset.check_matches(space, self.action_space, self.goal_names)
        size = len(dataset)
        self.buffer_size, self.n_envs, self.pos, self.full = size, 1, 0, True
        self.observations = self._dataset_observations(dataset.observations)
        self.next_observations = self._dataset_observations(dataset.next_observations)
        actions = scale_actions(dataset.actions, self.action_space)
        self.actions = actions.reshape(size, 1, self.action_dim).astype(self.actions.dtype)
        self.rewards = np.zeros((size, 1), dtype=np.float32)
        self.dones = dataset.ended[:, None].astype(np.float32)
        self.timeouts = (dataset.truncated & ~dataset.terminated)[:, None].astype(np.float32)

    def _dataset_observations(self, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        parts: Any = self.observation_space
        shapes: Any = self.obs_shape
        shaped = {key: array.reshape(len(array), 1, *shapes[key]) for key, array in arrays.items()}
        return {key: self._stored(array.astype(parts[key].dtype, copy=False)) for key, array in shaped.items()}

    def _stored(self, array: np.ndarray) -> Any:
        """Return an array where the buffer stores observations."""
        return array

    def _window_lengths(self, batch_inds: np.ndarray, env_inds: np.ndarray) -> np.ndarray:
        """Return the length of each window: ``n_steps``, or up to the end of the episode or the newest transition."""
        lengths = np.ones(len(batch_inds), dtype=np.int64)
        newest = (self.pos - 1) % self.buffer_size
        open_windows = np.ones(len(batch_inds), dtype=bool)
        for step in range(self.n_steps - 1):
            inds = (batch_inds + step) % self.buffer_size
            open_windows &= (self.dones[inds, env_inds] == 0) & (inds != newest)
            lengths += open_windows
        return lengths

    def to_torch(self, array: Any, copy: bool = True) -> th.Tensor:
        """
        Convert an array to a tensor on the device, see Stable-Baselines3; with CUDA without waiting for work in its queue.

        :param array: an array, or a tensor that is on the device already
        :param copy: whether the tensor must not share the memory of the array
        :return: the tensor
        """
        if isinstance(array, th.Tensor):
            return array
        if self.device.type != "cuda":
            return super().to_torch(array, copy)
        return to_device(array, self.device)

    def _observations(
        self, stored: dict[str, Any], inds: np.ndarray | th.Tensor, env_inds: np.ndarray | th.Tensor, env: VecNormalize | None
    ) -> TensorDict:
        """Return stored observations as tensors."""
        arrays = self._normalize_obs({key: array[inds, env_inds] for key, array in stored.items()}, env)
        # Fancy indexing has already copied.
        return {key: self.to_torch(array, copy=False) for key, array in arrays.items()}  # type: ignore[union-attr]
