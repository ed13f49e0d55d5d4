"""PPO's rollouts with what the teacher says about them, and without what it did itself."""

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch as th
from stable_baselines3.common.buffers import DictRolloutBuffer
from stable_baselines3.common.type_aliases import DictRolloutBufferSamples
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from leo_agents.dual_leo.policies import ADVICE_KEY, WORTH_KEY
from leo_wrappers.goal_set import BoolArray
from leo_wrappers.sb3 import ArrayStep, step_arrays


class AdvisedRolloutBuffer(DictRolloutBuffer):
    """
    Stable-Baselines3's buffer, which gives minibatches of the student's own steps only, with the teacher's advice.

    The teacher acts at the beginning of pursuits alone, so that what follows a step of the student's is the student's too:
    its advantages are those of its own behaviour.
    """

    by_student: BoolArray
    advice: dict[str, th.Tensor]

    def reset(self) -> None:
        """Forgets everything."""
        super().reset()
        self.by_student = np.ones((self.buffer_size, self.n_envs), dtype=bool)
        self.advice = {}

    def set_advice(self, actions: th.Tensor, values: th.Tensor) -> None:
        """
        :param actions: how likely the teacher would take each action, of shape ``[T * N, A]``, step after step
        :param values: what it thinks the states are worth, of shape ``[T * N]``
        """
        order = np.arange(self.buffer_size * self.n_envs).reshape(self.buffer_size, self.n_envs).T.ravel()
        rows = th.as_tensor(order, device=actions.device)
        self.advice = {ADVICE_KEY: actions[rows], WORTH_KEY: values[rows]}

    def get(self, batch_size: int | None = None) -> Generator[DictRolloutBufferSamples, None, None]:  # type: ignore[override]
        """
        :param batch_size: number of steps in a minibatch; all when None
        :return: minibatches of the student's steps in random order
        """
        if self.by_student.all():
            yield from super().get(batch_size)
            return
        if not self.generator_ready:
            next(super().get(1))  # lays the arrays out environment after environment
        rows = np.random.permutation(np.flatnonzero(self.by_student.T))
        # Equally large ones, up to one: the advantages are normalised within each.
        count = 1 if batch_size is None else -(-len(rows) // batch_size)
        for part in np.array_split(rows, max(1, count)):
            yield self._get_samples(part)

    def _get_samples(  # type: ignore[override]
        self, batch_inds: npt.NDArray[np.int64], env: VecNormalize | None = None
    ) -> DictRolloutBufferSamples:
        samples = super()._get_samples(batch_inds, env)
        rows = th.as_tensor(batch_inds, device=self.device)
        for key, values in self.advice.items():
            samples.observations[key] = values[rows]
        return samples


class WatchedEnv:
    """
    What Stable-Baselines3's loop sees of the environments while somebody else takes part.

    :param env: the environments
    :param before: may change the actions in place
    :param after: told of every step
    """

    def __init__(
        self,
        env: VecEnv,
        before: Callable[[npt.NDArray[Any]], None],
        after: Callable[[th.Tensor, ArrayStep], None],
    ) -> None:
        self.env, self.before, self.after = env, before, after
        self.num_envs = env.num_envs

    def step(self, actions: npt.NDArray[Any]) -> tuple[Any, Any, Any, Any]:
        """
        :param actions: one each
        :return: as of a ``VecEnv``
        """
        self.before(actions)
        step = step_arrays(self.env, actions)
        self.after(th.as_tensor(actions), step)
        return step.obs, step.rewards, step.dones, step.infos
