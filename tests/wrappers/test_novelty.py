import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.vec_env import DummyVecEnv

import leo_envs
from leo_agents import LEODQN
from leo_agents.evaluation import evaluate_goals
from leo_wrappers import NoveltyWrapper, check_multigoal_env
from leo_wrappers.sb3 import VecGoalSampler
from tests.line_env import LineEnv, make_line

gym.register_envs(leo_envs)


def test_bonus_and_counts():
    """Only goals that the state before did not achieve count; the first state counts nothing."""
    env = NoveltyWrapper(make_line())
    obs, info = env.reset(seed=0)
    assert info["novelty_bonus"] == 0.0 and not info["goals_achieved"][-1] and obs["goal_counts"].tolist() == [1.0] * 5
    bonuses = []
    for action in (0, 1, 0, 1, 1, 0, 1):  # positions 0, 1, 0, 1, 2, 1, 2
        obs, reward, _, _, info = env.step(action)
        assert reward == -1.0 and env.observation_space.contains(obs)
        bonuses.append(info["novelty_bonus"])
        assert info["goals_achieved"][:-1].tolist() == [x == obs["observation"][0] for x in range(5)]
    np.testing.assert_allclose(bonuses, [0, 1, 1, 2**-0.5, 1, 3**-0.5, 2**-0.5])
    assert env.counts.tolist() == [1, 3, 2, 0, 0]
    np.testing.assert_allclose(obs["goal_counts"], [2**-0.5, 0.5, 3**-0.5, 1, 1])


def test_novelty_is_achieved_as_often_as_the_bonus_says():
    env = NoveltyWrapper(make_line(horizon=100_000), np.array([0, 8, 0, 0, 0]), training=False)
    env.reset(seed=0)
    infos = [env.step(number % 2 == 0)[-1] for number in range(8_000)]
    novelty = np.array([info["goals_achieved"][-1] for info in infos])
    assert novelty[1::2].all(), "goal 0 was never counted"
    assert abs(novelty[::2].mean() - 1 / 3) < 0.025
    assert env.counts.tolist() == [0, 8, 0, 0, 0]


def test_counts_are_shared():
    counts = np.zeros(5, dtype=np.int64)
    envs = [NoveltyWrapper(make_line(), counts) for _ in range(2)]
    for env in envs:
        env.reset(seed=0)
        env.step(1)
    assert counts.tolist() == [0, 2, 0, 0, 0]


def test_the_same_seed_gives_the_same_novelty():
    def masks(seed):
        env = NoveltyWrapper(make_line(horizon=1000))
        env.reset(seed=seed)
        return np.stack([env.step(number // 2 % 2)[-1]["goals_achieved"] for number in range(200)])

    np.testing.assert_array_equal(masks(1), masks(1))
    assert (masks(1) != masks(2)).any()


def test_contract():
    check_multigoal_env(NoveltyWrapper(make_line(), training=False), observation_determines_mask=False)


def test_an_agent_learns_and_is_evaluated_with_novelty():
    counts = np.zeros(5, dtype=np.int64)
    venv = VecGoalSampler(DummyVecEnv([lambda: NoveltyWrapper(make_line(), counts)] * 2), {"seen": 1, "novelty": 1}, seed=0)
    model = LEODQN("MultiGoalPolicy", venv, learning_starts=20, seed=0).learn(100)
    assert model.goal_names[-1] == "novelty" and counts.sum() > 20
    assert venv.goal_selector.attempts[-1] > 0
    before = counts.copy()
    report = evaluate_goals(model, NoveltyWrapper(make_line(), counts, training=False), episodes_per_goal=1, seed=0)
    assert len(report) == 6 and counts.tolist() == before.tolist()


def test_rendering_draws_the_other_goals_only():
    env = NoveltyWrapper(gym.make("leo/GridWorld-v0", map="S..", render_mode="ansi"))
    env.reset()
    for goal, text in ((1, "AG."), (3, "A..")):
        env.set_commanded_goal(goal)
        assert env.render() == text


def test_the_goal_set_without_novelty_is_hidden():
    env = NoveltyWrapper(make_line())
    assert not env.has_wrapper_attr("goal_set") and env.has_wrapper_attr("goal_names")
    with pytest.raises(AttributeError, match="goal_points"):
        env.get_wrapper_attr("goal_points")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: NoveltyWrapper(LineEnv()), ValueError, "wrap it with MultiGoalWrapper first"),
        (lambda: NoveltyWrapper(3), TypeError, "expected an environment"),
        (lambda: NoveltyWrapper(NoveltyWrapper(make_line())), ValueError, "novelty"),
        (lambda: NoveltyWrapper(make_line(), np.zeros(4, dtype=np.int64)), ValueError, "counts of 5 goals"),
        (lambda: NoveltyWrapper(make_line(), np.zeros(5)), ValueError, "an int64 array"),
        (lambda: NoveltyWrapper(make_line(), -np.ones(5, dtype=np.int64)), ValueError, "of at least 0"),
        (lambda: NoveltyWrapper(make_line(), training=1), TypeError, "training to be True or False"),
    ],
)
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()
