import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import RecordEpisodeStatistics
from stable_baselines3.common.vec_env import DummyVecEnv

from leo_wrappers import achieved_from_infos
from leo_wrappers.sb3 import GymVecEnv, VecGoalSampler
from tests.line_env import LineEnv, make_line


def make_venv(envs):
    return GymVecEnv(SyncVectorEnv(envs, autoreset_mode=AutoresetMode.SAME_STEP))


@pytest.mark.parametrize("wrap", [lambda env: env, RecordEpisodeStatistics], ids=["plain", "with extra infos"])
def test_steps_equal_dummy_vec_env(wrap):
    envs = [lambda: wrap(make_line(start=None, trap=3, horizon=4)) for _ in range(3)]
    ours, theirs = make_venv(envs), DummyVecEnv(envs)
    for venv in (ours, theirs):
        venv.seed(7)
    np.testing.assert_array_equal(ours.reset(), theirs.reset())
    rng = np.random.default_rng(0)
    num_episodes = 0
    for _ in range(40):
        actions = rng.integers(2, size=3)
        result, expected = ours.step(actions), theirs.step(actions)
        for a, b in zip(result[:3], expected[:3], strict=True):
            np.testing.assert_array_equal(a, b)
            assert a.dtype == b.dtype
        num_episodes += result[2].sum()
        for a, b in zip(result[3] + ours.reset_infos, expected[3] + theirs.reset_infos, strict=True):
            assert set(a) == set(b)
            np.testing.assert_array_equal(a["goals_achieved"], b["goals_achieved"])
            for key in {"terminal_observation", "TimeLimit.truncated", "steps"} & set(a):
                np.testing.assert_array_equal(a[key], b[key])
    assert num_episodes > 10


def test_attributes_and_methods_of_the_environments():
    venv = make_venv([make_line] * 2)
    assert venv.get_attr("goal_names")[1] == venv.get_attr("goal_names", 0)[0]
    assert venv.has_attr("set_commanded_goal") and not venv.has_attr("nothing")
    venv.env_method("set_commanded_goal", 3, indices=1)
    assert venv.get_attr("commanded") == [[], [3]]
    assert venv.env_is_wrapped(DummyVecEnv) == [False, False]
    with pytest.raises(AttributeError):
        venv.get_attr("nothing")
    with pytest.raises(ValueError, match="indices=None"):
        venv.set_attr("x", 1, indices=0)


@pytest.mark.filterwarnings("ignore:.*ERROR")
def test_asynchronous_environments():
    venv = GymVecEnv(AsyncVectorEnv([make_line] * 2, context="forkserver", autoreset_mode=AutoresetMode.SAME_STEP))
    try:
        assert venv.get_attr("goal_names", 1) == [make_line().get_wrapper_attr("goal_names")]
        assert venv.has_attr("set_commanded_goal") and not venv.has_attr("nothing")
        venv.env_method("set_commanded_goal", 3, indices=1)
        assert venv.get_attr("commanded") == [[], [3]]
        obs = VecGoalSampler(venv, seed=0).reset()
        assert obs["goal_id"].shape == (2,)
        with pytest.raises(TypeError):
            venv.env_method("set_commanded_goal", indices=1)
    finally:
        venv.close()


def test_environments_without_goals():
    venv = make_venv([LineEnv] * 2)
    venv.reset()
    infos = venv.step(np.array([1, 1]))[3]
    assert infos[0]["steps"] == 1
    with pytest.raises(ValueError, match="wrap the environment with MultiGoalWrapper"):
        achieved_from_infos(infos, 2)
    with pytest.raises(ValueError, match="wrap the environments with MultiGoalWrapper"):
        venv.step_arrays(np.array([1, 1]))


def test_all_environments_get_the_same_options():
    venv = make_venv([make_line] * 2)
    venv.set_options({"x": 1})
    venv.reset()
    assert venv.get_attr("options")[0] == {"x": 1}
    venv.set_options([{"x": 1}, {"x": 2}])
    with pytest.raises(ValueError, match="same reset options"):
        venv.reset()


def test_autoreset_mode_must_be_same_step():
    with pytest.raises(ValueError, match=r"SAME_STEP, got .*NEXT_STEP; make it with"):
        GymVecEnv(SyncVectorEnv([make_line]))
