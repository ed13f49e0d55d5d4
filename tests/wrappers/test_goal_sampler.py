import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecMonitor, VecNormalize

from leo_wrappers import GoalConditionedWrapper, achieved_from_infos
from leo_wrappers.sb3 import GymVecEnv, VecGoalSampler
from tests.line_env import LineEnv, LineGoalEnv, MultiGoalWrapper, line_goals, make_line


def dummy(n_envs=2, **kwargs):
    return DummyVecEnv([lambda: make_line(**kwargs)] * n_envs)


def gym_vector(n_envs=2, **kwargs):
    return GymVecEnv(SyncVectorEnv([lambda: make_line(**kwargs)] * n_envs, autoreset_mode=AutoresetMode.SAME_STEP))


def subproc(n_envs=2, **kwargs):
    return SubprocVecEnv([lambda: make_line(**kwargs)] * n_envs, start_method="forkserver")


ANY_VEC_ENV = pytest.mark.parametrize("make", [dummy, gym_vector, subproc])


def in_order(*goals):
    """Return a selector function that commands these goals one after the other."""
    queue = iter(goals)
    return lambda selector, count: [next(queue) for _ in range(count)]


@ANY_VEC_ENV
def test_switch_replaces_the_goal_in_place(make):
    venv = VecGoalSampler(make(), goal_selector=in_order(1, 4, 3))
    assert venv.reset()["goal_id"].tolist() == [1, 4]
    obs, rewards, dones, infos = venv.step(np.array([1, 1]))
    assert rewards.tolist() == [1.0, 0.0] and not dones.any()
    assert obs["goal_id"].tolist() == [3, 4] and obs["observation"].tolist() == [[1.0], [1.0]], "no reset took place"
    assert infos[0]["terminal_observation"]["goal_id"] == 1 and infos[0]["terminal_observation"]["observation"].tolist() == [
        1.0
    ]
    assert "terminal_observation" not in infos[1]
    assert [info["goal_id"] for info in infos] == [1, 4] and [info["is_success"] for info in infos] == [True, False]
    venv.close()


@ANY_VEC_ENV
def test_terminal_masks_and_goals_belong_to_the_episode_that_ended(make):
    venv = VecGoalSampler(make(horizon=2), goal_selector=in_order(4, 2, 1, 3, 2))
    venv.reset()
    venv.step(np.array([1, 1]))
    obs, rewards, dones, infos = venv.step(np.array([1, 1]))
    assert dones.all() and rewards.tolist() == [0.0, 1.0]
    assert achieved_from_infos(infos, 2).argmax(axis=-1).tolist() == [2, 2]
    assert [info["terminal_observation"]["goal_id"] for info in infos] == [4, 2]
    assert [info["terminal_observation"]["observation"].tolist() for info in infos] == [[2.0], [2.0]]
    assert [info["TimeLimit.truncated"] for info in infos] == [True, True]
    assert obs["goal_id"].tolist() == [1, 3] and obs["observation"].tolist() == [[0.0], [0.0]]
    assert venv.goal_selector.attempts.tolist() == [0, 0, 1, 0, 1] and venv.goal_selector.successes.tolist() == [0, 0, 1, 0, 0]
    assert [info["is_success"] for info in infos] == [False, True]
    _, _, _, infos = venv.step(np.array([1, 1]))
    assert [info["is_success"] for info in infos] == [True, False], "success is reset"
    venv.close()


def test_terminate_reports_done_without_a_reset():
    venv = VecGoalSampler(dummy(), goal_selector=in_order(1, 4, 3), on_success="terminate")
    venv.reset()
    obs, _, dones, infos = venv.step(np.array([1, 1]))
    assert dones.tolist() == [True, False] and not infos[0]["TimeLimit.truncated"]
    assert infos[0]["ended_by_goal"] and "ended_by_goal" not in infos[1]
    assert infos[0]["terminal_observation"]["goal_id"] == 1
    assert obs["observation"].tolist() == [[1.0], [1.0]] and obs["goal_id"].tolist() == [3, 4]
    _, _, _, infos = venv.step(np.array([1, 1]))
    assert not infos[0]["is_success"], "success belongs to the goal commanded since the last done"


def test_success_on_the_step_of_a_time_out_is_not_truncated():
    venv = VecGoalSampler(dummy(1, horizon=1), goal_selector="at/1", on_success="terminate")
    venv.reset()
    _, rewards, dones, infos = venv.step(np.array([1]))
    assert dones[0] and rewards[0] == 1.0 and infos[0]["TimeLimit.truncated"] is False and infos[0]["ended_by_goal"]


def test_continue_keeps_the_goal():
    venv = VecGoalSampler(dummy(1), goal_selector="at/1", on_success="continue")
    venv.reset()
    obs, rewards, _, infos = venv.step(np.array([1]))
    assert obs["goal_id"].tolist() == [1] and rewards[0] == 1.0 and "terminal_observation" not in infos[0]


@ANY_VEC_ENV
def test_seen_is_shared_and_exact(make):
    venv = VecGoalSampler(make(2, horizon=3, start=1), seed=0)
    venv.reset()
    assert venv.seen.tolist() == [False, True, False, False, False]
    venv.step(np.array([0, 1]))
    assert venv.seen.tolist() == [True, True, True, False, False]
    venv.step(np.array([0, 1]))
    venv.step(np.array([0, 1]))
    assert venv.seen.all(), "the terminal state counts"
    venv.close()


def test_seen_includes_reset_states():
    venv = VecGoalSampler(dummy(1, start=None, horizon=1, length=50), goal_selector="uniform", seed=0)
    venv.seed(0)
    venv.reset()
    positions = set()
    for _ in range(20):
        obs, _, _, infos = venv.step(np.array([1]))
        positions |= {int(obs["observation"][0, 0]), int(infos[0]["goals_achieved"].argmax())}
    assert positions <= set(venv.seen.nonzero()[0].tolist()) and len(positions) > 10


def test_the_same_seed_commands_the_same_goals():
    def goals(seed):
        venv = VecGoalSampler(dummy(3, start=None), seed=99)
        venv.seed(seed)
        venv.reset()
        rng = np.random.default_rng(0)
        return np.stack([venv.step(rng.integers(2, size=3))[0]["goal_id"] for _ in range(60)])

    np.testing.assert_array_equal(goals(1), goals(1))
    assert (goals(1) != goals(2)).any()


def test_statistics_are_saved_and_loaded(tmp_path):
    venv = VecGoalSampler(dummy(), goal_selector="least_achieved", on_success="terminate", seed=4)
    venv.reset()
    for _ in range(30):
        venv.step(np.array([1, 0]))
    venv.save(tmp_path / "sampler.pkl")
    copy = VecGoalSampler.load(tmp_path / "sampler.pkl", dummy())
    assert copy.on_success == "terminate"
    np.testing.assert_array_equal(copy.goal_selector.attempts, venv.goal_selector.attempts)
    nothing = np.zeros((40, 5), dtype=bool)
    np.testing.assert_array_equal(copy.goal_selector.select(nothing), venv.goal_selector.select(nothing))
    with pytest.raises(ValueError, match="this selector was made for"):
        VecGoalSampler.load(tmp_path / "sampler.pkl", dummy(length=7))


def test_set_goal_for_some_environments():
    venv = VecGoalSampler(dummy(), goal_selector="at/4")
    venv.reset()
    venv.set_goal("at/1", indices=1)
    assert venv.goals.tolist() == [4, 1]
    assert venv.step(np.array([1, 1]))[1].tolist() == [0.0, 1.0]


def test_set_commanded_goal_is_called_only_for_rendering():
    plain, rendering = dummy(1), dummy(1, render_mode="rgb_array")
    VecGoalSampler(plain, goal_selector="at/2").reset()
    VecGoalSampler(rendering, goal_selector="at/2").reset()
    assert plain.envs[0].unwrapped.commanded == [] and rendering.envs[0].unwrapped.commanded == [2]


def test_desired_goal_is_the_commanded_point():
    venv = VecGoalSampler(
        DummyVecEnv([lambda: MultiGoalWrapper(LineGoalEnv(), line_goals())] * 2), goal_selector=in_order(1, 2, 4)
    )
    np.testing.assert_array_equal(venv.reset()["desired_goal"], [[1], [2]])
    obs, _, _, infos = venv.step(np.array([1, 1]))
    np.testing.assert_array_equal(obs["desired_goal"], [[4], [2]])
    assert infos[0]["terminal_observation"]["desired_goal"].tolist() == [1.0]


def test_vec_normalize_and_vec_monitor_around_it():
    venv = VecNormalize(VecMonitor(VecGoalSampler(dummy(horizon=3))), norm_obs_keys=["observation"], norm_reward=False)
    venv.reset()
    for _ in range(4):
        obs, _, _, infos = venv.step(np.array([1, 1]))
    assert set(obs) == {"observation", "goal_id"}
    assert "goals_achieved" in infos[0]


@pytest.mark.parametrize("algorithm", [DQN, PPO])
def test_sb3_algorithms_train_on_it(algorithm):
    venv = VecGoalSampler(make_vec_env(make_line, n_envs=2), on_success="terminate", seed=0)
    kwargs = {"learning_starts": 20} if algorithm is DQN else {"n_steps": 16, "batch_size": 16}
    model = algorithm("MultiInputPolicy", venv, seed=0, **kwargs).learn(64)
    single = Monitor(GoalConditionedWrapper(make_line(), goal="at/2"))
    assert np.isfinite(evaluate_policy(model, single, n_eval_episodes=2)[0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VecGoalSampler(VecNormalize(dummy())), "wrap the other way round"),
        (lambda: VecGoalSampler(VecMonitor(VecNormalize(dummy()))), "wrap the other way round"),
        (lambda: VecGoalSampler(DummyVecEnv([LineEnv])), "wrap each with MultiGoalWrapper"),
        (lambda: VecGoalSampler(VecGoalSampler(dummy())), "has it already"),
        (lambda: VecGoalSampler(DummyVecEnv([lambda: GoalConditionedWrapper(make_line())])), "has it already"),
        (lambda: VecGoalSampler(dummy(), on_success="stop"), "on_success to be one of"),
        (lambda: VecGoalSampler(dummy(), goal_selector="nowhere"), "got 'nowhere'"),
        (lambda: VecGoalSampler(dummy()).set_goal(7), "got 7"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_every_environment_must_have_the_same_goals():
    other = MultiGoalWrapper(LineEnv(), line_goals().subset([1, 0, 2, 3, 4]))
    with pytest.raises(ValueError, match="environment 1 that differs from 0"):
        VecGoalSampler(DummyVecEnv([make_line, lambda: other]))


def test_commanding_restores_the_selector_and_its_statistics():
    venv = VecGoalSampler(dummy(), goal_selector="least_achieved", on_success="terminate", seed=0)
    venv.reset()
    venv.step(np.array([1, 1]))
    before, goals = venv.goal_selector.state_dict(), venv.goals
    with pytest.raises(RuntimeError, match="stop"), venv.commanding("at/1"):
        assert venv.on_success == "continue" and venv.reset()["goal_id"].tolist() == [1, 1]
        _, rewards, dones, _ = venv.step(np.array([1, 1]))
        assert rewards.tolist() == [1.0, 1.0] and not dones.any() and venv.goals.tolist() == [1, 1]
        raise RuntimeError("stop")
    assert str(venv.goal_selector.state_dict()) == str(before)
    assert venv.on_success == "terminate" and venv.goals.tolist() == goals.tolist()
