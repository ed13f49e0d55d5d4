"""What the checker needs of a vector environment, whichever library it comes from."""

from collections.abc import Iterable
from typing import Any, Protocol

import gymnasium as gym

from leo_wrappers.checks.declarations import check_same_goal_names, validate_goal_names
from leo_wrappers.checks.errors import RunPosition
from leo_wrappers.checks.results import ResetResult, Result


class VectorAdapter(Protocol):
    """A vector environment as N single environments."""

    venv: Any
    num_envs: int
    names: tuple[str, ...]
    space: gym.Space[Any]
    """The observation space of a single environment."""
    on_success: str | None
    """What the environments do when the commanded goal is achieved; None if unknown."""
    action_source: str
    """Python expression that generates the actions, with ``{seed}`` for the seed."""

    def sample_actions(self, seed: int, steps: int) -> list[Any]:
        """Return the batches of actions that ``action_source`` generates."""

    def split_actions(self, actions: Any) -> list[Any]:
        """Split a batch of actions into one action per environment."""

    def reset(self, seed: int, position: RunPosition) -> list[ResetResult]:
        """Reset every environment and check the batched result."""

    def step(self, actions: Any, position: RunPosition) -> list[Result]:
        """Step every environment and check the batched result; rows that are only reset are a ``ResetResult``."""


def common_goal_names(names_per_env: Iterable[Any]) -> tuple[str, ...]:
    """
    Return the goal names of all environments; raise if they are not the same.

    :param names_per_env: the goal names of each environment
    """
    first, *others = (validate_goal_names(names) for names in names_per_env)
    for number, names in enumerate(others, start=1):
        check_same_goal_names(first, names, f"environment {number}")
    return first
