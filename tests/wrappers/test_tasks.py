"""Task sets: rewards and terminations of single, vectorized and multi-objective environments, checkers, invalid input."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

import leo_envs  # noqa: F401
from leo_wrappers import GoalConditionedWrapper, MultiGoalWrapper
from leo_wrappers.checks import ContractError, check_multigoal_env, check_task_env
from leo_wrappers.sb3 import GymVecEnv, VecGoalSampler, step_arrays
from leo_wrappers.tasks import (
    FunctionTasks,
    GoalTasks,
    PreferenceTasks,
    RewardTasks,
    Task,
    TaskVectorWrapper,
    TaskWrapper,
    Transition,
    VectorRewardWrapper,
    multi_objective_env,
    preference_grid,
)
from leo_wrappers.testing import task_sets, transitions
from tests.line_env import LineEnv, make_line

SPACES = spaces.Box(-5, 5, (2,), np.float32), spaces.Box(-1, 1, (1,), np.float32)
TASKS = FunctionTasks(
    [
        Task("reach/3", lambda t: 1.0 * t.goals_achieved[..., 3] - 0.1, termination=lambda t: t.goals_achieved[..., 3]),
        Task("stay/1", lambda t: t.next_observation[..., 0] == 1, discount=0.5),
        Task("left", lambda t: t.observation[..., 0] - t.next_observation[..., 0], discount=1.0),
        Task("right", lambda t: 1 * (t.action == 1)),
        Task("time", lambda t: t.reward, termination=lambda t: t.info["steps"] >= 4),
        Task("trap", lambda t: -5 * t.terminated),
    ]
)


def make_task_env(**kwargs):
    return TaskWrapper(make_line(**kwargs), TASKS)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_batch_equals_its_transitions(data):
    tasks = data.draw(task_sets(3))
    batch = data.draw(transitions(*SPACES, 3, (2, 3)))
    rewards, ended = tasks.evaluate(batch)
    assert rewards.dtype == np.float32 and ended.dtype == np.bool_
    assert rewards.shape == ended.shape == (2, 3, len(tasks)) == (2, 3, len(tasks.discounts))
    for row in np.ndindex(2, 3):
        one = tasks.evaluate(Transition(*(entry[row] for entry in batch[:-1]), {}))
        np.testing.assert_allclose(one.rewards, rewards[row], rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(one.ended, ended[row])


@given(transitions(*SPACES, 3, (4,)))
@settings(max_examples=30, deadline=None)
def test_goals_are_a_special_case(batch):
    rewards, ended = GoalTasks(["a", "b", "c"]).evaluate(batch)
    np.testing.assert_array_equal(ended, batch.goals_achieved)
    np.testing.assert_array_equal(rewards, batch.goals_achieved.astype(np.float32))


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_preferences_weigh_rewards(data):
    weights = np.array(data.draw(st.lists(st.tuples(*[st.integers(1, 9)] * 2), min_size=1, max_size=4, unique=True)))
    weights = np.unique(weights / weights.sum(axis=1, keepdims=True), axis=0)
    batch = data.draw(transitions(*SPACES, 3, (4,)))
    tasks = FunctionTasks([Task("a", lambda t: t.reward), Task("b", lambda t: t.observation[..., 1])])
    rewards, ended = PreferenceTasks(tasks, 7 * weights).evaluate(batch)
    expected = weights[:, 0] * batch.reward[:, None] + weights[:, 1] * batch.observation[:, 1:]
    np.testing.assert_allclose(rewards, expected, rtol=1e-4, atol=1e-4)
    assert not ended.any()


def test_preference_grid():
    assert preference_grid(2, 2).tolist() == [[0, 1], [0.5, 0.5], [1, 0]]
    grid = preference_grid(3, 4)
    assert len(np.unique(grid, axis=0)) == len(grid) == 15
    np.testing.assert_allclose(grid.sum(axis=1), 1)


def test_wrapper_reports_each_step():
    env = make_task_env(trap=4)
    _, info = env.reset()
    assert env.goal_names == TASKS.names and not info["goals_achieved"].any() and "task_rewards" not in info
    steps = [env.step(action) for action in (1, 0, 1, 1, 1, 1)]
    infos = [step[4] for step in steps]
    expected = [
        # reach/3, stay/1, left, right, time, trap
        [-0.1, 1, -1, 1, -1, 0],
        [-0.1, 0, 1, 0, -1, 0],
        [-0.1, 1, -1, 1, -1, 0],
        [-0.1, 0, -1, 1, -1, 0],
        [0.9, 0, -1, 1, -1, 0],
        [-0.1, 0, -1, 1, -1, -5],
    ]
    np.testing.assert_allclose([info["task_rewards"] for info in infos], expected, rtol=1e-6)
    ended = np.zeros((6, 6), dtype=bool)
    ended[4, 0] = ended[3:, 4] = True
    np.testing.assert_array_equal([info["goals_achieved"] for info in infos], ended)
    assert [step[1] for step in steps] == [-1.0] * 6 and steps[-1][2] and not steps[-2][2]


@pytest.mark.parametrize("trap", [None, 4])
def test_vector_wrapper_equals_single_ones(trap):
    """Episodes end by the trap and by the time limit at different steps."""

    def make(number):
        return lambda: make_line(trap=trap, start=number % 3, horizon=5 + number)

    envs = SyncVectorEnv([make(number) for number in range(4)], autoreset_mode=AutoresetMode.SAME_STEP)
    together = GymVecEnv(TaskVectorWrapper(envs, TASKS))
    assert together.get_attr("goal_names") == [TASKS.names] * 4 and together.get_attr("goal_points") == [None] * 4
    singles = [TaskWrapper(make(number)(), TASKS) for number in range(4)]
    together.reset()
    for env in singles:
        env.reset()
    generator, num_dones = np.random.default_rng(0), 0
    for _ in range(40):
        actions = generator.integers(2, size=4)
        step = step_arrays(together, actions)
        for number, env in enumerate(singles):
            _, _, terminated, truncated, info = env.step(actions[number])
            for reported in (step.task_rewards[number], step.infos[number]["task_rewards"]):
                np.testing.assert_array_equal(reported, info["task_rewards"])
            np.testing.assert_array_equal(step.goals_achieved[number], info["goals_achieved"])
            np.testing.assert_array_equal(step.infos[number]["goals_achieved"], info["goals_achieved"])
            assert step.dones[number] == (terminated or truncated)
            if terminated or truncated:
                num_dones += 1
                env.reset()
    assert num_dones > 10


def test_commanded_tasks_are_rewarded():
    envs = TaskVectorWrapper(SyncVectorEnv([make_line] * 2, autoreset_mode=AutoresetMode.SAME_STEP), TASKS)
    sampler = VecGoalSampler(GymVecEnv(envs), "right")
    sampler.reset()
    assert sampler.step(np.array([1, 0]))[1].tolist() == [1.0, 0.0]
    env = GoalConditionedWrapper(make_task_env(), "left")
    env.reset()
    assert env.step(1)[1] == -1.0 and env.step(0)[1] == 1.0


def test_environments_with_tasks_pass_the_checkers():
    check_task_env(make_task_env(trap=4), steps=60)
    check_multigoal_env(GoalConditionedWrapper(make_task_env()), observation_determines_mask=False, steps=60)


class Counting:
    """Task functions with a state, which no transition determines."""

    def __init__(self):
        self.count = 0

    def __call__(self, transition):
        self.count += 1
        return np.full(np.shape(transition.terminated), float(self.count))


@pytest.mark.parametrize(
    "reward, message",
    [(Counting(), "again with the same transition"), (lambda t: np.sum(t.next_observation), "with a batch of transitions")],
)
def test_checker_finds_functions_of_something_else(reward, message):
    tasks = FunctionTasks([Task("good", lambda t: 1.0), Task("bad", reward)])
    with pytest.raises(ContractError, match=message) as error:
        check_task_env(TaskWrapper(make_line(), tasks), steps=20)
    assert error.value.goals == ("bad",) and error.value.step is not None


# --------------------------------------------------------------------------------------------------------------------------
# Vector rewards


def test_masks_are_vector_rewards_and_back():
    line = make_line()
    env = multi_objective_env(VectorRewardWrapper(line), line.goal_names)
    plain = make_line()
    env.reset()
    plain.reset()
    for action in (1, 1, 0, 1):
        info, mask = env.step(action)[4], plain.step(action)[4]["goals_achieved"]
        np.testing.assert_array_equal(info["task_rewards"], mask.astype(np.float32))
        np.testing.assert_array_equal(info["vector_reward"], info["task_rewards"])
        assert not info["goals_achieved"].any()  # a reward ends nothing


def test_tasks_are_vector_rewards():
    env = VectorRewardWrapper(make_task_env())
    env.reset()
    reward = env.step(1)[1]
    assert env.unwrapped.reward_space.shape == reward.shape == (6,)
    np.testing.assert_allclose(reward, [-0.1, 1, -1, 1, -1, 0], rtol=1e-6)


def test_mo_gymnasium():
    mo_gymnasium = pytest.importorskip("mo_gymnasium")
    plain = mo_gymnasium.make("deep-sea-treasure-v0")
    env = multi_objective_env(mo_gymnasium.make("deep-sea-treasure-v0"), ["treasure", "time"], preferences=4)
    np.testing.assert_array_equal(plain.reset(seed=0)[0], env.reset(seed=0)[0])
    for action in (1, 1):  # down: the first treasure
        obs, reward, terminated, _, info = env.step(action)
        expected = plain.step(action)
        np.testing.assert_array_equal(obs, expected[0])
        np.testing.assert_array_equal(info["vector_reward"], expected[1])
        np.testing.assert_allclose(info["task_rewards"], preference_grid(2, 4) @ expected[1], rtol=1e-5)
        assert reward == pytest.approx(expected[1].sum()) and terminated == expected[2]
        if terminated:
            break
    assert terminated
    line = make_line()
    scalar = mo_gymnasium.wrappers.LinearReward(VectorRewardWrapper(line), weight=np.arange(5.0))
    scalar.reset()
    assert [scalar.step(1)[1] for _ in range(3)] == [1.0, 2.0, 3.0]


# --------------------------------------------------------------------------------------------------------------------------
# Invalid input


def test_not_finite_reward_names_task_step_and_environment():
    def reward(t):
        with np.errstate(divide="ignore"):
            return np.log(3.0 - t.next_observation[..., 0])

    tasks = FunctionTasks([Task("fine", lambda t: 1.0), Task("log", reward)])
    env = TaskWrapper(make_line(), tasks)
    env.reset()
    env.step(1)
    env.step(1)
    with pytest.raises(ValueError, match="finite rewards, got -inf for task 'log' at step 3 of the episode; check"):
        env.step(1)
    envs = SyncVectorEnv([make_line, lambda: make_line(start=1)], autoreset_mode=AutoresetMode.SAME_STEP)
    envs = TaskVectorWrapper(envs, tasks)
    envs.reset()
    envs.step(np.array([1, 1]))
    with pytest.raises(ValueError, match="task 'log' at step 2 of the episode of environment 1"):
        envs.step(np.array([1, 1]))


@pytest.mark.parametrize("discount", [-0.1, 1.1, np.nan])
def test_discounts_lie_between_0_and_1(discount):
    for make in (lambda: Task("t", lambda t: 0.0, discount=discount), lambda: RewardTasks(["t"], discount)):
        with pytest.raises(ValueError, match="the discount of task 't'"):
            make()


def test_names_are_unique():
    with pytest.raises(ValueError, match=r"unique task names, got duplicates of \['a'\]"):
        FunctionTasks([Task("a", lambda t: 0.0), Task("a", lambda t: 1.0)])
    with pytest.raises(ValueError, match="unique task names"):
        RewardTasks(["a"]) | RewardTasks(["a"])
    with pytest.raises(ValueError, match="at least one task, got an empty task set"):
        FunctionTasks([])


@pytest.mark.parametrize(
    "weights",
    [[1.0], [[1.0, 2.0, 3.0]], [1.0, 1.0], [], [[-1.0, 2.0]], [[0.0, 0.0]], [[np.nan, 1.0]], "equal", None, [[1], [1, 2]]],
)
def test_preferences_have_a_weight_for_each_reward(weights):
    with pytest.raises(ValueError, match="expected weights of"):
        PreferenceTasks(RewardTasks(["a", "b"]), weights)


def test_preferences_need_one_discount_and_one_termination():
    with pytest.raises(ValueError, match="same discount"):
        PreferenceTasks(RewardTasks(["a"], 0.5) | RewardTasks(["b"], 0.9), [[1, 1]])
    env = TaskWrapper(make_line(start=2), PreferenceTasks(FunctionTasks(TASKS.tasks[:1]) | RewardTasks(["b"]), [[1, 1]]))
    env.reset()
    with pytest.raises(ValueError, match=r"shape \(1,\)|end together"):
        env.step(1)
    ends = Task("other", lambda t: 0.0)
    env = TaskWrapper(make_line(start=2), PreferenceTasks(FunctionTasks([TASKS.tasks[0], ends]), [[1, 1]]))
    env.reset()
    with pytest.raises(ValueError, match="end together, got a transition that ends 'reach/3'"):
        env.step(1)


@pytest.mark.parametrize(
    "task, message",
    [
        (
            Task("a", lambda t: t.next_observation),
            r"reward of task 'a' to be numbers of shape \(\), got float32 of shape \(1,\)",
        ),
        (Task("a", lambda t: "much"), "reward of task 'a' to be numbers"),
        (Task("a", lambda t: 0.0, lambda t: 1.0), "termination of task 'a' to be bool"),
    ],
)
def test_functions_return_one_value_per_transition(task, message):
    env = TaskWrapper(make_line(), FunctionTasks([task]))
    env.reset()
    with pytest.raises(ValueError, match=message):
        env.step(1)


def test_wrong_arguments():
    with pytest.raises(TypeError, match="the reward of task 'a'"):
        Task("a", 1.0)
    with pytest.raises(TypeError, match="each task"):
        FunctionTasks([lambda t: 0.0])
    with pytest.raises(TypeError, match="tasks"):
        TaskWrapper(make_line(), [Task("a", lambda t: 0.0)])
    with pytest.raises(TypeError, match="env"):
        TaskWrapper("CartPole-v1", TASKS)
    with pytest.raises(ValueError, match="5 goals, got none; create GoalTasks"):
        env = TaskWrapper(LineEnv(), GoalTasks(list("abcde")))
        env.reset()
        env.step(1)
    with pytest.raises(ValueError, match="SAME_STEP"):
        TaskVectorWrapper(SyncVectorEnv([make_line]), TASKS)
    with pytest.raises(ValueError, match="reward_space"):
        multi_objective_env(LineEnv())
    with pytest.raises(ValueError, match="5 names"):
        multi_objective_env(VectorRewardWrapper(make_line()), ["a"])
    with pytest.raises(ValueError, match="goal_names"):
        VectorRewardWrapper(gym.make("CartPole-v1"))
    with pytest.raises(TypeError, match="TaskWrapper"):
        check_task_env(MultiGoalWrapper(LineEnv(), make_line().goal_set))
    for arguments in ((0, 2), (2, 0)):
        with pytest.raises(ValueError, match="expected"):
            preference_grid(*arguments)
