"""Tests of the mountain car: transitions and policies against Gymnasium's, exact values against a forward search."""

import pickle
from collections import deque

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.env_checker import check_env as check_sb3_env

import leo_envs  # noqa: F401
from leo_envs.mountain_car import MountainCar, MountainCarContinuousEnv, MountainCarEnv
from leo_wrappers import GoalConditionedWrapper, check_multigoal_env
from tests.envs.vector_equivalence import compare_rollouts, make_pair

IDS = ["leo/MountainCar-v0", "leo/MountainCarContinuous-v0"]
SMALL = {"shape": (37, 29), "moments": 8}
FLAG = "position/+0.5..+0.6"


def original(engine: str) -> gym.Env:
    return gym.make("MountainCar-v0" if engine == "discrete" else "MountainCarContinuous-v0").unwrapped


@pytest.mark.parametrize("engine", ["discrete", "continuous"])
@pytest.mark.parametrize("moments", [1, 5])
def test_transition_rounds_steps_of_gymnasium(engine: str, moments: int) -> None:
    mdp, theirs = MountainCar(engine, moments=moments), original(engine)
    generator = np.random.default_rng(0)
    theirs.reset(seed=0)
    for state in generator.integers(mdp.num_states, size=300):
        action = int(generator.integers(mdp.num_actions))
        theirs.state = mdp.position_and_velocity(state)
        for _ in range(moments):
            theirs.step(action if engine == "discrete" else [mdp.engine.forces[action]])
        # With continuous actions, the original computes in float32, which may round ties differently.
        ours = mdp.position_and_velocity(mdp.next_states(state, action))
        half = 0.5 * np.array([1.8 / 180, 0.14 / 140])
        assert (np.abs(ours - np.asarray(theirs.state, dtype=np.float64)) <= half + 1e-5).all()


@pytest.mark.parametrize("env_id", IDS)
def test_greedy_policy_solves_original(env_id: str) -> None:
    env = gym.make(env_id).unwrapped
    q = env.optimal_q(0.95, [FLAG])[:, 0]
    theirs = original("discrete" if "Continuous" not in env_id else "continuous")
    for start in (-0.6, -0.5, -0.4):
        theirs.reset(seed=0)
        theirs.state = np.array([start, 0.0])
        planned = int(env.distances([FLAG])[env.mdp.state_at(start), 0])
        for _ in range(planned + 4):
            action = int(q[env.mdp._nearest(*theirs.state)].argmax())
            for _ in range(env.mdp.moments):
                theirs.step(action if "Continuous" not in env_id else [env.mdp.engine.forces[action]])
            if theirs.state[0] >= 0.5:
                break
        assert theirs.state[0] >= 0.5


def test_flag_requires_swinging() -> None:
    env = MountainCarEnv()
    distances = env.distances([FLAG])[:, 0]
    from_valley, from_slope = (distances[env.mdp.state_at(position)] * env.mdp.moments for position in (-0.5, 0.45))
    # Good policies for the original take slightly more than 100 steps from the valley.
    assert 90 <= from_valley <= 115
    assert 0 < from_slope < from_valley


@pytest.mark.parametrize("goals", ["position", "state"])
def test_distances_equal_forward_search(goals: str) -> None:
    env = MountainCarEnv(**SMALL, goals=goals)
    distances, achieved = env.distances(), env.mdp.achieved(np.arange(env.mdp.num_states))
    for start in np.random.default_rng(1).integers(env.mdp.num_states, size=5):
        found = np.full(env.mdp.num_goals, -1)
        # The start is not marked as visited: its own goal takes at least one step.
        queue, visited = deque([(int(start), 0)]), set()
        while queue:
            state, steps = queue.popleft()
            for following in env.mdp.successors[state].tolist():
                if following not in visited:
                    visited.add(following)
                    found[achieved[following] & (found < 0)] = steps + 1
                    queue.append((following, steps + 1))
        np.testing.assert_array_equal(distances[start], found)


@pytest.mark.parametrize("cls", [MountainCarEnv, MountainCarContinuousEnv])
def test_q_values_solve_bellman_equation_exactly(cls: type) -> None:
    env = cls(**SMALL)
    q, after = env.optimal_q(0.97), env.mdp.successors
    achieved = env.goal_set.achieved(after).transpose(0, 2, 1)
    assert np.array_equal(q, achieved + 0.97 * ~achieved * q.max(axis=-1)[after].transpose(0, 2, 1))


@pytest.mark.parametrize("goals", ["position", "state"])
def test_every_state_achieves_exactly_the_goal_of_its_interval(goals: str) -> None:
    mdp = MountainCar(goals=goals)
    assert len(mdp.goal_names) == (18 if goals == "position" else 252)
    masks = mdp.achieved(np.arange(mdp.num_states))
    assert (masks.sum(axis=1) == 1).all()
    for state in np.random.default_rng(0).integers(mdp.num_states, size=200):
        name = mdp.goal_names[masks[state].argmax()].split("/")[1]
        values = mdp.position_and_velocity(state)
        for interval, value in zip(name.split(","), values, strict=False):
            low, high = map(float, interval.split(".."))
            assert low - 1e-6 <= value <= high + 1e-6


def test_states_of_inverts_observe() -> None:
    mdp = MountainCar()
    states = np.arange(mdp.num_states)
    observations = mdp.observe(states)
    assert observations.dtype == np.float32 and np.abs(observations).max() == 1.0
    np.testing.assert_array_equal(mdp.states_of(observations), states)


@pytest.mark.parametrize("env_id", IDS)
def test_checkers(env_id: str) -> None:
    env = gym.make(env_id)
    assert env.spec.max_episode_steps == 100
    check_env(env.unwrapped, skip_render_check=True)
    check_sb3_env(env.unwrapped)
    check_multigoal_env(env)
    check_multigoal_env(GoalConditionedWrapper(env))


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("arguments", [{}, {**SMALL, "goals": "state", "start": (-0.5, 0.01)}])
def test_equals_sync_vector_env(mode: AutoresetMode, arguments: dict) -> None:
    assert (
        compare_rollouts(*make_pair("leo/MountainCar-v0", mode, max_episode_steps=7, **arguments), steps=30, seed=2) >= 5 * 3
    )


def test_action_is_rounded_to_nearest_force() -> None:
    env = MountainCarContinuousEnv()
    assert [env.force_number([force]) for force in (-7.0, -0.8, -0.7, 0.0, 0.2, 0.3, 1.0)] == [0, 0, 1, 2, 2, 3, 4]
    env.reset(seed=0)
    state = env.state
    env.step(np.array([0.45], dtype=np.float32))
    assert env.state == env.mdp.next_states(state, 3)


def test_starts() -> None:
    env = gym.make("leo/MountainCar-v0").unwrapped
    values = np.array([env.mdp.position_and_velocity((env.reset(seed=seed), env.state)[1]) for seed in range(40)])
    assert (values[:, 1] == 0).all() and len(np.unique(values[:, 0])) > 5
    assert values[:, 0].min() >= -0.6 - 1e-9 and values[:, 0].max() <= -0.4 + 1e-9
    env.reset(options={"start": (0.1, 0.02)})
    np.testing.assert_allclose(env.mdp.position_and_velocity(env.state), [0.1, 0.02], atol=1e-9)


def test_spec_round_trip_and_pickle() -> None:
    env = gym.make("leo/MountainCarContinuous-v0", shape=[37, 29], goals="state", start=[-0.5, 0.01])
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    first = env.reset()[0].tolist()
    for twin in (again, pickle.loads(pickle.dumps(env.unwrapped))):
        assert twin.reset()[0].tolist() == first
        assert twin.unwrapped.goal_names == env.unwrapped.goal_names


def test_rendering() -> None:
    env = gym.make("leo/MountainCar-v0", render_mode="rgb_array", start=-1.2)
    env.reset()
    frame = env.render()
    env.unwrapped.set_commanded_goal(FLAG)
    changed = (frame != env.render()).any(axis=(0, 2))
    assert frame.shape == (300, 540, 3) and frame.dtype == np.uint8
    # The goal's section of the road is in the last tenth of the valley.
    assert np.flatnonzero(changed).min() > 0.9 * 540
    text = gym.make("leo/MountainCar-v0", render_mode="ansi", start=-0.5).unwrapped
    text.reset()
    text.set_commanded_goal(FLAG)
    assert text.render() == f"position -0.500 velocity +0.0000\ngoal {FLAG}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": (181, 140)}, "an odd number of velocities"),
        ({"shape": 5}, "expected shape to be the number of positions"),
        ({"shape": (4, 141)}, "at least 19"),
        ({"moments": 0}, "expected moments from 1 to 1000, got 0"),
        ({"goals": "speed"}, "expected goals to be one of"),
        ({"start": 3.0}, "expected a position from -1.2 to 0.6"),
        ({"start": (0.0, 1.0)}, "expected a position from -1.2 to 0.6"),
    ],
)
def test_invalid_arguments_raise(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MountainCarEnv(**arguments)


@pytest.mark.parametrize("action", [0.5, [0.5, 0.5], [np.nan]])
def test_invalid_forces_raise(action: object) -> None:
    env = MountainCarContinuousEnv(**SMALL)
    env.reset()
    with pytest.raises(ValueError, match="expected a force in an array of shape"):
        env.step(action)
