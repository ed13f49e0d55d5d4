"""Tests of the vectorized grid world: equivalence to the single environment in all autoreset modes and with SB3."""

import functools
import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv

import leo_envs  # noqa: F401
from leo_envs.gridworld import GridWorldVectorEnv
from leo_wrappers import achieved_from_infos
from leo_wrappers.sb3 import GymVecEnv
from leo_wrappers.validation import check_num_envs
from tests.envs.vector_equivalence import assert_same, compare_rollouts, make_pair

MODES = list(AutoresetMode)
SAME_STEP, NEXT_STEP, DISABLED = AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED
ARGUMENTS = [
    {},
    {"start": "random", "observation": "coordinates"},
    {"map": "maze", "size": 7, "start": "random", "observation": "one_hot"},
    {"map": "S..S\n....", "time_limit": 5},
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_equals_sync_vector_env(mode: AutoresetMode, arguments: dict) -> None:
    ours, theirs = make_pair("leo/GridWorld-v0", mode, max_episode_steps=7, **arguments)
    assert compare_rollouts(ours, theirs, steps=40, seed=11) >= 5 * 4


@pytest.mark.parametrize("mode", [SAME_STEP, NEXT_STEP])
def test_equals_sync_vector_env_with_staggered_episodes(mode: AutoresetMode) -> None:
    ours, theirs = make_pair("leo/GridWorld-v0", mode, max_episode_steps=6, start="random")
    masks = {number: np.arange(5) % 3 == number % 3 for number in (2, 4, 6, 13)}
    assert compare_rollouts(ours, theirs, steps=40, seed=3, resets=masks) >= 5 * 4


@pytest.mark.parametrize("mode", MODES)
def test_equals_sync_vector_env_without_limit_and_with_limit_one(mode: AutoresetMode) -> None:
    assert compare_rollouts(*make_pair("leo/GridWorld-v0", mode, max_episode_steps=-1), steps=230, seed=0) == 0
    assert (
        compare_rollouts(*make_pair("leo/GridWorld-v0", mode, max_episode_steps=1, start="random"), steps=9, seed=0) >= 5 * 4
    )


def test_more_environments_than_fit_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    # An observation of 10 bytes, both bounds of its space and 4 goals.
    space = gym.spaces.Dict({"a": gym.spaces.Box(0, 1, (2,), np.float32), "b": gym.spaces.Box(0, 9, (1,), np.int16)})
    monkeypatch.setattr("leo_wrappers.validation.total_memory", lambda: 34 * 1_000 + 33)
    assert check_num_envs(1_000, space, 4) == 1_000
    with pytest.raises(ValueError, match="expected num_envs of at most 1,000, whose observations"):
        check_num_envs(1_001, space, 4)
    with pytest.raises(ValueError, match="expected num_envs of at most"):
        GridWorldVectorEnv(num_envs=1_000)


def test_default_time_limit() -> None:
    assert compare_rollouts(*make_pair("leo/GridWorld-v0", NEXT_STEP, num_envs=2), steps=202, seed=0) == 2


@pytest.mark.parametrize("seed", [None, 5, [3, 3, None, 8, 1]])
def test_seeds_and_start_options(seed: object) -> None:
    ours, theirs = make_pair("leo/GridWorld-v0", NEXT_STEP, start="random")
    if seed == [3, 3, None, 8, 1]:
        for envs in (ours, theirs):
            envs.reset(seed=1)
    options = {"start": (0, 0)}
    assert_same(ours.reset(seed=seed, options=options), theirs.reset(seed=seed, options=options))
    assert options == {"start": (0, 0)}
    if seed is not None:
        assert_same(ours.reset(), theirs.reset())
        assert ours.np_random_seed == theirs.np_random_seed
        assert [row.bit_generator.state for row in ours.np_random] == [row.bit_generator.state for row in theirs.np_random]


@pytest.mark.parametrize("mode", [SAME_STEP, NEXT_STEP])
def test_row_i_equals_single_environment_with_seed_plus_i(mode: AutoresetMode) -> None:
    """Compare several episodes with random starts; the single environments are reset explicitly."""
    envs = GridWorldVectorEnv(3, start="random", time_limit=4, autoreset_mode=mode)
    actions = np.random.default_rng(0).integers(4, size=(20, 3))
    observations, _ = envs.reset(seed=20)
    singles = [gym.make("leo/GridWorld-v0", start="random", max_episode_steps=4) for _ in range(3)]
    expected = [single.reset(seed=20 + row)[0] for row, single in enumerate(singles)]
    done = np.zeros(3, dtype=bool)
    episodes = 0
    for step in range(20):
        np.testing.assert_array_equal(observations, expected)
        observations, _, _, truncated, infos = envs.step(actions[step])
        for row, single in enumerate(singles):
            if mode is NEXT_STEP and done[row]:
                expected[row], info = single.reset()
                done[row] = False
            else:
                expected[row], _, _, done[row], info = single.step(actions[step, row])
                episodes += int(done[row])
                if mode is SAME_STEP and done[row]:
                    np.testing.assert_array_equal(infos["final_obs"][row], expected[row])
                    np.testing.assert_array_equal(infos["final_info"]["goals_achieved"][row], info["goals_achieved"])
                    expected[row], info = single.reset()
            np.testing.assert_array_equal(infos["goals_achieved"][row], info["goals_achieved"])
        np.testing.assert_array_equal(truncated, done)
    assert episodes == 3 * (20 // (4 if mode is SAME_STEP else 5))


def make_single() -> gym.Env:
    return gym.make("leo_envs:leo/GridWorld-v0", start="random", max_episode_steps=6)


def sb3_rollout(venv: VecEnv) -> list[tuple]:
    """Return observations, rewards, dones, masks, terminal observations and truncations of a seeded random rollout."""
    venv.seed(9)
    steps: list[tuple] = [(venv.reset(),)]
    generator = np.random.default_rng(1)
    for _ in range(20):
        observations, rewards, dones, infos = venv.step(generator.integers(4, size=venv.num_envs))
        last = [info["terminal_observation"] for info, done in zip(infos, dones, strict=True) if done]
        cut = [info["TimeLimit.truncated"] for info in infos]
        steps.append((observations, rewards, dones, achieved_from_infos(infos, venv.num_envs).copy(), last, cut))
    venv.close()
    return steps


@pytest.mark.parametrize(
    "vec_env", [DummyVecEnv, functools.partial(SubprocVecEnv, start_method="forkserver")], ids=["dummy", "subproc"]
)
def test_equals_sb3_vec_envs(vec_env) -> None:
    arguments = {"start": "random", "max_episode_steps": 6, "autoreset_mode": "SameStep"}
    ours = sb3_rollout(GymVecEnv(gym.make_vec("leo/GridWorld-v0", num_envs=3, **arguments)))
    theirs = sb3_rollout(vec_env([make_single] * 3))
    for our_step, their_step in zip(ours, theirs, strict=True):
        for our_part, their_part in zip(our_step, their_step, strict=True):
            np.testing.assert_array_equal(our_part, their_part)
    assert sum(step[2].sum() for step in ours[1:]) == 3 * 3


@pytest.mark.parametrize("mode", [SAME_STEP, NEXT_STEP])
def test_returned_arrays_are_independent(mode: AutoresetMode) -> None:
    envs = GridWorldVectorEnv(4, start="random", time_limit=3, autoreset_mode=mode)
    envs.reset(seed=0)
    # In both modes, the last of these steps ends an episode.
    steps = 6 if mode is SAME_STEP else 7
    results, copies = [], []
    for _ in range(steps):
        result = envs.step([0, 1, 2, 3])
        results.append(result)
        copies.append(pickle.loads(pickle.dumps(result)))
    for result, copy in zip(results, copies, strict=True):
        assert_same(result, copy)
    # Changes to returned arrays, including the truncations that the next step depends on, do not affect the environment.
    assert results[-1][3].all()
    for part in results[-1][:4]:
        part[:] = 0
    envs.state[:] = 0
    twin = GridWorldVectorEnv(4, start="random", time_limit=3, autoreset_mode=mode)
    twin.reset(seed=0)
    for _ in range(steps):
        twin.step([0, 1, 2, 3])
    for _ in range(4):
        assert_same(envs.step([3, 2, 1, 0]), twin.step([3, 2, 1, 0]))


def test_ignored_actions_need_not_be_valid() -> None:
    envs = GridWorldVectorEnv(2, time_limit=1)
    envs.reset()
    envs.step([0, 0])
    assert not envs.step([-1, 99])[3].any()


def test_exact_values_and_goals_equal_single_environment() -> None:
    arguments = {"map": "maze", "size": 7}
    single, vector = gym.make("leo/GridWorld-v0", **arguments).unwrapped, gym.make_vec("leo/GridWorld-v0", 2, **arguments)
    assert vector.goal_names == single.goal_names
    assert np.array_equal(vector.optimal_q(0.9), single.optimal_q(0.9))
    assert np.array_equal(vector.distances(), single.distances())
    assert np.array_equal(vector.reachable(), single.reachable())
    assert vector.cell_of(3) == single.cell_of(3)
    vector.reset()
    assert np.array_equal(vector.all_observations()[vector.state], vector.reset()[0])


@pytest.mark.parametrize("mode", MODES)
def test_autoreset_mode_and_spec_round_trip(mode: AutoresetMode) -> None:
    envs = gym.make_vec("leo/GridWorld-v0", num_envs=3, autoreset_mode=mode.value, map="maze", size=[5, 9])
    assert envs.metadata["autoreset_mode"] is mode
    assert GridWorldVectorEnv.metadata["autoreset_mode"] is NEXT_STEP
    spec = gym.envs.registration.EnvSpec.from_json(envs.spec.to_json())
    again = gym.make_vec(spec)
    assert (again.num_envs, again.autoreset_mode, again.time_limit) == (3, mode, 200)
    assert compare_rollouts(envs, again, steps=5, seed=1) == 0


def test_pickled_environment_continues_identically() -> None:
    envs = GridWorldVectorEnv(3, start="random", time_limit=2)
    envs.reset(seed=1)
    envs.step([0, 1, 2])
    twin = pickle.loads(pickle.dumps(envs))
    for _ in range(6):
        assert_same(envs.step([3, 2, 1]), twin.step([3, 2, 1]))


def test_rendering() -> None:
    envs = GridWorldVectorEnv(2, "S.", render_mode="ansi")
    assert GridWorldVectorEnv(2, "S.").reset()[0].shape == (2, 3)
    envs.reset()
    envs.step([1, 0])
    assert envs.render() == (".A", "A.")
    envs.set_commanded_goals([0, 0])
    assert envs.render() == ("GA", "*.")
    envs.set_commanded_goals(None)
    assert envs.render() == (".A", "A.")
    with pytest.raises(ValueError, match="expected 2 goal ids"):
        envs.set_commanded_goals([0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_envs": 0}, "expected num_envs of at least 1, got 0"),
        ({"num_envs": -3}, "expected num_envs"),
        ({"num_envs": 2.0}, "expected num_envs to be an integer, got 2.0"),
        ({"autoreset_mode": "same"}, "expected autoreset_mode to be one of"),
        ({"max_episode_steps": 0}, "expected max_episode_steps to be a positive number"),
        ({"time_limit": -1}, "expected time_limit to be a positive number"),
        ({"render_mode": "human"}, "expected render_mode to be one of"),
        ({"observation": "pixels"}, "expected observation to be one of"),
    ],
)
def test_invalid_arguments_raise(arguments: dict, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        GridWorldVectorEnv(**arguments)


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ([0, 1], r"expected 3 integer actions of shape \(3,\), got int64 of shape \(2,\)"),
        ([0.0, 1.0, 2.0], "expected 3 integer actions"),
        ([[0], [1], [2]], "expected 3 integer actions"),
        (2, "expected 3 integer actions"),
        ([0, 4, 1], "expected actions from 0 to 3, got 4 for environment 1"),
        ([0, 1, -1], "expected actions from 0 to 3, got -1 for environment 2"),
        (np.array([0, 255, 0], dtype=np.uint8), "got 255 for environment 1"),
    ],
)
def test_invalid_actions_raise(actions: object, message: str) -> None:
    envs = GridWorldVectorEnv(3)
    envs.reset()
    before = envs.state
    with pytest.raises(ValueError, match=message):
        envs.step(actions)
    assert np.array_equal(envs.state, before)


@pytest.mark.parametrize("mask", [[True, False], np.array([1, 0]), np.zeros(2, dtype=bool), np.ones(3, dtype=bool)])
def test_invalid_reset_masks_raise(mask: object) -> None:
    envs = GridWorldVectorEnv(2)
    envs.reset()
    with pytest.raises(ValueError, match="expected reset_mask to be a bool array"):
        envs.reset(options={"reset_mask": mask})


def test_use_before_reset_raises() -> None:
    envs = GridWorldVectorEnv(2, render_mode="ansi")
    for act in (lambda: envs.step([0, 0]), envs.render, lambda: envs.state):
        with pytest.raises(ResetNeeded, match=r"call reset\(\) first"):
            act()
    with pytest.raises(ResetNeeded, match="expected a first reset of all environments"):
        envs.reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(ValueError, match="expected 2 seeds, got 3"):
        envs.reset(seed=[1, 2, 3])


def test_disabled_mode_requires_reset_of_done_environments() -> None:
    envs = GridWorldVectorEnv(2, time_limit=1, autoreset_mode=DISABLED)
    envs.reset()
    envs.step([0, 0])
    envs.reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(ResetNeeded, match=r"expected no finished environments in autoreset mode Disabled, got \[1\]"):
        envs.step([0, 0])
    envs.reset(options={"reset_mask": np.array([False, True])})
    envs.step([0, 0])
