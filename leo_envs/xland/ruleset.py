"""Rulesets of XLand-MiniGrid as text: objects, rules that change them, and a mission."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from xminigrid.core.goals import MAX_GOAL_ENCODING_LEN
from xminigrid.core.rules import MAX_RULE_ENCODING_LEN
from xminigrid.types import RuleSet

from leo_envs.xland.predicates import NUM_TILES, Predicate, parse_predicate
from leo_envs.xland.tiles import Tile, parse_tile
from leo_wrappers.validation import check_iterable

# Numbers of XLand-MiniGrid's own rules and goals; 0 means none.
_RULES = {"carrying": 1, "near": 2, "adjacent": 3}
_MISSIONS = {"carrying": 1, "on": 2, "near": 3, "adjacent": 4, "cell": 6}
_ARROW = " -> "


@dataclass(frozen=True)
class Ruleset:
    """
    Objects at random cells, rules that turn them into others, and a mission that gives the reward of the original.

    Rules apply after an action, in their order: "near" when the agent has moved, "carrying" when it has picked something up,
    and "adjacent", which replaces both objects by one, when it has put one of them down.

    :param objects: the objects at the start of an episode, such as "red ball"
    :param rules: such as "adjacent/red ball, blue square -> green star"
    :param mission: the predicate that gives the reward: one of :mod:`leo_envs.xland`'s goals but "exists"; None for no reward

    Example::

        >>> ruleset = Ruleset(["red ball", "blue square"], ["adjacent/red ball, blue square -> green star"])
        >>> [str(tile) for tile in ruleset.tiles]
        ['red ball', 'blue square', 'green star']
    """

    objects: tuple[str, ...]
    rules: tuple[str, ...] = ()
    mission: str | None = None

    def __post_init__(self) -> None:
        for name in ("objects", "rules"):
            check_iterable(f"{name} of a ruleset", getattr(self, name))
            # Tuples, so that rulesets can be compared and hashed.
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.objects:
            raise ValueError("expected at least one object in a ruleset, got none; name some, such as 'red ball'")
        # Both raise errors for invalid names.
        self.tiles  # noqa: B018
        self._mission()

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """The tiles of the objects and of the products of rules, each once."""
        return tuple(dict.fromkeys((*map(parse_tile, self.objects), *(product for _, product in self._parsed_rules()))))

    def goals(self) -> list[Predicate]:
        """
        Return goals of the tiles: the agent is near them or carries them, products exist, and pairs are adjacent.

        States that a rule changes at once are no goals, and neither are pairs of a tile and one that it is made of.
        """
        changed = {condition for condition, _ in self._parsed_rules()}
        never_near = {condition.tiles for condition in changed if condition.family == "near"}
        sources = self._sources()
        pickable = [tile for tile in self.tiles if tile.is_pickable]
        goals = [Predicate("near", (tile,)) for tile in self.tiles]
        goals += [Predicate("carrying", (tile,)) for tile in pickable if (tile,) not in never_near]
        goals += [Predicate("exists", (tile,)) for tile in self.tiles if str(tile) not in self.objects]
        goals += [
            Predicate("adjacent", (a, b)) for a, b in combinations(pickable, 2) if a not in sources[b] and b not in sources[a]
        ]
        return [goal for goal in goals if goal not in changed and Predicate(goal.family, goal.tiles[::-1]) not in changed]

    def encode(self) -> RuleSet:
        """Return the ruleset in XLand-MiniGrid's encoding."""
        rules = [
            [_RULES[condition.family], *_numbers(*condition.tiles, product)] for condition, product in self._parsed_rules()
        ]
        return RuleSet(
            goal=_padded([self._mission()], MAX_GOAL_ENCODING_LEN)[0],
            rules=_padded(rules or [[]], MAX_RULE_ENCODING_LEN),
            init_tiles=_padded([_numbers(parse_tile(name)) for name in self.objects], 2),
        )

    @classmethod
    def from_xminigrid(cls, ruleset: RuleSet) -> "Ruleset":
        """
        Convert a ruleset of XLand-MiniGrid, for example one of its benchmarks.

        :param ruleset: its rules and its goal must not depend on directions
        :return: the ruleset
        """
        rules = [_decoded(row, _RULES, has_product=True) for row in np.asarray(ruleset.rules) if row[0]]
        mission = np.asarray(ruleset.goal)
        return cls(
            tuple(str(Tile(*tile)) for tile in np.asarray(ruleset.init_tiles).tolist() if tile[0]),
            tuple(rules),
            _decoded(mission, _MISSIONS) if mission[0] else None,
        )

    def _parsed_rules(self) -> Iterator[tuple[Predicate, Tile]]:
        """Yield condition and product of each rule."""
        for rule in self.rules:
            condition, arrow, product = rule.partition(_ARROW) if isinstance(rule, str) else ("", "", "")
            if not arrow or condition.partition("/")[0] not in _RULES:
                raise ValueError(
                    "expected a rule such as 'near/red ball -> blue ball', 'carrying/red ball -> blue ball' or "
                    f"'adjacent/red ball, blue ball -> green star', got {rule!r}"
                )
            yield parse_predicate(condition), parse_tile(product)

    def _sources(self) -> dict[Tile, set[Tile]]:
        """Return for each tile those from which rules make it, in any number of steps."""
        sources: dict[Tile, set[Tile]] = {tile: set() for tile in self.tiles}
        for _ in self.rules:
            for condition, product in self._parsed_rules():
                for tile in condition.tiles:
                    sources[product] |= {tile, *sources.get(tile, ())}
        return sources

    def _mission(self) -> list[int]:
        if self.mission is None:
            return []
        mission = parse_predicate(self.mission)
        if mission.family not in _MISSIONS:
            raise ValueError(
                f"expected a mission of the families {', '.join(_MISSIONS)}, got {self.mission!r}; choose another"
            )
        return [_MISSIONS[mission.family], *(mission.cell if mission.family == "cell" else _numbers(*mission.tiles))]


def _numbers(*tiles: Tile) -> list[int]:
    return [number for tile in tiles for number in tile]


def _padded(rows: list[list[int]], length: int) -> jnp.ndarray:
    return jnp.array([row + [0] * (length - len(row)) for row in rows], dtype=jnp.uint8)


def _decoded(encoding: npt.NDArray[Any], families: dict[str, int], has_product: bool = False) -> str:
    """Return the text of a rule or a mission."""
    number, *rest = encoding.tolist()
    family = next((name for name, its_number in families.items() if its_number == number), None)
    if family is None:
        raise ValueError(
            f"expected rules and goals of the families {', '.join(families)}, got number {number}; choose another"
        )
    if family == "cell":
        return str(Predicate("cell", cell=(rest[0], rest[1])))
    count = NUM_TILES[family] + has_product
    tiles = [Tile(*rest[2 * index : 2 * index + 2]) for index in range(count)]
    text = str(Predicate(family, tuple(tiles[: NUM_TILES[family]])))
    return f"{text}{_ARROW}{tiles[-1]}" if has_product else text


DEFAULT_RULESET = Ruleset(
    objects=("red ball", "blue square", "yellow pyramid", "brown hex"),
    rules=(
        "adjacent/red ball, blue square -> green star",
        "carrying/yellow pyramid -> purple key",
        "near/brown hex -> pink hex",
        "adjacent/green star, purple key -> orange ball",
    ),
    mission="carrying/orange ball",
)
"""Four objects and four rules; the mission takes all but one of them."""
