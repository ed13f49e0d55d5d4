"""Craftax and Craftax-Classic as functional environments: the game's own rules, our goals, masks and ends."""

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

from leo_envs.craftax.goals import Game, classic_goals_achieved, full_goals_achieved, goal_set
from leo_envs.craftax.observations import Observation, make_observation
from leo_wrappers.goal_set import Goal, GoalSet
from leo_wrappers.jax_envs import FunctionalEnv
from leo_wrappers.jax_envs.functional_env import Tree
from leo_wrappers.validation import check_time_limit

TIME_LIMIT = 10_000
_NO_LIMIT = np.iinfo(np.int32).max
_MAKERS = {"classic": CraftaxClassicSymbolicEnvNoAutoReset, "full": CraftaxSymbolicEnvNoAutoReset}
_ACHIEVED = {"classic": classic_goals_achieved, "full": full_goals_achieved}


@dataclass(frozen=True)
class CraftaxGame(FunctionalEnv):
    """
    What the two games have in common. The reward is the game's own; a goal-conditioned view replaces it.

    An episode is terminated by death and, in full Craftax, by beating the boss; the time limit truncates it.

    :param observation: ``"compact"``, ``"symbolic"`` or ``"pixels"``, see :mod:`leo_envs.craftax.observations`
    :param goals: only these goals, by name or index; all of them when None
    :param time_limit: truncate after this many steps; None for no limit
    """

    observation: str = "compact"
    goals: tuple[Goal, ...] | None = None
    time_limit: int | None = TIME_LIMIT

    game: ClassVar[Game]

    def __post_init__(self) -> None:
        check_time_limit(self.time_limit)
        make_observation(self.game, self.observation)
        if self.goals is not None:
            # A tuple, so that the settings can be compared and hashed, whatever sequence was given.
            object.__setattr__(self, "goals", tuple(self.goals))
            self.goal_set  # noqa: B018  (refuses unknown goals now, not at the first step)

    def __reduce__(self) -> tuple[Any, ...]:
        # What is derived from the settings is derived again.
        return type(self), (self.observation, self.goals, self.time_limit)

    @cached_property
    def goal_set(self) -> GoalSet:
        """The goals, tests on the game's states, and descriptors."""
        every_goal = goal_set(self.game)
        return every_goal if self.goals is None else every_goal.subset(self.goals)

    @property
    def goal_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """The goals' names, in order."""
        return self.goal_set.names

    @property
    def observation_space(self) -> spaces.Space[Any]:  # type: ignore[override]
        """The space of the chosen kind of observation."""
        return self._observation.space

    @property
    def action_space(self) -> spaces.Discrete:  # type: ignore[override]
        """The game's actions."""
        return spaces.Discrete(self._rules.num_actions)

    def reset(self, key: jax.Array) -> tuple[Tree, Tree, jax.Array]:
        _, state = self._rules.reset_env(key, self._params)
        state = jax.tree.map(jnp.asarray, state)
        return self._observation.encode(state), state, self._achieved(state)

    def step(
        self, key: jax.Array, state: Tree, action: jax.Array
    ) -> tuple[Tree, Tree, jax.Array, jax.Array, jax.Array, jax.Array]:
        # The game's observation is not used, so the compiler leaves it out.
        _, state, reward, terminated, _ = self._rules.step_env(key, state, action, self._params)
        over = jnp.zeros_like(terminated) if self.time_limit is None else state.timestep >= self.time_limit
        obs, achieved = self._observation.encode(state), self._achieved(state)
        return obs, state, jnp.asarray(reward, dtype=jnp.float32), terminated, over & ~terminated, achieved

    @cached_property
    def _observation(self) -> Observation:
        return make_observation(self.game, self.observation)

    @cached_property
    def _rules(self) -> Any:
        return _MAKERS[self.game]()

    @cached_property
    def _params(self) -> Any:
        # The game takes its time limit for an end like any other; here it is told apart.
        return self._rules.default_params.replace(max_timesteps=_NO_LIMIT)

    @cached_property
    def _goal_ids(self) -> npt.NDArray[np.int64] | None:
        every_goal = goal_set(self.game)
        return None if self.goals is None else np.array([every_goal.index(goal) for goal in self.goals])

    def _achieved(self, state: Tree) -> jax.Array:
        achieved = _ACHIEVED[self.game](state)
        return achieved if self._goal_ids is None else achieved[self._goal_ids]


@dataclass(frozen=True)
class CraftaxClassic(CraftaxGame):
    """
    Craftax-Classic: one floor, 17 actions, 136 goals.

    Example::

        >>> from leo_wrappers.sb3 import JaxVecEnv
        >>> venv = JaxVecEnv(CraftaxClassic(), num_envs=4)
        >>> venv.action_space, len(venv.goal_names)
        (Discrete(17), 136)
    """

    game: ClassVar[Game] = "classic"


@dataclass(frozen=True)
class Craftax(CraftaxGame):
    """
    Craftax: nine floors, 43 actions, 512 goals.

    Example::

        >>> Craftax(goals=("dungeon_level/dlvl_1", "tools/bow")).goal_names
        ('dungeon_level/dlvl_1', 'tools/bow')
    """

    game: ClassVar[Game] = "full"


def make_game(
    game: str, observation: str = "compact", goals: Sequence[Goal] | None = None, time_limit: int | None = TIME_LIMIT
) -> CraftaxGame:
    """
    A game by its name.

    :param game: ``"classic"`` or ``"full"``
    :param observation: as in :class:`CraftaxGame`
    :param goals: as in :class:`CraftaxGame`
    :param time_limit: as in :class:`CraftaxGame`
    :return: the functional environment
    """
    games = {kind.game: kind for kind in (CraftaxClassic, Craftax)}
    if game not in games:
        raise ValueError(f"expected game to be one of {list(games)}, got {game!r}; choose one of these")
    return games[game](observation, None if goals is None else tuple(goals), time_limit)
