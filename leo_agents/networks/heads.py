"""
All-goals heads: from one state's features to the values of every goal and action.

A head gives logits; the value is their sigmoid. Learning needs the taken action of every goal and the best action of
every goal, acting needs every action of one goal: each has its own method, so that nothing else is computed.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import torch as th
from torch import nn

from leo_agents.networks.grouped_linear import grouped_linear

# How many numbers an intermediate result may hold (a few MB), so that it stays in cache and memory stays bounded.
BLOCK_ELEMENTS = 2**20


class GoalHead(nn.Module, ABC):
    """
    The values of all goals and actions on top of a feature extractor.

    :param features_dim: number of features
    :param num_goals: number of goals
    :param num_actions: number of actions
    """

    def __init__(self, features_dim: int, num_goals: int, num_actions: int) -> None:
        super().__init__()
        for name, size in (("features_dim", features_dim), ("num_goals", num_goals), ("num_actions", num_actions)):
            if size < 1:
                raise ValueError(f"expected {name} of at least 1, got {size}")
        self.features_dim = features_dim
        self.num_goals = num_goals
        self.num_actions = num_actions

    @abstractmethod
    def _block_logits(self, features: th.Tensor, goals: th.Tensor | None) -> Callable[[int, int], th.Tensor]:
        """A function from a range of actions to their logits, of shape ``[batch, stop - start, goals]``."""

    @abstractmethod
    def taken(self, features: th.Tensor, actions: th.Tensor, goals: th.Tensor | None = None) -> th.Tensor:
        """
        The logits of one action per row, for all goals.

        :param features: of shape ``[batch, features_dim]``
        :param actions: integers of shape ``[batch]`` or ``[batch, 1]``
        :param goals: ids of the goals to compute, of shape ``[k]``; all of them by default
        :return: of shape ``[batch, num_goals]`` or ``[batch, k]``
        """

    @abstractmethod
    def for_goals(self, features: th.Tensor, goal_ids: th.Tensor) -> th.Tensor:
        """
        The logits of all actions for one goal per row: what acting needs.

        :param features: of shape ``[batch, features_dim]``
        :param goal_ids: integers of shape ``[batch]`` or ``[batch, 1]``
        :return: of shape ``[batch, num_actions]``
        """

    def forward(self, features: th.Tensor) -> th.Tensor:
        """
        The logits of all goals and actions.

        :param features: of shape ``[batch, features_dim]``
        :return: of shape ``[batch, num_goals, num_actions]`` (a view: the actions lie outside in memory)
        """
        return self._block_logits(features, None)(0, self.num_actions).transpose(1, 2)

    def max_over_actions(self, features: th.Tensor, goals: th.Tensor | None = None) -> th.Tensor:
        """
        The logits of the best action of each goal.

        :param features: of shape ``[batch, features_dim]``
        :param goals: ids of the goals to compute, of shape ``[k]``; all of them by default
        :return: of shape ``[batch, num_goals]`` or ``[batch, k]``
        """
        return self._best(features, goals, with_actions=False)[0]

    def best_actions(self, features: th.Tensor, goals: th.Tensor | None = None) -> tuple[th.Tensor, th.Tensor]:
        """
        The best action of each goal and its logits.

        :param features: of shape ``[batch, features_dim]``
        :param goals: ids of the goals to compute, of shape ``[k]``; all of them by default
        :return: the logits and the actions, each of shape ``[batch, num_goals]`` or ``[batch, k]``
        """
        logits, actions = self._best(features, goals, with_actions=True)
        return logits, actions

    def _best(self, features: th.Tensor, goals: th.Tensor | None, with_actions: bool) -> tuple[th.Tensor, Any]:
        """A running maximum over blocks of actions: no more than one block of logits exists at a time."""
        num_goals = self.num_goals if goals is None else len(goals)
        block = max(1, BLOCK_ELEMENTS // max(1, len(features) * num_goals))
        best: th.Tensor | None = None
        actions: th.Tensor | None = None
        block_logits = self._block_logits(features, goals)
        for start in range(0, self.num_actions, block):
            logits = block_logits(start, min(start + block, self.num_actions))
            if with_actions:
                logits, found = logits.max(dim=1)
                found = found + start
                actions = found if best is None else th.where(logits > best, found, actions)  # type: ignore[arg-type]
            else:
                logits = logits.amax(dim=1)
            best = logits if best is None else th.maximum(best, logits)
        return best, actions  # type: ignore[return-value]


class DenseHead(GoalHead):
    """
    A weight vector for every goal and action, optionally on a narrow projection of the features.

    The weights lie action-major, ``[num_actions, num_goals, width]``, so that one action's slice is one matrix.

    :param features_dim: number of features
    :param num_goals: number of goals
    :param num_actions: number of actions
    :param width: project the features to this many before the last layer; by default they are used as they are
    :param initial_value: the value of every goal and action before learning
    """

    def __init__(
        self, features_dim: int, num_goals: int, num_actions: int, width: int | None = None, initial_value: float = 0.5
    ) -> None:
        super().__init__(features_dim, num_goals, num_actions)
        self.projection = nn.Identity() if width is None else ScaledLinear(features_dim, width)
        inputs = features_dim if width is None else width
        # From zero every goal and action starts at the initial value exactly. Random weights would first have to be unlearned,
        # which takes about as long as learning: the maximum over actions takes their noise for promises.
        self.weight = nn.Parameter(th.zeros(num_actions, num_goals, inputs))
        self.bias = nn.Parameter(th.full((num_actions, num_goals), logit(initial_value)))

    def taken(self, features: th.Tensor, actions: th.Tensor, goals: th.Tensor | None = None) -> th.Tensor:
        return grouped_linear(self.projection(features), self.weight, self.bias, actions, goals)

    def for_goals(self, features: th.Tensor, goal_ids: th.Tensor) -> th.Tensor:
        inputs, goal_ids = self.projection(features), goal_ids.reshape(-1)
        rows = max(1, BLOCK_ELEMENTS // (self.num_actions * inputs.shape[1]))
        if th.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
            rows = 2**31  # an export must not remember how many blocks its example needed
        # Each gathered weight is read once: to write it again in half the size first would cost more than it saves.
        with th.autocast(inputs.device.type, enabled=False):
            logits = [
                th.einsum("bh,abh->ba", part, self.weight.index_select(1, ids))
                for part, ids in zip(th.split(inputs.to(self.weight.dtype), rows), th.split(goal_ids, rows), strict=True)
            ]
        return th.cat(logits) + self.bias.index_select(1, goal_ids).t()

    def _block_logits(self, features: th.Tensor, goals: th.Tensor | None) -> Callable[[int, int], th.Tensor]:
        inputs = self.projection(features)

        def block_logits(start: int, stop: int) -> th.Tensor:
            weight, bias = self.weight[start:stop], self.bias[start:stop]
            if goals is not None:
                weight, bias = weight.index_select(1, goals), bias.index_select(1, goals)
            logits = th.addmm(bias.reshape(-1), inputs, weight.reshape(-1, weight.shape[2]).t())
            return logits.view(len(inputs), stop - start, -1)

        return block_logits


class ScaledLinear(nn.Linear):
    """
    A linear map to fewer numbers, larger ones in proportion: what reads them then learns as fast as it would from them all.

    :param inputs: number of inputs
    :param outputs: number of outputs
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.scale = math.sqrt(3.0) * inputs / outputs

    def forward(self, features: th.Tensor) -> th.Tensor:
        return super().forward(features) * self.scale


class FactoredHead(GoalHead):
    """
    ``phi_a(s) . psi_g + b_g``: the goals share their action features, so the head grows with ``goals + actions``.

    :param features_dim: number of features
    :param num_goals: number of goals
    :param num_actions: number of actions
    :param rank: length of ``phi_a(s)`` and ``psi_g``
    :param descriptors: a vector per goal, of shape ``[num_goals, d]``: ``psi_g`` and ``b_g`` are then computed from it
        and not a free table, so that goals never trained on get values too
    :param hidden_dim: width of the hidden layer between descriptors and ``psi_g``
    :param initial_value: the value of every goal and action before learning, about
    """

    descriptors: th.Tensor | None

    def __init__(
        self,
        features_dim: int,
        num_goals: int,
        num_actions: int,
        rank: int = 64,
        descriptors: np.ndarray | th.Tensor | None = None,
        hidden_dim: int = 256,
        initial_value: float = 0.5,
    ) -> None:
        super().__init__(features_dim, num_goals, num_actions)
        if rank < 1:
            raise ValueError(f"expected rank of at least 1, got {rank}")
        self.rank = rank
        bound = 1.0 / math.sqrt(features_dim)
        self.weight = nn.Parameter(th.empty(num_actions, rank, features_dim).uniform_(-bound, bound))
        self.bias = nn.Parameter(th.zeros(num_actions, rank))
        self.initial_logit = logit(initial_value)
        if descriptors is None:
            self.register_buffer("descriptors", None)
            # psi_g and, last, the goal's bias.
            table = th.cat([th.randn(num_goals, rank) / math.sqrt(rank), th.zeros(num_goals, 1)], dim=1)
            self.goal_table = nn.Parameter(table)
        else:
            self._setup_descriptors(th.as_tensor(descriptors, dtype=th.float32), hidden_dim)

    def _setup_descriptors(self, descriptors: th.Tensor, hidden_dim: int) -> None:
        if descriptors.ndim != 2 or len(descriptors) != self.num_goals:
            raise ValueError(
                f"expected descriptors of shape [{self.num_goals}, d], got {tuple(descriptors.shape)}; give one row per goal"
            )
        self.register_buffer("descriptors", descriptors)
        self.goal_net = nn.Sequential(
            nn.Linear(descriptors.shape[1], hidden_dim),
            nn.LayerNorm(hidden_dim),
            nn.ReLU(),
            nn.Linear(hidden_dim, self.rank + 1),
        )

    def goal_vectors(self, goals: th.Tensor | None = None) -> tuple[th.Tensor, th.Tensor]:
        """
        The goals' vectors ``psi_g`` and biases.

        :param goals: ids of the goals, of shape ``[k]``; all of them by default
        :return: tensors of shape ``[k, rank]`` and ``[k]``
        """
        if self.descriptors is None:
            table = self.goal_table if goals is None else self.goal_table.index_select(0, goals)
        else:
            table = self.goal_net(self.descriptors if goals is None else self.descriptors.index_select(0, goals))
        return table[:, :-1], table[:, -1] + self.initial_logit

    def taken(self, features: th.Tensor, actions: th.Tensor, goals: th.Tensor | None = None) -> th.Tensor:
        vectors, biases = self.goal_vectors(goals)
        phi = grouped_linear(features, self.weight, self.bias, actions)
        return th.addmm(biases, phi, vectors.t())

    def for_goals(self, features: th.Tensor, goal_ids: th.Tensor) -> th.Tensor:
        vectors, biases = self.goal_vectors(goal_ids.reshape(-1))
        phi = nn.functional.linear(features, self.weight.flatten(0, 1), self.bias.flatten())
        phi = phi.view(-1, self.num_actions, self.rank)
        return th.bmm(phi, vectors.unsqueeze(2)).squeeze(2) + biases.unsqueeze(1)

    def _block_logits(self, features: th.Tensor, goals: th.Tensor | None) -> Callable[[int, int], th.Tensor]:
        vectors, biases = self.goal_vectors(goals)

        def block_logits(start: int, stop: int) -> th.Tensor:
            weight, bias = self.weight[start:stop].flatten(0, 1), self.bias[start:stop].flatten()
            phi = nn.functional.linear(features, weight, bias).view(-1, self.rank)
            return th.addmm(biases, phi, vectors.t()).view(len(features), stop - start, -1)

        return block_logits


def logit(value: float) -> float:
    """
    The logit of a value.

    :param value: strictly between 0 and 1
    :return: ``log(value / (1 - value))``
    """
    if not 0.0 < value < 1.0:
        raise ValueError(f"expected a value strictly between 0 and 1, got {value}")
    return math.log(value / (1.0 - value))
