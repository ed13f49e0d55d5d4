"""Helpers that compare an algorithm with one goal to its SB3 parent, with the same weights and transitions."""

import numpy as np
import torch as th
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from leo_wrappers import MultiGoalWrapper, PredicateGoals
from tests.walled_box_env import WalledBoxEnv

SHARED = {
    "seed": 0,
    "device": "cpu",
    "learning_rate": 1e-3,
    "tau": 0.1,
    "gamma": 0.99,
    "buffer_size": 1_000,
    "learning_starts": 1_000,
}
# The losses differ by a factor of 2, which Adam cancels only with a negligible eps.
POLICY = {"net_arch": [16], "optimizer_kwargs": {"eps": 1e-20}}


def make_pair(algorithm, parent, ours=None, **kwargs):
    """
    Create a model of each class.

    :param algorithm: class of this library
    :param parent: its parent in SB3
    :param ours: arguments of ``algorithm`` only
    :param kwargs: arguments of both
    :return: both models, the first with transitions in its replay buffer
    """
    goal = PredicateGoals({"right": lambda s: s[..., 0] > 0.4}, signal_shape=(2,))
    env = MultiGoalWrapper(WalledBoxEnv(start="random", horizon=30), goal)
    plain = {"layer_norm": False, "squash": False, "head_kwargs": {"bilinear": False}}
    options = {**SHARED, **kwargs, **(ours or {})}
    leo = algorithm("MultiGoalPolicy", env, loss="squared", policy_kwargs={**POLICY, **plain}, **options)
    leo.learn(300)
    with th.no_grad():  # the weights are initialized to zero
        for critic in (leo.critic, leo.critic_target):
            for head in critic.heads:
                head.weight.normal_(0, 0.3)
    # A copy: SB3 modifies the dictionary.
    other = parent("MlpPolicy", WalledBoxEnv(), policy_kwargs=dict(POLICY), **SHARED, **kwargs)
    for model in (leo, other):
        model.set_logger(Logger(None, []))
    return leo, other


def copy_critics(leo, other):
    """
    Copy the critics of one model to the other.

    :param leo: model of this library
    :param other: SB3 model
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
    Sample batches in the formats of both models.

    :param leo: model of this library, with transitions
    :param count: number of batches
    :return: batches for ``leo``, and the same for the SB3 model, with the mask as reward and as done
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
    Make the replay buffer of a model return the given batches.

    :param model: either model
    :param sampled: batches in the order to return them
    :param monkeypatch: pytest fixture
    """
    remaining = iter(sampled)
    monkeypatch.setattr(model.replay_buffer, "sample", lambda *args, **kwargs: next(remaining))


def largest_difference(leo, other, copy_actor):
    """
    Compute the largest absolute difference between the weights of the models. Overwrites the weights of ``other``.

    :param leo: model of this library
    :param other: SB3 model
    :param copy_actor: function that copies the actor of ``leo`` to ``other``
    :return: largest difference over all parameters
    """
    actual = [parameter.detach().clone() for parameter in other.policy.parameters()]
    copy_critics(leo, other)
    copy_actor(leo, other)
    expected = list(other.policy.parameters())
    return max(float(np.abs((a - b).detach().numpy()).max()) for a, b in zip(actual, expected, strict=True))
