"""Rollouts of T steps in N environments, as arrays on the learning device."""

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.type_aliases import TensorDict

from leo_agents.replay.memory import check_fits_in_memory
from leo_wrappers.keys import GOAL_INPUT_KEYS, GOAL_KEY
from leo_wrappers.sb3 import ArrayStep

_BITS = 8


class GoalRolloutBuffer:
    """
    What happened in N environments over T steps. A transition's number is ``t * N + n``.

    States are kept once, ``T + 1`` for each environment, and those in which episodes ended beside them: a transition's true
    next state is the state after it, or the one in which its episode ended. Masks are kept as bits.

    :param num_steps: T
    :param num_envs: N
    :param observation_space: with the command, which is kept apart
    :param num_goals: number of goals
    :param device: where the arrays are
    """

    def __init__(
        self, num_steps: int, num_envs: int, observation_space: spaces.Dict, num_goals: int, device: th.device
    ) -> None:
        self.num_steps, self.num_envs, self.num_goals = num_steps, num_envs, num_goals
        self.device = device
        parts = {key: space for key, space in observation_space.spaces.items() if key not in GOAL_INPUT_KEYS}
        shapes = {key: (np.dtype(space.dtype), space.shape or ()) for key, space in parts.items()}
        rows = (num_steps + 1) * num_envs
        sizes = {key: rows * int(np.prod(shape, dtype=np.int64)) * dtype.itemsize for key, (dtype, shape) in shapes.items()}
        check_fits_in_memory(
            f"rollouts of {num_steps} steps in {num_envs} environments",
            {**sizes, "targets": 4 * num_steps * num_envs * num_goals},
            "choose a smaller n_steps or fewer environments",
        )
        self._states = {
            key: th.zeros((rows, *shape), dtype=th.as_tensor(np.zeros(1, dtype)).dtype, device=device)
            for key, (dtype, shape) in shapes.items()
        }
        self._last_states: list[TensorDict] = []
        self._ended: list[th.Tensor] = []
        grid = (num_steps, num_envs)
        self.actions = th.zeros(grid, dtype=th.int64, device=device)
        self.goals = th.zeros((num_steps + 1, num_envs), dtype=th.int64, device=device)
        self.packed_masks = th.zeros((*grid, -(-num_goals // _BITS)), dtype=th.uint8, device=device)
        self.terminated = th.zeros(grid, dtype=th.bool, device=device)
        self.done = th.zeros(grid, dtype=th.bool, device=device)
        self.step = 0

    def __len__(self) -> int:
        return self.num_steps * self.num_envs

    @property
    def full(self) -> bool:
        """Whether all steps have been taken."""
        return self.step == self.num_steps

    def begin(self, obs: dict[str, npt.NDArray[Any]]) -> None:
        """
        Forgets everything.

        :param obs: what the environments show now, with their goals
        """
        self.step = 0
        self._last_states, self._ended = [], []
        self._show(obs)

    def add(self, actions: th.Tensor, step: ArrayStep) -> None:
        """
        One step of all environments.

        :param actions: what was done
        :param step: what came of it
        """
        time = self.step
        self.actions[time] = actions
        self.packed_masks[time] = _tensor(np.packbits(step.goals_achieved, axis=1, bitorder="little"), self.device)
        self.terminated[time] = _tensor(step.terminated, self.device)
        self.done[time] = _tensor(step.dones, self.device)
        if step.final_obs is not None:
            assert isinstance(step.final_obs, dict)
            self._last_states.append({key: _tensor(step.final_obs[key], self.device) for key in self._states})
            self._ended.append(_tensor(time * self.num_envs + np.flatnonzero(step.dones), self.device))
        self.step += 1
        self._show(step.obs)  # type: ignore[arg-type]

    def shown(self, step: int | None = None) -> TensorDict:
        """
        :param step: the number of steps taken before; those taken so far by default
        :return: the states that the environments then showed
        """
        start = (self.step if step is None else step) * self.num_envs
        return {key: states[start : start + self.num_envs] for key, states in self._states.items()}

    def states(self, rows: th.Tensor) -> TensorDict:
        """
        :param rows: numbers of transitions
        :return: the states in which they began
        """
        return {key: states.index_select(0, rows) for key, states in self._states.items()}

    def ended(self) -> tuple[th.Tensor, TensorDict]:
        """
        :return: the transitions with which episodes ended, and the states in which these did
        """
        if not self._ended:
            none = th.zeros(0, dtype=th.int64, device=self.device)
            return none, {key: states[:0] for key, states in self._states.items()}
        return th.cat(self._ended), {key: th.cat([part[key] for part in self._last_states]) for key in self._states}

    def next_rows(self) -> th.Tensor:
        """
        Where each transition's true next state is: in the ``(T + 1) * N`` states shown, followed by those of :meth:`ended`.

        :return: numbers of states, of shape ``[T * N]``
        """
        rows = th.arange(self.num_envs, len(self) + self.num_envs, device=self.device)
        ended, _ = self.ended()
        rows[ended] = len(self) + self.num_envs + th.arange(len(ended), device=self.device)
        return rows

    def next_states(self, rows: th.Tensor) -> TensorDict:
        """
        :param rows: numbers of transitions
        :return: their true next states
        """
        where, shown = self.next_rows()[rows], len(self) + self.num_envs
        result = {key: states.index_select(0, where.clamp(max=shown - 1)) for key, states in self._states.items()}
        last = th.nonzero(where >= shown).flatten()
        _, ended = self.ended()
        for key, states in result.items():
            states[last] = ended[key][where[last] - shown]
        return result

    def masks(self, rows: th.Tensor | slice = slice(None)) -> th.Tensor:
        """
        :param rows: numbers of transitions; all by default
        :return: the goals that they achieved as floats, of shape ``[rows, goals]``
        """
        packed = self.packed_masks.flatten(0, 1)[rows]
        bits = (packed.unsqueeze(2) >> th.arange(_BITS, dtype=th.uint8, device=self.device)) & 1
        return bits.flatten(1)[:, : self.num_goals].float()

    def hits(self, goals: th.Tensor | None = None) -> th.Tensor:
        """
        :param goals: a goal for each step, of shape ``[T, N]``; the commanded ones by default
        :return: whether the step achieved it, of the same shape
        """
        goals = (self.goals[:-1] if goals is None else goals).unsqueeze(2)
        byte = self.packed_masks.gather(2, goals // _BITS)
        return ((byte >> (goals % _BITS).to(th.uint8)) & 1).squeeze(2).bool()

    def _show(self, obs: dict[str, npt.NDArray[Any]]) -> None:
        for key, states in self.shown().items():
            states.copy_(_tensor(obs[key], self.device))
        self.goals[self.step] = _tensor(obs[GOAL_KEY], self.device)


def fitting_batch_size(num_steps: int, num_envs: int, batch_size: int) -> int:
    """
    :param num_steps: of a rollout
    :param num_envs: of a rollout
    :param batch_size: the size asked for
    :return: the largest divisor of the rollout's transitions up to it: all minibatches are equally large
    """
    total = num_steps * num_envs
    return next(size for size in range(min(batch_size, total), 0, -1) if total % size == 0)


def warn_of_batch_size(num_steps: int, num_envs: int, batch_size: int, stacklevel: int) -> None:
    """
    Says so where minibatches will be smaller than asked for.

    :param num_steps: of a rollout
    :param num_envs: of a rollout
    :param batch_size: the size asked for
    :param stacklevel: whose line the warning is about, seen from the caller as in ``warnings.warn``
    """
    fitting, total = fitting_batch_size(num_steps, num_envs, batch_size), num_steps * num_envs
    if fitting != batch_size:
        warnings.warn(
            f"expected batch_size to divide the {num_steps} x {num_envs} = {total} transitions of a rollout, got "
            f"{batch_size}; using {fitting}, its largest divisor up to that.",
            stacklevel=stacklevel + 1,
        )


def _tensor(array: npt.NDArray[Any], device: th.device) -> th.Tensor:
    return th.as_tensor(np.ascontiguousarray(array)).to(device, non_blocking=True)
