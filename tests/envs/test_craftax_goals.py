"""The goals of Craftax: each reached and each just missed, and all of them as a slow reading of Craftax's observation says."""

import functools
from pathlib import Path

import jax
import numpy as np
import pytest

from leo_envs.craftax.goal_names import (
    CLASSIC_GOAL_NAMES,
    CLASSIC_GOALS,
    CLASSIC_MOBS,
    FULL_GOAL_NAMES,
    FULL_GOALS,
    FULL_MOBS,
    classic_goal_descriptors,
    full_goal_descriptors,
)
from leo_envs.craftax.goals import goal_set
from leo_wrappers.goal_set import goal_families
from tests.envs.craftax_cases import CENTRE, Case, cases, subject_of
from tests.envs.craftax_oracle import channel_names, slow_goals
from tests.envs.craftax_states import GAMES, SMALL, blank_states, edited, look, played, put

# Nearly all of it is compiling, for which a busy machine may take its time.
pytestmark = pytest.mark.timeout(1200)

NAMES = {"classic": CLASSIC_GOAL_NAMES, "full": FULL_GOAL_NAMES}
FAMILIES = [(game, family) for game in GAMES for family in goal_families(NAMES[game])]
DATA = Path(__file__).parent / "data"


@pytest.mark.parametrize(
    ("names", "file", "number"),
    [(CLASSIC_GOAL_NAMES, "craftax_classic_goal_names.txt", 136), (FULL_GOAL_NAMES, "craftax_goal_names.txt", 512)],
)
def test_names_are_the_papers_in_its_order(names, file, number):
    assert names == tuple((DATA / file).read_text().split())
    assert len(names) == number


@functools.cache
def judged_cases(game: str) -> list[tuple[Case, np.ndarray]]:
    """Every case of every goal with its mask, all looked at in one go."""
    every = [case for goal in NAMES[game] for case in cases(game, goal)]
    states = blank_states(game, len(every))
    for row, case in enumerate(every):
        for change in case.changes:
            put(states, row, change.field, change.value, change.where)
    return list(zip(every, look(game, states).masks, strict=True))


@pytest.mark.parametrize(("game", "family"), FAMILIES)
def test_every_goal_is_reached_and_just_missed(game, family):
    names = NAMES[game]
    verdicts: dict[str, set[bool]] = {name: set() for name in names if name.startswith(f"{family}/")}
    for case, mask in judged_cases(game):
        if case.goal in verdicts:
            verdicts[case.goal].add(case.achieved)
            assert mask[names.index(case.goal)] == case.achieved, f"{case.goal}: {case.label}"
    assert all(seen == {True, False} for seen in verdicts.values())


@pytest.mark.parametrize(("game", "family"), FAMILIES)
def test_reaching_a_goal_reaches_no_other_of_its_family(game, family):
    names = NAMES[game]
    ids = goal_families(names)[family]
    for case, mask in judged_cases(game):
        if case.achieved and case.goal in np.array(names)[ids]:
            assert [names[goal] for goal in ids if mask[goal]] == [case.goal]


@pytest.mark.parametrize("game", GAMES)
def test_a_blank_world_achieves_nothing_but_the_floor(game):
    (mask,) = look(game, blank_states(game, 1)).masks
    assert [NAMES[game][goal] for goal in np.flatnonzero(mask)] == (["dungeon_level/dlvl_0"] if game == "full" else [])


def test_beyond_the_edge_is_out_of_bounds_in_classic_and_dark_in_the_full_game():
    corners = [(0, 0), (SMALL - 1, SMALL - 1)]
    for game, expected in (("classic", [("left", "up"), ("right", "down")]), ("full", [(), ()])):
        states = blank_states(game, 2)
        put(states, slice(None), "player_position", corners)
        for mask, directions in zip(look(game, states).masks, expected, strict=True):
            seen = {NAMES[game][goal] for goal in np.flatnonzero(mask)} - {"dungeon_level/dlvl_0"}
            assert seen == {f"block_map/OUT_OF_BOUNDS_{direction}" for direction in directions}


@pytest.mark.parametrize("states", [played, edited])
@pytest.mark.parametrize("game", GAMES)
def test_masks_equal_a_slow_reading_of_the_symbolic_observation(game, states):
    seen = states(game)
    expected = slow_goals(game, NAMES[game], seen.symbolic, seen.states)
    assert len(expected) == 1000
    wrong = np.argwhere(seen.masks != expected)
    assert not len(wrong), [(row, NAMES[game][goal]) for row, goal in wrong[:5]]


@pytest.mark.parametrize("game", GAMES)
def test_random_edits_reach_every_family_and_nearly_every_goal(game):
    reached = edited(game).masks.any(axis=0)
    families = goal_families(NAMES[game])
    assert all(reached[ids].any() for ids in families.values())
    assert reached.mean() > 0.95


@pytest.mark.parametrize("states", [played, edited])
@pytest.mark.parametrize("game", GAMES)
def test_a_state_is_on_one_floor_with_one_count_an_item_and_one_block_a_direction(game, states):
    masks, names = states(game).masks, np.array(NAMES[game])
    groups: dict[tuple[str, str], list[int]] = {}
    for goal, name in enumerate(names):
        family, detail = name.split("/")
        if family in ("block_map", "item_map"):
            groups.setdefault((family, detail.rsplit("_", 1)[1]), []).append(goal)
        elif family in ("inventory", "dungeon_level", "intrinsics"):
            groups.setdefault((family, subject_of(name)), []).append(goal)
    assert len(groups) == (6 + 4 if game == "classic" else 10 + 4 + 4 + 1 + 3)
    for (family, _), ids in groups.items():
        total = masks[:, ids].sum(axis=1)
        assert (total == 1).all() if family == "dungeon_level" else (total <= 1).all()


@pytest.mark.parametrize(("mobs", "game"), [(CLASSIC_MOBS, "classic"), (FULL_MOBS, "full")])
def test_mob_channels_are_where_the_goals_say(mobs, game):
    channels = channel_names(game)["mob_map"]
    assert [channels[channel] for channel in mobs.values()] == list(mobs)
    assert {f"mob_map/{name}_left" for name in channels if name} <= set(NAMES[game]) | {"mob_map/iceball_left"}


@pytest.mark.parametrize("game", GAMES)
def test_the_goal_set_judges_states_of_any_batch_shape(game):
    goals = goal_set(game)
    assert goals.names == NAMES[game]
    states = blank_states(game, 6)
    put(states, 4, "inventory.wood", 3)
    masks = goals.achieved(states)
    assert masks.shape == (6, len(goals)) and masks[4, goals.index("inventory/wood_3")]
    np.testing.assert_array_equal(goals.achieved(jax.tree.map(lambda leaf: leaf[4], states)), masks[4])
    folded = jax.tree.map(lambda leaf: leaf.reshape(2, 3, *leaf.shape[1:]), states)
    np.testing.assert_array_equal(goals.achieved(folded), masks.reshape(2, 3, -1))
    assert goals.subset(["inventory/wood_3"]).achieved(states).sum() == 1


def test_an_unknown_game_is_refused():
    with pytest.raises(ValueError, match='expected game to be "classic" or "full", got \'crafter\''):
        goal_set("crafter")


@pytest.mark.parametrize(
    ("goals", "descriptors"), [(CLASSIC_GOALS, classic_goal_descriptors()), (FULL_GOALS, full_goal_descriptors())]
)
def test_descriptors_tell_goals_apart_and_show_what_they_share(goals, descriptors):
    assert descriptors.dtype == np.float32 and len(descriptors) == len(goals)
    assert len(np.unique(descriptors, axis=0)) == len(goals)
    assert descriptors.min() == 0 and descriptors.max() == 1
    names = [goal.name for goal in goals]
    left, right, tree, wood = (
        descriptors[names.index(name)]
        for name in ("block_map/IRON_left", "block_map/IRON_right", "block_map/TREE_left", "inventory/iron_3")
    )
    assert left @ right == left @ tree == 2 and left @ wood == 0
    four, nine = (descriptors[names.index(f"inventory/iron_{count}")] for count in (4, 9))
    assert np.abs(wood - four).sum() < np.abs(wood - nine).sum()


def test_the_player_stands_where_the_cases_put_him():
    assert np.asarray(blank_states("full", 1).player_position).tolist() == [[CENTRE, CENTRE]]
