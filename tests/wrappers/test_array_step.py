"""Steps as arrays against the same steps through infos."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize

import leo_envs  # noqa: F401
from leo_wrappers import GoalConditionedWrapper
from leo_wrappers.sb3 import GymVecEnv, JaxVecEnv, VecGoalSampler, step_arrays
from leo_wrappers.sb3.array_step import LazyInfos
from tests.line_env import make_line
from tests.wanderer_env import Wanderer

N, STEPS = 4, 40


def lines():
    return DummyVecEnv([lambda: make_line(start=None, trap=4, horizon=6)] * N)


def sync_lines():
    makers = [lambda: make_line(start=None, trap=4, horizon=6)] * N
    return GymVecEnv(SyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP))


ENVIRONMENTS = {
    "dummy": lines,
    "sync": sync_lines,
    "grid": lambda: GymVecEnv(gym.make_vec("leo/GridWorld-v0", num_envs=N, time_limit=5, autoreset_mode="SameStep")),
    "jax": lambda: JaxVecEnv(Wanderer(), N),
    "switch": lambda: VecGoalSampler(sync_lines(), "uniform"),
    "terminate": lambda: VecGoalSampler(sync_lines(), "uniform", on_success="terminate"),
    "continue": lambda: VecGoalSampler(JaxVecEnv(Wanderer(), N), "uniform", on_success="continue"),
    "terminate in the grid": lambda: VecGoalSampler(
        GymVecEnv(gym.make_vec("leo/GridWorld-v0", num_envs=N, map="S..", time_limit=5, autoreset_mode="SameStep")),
        on_success="terminate",
    ),
    "sampler of dummies": lambda: VecGoalSampler(lines(), on_success="terminate"),
    "monitor": lambda: VecMonitor(VecGoalSampler(sync_lines())),
    "normalised": lambda: VecNormalize(VecGoalSampler(sync_lines()), norm_obs_keys=["observation"], norm_reward=False),
    "goal-conditioned": lambda: DummyVecEnv(
        [lambda: GoalConditionedWrapper(make_line(start=None, trap=4, horizon=6), goal_selector="uniform")] * N
    ),
}


def assert_same(first, second):
    assert type(first) is type(second) or isinstance(first, np.generic | np.ndarray), (first, second)
    if isinstance(first, dict):
        assert set(first) == set(second)
        for key in first:
            assert_same(first[key], second[key])
    else:
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("kind", ENVIRONMENTS)
def test_steps_as_arrays_are_those_of_the_infos(kind):
    by_arrays, by_infos = ENVIRONMENTS[kind](), ENVIRONMENTS[kind]()
    for venv in (by_arrays, by_infos):
        venv.seed(3)
    assert_same(by_arrays.reset(), by_infos.reset())
    rng = np.random.default_rng(0)
    ends = {"terminated": 0, "truncated": 0, "ended_by_goal": 0}
    for _ in range(STEPS):
        actions = rng.integers(by_infos.action_space.n, size=N)
        step = step_arrays(by_arrays, actions)
        obs, rewards, dones, infos = by_infos.step(actions)
        assert_same(step.obs, obs)
        assert_same(step.rewards, rewards)
        assert_same(step.dones, dones)
        assert step.rewards.dtype == np.float32 and step.terminated.dtype == step.dones.dtype == np.bool_
        assert_same(step.goals_achieved, np.stack([info["goals_achieved"] for info in infos]))
        assert len(step.infos) == N
        for row, info in enumerate(infos):
            got = {key: value for key, value in step.infos[row].items() if key != "episode"}
            assert_same(got, {key: value for key, value in info.items() if key != "episode"})
            by_goal, cut = info.get("ended_by_goal", False), info.get("TimeLimit.truncated", False)
            assert step.terminated[row] == (dones[row] and not by_goal and not cut)
            ends["terminated"] += int(step.terminated[row])
            ends["ended_by_goal"] += int(by_goal)
            ends["truncated"] += int(cut)
        if dones.any():
            last = [infos[row]["terminal_observation"] for row in np.flatnonzero(dones)]
            for number, one in enumerate(last):
                final = step.final_obs
                assert_same({k: v[number] for k, v in final.items()} if isinstance(one, dict) else final[number], one)
        else:
            assert step.final_obs is None
    assert ends["truncated"] or kind == "goal-conditioned"
    assert ends["terminated"] or "grid" in kind or kind == "goal-conditioned"
    assert bool(ends["ended_by_goal"]) == ("terminate" in kind or "of dummies" in kind or kind == "goal-conditioned")


def test_nothing_that_was_handed_out_changes_later():
    venv = VecGoalSampler(GymVecEnv(gym.make_vec("leo/GridWorld-v0", num_envs=N, time_limit=3, autoreset_mode="SameStep")))
    venv.reset()
    kept = []
    for number in range(8):
        step = step_arrays(venv, np.full(N, number % 4))
        kept.append((step, step.goals_achieved.copy(), {key: value.copy() for key, value in step.obs.items()}))
    for step, masks, obs in kept:
        np.testing.assert_array_equal(step.goals_achieved, masks)
        assert_same(step.obs, obs)


def test_a_wrapper_in_between_is_not_left_out():
    venv = VecNormalize(VecGoalSampler(sync_lines()), norm_obs_keys=["observation"], norm_reward=False)
    venv.reset()
    for _ in range(5):
        step = step_arrays(venv, np.ones(N, dtype=int))
    assert venv.obs_rms["observation"].count > 5
    assert step.obs["observation"].max() < 4


def test_infos_are_made_once_and_only_on_request():
    made = []
    infos = LazyInfos(3, lambda row: made.append(row) or {"row": row})
    assert len(infos) == 3 and made == []
    infos[1]["note"] = "kept"
    assert infos[1] == {"row": 1, "note": "kept"} == infos[-2] and made == [1]
    assert [info["row"] for info in infos] == [0, 1, 2]
    assert [info["row"] for info in infos[1:]] == [1, 2] and len(made) == 3
    with pytest.raises(IndexError):
        infos[3]
