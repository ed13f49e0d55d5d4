"""Tests of bit flipping: dynamics, closed-form Q-values, vectorization, invalid input."""

import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.env_checker import check_env as check_sb3_env

import leo_envs  # noqa: F401
from leo_envs.bitflip import BitFlipEnv, BitFlipVectorEnv
from leo_wrappers import GoalConditionedWrapper
from tests.envs.vector_equivalence import assert_same, compare_rollouts, make_pair

GOALS = ["pattern", "bit"]


def bits_of(number: int, n_bits: int) -> list[int]:
    return [int(bit) for bit in format(number, f"0{n_bits}b")]


@pytest.mark.parametrize("goals", GOALS)
def test_flips_and_masks_by_hand(goals: str) -> None:
    env = BitFlipEnv(4, goals=goals, start="0110")
    observation, info = env.reset()
    for action, expected in ((None, "0110"), (0, "1110"), (3, "1111"), (0, "0111"), (0, "1111")):
        if action is not None:
            observation, reward, terminated, truncated, info = env.step(action)
            assert (reward, terminated) == (0.0, False)
        assert observation.dtype == np.float32
        assert observation.tolist() == [float(bit) for bit in expected]
        names = [env.goal_names[goal] for goal in np.flatnonzero(info["goals_achieved"])]
        assert names == (
            [f"pattern/{expected}"] if goals == "pattern" else [f"bit/{i}={bit}" for i, bit in enumerate(expected)]
        )
    assert truncated


@pytest.mark.parametrize(("arguments", "limit"), [({}, 8), ({"n_bits": 3}, 3), ({"n_bits": 3, "time_limit": 5}, 5)])
def test_time_limits(arguments: dict, limit: int) -> None:
    for env in (BitFlipEnv(**arguments), gym.make("leo/BitFlip-v0", **arguments)):
        env.reset()
        assert [env.step(0)[3] for _ in range(limit)] == [False] * (limit - 1) + [True]


def test_max_episode_steps_shortens_episodes() -> None:
    env = gym.make("leo/BitFlip-v0", max_episode_steps=2)
    env.reset()
    assert [env.step(0)[3] for _ in range(2)] == [False, True]
    assert gym.make_vec("leo/BitFlip-v0", max_episode_steps=2).time_limit == 2


@pytest.mark.parametrize("n_bits", [1, 2, 5])
@pytest.mark.parametrize("gamma", [0.0, 0.9, 1.0])
def test_pattern_values_are_hamming_distances(n_bits: int, gamma: float) -> None:
    env = BitFlipEnv(n_bits)
    size = 2**n_bits
    q, distances = env.optimal_q(gamma), env.distances()
    assert q.shape == (size, size, n_bits)
    for state in range(size):
        for goal in range(size):
            hamming = sum(a != b for a, b in zip(bits_of(state, n_bits), bits_of(goal, n_bits), strict=True))
            # The current pattern is two flips away.
            assert distances[state, goal] == (hamming or 2)
            for action in range(n_bits):
                differs = bits_of(state, n_bits)[action] != bits_of(goal, n_bits)[action]
                remaining = hamming - 1 if differs else hamming + 1
                assert q[state, goal, action] == pytest.approx(gamma**remaining, rel=1e-14)


@pytest.mark.parametrize("gamma", [0.0, 0.9])
def test_bit_values(gamma: float) -> None:
    env = BitFlipEnv(4, goals="bit")
    q = env.optimal_q(gamma)
    for state in range(16):
        for bit in range(4):
            for value in (0, 1):
                equal = bits_of(state, 4)[bit] == value
                # Flipping another bit keeps the value of this one; flipping this one changes it.
                expected = [1.0 if equal == (action != bit) else gamma for action in range(4)]
                assert q[state, 2 * bit + value].tolist() == expected


def test_single_bit_must_be_flipped_twice() -> None:
    assert BitFlipEnv(1, goals="bit").distances().tolist() == [[2, 1], [1, 2]]


@pytest.mark.parametrize("goals", GOALS)
def test_q_values_solve_bellman_equation_exactly(goals: str) -> None:
    env = BitFlipEnv(6, goals=goals)
    q, after = env.optimal_q(0.97), env.mdp.successors
    achieved = env.goal_set.achieved(after).transpose(0, 2, 1)
    assert np.array_equal(q, achieved + 0.97 * ~achieved * q.max(axis=-1)[after].transpose(0, 2, 1))


@pytest.mark.parametrize("goals", GOALS)
def test_goals(goals: str) -> None:
    env = BitFlipEnv(3, goals=goals)
    assert list(env.goal_set.families) == [goals]
    descriptors = env.goal_set.descriptors
    assert len(np.unique(descriptors, axis=0)) == len(env.goal_names) == (8 if goals == "pattern" else 6)
    # A goal is achieved if no bit contradicts its descriptor.
    observations = env.all_observations()
    if goals == "pattern":
        expected = (observations[:, None] == descriptors).all(axis=-1)
    else:
        expected = ((2 * observations - 1)[:, None] * descriptors).sum(axis=-1) == 1
    assert np.array_equal(env.goal_set.achieved(np.arange(8)), expected)
    assert np.array_equal(env.states_of(observations), np.arange(8))
    assert env.reachable().all()


@pytest.mark.parametrize("goals", GOALS)
@pytest.mark.parametrize("start", ["random", "01010101"])
def test_checkers(goals: str, start: str) -> None:
    env = gym.make("leo/BitFlip-v0", goals=goals, start=start)
    check_env(env.unwrapped, skip_render_check=True)
    check_sb3_env(env)


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("arguments", [{}, {"n_bits": 3, "goals": "bit"}, {"n_bits": 2, "start": "01", "time_limit": 5}])
def test_equals_sync_vector_env(mode: AutoresetMode, arguments: dict) -> None:
    assert compare_rollouts(*make_pair("leo/BitFlip-v0", mode, **arguments), steps=30, seed=2) >= 5 * 3
    assert compare_rollouts(*make_pair("leo/BitFlip-v0", mode, max_episode_steps=2, **arguments), steps=30, seed=2) >= 5 * 10


def test_spec_round_trip_and_pickle() -> None:
    env = gym.make("leo/BitFlip-v0", n_bits=3, goals="bit", start=[0, 1, 1])
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    env.reset()
    for twin in (again, pickle.loads(pickle.dumps(env.unwrapped))):
        assert twin.reset()[0].tolist() == [0, 1, 1]
        assert twin.unwrapped.goal_names == env.unwrapped.goal_names
    envs = BitFlipVectorEnv(2, 3)
    envs.reset(seed=0)
    twin = pickle.loads(pickle.dumps(envs))
    for _ in range(8):
        assert_same(envs.step([0, 1]), twin.step([0, 1]))


def test_reward_of_goal_conditioned_wrapper() -> None:
    env = GoalConditionedWrapper(BitFlipEnv(3, start="000"), goal="pattern/101")
    env.reset()
    assert [env.step(action)[1:3] for action in (0, 2)] == [(0.0, False), (1.0, True)]


@pytest.mark.parametrize("start", ["0011", [0, 0, 1, 1], (0, 0, 1, 1), np.array([0.0, 0.0, 1.0, 1.0], dtype=np.float32)])
def test_start_options(start: object) -> None:
    env = BitFlipEnv(4)
    assert env.reset(options={"start": start})[0].tolist() == [0, 0, 1, 1]
    assert env.state == 3


def test_text_rendering() -> None:
    env = BitFlipEnv(3, start="010", render_mode="ansi")
    env.reset()
    assert env.render() == "bits 010"
    env.set_commanded_goal("pattern/110")
    assert env.render() == "bits 010\ngoal 110"
    bit = BitFlipEnv(3, goals="bit", start="010", render_mode="ansi")
    bit.reset()
    bit.set_commanded_goal("bit/1=1")
    assert bit.render() == "bits 010\ngoal -1-"


def test_frame_shows_bits_and_goal() -> None:
    env = BitFlipEnv(3, start="010", render_mode="rgb_array")
    env.reset()
    without_goal = env.render()
    env.set_commanded_goal("pattern/110")
    frame = env.render()
    assert (frame.dtype, frame.shape) == (np.uint8, (96, 144, 3))
    bits, goal = frame[24, 24::48].tolist(), frame[72, 24::48].tolist()
    on, off = bits[1], bits[0]
    assert bits == [off, on, off]
    assert goal == [on, on, off]
    assert on != off
    # All bits but the first match the goal and have a border.
    changed = (without_goal[:48] != frame[:48]).any(axis=-1)
    assert [bool(changed[:, 48 * bit : 48 * bit + 48].any()) for bit in range(3)] == [False, True, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_bits": 0}, "expected n_bits from 1 to 12 with goals='pattern', got 0"),
        ({"n_bits": 13}, "got 13; pass fewer bits; goals='bit' allows more"),
        ({"n_bits": 21, "goals": "bit"}, "expected n_bits from 1 to 20"),
        ({"n_bits": 2.0}, "expected n_bits"),
        ({"goals": "parity"}, "expected goals to be one of"),
        ({"start": "0101"}, "expected a pattern of 8 bits, got '0101'"),
        ({"start": "0101010x"}, "expected a pattern of 8 bits"),
        ({"start": 5}, "expected a pattern of 8 bits"),
    ],
)
def test_invalid_arguments_raise(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BitFlipEnv(**arguments)


def test_invalid_actions_and_observations_raise() -> None:
    env, envs = BitFlipEnv(3), BitFlipVectorEnv(2, 3)
    env.reset()
    envs.reset()
    with pytest.raises(ValueError, match="expected an action from 0 to 2, got 3"):
        env.step(3)
    with pytest.raises(ValueError, match="expected actions from 0 to 2, got 3 for environment 1"):
        envs.step([0, 3])
    with pytest.raises(ValueError, match=r"expected observations of shape \(..., 3\), got \(2,\)"):
        env.states_of([0.0, 1.0])


def test_twenty_bits() -> None:
    env = BitFlipEnv(20, goals="bit", start="0" * 20)
    assert env.reset()[1]["goals_achieved"].sum() == 20
    assert env.step(19)[0].tolist() == [0.0] * 19 + [1.0]
    with pytest.raises(ValueError, match=r"1048576 states and 40 goals, which need 6.2 GiB; pass goals= with at most 6 goals"):
        env.optimal_q(0.9)
