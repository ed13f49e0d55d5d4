"""Exploration by random actions."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch as th

from leo_wrappers.validation import check_at_least, check_fraction


def spread_epsilon(epsilon: float, spread: float, n_envs: int) -> float | npt.NDArray[np.float64]:
    """
    Spread a probability of random actions over parallel environments, as in Ape-X (https://arxiv.org/abs/1803.00933).

    :param epsilon: probability in the first environment
    :param spread: environment i has ``epsilon ** (1 + spread * i / (n_envs - 1))``; 7 in Ape-X, 0 for the same everywhere
    :param n_envs: number of environments
    :return: ``[n_envs]``; a number without spread

    Example::

        >>> spread_epsilon(0.5, 2.0, 3)
        array([0.5  , 0.25 , 0.125])
    """
    if spread == 0.0 or n_envs == 1:
        return epsilon
    exponents: npt.NDArray[np.float64] = 1.0 + spread * np.arange(n_envs) / (n_envs - 1)
    return epsilon**exponents


def epsilon_greedy(actions: npt.NDArray[Any], num_actions: int, epsilon: float | npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    """
    Replace each action by a uniformly random one with probability ``epsilon``, independently per environment.

    :param actions: greedy actions ``[N]``
    :param num_actions: number of actions
    :param epsilon: probability of a random action, one for all or ``[N]``
    :return: the actions to take ``[N]``
    """
    is_random = np.random.random(actions.shape) < epsilon
    return np.where(is_random, np.random.randint(num_actions, size=actions.shape), actions)


def epsilon_greedy_on_device(
    actions: th.Tensor, num_actions: int, epsilon: float | npt.NDArray[np.float64], generator: th.Generator
) -> th.Tensor:
    """
    Replace actions as :func:`epsilon_greedy`, without a transfer to the host.

    :param actions: greedy actions ``[N]``
    :param num_actions: number of actions
    :param epsilon: probability of a random action, one for all or ``[N]``
    :param generator: a generator on the device of the actions
    :return: the actions to take ``[N]``
    """
    threshold = epsilon if isinstance(epsilon, float) else th.as_tensor(epsilon, device=actions.device)
    is_random = th.rand(actions.shape, generator=generator, device=actions.device) < threshold
    random_actions = th.randint(num_actions, actions.shape, generator=generator, device=actions.device)
    return th.where(is_random, random_actions, actions)


class RepeatedRandomActions:
    """
    Repeats each random action for a geometric number of steps: independent per-step noise barely moves a point mass.

    :param action_dim: dimension of the actions
    :param mean_repeat: mean number of steps per random action
    """

    def __init__(self, action_dim: int, mean_repeat: int) -> None:
        self.mean_repeat = mean_repeat
        self.actions: npt.NDArray[np.float64] = np.zeros((0, action_dim))
        self._steps_left: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def sample(self, n_envs: int, epsilon: float | npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """
        Decide in which environments the next action is random; their actions are then in ``actions``.

        :param n_envs: number of environments
        :param epsilon: fraction of random actions in the long run, one for all or ``[N]``
        :return: bool ``[N]``
        """
        if len(self._steps_left) != n_envs:
            self.actions, self._steps_left = np.zeros((n_envs, self.actions.shape[1])), np.zeros(n_envs, dtype=np.int64)
        # Each start yields mean_repeat random steps, so that a start is rarer than a random step.
        start_probability = epsilon / (self.mean_repeat * (1.0 - epsilon) + epsilon)
        starts = np.flatnonzero((self._steps_left == 0) & (np.random.random(n_envs) < start_probability))
        self._steps_left[starts] = np.random.geometric(1.0 / self.mean_repeat, len(starts))
        self.actions[starts] = np.random.uniform(-1.0, 1.0, (len(starts), self.actions.shape[1]))
        is_random = self._steps_left > 0
        self._steps_left -= is_random
        return is_random


def check_exploration(fraction: float, initial_eps: float, final_eps: float, spread: float) -> None:
    """
    Raise a ``ValueError`` unless the first three are in [0, 1] and the last one is at least 0.

    :param fraction: ``exploration_fraction``
    :param initial_eps: ``exploration_initial_eps``
    :param final_eps: ``exploration_final_eps``
    :param spread: ``exploration_spread``
    """
    check_fraction("exploration_fraction", fraction)
    check_fraction("exploration_initial_eps", initial_eps)
    check_fraction("exploration_final_eps", final_eps)
    check_at_least("exploration_spread", spread, 0)
