"""Actions predicted from pairs of observations, and learning from data without actions."""

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.env_util import make_vec_env

import leo_envs
from leo_agents import LEODQN, GoalDataset, InverseModel, collect_dataset
from leo_wrappers import GridGoals, MultiGoalWrapper
from tests.line_env import make_line

gym.register_envs(leo_envs)


def make_continuous():
    goals = GridGoals([-1.2, -0.07], [0.6, 0.07], [3, 2])
    return MultiGoalWrapper(gym.make("MountainCarContinuous-v0", max_episode_steps=40), goals)


def predicted(model, dataset):
    return model.actions(dataset.observations, dataset.next_observations)


def test_discrete_actions_of_other_transitions():
    """Steps to the left and to the right of a map without walls, learned from one row of it."""
    env = gym.make("leo/GridWorld-v0", map=["......"] * 6, observation="coordinates", max_episode_steps=50)
    model = InverseModel(env, seed=0, net_arch=[64]).learn(collect_dataset(env, 400, seed=0), gradient_steps=300)
    others = collect_dataset(env, 400, seed=1)
    moved = (others.observations["observation"] != others.next_observations["observation"]).any(axis=1)
    assert 0.5 < moved.mean() < 1.0
    assert (predicted(model, others) == others.actions)[moved].mean() > 0.99


def test_continuous_actions():
    env = make_continuous()
    model = InverseModel(env, seed=0).learn(collect_dataset(env, 2_000, seed=0), gradient_steps=600)
    others = collect_dataset(env, 400, seed=1)
    errors = np.abs(predicted(model, others) - others.actions)
    assert errors.mean() < 0.05
    assert predicted(model, others).shape == others.actions.shape and predicted(model, others).dtype == np.float32


def test_an_agent_learns_from_data_without_actions():
    env = make_line(start=None, horizon=20)
    model = InverseModel(env, seed=0, net_arch=[32]).learn(collect_dataset(env, 100, seed=0), gradient_steps=200)
    data = collect_dataset(env, 600, seed=1)
    actions = predicted(model, data)
    inside = data.observations["observation"][:, 0] != data.next_observations["observation"][:, 0]
    assert (actions == data.actions)[inside].all()
    labeled = GoalDataset(
        data.observations,
        actions,
        *(data.next_observations, data.terminated, data.truncated, data.packed_masks, data.goal_names),
    )
    agent = LEODQN("MultiGoalPolicy", env, seed=0, learning_rate=3e-3, buffer_size=10, device="cpu")
    agent.learn_offline(labeled, 300)
    observations = np.arange(5, dtype=np.float32)
    for state, goal in np.argwhere(~np.eye(5, dtype=bool)):
        assert agent.act(observations[[state]], goal=int(goal)) == int(goal > state)


def test_a_seed_gives_the_same_model_for_all_kinds_of_environments():
    env = make_line()
    dataset = collect_dataset(env, 100, seed=0)
    envs = (env, gym.vector.SyncVectorEnv([lambda: env] * 2), make_vec_env(lambda: make_line(), n_envs=2))
    models = [InverseModel(kind, seed=3, net_arch=[8]).learn(dataset, 5) for kind in envs]
    for model in models[1:]:
        for one, other in zip(models[0].state_dict().values(), model.state_dict().values(), strict=True):
            assert one.equal(other)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda env: InverseModel(3), "expected an environment"),
        (lambda env: InverseModel(env, learning_rate=0.0), "learning_rate above 0"),
        (lambda env: InverseModel(env, net_arch=[0]), "each width in net_arch"),
        (lambda env: InverseModel(env).learn(collect_dataset(make_continuous(), 10, seed=0), 1), "a dataset in"),
        (lambda env: InverseModel(env).learn(collect_dataset(env, 10, seed=0), 0), "gradient_steps of at least 1"),
        (lambda env: InverseModel(env).learn(collect_dataset(env, 10, seed=0), 1, batch_size=1), "batch_size of at least 2"),
        (lambda env: InverseModel(env).actions(np.zeros((2, 3)), np.zeros((2, 3))), "of shape [T, 1], got (2, 3)"),
        (lambda env: InverseModel(env).actions({"state": np.zeros((2, 1))}, np.zeros((2, 1))), "observations with ['obs"),
        (lambda env: InverseModel(env).actions(np.zeros((0, 1)), np.zeros((0, 1))), "pass the observations of several steps"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises((TypeError, ValueError)) as caught:
        make(make_line())
    assert message in str(caught.value)
