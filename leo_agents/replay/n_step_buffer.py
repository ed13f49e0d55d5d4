"""Base class of replay buffers that sample n-step windows of transitions."""

import numpy as np
from stable_baselines3.common.buffers import DictReplayBuffer
from stable_baselines3.common.type_aliases import TensorDict
from stable_baselines3.common.vec_env import VecNormalize


class NStepDictReplayBuffer(DictReplayBuffer):
    """SB3's ``DictReplayBuffer`` with windows of up to ``n_steps`` transitions. Subclasses set ``n_steps`` and ``gamma``."""

    n_steps: int
    gamma: float

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

    def _observations(
        self, stored: dict[str, np.ndarray], inds: np.ndarray, env_inds: np.ndarray, env: VecNormalize | None
    ) -> TensorDict:
        """Return stored observations as tensors."""
        arrays = self._normalize_obs({key: array[inds, env_inds] for key, array in stored.items()}, env)
        # Fancy indexing has already copied.
        return {key: self.to_torch(array, copy=False) for key, array in arrays.items()}  # type: ignore[union-attr]
