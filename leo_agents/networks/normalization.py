"""Standardization of observations by running statistics, as a layer before the features extractor."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import nn

from leo_wrappers.keys import ACHIEVED_GOAL_KEY, DESIRED_GOAL_KEY, GOAL_INPUT_KEYS

# Smallest standard deviation: components that (almost) never change are not amplified further.
MIN_STD = 1e-2
CLIP = 10.0
# Components with such bounds, as [0, 1] or [-1, 1], need no standardization.
MAX_BOUND, MIN_WIDTH = 3.0, 1.0

# Key of observations that are not a dict.
_ARRAY = ""


class ObservationNormalizer(nn.Module):
    """
    Standardizes preprocessed observations by running means and standard deviations, and clips them to [-10, 10].

    Components of float Boxes with fewer than three dimensions are standardized unless their bounds are within [-3, 3] and at
    least 1 apart. Everything else, such as images, one-hot vectors and coordinates in [0, 1], stays as it is, and so do all
    observations before the first :meth:`refresh`. ``achieved_goal`` and ``desired_goal`` of the same shape share their
    statistics, to which both contribute.

    The statistics are buffers: they are saved with the networks but not changed by optimizers or Polyak averaging.

    :param observation_space: of the observations that the features extractor reads

    Example::

        >>> import numpy as np, torch as th
        >>> from gymnasium import spaces
        >>> normalizer = ObservationNormalizer(spaces.Box(-np.inf, np.inf, (1,)))
        >>> normalizer.update(np.array([[1.0], [3.0]]))
        >>> normalizer.refresh()
        >>> normalizer(th.tensor([[2.0], [4.0]])).tolist()
        [[0.0], [2.0]]
    """

    # Not "running_...": Stable-Baselines3 overwrites such buffers of target networks, which share this module.
    count: th.Tensor
    mean: th.Tensor
    squared_deviations: th.Tensor
    is_standardized: th.Tensor
    transform: th.Tensor

    def __init__(self, observation_space: spaces.Space[Any]) -> None:
        super().__init__()
        self.is_dict = isinstance(observation_space, spaces.Dict)
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.columns: dict[str, tuple[int, int]] = {}
        masks: list[npt.NDArray[np.bool_]] = []
        num_columns = 0
        for keys, shape, mask in _shared_entries(observation_space):
            for key in keys:
                self.shapes[key], self.columns[key] = shape, (num_columns, num_columns + mask.size)
            masks.append(mask)
            num_columns += mask.size
        for name in ("count", "mean", "squared_deviations"):
            self.register_buffer(name, th.zeros(num_columns, dtype=th.float64))
        self.register_buffer("is_standardized", th.as_tensor(np.concatenate(masks)), persistent=False)
        # Lower bound, upper bound, mean and inverse standard deviation that forward uses.
        self.register_buffer("transform", th.tensor([[-th.inf], [th.inf], [0.0], [1.0]]).repeat(1, num_columns))

    @property
    def is_empty(self) -> bool:
        """Whether no observation was added yet."""
        return not bool(self.count.any())

    def forward(self, observations: PyTorchObs) -> PyTorchObs:
        """
        Standardize preprocessed observations.

        :param observations: a tensor ``[B, ...]``, or a dict of them
        :return: tensors of the same shapes
        """
        if isinstance(observations, th.Tensor):
            return self.standardize(observations, _ARRAY)
        return {key: self.standardize(values, key) for key, values in observations.items()}

    def update(self, observations: npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]]) -> None:
        """
        Add observations to the statistics. :meth:`forward` uses them from the next :meth:`refresh` on.

        :param observations: an array ``[B, ...]``, or a dict of them
        """
        arrays = observations if isinstance(observations, Mapping) else {_ARRAY: observations}
        count, mean, squares = np.zeros((3, len(self.mean)))
        for (start, stop), keys in self._keys_by_columns().items():
            rows = np.concatenate([np.asarray(arrays[key], dtype=np.float64).reshape(-1, stop - start) for key in keys])
            mean[start:stop] = rows.mean(axis=0)
            if not np.isfinite(mean[start:stop]).all():
                raise ValueError(
                    f"expected finite observations, got NaN or infinity in {' or '.join(keys) or 'one'}; check the environment"
                )
            count[start:stop], squares[start:stop] = len(rows), np.square(rows - mean[start:stop]).sum(axis=0)
        device = self.mean.device
        self._merge(
            th.as_tensor(count, device=device), th.as_tensor(mean, device=device), th.as_tensor(squares, device=device)
        )

    def refresh(self) -> None:
        """Let :meth:`forward` use the statistics of all observations added so far."""
        std = (self.squared_deviations / self.count).sqrt_().clamp_(min=MIN_STD)
        new = th.stack([self.mean - CLIP * std, self.mean + CLIP * std, self.mean, 1.0 / std]).float()
        self.transform.copy_(th.where(self.is_standardized & (self.count > 0), new, self.transform))

    def standardize(self, values: th.Tensor, key: str) -> th.Tensor:
        """
        Standardize an entry of the observations.

        :param values: ``[..., *shape]``, with the entry's shape
        :param key: key of the entry
        :return: the values, standardized if the entry is
        """
        if key not in self.columns:
            return values
        start, stop = self.columns[key]
        low, high, mean, inverse_std = self.transform[:, start:stop].view(4, *self.shapes[key]).unbind()
        # Clipping first keeps components that are not standardized exactly.
        return (values.clamp(low, high) - mean) * inverse_std

    def _merge(self, count: th.Tensor, mean: th.Tensor, squared_deviations: th.Tensor) -> None:
        """Merge the statistics of a batch into the running ones, as in the parallel variance algorithm of Chan et al."""
        total = self.count + count
        delta, weight = mean - self.mean, count / total
        self.mean.addcmul_(delta, weight)
        self.squared_deviations.add_(squared_deviations).add_(delta.square_().mul_(self.count).mul_(weight))
        self.count.copy_(total)

    def _keys_by_columns(self) -> dict[tuple[int, int], list[str]]:
        result: dict[tuple[int, int], list[str]] = {}
        for key, columns in self.columns.items():
            result.setdefault(columns, []).append(key)
        return result


class NormalizedExtractor(BaseFeaturesExtractor):
    """
    Features extractor that reads normalized observations.

    :param normalizer: may be shared by several features extractors
    :param extractor: the features extractor
    """

    def __init__(self, normalizer: ObservationNormalizer, extractor: BaseFeaturesExtractor) -> None:
        super().__init__(extractor._observation_space, extractor.features_dim)
        self.normalizer, self.extractor = normalizer, extractor

    def forward(self, observations: PyTorchObs) -> th.Tensor:
        """
        Extract the features.

        :param observations: preprocessed observations
        :return: ``[B, features_dim]``
        """
        return self.extractor(self.normalizer(observations))  # type: ignore[no-any-return]


class NormalizingPolicy(BasePolicy):
    """Mixin of policies whose networks share an :class:`ObservationNormalizer`. Subclasses set ``normalize_observations``."""

    normalize_observations: bool

    @property
    def normalizer(self) -> ObservationNormalizer | None:
        """The normalizer of all networks; None if nothing is normalized."""
        return self._modules.get("observation_normalizer")  # type: ignore[return-value]

    def update_normalizer(self, observations: Mapping[str, npt.NDArray[Any]]) -> None:
        """
        Add observations of training to the statistics of the normalizer, if there is one.

        :param observations: a batch of observations
        """
        normalizer = self.normalizer
        if normalizer is None:
            return
        if normalizer.is_dict:
            normalizer.update(observations)
        else:
            (state,) = (values for key, values in observations.items() if key not in GOAL_INPUT_KEYS)
            normalizer.update(state)

    def add_normalizer(
        self, features_extractor: BaseFeaturesExtractor, observation_space: spaces.Space[Any]
    ) -> BaseFeaturesExtractor:
        """
        Let a features extractor read normalized observations.

        :param features_extractor: reads preprocessed observations
        :param observation_space: of these observations
        :return: a features extractor; the same one if nothing is to be normalized
        """
        if not self.normalize_observations or not _shared_entries(observation_space):
            return features_extractor
        if self.normalizer is None:
            self.observation_normalizer = ObservationNormalizer(observation_space)
        assert self.normalizer is not None
        return NormalizedExtractor(self.normalizer, features_extractor)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "normalize_observations": self.normalize_observations}


def _shared_entries(
    observation_space: spaces.Space[Any],
) -> list[tuple[list[str], tuple[int, ...], npt.NDArray[np.bool_]]]:
    """Return the keys with the same statistics, their shape, and which of their components are standardized, flattened."""
    parts = observation_space.spaces if isinstance(observation_space, spaces.Dict) else {_ARRAY: observation_space}
    vectors = {key: space for key, space in parts.items() if _is_float_vector(space)}
    keys_by_entry = {key: [key] for key in vectors}
    achieved, desired = vectors.get(ACHIEVED_GOAL_KEY), vectors.get(DESIRED_GOAL_KEY)
    if achieved is not None and desired is not None and achieved.shape == desired.shape:
        keys_by_entry[ACHIEVED_GOAL_KEY].append(DESIRED_GOAL_KEY)
        del keys_by_entry[DESIRED_GOAL_KEY]
    entries = []
    for key, keys in keys_by_entry.items():
        mask = np.logical_or.reduce([_is_standardized(vectors[one]) for one in keys]).reshape(-1)
        if mask.any():
            entries.append((keys, vectors[key].shape or (), mask))
    return entries


def _is_float_vector(space: spaces.Space[Any]) -> bool:
    return isinstance(space, spaces.Box) and np.dtype(space.dtype).kind == "f" and len(space.shape) < 3


def _is_standardized(space: Any) -> npt.NDArray[np.bool_]:
    """Return which components have no bounds, or bounds of another scale than 1."""
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    return ~((low >= -MAX_BOUND) & (high <= MAX_BOUND) & (high - low >= MIN_WIDTH))  # type: ignore[no-any-return]
