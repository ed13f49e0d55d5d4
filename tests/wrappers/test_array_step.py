"""Steps as arrays must equal the same steps through infos."""

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize

import leo_envs  # noqa: F401
from leo_wrappers import GoalConditionedWrapper
from leo_wrappers.jax_envs import JaxVectorEnv
from leo_wrappers.programs import ProgramVectorWrapper, ProgramWrapper
from leo_wrappers.sb3 import GymVecEnv, JaxVecEnv, VecGoalSampler, step_arrays, step_tensors
from leo_wrappers.sb3.array_step import LazyInfos, has_tensors, observations_on_host
from tests.devices import DEVICES
from tests.line_env import make_line
from tests.wanderer_env import Wanderer

N, STEPS = 4, 40


def line():
    return make_line(start=None, trap=4, horizon=6)


def lines():
    return DummyVecEnv([line] * N)


def sync_lines():
    return GymVecEnv(SyncVectorEnv([line] * N, autoreset_mode=AutoresetMode.SAME_STEP))


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
    "programs": lambda: GymVecEnv(
        ProgramVectorWrapper(SyncVectorEnv([line] * N, autoreset_mode=AutoresetMode.DISABLED), "at/2 then at/1 avoiding at/3")
    ),
    "single programs": lambda: GymVecEnv(
        SyncVectorEnv([lambda: ProgramWrapper(line(), "at/2 then at/1")] * N, autoreset_mode=AutoresetMode.SAME_STEP)
    ),
    "sampler of dummies": lambda: VecGoalSampler(lines(), on_success="terminate"),
    "monitor": lambda: VecMonitor(VecGoalSampler(sync_lines())),
    "normalized": lambda: VecNormalize(VecGoalSampler(sync_lines()), norm_obs_keys=["observation"], norm_reward=False),
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
def test_array_steps_equal_list_steps(kind):
    by_arrays, by_infos = ENVIRONMENTS[kind](), ENVIRONMENTS[kind]()
    for venv in (by_arrays, by_infos):
        venv.seed(3)
    assert_same(by_arrays.reset(), by_infos.reset())
    rng = np.random.default_rng(0)
    counts = {"terminated": 0, "truncated": 0, "ended_by_goal": 0}
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
            by_goal, truncated = info.get("ended_by_goal", False), info.get("TimeLimit.truncated", False)
            assert step.terminated[row] == (dones[row] and not by_goal and not truncated)
            counts["terminated"] += int(step.terminated[row])
            counts["ended_by_goal"] += int(by_goal)
            counts["truncated"] += int(truncated)
        if dones.any():
            for number, row in enumerate(np.flatnonzero(dones)):
                expected, final = infos[row]["terminal_observation"], step.final_obs
                got = {key: value[number] for key, value in final.items()} if isinstance(final, dict) else final[number]
                assert_same(got, expected)
        else:
            assert step.final_obs is None
    assert counts["truncated"] or kind == "goal-conditioned"
    assert counts["terminated"] or "grid" in kind or kind == "goal-conditioned"
    commanding = ("terminate", "of dummies", "goal-conditioned", "programs")
    assert bool(counts["ended_by_goal"]) == any(words in kind for words in commanding)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", [*ENVIRONMENTS, "jax switch", "jax terminate"])
def test_tensor_steps_equal_array_steps(kind, device):
    makers = ENVIRONMENTS | {
        f"jax {mode}": lambda mode=mode: VecGoalSampler(JaxVecEnv(Wanderer(), N), on_success=mode)
        for mode in ("switch", "terminate")
    }
    by_tensors, by_arrays = makers[kind](), makers[kind]()
    for venv in (by_tensors, by_arrays):
        venv.seed(3)
        venv.reset()
    actions = np.random.default_rng(0).integers(by_arrays.action_space.n, size=(STEPS, N))
    for row in actions:
        step, expected = step_tensors(by_tensors, th.as_tensor(row, device=device)), step_arrays(by_arrays, row)
        assert has_tensors(step.obs) == isinstance(by_arrays.unwrapped, JaxVecEnv)
        assert_same(observations_on_host(step.obs), expected.obs)
        assert_same(observations_on_host(step.final_obs), expected.final_obs)
        for name in ("rewards", "dones", "terminated", "goals_achieved"):
            assert_same(getattr(step, name), getattr(expected, name))
            assert getattr(step, name).dtype == getattr(expected, name).dtype
        for info, expected_info in zip(step.infos, expected.infos, strict=True):
            assert_same(
                {key: value for key, value in info.items() if key != "episode"},
                {key: value for key, value in expected_info.items() if key != "episode"},
            )
        if step.is_success is not None and "sampler" in type(by_arrays).__name__.lower():
            assert step.is_success.tolist() == [info["is_success"] for info in expected.infos]
    if isinstance(by_arrays, VecGoalSampler):
        first, second = by_tensors.goal_selector.state_dict(), by_arrays.goal_selector.state_dict()
        for name in ("seen", "attempts", "successes"):
            assert_same(first[name], second[name])
        assert first["rng"] == second["rng"] and first["attempts"].any()


def test_tensor_steps_of_infos_are_created_on_access_only():
    """Infos, which need a transfer of terminal observations, are not made by the step itself."""
    venv = VecGoalSampler(JaxVecEnv(Wanderer(), N), on_success="continue")
    venv.reset()
    ended = 0
    for _ in range(STEPS):
        step = step_tensors(venv, th.zeros(N, dtype=th.int64))
        assert step.infos._all is None and not step.infos._single
        ended += int(step.dones.sum())
        assert all("terminal_observation" in step.infos[row] for row in np.flatnonzero(step.dones))
    assert ended


def test_tensor_steps_check_their_arguments():
    venv = VecGoalSampler(JaxVecEnv(Wanderer(), N))
    venv.reset()
    with pytest.raises(TypeError, match="expected actions to be a Tensor"):
        step_tensors(venv, np.zeros(N, dtype=int))
    with pytest.raises(ValueError, match="expected 4 actions"):
        step_tensors(venv, th.zeros(3, dtype=th.int64))
    next_step = JaxVectorEnv(Wanderer(), N)
    next_step.reset(seed=0)
    with pytest.raises(ValueError, match="expected autoreset_mode SAME_STEP"):
        next_step.step_tensors(th.zeros(N, dtype=th.int64))


def test_later_steps_do_not_change_returned_arrays():
    venv = VecGoalSampler(GymVecEnv(gym.make_vec("leo/GridWorld-v0", num_envs=N, time_limit=3, autoreset_mode="SameStep")))
    venv.reset()
    steps = []
    for number in range(8):
        step = step_arrays(venv, np.full(N, number % 4))
        steps.append((step, step.goals_achieved.copy(), {key: value.copy() for key, value in step.obs.items()}))
    for step, masks, obs in steps:
        np.testing.assert_array_equal(step.goals_achieved, masks)
        assert_same(step.obs, obs)


def test_wrappers_without_step_arrays_are_not_bypassed():
    venv = VecNormalize(VecGoalSampler(sync_lines()), norm_obs_keys=["observation"], norm_reward=False)
    venv.reset()
    for _ in range(5):
        step = step_arrays(venv, np.ones(N, dtype=int))
    assert venv.obs_rms["observation"].count > 5
    assert step.obs["observation"].max() < 4


def test_infos_are_created_on_first_access_and_kept():
    created = []
    infos = LazyInfos(3, lambda rows: created.extend(range(3)[rows]) or [{"row": row} for row in range(3)[rows]])
    assert len(infos) == 3 and created == []
    infos[1]["note"] = "kept"
    assert infos[1] == {"row": 1, "note": "kept"} == infos[-2] and created == [1]
    assert [info["row"] for info in infos[1:]] == [1, 2] and created == [1, 2]
    assert [info["row"] for info in infos] == [0, 1, 2] and infos[1]["note"] == "kept"
    created.clear()
    assert infos[0] is infos[:][0] and created == []
    for empty in (infos, LazyInfos(3, lambda rows: [])):
        with pytest.raises(IndexError):
            empty[3]
