"""LEOTD3: equality with TD3 for one goal, targets, and gradients per goal."""

import numpy as np
import pytest
import torch as th
from stable_baselines3 import TD3
from stable_baselines3.common.logger import Logger

from leo_agents import LEOTD3
from tests.agents.one_goal import batches, copy_critics, largest_difference, make_pair, replay
from tests.walled_box_env import WalledBoxEnv

SMALL = {"learning_starts": 100, "batch_size": 32, "buffer_size": 500, "device": "cpu", "seed": 0}


def make_model(**kwargs):
    policy_kwargs = {"net_arch": [16], **kwargs.pop("policy_kwargs", {})}
    model = LEOTD3("MultiGoalPolicy", WalledBoxEnv(horizon=20), policy_kwargs=policy_kwargs, **{**SMALL, **kwargs})
    model.set_logger(Logger(None, []))
    return model


def copy_actor(leo, td3):
    for ours, theirs in ((leo.actor, td3.actor), (leo.actor_target, td3.actor_target)):
        theirs.load_state_dict(
            {
                "mu.0.weight": ours.trunk[0].weight,
                "mu.0.bias": ours.trunk[0].bias,
                "mu.2.weight": ours.head.weight[0],
                "mu.2.bias": ours.head.bias[0],
            }
        )


def test_one_goal_equals_td3_with_done_on_success(monkeypatch):
    """Compare all weights after two updates of the critics and one of the actor, from the same weights and transitions."""
    leo, td3 = make_pair(LEOTD3, TD3, policy_delay=2)
    copy_critics(leo, td3)
    copy_actor(leo, td3)
    for model, sampled in zip((leo, td3), batches(leo, 2), strict=True):
        replay(model, sampled, monkeypatch)
        th.manual_seed(7)
        model.train(2, 64)
    assert largest_difference(leo, td3, copy_actor) < 1e-6


def test_losses_and_gradients_of_one_goal_equal_td3():
    """Except for the factor 0.5 of the critic's loss."""
    leo, td3 = make_pair(LEOTD3, TD3, policy_delay=2)
    copy_critics(leo, td3)
    copy_actor(leo, td3)
    (ours,), (theirs,) = batches(leo, 1)
    th.manual_seed(7)
    targets = leo.targets(ours)
    with th.no_grad():
        th.manual_seed(7)
        noise = theirs.actions.clone().normal_(0, 0.2).clamp(-0.5, 0.5)
        actions = (td3.actor_target(theirs.next_observations) + noise).clamp(-1, 1)
        next_values = th.cat(td3.critic_target(theirs.next_observations, actions), dim=1).min(dim=1, keepdim=True).values
        expected = theirs.rewards + (1 - theirs.dones) * 0.99 * next_values
    th.testing.assert_close(targets, expected)
    loss = leo.critic_loss(ours, targets, None)
    loss.backward()
    td3_loss = 0.5 * sum(th.nn.functional.mse_loss(q, expected) for q in td3.critic(theirs.observations, theirs.actions))
    td3_loss.backward()
    th.testing.assert_close(loss, td3_loss)
    for number, head in enumerate(leo.critic.heads):
        layers = td3.critic.q_networks[number]
        th.testing.assert_close(th.cat([head.state.weight.grad, head.action.weight.grad], dim=1), layers[0].weight.grad)
        th.testing.assert_close(head.weight.grad, layers[2].weight.grad)
    actor_loss = leo.actor_loss(ours, None)
    actor_loss.backward()
    td3_actor_loss = -td3.critic.q1_forward(theirs.observations, td3.actor(theirs.observations)).mean()
    td3_actor_loss.backward()
    th.testing.assert_close(actor_loss, td3_actor_loss)
    th.testing.assert_close(leo.actor.trunk[0].weight.grad, td3.actor.mu[0].weight.grad)
    th.testing.assert_close(leo.actor.head.weight.grad[0], td3.actor.mu[2].weight.grad)


@pytest.mark.parametrize("goals", [None, [3, 1]])
def test_targets_by_definition(goals):
    """1 for the achieved goal; for the others 0 if terminated, else, also if truncated, the discounted next value."""
    model = make_model()
    values = th.linspace(0.1, 0.9, 100)
    with th.no_grad():
        for head in model.critic_target.heads:  # their weights are initialized to zero
            head.bias.copy_(th.logit(values))
        model.critic_target.heads[1].bias[3] = th.logit(th.tensor(0.05))  # the minimum of the critics
    values[3] = 0.05
    obs = {"observation": np.zeros((1, 2), np.float32), "goal_id": np.array([0])}
    steps = [(False, {}), (True, {"TimeLimit.truncated": False}), (True, {"TimeLimit.truncated": True})]
    for done, info in steps:
        info = {**info, "goals_achieved": np.arange(100) == 1}
        model.replay_buffer.add(obs, obs, np.zeros((1, 2)), np.zeros(1), np.array([done]), [info])
    batch = model.replay_buffer._get_samples(np.array([0, 1, 2]))
    ids = th.arange(100) if goals is None else th.tensor(goals)
    bootstrapped, terminated = 0.99 * values[ids], th.zeros(len(ids))
    expected = th.stack([bootstrapped, terminated, bootstrapped])
    expected[:, ids == 1] = 1.0
    th.testing.assert_close(model.targets(batch, None if goals is None else ids), expected)


def test_target_noise_is_independent_per_goal(monkeypatch):
    model = make_model().learn(40)
    batch = model.replay_buffer.sample(30)
    seen = []
    lowest_diagonal = model.critic_target.lowest_diagonal
    monkeypatch.setattr(
        model.critic_target,
        "lowest_diagonal",
        lambda obs, actions, goals: seen.append(actions) or lowest_diagonal(obs, actions),
    )
    model.targets(batch)
    noise = (seen[0] - model.actor_target(batch.next_observations)).detach()
    assert 0.1 < noise.std() < 0.25
    assert (noise.std(dim=1) > 0.05).all()  # over the goals of a transition


def test_actor_gradients_of_a_goal_reach_its_own_outputs_only():
    model = make_model().learn(60)
    with th.no_grad():
        for head in model.critic.heads:
            head.direct.normal_()
    batch = model.replay_buffer.sample(32)
    model.goal_reduction = "sum"
    model.actor_loss(batch, None).backward()
    all_goals_grad = model.actor.head.weight.grad.clone()
    for goal in (0, 42):
        model.actor.zero_grad()
        model.actor_loss(batch, th.tensor([goal])).backward()
        grad = model.actor.head.weight.grad
        assert (grad[:goal] == 0).all() and (grad[goal + 1 :] == 0).all()
        assert grad[goal].abs().sum() > 0
        th.testing.assert_close(grad[goal], all_goals_grad[goal], rtol=1e-4, atol=1e-6)
