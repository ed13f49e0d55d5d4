"""Features of grid maps: what the first layer computes, and that agents use the extractor by default."""

import io

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.torch_layers import CombinedExtractor
from torch.nn import functional as F

from leo_agents import LEODQN
from leo_agents.baselines import GoalDescriptorExtractor, goal_conditioned_dqn
from leo_agents.networks.map_extractor import MapExtractor, has_maps
from leo_agents.networks.state_network import default_extractor
from leo_wrappers import MultiGoalWrapper
from tests.line_env import LineEnv, line_goals

ROWS, COLUMNS = 3, 5
SMALL = {"learning_starts": 32, "batch_size": 32, "buffer_size": 2_000, "device": "cpu", "seed": 0}


def small_space(**parts: spaces.Space) -> spaces.Dict:
    """A space with every kind of entry. Some keys are method names of ``ModuleDict``, which does not accept them."""
    entries = {
        "items": spaces.Box(0, 6, (ROWS, COLUMNS), np.uint8),
        "keys": spaces.Box(0, 1, (ROWS, COLUMNS), np.uint8),
        "mobs": spaces.Box(0, np.broadcast_to(np.uint8([255, 3]), (ROWS, COLUMNS, 2)), dtype=np.uint8),
        "counts": spaces.Box(0, np.uint8([9, 99, 1]), dtype=np.uint8),
        "levels": spaces.Box(0, np.float32([13, 1]), dtype=np.float32),
        "where": spaces.Box(-np.inf, np.inf, (2,), np.float32),
        "kind": spaces.Discrete(4),
    }
    return spaces.Dict({**entries, **parts})


def sample(space: spaces.Dict, count: int) -> dict[str, th.Tensor]:
    """Draw a batch and preprocess it as SB3 does before the extractor."""
    space.seed(0)
    rows = [space.sample() for _ in range(count)]
    batch = {key: th.as_tensor(np.stack([row[key] for row in rows])) for key in space}
    result = preprocess_obs(batch, space)
    assert isinstance(result, dict)
    return result


class MapLine(LineEnv):
    """The line environment with the agent's position as an id, as a bit and as a count."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Dict(
            {
                "items": spaces.Box(0, 2, (1, 5), np.uint8),
                "mobs": spaces.Box(0, 4, (1, 5, 1), np.uint8),
                "counts": spaces.Box(0, 4, (1,), np.uint8),
            }
        )

    def _obs(self) -> dict[str, np.ndarray]:
        here = np.arange(5, dtype=np.uint8)[None] == self.position
        ids, bits = np.where(here, 2, 0).astype(np.uint8), np.where(here, 4, 0).astype(np.uint8)[..., None]
        return {"items": ids, "mobs": bits, "counts": np.array([self.position], np.uint8)}


def map_line() -> MultiGoalWrapper:
    return MultiGoalWrapper(MapLine(), line_goals(), signal=lambda obs, info: obs["counts"].astype(np.float32))


def make_model(**kwargs) -> LEODQN:
    return LEODQN("MultiGoalPolicy", map_line(), **{**SMALL, "policy_kwargs": {"net_arch": [32]}, **kwargs})


# --------------------------------------------------------------------------------------------------------------------------
# Features


def test_the_first_layer_is_a_1x1_convolution_of_indicators():
    space = small_space()
    extractor, batch = MapExtractor(space, channels=(8,)), sample(space, 6)
    weights = [table.weight.T for table in extractor.tables] + [layer.weight for layer in extractor.bit_layers]
    bits = np.unpackbits(batch["mobs"].numpy().astype(np.uint8), axis=-1, bitorder="little")
    indicators = [F.one_hot(batch["items"].long(), 7), F.one_hot(batch["keys"].long(), 2), th.as_tensor(bits)]
    stacked = th.cat(indicators, dim=-1).float().permute(0, 3, 1, 2)
    expected = F.conv2d(stacked, th.cat(weights, dim=1)[:, :, None, None]).flatten(start_dim=1)
    extractor.norm = th.nn.Identity()
    th.testing.assert_close(extractor(batch)[:, : expected.shape[1]], expected, rtol=1e-4, atol=1e-5)


def test_numbers_are_scaled_by_their_bounds_and_counts_are_embedded():
    space = small_space()
    extractor = MapExtractor(space, channels=(4,), number_width=3)
    extractor.norm = th.nn.Identity()
    batch = sample(space, 1)
    batch["counts"], batch["levels"] = th.tensor([[3.0, 99.0, 1.0]]), th.tensor([[6.5, 0.25]])
    batch["where"] = th.tensor([[-50.0, 2.0]])
    rest = extractor(batch)[0, ROWS * COLUMNS * 4 :]
    # Rows 0 to 9 belong to the first count, 10 to 109 to the second, 110 and 111 to the third.
    table = extractor.numbers[0].table.weight
    embedding = table[3] + table[10 + 99] + table[110 + 1]
    expected = [*th.tensor([3 / 9, 1.0, 1.0]), *embedding, 0.5, 0.25, -50.0, 2.0, *batch["kind"][0]]
    th.testing.assert_close(rest, th.stack([th.as_tensor(value) for value in expected]))
    assert len(rest) + ROWS * COLUMNS * 4 == extractor.features_dim


def test_a_count_above_its_bound_is_embedded_as_the_bound():
    space = spaces.Dict({"items": spaces.Box(0, 1, (2, 2), np.uint8), "counts": spaces.Box(0, 9, (2,), np.uint8)})
    numbers = MapExtractor(space).numbers[0]
    width = numbers.num_features - 2
    above, at = numbers(th.tensor([[30.0, 5.0]])), numbers(th.tensor([[9.0, 5.0]]))
    th.testing.assert_close(above[:, -width:], at[:, -width:])


def test_features_depend_on_every_entry_and_every_weight_has_a_gradient():
    space = small_space()
    extractor = MapExtractor(space)
    batch = sample(space, 16)
    reference = extractor(batch)
    for key, value in batch.items():
        changed = extractor({**batch, key: value.flip(0)})
        assert not th.allclose(changed, reference), key
    (extractor(batch) * th.randn(extractor.features_dim)).sum().backward()
    for name, parameter in extractor.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("channels", [(4,), (8, 6), (8, 4, 6)])
def test_features_dim_follows_the_arguments(channels):
    space = small_space()
    extractor = MapExtractor(space, channels=channels, number_width=5)
    features = extractor(sample(space, 3))
    assert features.shape == (3, extractor.features_dim)
    assert extractor.features_dim == ROWS * COLUMNS * channels[-1] + (3 + 5) + 2 + 2 + 4
    th.testing.assert_close(features.mean(dim=1), th.zeros(3), atol=1e-5, rtol=0)


# --------------------------------------------------------------------------------------------------------------------------
# Agents


def test_default_extractor():
    assert default_extractor(small_space()) is MapExtractor
    assert default_extractor(spaces.Dict({"a": spaces.Box(0, 1, (2,)), "b": spaces.Discrete(3)})) is CombinedExtractor
    assert not has_maps(spaces.Box(0, 3, (2, 2), np.uint8))
    assert not has_maps(spaces.Dict({"floats": spaces.Box(0, 3, (2, 2), np.float32)}))
    assert isinstance(make_model().q_net.features_extractor, MapExtractor)


def test_leodqn_learns_exact_values_from_maps():
    """Compare the values of position 0 to gamma ** (steps - 1), for the goals at most two steps away."""
    model = make_model(train_freq=1, gamma=0.5, exploration_final_eps=1.0).learn(800)
    obs, _ = map_line().reset()
    expected = [[1.0, 0.5], [0.5, 1.0], [0.25, 0.5]]  # the action to the left keeps position 0
    np.testing.assert_allclose(model.q_values(obs)[0, :3], expected, atol=0.1)


def test_the_policy_passes_arguments_to_the_extractor():
    kwargs = {"features_extractor_class": MapExtractor, "features_extractor_kwargs": {"channels": (4,), "number_width": 2}}
    model = make_model(policy_kwargs={"net_arch": [8], **kwargs}).learn(50)
    assert model.q_net.features_extractor.features_dim == 5 * 4 + 1 + 2


def test_saving_and_loading_a_model_with_maps():
    model, buffer = make_model().learn(60), io.BytesIO()
    model.save(buffer)
    buffer.seek(0)
    loaded = LEODQN.load(buffer, device="cpu")
    obs, _ = map_line().reset()
    np.testing.assert_array_equal(loaded.q_values(obs), model.q_values(obs))


def test_a_policy_with_maps_exports_to_torchscript(tmp_path):
    model = make_model().learn(60)
    model.policy.to_torchscript().save(str(tmp_path / "policy.pt"))
    script = th.jit.load(str(tmp_path / "policy.pt"))
    space = map_line().observation_space
    states = sample(space, 7)
    goals = np.array([0, 1, 2, 3, 4, 0, 1])
    # Observations may be uint8, as observed, or float, as preprocessed.
    observations = {key: value.numpy().astype(np.uint8) for key, value in states.items()}
    expected = model.q_values(observations)[np.arange(7), goals]
    for inputs in (states, {key: value.to(th.uint8) for key, value in states.items()}):
        values = script(inputs, th.as_tensor(goals)).detach().numpy()
        np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_goal_conditioned_baselines_with_maps():
    model = goal_conditioned_dqn(map_line(), learning_starts=32, buffer_size=500, device="cpu", seed=0).learn(60)
    extractor = model.q_net.features_extractor
    assert isinstance(extractor, GoalDescriptorExtractor) and isinstance(extractor.state_extractor, MapExtractor)


# --------------------------------------------------------------------------------------------------------------------------
# Invalid arguments


@pytest.mark.parametrize(
    ("space", "arguments", "message"),
    [
        (spaces.Box(0, 3, (4, 4), np.uint8), {}, "use SB3's CombinedExtractor"),
        (spaces.Dict({"counts": spaces.Box(0, 3, (4,), np.uint8)}), {}, "a uint8 Box"),
        (small_space(image=spaces.Box(0, 255, (36, 36, 3), np.uint8)), {}, r"got the images \['image'\]"),
        (small_space(large=spaces.Box(0, 3, (9, 9), np.uint8)), {}, "the same rows and columns"),
        (small_space(), {"channels": ()}, r"at least one, got \(\)"),
        (small_space(), {"channels": (8, 0)}, "positive"),
    ],
)
def test_unsupported_spaces_and_arguments(space, arguments, message):
    with pytest.raises(ValueError, match=message):
        MapExtractor(space, **arguments)
