"""Mixins that update the policy's statistics of observations during training, and never in ``predict`` or evaluation."""

from typing import Any

import numpy.typing as npt
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import DictRolloutBuffer, ReplayBuffer, RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from leo_agents.networks.normalization import NormalizingPolicy
from leo_wrappers.sb3.array_step import observations_on_host


class NormalizingAlgorithm(BaseAlgorithm):
    """Mixin for an algorithm whose policy has a normalizer, to be listed before it among the base classes."""

    def _normalizing_policies(self) -> list[NormalizingPolicy]:
        """Return the policies whose statistics training updates."""
        return [self.policy] if isinstance(self.policy, NormalizingPolicy) else []

    def _update_normalizers(self, observations: Any) -> None:
        """Add a batch of observations to the statistics."""
        for policy in self._normalizing_policies():
            if policy.normalizer is not None:
                policy.update_normalizer(observations_on_host(observations))

    def _refresh_normalizers(self) -> None:
        """Let the networks use the statistics, in their first use those of the current observations."""
        for policy in self._normalizing_policies():
            if policy.normalizer is None:
                continue
            if policy.normalizer.is_empty:
                policy.update_normalizer(self._last_obs)  # type: ignore[arg-type]
            policy.normalizer.refresh()


class NormalizingOffPolicyAlgorithm(NormalizingAlgorithm, OffPolicyAlgorithm):
    """Mixin that updates the statistics by the observations of every transition stored in the replay buffer."""

    def _store_transition(
        self,
        replay_buffer: ReplayBuffer,
        buffer_action: npt.NDArray[Any],
        new_obs: npt.NDArray[Any] | dict[str, npt.NDArray[Any]],
        reward: npt.NDArray[Any],
        dones: npt.NDArray[Any],
        infos: list[dict[str, Any]],
    ) -> None:
        self._update_normalizers(self._last_obs)
        self._refresh_normalizers()
        super()._store_transition(replay_buffer, buffer_action, new_obs, reward, dones, infos)


class NormalizingOnPolicyAlgorithm(NormalizingAlgorithm, OnPolicyAlgorithm):
    """
    Mixin that updates the statistics by the observations of every rollout.

    The networks use them from the next rollout on: action probabilities must not change between rollout and update.
    """

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """
        Collect a rollout, see Stable-Baselines3.

        :param env: the environments
        :param callback: called at every step, and at the start and the end of the rollout
        :param rollout_buffer: the buffer to fill
        :param n_rollout_steps: number of steps per environment
        :return: False if the callback stopped training
        """
        self._refresh_normalizers()
        completed = super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps)
        if completed:
            assert isinstance(rollout_buffer, DictRolloutBuffer)
            # The first observations were added at the end of the previous rollout.
            for step in range(1, rollout_buffer.buffer_size):
                self._update_normalizers({key: values[step] for key, values in rollout_buffer.observations.items()})
            self._update_normalizers(self._last_obs)
        return completed
