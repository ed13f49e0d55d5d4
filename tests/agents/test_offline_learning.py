"""Learning from a dataset: equal to updates from the same replay buffer, resumed exactly, and what only it needs."""

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from stable_baselines3 import TD3
from stable_baselines3.common.callbacks import BaseCallback, ConvertCallback
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import DummyVecEnv

import leo_envs
from leo_agents import LEODQN, LEOSAC, LEOTD3, ExactCheckpoints, GoalDataset, collect_dataset
from leo_agents.algorithms import offline_learning
from leo_agents.baselines import goal_conditioned_actor_critic, goal_conditioned_bc, goal_conditioned_dqn
from leo_agents.evaluation import GoalEvalCallback, evaluate_goals
from leo_wrappers import AnyGoalWrapper
from tests.agents.plane_point import PlanePoint
from tests.line_env import line_goals, make_line

gym.register_envs(leo_envs)
ALGORITHMS = {"leodqn": LEODQN, "leotd3": LEOTD3, "leosac": LEOSAC}


def make_env(name):
    return make_line(start=None) if name == "leodqn" else gym.make("leo/MountainCarContinuous-v0")


def make_model(name, env=None, **kwargs):
    options = {"seed": 0, "batch_size": 32, "buffer_size": 600, "policy_kwargs": {"net_arch": [16]}, **kwargs}
    return ALGORITHMS[name]("MultiGoalPolicy", env or make_env(name), **options)


@pytest.fixture(scope="module")
def datasets():
    return {name: collect_dataset(make_env(name), 300) for name in ALGORITHMS}


def parameters(model):
    return {name: value.clone() for name, value in model.policy.state_dict().items()}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        th.testing.assert_close(value, second[name], rtol=0, atol=0, equal_nan=True, msg=name)


@pytest.mark.parametrize("options", [{}, {"n_steps": 3}, {"goals_per_update": 2}])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_equals_updates_from_the_same_replay_buffer(name, options, datasets):
    online, offline = (make_model(name, **options) for _ in range(2))
    dataset = datasets[name]
    buffer, states = online.replay_buffer, [dataset.observations["observation"], dataset.next_observations["observation"]]
    for row in range(len(dataset)):
        before, after = ({"observation": part[[row]]} for part in states)
        mask = np.unpackbits(dataset.packed_masks[row], count=len(dataset.goal_names)).astype(bool)
        infos = [{"goals_achieved": mask, "TimeLimit.truncated": bool(dataset.truncated[row])}]
        goal = {"goal_id": np.zeros(1, dtype=int)}
        actions = dataset.actions[[row]] if name == "leodqn" else online.policy.scale_action(dataset.actions[[row]])
        buffer.add({**before, **goal}, {**after, **goal}, actions, np.zeros(1), dataset.ended[[row]], infos)
    online._setup_learn(20)
    online._update_normalizers(dataset.observations)
    online._refresh_normalizers()
    set_random_seed(1)
    online.train(20, batch_size=32)

    class Seed(BaseCallback):
        def _on_training_start(self):
            set_random_seed(1)

        def _on_step(self):
            return True

    offline.learn_offline(dataset, 20, Seed())
    assert_same(parameters(online), parameters(offline))
    assert offline.num_timesteps == 20 and offline._n_updates == 20
    assert offline.replay_buffer.pos == 0 and not offline.replay_buffer.full


@pytest.mark.parametrize("name", ["leotd3", "leosac"])
def test_points_equal_updates_from_the_same_replay_buffer(name, tmp_path):
    """Own goals, shared goals and targets are those of a replay buffer with the same transitions and commanded goals."""
    dataset = collect_dataset(PlanePoint(), 60)
    online, offline = (make_model(name, PlanePoint(), buffer_size=60, n_steps=2) for _ in range(2))
    stored = offline._dataset_buffer(dataset)
    for row in range(len(dataset)):
        before, after = ({key: part[key][row] for key in part} for part in (stored.observations, stored.next_observations))
        infos = [{"TimeLimit.truncated": bool(dataset.truncated[row])}]
        online.replay_buffer.add(before, after, stored.actions[row], np.zeros(1), dataset.ended[[row]], infos)
    achieved = dataset.next_observations["achieved_goal"]
    assert all((achieved == goal).all(axis=1).any() for goal in stored.observations["desired_goal"][:, 0])
    online._setup_learn(12)
    online._update_normalizers({key: array[:, 0] for key, array in stored.observations.items()})
    online._refresh_normalizers()
    set_random_seed(1)
    online.train(12, batch_size=32)
    checkpoints = ExactCheckpoints(tmp_path, save_freq=8)

    class Seed(BaseCallback):
        def _on_training_start(self):
            set_random_seed(1)

        def _on_step(self):
            return True

    offline.learn_offline(dataset, 12, [Seed(), checkpoints])
    assert_same(parameters(online), parameters(offline))
    resumed = ALGORITHMS[name].resume(tmp_path).learn_offline(dataset, 4, reset_num_timesteps=False)
    assert_same(parameters(resumed), parameters(offline))


def test_points_need_achieved_goals_and_no_masks(datasets):
    env = gym.make("leo/FetchReach-v0")
    data = collect_dataset(env, 30)  # with masks
    model = LEOSAC("MultiGoalPolicy", AnyGoalWrapper(env), seed=0, buffer_size=5).learn_offline(data, 2)
    assert model._n_updates == 2
    with pytest.raises(ValueError, match=r"expected a dataset with the observations \['achieved_goal', 'observation'\]"):
        model.learn_offline(datasets["leotd3"], 1)
    with pytest.raises(ValueError, match=r"expected a dataset with the \d+ goals of the model, got 0"):
        points = collect_dataset(AnyGoalWrapper(env), 30)
        make_model("leotd3", env).learn_offline(points, 1)


def test_memory_maps_and_storage_on_a_device(datasets, tmp_path):
    datasets["leodqn"].save(tmp_path / "data")
    mapped = GoalDataset.load(tmp_path / "data")
    results = []
    for options, data in (
        ({}, datasets["leodqn"]),
        ({}, mapped),
        ({"replay_buffer_kwargs": {"storage_device": "cpu"}}, mapped),
    ):
        # The seed of the model also sets the global generators, which sample.
        model = make_model("leodqn", n_steps=2, **options)
        results.append(parameters(model.learn_offline(data, 10)))
    assert_same(results[0], results[1])
    assert_same(results[0], results[2])


@pytest.mark.parametrize("name", ALGORITHMS)
def test_resumes_exactly(name, datasets, tmp_path):
    data = datasets[name]
    options = {"conservative_weight": 0.1} if name == "leodqn" else {"bc_weight": 0.5}
    whole = make_model(name, expectile=0.8, **options)
    weights = []
    checkpoints = ExactCheckpoints(tmp_path, save_freq=10)
    whole.learn_offline(data, 25, [checkpoints, ConvertCallback(lambda *_: weights.append(parameters(whole)) or True)])
    resumed = ALGORITHMS[name].resume(tmp_path)
    assert resumed.num_timesteps == 20
    assert_same(parameters(resumed), weights[19])
    resumed.learn_offline(data, 5, reset_num_timesteps=False)
    assert_same(parameters(resumed), parameters(whole))


def test_learns_the_line_and_continues_online(datasets):
    model = make_model("leodqn", exploration_initial_eps=0.1, learning_starts=0).learn_offline(datasets["leodqn"], 500)
    env = make_line()
    assert evaluate_goals(model, env).mean_success == 1.0
    # From the start, goal x is achieved by x steps.
    values = model.values(env.reset(seed=0)[0])[0, 1:]
    np.testing.assert_allclose(values, 0.99 ** np.arange(4), atol=0.05)
    model.learn(100)
    assert model.replay_buffer.pos == 100 and model.num_timesteps == 100
    assert evaluate_goals(model, env).mean_success == 1.0


def test_callbacks_and_logger(datasets, tmp_path):
    model = make_model("leodqn", learning_rate=lambda progress: 1e-3 * progress)
    logged = []
    evaluation = GoalEvalCallback(make_line(), eval_freq=10, verbose=0)

    def log(*_):
        logged.append(model.logger.name_to_value["train/learning_rate"])
        return model.num_timesteps < 30

    model.learn_offline(datasets["leodqn"], 40, [evaluation, ConvertCallback(log)], log_interval=50)
    assert model.num_timesteps == 30 and evaluation.last_report is not None
    np.testing.assert_allclose(logged[10], 1e-3 * (1 - 11 / 40))


def test_conservative_loss(datasets):
    model = make_model("leodqn")
    model.learn_offline(datasets["leodqn"], 5)
    buffer = model._dataset_buffer(datasets["leodqn"])
    batch = buffer.sample(16)
    values = th.as_tensor(model.q_values(batch.observations["observation"].numpy()))
    logits = th.logit(values)
    taken = logits[th.arange(16), :, batch.actions.long().view(-1)]
    expected = (logits.exp().sum(dim=2).log() - taken).mean()
    th.testing.assert_close(model.learner.conservative_loss(batch).detach(), expected, rtol=1e-4, atol=1e-5)
    columns = (logits.logsumexp(dim=2) - taken)[:, [3, 1]].mean()
    loss = model.learner.conservative_loss(batch, th.tensor([3, 1])).detach()
    th.testing.assert_close(loss, columns, rtol=1e-4, atol=1e-5)


def test_conservative_values_of_missing_actions_are_lower():
    x = np.tile(np.arange(4, dtype=np.float32), 50)[:, None]
    ends = x[:, 0] == 3
    data = GoalDataset.from_arrays(x, np.ones(200, int), x + 1, ~ends & False, ends, goals=line_goals())
    plain, conservative = (
        make_model("leodqn", conservative_weight=weight).learn_offline(data, 300).q_values(x[:4]) for weight in (0.0, 0.1)
    )
    # Action 0 is not in the data; nothing holds its values down without the penalty.
    assert conservative[:, 2:, 0].mean() < 0.5 * plain[:, 2:, 0].mean()
    np.testing.assert_array_less(conservative[:, :, 0], conservative[:, :, 1])


@pytest.mark.parametrize("name", ["leotd3", "leosac"])
def test_behavior_cloning(name, datasets):
    data = datasets[name]
    constant = GoalDataset.from_arrays(
        data.observations,
        np.full_like(data.actions, 0.5),
        data.next_observations,
        data.terminated,
        data.truncated,
        goals_achieved=np.unpackbits(data.packed_masks, axis=1, count=len(data.goal_names)).astype(bool),
        goal_names=data.goal_names,
    )
    distances = {}
    for weight in (0.0, 100.0):
        model = make_model(name, bc_weight=weight).learn_offline(constant, 200)
        observations = {"observation": data.observations["observation"], "goal_id": np.arange(300) % len(data.goal_names)}
        distances[weight] = np.abs(model.predict(observations, deterministic=True)[0] - 0.5).mean()
    assert distances[100.0] < 0.1 < distances[0.0]


@pytest.mark.parametrize("offline_steps", [0, 5])
def test_weights_of_offline_learning_do_not_matter_online(offline_steps, datasets):
    models = []
    for weight in (0.0, 1.0):
        model = make_model("leodqn", learning_starts=10).learn_offline(datasets["leodqn"], offline_steps)
        model.learner.conservative_weight = weight
        models.append(model.learn(100))
    assert_same(*map(parameters, models))


@pytest.mark.parametrize("buffer", ["her", "all_goals"])
def test_baselines_learn_offline(buffer, datasets):
    model = goal_conditioned_dqn(make_line(), buffer=buffer, seed=0, learning_rate=3e-3, target_update_interval=100)
    model.learn_offline(datasets["leodqn"], 1_000)
    assert evaluate_goals(model, make_line()).mean_success == 1.0


def test_goals_that_were_never_achieved(datasets):
    x = np.zeros((3, 1), dtype=np.float32)
    ends = np.ones(3, dtype=bool)
    data = GoalDataset.from_arrays(x, np.ones(3, int), x + 1, ~ends, ends, goals=line_goals())
    with pytest.warns(UserWarning, match=r"never achieved in the data: 4 goals \(at/0, at/2, at/3, at/4\)"):
        make_model("leodqn").learn_offline(data, 1)


def test_errors(datasets, tmp_path):
    model = make_model("leodqn")
    data = datasets["leodqn"]
    with pytest.raises(TypeError, match="expected dataset to be a GoalDataset"):
        model.learn_offline(model.replay_buffer, 10)
    with pytest.raises(ValueError, match="expected gradient_steps"):
        model.learn_offline(data, -1)
    with pytest.raises(ValueError, match="expected a dataset with the 6 goals of the model"):
        make_model("leodqn", make_line(length=6)).learn_offline(data, 10)
    with pytest.raises(ValueError, match="expected a dataset with the 18 goals"):
        make_model("leotd3").learn_offline(data, 10)
    make_model("leodqn").save(tmp_path / "model")
    with pytest.raises(ValueError, match="expected an environment, for its spaces, got None"):
        LEODQN.load(tmp_path / "model").learn_offline(data, 10)
    with pytest.raises(ValueError, match="expected a GoalReplayBuffer to learn offline, got DictReplayBuffer"):
        goal_conditioned_dqn(make_line()).learn_offline(data, 10)
    for kwargs in ({"conservative_weight": -1.0}, {"conservative_weight": float("nan")}):
        with pytest.raises(ValueError, match="conservative_weight"):
            make_model("leodqn", **kwargs)
    with pytest.raises(ValueError, match="bc_weight"):
        make_model("leosac", bc_weight=-1.0)


def test_hindsight_replay_buffer_leaves_out_rows_without_goals(datasets):
    model = goal_conditioned_bc(make_line(), goal_selection_strategy="final", seed=0)
    data = datasets["leodqn"]
    masks = np.unpackbits(data.packed_masks, axis=1, count=5).astype(bool)
    masks[:, :3] = False
    arrays = (data.observations, data.actions, data.next_observations, data.terminated, data.truncated)
    buffer = model._dataset_buffer(GoalDataset.from_arrays(*arrays, goals_achieved=masks, goal_names=data.goal_names))
    ends = np.flatnonzero(data.ended)
    last = ends[np.searchsorted(ends, np.arange(300))]
    batch = buffer._get_samples(np.arange(300))
    kept = masks[last].any(axis=1)
    assert 0 < kept.sum() < 300
    np.testing.assert_array_equal(batch.observations["goal_id"].flatten(), masks[last].argmax(axis=1)[kept])
    np.testing.assert_array_equal(batch.actions.flatten(), data.actions.ravel()[kept])


@pytest.mark.parametrize("strategy", ["future", "final"])
def test_stitched_goals_follow_a_shared_goal_in_another_trajectory(strategy):
    """Two trajectories that meet at 2; only the second one reaches 4."""
    x = np.array([0, 1, 2, 3, 2, 3, 2], dtype=np.float32)[:, None]
    after = np.array([1, 2, 1, 2, 3, 2, 4], dtype=np.float32)[:, None]
    ends = np.array([0, 0, 1, 0, 0, 0, 1], dtype=bool)
    data = GoalDataset.from_arrays(x, np.ones(7, int), after, ~ends & False, ends, goals=line_goals())
    model = goal_conditioned_bc(make_line(), goal_selection_strategy=strategy, stitch_probability=1.0, seed=0)
    buffer = model._dataset_buffer(data)
    at, last = after.astype(int).ravel(), np.where(np.arange(7) < 3, 2, 6)

    def later(step):
        return at[step : last[step] + 1] if strategy == "future" else at[[last[step]]]

    for step in range(7):
        expected = {
            goal for via in later(step) for other in np.flatnonzero(at == via) for goal in later(min(other + 1, last[other]))
        }
        drawn = buffer._hindsight_goals(np.full(2_000, step), np.zeros(2_000, dtype=int))
        assert set(drawn.tolist()) == expected
        assert step or (4 in expected) == (strategy == "future")
    with pytest.raises(ValueError, match="expected stitch_probability"):
        goal_conditioned_bc(make_line(), stitch_probability=1.5)


@pytest.mark.parametrize("strategy", ["future", "final"])
def test_behavior_cloning_in_hindsight_learns_the_frequencies_of_actions(strategy, datasets):
    data = datasets["leodqn"]
    model = goal_conditioned_bc(
        make_line(),
        goal_selection_strategy=strategy,
        goal_input="one_hot",
        learning_rate=lambda rest: 5e-3 * rest,
        batch_size=300,
        seed=0,
    )
    model.learn_offline(data, 1_500)
    # How often action 1 was taken at each position, among pairs of a step and a goal, each step with the same weight.
    before, after = (part["observation"].astype(int).ravel() for part in (data.observations, data.next_observations))
    ends = np.flatnonzero(data.ended)
    counts = np.zeros((5, 5, 2))
    for step, action in enumerate(data.actions.ravel()):
        last = ends[np.searchsorted(ends, step)]
        goals = after[step : last + 1] if strategy == "future" else after[[last]]
        for goal in goals:
            counts[before[step], goal, action] += 1 / len(goals)
    positions, goals = np.nonzero(counts.sum(axis=2) >= 8)
    obs = {"observation": th.as_tensor(positions[:, None]).float(), "goal_id": th.as_tensor(goals[:, None])}
    learned = model.policy.log_prob(obs, th.ones(len(positions), 1)).exp().detach().numpy()
    expected = counts[positions, goals, 1] / counts[positions, goals].sum(axis=1)
    assert len(positions) > 10
    np.testing.assert_allclose(learned, expected, atol=0.04)
    with pytest.raises(ValueError, match="expected an agent with values, got behavior cloning"):
        model.policy.values([[0.0]])


def test_statistics_of_observations_are_those_of_the_data(monkeypatch):
    monkeypatch.setattr(offline_learning, "_CHUNK", 25)
    env = gym.make("leo/FetchReach-v0")
    data = collect_dataset(env, 60)
    leo = LEOTD3("MultiGoalPolicy", env, seed=0, buffer_size=10, goals_per_update=4).learn_offline(data, 1)
    baseline = goal_conditioned_actor_critic(TD3, env, buffer="her", seed=0, buffer_size=10).learn_offline(data, 1)
    achieved = data.observations["achieved_goal"]
    desired = env.unwrapped.goal_points[baseline._dataset_buffer(data).goal_ids[:, 0]]
    expected = {leo: achieved, baseline: np.concatenate([achieved, desired])}
    for model, points in expected.items():
        normalizer = model.policy.normalizer
        columns = slice(*normalizer.columns["achieved_goal"])
        np.testing.assert_allclose(normalizer.mean[columns], points.mean(axis=0), rtol=1e-6)
        model.learn_offline(collect_dataset(env, 4, seed=1), 1)
        np.testing.assert_allclose(normalizer.mean[columns], points.mean(axis=0), rtol=1e-6)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_extending_a_replay_buffer_adds_the_dataset(name, datasets):
    dataset = datasets[name]
    model = make_model(name)
    model.replay_buffer.extend(dataset)
    copy = GoalDataset.from_replay_buffer(model.replay_buffer)
    np.testing.assert_array_equal(copy.packed_masks, dataset.packed_masks)
    np.testing.assert_array_equal(copy.observations["observation"], dataset.observations["observation"])
    np.testing.assert_array_equal(copy.next_observations["observation"], dataset.next_observations["observation"])
    np.testing.assert_allclose(copy.actions, dataset.actions, atol=1e-6)
    np.testing.assert_array_equal(copy.terminated, dataset.terminated)
    np.testing.assert_array_equal(copy.ended[:-1], dataset.ended[:-1])
    assert copy.ended[-1]


def test_extending_splits_a_dataset_over_the_environments_and_keeps_the_newest(datasets):
    dataset = datasets["leodqn"]
    assert not dataset.ended[-54]  # else the end of the first part would show nothing
    model = make_model("leodqn", DummyVecEnv([make_line] * 2), buffer_size=106, n_steps=3)
    model.replay_buffer.extend(dataset)
    buffer, newest = model.replay_buffer, dataset.observations["observation"][-106:]
    assert buffer.full and buffer.pos == 0
    np.testing.assert_array_equal(buffer.observations["observation"], np.stack([newest[:53], newest[53:]], axis=1))
    # The parts end like truncated episodes, over which no window extends.
    assert buffer.dones[-1].all()
    np.testing.assert_array_equal(buffer.timeouts[-1], ~dataset.terminated[[-54, -1]])
    with pytest.raises(ValueError, match="goals"):
        make_model("leotd3").replay_buffer.extend(dataset)
