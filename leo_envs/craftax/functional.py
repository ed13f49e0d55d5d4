"""Craftax and Craftax-Classic as functional environments: the original dynamics with goals, masks and truncation."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from craftax.craftax.envs.craftax_symbolic_env import CraftaxSymbolicEnvNoAutoReset
from craftax.craftax_classic.envs.craftax_symbolic_env import CraftaxClassicSymbolicEnvNoAutoReset
from gymnasium import spaces

from leo_envs.craftax.goal_names import VARIANTS, Variant
from leo_envs.craftax.goals import GOALS_ACHIEVED, goal_set
from leo_envs.craftax.observations import Observation, make_observation
from leo_wrappers.goal_set import Goal, GoalSet
from leo_wrappers.jax_envs import FunctionalEnv
from leo_wrappers.jax_envs.functional_env import Tree
from leo_wrappers.validation import check_choice, check_iterable, check_time_limit

TIME_LIMIT = 10_000
_NO_LIMIT = np.iinfo(np.int32).max
_ORIGINALS = {"classic": CraftaxClassicSymbolicEnvNoAutoReset, "full": CraftaxSymbolicEnvNoAutoReset}


@dataclass(frozen=True)
class CraftaxBase(FunctionalEnv):
    """
    Base class of Craftax and Craftax-Classic. The reward is Craftax's own; a goal-conditioned wrapper replaces it.

    An episode terminates when the player dies and, in Craftax, when the boss is defeated; the time limit truncates it.

    :param observation: ``"compact"``, ``"symbolic"`` or ``"pixels"``, see :mod:`leo_envs.craftax.observations`
    :param goals: names or ids of some goals; all goals when None
    :param time_limit: truncate after this many steps; no limit when None
    """

    observation: str = "compact"
    goals: Sequence[Goal] | None = None
    time_limit: int | None = TIME_LIMIT

    variant: ClassVar[Variant]

    def __post_init__(self) -> None:
        check_time_limit(self.time_limit)
        make_observation(self.variant, self.observation)
        if self.goals is not None:
            check_iterable("goals", self.goals)
            # A tuple, so that environments can be compared and hashed.
            object.__setattr__(self, "goals", tuple(self.goals))
            self.goal_set  # noqa: B018  (validates the goals)

    def __reduce__(self) -> tuple[Any, ...]:
        # Cached properties are not pickled.
        return type(self), (self.observation, self.goals, self.time_limit)

    @cached_property
    def goal_set(self) -> GoalSet:
        """The goals with their descriptors; the signal is Craftax's ``EnvState``."""
        all_goals = goal_set(self.variant)
        return all_goals if self.goals is None else all_goals.subset(self.goals)

    @property
    def goal_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the goals, in order."""
        return self.goal_set.names

    @property
    def observation_space(self) -> spaces.Space[Any]:  # type: ignore[override]
        """Space of the chosen observation."""
        return self._observation.space

    @property
    def action_space(self) -> spaces.Discrete:  # type: ignore[override]
        """Craftax's actions."""
        return spaces.Discrete(self._original.num_actions)

    def reset(self, key: jax.Array) -> tuple[Tree, Tree, jax.Array]:
        _, state = self._original.reset_env(key, self._params)
        state = jax.tree.map(jnp.asarray, state)
        return self._observation.encode(state), state, self._achieved(state)

    def step(
        self, key: jax.Array, state: Tree, action: jax.Array
    ) -> tuple[Tree, Tree, jax.Array, jax.Array, jax.Array, jax.Array]:
        # XLA eliminates the computation of the unused original observation.
        _, state, reward, terminated, _ = self._original.step_env(key, state, action, self._params)
        timed_out = jnp.zeros_like(terminated) if self.time_limit is None else state.timestep >= self.time_limit
        obs, achieved = self._observation.encode(state), self._achieved(state)
        return obs, state, jnp.asarray(reward, dtype=jnp.float32), terminated, timed_out & ~terminated, achieved

    @cached_property
    def _observation(self) -> Observation:
        return make_observation(self.variant, self.observation)

    @cached_property
    def _original(self) -> Any:
        return _ORIGINALS[self.variant]()

    @cached_property
    def _params(self) -> Any:
        # Craftax's own time limit is disabled because it would be reported as a termination.
        return self._original.default_params.replace(max_timesteps=_NO_LIMIT)

    @cached_property
    def _goal_ids(self) -> npt.NDArray[np.int64] | None:
        all_goals = goal_set(self.variant)
        return None if self.goals is None else np.array([all_goals.index(goal) for goal in self.goals])

    def _achieved(self, state: Tree) -> jax.Array:
        achieved = GOALS_ACHIEVED[self.variant](state)
        return achieved if self._goal_ids is None else achieved[self._goal_ids]


@dataclass(frozen=True)
class CraftaxClassic(CraftaxBase):
    """
    Craftax-Classic: one floor, 17 actions, 136 goals.

    Example::

        >>> from leo_wrappers.sb3 import JaxVecEnv
        >>> venv = JaxVecEnv(CraftaxClassic(), num_envs=4)
        >>> venv.action_space, len(venv.goal_names)
        (Discrete(17), 136)
    """

    variant: ClassVar[Variant] = "classic"


@dataclass(frozen=True)
class Craftax(CraftaxBase):
    """
    Craftax: nine floors, 43 actions, 512 goals.

    Example::

        >>> Craftax(goals=("dungeon_level/dlvl_1", "tools/bow")).goal_names
        ('dungeon_level/dlvl_1', 'tools/bow')
    """

    variant: ClassVar[Variant] = "full"


def make_craftax(
    variant: str, observation: str = "compact", goals: Sequence[Goal] | None = None, time_limit: int | None = TIME_LIMIT
) -> CraftaxBase:
    """
    Create one of the two variants.

    :param variant: ``"classic"`` or ``"full"``
    :param observation: as in :class:`CraftaxBase`
    :param goals: as in :class:`CraftaxBase`
    :param time_limit: as in :class:`CraftaxBase`
    :return: the functional environment
    """
    check_choice("variant", variant, VARIANTS)
    cls = CraftaxClassic if variant == "classic" else Craftax
    return cls(observation, goals, time_limit)
