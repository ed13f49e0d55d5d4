import numpy as np
import pytest
import torch as th

from leo_agents import LEODQN
from leo_agents.algorithms.exploration import (
    RepeatedRandomActions,
    epsilon_greedy,
    epsilon_greedy_on_device,
    spread_epsilon,
)
from leo_wrappers.sb3 import VecGoalSampler
from tests.wrappers.test_goal_schedule import dummy

RATES = np.array([0.0, 0.25, 1.0])


def test_rates_of_ape_x():
    """Eight environments with the exponents of the paper, 1 to 8."""
    np.testing.assert_allclose(spread_epsilon(0.4, 7.0, 8), [0.4**exponent for exponent in range(1, 9)])
    assert spread_epsilon(0.4, 0.0, 8) == spread_epsilon(0.4, 7.0, 1) == 0.4
    assert (spread_epsilon(1.0, 7.0, 4) == 1.0).all() and (spread_epsilon(0.0, 7.0, 4) == 0.0).all()


def test_each_environment_has_its_rate():
    np.random.seed(0)
    generator = th.Generator().manual_seed(0)
    greedy = np.full(3, 9)
    random = np.mean([epsilon_greedy(greedy, 4, RATES) != 9 for _ in range(4_000)], axis=0)
    on_device = np.mean(
        [(epsilon_greedy_on_device(th.as_tensor(greedy), 4, RATES, generator) != 9).numpy() for _ in range(4_000)], axis=0
    )
    for fractions in (random, on_device):
        np.testing.assert_allclose(fractions, RATES, atol=0.03)
        assert fractions[0] == 0.0 and fractions[2] == 1.0


def test_repeated_random_actions_have_the_rates_in_the_long_run():
    np.random.seed(0)
    behavior = RepeatedRandomActions(1, 4)
    fractions = np.mean([behavior.sample(3, RATES) for _ in range(20_000)], axis=0)
    np.testing.assert_allclose(fractions, RATES, atol=0.03)


def test_the_rates_of_a_training():
    venv = VecGoalSampler(dummy(3), seed=0)
    model = LEODQN("MultiGoalPolicy", venv, exploration_spread=2.0, exploration_final_eps=0.5, learning_starts=0, seed=0)
    model.learn(3)
    model.exploration_rate = 0.5
    np.random.seed(0)
    observation = venv.reset()
    greedy = model.predict(observation, deterministic=True)[0]
    changed = np.mean([model.predict(observation)[0] != greedy for _ in range(4_000)], axis=0)
    # One of two random actions is the greedy one.
    np.testing.assert_allclose(changed, [0.25, 0.125, 0.0625], atol=0.02)


def test_a_negative_spread():
    with pytest.raises(ValueError, match="exploration_spread of at least 0"):
        LEODQN("MultiGoalPolicy", dummy(2), exploration_spread=-1.0)
