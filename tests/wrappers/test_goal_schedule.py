from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import DQN
from stable_baselines3.common.vec_env import DummyVecEnv

from leo_agents import LEODQN, LEOPQN, LEOTD3
from leo_wrappers import GoalSelector, GridGoals, MultiGoalWrapper
from leo_wrappers.sb3 import VecGoalSampler
from tests.line_env import make_line


def dummy(n_envs=1, **kwargs):
    return DummyVecEnv([lambda: make_line(**kwargs)] * n_envs)


def in_order(*goals):
    queue = iter(goals)
    return lambda selector, count: [next(queue) for _ in range(count)]


def step(venv, *actions):
    taken = venv.explore(np.array(actions))
    return taken, venv.step(taken)


def test_random_steps_between_a_success_and_the_next_goal():
    venv = VecGoalSampler(dummy(2), in_order(1, 4, 3), seed=0, explore_steps=3)
    venv.reset()
    taken, (obs, rewards, dones, infos) = step(venv, 1, 1)
    assert taken.tolist() == [1, 1] and rewards.tolist() == [1.0, 0.0] and not dones.any()
    assert obs["goal_id"].tolist() == [1, 4] and "terminal_observation" not in infos[0], "the goal is kept"
    for left in (2, 1, 0):
        taken, (obs, _, _, infos) = step(venv, 7, 1)  # 7 is no action of the line
        assert taken[0] in (0, 1) and taken[1] == 1
        assert obs["goal_id"][0] == (3 if left == 0 else 1)
        assert ("terminal_observation" in infos[0]) == (left == 0)
    assert infos[0]["terminal_observation"]["goal_id"] == 1
    assert venv.explore(np.array([7, 7]))[0] == 7
    assert venv.goal_selector.attempts.tolist() == [0, 1, 0, 0, 1], "the other environment has reached 4"


def test_the_schedule_is_saved(tmp_path):
    VecGoalSampler(dummy(), "at/1", explore_steps=2, explore_repeat=3, patience=4).save(tmp_path / "sampler.pkl")
    copy = VecGoalSampler.load(tmp_path / "sampler.pkl", dummy())
    copy.reset()
    step(copy, 1)
    assert copy.explores and copy.explore(np.array([7])).tolist() != [7]
    copy.set_goal("at/3")
    assert copy.explore(np.array([7])).tolist() == [7], "a goal that the user commands is pursued"


def test_the_end_of_an_episode_ends_the_exploration():
    venv = VecGoalSampler(dummy(1, horizon=2), in_order(1, 3, 2), seed=0, explore_steps=5)
    venv.reset()
    step(venv, 1)
    _, (obs, _, dones, _) = step(venv, 1)
    assert dones[0] and obs["goal_id"].tolist() == [3]
    assert venv.explore(np.array([7])).tolist() == [7]


def test_random_actions_are_repeated():
    envs = dummy(1, length=500, horizon=10_000)
    venv = VecGoalSampler(envs, in_order(1, 499), seed=0, explore_steps=4_000, explore_repeat=8)
    venv.reset()
    step(venv, 1)
    actions = np.array([step(venv, 7)[0][0] for _ in range(4_000)])
    assert set(actions.tolist()) == {0, 1}
    # Every eighth action is drawn anew on average, and half of these are the same again.
    assert abs((np.diff(actions) != 0).mean() - 1 / 16) < 0.015


def test_a_goal_is_given_up_after_the_patience():
    venv = VecGoalSampler(dummy(1), in_order(4, 3, 2), seed=0, patience=3)
    venv.reset()
    goals = [step(venv, 0)[1][0]["goal_id"][0] for _ in range(6)]
    assert goals == [4, 4, 3, 3, 3, 2]
    assert venv.goal_selector.attempts.tolist() == [0, 0, 0, 1, 1] and not venv.goal_selector.successes.any()


def test_success_is_about_the_first_goal_of_the_episode():
    venv = VecGoalSampler(dummy(1, horizon=3), in_order(4, 1, 3, 2, 2), seed=0, patience=1)
    venv.reset()
    step(venv, 0)  # gives up 4
    _, (_, rewards, _, infos) = step(venv, 1)  # achieves 1
    assert rewards[0] == 1.0 and not infos[0]["is_success"]
    step(venv, 0)  # ends the episode
    _, (_, rewards, _, infos) = step(venv, 1)
    assert not infos[0]["is_success"]


def test_a_goal_is_kept_while_its_value_rises():
    """The value of a goal is the position; it is compared every two steps."""
    venv = VecGoalSampler(dummy(1, length=9), in_order(8, 7, 6), seed=0, patience=2)
    venv.goal_selector.value_function = lambda obs: np.repeat(obs / 10, 9, axis=1)
    venv.reset()
    goals = [step(venv, action)[1][0]["goal_id"][0] for action in (1, 1, 0, 1, 1)]
    assert goals == [8, 8, 8, 7, 7], "0 to 2 is a rise, 2 to 2 is none"


def test_a_resumed_training_explores_and_gives_up_as_an_uninterrupted_one(tmp_path):
    selector = {"frontier": 1, "learning_progress": 1}
    venv = VecGoalSampler(dummy(2), selector, seed=0, explore_steps=4, explore_repeat=2, patience=3)
    model = LEODQN("MultiGoalPolicy", venv, learning_starts=10, exploration_spread=3.0, seed=0).learn(42)
    model.save_checkpoint(tmp_path)
    model.learn(60, reset_num_timesteps=False)
    resumed = LEODQN.resume(tmp_path).learn(60, reset_num_timesteps=False)
    for one, other in zip(model.policy.parameters(), resumed.policy.parameters(), strict=True):
        np.testing.assert_array_equal(one.detach(), other.detach())
    states = [str(one.goal_sampler.goal_selector.state_dict()) for one in (model, resumed)]
    assert states[0] == states[1]


@pytest.mark.parametrize("kwargs", [{"goal_selector": "frontier"}, {"goal_selector": {"frontier": 1, "seen": 1}}])
def test_the_algorithms_provide_values_and_explore(kwargs):
    venv = VecGoalSampler(dummy(2), seed=0, explore_steps=3, patience=4, **kwargs)
    model = LEODQN("MultiGoalPolicy", venv, learning_starts=20, seed=0).learn(80)
    buffer = model.replay_buffer
    assert model.goal_sampler is venv and venv.goal_selector.successes.sum() > 0
    # The stored actions are those that the environments took.
    moves = np.where(buffer.actions[:40, :, 0] == 1, 1, -1)
    positions = buffer.observations["observation"][:40, :, 0]
    following = buffer.next_observations["observation"][:40, :, 0]
    np.testing.assert_array_equal(following, np.clip(positions + moves, 0, 4))


class RecordingVecEnv(DummyVecEnv):
    """Keeps the actions of all steps."""

    def step_async(self, actions):
        self.__dict__.setdefault("recorded", []).append(actions.copy())
        super().step_async(actions)


def test_continuous_actions_are_stored_as_they_are_taken():
    """The actions of a pendulum are in [-2, 2], those of the replay buffer in [-1, 1]."""
    goals = GridGoals([-1.0, -1.0], [1.0, 1.0], [3, 3])
    make = partial(MultiGoalWrapper, goals=goals, signal=lambda obs, info: obs[..., :2])
    envs = RecordingVecEnv([lambda: make(gym.make("Pendulum-v1"))] * 2)
    venv = VecGoalSampler(envs, "seen", seed=0, explore_steps=6, explore_repeat=3)
    model = LEOTD3("MultiGoalPolicy", venv, learning_starts=20, batch_size=16, seed=0).learn(160)
    assert venv.goal_selector.successes.sum() > 3
    actions = np.stack(envs.recorded)
    np.testing.assert_allclose(actions, 2 * model.replay_buffer.actions[:80], rtol=1e-6)
    assert np.abs(actions).max() > 1.5 and (np.diff(actions, axis=0) == 0).any(), "random ones are repeated"


def test_rollouts_explore_too():
    venv = VecGoalSampler(dummy(4), "frontier", seed=0, explore_steps=3)
    LEOPQN("MultiGoalPolicy", venv, n_steps=8, batch_size=32, seed=0).learn(64)
    assert venv.goal_selector.successes.sum() > 0


def test_an_algorithm_that_does_not_explore():
    venv = VecGoalSampler(dummy(1), "seen", seed=0, explore_steps=3)
    with pytest.raises(ValueError, match="an algorithm that explores after a success, got one that did not call"):
        DQN("MultiInputPolicy", venv, seed=0).learn(60)


def test_an_agent_without_values():
    venv = VecGoalSampler(dummy(1), "frontier", on_success="terminate", seed=0)
    with pytest.raises(ValueError, match="an agent with values of all goals for FrontierGoals, got none"):
        DQN("MultiInputPolicy", venv, seed=0).learn(10)


def test_evaluation_neither_explores_nor_gives_up():
    venv = VecGoalSampler(dummy(1), "seen", seed=0, explore_steps=3, patience=1)
    with venv.commanding("at/1"):
        venv.reset()
        obs = venv.step(np.array([1]))[0]
        assert obs["goal_id"].tolist() == [1] and venv.step(np.array([1]))[0]["goal_id"].tolist() == [1]


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"patience": 0}, ValueError, "patience of at least 1"),
        ({"patience": 1.5}, TypeError, "patience to be an integer"),
        ({"explore_steps": -1}, ValueError, "explore_steps of at least 0"),
        ({"explore_steps": 3, "explore_repeat": 0}, ValueError, "explore_repeat of at least 1"),
        ({"explore_steps": 3, "on_success": "terminate"}, ValueError, 'on_success="switch" with explore_steps'),
        ({"patience": 3, "on_success": "continue"}, ValueError, 'on_success="switch" with explore_steps or patience'),
    ],
)
def test_bad_arguments(kwargs, error, message):
    with pytest.raises(error, match=message):
        VecGoalSampler(dummy(), **kwargs)


def test_the_selector_is_asked_with_the_observations_of_its_environments():
    seen = []

    class Recorder(GoalSelector):
        needs_values = True

        def select(self, achieved, observations=None):
            seen.append((achieved.argmax(axis=1).tolist(), observations[:, 0].tolist()))
            return np.full(len(achieved), 1)

    venv = VecGoalSampler(dummy(2, horizon=3), Recorder(), seed=0)
    venv.reset()
    for actions in ((1, 0), (0, 1), (0, 0)):
        step(venv, *actions)
    assert seen == [([0, 0], [0.0, 0.0]), ([1], [1.0]), ([1], [1.0]), ([0, 0], [0.0, 0.0])]
