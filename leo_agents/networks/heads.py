"""
All-goals heads for discrete actions: from the features of a state to the logits of all goals and actions.

The loss needs the taken action for all goals, the targets need the maximum over actions for all goals, and acting needs all
actions for one goal. Each has its own method, which computes nothing else.
"""

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import torch as th
from torch import nn

from leo_agents.networks.device import is_asynchronous
from leo_agents.networks.goal_descriptors import check_table
from leo_agents.networks.goal_embedding import GoalEmbedding
from leo_agents.networks.grouped_linear import grouped_linear
from leo_wrappers.validation import check_integer

# Elements per block of an intermediate result (a few MB), so that it stays in cache and memory is bounded.
BLOCK_ELEMENTS = 2**20
# With CUDA, 256 MB in float32: fewer and larger operations.
CUDA_BLOCK_ELEMENTS = 2**26
# A dense head of this many outputs and 256 features has 100 million weights, all of which every update reads and writes.
MANY_OUTPUTS = 400_000


class GoalHead(nn.Module, ABC):
    """
    Base class of heads that compute the logits of all goals and actions.

    Their methods take the goals to compute as ids ``[k]``. Heads with descriptors also take descriptors ``[k, d]``, of goals
    that they were never trained on.

    :param features_dim: number of features
    :param num_goals: number of goals
    :param num_actions: number of actions
    """

    def __init__(self, features_dim: int, num_goals: int, num_actions: int) -> None:
        super().__init__()
        for name, size in (("features_dim", features_dim), ("num_goals", num_goals), ("num_actions", num_actions)):
            check_integer(name, size, 1)
        self.features_dim = features_dim
        self.num_goals = num_goals
        self.num_actions = num_actions
        self.goal_embedding: GoalEmbedding | None = None

    @property
    def descriptors(self) -> th.Tensor | None:
        """Vectors ``[num_goals, d]`` from which the values of the goals are computed; None if they are not."""
        return None if self.goal_embedding is None else self.goal_embedding.descriptors

    @abstractmethod
    def _block_logits(self, features: th.Tensor, goals: th.Tensor | None) -> Callable[[int, int], th.Tensor]:
        """Return a function that maps a range of actions to their logits ``[batch, stop - start, goals]``."""

    @abstractmethod
    def taken(self, features: th.Tensor, actions: th.Tensor, goals: th.Tensor | None = None) -> th.Tensor:
        """
        Compute the logits of the taken actions, for all goals.

        :param features: ``[batch, features_dim]``
        :param actions: one integer action per row ``[batch]`` or ``[batch, 1]``
        :param goals: the goals to compute, ids ``[k]`` or descriptors ``[k, d]``; all goals by default
        :return: ``[batch, num_goals]`` or ``[batch, k]``
        """

    @abstractmethod
    def for_goals(self, features: th.Tensor, goal_ids: th.Tensor) -> th.Tensor:
        """
        Compute the logits of all actions, for one goal per row.

        :param features: ``[batch, features_dim]``
        :param goal_ids: the goal of each row, ids ``[batch]`` or ``[batch, 1]``, or descriptors ``[batch, d]``
        :return: ``[batch, num_actions]``
        """

    def forward(self, features: th.Tensor, goals: th.Tensor | None = None) -> th.Tensor:
        """
        Compute the logits of all goals and actions.

        :param features: ``[batch, features_dim]``
        :param goals: the goals to compute, ids ``[k]`` or descriptors ``[k, d]``; all goals by default
        :return: ``[batch, num_goals, num_actions]`` or ``[batch, k, num_actions]``, a view of an action-major tensor
        """
        return self._block_logits(features, goals)(0, self.num_actions).transpose(1, 2)

    def max_over_actions(self, features: th.Tensor, goals: th.Tensor | None = None) -> th.Tensor:
        """
        Compute the maximum of the logits over actions, for each goal.

        :param features: ``[batch, features_dim]``
        :param goals: the goals to compute, ids ``[k]`` or descriptors ``[k, d]``; all goals by default
        :return: ``[batch, num_goals]`` or ``[batch, k]``
        """
        return self._best(features, goals, with_actions=False)[0]

    def best_actions(self, features: th.Tensor, goals: th.Tensor | None = None) -> tuple[th.Tensor, th.Tensor]:
        """
        Compute the greedy action of each goal and its logit.

        :param features: ``[batch, features_dim]``
        :param goals: the goals to compute, ids ``[k]`` or descriptors ``[k, d]``; all goals by default
        :return: logits and integer actions, each ``[batch, num_goals]`` or ``[batch, k]``
        """
        return self._best(features, goals, with_actions=True)

    def _best(self, features: th.Tensor, goals: th.Tensor | None, with_actions: bool) -> tuple[th.Tensor, Any]:
        """Compute a running maximum over blocks of actions, with one block of logits in memory at a time."""
        num_goals = self.num_goals if goals is None else len(goals)
        block = max(1, block_elements(features.device) // max(1, len(features) * num_goals))
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
    Linear head with separate weights for every goal and action.

    The weights are action-major, ``[num_actions, num_goals, width]``: the slice of one action is a contiguous matrix.

    :param features_dim: number of features
    :param num_goals: number of goals
    :param num_actions: number of actions
    :param width: project the features to this dimension before the last layer; no projection by default
    :param initial_value: value of every goal and action at initialization
    """

    def __init__(
        self, features_dim: int, num_goals: int, num_actions: int, width: int | None = None, initial_value: float = 0.5
    ) -> None:
        super().__init__(features_dim, num_goals, num_actions)
        self.projection = nn.Identity() if width is None else ScaledLinear(features_dim, width)
        inputs = features_dim if width is None else width
        # With zero weights every goal and action starts at exactly the initial value. Random weights slow down learning a lot:
        # the maximum over actions turns their noise into overestimated targets.
        self.weight = nn.Parameter(th.zeros(num_actions, num_goals, inputs))
        self.bias = nn.Parameter(th.full((num_actions, num_goals), logit(initial_value)))

    def taken(self, features: th.Tensor, actions: th.Tensor, goals: th.Tensor | None = None) -> th.Tensor:
        return grouped_linear(self.projection(features), self.weight, self.bias, actions, goals)

    def for_goals(self, features: th.Tensor, goal_ids: th.Tensor) -> th.Tensor:
        inputs, goal_ids = self.projection(features), goal_ids.reshape(-1)
        rows = max(1, block_elements(inputs.device) // (self.num_actions * inputs.shape[1]))
        if th.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
            rows = 2**31  # one block: a trace would fix the number of blocks to that of the example input
        # Without autocast: each gathered weight is read once, so casting it first would cost more than it saves.
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
    Linear projection, scaled so that the layer after it learns about as fast as it would from the unprojected inputs.

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
    Low-rank head ``phi_a(s) . psi_g + b_g``, whose size grows with ``num_goals + num_actions`` instead of their product.

    :param features_dim: number of features
    :param num_goals: number of goals
    :param num_actions: number of actions
    :param rank: length of ``phi_a(s)`` and ``psi_g``; 256 with descriptors and 64 without if None
    :param descriptors: a vector per goal ``[num_goals, d]``, from which a
        :class:`~leo_agents.networks.goal_embedding.GoalEmbedding` computes ``psi_g`` and ``b_g``, also those of other goals;
        free parameters per goal when None
    :param initial_value: value of every goal and action at initialization
    :param embedding_kwargs: additional arguments of the ``GoalEmbedding``
    """

    def __init__(
        self,
        features_dim: int,
        num_goals: int,
        num_actions: int,
        rank: int | None = None,
        descriptors: np.ndarray | th.Tensor | None = None,
        initial_value: float = 0.5,
        embedding_kwargs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(features_dim, num_goals, num_actions)
        if rank is None:
            rank = 64 if descriptors is None else 256
        check_integer("rank", rank, 1)
        self.rank = rank
        bound = 1.0 / math.sqrt(features_dim)
        self.weight = nn.Parameter(th.empty(num_actions, rank, features_dim).uniform_(-bound, bound))
        self.bias = nn.Parameter(th.zeros(num_actions, rank))
        self.initial_logit = logit(initial_value)
        # psi_g, with b_g as the last column. It starts at zero, for the same reason as the weights of the dense head.
        if descriptors is None:
            self.goal_table = nn.Parameter(th.zeros(num_goals, rank + 1))
        else:
            table = check_table("descriptors", descriptors, num_goals)
            self.goal_embedding = GoalEmbedding(table, rank + 1, **(embedding_kwargs or {}))

    def goal_vectors(self, goals: th.Tensor | None = None) -> tuple[th.Tensor, th.Tensor]:
        """
        Compute ``psi_g`` and ``b_g``.

        :param goals: ids ``[k]`` or descriptors ``[k, d]`` of the goals; all goals by default
        :return: ``psi_g`` ``[k, rank]`` and ``b_g`` ``[k]``
        """
        if self.goal_embedding is not None:
            table = self.goal_embedding(goals)
        else:
            table = self.goal_table if goals is None else self.goal_table.index_select(0, goals)
        return table[:, :-1], table[:, -1] + self.initial_logit

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        if f"{prefix}goal_net.0.weight" in state_dict:
            raise ValueError(
                "expected a model without descriptors or one of this version, got one with descriptors of an earlier version; "
                "load it with the version that saved it, or train again"
            )
        super()._load_from_state_dict(state_dict, prefix, *args)  # type: ignore[no-untyped-call]

    def taken(self, features: th.Tensor, actions: th.Tensor, goals: th.Tensor | None = None) -> th.Tensor:
        vectors, biases = self.goal_vectors(goals)
        phi = grouped_linear(features, self.weight, self.bias, actions)
        return th.addmm(biases, phi, vectors.t())

    def for_goals(self, features: th.Tensor, goal_ids: th.Tensor) -> th.Tensor:
        vectors, biases = self.goal_vectors(goal_ids if goal_ids.is_floating_point() else goal_ids.reshape(-1))
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


def block_elements(device: th.device) -> int:
    """
    Return how many elements a block of an intermediate result may have.

    :param device: of the computation
    :return: number of elements
    """
    return CUDA_BLOCK_ELEMENTS if is_asynchronous(device) else BLOCK_ELEMENTS


def logit(value: float) -> float:
    """
    Compute the inverse of the sigmoid.

    :param value: strictly between 0 and 1
    :return: ``log(value / (1 - value))``
    """
    if not 0.0 < value < 1.0:
        raise ValueError(f"expected a value strictly between 0 and 1, got {value}; choose e.g. 0.5")
    return math.log(value / (1.0 - value))


def warn_of_dense_head(head: str, num_goals: int, num_actions: int, goals_per_update: int | None) -> None:
    """
    Warn if updates will be slow because of a dense head for very many goals.

    :param head: name of the head
    :param num_goals: number of goals
    :param num_actions: number of actions
    :param goals_per_update: number of goals drawn for each update, or None for all
    """
    if head == "dense" and goals_per_update is None and num_goals * num_actions >= MANY_OUTPUTS:
        warnings.warn(
            f"expected fewer than {MANY_OUTPUTS:,} outputs of a dense head, got {num_goals:,} goals x {num_actions} actions: "
            'updates will be slow and need gigabytes; use head="factored", or update fewer goals with goals_per_update=512',
            stacklevel=3,
        )
