"""A model of the action between two observations, to learn from data without actions."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.utils import get_device, set_random_seed
from stable_baselines3.common.vec_env import VecEnv
from torch import nn

from leo_agents.learning.optimization import optimizer_step
from leo_agents.networks.normalization import ObservationNormalizer
from leo_agents.networks.state_network import default_extractor, make_trunk
from leo_agents.replay.action_scaling import scale_actions, unscale_actions
from leo_agents.replay.goal_dataset import GoalDataset
from leo_wrappers.keys import GOAL_INPUT_KEYS
from leo_wrappers.validation import check_env, check_integer, check_positive, check_seed

Array = npt.NDArray[Any]
Observations = Array | Mapping[str, Array]
# Rows per forward pass.
_CHUNK = 8_192


class InverseModel(nn.Module):
    """
    Predicts which action led from one observation to the next. Learned from some transitions with actions, it supplies those
    of others: of videos, of people, or of other robots in the same states.

    Where several actions lead to the same observation, such as pushes against a wall, it predicts any of them.

    :param env: environment with the observations and actions, single, vectorized or a ``VecEnv``
    :param net_arch: widths of the hidden layers
    :param learning_rate: learning rate of Adam
    :param seed: seed of the weights and of the batches
    :param device: device of the network

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from leo_agents import collect_dataset
        >>> env = gym.make("leo/GridWorld-v0", map="S..", observation="coordinates", max_episode_steps=10)
        >>> dataset = collect_dataset(env, 200, seed=0)
        >>> model = InverseModel(env, seed=0).learn(dataset, gradient_steps=200)
        >>> int(model.actions(np.float32([[0.0, 0.0]]), np.float32([[0.0, 0.5]]))[0])  # to the right
        1
    """

    def __init__(
        self,
        env: Any,
        net_arch: Sequence[int] = (256, 256),
        learning_rate: float = 1e-3,
        seed: int | None = None,
        device: th.device | str = "auto",
    ) -> None:
        super().__init__()
        check_env(env, (gym.Env, gym.vector.VectorEnv, VecEnv))
        check_positive("learning_rate", learning_rate)
        check_seed(seed)
        self.action_space = getattr(env, "single_action_space", env.action_space)
        if not isinstance(self.action_space, spaces.Discrete | spaces.Box):
            raise ValueError(
                f"expected actions in a Discrete or a Box space, got {self.action_space}; convert them by a wrapper"
            )
        self.observation_space = _dict_space(getattr(env, "single_observation_space", env.observation_space))
        state = self._state(self.observation_space.spaces)
        self.state_space = spaces.Dict(state) if isinstance(state, dict) else state
        if seed is not None:
            set_random_seed(seed)
        self.rng = np.random.default_rng(seed)
        self.normalizer = ObservationNormalizer(self.state_space)
        self.extractor = default_extractor(self.state_space)(self.state_space)
        width = self.extractor.features_dim
        # The changes of a step are small next to the observations; a large epsilon, because some change in a few rows only.
        self.change_norm = nn.BatchNorm1d(width, eps=1e-2, affine=False)
        widths = list(net_arch)
        self.trunk = make_trunk(2 * width, widths, nn.ReLU, layer_norm=True)
        actions: Any = self.action_space
        num_outputs = int(actions.n if isinstance(actions, spaces.Discrete) else np.prod(actions.shape))
        self.output = nn.Linear(widths[-1] if widths else 2 * width, num_outputs)
        self.to(get_device(device))
        self.optimizer = th.optim.Adam(self.parameters(), lr=learning_rate)

    @property
    def device(self) -> th.device:
        """Device of the network."""
        return self.output.weight.device

    def forward(self, before: Any, after: Any) -> th.Tensor:
        """
        Compute the logits of discrete actions, or actions in ``[-1, 1]`` before clipping.

        :param before: tensors of observations, an entry of the space or a dictionary
        :param after: of the next ones
        :return: ``[B, A]``
        """
        features, later = (self.extractor(self.normalizer(preprocess_obs(obs, self.state_space))) for obs in (before, after))
        outputs: th.Tensor = self.output(self.trunk(th.cat([features, self.change_norm(later - features)], dim=1)))
        return outputs

    def learn(self, dataset: GoalDataset, gradient_steps: int, batch_size: int = 256) -> Self:
        """
        Learn from transitions with actions: by cross-entropy for discrete actions, else by the squared error.

        :param dataset: the transitions
        :param gradient_steps: number of gradient steps
        :param batch_size: number of transitions per gradient step
        :return: the model
        """
        check_integer("gradient_steps", gradient_steps, 1)
        check_integer("batch_size", batch_size, 2)
        dataset.check_matches(self.observation_space, self.action_space, ())
        self._add_to_statistics(dataset)
        self.train()
        for _ in range(gradient_steps):
            rows = self.rng.integers(len(dataset), size=batch_size)
            outputs = self(self._tensors(dataset.observations, rows), self._tensors(dataset.next_observations, rows))
            actions = th.as_tensor(self._targets(dataset.actions[rows]), device=self.device)
            loss = nn.functional.cross_entropy if actions.ndim == 1 else nn.functional.mse_loss
            optimizer_step(self.optimizer, loss(outputs, actions), max_grad_norm=10.0)
        self.eval()
        return self

    def actions(self, observations: Observations, next_observations: Observations) -> Array:
        """
        Predict actions.

        :param observations: ``[T, ...]``, or a dictionary of arrays; a commanded goal in it is ignored
        :param next_observations: those after the actions
        :return: actions of the environment ``[T, ...]``
        """
        before, after = self._by_key(observations), self._by_key(next_observations)
        count = len(next(iter(before.values())))
        self.eval()
        with th.no_grad():
            parts = [np.arange(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK)]
            outputs = th.cat([self(self._tensors(before, rows), self._tensors(after, rows)) for rows in parts]).cpu().numpy()
        if isinstance(self.action_space, spaces.Discrete):
            return np.asarray(self.action_space.start + outputs.argmax(axis=1), dtype=self.action_space.dtype)
        return unscale_actions(outputs.clip(-1.0, 1.0), self.action_space)

    def _targets(self, actions: Array) -> Array:
        if isinstance(self.action_space, spaces.Discrete):
            return (actions.reshape(-1) - self.action_space.start).astype(np.int64)
        return scale_actions(actions, self.action_space).reshape(len(actions), -1).astype(np.float32)

    def _add_to_statistics(self, dataset: GoalDataset) -> None:
        for start in range(0, len(dataset), _CHUNK):
            rows = slice(start, start + _CHUNK)
            states = self._state({key: np.asarray(array[rows]) for key, array in dataset.observations.items()})
            self.normalizer.update(states)
        self.normalizer.refresh()

    def _by_key(self, observations: Observations) -> dict[str, Array]:
        """Return observations by the keys of the space, checked."""
        if not isinstance(observations, Mapping):
            observations = {next(iter(self.observation_space.spaces)): observations}
        missing = sorted(self.observation_space.spaces.keys() - observations.keys())
        if missing:
            raise ValueError(f"expected observations with {missing}, got {sorted(observations)}; pass all entries")
        arrays = {key: np.asarray(observations[key]) for key in self.observation_space.spaces}
        for key, space in self.observation_space.spaces.items():
            if arrays[key].shape[1:] != space.shape or len(arrays[key]) == 0:
                raise ValueError(
                    f"expected a batch of {key!r} of shape [T, {', '.join(map(str, space.shape or ()))}], got "
                    f"{arrays[key].shape}; pass the observations of several steps"
                )
        return arrays

    def _tensors(self, arrays: Mapping[str, Array], rows: npt.NDArray[np.integer]) -> Any:
        return self._state({key: th.as_tensor(array[rows], device=self.device) for key, array in arrays.items()})

    @staticmethod
    def _state(entries: Mapping[str, Any]) -> Any:
        """Return a dictionary of entries, or the entry if there is only one."""
        return dict(entries) if len(entries) > 1 else next(iter(entries.values()))


def _dict_space(space: spaces.Space[Any]) -> spaces.Dict:
    """Return the space of observations by key, as in a dataset, without the commanded goal."""
    if not isinstance(space, spaces.Dict):
        return spaces.Dict({"observation": space})
    return spaces.Dict({key: entry for key, entry in space.spaces.items() if key not in GOAL_INPUT_KEYS})
