"""The quasimetric head: properties of its distances, gradients, models with it, and goals that were never trained on."""

import copy

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import leo_envs
from leo_agents import LEODQN, LEOPQN
from leo_agents.learning.policy_data import load_policy
from leo_agents.networks.quasimetric_head import QuasimetricHead, pairwise_quasimetric, quasimetric
from leo_wrappers import GoalSet

gym.register_envs(leo_envs)
MAP = ["S..", "...", "..#"]
SIZE = 6
VECTORS = arrays(np.float64, st.tuples(st.integers(1, 4), st.just(SIZE)), elements=st.floats(-5, 5, width=16))


def grid(num_envs=None):
    options = {"map": MAP, "max_episode_steps": 20}
    if num_envs is None:
        return gym.make("leo/GridWorld-v0", **options)
    return gym.make_vec("leo/GridWorld-v0", num_envs, autoreset_mode="SameStep", **options)


def observations():
    return grid().unwrapped.all_observations()


def make_model(algorithm=LEODQN, **head_kwargs):
    steps = {"learning_starts": 20, "train_freq": 1} if algorithm is LEODQN else {"n_steps": 16, "batch_size": 16}
    policy_kwargs = {"net_arch": [16], "head_kwargs": {"descriptors": observations(), "size": 8, **head_kwargs}}
    env = grid() if algorithm is LEODQN else grid(2)
    return algorithm("MultiGoalPolicy", env, head="quasimetric", policy_kwargs=policy_kwargs, seed=0, device="cpu", **steps)


@pytest.fixture(scope="module")
def model():
    return make_model().learn(60)


@given(x=VECTORS, y=VECTORS)
@settings(max_examples=200, deadline=None)
def test_pairs_equal_the_formula_and_its_gradients(x, y):
    first, second = (th.tensor(array, requires_grad=True) for array in (x, y))
    pairs, expected = pairwise_quasimetric(first, second), quasimetric(first.unsqueeze(1), second)
    th.testing.assert_close(pairs, expected)
    th.testing.assert_close(pairwise_quasimetric(first.detach(), second.detach()), expected.detach())
    # The derivative of a maximum with ties is not unique.
    excess = (x[:, None] - y)[..., : SIZE // 2].clip(0)
    largest = excess.max(axis=2, keepdims=True)
    if not ((excess == largest).sum(axis=2) > 1).any():
        weights = th.arange(1.0, pairs.numel() + 1).view(pairs.shape)
        for one, other in zip(
            th.autograd.grad((pairs * weights).sum(), (first, second)),
            th.autograd.grad((expected * weights).sum(), (first, second)),
            strict=True,
        ):
            th.testing.assert_close(one, other)


STATES = arrays(np.float32, (3, 6), elements=st.floats(0, 1, width=16))


@given(states=STATES)
@settings(max_examples=100, deadline=None)
def test_distances_of_a_trained_network_are_a_quasimetric(model, states):
    net = model.q_net
    with th.no_grad():
        features = net.features(th.as_tensor(states))
        distances = net.head.distances(features, features).numpy()
    assert (distances >= 0).all() and (np.diagonal(distances) == 0).all()
    detours = distances[:, :, None] + distances[None]
    assert (distances[:, None] <= detours + 1e-5).all()


def test_values_satisfy_the_triangle_inequality(model):
    """A goal is at least as valuable as the way through any other goal."""
    states = observations()
    with th.no_grad():
        features = model.q_net.features(th.as_tensor(states))
        between = np.exp(-model.q_net.head.distances(features, features).numpy())
    q_values = model.q_values(states)
    through = q_values[:, :, None] * between[:, :, None]  # [S, through, goal, A]
    assert (q_values[:, None] >= through - 2e-4).all()
    assert q_values.std() > 0.01


def test_every_weight_has_a_gradient(model):
    net = make_model().learn(60).q_net
    states = th.as_tensor(observations())
    net.head.taken(net.features(states), th.arange(8) % 4).sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("algorithm", [LEODQN, LEOPQN])
def test_saved_loaded_exported_and_copied_models_have_the_same_values(algorithm, tmp_path):
    model = make_model(algorithm).learn(64)
    states = observations()
    others, expected = states[[1, 4]], model.q_values(states)
    np.testing.assert_allclose(model.q_values(states, others), expected[:, [1, 4]], atol=1e-6)
    model.save(tmp_path / "model")
    loaded = algorithm.load(tmp_path / "model", env=grid() if algorithm is LEODQN else grid(2))
    for other in (load_policy(tmp_path / "model.zip"), loaded, copy.deepcopy(model.policy)):
        np.testing.assert_array_equal(other.q_values(states), expected)
    # The copy encodes goals by its own layers.
    net = copy.deepcopy(model.policy).q_net
    assert net.head.encoder.__self__ is net
    loaded.learn(32)
    exported = model.policy.to_torchscript()(th.as_tensor(states), th.full((8,), 5))
    np.testing.assert_allclose(exported.detach().numpy(), expected[:, 5], atol=1e-6)
    exported = model.policy.to_torchscript("descriptor")(th.as_tensor(states), th.as_tensor(states[[5] * 8]))
    np.testing.assert_allclose(exported.detach().numpy(), expected[:, 5], atol=1e-6)


def test_a_policy_for_other_goals(model):
    states = observations()
    goals = GoalSet(["a", "b"], lambda signal: np.equal.outer(signal, [6, 2]), descriptors=states[[6, 2]], signal_shape=())
    np.testing.assert_allclose(model.policy.with_goal_set(goals).values(states), model.values(states)[:, [6, 2]], atol=1e-6)


def test_goals_may_be_any_observations_of_the_space(model):
    states = observations()
    # One-hot vectors: an entry that is 0 in all goals of a policy, and 1 in another state.
    goals = GoalSet(["a", "b"], lambda signal: np.equal.outer(signal, [6, 2]), descriptors=states[[6, 2]], signal_shape=())
    policy = model.policy.with_goal_set(goals)
    np.testing.assert_allclose(policy.values(states, states[[4]]), model.values(states)[:, [4]], atol=1e-6)
    with pytest.raises(ValueError, match="use the units of the goal set"):
        policy.values(states, 9.0 * states[[4]])


def test_bfloat16_is_used_for_the_layers_only(model):
    states = th.as_tensor(observations())
    with th.no_grad(), th.autocast("cpu", th.bfloat16):
        outputs = model.q_net.head(model.q_net.features(states))
    assert outputs.dtype == th.float32


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LEODQN("MultiGoalPolicy", grid(), head="quasimetric"), "expected an observation of each goal in Box"),
        (lambda: make_model(descriptors=None), 'an observation of each goal for head="quasimetric", got no descriptors'),
        (lambda: make_model(size=7), "expected size to be even, got 7"),
        (lambda: make_model(descriptors=observations()[:5]), "expected descriptors of shape"),
        (
            lambda: LEODQN(
                "MultiGoalPolicy",
                grid(),
                loss="squared",
                policy_kwargs={"squash": False, "head": "quasimetric", "head_kwargs": {"descriptors": observations()}},
            ),
            'expected squash=True with head="quasimetric"',
        ),
    ],
)
def test_invalid_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_unlike_a_metric_it_is_not_symmetric():
    x, y = th.tensor([[1.0, 0.0]]), th.tensor([[0.0, 0.0]])
    assert quasimetric(x, y) == 1 and quasimetric(y, x) == 0
    assert isinstance(make_model().q_net.head, QuasimetricHead)
