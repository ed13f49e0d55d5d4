"""Tasks learned by all algorithms: equality with goals, targets and exact values; evaluation of tasks and preferences."""

import itertools

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

from leo_agents import LEODQN, LEOPQN, LEOSAC, LEOTD3, DualLEOPQN, GoalDataset
from leo_agents.evaluation import evaluate_preferences, evaluate_tasks, hypervolume, pareto_front
from leo_agents.learning.policy_data import load_policy
from leo_wrappers import FixedGoal, GoalSet, GridGoals, MultiGoalWrapper
from leo_wrappers.sb3 import GymVecEnv
from leo_wrappers.tasks import (
    FunctionTasks,
    GoalTasks,
    PreferenceTasks,
    Task,
    TaskVectorWrapper,
    TaskWrapper,
    VectorRewardWrapper,
    multi_objective_env,
)
from tests.line_env import LineEnv, line_goals, make_line

SMALL = {"learning_starts": 32, "batch_size": 32, "buffer_size": 2_000, "policy_kwargs": {"net_arch": [32]}, "device": "cpu"}
TASKS = FunctionTasks(
    [
        Task(
            "reach/3", lambda t: t.goals_achieved[..., 3] - 0.1, termination=lambda t: t.goals_achieved[..., 3], discount=0.9
        ),
        Task("stay/1", lambda t: t.next_observation[..., 0] == 1, discount=0.5),
        Task("left", lambda t: 1.0 * (t.action == 0), discount=0.8),
    ]
)


def make_model(env, **kwargs):
    return LEODQN("MultiGoalPolicy", env, **{**SMALL, "seed": 0, **kwargs})


def make_continuous():
    goals = GridGoals([-1.2, -0.07], [0.6, 0.07], [3, 2])
    return MultiGoalWrapper(gym.make("MountainCarContinuous-v0", max_episode_steps=40), goals)


def weights_of(model):
    return th.cat([parameter.detach().flatten() for parameter in model.policy.parameters()])


@pytest.mark.parametrize("n_steps", [1, 3])
@pytest.mark.parametrize("algorithm", [LEODQN, LEOTD3, LEOSAC])
def test_goals_as_tasks_equal_goals(algorithm, n_steps):
    """The same training bit for bit, where tasks end when their goals are achieved."""
    make = make_line if algorithm is LEODQN else make_continuous
    models = []
    for env in (make(), TaskWrapper(make(), GoalTasks(make().goal_names))):
        linear = {"loss": "squared", "policy_kwargs": {"net_arch": [16], "squash": False}}
        settings = {**SMALL, **linear, "n_steps": n_steps, "goals_per_update": 3, "goal_selector": FixedGoal(1), "seed": 0}
        models.append(algorithm("MultiGoalPolicy", env, **settings).learn(80))
    goals, tasks = models
    assert tasks.task_discounts == (0.99,) * len(goals.goal_names)
    assert goals.replay_buffer.packed_masks.any()
    assert th.equal(weights_of(goals), weights_of(tasks))


@pytest.mark.parametrize("q_lambda", [0.0, 0.7])
def test_goals_as_tasks_equal_goals_in_rollouts(q_lambda):
    models = []
    for is_task in (False, True):
        envs = SyncVectorEnv([lambda: make_line(trap=4)] * 4, autoreset_mode=AutoresetMode.SAME_STEP)
        if is_task:
            envs = TaskVectorWrapper(envs, GoalTasks(line_goals().names))
        settings = {"loss": "squared", "policy_kwargs": {"net_arch": [16], "squash": False}, "goal_selector": FixedGoal(1)}
        settings |= {"n_steps": 16, "batch_size": 32, "q_lambda": q_lambda, "seed": 0, "device": "cpu"}
        models.append(LEOPQN("MultiGoalPolicy", envs, **settings).learn(256))
    assert th.equal(weights_of(models[0]), weights_of(models[1]))


@pytest.mark.parametrize(("n_steps", "cut_tolerance"), [(1, None), (3, None), (3, 0.0)])
def test_targets_equal_sums_over_the_episodes(n_steps, cut_tolerance):
    """Compare the targets of all stored windows with loops over the rewards."""
    env = TaskWrapper(make_line(trap=4, horizon=6), TASKS)
    model = make_model(env, n_steps=n_steps, cut_tolerance=cut_tolerance).learn(100)
    buffer, discounts = model.replay_buffer, np.array(model.task_discounts)
    assert discounts.tolist() == [0.9, 0.5, 0.8]
    rewards, masks = buffer.task_rewards[:100, 0], np.unpackbits(buffer.packed_masks[:100, 0], axis=1, count=3)
    dones, timeouts = buffer.dones[:100, 0], buffer.timeouts[:100, 0]
    inds = np.arange(100)
    batch = buffer._get_samples(inds)
    targets = model.learner.targets(batch).numpy()
    after = {key: th.tensor(array[:100, 0]) for key, array in buffer.next_observations.items()}
    q_values = model.q_net_target(after).detach().numpy()  # of the state after each step
    assert masks[:, 0].any() and not masks[:, 1:].any() and timeouts.any() and (dones > timeouts).any()
    num_cuts = 0
    for start, task in itertools.product(range(100), range(3)):
        expected, factor = 0.0, 1.0
        for step in range(start, min(start + n_steps, 100)):
            expected += factor * rewards[step, task]
            factor *= discounts[task]
            if masks[step, task] or (dones[step] and not timeouts[step]):
                factor = 0.0
            if factor == 0.0 or dones[step] or step == 99:
                break
            later = q_values[step, task]
            if cut_tolerance is not None and later[buffer.actions[step + 1, 0, 0]] < later.max() - 1e-6:
                num_cuts += step + 1 < start + n_steps
                break
        expected += factor * q_values[step, task].max()
        assert targets[start, task] == pytest.approx(expected, rel=1e-4, abs=1e-5), (start, task)
    assert (num_cuts > 0) == (cut_tolerance is not None)


def line_values(tasks, length, iterations=300):
    """Compute the optimal values ``[K, S, A]`` of tasks on a line by value iteration."""
    env, discounts = TaskWrapper(make_line(length=length, horizon=10**6), tasks), np.array(tasks.discounts)
    rewards, ended = np.zeros((2, length, 2, len(tasks)))
    successors = np.zeros((length, 2), dtype=int)
    for state, action in itertools.product(range(length), range(2)):
        env.unwrapped.start = state
        env.reset()
        obs, _, _, _, info = env.step(action)
        successors[state, action] = int(obs[0])
        rewards[state, action], ended[state, action] = info["task_rewards"], info["goals_achieved"]
    q = np.zeros_like(rewards)
    for _ in range(iterations):
        q = rewards + discounts * (1 - ended) * q.max(axis=1)[successors]
    return q.transpose(2, 0, 1)


def test_exact_values_of_costs_staying_and_counting():
    env = TaskWrapper(make_line(start=None, horizon=20), TASKS)
    model = make_model(env, learning_rate=3e-3, exploration_final_eps=1.0, learning_starts=600, policy_kwargs=None)
    model.learn(600)
    model.train(1_200, batch_size=64)
    observations = np.arange(5, dtype=np.float32)[:, None]
    expected = line_values(TASKS, 5)
    np.testing.assert_allclose(model.q_values(observations).transpose(1, 0, 2), expected, atol=0.1)
    # Of the optimal policies, that for reaching 3 with costs goes there, and that for staying at 1 turns back.
    assert [model.act(observations[0], goal=name) for name in TASKS.names] == [1, 1, 0]
    assert model.act(observations[2], goal="stay/1") == 0


def test_all_algorithms_learn_tasks_that_never_end():
    """The value of a constant reward is 1 / (1 - gamma) everywhere, also behind time limits."""
    tasks = FunctionTasks([Task("one", lambda t: 1.0, discount=0.5), Task("none", lambda t: 0.0)])
    for algorithm in (LEOTD3, LEOSAC):
        env = TaskWrapper(gym.make("MountainCarContinuous-v0", max_episode_steps=10), tasks)
        model = algorithm("MultiGoalPolicy", env, **{**SMALL, "learning_rate": 1e-2, "tau": 0.2, "seed": 0}).learn(100)
        model.train(150, batch_size=32)
        np.testing.assert_allclose(model.values(env.reset(seed=0)[0]), [[2.0, 0.0]], atol=0.2)
    envs = SyncVectorEnv([lambda: make_line(horizon=4)] * 8, autoreset_mode=AutoresetMode.SAME_STEP)
    envs = TaskVectorWrapper(envs, tasks)
    model = LEOPQN("MultiGoalPolicy", envs, n_steps=8, batch_size=32, learning_rate=1e-2, seed=0, device="cpu").learn(3_200)
    np.testing.assert_allclose(model.values(np.zeros((1, 1), dtype=np.float32)), [[2.0, 0.0]], atol=0.2)


# --------------------------------------------------------------------------------------------------------------------------
# Preferences and evaluation


def two_ends(**kwargs):
    """A line with an entry of the reward for each end."""
    line = MultiGoalWrapper(LineEnv(length=3, start=1, horizon=6), line_goals(3).subset([0, 2]))
    return multi_objective_env(VectorRewardWrapper(line), ["left", "right"], **kwargs)


def test_preferences_choose_the_nearest_task(tmp_path):
    model = make_model(two_ends(preferences=4, discount=0.5))
    actions = []
    for weights in ([1, 3], [0.2, 0.8], [0.49, 0.51], [70, 1]):
        nearest = {"[1, 3]": 1, "[0.2, 0.8]": 1, "[0.49, 0.51]": 2, "[70, 1]": 4}[str(weights)]
        assert model._preferred(weights) == nearest
        obs = np.ones(1, dtype=np.float32)
        actions.append(model.act(obs, weights=weights))
        assert actions[-1] == model.act(obs, goal=nearest)
    model.save(tmp_path / "model")
    loaded = LEODQN.load(tmp_path / "model")
    assert loaded.act(obs, weights=[1, 3]) == actions[0] and tuple(loaded.task_discounts) == (0.5,) * 5
    loaded.set_env(two_ends(preferences=4, discount=0.5))
    loaded.learn(40)
    agent = load_policy(tmp_path / "model.zip")
    assert [agent.act(np.ones(1), weights=weights) for weights in ([1, 3], [0.2, 0.8], [0.49, 0.51], [70, 1])] == actions
    with pytest.raises(ValueError, match="expected goals, whose values have a number of steps, got tasks"):
        agent.expected_steps(np.ones(1))


def test_factored_head_takes_any_preference():
    model = make_model(two_ends(preferences=4), head="factored")
    np.testing.assert_array_equal(model.policy.descriptors, model.task_weights)
    obs = np.ones(1, dtype=np.float32)
    assert model.act(obs, weights=[2, 3]) == model.act(obs, goal=[0.4, 0.6])


def test_learned_preferences():
    env = two_ends(preferences=4, discount=0.8)
    model = make_model(env, learning_starts=200, exploration_final_eps=1.0).learn(200)
    model.train(400, batch_size=64)
    report = evaluate_preferences(
        lambda obs, weights: model.act(obs, weights=weights), env.env, [[1, 0], [0, 1], [2, 1]], 0.8, max_steps=5
    )
    total = sum(0.8**step for step in range(5))
    np.testing.assert_allclose(report.returns, [[total, 0], [0, total], [total, 0]])
    assert report.front.tolist() == [[0, total], [total, 0]]
    assert report.hypervolume([-1, -1]) == pytest.approx(2 * total + 1)


def test_evaluate_tasks():
    env = TaskWrapper(make_line(horizon=6), TASKS)
    model = make_model(env, learning_starts=10**6)
    model.act = lambda obs, goal: 1 if goal == 0 else 0  # to the right for the first task
    reach, stay, left = evaluate_tasks(model, env, episodes=2, seed=0)
    assert reach.returns == pytest.approx([-0.1 - 0.09 + 0.81 * 0.9] * 2) and reach.ended == 2
    assert stay.returns == (0.0, 0.0) and stay.ended == 0
    assert left.mean == pytest.approx(sum(0.8**step for step in range(6)))
    assert [result.task for result in evaluate_tasks(model, env, tasks=["left"])] == ["left"]


def test_returns_of_the_commanded_tasks_are_logged():
    envs = TaskVectorWrapper(SyncVectorEnv([make_line] * 2, autoreset_mode=AutoresetMode.SAME_STEP), TASKS)
    model = make_model(GymVecEnv(envs)).learn(60)
    selector = model.goal_sampler.goal_selector
    assert type(selector).__name__ == "UniformGoals" and selector.attempts.sum() > 0
    rows = slice(0, model.replay_buffer.pos)
    goals, rewards = model.replay_buffer.goal_ids[rows], model.replay_buffer.task_rewards[rows]
    np.testing.assert_array_equal(model.replay_buffer.rewards[rows], np.take_along_axis(rewards, goals[..., None], 2)[..., 0])


@given(st.integers(1, 3).flatmap(lambda d: st.lists(st.tuples(*[st.integers(-1, 4)] * d), min_size=1, max_size=7)))
@settings(max_examples=100, deadline=None)
def test_hypervolume_counts_dominated_cells(points):
    """Compare with the number of unit cells above the reference that some point dominates."""
    array = np.array(points, dtype=float)
    cells = itertools.product(range(4), repeat=array.shape[1])
    expected = sum(any(all(cell[axis] < point[axis] for axis in range(len(cell))) for point in points) for cell in cells)
    assert hypervolume(array, np.zeros(array.shape[1])) == pytest.approx(expected)
    front = pareto_front(array)
    assert hypervolume(front, np.zeros(array.shape[1])) == pytest.approx(expected)
    for point in set(points):
        dominated = any(other != point and all(a >= b for a, b in zip(other, point, strict=True)) for other in points)
        assert (list(map(float, point)) in front.tolist()) == (not dominated)


def test_hypervolume_in_two_dimensions_equals_a_sweep():
    generator = np.random.default_rng(0)
    points, reference = generator.normal(size=(30, 2)), np.array([-2.0, -1.0])
    front = pareto_front(np.maximum(points, reference))[::-1]
    below = [reference[1], *front[:-1, 1]]
    assert hypervolume(points, reference) == pytest.approx(float(((front[:, 0] - reference[0]) * (front[:, 1] - below)).sum()))


# --------------------------------------------------------------------------------------------------------------------------
# Invalid input


def test_act_takes_a_goal_or_valid_weights():
    model, obs = make_model(two_ends(preferences=4)), np.ones(1, dtype=np.float32)
    for kwargs, got in (({}, "neither"), ({"goal": 0, "weights": [1, 0]}, "both")):
        with pytest.raises(ValueError, match=f"expected a goal or weights, got {got}"):
            model.act(obs, **kwargs)
    for weights in ([1.0], [1.0, 0.0, 0.0], [[1.0, 0.0]], 1.0):
        with pytest.raises(ValueError, match=r"expected weights of shape \[2\]"):
            model.act(obs, weights=weights)
    for weights in ([-1.0, 1.0], [0.0, 0.0], [np.inf, 1.0]):
        with pytest.raises(ValueError, match="at least 0 with a positive sum"):
            model.act(obs, weights=weights)
    for env in (two_ends(), make_line()):
        with pytest.raises(ValueError, match="trained with preferences"):
            make_model(env).act(obs, weights=[1, 0])


def test_tasks_have_no_bounds_steps_or_datasets():
    env = TaskWrapper(make_line(), TASKS)
    with pytest.raises(ValueError, match="squash=False for tasks"):
        make_model(env, policy_kwargs={"squash": True})
    model = make_model(env)
    assert model.loss == "squared" and not model.q_net.squash
    with pytest.raises(ValueError, match="number of steps"):
        model.expected_steps(np.zeros((1, 1), dtype=np.float32))
    with pytest.raises(ValueError, match="storage_device"):
        make_model(env, replay_buffer_kwargs={"storage_device": "cpu"})
    with pytest.raises(ValueError, match="got one of tasks"):
        GoalDataset.from_replay_buffer(model.replay_buffer)
    data = GoalDataset.from_replay_buffer(make_model(make_line()).learn(40).replay_buffer)
    with pytest.raises(ValueError, match="expected goals, got tasks"):
        model.learn_offline(data, 2)
    with pytest.raises(ValueError, match="tasks of the model"):
        model.set_env(MultiGoalWrapper(LineEnv(), GoalSet(TASKS.names, lambda s: np.repeat(s > 2, 3, axis=-1))))


def test_other_algorithms_do_not_learn_tasks():
    envs = TaskVectorWrapper(SyncVectorEnv([make_line] * 2, autoreset_mode=AutoresetMode.SAME_STEP), TASKS)
    with pytest.raises(ValueError, match="DualLEOPQN cannot learn"):
        DualLEOPQN("MultiGoalPolicy", envs)


def test_evaluation_of_wrong_input():
    env = TaskWrapper(make_line(), TASKS)
    with pytest.raises(ValueError, match="use evaluate_goals"):
        evaluate_tasks(make_model(make_line()), make_line())
    with pytest.raises(ValueError, match="'left'"):
        evaluate_tasks(make_model(env), env, tasks=["lef"])
    with pytest.raises(ValueError, match="vector rewards"):
        evaluate_preferences(lambda obs, weights: 0, make_line(), [[1.0, 2.0]], 0.9)
    for arguments in (([1.0], [0.0]), ([[1.0, np.nan]], [0.0, 0.0]), ([[1.0, 2.0]], [0.0])):
        with pytest.raises(ValueError, match="expected"):
            hypervolume(*arguments)


def test_preference_tasks_are_spread_over_the_rewards():
    assert two_ends(preferences=[[1, 1], [3, 1]]).goal_names == ("preference/0.5,0.5", "preference/0.75,0.25")
    assert isinstance(two_ends(preferences=2).task_set, PreferenceTasks)
    assert isinstance(two_ends().observation_space, spaces.Box)
