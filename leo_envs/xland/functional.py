"""XLand-MiniGrid as a functional environment: the original dynamics with goals and masks."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from xminigrid.core.constants import NUM_ACTIONS
from xminigrid.registration import make, registered_environments
from xminigrid.types import StepType, TimeStep

from leo_envs.xland.goals import XLandGoals, cell_goals, goals_of_any_color, matching
from leo_envs.xland.predicates import parse_predicate
from leo_envs.xland.ruleset import DEFAULT_RULESET, Ruleset
from leo_envs.xland.tiles import COLORS, KINDS
from leo_wrappers.jax_envs import FunctionalEnv
from leo_wrappers.jax_envs.functional_env import Tree
from leo_wrappers.validation import check_bool, check_instance, check_time_limit


@dataclass(frozen=True)
class XLand(FunctionalEnv):
    """
    Any level of XLand-MiniGrid. With the same key and actions, states are those of the original.

    :param level: id of one of ``xminigrid.registered_environments()``
    :param ruleset: objects, rules and mission of the levels ``XLand-MiniGrid-...``, a :class:`Ruleset` or its arguments; a
        default one when None
    :param goals: names of goals, see :class:`XLandGoals`, or patterns of the default goals such as ``"cell/*"``; the default
        goals when None
    :param max_steps: truncate after this many steps; the number of the level when None
    :param mission_ends_episode: whether the mission's success terminates the episode, as in the original

    Example::

        >>> from leo_wrappers.sb3 import JaxVecEnv
        >>> venv = JaxVecEnv(XLand(), num_envs=4)
        >>> venv.action_space, len(venv.goal_names)
        (Discrete(6), 83)
    """

    level: str = "XLand-MiniGrid-R1-9x9"
    ruleset: Ruleset | Mapping[str, Any] | None = None
    goals: Iterable[str] | None = None
    max_steps: int | None = None
    mission_ends_episode: bool = False

    def __post_init__(self) -> None:
        check_time_limit(self.max_steps, "max_steps")
        check_bool("mission_ends_episode", self.mission_ends_episode)
        _check_level(self.level)
        object.__setattr__(self, "ruleset", _checked_ruleset(self.level, self.ruleset))
        if self.goals is not None:
            # A tuple, so that environments can be compared and hashed.
            object.__setattr__(self, "goals", tuple(matching(self._default_goals, self.goals)))
        self.goal_set  # noqa: B018  (validates the goals)

    def __reduce__(self) -> tuple[Any, ...]:
        # Cached properties are not pickled.
        return type(self), (self.level, self.ruleset, self.goals, self.max_steps, self.mission_ends_episode)

    @cached_property
    def goal_set(self) -> XLandGoals:
        """The goals with their descriptors; the signal is the observation."""
        return XLandGoals(self.params.height, self.params.width, self._default_goals if self.goals is None else self.goals)

    @property
    def goal_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the goals, in order."""
        return self.goal_set.names

    @property
    def observation_space(self) -> spaces.Dict:  # type: ignore[override]
        """Maps of kinds, of colors and of the agent (its direction plus 1), and kind and color of the carried tile."""
        shape = (self.params.height, self.params.width)
        highs = (len(KINDS) - 1, len(COLORS) - 1)
        return spaces.Dict(
            {
                "tiles": spaces.Box(0, highs[0], shape, np.uint8),
                "colors": spaces.Box(0, highs[1], shape, np.uint8),
                "agent": spaces.Box(0, 4, shape, np.uint8),
                "carried": spaces.Box(0, np.array(highs, dtype=np.uint8), dtype=np.uint8),
            }
        )

    @property
    def action_space(self) -> spaces.Discrete:  # type: ignore[override]
        """Forward, turn right, turn left, pick up, put down, toggle."""
        return spaces.Discrete(NUM_ACTIONS)

    def reset(self, key: jax.Array) -> tuple[Tree, Tree, jax.Array]:
        state = _without_weak_types(self._original.reset(self.params, key).state)
        obs = _observe(state)
        return obs, state, self.goal_set.mask(obs)

    def step(
        self, key: jax.Array, state: Tree, action: jax.Array
    ) -> tuple[Tree, Tree, jax.Array, jax.Array, jax.Array, jax.Array]:
        # XLA eliminates the computation of the unused original observation.
        unused: dict[str, Any] = {"step_type": StepType.MID, "reward": None, "discount": None, "observation": None}
        before = TimeStep(state=state, **unused)
        after = self._original.step(self.params, before, action)
        state, reward = _without_weak_types(after.state), jnp.asarray(after.reward, dtype=jnp.float32)
        terminated = after.discount == 0
        if not self.mission_ends_episode:
            terminated &= reward <= 0
        timed_out = state.step_num >= self.params.max_steps
        obs = _observe(state)
        return obs, state, reward, terminated, timed_out & ~terminated, self.goal_set.mask(obs)

    @cached_property
    def params(self) -> Any:
        """The parameters of the original environment."""
        changes: dict[str, Any] = {} if self.max_steps is None else {"max_steps": int(self.max_steps)}
        if isinstance(self.ruleset, Ruleset):
            changes["ruleset"] = self.ruleset.encode()
        return make(self.level)[1].replace(**changes)

    @cached_property
    def _original(self) -> Any:
        return make(self.level)[0]

    @cached_property
    def _default_goals(self) -> list[str]:
        goals = self.ruleset.goals() if isinstance(self.ruleset, Ruleset) else goals_of_any_color()
        return [str(goal) for goal in (*cell_goals(self.params.height, self.params.width), *goals)]


def _check_level(level: Any) -> None:
    expected = "expected the id of a level of XLand-MiniGrid such as 'XLand-MiniGrid-R1-9x9'"
    if not isinstance(level, str):
        raise TypeError(f"{expected}, got {level!r}; pass a string")
    if level not in registered_environments():
        raise ValueError(f"{expected}, got {level!r}; choose one of xminigrid.registered_environments()")


def _checked_ruleset(level: str, ruleset: Any) -> Ruleset | None:
    """Return the ruleset of a level, None for a level without one."""
    params = make(level)[1]
    if not hasattr(params, "ruleset"):
        if ruleset is not None:
            raise ValueError(f"expected no ruleset for {level}, which has none, got {ruleset!r}; leave it out")
        return None
    if isinstance(ruleset, Mapping):
        unknown = set(ruleset) - {"objects", "rules", "mission"}
        if unknown or "objects" not in ruleset:
            raise ValueError(f"expected a ruleset of objects, rules and mission, got the keys {list(ruleset)}; see Ruleset")
        ruleset = Ruleset(**ruleset)
    ruleset = DEFAULT_RULESET if ruleset is None else ruleset
    check_instance("ruleset", ruleset, Ruleset, "pass one, or a dictionary of objects, rules and mission")
    most = (params.height - 2) * (params.width - 2) // 2
    if len(ruleset.objects) > most:
        raise ValueError(f"expected at most {most} objects in {level}, got {len(ruleset.objects)}; choose a larger level")
    if ruleset.mission is not None and max(parse_predicate(ruleset.mission).cell) >= min(params.height, params.width):
        raise ValueError(
            f"expected the mission's cell within {params.height}x{params.width}, got {ruleset.mission!r}; change it"
        )
    return ruleset


def _observe(state: Tree) -> dict[str, jax.Array]:
    grid, agent = state.grid, state.agent
    row, column = agent.position
    direction = (agent.direction + 1).astype(jnp.uint8)
    return {
        "tiles": grid[..., 0],
        "colors": grid[..., 1],
        "agent": jnp.zeros(grid.shape[:2], dtype=jnp.uint8).at[row, column].set(direction),
        "carried": agent.pocket,
    }


def _without_weak_types(tree: Tree) -> Tree:
    """Give arrays the types that they keep in all steps, so that steps are compiled once."""
    return jax.tree.map(lambda leaf: jax.lax.convert_element_type(leaf, leaf.dtype), tree)
