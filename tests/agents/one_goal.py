"""Stable-Baselines3's algorithms and ours with one goal, with the same weights and transitions."""

import numpy as np
import torch as th
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from leo_wrappers import MultiGoalWrapper, PredicateGoals
from tests.walled_box_env import WalledBoxEnv

# Adam's eps would tell half a loss from a whole one.
SHARED = {
    "seed": 0,
    "device": "cpu",
    "learning_rate": 1e-3,
    "tau": 0.1,
    "gamma": 0.99,
    "buffer_size": 1_000,
    "learning_starts": 1_000,
}
POLICY = {"net_arch": [16], "optimizer_kwargs": {"eps": 1e-20}}


def make_pair(algorithm, parent, ours=None, **kwargs):
    """
    :param algorithm: our class
    :param parent: the class that it is derived from
    :param ours: arguments of ours alone
    :param kwargs: of both
    :return: a model of each, ours with some transitions
    """
    goal = PredicateGoals({"right": lambda s: s[..., 0] > 0.4}, signal_shape=(2,))
    env = MultiGoalWrapper(WalledBoxEnv(start="random", horizon=30), goal)
    plain = {"layer_norm": False, "squash": False, "head_kwargs": {"bilinear": False}}
    options = {**SHARED, **kwargs, **(ours or {})}
    leo = algorithm("MultiGoalPolicy", env, loss="squared", policy_kwargs={**POLICY, **plain}, **options)
    leo.learn(300)
    with th.no_grad():  # they start at zero
        for critic in (leo.critic, leo.critic_target):
            for head in critic.heads:
                head.weight.normal_(0, 0.3)
    # A copy: Stable-Baselines3 writes into the dictionary it is given.
    other = parent("MlpPolicy", WalledBoxEnv(), policy_kwargs=dict(POLICY), **SHARED, **kwargs)
    for model in (leo, other):
        model.set_logger(Logger(None, []))
    return leo, other


def copy_critics(leo, other):
    """
    :param leo: our model
    :param other: Stable-Baselines3's, which gets the same critics
    """
    for ours, theirs in ((leo.critic, other.critic), (leo.critic_target, other.critic_target)):
        for number, head in enumerate(ours.heads):
            layers = {
                f"qf{number}.0.weight": th.cat([head.state.weight, head.action.weight], dim=1),
                f"qf{number}.0.bias": head.state.bias,
                f"qf{number}.2.weight": head.weight,
                f"qf{number}.2.bias": head.bias,
            }
            theirs.load_state_dict(layers, strict=False)


def batches(leo, count):
    """
    :param leo: our model, with transitions
    :param count: how many
    :return: batches for ours, and the same for Stable-Baselines3's, whose episodes end with success
    """
    ours = [leo.replay_buffer.sample(64) for _ in range(count)]
    assert all(0 < batch.goals_achieved.sum() < 64 for batch in ours)
    theirs = [
        ReplayBufferSamples(
            batch.observations["observation"],
            batch.actions,
            batch.next_observations["observation"],
            dones=th.maximum(batch.dones, batch.goals_achieved),
            rewards=batch.goals_achieved,
        )
        for batch in ours
    ]
    return ours, theirs


def replay(model, sampled, monkeypatch):
    """
    :param model: either one
    :param sampled: what its buffer is to give, in order
    :param monkeypatch: pytest's
    """
    rest = iter(sampled)
    monkeypatch.setattr(model.replay_buffer, "sample", lambda *args, **kwargs: next(rest))


def largest_difference(leo, other, copy_actor):
    """
    :param leo: our model
    :param other: Stable-Baselines3's
    :param copy_actor: copies our actor into Stable-Baselines3's
    :return: the largest difference between their weights
    """
    found = [parameter.detach().clone() for parameter in other.policy.parameters()]
    copy_critics(leo, other)
    copy_actor(leo, other)
    expected = list(other.policy.parameters())
    return max(float(np.abs((a - b).detach().numpy()).max()) for a, b in zip(found, expected, strict=True))
