"""The observations of Craftax: compact says what symbolic says; every kind is in its space."""

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
from tests.envs.craftax_states import GAMES, blank_states, edited, fresh_states, look, played, put

# Nearly all of it is compiling, for which a busy machine may take its time.
pytestmark = pytest.mark.timeout(1200)


@pytest.mark.parametrize("states", [played, edited])
@pytest.mark.parametrize("game", GAMES)
def test_compact_expands_to_craftaxs_own_vector(game, states):
    seen = states(game)
    assert len(seen.symbolic) == 1000
    # Classic divides in half precision, which the compiler may or may not round to.
    tolerance = 1e-3 if game == "classic" else 1e-6
    np.testing.assert_allclose(expand_compact(seen.compact, game), seen.symbolic, rtol=0, atol=tolerance)


@pytest.mark.parametrize("game", GAMES)
def test_compact_expands_one_observation_like_a_batch(game):
    compact = edited(game).compact
    one = {key: value[7] for key, value in compact.items()}
    np.testing.assert_array_equal(expand_compact(one, game), expand_compact(compact, game)[7])


@pytest.mark.parametrize("states", [played, edited])
@pytest.mark.parametrize("kind", ["compact", "symbolic"])
@pytest.mark.parametrize("game", GAMES)
def test_observations_are_in_their_space(game, kind, states):
    space, batch = make_observation(game, kind).space, vars(states(game))[kind]
    for row in range(0, 1000, 10):
        assert space.contains(jax.tree.map(lambda leaf, row=row: leaf[row], batch))


@pytest.mark.parametrize("game", GAMES)
def test_what_random_play_shows_is_varied(game):
    seen = played(game)
    assert len(np.unique(seen.compact["blocks"])) >= 8
    assert seen.compact["mobs"].any()
    if game == "full":
        assert (seen.compact["blocks"] == FULL_DARK).any() and len(np.unique(seen.compact["items"])) >= 3
        assert set(np.unique(seen.states.player_level)) == set(range(9))


@pytest.mark.parametrize(("game", "limit"), [("classic", 200), ("full", 1200)])
def test_compact_is_small(game, limit):
    space = make_observation(game, "compact").space
    assert sum(np.zeros(box.shape, box.dtype).nbytes for box in space.values()) <= limit


@pytest.mark.parametrize("game", GAMES)
def test_compact_tells_by_its_shapes_how_to_read_it(game):
    space = make_observation(game).space
    view = view_of(game)
    assert isinstance(space, spaces.Dict)
    assert {len(box.shape) for box in space.values()} == {1, 2, 3}
    for box in space.values():
        assert np.isfinite(box.high).all() and (box.low == 0).all()
        assert len(box.shape) == 1 or (box.shape[:2] == view and box.dtype == np.uint8)
        assert not is_image_space(box), "SB3 would divide it by 255 and turn its axes"


@pytest.mark.parametrize("game", GAMES)
def test_agents_read_compact_as_maps(game):
    """The two packages do not know each other: they meet in the shapes of the observation."""
    space = make_observation(game).space
    extractor = MapExtractor(space)
    batch = preprocess_obs({key: th.as_tensor(value[:8]) for key, value in edited(game).compact.items()}, space)
    features = extractor(batch)
    assert features.shape == (8, extractor.features_dim)
    for key, value in batch.items():
        assert not th.allclose(extractor({**batch, key: value.flip(0)}), features), key


def test_darkness_hides_blocks_items_and_mobs_and_is_a_class_of_its_own():
    states = blank_states("full", 2)
    row, column = np.asarray(states.player_position[0])
    for field, value in {"map": 4, "item_map": 1}.items():
        put(states, slice(None), field, value, (0, row, column + 1))
    for field, value in {"mask": True, "position": (row, column + 1)}.items():
        put(states, slice(None), f"melee_mobs.{field}", value, (0, 0))
    put(states, 1, "light_map", 0.05, (0, row, column + 1))
    compact = look("full", states).compact
    at = (slice(None), 4, 6)
    np.testing.assert_array_equal(compact["blocks"][at], [4, FULL_DARK])
    np.testing.assert_array_equal(compact["items"][at], [1, 0])
    np.testing.assert_array_equal(compact["mobs"][at], [[1, 0, 0, 0, 0], [0, 0, 0, 0, 0]])


@pytest.mark.parametrize("game", GAMES)
def test_pixels_are_craftaxs_picture(game):
    observation = make_observation(game, "pixels")
    assert is_image_space(observation.space)
    states = fresh_states(game)
    draw = jax.jit(observation.encode)
    one, other = (jax.tree.map(lambda leaf, row=row: leaf[row], states) for row in range(2))
    pictures = [np.asarray(draw(one)), np.asarray(draw(other))]
    for picture in pictures:
        assert observation.space.contains(picture) and len(np.unique(picture)) > 20
    assert not np.array_equal(*pictures)
    # The textures were made while this was compiled; what is left of them must be of use to others.
    block = 7 if game == "classic" else 10
    assert jax.eval_shape(pixel_renderer(game, block), one).shape == observation.space.shape


@pytest.mark.parametrize(
    ("game", "kind", "expected"),
    [("full", "text", r"\['compact', 'symbolic', 'pixels'\], got 'text'"), ("crafter", "compact", '"classic" or "full"')],
)
def test_unknown_kinds_and_games_are_refused(game, kind, expected):
    with pytest.raises(ValueError, match=expected):
        make_observation(game, kind)
    if kind == "compact":
        with pytest.raises(ValueError, match=expected):
            expand_compact({}, game)
