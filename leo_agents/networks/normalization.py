"""Standardization of observations by running statistics, as a layer before the features extractor."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import nn

from leo_agents.networks.policy_arguments import check_policy_arguments, named_arguments
from leo_wrappers.keys import ACHIEVED_GOAL_KEY, DESIRED_GOAL_KEY, GOAL_INPUT_KEYS

# Smallest standard deviation: components that (almost) never change are not amplified further.
MIN_STD = 1e-2
CLIP = 10.0
# Components with such bounds, as [0, 1] or [-1, 1], need no standardization.
MAX_BOUND, MIN_WIDTH = 3.0, 1.0

_STATISTICS = ("count", "mean", "squared_deviations")
# Key of observations that are not a dict.
_ARRAY = ""
_IDENTITY = np.array([[-np.inf], [np.inf], [0.0], [1.0]], dtype=np.float32)

FloatArray = npt.NDArray[np.float64]


class ObservationNormalizer(nn.Module):
    """
    Standardizes preprocessed observations by running means and standard deviations, and clips them to [-10, 10].

    Components of float Boxes with fewer than three dimensions are standardized unless their bounds are within [-3, 3] and at
    least 1 apart. Everything else, such as images, one-hot vectors and coordinates in [0, 1], stays as it is, and so do all
    observations before the first :meth:`refresh`. ``achieved_goal`` and ``desired_goal`` of the same shape share their
    statistics, to which both contribute.

    The statistics are buffers: they are saved with the networks but not changed by optimizers or Polyak averaging. They stay
    on the CPU in float64; only what :meth:`forward` needs of them moves with the networks.

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
    transform: th.Tensor

    def __init__(self, observation_space: spaces.Space[Any]) -> None:
        super().__init__()
        self.is_dict = isinstance(observation_space, spaces.Dict)
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.columns: dict[str, tuple[int, int]] = {}
        self.groups: list[tuple[int, int, list[str]]] = []
        masks: list[npt.NDArray[np.bool_]] = []
        num_columns = 0
        for keys, shape, mask in _shared_entries(observation_space):
            start, num_columns = num_columns, num_columns + mask.size
            for key in keys:
                self.shapes[key], self.columns[key] = shape, (start, num_columns)
            self.groups.append((start, num_columns, keys))
            masks.append(mask)
        self.is_standardized = np.concatenate([np.zeros(0, dtype=bool), *masks])
        for name in _STATISTICS:
            self.register_buffer(name, th.zeros(num_columns, dtype=th.float64))
        # Lower bound, upper bound, mean and inverse standard deviation that forward uses.
        self.register_buffer("transform", th.as_tensor(_IDENTITY).repeat(1, num_columns))

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
        # In NumPy, whose functions take a fraction of PyTorch's time for a few numbers.
        count, mean, squares = np.empty((3, len(self.mean)))
        for start, stop, keys in self.groups:
            parts = [np.asarray(arrays[key], dtype=np.float64).reshape(-1, stop - start) for key in keys]
            rows = parts[0] if len(parts) == 1 else np.concatenate(parts)
            row_mean = np.add.reduce(rows, axis=0) / len(rows)
            if not np.isfinite(row_mean).all():
                raise ValueError(
                    f"expected finite observations, got NaN or infinity in {' or '.join(keys) or 'one'}; check the environment"
                )
            count[start:stop], mean[start:stop] = len(rows), row_mean
            squares[start:stop] = np.add.reduce(np.square(rows - row_mean), axis=0)
        self._merge(count, mean, squares)

    def refresh(self) -> None:
        """Let :meth:`forward` use the statistics of all observations added so far."""
        if self.is_empty:
            return
        count, mean, squares = self._statistics()
        std = np.maximum(np.sqrt(squares / count), MIN_STD)
        transform = np.array([mean - CLIP * std, mean + CLIP * std, mean, 1.0 / std], dtype=np.float32)
        transform = np.where(self.is_standardized, transform, _IDENTITY)
        # Non-blocking: the host would wait until the device has finished all it was given.
        self.transform.copy_(th.from_numpy(transform), non_blocking=True)

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

    def _apply(self, fn: Callable[[th.Tensor], th.Tensor], recurse: bool = True) -> Self:
        """Move or convert the module, as ``to`` and ``double`` do, but not the statistics, which are updated by NumPy."""
        statistics = {name: self._buffers[name] for name in _STATISTICS}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._buffers.update(statistics)
        return self

    def _statistics(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        return self.count.cpu().numpy(), self.mean.cpu().numpy(), self.squared_deviations.cpu().numpy()

    def _merge(self, count: FloatArray, mean: FloatArray, squared_deviations: FloatArray) -> None:
        """Merge the statistics of a batch into the running ones, as in the parallel variance algorithm of Chan et al."""
        count_before, mean_before, squares_before = self._statistics()
        total = count_before + count
        delta, weight = mean - mean_before, count / total
        squares = squares_before + squared_deviations + np.square(delta) * count_before * weight
        for buffer, values in (
            (self.mean, mean_before + delta * weight),
            (self.squared_deviations, squares),
            (self.count, total),
        ):
            buffer.copy_(th.from_numpy(values))


class NormalizedExtractor(BaseFeaturesExtractor):
    """
    Features extractor that reads normalized observations.

    :param normalizer: may be shared by several features extractors
    :param extractor: the features extractor
    """

    def __init__(self, normalizer: ObservationNormalizer, extractor: BaseFeaturesExtractor) -> None:
        super().__init__(extractor._observation_space, extractor.features_dim)
        self.normalizer, self.extractor = normalizer, extractor

    def __getattr__(self, name: str) -> Any:
        # The layers of a user's features extractor are found where they would be without the normalizer.
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("extractor"), name)

    def forward(self, observations: PyTorchObs) -> th.Tensor:
        """
        Extract the features.

        :param observations: preprocessed observations
        :return: ``[B, features_dim]``
        """
        return self.extractor(self.normalizer(observations))  # type: ignore[no-any-return]


class NormalizingPolicy(BasePolicy):
    """
    Mixin of policies whose networks share an :class:`ObservationNormalizer`. Subclasses set ``normalize_observations``.

    The arguments of the constructors are checked before they are used.
    """

    action_spaces: ClassVar[tuple[type[spaces.Space[Any]], ...]] = (
        spaces.Box,
        spaces.Discrete,
        spaces.MultiDiscrete,
        spaces.MultiBinary,
    )
    """Classes of action spaces that the policy can act in."""
    normalize_observations: bool

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Check the arguments; there are none where a policy is copied or unpickled."""
        arguments = named_arguments(cls, args, kwargs)
        if arguments:
            cls._check_arguments(arguments)
        return super().__new__(cls)

    @classmethod
    def _check_arguments(cls, arguments: Mapping[str, Any]) -> None:
        check_policy_arguments(arguments, cls.action_spaces)

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
