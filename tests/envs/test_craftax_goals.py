"""Tests of Craftax's goals: each one achieved and narrowly missed, and all of them against an oracle."""

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
    goal_descriptors,
)
from leo_envs.craftax.goals import goal_set
from leo_wrappers.goal_set import goal_families
from tests.envs.craftax_cases import CENTER, Case, cases, subject_of
from tests.envs.craftax_oracle import channel_names, oracle_masks
from tests.envs.craftax_states import SMALL, VARIANTS, blank_states, edited, observe, played, put

# Most of the time is compilation, which is slow on a busy machine.
pytestmark = pytest.mark.timeout(1200)

NAMES = {"classic": CLASSIC_GOAL_NAMES, "full": FULL_GOAL_NAMES}
FAMILIES = [(variant, family) for variant in VARIANTS for family in goal_families(NAMES[variant])]
DATA = Path(__file__).parent / "data"


@pytest.mark.parametrize(
    ("names", "file", "number"),
    [(CLASSIC_GOAL_NAMES, "craftax_classic_goal_names.txt", 136), (FULL_GOAL_NAMES, "craftax_goal_names.txt", 512)],
)
def test_goal_names_equal_those_of_the_paper(names, file, number):
    assert names == tuple((DATA / file).read_text().split())
    assert len(names) == number


@functools.cache
def evaluated_cases(variant: str) -> list[tuple[Case, np.ndarray]]:
    """Return all cases of all goals with their masks, computed in one batch."""
    all_cases = [case for goal in NAMES[variant] for case in cases(variant, goal)]
    states = blank_states(variant, len(all_cases))
    for row, case in enumerate(all_cases):
        for change in case.changes:
            put(states, row, change.field, change.value, change.where)
    return list(zip(all_cases, observe(variant, states).masks, strict=True))


@pytest.mark.parametrize(("variant", "family"), FAMILIES)
def test_every_goal_is_achieved_and_narrowly_missed(variant, family):
    names = NAMES[variant]
    outcomes: dict[str, set[bool]] = {name: set() for name in names if name.startswith(f"{family}/")}
    for case, mask in evaluated_cases(variant):
        if case.goal in outcomes:
            outcomes[case.goal].add(case.achieved)
            assert mask[names.index(case.goal)] == case.achieved, f"{case.goal}: {case.label}"
    assert all(outcome == {True, False} for outcome in outcomes.values())


@pytest.mark.parametrize(("variant", "family"), FAMILIES)
def test_goals_of_a_family_are_exclusive(variant, family):
    names = NAMES[variant]
    ids = goal_families(names)[family]
    members = {names[goal] for goal in ids}
    achieving = [(case, mask) for case, mask in evaluated_cases(variant) if case.achieved and case.goal in members]
    assert {case.goal for case, _ in achieving} == members
    for case, mask in achieving:
        assert [names[goal] for goal in ids if mask[goal]] == [case.goal]


@pytest.mark.parametrize("variant", VARIANTS)
def test_blank_state_only_achieves_its_floor(variant):
    (mask,) = observe(variant, blank_states(variant, 1)).masks
    assert [NAMES[variant][goal] for goal in np.flatnonzero(mask)] == (["dungeon_level/dlvl_0"] if variant == "full" else [])


def test_outside_of_map_is_out_of_bounds_in_classic_and_dark_in_craftax():
    corners = [(0, 0), (SMALL - 1, SMALL - 1)]
    for variant, expected in (("classic", [("left", "up"), ("right", "down")]), ("full", [(), ()])):
        states = blank_states(variant, 2)
        put(states, slice(None), "player_position", corners)
        for mask, directions in zip(observe(variant, states).masks, expected, strict=True):
            achieved = {NAMES[variant][goal] for goal in np.flatnonzero(mask)} - {"dungeon_level/dlvl_0"}
            assert achieved == {f"block_map/OUT_OF_BOUNDS_{direction}" for direction in directions}


@pytest.mark.parametrize("states", [played, edited])
@pytest.mark.parametrize("variant", VARIANTS)
def test_masks_equal_oracle_on_symbolic_observation(variant, states):
    batch = states(variant)
    expected = oracle_masks(variant, NAMES[variant], batch.symbolic, batch.states)
    assert len(expected) == 1000
    wrong = np.argwhere(batch.masks != expected)
    assert not len(wrong), [(row, NAMES[variant][goal]) for row, goal in wrong[:5]]


@pytest.mark.parametrize("variant", VARIANTS)
def test_random_edits_achieve_nearly_every_goal(variant):
    achieved = edited(variant).masks.any(axis=0)
    families = goal_families(NAMES[variant])
    assert all(achieved[ids].any() for ids in families.values())
    assert achieved.mean() > 0.95


@pytest.mark.parametrize("states", [played, edited])
@pytest.mark.parametrize("variant", VARIANTS)
def test_one_floor_per_state_one_count_per_item_one_block_per_direction(variant, states):
    masks, names = states(variant).masks, np.array(NAMES[variant])
    groups: dict[tuple[str, str], list[int]] = {}
    for goal, name in enumerate(names):
        family, detail = name.split("/")
        if family in ("block_map", "item_map"):
            groups.setdefault((family, detail.rsplit("_", 1)[1]), []).append(goal)
        elif family in ("inventory", "dungeon_level", "intrinsics"):
            groups.setdefault((family, subject_of(name)), []).append(goal)
    assert len(groups) == (6 + 4 if variant == "classic" else 10 + 4 + 4 + 1 + 3)
    for (family, _), ids in groups.items():
        total = masks[:, ids].sum(axis=1)
        assert (total == 1).all() if family == "dungeon_level" else (total <= 1).all()


@pytest.mark.parametrize(("mobs", "variant"), [(CLASSIC_MOBS, "classic"), (FULL_MOBS, "full")])
def test_mob_channels_match_goals(mobs, variant):
    channels = channel_names(variant)["mob_map"]
    assert [channels[channel] for channel in mobs.values()] == list(mobs)
    assert {f"mob_map/{name}_left" for name in channels if name} <= set(NAMES[variant]) | {"mob_map/iceball_left"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_goal_set_accepts_any_batch_shape(variant):
    goals = goal_set(variant)
    assert goals.names == NAMES[variant]
    states = blank_states(variant, 6)
    put(states, 4, "inventory.wood", 3)
    masks = goals.achieved(states)
    assert masks.shape == (6, len(goals)) and masks[4, goals.index("inventory/wood_3")]
    np.testing.assert_array_equal(goals.achieved(jax.tree.map(lambda leaf: leaf[4], states)), masks[4])
    folded = jax.tree.map(lambda leaf: leaf.reshape(2, 3, *leaf.shape[1:]), states)
    np.testing.assert_array_equal(goals.achieved(folded), masks.reshape(2, 3, -1))
    assert goals.subset(["inventory/wood_3"]).achieved(states).sum() == 1


def test_unknown_variant_raises():
    with pytest.raises(ValueError, match=r"expected variant to be one of \['classic', 'full'\], got 'crafter'"):
        goal_set("crafter")


@pytest.mark.parametrize("goals", [CLASSIC_GOALS, FULL_GOALS])
def test_descriptors_are_unique_and_similar_for_similar_goals(goals):
    descriptors = goal_descriptors(goals)
    assert descriptors.dtype == np.float32 and len(descriptors) == len(goals)
    assert len(np.unique(descriptors, axis=0)) == len(goals)
    assert descriptors.min() == 0 and descriptors.max() == 1
    names = [goal.name for goal in goals]
    left, right, tree, iron_3 = (
        descriptors[names.index(name)]
        for name in ("block_map/IRON_left", "block_map/IRON_right", "block_map/TREE_left", "inventory/iron_3")
    )
    assert left @ right == left @ tree == 2 and left @ iron_3 == 0
    iron_4, iron_9 = (descriptors[names.index(f"inventory/iron_{count}")] for count in (4, 9))
    assert np.abs(iron_3 - iron_4).sum() < np.abs(iron_3 - iron_9).sum()


def test_player_of_blank_state_is_in_center():
    assert np.asarray(blank_states("full", 1).player_position).tolist() == [[CENTER, CENTER]]
