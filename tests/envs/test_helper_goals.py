"""Tests of the goals that help: masks, names, recomputation from stored observations, commanded goals."""

import pickle
import re
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import TD3

import leo_envs  # noqa: F401
from leo_agents import LEOTD3
from leo_agents.baselines import goal_conditioned_actor_critic
from leo_envs.common.helper_goals import SIGNAL_SIZE, MovingGoals
from leo_wrappers import AnyGoalWrapper, GoalConditionedWrapper, check_multigoal_env, goal_families
from leo_wrappers.testing import run_state_machine
from tests.envs.robot_checks import shared_env

FETCH = ["leo/FetchPush-v0", "leo/FetchSlide-v0", "leo/FetchPickAndPlace-v0"]
PANDA = ["leo/PandaPush-v0", "leo/PandaSlide-v0", "leo/PandaPickAndPlace-v0"]
IDS = [*FETCH, *PANDA]
PUSH = FETCH[0]
MARGIN = 1e-4  # names are rounded to 0.1 mm


def offset(name: str) -> np.ndarray:
    """Parse the offset in a goal's name, in meters."""
    return np.array([float(number) / 100 for number in re.findall(r"[xyz]([-+][\d.]+)", name)])


def gripper_position(env: Any) -> np.ndarray:
    return np.array(env.data.site("robot0:grip" if hasattr(env, "simulation") else "grip").xpos)


def object_velocity(env: Any) -> np.ndarray:
    return np.array(env.data.joint("object0:joint" if hasattr(env, "simulation") else "object").qvel[:3])


def slack(env: Any, name: str, start: np.ndarray) -> float:
    """Return by how much the state of the simulation achieves a goal; negative if it does not."""
    family, _, detail = name.partition("/")
    block = env._state()[1]
    if family == "gripper":
        return 0.05 - float(np.linalg.norm(gripper_position(env) - start - offset(name)))
    if family == "near":
        return 0.03 - float(np.linalg.norm(gripper_position(env) - block - offset(name)))
    return float(object_velocity(env)["xyz".index(detail[0])] * (1 if detail[1] == "+" else -1)) - 0.1


@pytest.mark.parametrize("env_id", IDS)
def test_masks_are_those_of_the_simulation(env_id: str) -> None:
    env = shared_env(env_id)
    names, generator = env.unwrapped.goal_names, np.random.default_rng(0)
    number = len(goal_families(names).get("table", [])) + len(goal_families(names).get("air", []))
    achieved = np.zeros(len(names), dtype=bool)
    for episode in range(4):
        _, info = env.reset(seed=episode)
        start = gripper_position(env.unwrapped) if episode == 0 else start  # noqa: F821
        toward = np.zeros(3)
        for step in range(50):
            if step:
                # Moves towards the object and through it, so that it is touched from some side.
                direction = env.unwrapped._state()[1] - gripper_position(env.unwrapped)
                toward = 0.8 * toward + direction / np.linalg.norm(direction)
                action = generator.uniform(-0.4, 0.4, env.action_space.shape)
                action[:3] += toward
                *_, info = env.step(np.clip(action, -1, 1))
            found = np.array([slack(env.unwrapped, name, start) for name in names[number:]])
            clear = np.abs(found) > MARGIN
            np.testing.assert_array_equal(info["goals_achieved"][number:][clear], found[clear] > 0)
            achieved |= info["goals_achieved"]
    families = goal_families(names)
    assert achieved[families["gripper"]].any() and achieved[families["near"]].any() and achieved[families["moving"]].any()


@pytest.mark.parametrize("env_id", IDS)
def test_masks_follow_from_stored_observations(env_id: str) -> None:
    env = shared_env(env_id)
    observation, info = env.reset(seed=1)
    stored, masks = [observation], [info["goals_achieved"]]
    for _ in range(30):
        observation, *_, info = env.step(env.action_space.sample())
        stored.append(observation)
        masks.append(info["goals_achieved"])
    batch = {key: np.stack([one[key] for one in stored]) for key in stored[0]}
    signal = env.unwrapped.goal_signal(batch)
    assert signal.shape == (31, SIGNAL_SIZE) and signal.dtype == np.float32
    np.testing.assert_array_equal(env.unwrapped.goal_set.achieved(signal), np.stack(masks))


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_batches_equal_single_signals(data: st.DataObject) -> None:
    goals = shared_env(data.draw(st.sampled_from([PUSH, PANDA[2]]))).unwrapped.goal_set
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    block = generator.uniform([1.2, 0.6, 0.42], [1.5, 0.9, 0.5], (8, 3))
    gripper = block + generator.choice([0.0, 0.03, 0.06, 0.09, -0.06], (8, 3))
    velocity = generator.choice([0.0, 0.004, 0.1, -0.004, -0.1, 0.5], (8, 3))
    signal = np.concatenate([gripper, block, velocity], axis=1).astype(np.float32)
    np.testing.assert_array_equal(goals.achieved(signal), [goals.achieved(one) for one in signal])


def test_directions_of_motion() -> None:
    goals = MovingGoals([(0, 1), (0, -1), (2, 1)], 0.1)
    assert goals.names == ("moving/x+", "moving/x-", "moving/z+")
    velocities = [[0.1, 9.0, 0.0], [-0.1, 0.0, 0.2], [0.09, 0.0, -0.5]]
    assert goals.achieved(velocities).tolist() == [[True, False, False], [False, True, True], [False, False, False]]


@pytest.mark.parametrize(
    ("env_id", "counts"),
    [
        (PUSH, {"table": 49, "gripper": 75, "near": 5, "moving": 4}),
        (FETCH[1], {"table": 81, "gripper": 75, "near": 5, "moving": 4}),
        (FETCH[2], {"table": 25, "air": 75, "gripper": 100, "near": 6, "moving": 5}),
        (PANDA[0], {"table": 49, "gripper": 75, "near": 5, "moving": 4}),
        (PANDA[1], {"table": 81, "gripper": 60, "near": 5, "moving": 4}),  # the arm cannot reach 15 cm back
        (PANDA[2], {"table": 25, "air": 75, "gripper": 100, "near": 6, "moving": 5}),
    ],
)
def test_families(env_id: str, counts: dict[str, int]) -> None:
    env = shared_env(env_id).unwrapped
    assert {family: len(ids) for family, ids in goal_families(env.goal_names).items()} == counts
    assert env.goal_points is None and len(np.unique(env.goal_set.descriptors, axis=0)) == sum(counts.values())
    without = gym.make(env_id, helper_goals=False).unwrapped
    object_goals = counts["table"] + counts.get("air", 0)
    assert without.goal_names == env.goal_names[:object_goals] and without.goal_points.shape == (object_goals, 3)


def test_points_of_the_user_have_no_helping_goals_unless_asked_for() -> None:
    points = shared_env(PUSH, helper_goals=False).unwrapped.goal_points[:2]
    assert len(gym.make(PUSH, points=points).unwrapped.goal_names) == 2
    assert len(gym.make(PUSH, points=points, helper_goals=True).unwrapped.goal_names) == 2 + 84


@pytest.mark.parametrize("env_id", ["leo/FetchReach-v0", "leo/PandaReach-v0"])
def test_bad_arguments(env_id: str) -> None:
    with pytest.raises(ValueError, match="expected no helper_goals for a task without an object"):
        gym.make(env_id, helper_goals=True)
    with pytest.raises(TypeError, match="expected helper_goals to be True or False"):
        gym.make(env_id, helper_goals="yes")


@pytest.mark.parametrize("env_id", [PUSH, PANDA[2]])
def test_rewards_and_observations_are_those_without_helping_goals(env_id: str) -> None:
    ours, theirs = shared_env(env_id), gym.make(env_id, helper_goals=False)
    pair = ours.reset(seed=4), theirs.reset(seed=4)
    for _ in range(20):
        for key in pair[0][0]:
            np.testing.assert_array_equal(pair[0][0][key], pair[1][0][key])
        assert pair[0][1:-1] == pair[1][1:-1]
        count = len(theirs.unwrapped.goal_names)
        assert pair[0][-1]["goals_achieved"][:count].tolist() == pair[1][-1]["goals_achieved"].tolist()
        action = ours.action_space.sample()
        pair = ours.step(action), theirs.step(action)


def test_commanded_goals_and_their_markers() -> None:
    env = gym.make(PUSH).unwrapped
    observation, _ = env.reset(seed=0)
    desired, block = observation["desired_goal"], observation["achieved_goal"]
    for name in ("gripper/x+15,y+0,z+10", "near/x-6,y+0,z+0", "moving/y-"):
        env.set_commanded_goal(name)
        np.testing.assert_array_equal(env.desired_goal, desired)
    np.testing.assert_allclose(env._marker(), block)
    env.set_commanded_goal("near/x-6,y+0,z+0")
    np.testing.assert_allclose(env._marker(), block + np.array([-0.06, 0.0, 0.0]), atol=1e-6)
    env.set_commanded_goal("gripper/x+15,y+0,z+10")
    np.testing.assert_allclose(env._marker(), observation["observation"][:3] + np.array([0.15, 0.0, 0.1]), atol=1e-3)
    env.set_commanded_goal("table/x+15,y-10")
    np.testing.assert_array_equal(env.desired_goal, env.goal_set.descriptors[env.commanded_goal, 4:7])
    np.testing.assert_array_equal(env._marker(), env.desired_goal)
    env.set_commanded_goal("moving/y-")
    assert env.reset(seed=0)[0]["desired_goal"].tolist() == desired.tolist()


def test_goal_sets_can_be_sent_to_processes() -> None:
    goals = shared_env(PANDA[2]).unwrapped.goal_set
    again = pickle.loads(pickle.dumps(goals))
    signal = np.random.default_rng(0).uniform(0.0, 0.5, (50, SIGNAL_SIZE))
    assert again.names == goals.names
    np.testing.assert_array_equal(again.achieved(signal), goals.achieved(signal))


def conditioned_env() -> gym.Env:
    return GoalConditionedWrapper(gym.make(PUSH))


def test_the_checker_of_stable_baselines3_is_skipped_where_compute_reward_does_not_know_the_goal() -> None:
    with pytest.warns(UserWarning, match="Stable-Baselines3's checker was skipped"):
        check_multigoal_env(conditioned_env(), steps=10, skip_gymnasium_check=True)


@pytest.mark.parametrize("make", [partial(gym.make, PUSH), partial(gym.make, "leo/FetchReach-v0"), conditioned_env])
def test_state_machine(make: Any) -> None:
    run_state_machine(make, max_examples=2)


def test_agents_and_baselines_train_on_all_families() -> None:
    quick: dict[str, Any] = {"learning_starts": 20, "batch_size": 16, "policy_kwargs": {"net_arch": [8]}, "seed": 0}
    model = LEOTD3("MultiGoalPolicy", gym.make(PUSH, max_episode_steps=15), **quick).learn(40)
    observation, _ = shared_env(PUSH).reset(seed=0)
    assert model.values(observation).shape == (1, 133) and model.act(observation, goal="near/x-6,y+0,z+0").shape == (4,)
    goal_conditioned_actor_critic(TD3, gym.make(PUSH, max_episode_steps=15), buffer="her", **quick).learn(40)
    points = AnyGoalWrapper(gym.make(PUSH, max_episode_steps=15))
    assert LEOTD3("MultiGoalPolicy", points, **quick).learn(40).has_point_goals
    env = GoalConditionedWrapper(gym.make(PUSH), goal="moving/x+")
    env.reset(seed=0)
    assert env.step(env.action_space.sample())[1] == 0.0
