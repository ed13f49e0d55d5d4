"""LEOSAC: equality with SAC for one goal, targets, entropy coefficients, and gradients per goal."""

import numpy as np
import pytest
import torch as th
from stable_baselines3 import SAC
from stable_baselines3.common.logger import Logger

from leo_agents import LEOSAC
from tests.agents.one_goal import batches, copy_critics, largest_difference, make_pair, replay
from tests.walled_box_env import WalledBoxEnv

SMALL = {"learning_starts": 100, "batch_size": 32, "buffer_size": 500, "device": "cpu", "seed": 0}


def make_model(**kwargs):
    policy_kwargs = {"net_arch": [16], **kwargs.pop("policy_kwargs", {})}
    model = LEOSAC("MultiGoalPolicy", WalledBoxEnv(horizon=20), policy_kwargs=policy_kwargs, **{**SMALL, **kwargs})
    model.set_logger(Logger(None, []))
    return model


def copy_actor(leo, sac):
    means, deviations = leo.actor.head.weight[0].chunk(2)
    mean_biases, deviation_biases = leo.actor.head.bias[0].chunk(2)
    sac.actor.load_state_dict(
        {
            "latent_pi.0.weight": leo.actor.trunk[0].weight,
            "latent_pi.0.bias": leo.actor.trunk[0].bias,
            "mu.weight": means,
            "mu.bias": mean_biases,
            "log_std.weight": deviations,
            "log_std.bias": deviation_biases,
        }
    )


@pytest.mark.parametrize("ent_coef", ["auto", "auto_0.2", 0.05])
def test_one_goal_equals_sac_with_done_on_success(ent_coef, monkeypatch):
    """Compare weights and entropy coefficients after two gradient steps from the same weights and transitions."""
    leo, sac = make_pair(LEOSAC, SAC, ours={"entropy_in_target": True}, ent_coef=ent_coef)
    copy_critics(leo, sac)
    copy_actor(leo, sac)
    for model, sampled in zip((leo, sac), batches(leo, 2), strict=True):
        replay(model, sampled, monkeypatch)
        th.manual_seed(7)
        model.train(2, 64)
    assert largest_difference(leo, sac, copy_actor) < 1e-6
    if ent_coef != 0.05:
        th.testing.assert_close(leo.log_ent_coef, sac.log_ent_coef)
        assert (leo.log_ent_coef != np.log(1.0 if ent_coef == "auto" else 0.2)).all()


@pytest.mark.parametrize("entropy_in_target", [False, True])
def test_targets_with_and_without_entropy(entropy_in_target):
    """Targets are discounted probabilities by default, and SAC's with ``entropy_in_target``."""
    leo, _ = make_pair(LEOSAC, SAC, ours={"entropy_in_target": entropy_in_target})
    ((batch,), _) = batches(leo, 1)
    th.manual_seed(3)
    targets = leo.targets(batch, ent_coef=th.tensor([0.5]))
    with th.no_grad():
        th.manual_seed(3)
        actions, log_probs = leo.actor(batch.next_observations)
        next_values = leo.critic_target.lowest_diagonal(batch.next_observations, actions)
        next_values = next_values - 0.5 * log_probs if entropy_in_target else next_values
        expected = batch.goals_achieved + (1 - batch.goals_achieved) * (1 - batch.dones) * 0.99 * next_values
    th.testing.assert_close(targets, expected)


def test_log_probabilities_of_each_goals_gaussian():
    model = make_model()
    obs = {"observation": th.rand(6, 2)}
    with th.no_grad():
        model.actor.head.weight.normal_(0, 0.1)
        actions, log_probs = model.actor(obs)
        means, log_stds = model.actor.head(model.actor.features(obs)).chunk(2, dim=2)
    assert actions.shape == (6, 100, 2) and log_probs.shape == (6, 100)
    gaussian = th.distributions.Normal(means, log_stds.exp())
    before = th.atanh(actions.clamp(-1 + 1e-6, 1 - 1e-6))
    expected = (gaussian.log_prob(before) - th.log(1 - actions**2 + 1e-6)).sum(dim=2)
    inside = (actions.abs() < 0.95).all(dim=2)
    assert inside.sum() > 100
    th.testing.assert_close(log_probs[inside], expected[inside], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("per_goal", [True, False])
def test_entropy_coefficients_rise_where_the_entropy_is_below_the_target(per_goal):
    model = make_model(entropy_per_goal=per_goal, ent_coef="auto")
    assert model.log_ent_coef.shape == ((100,) if per_goal else (1,))
    log_probs = th.full((8, 2), 2.0 + 1.0)  # the target entropy is -2
    log_probs[:, 1] = 2.0 - 1.0
    if per_goal:
        model._update_ent_coef(log_probs, th.tensor([4, 9]))
        assert model.log_ent_coef[4] > 0 > model.log_ent_coef[9]
        assert (model.log_ent_coef != 0).sum() == 2
        assert model._ent_coef(th.tensor([9])) < 1
    else:
        model._update_ent_coef(log_probs[:, :1], th.tensor([4]))
        assert model.log_ent_coef > 0 and model._ent_coef(th.tensor([9])) > 1


@pytest.mark.parametrize("per_goal", [True, False])
def test_entropy_coefficients_are_saved(per_goal, tmp_path):
    model = make_model(entropy_per_goal=per_goal, learning_starts=32).learn(60)
    model.save(tmp_path / "model")
    loaded = LEOSAC.load(tmp_path / "model", env=WalledBoxEnv())
    th.testing.assert_close(loaded.log_ent_coef, model.log_ent_coef)
    loaded.learn(20, reset_num_timesteps=False)
    assert (loaded.log_ent_coef != model.log_ent_coef).any()


def test_actor_gradients_of_a_goal_reach_its_own_outputs_only():
    model = make_model(goal_reduction="sum").learn(60)
    batch = model.replay_buffer.sample(32)
    for goal in (0, 42):
        model.actor.zero_grad()
        ids = th.tensor([goal])
        actions, log_probs = model.actor(batch.observations, ids)
        model.actor_loss(batch, actions, log_probs, ids, th.tensor([0.1])).backward()
        grad = model.actor.head.weight.grad
        assert (grad[:goal] == 0).all() and (grad[goal + 1 :] == 0).all()
        assert grad[goal].abs().sum() > 0


def test_the_users_policy_kwargs_are_not_modified():
    policy_kwargs = {"net_arch": [8]}
    LEOSAC("MultiGoalPolicy", WalledBoxEnv(), policy_kwargs=policy_kwargs, **SMALL)
    assert policy_kwargs == {"net_arch": [8]}


def test_entropy_in_target_needs_unbounded_values():
    with pytest.raises(ValueError, match="values without bounds for entropy_in_target=True"):
        make_model(entropy_in_target=True, loss="squared")
