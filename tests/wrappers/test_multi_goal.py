import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from leo_wrappers import GoalConditionedWrapper, MultiGoalWrapper, PointGoals, PredicateGoals
from tests.line_env import LineEnv, LineGoalEnv, line_goals, make_line


def test_masks_are_of_the_state_after_the_step():
    env = make_line(length=3, trap=2)
    _, info = env.reset(seed=0)
    assert info["goals_achieved"].tolist() == [True, False, False]
    _, _, terminated, _, info = env.step(1)
    assert not terminated and info["goals_achieved"].tolist() == [False, True, False]
    _, reward, terminated, _, info = env.step(1)
    assert terminated and reward == -1.0 and info["goals_achieved"].tolist() == [False, False, True]
    assert info["steps"] == 2, "the environment's info is kept"


def test_every_mask_is_a_new_array():
    env = make_line()
    _, first = env.reset()
    _, _, _, _, second = env.step(1)
    assert not np.shares_memory(first["goals_achieved"], second["goals_achieved"])
    assert first["goals_achieved"].tolist() == [True, False, False, False, False]


def test_the_signal_of_goal_envs_is_the_achieved_goal():
    env = MultiGoalWrapper(LineGoalEnv(), line_goals())
    env.reset()
    obs, _, _, _, info = env.step(1)
    assert info["goals_achieved"].argmax() == 1 and obs["desired_goal"] == 3.0
    assert env.compute_reward(np.array([3.0]), np.array([3.0]), {}) == 0.0


def test_signal_function():
    env = LineEnv()
    wrapped = MultiGoalWrapper(env, PredicateGoals({"late": lambda steps: steps >= 2}), signal=lambda obs, info: env.steps)
    wrapped.reset()
    assert [bool(wrapped.step(0)[4]["goals_achieved"][0]) for _ in range(3)] == [False, True, True]


def test_other_attributes_are_not_forwarded():
    env = make_line()
    with pytest.raises(AttributeError, match="no attribute 'position'"):
        env.position  # noqa: B018
    assert not hasattr(env, "compute_reward")
    assert env.get_wrapper_attr("goal_names") == line_goals().names
    assert env.goal_points.tolist() == [[0], [1], [2], [3], [4]]


@pytest.mark.parametrize("make", [make_line, lambda: MultiGoalWrapper(LineGoalEnv(), line_goals())])
def test_env_checkers(make):
    check_env(make(), skip_render_check=True)
    sb3_check_env(make())


def test_errors_contain_the_step():
    class Breaking(LineEnv):
        def _obs(self):
            return np.array([np.nan if self.steps == 2 else self.position], dtype=np.float32)

        def reset(self, **kwargs):
            self.steps = 0
            return super().reset(**kwargs)

    env = MultiGoalWrapper(Breaking(), line_goals())
    env.reset()
    env.step(1)
    with pytest.raises(ValueError, match=r"NaN at index \[0\].*at step 2 of the episode"):
        env.step(1)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: MultiGoalWrapper(LineEnv(), PointGoals([[0, 0]], 1)),
            ValueError,
            r"signal of shape \(2,\), got observations",
        ),
        (lambda: MultiGoalWrapper(LineGoalEnv(), PointGoals([[0, 0]], 1)), ValueError, "got achieved_goal of shape"),
        (lambda: MultiGoalWrapper(GoalConditionedWrapper(make_line()), line_goals()), ValueError, "has 'goal_id'"),
        (lambda: MultiGoalWrapper(LineEnv(), ["a", "b"]), TypeError, "expected a GoalSet, got list"),
    ],
)
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_gymnasium_vector_environment():
    venv = gym.vector.SyncVectorEnv([make_line, make_line], autoreset_mode=gym.vector.AutoresetMode.SAME_STEP)
    _, infos = venv.reset()
    assert infos["goals_achieved"].dtype == np.bool_ and infos["goals_achieved"].shape == (2, 5)
