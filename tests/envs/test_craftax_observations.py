"""Tests of Craftax's observations: compact and symbolic contain the same information; all kinds are in their spaces."""

import jax
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space, preprocess_obs

from leo_agents.networks.map_extractor import MapExtractor
from leo_envs.craftax.observations import FULL_DARK, expand_compact, make_observation
from leo_envs.craftax.pixels import pixel_renderer
from tests.envs.craftax_oracle import view_of
from tests.envs.craftax_states import VARIANTS, blank_states, edited, initial_states, observe, played, put

# Most of the time is compilation, which is slow on a busy machine.
pytestmark = pytest.mark.timeout(1200)


@pytest.mark.parametrize("states", [played, edited])
@pytest.mark.parametrize("variant", VARIANTS)
def test_compact_expands_to_symbolic_observation(variant, states):
    batch = states(variant)
    assert len(batch.symbolic) == 1000
    # Craftax-Classic divides in half precision, whose rounding XLA may skip.
    tolerance = 1e-3 if variant == "classic" else 1e-6
    np.testing.assert_allclose(expand_compact(batch.compact, variant), batch.symbolic, rtol=0, atol=tolerance)


@pytest.mark.parametrize("variant", VARIANTS)
def test_expand_compact_accepts_single_observation(variant):
    compact = edited(variant).compact
    one = {key: value[7] for key, value in compact.items()}
    np.testing.assert_array_equal(expand_compact(one, variant), expand_compact(compact, variant)[7])


@pytest.mark.parametrize("states", [played, edited])
@pytest.mark.parametrize("kind", ["compact", "symbolic"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_observations_are_in_their_space(variant, kind, states):
    space, batch = make_observation(variant, kind).space, vars(states(variant))[kind]
    for row in range(0, 1000, 10):
        assert space.contains(jax.tree.map(lambda leaf, row=row: leaf[row], batch))


@pytest.mark.parametrize("variant", VARIANTS)
def test_random_play_covers_observations(variant):
    batch = played(variant)
    assert len(np.unique(batch.compact["blocks"])) >= 8
    assert batch.compact["mobs"].any()
    if variant == "full":
        assert (batch.compact["blocks"] == FULL_DARK).any() and len(np.unique(batch.compact["items"])) >= 3
        assert set(np.unique(batch.states.player_level)) == set(range(9))


@pytest.mark.parametrize(("variant", "limit"), [("classic", 200), ("full", 1200)])
def test_compact_is_small(variant, limit):
    space = make_observation(variant, "compact").space
    assert sum(np.zeros(box.shape, box.dtype).nbytes for box in space.values()) <= limit


@pytest.mark.parametrize("variant", VARIANTS)
def test_compact_entries_are_encoded_by_shape(variant):
    space = make_observation(variant).space
    view = view_of(variant)
    assert isinstance(space, spaces.Dict)
    assert {len(box.shape) for box in space.values()} == {1, 2, 3}
    for box in space.values():
        assert np.isfinite(box.high).all() and (box.low == 0).all()
        assert len(box.shape) == 1 or (box.shape[:2] == view and box.dtype == np.uint8)
        assert not is_image_space(box), "SB3 would normalize and transpose it"


@pytest.mark.parametrize("variant", VARIANTS)
def test_map_extractor_uses_every_compact_entry(variant):
    """leo_agents does not import leo_envs: the extractor relies on the shapes of the observation."""
    space = make_observation(variant).space
    extractor = MapExtractor(space)
    batch = preprocess_obs({key: th.as_tensor(value[:8]) for key, value in edited(variant).compact.items()}, space)
    features = extractor(batch)
    assert features.shape == (8, extractor.features_dim)
    for key, value in batch.items():
        assert not th.allclose(extractor({**batch, key: value.flip(0)}), features), key


def test_darkness_hides_blocks_items_and_mobs():
    states = blank_states("full", 2)
    row, column = np.asarray(states.player_position[0])
    for field, value in {"map": 4, "item_map": 1}.items():
        put(states, slice(None), field, value, (0, row, column + 1))
    for field, value in {"mask": True, "position": (row, column + 1)}.items():
        put(states, slice(None), f"melee_mobs.{field}", value, (0, 0))
    put(states, 1, "light_map", 0.05, (0, row, column + 1))
    compact = observe("full", states).compact
    at = (slice(None), 4, 6)
    np.testing.assert_array_equal(compact["blocks"][at], [4, FULL_DARK])
    np.testing.assert_array_equal(compact["items"][at], [1, 0])
    np.testing.assert_array_equal(compact["mobs"][at], [[1, 0, 0, 0, 0], [0, 0, 0, 0, 0]])


@pytest.mark.parametrize("variant", VARIANTS)
def test_pixels_are_in_their_space_and_differ_between_states(variant):
    observation = make_observation(variant, "pixels")
    assert is_image_space(observation.space)
    states = initial_states(variant)
    draw = jax.jit(observation.encode)
    one, other = (jax.tree.map(lambda leaf, row=row: leaf[row], states) for row in range(2))
    images = [np.asarray(draw(one)), np.asarray(draw(other))]
    for image in images:
        assert observation.space.contains(image) and len(np.unique(image)) > 20
    assert not np.array_equal(*images)
    # The renderer was created and cached during tracing and must be usable in another trace.
    block = 7 if variant == "classic" else 10
    assert jax.eval_shape(pixel_renderer(variant, block), one).shape == observation.space.shape


def test_unknown_kind_or_variant_raises():
    with pytest.raises(ValueError, match=r"observation to be one of \['compact', 'symbolic', 'pixels'\], got 'text'"):
        make_observation("full", "text")
    for make in (lambda: make_observation("crafter", "compact"), lambda: expand_compact({}, "crafter")):
        with pytest.raises(ValueError, match=r"variant to be one of \['classic', 'full'\], got 'crafter'"):
            make()
