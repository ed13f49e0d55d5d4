"""Stable-Baselines3's algorithms with a normalizer in the policy, whose statistics are updated in training."""

from typing import TypeVar

from sb3_contrib import TQC
from stable_baselines3 import DQN, PPO, SAC, TD3
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from leo_agents.algorithms.normalization import NormalizingOnPolicyAlgorithm
from leo_agents.algorithms.offline_learning import OfflineLearning

OffPolicy = TypeVar("OffPolicy", bound=OffPolicyAlgorithm)


class NormalizedDQN(OfflineLearning, DQN):
    """Stable-Baselines3's DQN, which also updates the policy's statistics of observations."""


class NormalizedPPO(NormalizingOnPolicyAlgorithm, PPO):
    """Stable-Baselines3's PPO, which also updates the policy's statistics of observations."""


class NormalizedTD3(OfflineLearning, TD3):
    """Stable-Baselines3's TD3, which also updates the policy's statistics of observations."""


class NormalizedSAC(OfflineLearning, SAC):
    """Stable-Baselines3's SAC, which also updates the policy's statistics of observations."""


class NormalizedTQC(OfflineLearning, TQC):
    """sb3-contrib's TQC, which also updates the policy's statistics of observations."""


_CLASSES: dict[type[OffPolicyAlgorithm], type[OffPolicyAlgorithm]] = {
    TD3: NormalizedTD3,
    SAC: NormalizedSAC,
    TQC: NormalizedTQC,
}


def with_normalization(algorithm: type[OffPolicy]) -> type[OffPolicy]:
    """
    Return a subclass of an algorithm that updates the policy's statistics of observations.

    :param algorithm: TD3, SAC, TQC or a subclass
    :return: the subclass; the class itself if it is one already
    """
    if issubclass(algorithm, OfflineLearning):
        return algorithm
    known = _CLASSES.get(algorithm)
    return known or type(f"Normalized{algorithm.__name__}", (OfflineLearning, algorithm), {})  # type: ignore[return-value]
