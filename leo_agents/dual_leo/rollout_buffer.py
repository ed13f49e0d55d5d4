"""PPO's rollout buffer with the teacher's targets."""

from collections.abc import Generator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch as th
from stable_baselines3.common.buffers import DictRolloutBuffer
from stable_baselines3.common.type_aliases import TensorDict
from stable_baselines3.common.vec_env import VecNormalize

from leo_wrappers.goal_set import BoolArray


class DualRolloutBufferSamples(NamedTuple):
    """The fields of SB3's ``DictRolloutBufferSamples`` and, if set, the teacher's targets."""

    observations: TensorDict
    actions: th.Tensor
    old_values: th.Tensor
    old_log_prob: th.Tensor
    advantages: th.Tensor
    returns: th.Tensor
    teacher_probs: th.Tensor | None
    teacher_values: th.Tensor | None


class DualRolloutBuffer(DictRolloutBuffer):
    """
    SB3's ``DictRolloutBuffer`` that samples the student's own steps only, with the teacher's targets.

    The teacher acts before the student only, so that the advantages of the student's steps are those of its own policy.
    """

    by_student: BoolArray
    teacher_probs: th.Tensor | None
    teacher_values: th.Tensor | None

    def reset(self) -> None:
        """Empty the buffer."""
        super().reset()
        self.by_student = np.ones((self.buffer_size, self.n_envs), dtype=bool)
        self.teacher_probs = self.teacher_values = None

    def set_teacher_targets(self, probs: th.Tensor, values: th.Tensor) -> None:
        """
        Add the teacher's targets.

        :param probs: target probabilities of all actions ``[T * N, A]``, step after step
        :param values: the teacher's values ``[T * N]``, in the same order
        """
        # The arrays of a full buffer are flattened environment after environment.
        order = np.arange(self.buffer_size * self.n_envs).reshape(self.buffer_size, self.n_envs).T.ravel()
        rows = th.as_tensor(order, device=probs.device)
        self.teacher_probs, self.teacher_values = probs[rows], values[rows]

    def get(  # type: ignore[override]
        self, batch_size: int | None = None
    ) -> Generator[DualRolloutBufferSamples, None, None]:
        """
        Iterate over the student's steps in random order.

        :param batch_size: number of steps in a minibatch; all if None
        :return: minibatches
        """
        if self.by_student.all():
            yield from super().get(batch_size)  # type: ignore[misc]
            return
        if not self.generator_ready:
            next(super().get(1))  # flattens the arrays
        rows = np.random.permutation(np.flatnonzero(self.by_student.T))
        # Of equal size up to one step: advantages are normalized per minibatch.
        count = 1 if batch_size is None else -(-len(rows) // batch_size)
        for part in np.array_split(rows, max(1, count)):
            yield self._get_samples(part)

    def _get_samples(  # type: ignore[override]
        self, batch_inds: npt.NDArray[np.int64], env: VecNormalize | None = None
    ) -> DualRolloutBufferSamples:
        samples = super()._get_samples(batch_inds, env)
        if self.teacher_probs is None or self.teacher_values is None:
            return DualRolloutBufferSamples(*samples, teacher_probs=None, teacher_values=None)
        rows = th.as_tensor(batch_inds, device=self.device)
        return DualRolloutBufferSamples(
            *samples, teacher_probs=self.teacher_probs[rows], teacher_values=self.teacher_values[rows]
        )
