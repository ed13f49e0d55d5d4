"""Heads for points that are interpolated between anchors: equal to those of a finite goal set at the anchors."""

import numpy as np
import pytest
import torch as th
from gymnasium import spaces

from leo_agents import LEOSAC, LEOTD3
from leo_agents.networks.action_critic_head import ActionCriticHead
from leo_agents.networks.anchored_heads import AnchoredActorHead, AnchoredCriticHead, GoalAnchors, anchor_points
from leo_agents.networks.candidate_goals import CandidateGoals
from leo_agents.networks.goal_linear import GoalLinear
from leo_agents.networks.normalization import ObservationNormalizer
from tests.agents.plane_point import PlanePoint

BATCH, FEATURES, ACTION, WIDTH = 6, 5, 2, 7


def make_anchors(sharp=False, goal_dim=2, num_anchors=9):
    anchors = GoalAnchors(goal_dim, num_anchors, normalizer=None)
    if sharp:
        anchors.width = 0.01
    return anchors


def make_critic(anchors):
    th.manual_seed(0)
    head = AnchoredCriticHead(FEATURES, ACTION, WIDTH, anchors)
    with th.no_grad():
        for parameter in head.parameters():
            parameter.normal_()
    return head


def inputs():
    th.manual_seed(1)
    return th.randn(BATCH, FEATURES), th.rand(BATCH, ACTION) * 2 - 1


def candidates(num_shared=4, num_own=3):
    return CandidateGoals(th.randn(num_shared, 2), th.randn(BATCH, num_own, 2))


@pytest.mark.parametrize("dim, num_anchors, expected", [(1, 8, 8), (2, 64, 64), (2, 70, 64), (3, 64, 64), (6, 64, 64)])
def test_anchors_are_a_grid_within_two_standard_deviations(dim, num_anchors, expected):
    points, spacing = anchor_points(dim, num_anchors)
    assert points.shape == (expected, dim) and points.abs().max() <= 2.0 and points.mean(0).abs().max() < 1e-6
    assert th.pdist(points).min().item() == pytest.approx(spacing, rel=1e-5)


@pytest.mark.parametrize("dim, num_anchors", [(7, 64), (2, 3), (30, 16)])
def test_too_few_anchors_for_a_grid_are_spread_evenly(dim, num_anchors):
    points, _ = anchor_points(dim, num_anchors)
    assert points.shape == (num_anchors, dim) and points.abs().max() <= 2.0 and th.pdist(points).min() > 0
    assert th.equal(points, anchor_points(dim, num_anchors)[0])


def test_goals_take_part_in_near_anchors_most():
    anchors, goals = make_anchors(), th.randn(50, 2)
    weights = anchors(goals)
    assert th.allclose(weights.sum(1), th.ones(50)) and (weights >= 0).all()
    assert th.equal(weights.argmax(1), th.cdist(goals, anchors.points).argmin(1))


def test_anchors_lie_among_standardized_goals():
    space = spaces.Dict({"achieved_goal": spaces.Box(-np.inf, np.inf, (2,), np.float32)})
    normalizer, points = ObservationNormalizer(space), np.random.default_rng(0).normal([50, -3], [4, 0.1], (500, 2))
    normalizer.update({"achieved_goal": points.astype(np.float32)})
    normalizer.refresh()
    goals = th.as_tensor(points[:20], dtype=th.float32)
    standardized = (goals - th.as_tensor(points.mean(0))) / th.as_tensor(points.std(0))
    expected = make_anchors()(standardized.float())
    assert th.allclose(GoalAnchors(2, 9, normalizer)(goals), expected, atol=1e-3)


def test_at_the_anchors_the_heads_are_those_of_a_finite_goal_set():
    anchors = make_anchors(sharp=True)
    features, actions = inputs()
    critic, actor = make_critic(anchors), AnchoredActorHead(FEATURES, 4, anchors)
    finite_critic, finite_actor = ActionCriticHead(FEATURES, 9, ACTION, WIDTH), GoalLinear(FEATURES, 9, 4)
    with th.no_grad():
        for parameter in actor.parameters():
            parameter.normal_()
    for finite, head in ((finite_critic, critic), (finite_actor, actor)):
        finite.load_state_dict({key: value for key, value in head.state_dict().items() if not key.startswith("anchors.")})
    each = th.rand(BATCH, 9, ACTION) * 2 - 1
    for goals in (
        CandidateGoals.common(anchors.points, BATCH),
        CandidateGoals(anchors.points[:4], anchors.points[4:].expand(6, -1, -1)),
    ):
        assert th.allclose(critic.taken(features, actions, goals), finite_critic.taken(features, actions), atol=1e-5)
        assert th.allclose(critic.diagonal(features, each, goals), finite_critic.diagonal(features, each), atol=1e-5)
        assert th.allclose(actor(features, goals), finite_actor(features), atol=1e-5)
    assert th.allclose(
        actor.for_goals(features, anchors.points[:6]), finite_actor.for_goals(features, th.arange(6)), atol=1e-5
    )


def test_the_diagonal_of_the_taken_action_is_its_value():
    critic, goals = make_critic(make_anchors()), candidates()
    features, actions = inputs()
    diagonal = critic.diagonal(features, actions.unsqueeze(1).expand(-1, 7, -1), goals)
    assert th.allclose(diagonal, critic.taken(features, actions, goals), atol=1e-5)


def test_one_goal_per_row_has_the_outputs_of_that_goal():
    actor, goals = AnchoredActorHead(FEATURES, 4, make_anchors()), th.randn(BATCH, 2)
    with th.no_grad():
        actor.weight.normal_()
    features, _ = inputs()
    expected = actor(features, CandidateGoals.one_per_row(goals))[:, 0]
    assert th.allclose(actor.for_goals(features, goals), expected, atol=1e-6)


@pytest.mark.parametrize("algorithm", [LEOTD3, LEOSAC])
@pytest.mark.parametrize("num_anchors", [0, 1, 10])
def test_agents_learn_with_any_number_of_anchors(algorithm, num_anchors, tmp_path):
    kwargs = {"net_arch": [16, 16], "num_anchors": num_anchors}
    model = algorithm("MultiGoalPolicy", PlanePoint(), learning_starts=20, batch_size=8, policy_kwargs=kwargs, device="cpu")
    model.learn(40).save(tmp_path / "model")
    loaded = algorithm.load(tmp_path / "model")
    obs = {key: value[None] for key, value in model.observation_space.sample().items()}
    assert (loaded.values(obs) == model.values(obs)).all()
    assert any("anchored" in name for name in model.policy.state_dict()) == bool(num_anchors)


@pytest.mark.parametrize("num_anchors, error", [(-1, ValueError), (1.5, TypeError), ("8", TypeError), (True, TypeError)])
def test_bad_numbers_of_anchors(num_anchors, error):
    with pytest.raises(error, match="expected num_anchors"):
        LEOSAC("MultiGoalPolicy", PlanePoint(), policy_kwargs={"num_anchors": num_anchors}, device="cpu")
