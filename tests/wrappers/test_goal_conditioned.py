import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from leo_wrappers import GoalConditionedWrapper, MultiGoalWrapper, PredicateGoals
from tests.line_env import LineEnv, LineGoalEnv, line_goals, make_line


def make_line_goal_env():
    return MultiGoalWrapper(LineGoalEnv(), line_goals())


def rollout(env, actions):
    """Return goal in the observation, goal in the info, reward, terminated, truncated and success of each step."""
    rows = []
    for action in actions:
        obs, reward, terminated, truncated, info = env.step(action)
        rows.append((int(obs["goal_id"]), info["goal_id"], reward, terminated, truncated, info["is_success"]))
    return rows


def test_terminate():
    env = GoalConditionedWrapper(make_line(), on_success="terminate")
    obs, info = env.reset(options={"goal": "at/2"})
    assert obs["goal_id"] == 2 and info["goal_id"] == 2 and info["is_success"] is False
    assert rollout(env, [1, 1]) == [(2, 2, 0.0, False, False, False), (2, 2, 1.0, True, False, True)]


def test_continue_keeps_the_goal_and_the_success():
    env = GoalConditionedWrapper(make_line(), goal="at/1", on_success="continue")
    env.reset()
    assert rollout(env, [1, 1, 0]) == [
        (1, 1, 1.0, False, False, True),
        (1, 1, 0.0, False, False, True),
        (1, 1, 1.0, False, False, True),
    ]
    assert env.goal_selector.attempts[1] == 1 and env.goal_selector.successes[1] == 1


def test_switch_replaces_the_goal_in_the_observation():
    order = iter([1, 3, 0])
    env = GoalConditionedWrapper(make_line(), goal_selector=lambda selector, count: [next(order)], on_success="switch")
    env.reset()
    assert rollout(env, [1, 1, 1]) == [
        (3, 1, 1.0, False, False, True),
        (3, 3, 0.0, False, False, True),
        (0, 3, 1.0, False, False, True),
    ]
    assert env.goal_selector.successes.tolist() == [0, 1, 0, 1, 0]


def test_ended_by_goal_is_not_set_if_the_environment_terminates():
    env = GoalConditionedWrapper(make_line(trap=1), goal="at/4")
    env.reset()
    assert rollout(env, [1]) == [(4, 4, 0.0, True, False, False)]
    assert "ended_by_goal" not in env.step(1)[4]
    env = GoalConditionedWrapper(make_line(trap=1), goal="at/1")
    env.reset()
    assert "ended_by_goal" not in env.step(1)[4], "the trap terminates the episode for every goal"
    env = GoalConditionedWrapper(make_line(), goal="at/1")
    env.reset()
    assert env.step(1)[4]["ended_by_goal"]
    env = GoalConditionedWrapper(make_line(horizon=2), goal="at/2")
    env.reset()
    assert rollout(env, [1, 1]) == [(2, 2, 0.0, False, False, False), (2, 2, 1.0, True, True, True)]
    assert env.goal_selector.attempts[2] == 1 and env.goal_selector.successes[2] == 1


def test_a_goal_achieved_at_reset_is_neither_an_attempt_nor_a_success():
    env = GoalConditionedWrapper(make_line(horizon=2), goal="at/0", on_success="continue")
    _, info = env.reset()
    assert info["is_success"] is False
    assert rollout(env, [1, 1])[-1] == (0, 0, 0.0, False, True, False)
    assert env.goal_selector.attempts[0] == 0


def test_the_selector_skips_goals_achieved_at_reset():
    env = GoalConditionedWrapper(make_line())
    goals = {int(env.reset(seed=seed)[0]["goal_id"]) for seed in range(40)}
    assert goals == {1, 2, 3, 4}


def test_set_goal_holds_until_set_to_none():
    env = GoalConditionedWrapper(make_line(), goal_selector="at/4", on_success="continue")
    env.reset()
    env.set_goal("at/1")
    assert rollout(env, [1])[0][:3] == (1, 1, 1.0)
    assert env.reset()[0]["goal_id"] == 1
    env.set_goal(None)
    assert env.reset()[0]["goal_id"] == 4


def test_other_options_are_passed_to_the_environment():
    env = GoalConditionedWrapper(make_line())
    options = {"goal": 2, "weather": "rain"}
    env.reset(options=options)
    assert options == {"goal": 2, "weather": "rain"} and env.unwrapped.options == {"weather": "rain"}


def test_set_commanded_goal_of_the_environment_is_called():
    env = GoalConditionedWrapper(make_line(), goal_selector=lambda selector, count: [1], on_success="switch")
    env.reset()
    env.set_goal(2)
    assert env.unwrapped.commanded == [1, 2]


def test_the_same_seed_commands_the_same_goals():
    def goals(seed):
        env = GoalConditionedWrapper(make_line(start=None))
        return [int(env.reset(seed=seed if number == 0 else None)[0]["goal_id"]) for number in range(20)]

    assert goals(1) == goals(1) and goals(1) != goals(2)


def test_goal_envs_keep_their_keys_with_the_commanded_point_as_desired_goal():
    env = GoalConditionedWrapper(MultiGoalWrapper(LineGoalEnv(), line_goals()), on_success="continue")
    obs, _ = env.reset(options={"goal": "at/1"})
    assert set(obs) == {"observation", "achieved_goal", "desired_goal", "goal_id"}
    assert obs["desired_goal"].tolist() == [1.0] and obs["desired_goal"].dtype == np.float64
    obs, reward, _, _, info = env.step(1)
    assert reward == 1.0 == env.compute_reward(obs["achieved_goal"], obs["desired_goal"], info)
    achieved, desired = np.array([[1.0], [2.0]]), np.array([[1.4], [1.0]])
    np.testing.assert_array_equal(env.compute_reward(achieved, desired, {}), [1.0, 0.0])
    assert env.compute_terminated(achieved, desired, {}) is False


def test_goal_envs_keep_compute_reward_if_goals_are_not_points():
    goals = PredicateGoals({"far": lambda point: point[..., 0] > 2})
    env = GoalConditionedWrapper(MultiGoalWrapper(LineGoalEnv(), goals))
    obs, _ = env.reset()
    assert obs["desired_goal"].tolist() == [3.0]
    assert env.compute_reward(np.array([1.0]), np.array([3.0]), {}) == -1.0


@pytest.mark.parametrize("on_success", ["terminate", "continue", "switch"])
@pytest.mark.parametrize("inner", [make_line, make_line_goal_env])
def test_env_checkers(inner, on_success):
    check_env(GoalConditionedWrapper(inner(), on_success=on_success), skip_render_check=True)
    if on_success != "switch" or inner is make_line:  # after a switch, desired_goal is not the goal of the reward
        sb3_check_env(GoalConditionedWrapper(inner(), on_success=on_success))


class NestedEnv(LineEnv):
    def __init__(self):
        super().__init__()
        self.observation_space = spaces.Dict({"deep": spaces.Dict({"x": spaces.Discrete(2)})})


class EnvWithoutMasks(gym.Env):
    observation_space = action_space = spaces.Discrete(2)
    goal_names = ("a",)

    def reset(self, **kwargs):
        return 0, {}


NESTED = MultiGoalWrapper(NestedEnv(), PredicateGoals({"a": lambda s: s}), signal=lambda obs, info: obs)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GoalConditionedWrapper(LineEnv()), "without goal_names; wrap it with MultiGoalWrapper"),
        (lambda: GoalConditionedWrapper(make_line(), goal="at/9"), "got 'at/9'; nearest"),
        (lambda: GoalConditionedWrapper(make_line(), goal=5), "goal id from 0 to 4, got 5"),
        (lambda: GoalConditionedWrapper(make_line(), goal_selector="at/9"), "a strategy"),
        (lambda: GoalConditionedWrapper(make_line(), on_success="stop"), "on_success to be one of"),
        (lambda: GoalConditionedWrapper(GoalConditionedWrapper(make_line())), "has it already"),
        (lambda: GoalConditionedWrapper(NESTED), r"nested spaces at \['deep'\]"),
        (lambda: GoalConditionedWrapper(make_line()).reset(options={"goal": "at/9"}), "got 'at/9'"),
        (lambda: GoalConditionedWrapper(make_line()).set_goal(-1), "got -1"),
        (lambda: GoalConditionedWrapper(EnvWithoutMasks()).reset(), r"expected info\['goals_achieved'\] at reset"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_fixed_goal():
    env = GoalConditionedWrapper(make_line(), goal="at/3")
    assert env.fixed_goal == 3
    env.set_goal(None)
    assert env.fixed_goal is None
    env.set_goal("at/1")
    assert env.fixed_goal == 1
