import csv

import numpy as np
import pytest
import torch as th
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.callbacks import BaseCallback, StopTrainingOnRewardThreshold
from stable_baselines3.common.logger import KVWriter, Logger
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize

from leo_agents import LEODQN
from leo_agents.evaluation.callbacks import GoalEvalCallback
from leo_agents.evaluation.curves import CURVE_COLUMNS, read_curve
from leo_wrappers import GoalConditionedWrapper
from leo_wrappers.sb3 import VecGoalSampler
from tests.line_env import LineEnv, make_line


def small_model(env=None, **kwargs):
    settings = {"learning_starts": 20, "batch_size": 16, "buffer_size": 1000, "seed": 0, "policy_kwargs": {"net_arch": [16]}}
    return LEODQN("MultiGoalPolicy", make_line() if env is None else env, **{**settings, **kwargs})


class DumpRecorder(KVWriter):
    """Logger output that keeps one dictionary per dump."""

    def __init__(self):
        self.dumps = {}

    def write(self, key_values, key_excluded, step=0):
        self.dumps.setdefault(step, {}).update(key_values)

    def close(self):
        pass


def logged(model):
    records = DumpRecorder()
    model.set_logger(Logger(folder=None, output_formats=[records]))
    return records.dumps


class CallRecorder(BaseCallback):
    def __init__(self):
        super().__init__()
        self.calls = []

    def _on_step(self):
        self.calls.append((self.num_timesteps, self.parent.last_report.mean_success))
        return True


def table_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def weights(model):
    return th.cat([parameter.detach().reshape(-1) for parameter in model.policy.parameters()])


@pytest.mark.parametrize("n_envs", [1, 2])
def test_training_with_and_without_evaluation_is_bitwise_equal(n_envs, monkeypatch):
    plain = small_model(DummyVecEnv([make_line] * n_envs)).learn(300)
    evaluated = small_model(DummyVecEnv([make_line] * n_envs))
    eval_env = make_line(start=None)
    monkeypatch.setattr(eval_env, "step", _with_global_draws(eval_env.step))
    callback = GoalEvalCallback(eval_env, eval_freq=20, episodes_per_goal=2, deterministic=False, verbose=0)
    evaluated.learn(300, callback)
    assert callback.last_report.attempts.sum() > 0
    assert th.equal(weights(plain), weights(evaluated))
    before, after = plain.goal_sampler.goal_selector.state_dict(), evaluated.goal_sampler.goal_selector.state_dict()
    assert str(before) == str(after)


def _with_global_draws(step):
    """Draw from the global generators at every step, as some third-party environments do."""

    def noisy(action):
        np.random.random()
        th.rand(1)
        return step(action)

    return noisy


def test_log_table_and_best_model(tmp_path, capsys):
    path, new_best, after = tmp_path / "folder" / "curve.csv", CallRecorder(), CallRecorder()
    model = small_model()
    dumps = logged(model)
    callback = GoalEvalCallback(
        make_line(),
        eval_freq=250,
        episodes_per_goal=2,
        goals=["at/0", "at/3", 1],
        csv_path=path,
        best_model_save_path=tmp_path / "best",
        callback_on_new_best=new_best,
        callback_after_eval=after,
    )
    model.learn(1000, callback)
    report = callback.last_report
    assert report.goal_names == ("at/0", "at/3", "at/1") and report.already_true.tolist() == [2, 0, 0]
    assert [calls for calls, _ in after.calls] == [250, 500, 750, 1000]
    rates = [rate for _, rate in after.calls]
    assert [rate for _, rate in new_best.calls] == sorted(set(np.maximum.accumulate(rates))), "once per new best"
    assert callback.best_mean_reward == max(rates) and callback.last_mean_reward == rates[-1]

    last = dumps[1000]
    assert last["eval/goal_success_mean"] == report.mean_success and last["eval/goal_success_worst"] == report.worst_decile
    assert last["eval/goals_learned"] == report.num_learned() and last["time/total_timesteps"] == 1000

    rows = table_of(path)
    assert tuple(rows[0]) == CURVE_COLUMNS and len(rows) == 4 * 3
    assert [row["goal"] for row in rows[-3:]] == ["at/0", "at/3", "at/1"] and rows[-1]["goal_id"] == "1"
    assert [int(row["successes"]) for row in rows[-3:]] == report.successes.tolist()
    assert rows[-3]["mean_steps"] == "" and rows[-3]["family"] == "at"
    assert read_curve(path).mean.tolist() == pytest.approx(rates)

    best = LEODQN.load(tmp_path / "best" / "best_model")
    assert best.num_timesteps == new_best.calls[-1][0]
    assert capsys.readouterr().out.count("Evaluation at") == 4


def test_resumed_training_continues_the_csv_file(tmp_path):
    """A training is resumed at step 150 although the file already has rows up to 300."""
    path = tmp_path / "curve.csv"

    def evaluating():
        return GoalEvalCallback(make_line(), eval_freq=100, csv_path=path, verbose=0)

    model = small_model().learn(300, evaluating())
    whole = path.read_text()
    with open(path, "a") as file:
        file.write("400,0")  # an incomplete row
    model.num_timesteps = 150
    model.learn(200, evaluating(), reset_num_timesteps=False)
    assert read_curve(path).timesteps.tolist() == [100, 200, 300], "same evaluation steps as without interruption"
    assert len(path.read_text().splitlines()) == len(whole.splitlines()) and path.read_text().startswith(
        whole[: whole.index("200,")]
    )
    model.learn(100, evaluating())
    assert read_curve(path).timesteps.tolist() == [100], "a training from step 0 overwrites the file"


def test_resumed_training_keeps_the_best_model(tmp_path):
    path = tmp_path / "curve.csv"
    model = small_model()
    model.learn(100, GoalEvalCallback(make_line(), eval_freq=100, csv_path=path, verbose=0))
    perfect = path.read_text().replace(",1,0,0,", ",1,1,0,")
    path.write_text(perfect)
    callback = GoalEvalCallback(make_line(horizon=1), eval_freq=100, csv_path=path, verbose=0)
    callback.best_model_save_path = tmp_path / "best"
    model.learn(100, callback, reset_num_timesteps=False)
    assert callback.best_mean_reward == 1.0 and not (tmp_path / "best" / "best_model.zip").exists()


def test_foreign_csv_file_is_left_unchanged(tmp_path):
    path = tmp_path / "curve.csv"
    path.write_text("a,b\n1,2\n")
    model = small_model().learn(10)
    with pytest.raises(ValueError, match="table of evaluations"):
        model.learn(10, GoalEvalCallback(make_line(), csv_path=path), reset_num_timesteps=False)
    assert path.read_text() == "a,b\n1,2\n"


def test_eval_freq_counts_calls():
    after = CallRecorder()
    callback = GoalEvalCallback(make_line(), eval_freq=50, callback_after_eval=after, verbose=0)
    small_model(DummyVecEnv([make_line] * 4)).learn(400, callback)
    assert [steps for steps, _ in after.calls] == [200, 400]


def test_training_can_stop_on_success():
    class ExactLEODQN(LEODQN):
        """Walks straight to the goal."""

        def predict(self, observation, state=None, episode_start=None, deterministic=False):
            return (observation["observation"][:, 0] < observation["goal_id"]).astype(int), state

    model = ExactLEODQN("MultiGoalPolicy", make_line(), learning_starts=1000, buffer_size=1000, seed=0)
    stop = StopTrainingOnRewardThreshold(reward_threshold=0.9)
    model.learn(500, GoalEvalCallback(make_line(), eval_freq=50, callback_on_new_best=stop, verbose=0))
    assert model.num_timesteps == 50


def normalized(**kwargs):
    return VecNormalize(VecGoalSampler(DummyVecEnv([make_line])), norm_obs_keys=["observation"], norm_reward=False, **kwargs)


def test_normalization_statistics_are_synchronized():
    model = small_model(normalized())
    eval_env = normalized(training=False)
    model.learn(100, GoalEvalCallback(eval_env, eval_freq=100, verbose=0))
    statistics = model.get_vec_normalize_env().obs_rms["observation"]
    assert statistics.count > 50 and eval_env.obs_rms["observation"].count == statistics.count
    assert np.array_equal(eval_env.obs_rms["observation"].mean, statistics.mean)


def test_stable_baselines3_algorithm():
    env, eval_env = (GoalConditionedWrapper(make_line(), seed=0) for _ in range(2))
    callback = GoalEvalCallback(eval_env, eval_freq=32, verbose=0)
    PPO("MultiInputPolicy", env, n_steps=32, batch_size=32, n_epochs=1, seed=0).learn(32, callback)
    assert callback.last_report.attempts.tolist() == [0, 1, 1, 1, 1]


class TestInvalidInput:
    """Errors are raised before training starts."""

    @pytest.mark.parametrize("argument", [{"eval_freq": 0}, {"episodes_per_goal": 0}])
    def test_counts(self, argument):
        with pytest.raises(ValueError, match="at least 1"):
            GoalEvalCallback(make_line(), **argument)

    def test_training_environments(self):
        model = small_model()
        with pytest.raises(ValueError, match="separate environments"):
            model.learn(10, GoalEvalCallback(model.get_env()))

    def test_model_without_goals(self):
        with pytest.raises(ValueError, match="observes 'goal_id'"):
            DQN("MlpPolicy", LineEnv(), buffer_size=10).learn(10, GoalEvalCallback(make_line()))

    def test_unknown_goals(self):
        with pytest.raises(ValueError, match="nearest"):
            small_model().learn(10, GoalEvalCallback(make_line(), goals=["at/11"]))

    @pytest.mark.parametrize("eval_env", [make_line, lambda: VecMonitor(normalized())])
    def test_differently_wrapped_environments(self, eval_env):
        with pytest.raises(ValueError, match=r"like those of the training, VecNormalize\(VecGoalSampler\(DummyVecEnv\)\)"):
            small_model(normalized()).learn(10, GoalEvalCallback(eval_env()))
