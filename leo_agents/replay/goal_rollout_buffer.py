"""Rollout buffer of T steps in N environments, with the masks of achieved goals, on the device of the networks."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.type_aliases import TensorDict

from leo_agents.replay.device_storage import to_device
from leo_agents.replay.memory import check_fits_in_memory
from leo_wrappers.keys import GOAL_INPUT_KEYS, GOAL_KEY
from leo_wrappers.sb3 import ArrayStep

_BITS = 8


class GoalRolloutBuffer:
    """
    Transitions of N environments over T steps. Transition ``t * N + n`` is step t of environment n.

    Observations are stored once, ``T + 1`` per environment; the final observations of episodes are stored separately. The true
    next observation of a transition is the final observation if the episode ended there, else the following one. Masks are
    bit-packed.

    :param n_steps: T
    :param n_envs: N
    :param observation_space: of the goal-conditioned environments; the goal is stored separately
    :param num_goals: number of goals
    :param device: device of the tensors
    :param has_tasks: whether the goals are tasks, whose rewards are stored too, ``[T, N, K]``
    """

    def __init__(
        self,
        n_steps: int,
        n_envs: int,
        observation_space: spaces.Dict,
        num_goals: int,
        device: th.device,
        has_tasks: bool = False,
    ) -> None:
        self.n_steps, self.n_envs, self.num_goals = n_steps, n_envs, num_goals
        self.device = device
        parts = {key: space for key, space in observation_space.spaces.items() if key not in GOAL_INPUT_KEYS}
        shapes = {key: (np.dtype(space.dtype), space.shape or ()) for key, space in parts.items()}
        rows = (n_steps + 1) * n_envs
        sizes = {key: rows * int(np.prod(shape, dtype=np.int64)) * dtype.itemsize for key, (dtype, shape) in shapes.items()}
        check_fits_in_memory(
            f"rollouts of {n_steps} steps in {n_envs} environments",
            {**sizes, "targets": 4 * n_steps * n_envs * num_goals * (2 if has_tasks else 1)},
            "choose a smaller n_steps or fewer environments",
        )
        self._observations = {
            key: th.zeros((rows, *shape), dtype=th.as_tensor(np.zeros(1, dtype)).dtype, device=device)
            for key, (dtype, shape) in shapes.items()
        }
        self._final_observations: list[TensorDict] = []
        self._final_rows: list[th.Tensor] = []
        grid = (n_steps, n_envs)
        self.actions = th.zeros(grid, dtype=th.int64, device=device)
        self.goal_ids = th.zeros((n_steps + 1, n_envs), dtype=th.int64, device=device)
        self.packed_masks = th.zeros((*grid, -(-num_goals // _BITS)), dtype=th.uint8, device=device)
        self.task_rewards = th.zeros((*grid, num_goals if has_tasks else 0), device=device)
        self.terminated = th.zeros(grid, dtype=th.bool, device=device)
        self.dones = th.zeros(grid, dtype=th.bool, device=device)
        self.step = 0

    def __len__(self) -> int:
        return self.n_steps * self.n_envs

    @property
    def full(self) -> bool:
        """Whether all steps were added."""
        return self.step == self.n_steps

    def reset(self, obs: dict[str, Any]) -> None:
        """
        Start a new rollout.

        :param obs: current observations of the environments, arrays or tensors, with ``goal_id``
        """
        self.step = 0
        self._final_observations, self._final_rows = [], []
        self._add_observations(obs)

    def add(self, actions: npt.NDArray[Any] | th.Tensor, step: ArrayStep) -> None:
        """
        Copy one step of all environments.

        :param actions: the actions taken
        :param step: the result of the step
        """
        time = self.step
        self.actions[time] = to_device(actions, self.device)
        self.packed_masks[time] = to_device(np.packbits(step.goals_achieved, axis=1, bitorder="little"), self.device)
        if step.task_rewards is not None:
            self.task_rewards[time] = to_device(step.task_rewards, self.device)
        self.terminated[time] = to_device(step.terminated, self.device)
        self.dones[time] = to_device(step.dones, self.device)
        if step.final_obs is not None:
            assert isinstance(step.final_obs, dict)
            self._final_observations.append({key: to_device(step.final_obs[key], self.device) for key in self._observations})
            self._final_rows.append(to_device(time * self.n_envs + np.flatnonzero(step.dones), self.device))
        self.step += 1
        self._add_observations(step.obs)  # type: ignore[arg-type]

    def last_observations(self) -> TensorDict:
        """Return the newest observations: tensors ``[N, ...]`` without the goal."""
        start = self.step * self.n_envs
        return {key: values[start : start + self.n_envs] for key, values in self._observations.items()}

    def last_goal_ids(self) -> th.Tensor:
        """Return the goals commanded in the newest observations: ``[N]``."""
        return self.goal_ids[self.step]

    def observations(self, rows: th.Tensor) -> TensorDict:
        """
        Return observations by number of the transition.

        :param rows: numbers of transitions ``[B]``
        :return: tensors ``[B, ...]`` without the goal
        """
        return {key: values.index_select(0, rows) for key, values in self._observations.items()}

    def final_observations(self) -> tuple[th.Tensor, TensorDict]:
        """
        Return the final observations of the episodes that ended in this rollout.

        :return: numbers of the transitions ``[E]`` and tensors ``[E, ...]``
        """
        if not self._final_rows:
            none = th.zeros(0, dtype=th.int64, device=self.device)
            return none, {key: values[:0] for key, values in self._observations.items()}
        rows = th.cat(self._final_rows)
        return rows, {key: th.cat([part[key] for part in self._final_observations]) for key in self._observations}

    def next_rows(self) -> th.Tensor:
        """
        Return where the true next observation of each transition is: a row of the ``(T + 1) * N`` stored observations
        followed by :meth:`final_observations`.

        :return: ``[T * N]``
        """
        rows = th.arange(self.n_envs, len(self) + self.n_envs, device=self.device)
        final_rows, _ = self.final_observations()
        rows[final_rows] = len(self) + self.n_envs + th.arange(len(final_rows), device=self.device)
        return rows

    def next_observations(self, rows: th.Tensor) -> TensorDict:
        """
        Return true next observations by number of the transition.

        :param rows: numbers of transitions ``[B]``
        :return: tensors ``[B, ...]`` without the goal
        """
        next_rows, num_stored = self.next_rows()[rows], len(self) + self.n_envs
        result = {
            key: values.index_select(0, next_rows.clamp(max=num_stored - 1)) for key, values in self._observations.items()
        }
        final = th.nonzero(next_rows >= num_stored).flatten()
        _, final_observations = self.final_observations()
        for key, values in result.items():
            values[final] = final_observations[key][next_rows[final] - num_stored]
        return result

    def goals_achieved(self, rows: th.Tensor | slice = slice(None)) -> th.Tensor:
        """
        Return masks by number of the transition.

        :param rows: numbers of transitions ``[B]``; all by default
        :return: float32 ``[B, G]``
        """
        packed = self.packed_masks.flatten(0, 1)[rows]
        bits = (packed.unsqueeze(2) >> th.arange(_BITS, dtype=th.uint8, device=self.device)) & 1
        return bits.flatten(1)[:, : self.num_goals].float()

    def goal_achieved(self, goal_ids: th.Tensor | None = None) -> th.Tensor:
        """
        Return whether each transition achieved one goal.

        :param goal_ids: a goal per transition ``[T, N]``; the commanded goals by default
        :return: bool ``[T, N]``
        """
        goal_ids = (self.goal_ids[:-1] if goal_ids is None else goal_ids).unsqueeze(2)
        byte = self.packed_masks.gather(2, goal_ids // _BITS)
        return ((byte >> (goal_ids % _BITS).to(th.uint8)) & 1).squeeze(2).bool()

    def minibatches(self, n_epochs: int, batch_size: int) -> Iterator[th.Tensor]:
        """
        Iterate over the transitions in random order, once per epoch.

        :param n_epochs: number of epochs
        :param batch_size: number of transitions in a minibatch
        :return: numbers of transitions ``[batch_size]``
        """
        for _ in range(n_epochs):
            yield from th.randperm(len(self), device=self.device).split(batch_size)  # type: ignore[no-untyped-call]

    def _add_observations(self, obs: dict[str, Any]) -> None:
        for key, values in self.last_observations().items():
            values.copy_(to_device(obs[key], self.device))
        self.goal_ids[self.step] = to_device(obs[GOAL_KEY], self.device)


def fitting_batch_size(n_steps: int, n_envs: int, batch_size: int) -> int:
    """
    Return the largest divisor of the number of transitions of a rollout up to ``batch_size``: all minibatches get equal size.

    :param n_steps: steps of a rollout
    :param n_envs: number of environments
    :param batch_size: requested size
    :return: size of the minibatches
    """
    total = n_steps * n_envs
    return next(size for size in range(min(batch_size, total), 0, -1) if total % size == 0)


def warn_of_batch_size(n_steps: int, n_envs: int, batch_size: int, stacklevel: int) -> None:
    """
    Warn if the minibatches will be smaller than requested.

    :param n_steps: steps of a rollout
    :param n_envs: number of environments
    :param batch_size: requested size
    :param stacklevel: as of ``warnings.warn`` called in the caller's place
    """
    fitting, total = fitting_batch_size(n_steps, n_envs, batch_size), n_steps * n_envs
    if fitting != batch_size:
        warnings.warn(
            f"expected batch_size to divide the {n_steps} x {n_envs} = {total} transitions of a rollout, got "
            f"{batch_size}; using {fitting}, its largest divisor up to that.",
            stacklevel=stacklevel + 1,
        )
