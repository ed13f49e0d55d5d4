"""Datasets of transitions: equal to the replay buffer they come from, on the disk, in Minari's format, and their errors."""

import json

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env

import leo_envs
from leo_agents import LEODQN, LEOSAC, LEOTD3, GoalDataset, collect_dataset, from_minari, to_minari
from leo_agents.baselines import MaskHerReplayBuffer
from leo_agents.replay import goal_dataset
from leo_agents.replay.episode_bounds import EpisodeBounds
from leo_wrappers import AnyGoalWrapper, PointGoals
from tests.agents.plane_point import PlanePoint
from tests.line_env import line_goals, make_line

gym.register_envs(leo_envs)
NAMES = tuple(f"at/{x}" for x in range(5))


def collected(steps=100, num_envs=3, buffer_size=1_000, **kwargs):
    """Return a model with a replay buffer of random transitions."""
    venv = make_vec_env(lambda: make_line(**kwargs), n_envs=num_envs)
    return LEODQN("MultiGoalPolicy", venv, seed=0, learning_starts=10_000, buffer_size=buffer_size).learn(steps)


def arrays(length=6):
    """Return arrays of two episodes on the line, of which the first one terminated."""
    x = np.array([0, 1, 2, 1, 2, 3], dtype=np.float32)[:length, None]
    terminated, truncated = np.zeros(length, dtype=bool), np.zeros(length, dtype=bool)
    terminated[2], truncated[-1] = True, True
    return {
        "observations": x,
        "actions": np.ones(length, dtype=np.int64),
        "next_observations": x + 1,
        "terminated": terminated,
        "truncated": truncated,
    }


def assert_equal(first, second):
    assert first.goal_names == second.goal_names
    ours, others = first.arrays(), second.arrays()
    assert ours.keys() == others.keys()
    for name, array in ours.items():
        assert array.dtype == others[name].dtype, name
        np.testing.assert_array_equal(array, others[name], err_msg=name)


@pytest.mark.parametrize("buffer_size", [1_000, 60])
def test_transitions_of_a_replay_buffer(buffer_size):
    model = collected(buffer_size=buffer_size, trap=4)
    buffer, dataset = model.replay_buffer, GoalDataset.from_replay_buffer(model.replay_buffer)
    size = buffer.buffer_size if buffer.full else buffer.pos
    oldest = buffer.pos if buffer.full else 0
    assert len(dataset) == 3 * size and dataset.goal_names == NAMES
    for row in range(len(dataset)):
        position, env = (oldest + row % size) % buffer.buffer_size, row // size
        assert dataset.observations["observation"][row] == buffer.observations["observation"][position, env]
        assert dataset.next_observations["observation"][row] == buffer.next_observations["observation"][position, env]
        assert dataset.actions[row] == buffer.actions[position, env]
        np.testing.assert_array_equal(dataset.packed_masks[row], buffer.packed_masks[position, env])
        done, timeout = buffer.dones[position, env], buffer.timeouts[position, env]
        assert dataset.terminated[row] == (done and not timeout)
        assert dataset.truncated[row] == (bool(timeout) or (row % size == size - 1 and not dataset.terminated[row]))
    at = dataset.next_observations["observation"].astype(int).ravel()
    np.testing.assert_array_equal(dataset.achieved_counts(), np.bincount(at, minlength=5))


def test_a_second_call_of_learn_ends_the_episodes():
    model = collected(steps=24, num_envs=1, horizon=100)
    model.learn(20)
    # The first call ends at step 24, whose next observation is not the start.
    model.replay_buffer.next_observations["observation"][23] = 3.0
    dataset = GoalDataset.from_replay_buffer(model.replay_buffer)
    np.testing.assert_array_equal(np.flatnonzero(dataset.ended), [23, 43])


def test_masks_are_computed_from_observations():
    dataset = GoalDataset.from_arrays(**arrays(), goals=line_goals())
    masks = np.unpackbits(dataset.packed_masks, axis=1, count=5).astype(bool)
    np.testing.assert_array_equal(masks.argmax(axis=1), [1, 2, 3, 2, 3, 4])
    assert (masks.sum(axis=1) == 1).all()
    assert_equal(dataset, GoalDataset.from_arrays(**arrays(), goals_achieved=masks, goal_names=NAMES))
    shifted = GoalDataset.from_arrays(**arrays(), goals=line_goals(), signal=lambda obs, info: obs - 1)
    np.testing.assert_array_equal(np.unpackbits(shifted.packed_masks, axis=1, count=5).argmax(axis=1), [0, 1, 2, 1, 2, 3])
    assert dataset.never_achieved() == ["at/0"] and shifted.never_achieved() == ["at/4"]
    assert repr(dataset) == "GoalDataset(6 transitions, 2 episodes, 5 goals)"


def test_masks_of_gridworld_equal_the_recorded_ones():
    env = gym.make("leo/GridWorld-v0", map="S..\n.#.\n...").unwrapped
    model = LEODQN("MultiGoalPolicy", env, seed=0, learning_starts=10_000, buffer_size=100).learn(50)
    recorded = GoalDataset.from_replay_buffer(model.replay_buffer)
    before, after = recorded.observations["observation"], recorded.next_observations["observation"]
    ends = (recorded.terminated, recorded.truncated)
    options = {"goals": env.goal_set, "signal": env.goal_signal}
    assert_equal(recorded, GoalDataset.from_arrays(before, recorded.actions, after, *ends, **options))
    # A dictionary of this key alone, with or without a commanded goal, stands for the array.
    by_key = [{**one, "goal_id": np.zeros(52)} for one in (recorded.observations, recorded.next_observations)]
    assert_equal(recorded, GoalDataset.from_arrays(by_key[0], recorded.actions, by_key[1], *ends, **options))


def test_continuous_actions_are_those_of_the_environment():
    env = gym.make("leo/MountainCarContinuous-v0")
    model = LEOTD3("MultiGoalPolicy", env, seed=0, learning_starts=10_000, buffer_size=100).learn(40)
    dataset = GoalDataset.from_replay_buffer(model.replay_buffer)
    assert dataset.actions.shape == (40, *env.action_space.shape) and dataset.actions.dtype == env.action_space.dtype
    assert all(env.action_space.contains(action) for action in dataset.actions)
    buffer = MaskHerReplayBuffer(1, model.observation_space, model.action_space)
    buffer.goal_names = model.goal_names
    buffer.read_dataset(dataset)
    np.testing.assert_allclose(buffer.actions, model.replay_buffer.actions[:40], atol=1e-6)


def test_save_and_load(tmp_path):
    dataset = GoalDataset.from_replay_buffer(collected().replay_buffer)
    dataset.save(tmp_path / "data")
    loaded = GoalDataset.load(tmp_path / "data")
    assert_equal(dataset, loaded)
    assert all(isinstance(array, np.memmap) for array in loaded.arrays().values())
    with pytest.raises(ValueError, match="expected a new folder"):
        dataset.save(tmp_path / "data")


def test_bounds_of_complete_episodes_equal_those_of_steps():
    ended = np.array([0, 0, 1, 1, 0, 1], dtype=bool)
    bounds, added = EpisodeBounds.of_ends(ended), EpisodeBounds(6, 1)
    for end in ended:
        added.add(np.array([True]), end[None])
    inds, env_inds = np.arange(6), np.zeros(6, dtype=int)
    for one in (bounds, added):
        np.testing.assert_array_equal(one.first(inds, env_inds), [0, 0, 0, 3, 4, 4])
    np.testing.assert_array_equal(bounds.last(inds, env_inds), [2, 2, 2, 3, 5, 5])
    np.testing.assert_array_equal(bounds.last(inds, env_inds), added.last(inds, env_inds))
    np.testing.assert_array_equal(bounds.steps_of(inds), inds)


@pytest.mark.parametrize("length", [1, 2])
def test_the_smallest_datasets(length):
    values = {name: value[-length:] for name, value in arrays().items()}
    dataset = GoalDataset.from_arrays(**values, goals=line_goals())
    assert len(dataset) == length and dataset.ended.sum() == 1
    model = LEODQN("MultiGoalPolicy", make_line(), seed=0, n_steps=3, buffer_size=5)
    with pytest.warns(UserWarning, match="never achieved"):
        model.learn_offline(dataset, 2)
    assert model._n_updates == 2


def test_chunks(monkeypatch):
    monkeypatch.setattr(goal_dataset, "_CHUNK", 2)
    dataset = GoalDataset.from_arrays(**arrays(), goals=line_goals())
    np.testing.assert_array_equal(dataset.achieved_counts(), [0, 1, 2, 2, 1])
    for row in (0, 1, 3, 4):
        values = arrays()
        values["next_observations"][row] += 1
        with pytest.raises(ValueError, match=f"expected an end of the episode at row {row}, because"):
            GoalDataset.from_arrays(**values, goals_achieved=np.ones((6, 5), dtype=bool), goal_names=NAMES)


def changed(**changes):
    return {**arrays(), **changes}


BAD = {
    "empty": ({name: value[:0] for name, value in arrays().items()}, "expected at least one transition"),
    "nan": (changed(observations=np.full((6, 1), np.nan, np.float32)), r"got others in observations/observation, row 0"),
    "rows": (changed(actions=np.ones(5, dtype=int)), r"expected observations/observation to be numbers \[5, \.\.\.\]"),
    "shapes": (changed(next_observations=np.zeros((6, 2))), "expected 'observation' of the same shape before and after"),
    "scalar": (changed(actions=1), "expected at least one transition"),
    "objects": (changed(actions=np.array([{}] * 6)), "expected actions to be numbers"),
    "flags": (changed(terminated=np.zeros(6)), "expected terminated to be bool"),
    "keys": (
        changed(next_observations={"state": np.zeros((6, 1))}),
        "expected observations and next_observations with the same",
    ),
    "no end": (changed(terminated=np.zeros(6, dtype=bool)), "expected an end of the episode at row 2, because"),
    "open": (changed(truncated=np.zeros(6, dtype=bool)), "expected the last transition to end its episode"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arrays(case):
    values, message = BAD[case]
    masks = np.ones((len(values["next_observations"]) if case != "keys" else 6, 5), dtype=bool)
    with pytest.raises(ValueError, match=message):
        GoalDataset.from_arrays(**values, goals_achieved=masks, goal_names=NAMES)


def test_empty_data():
    with pytest.raises(ValueError, match="expected at least one transition, got an empty replay buffer"):
        GoalDataset.from_replay_buffer(collected(steps=0).replay_buffer)
    with pytest.raises(ValueError, match="expected at least one transition, got an empty dataset"):
        GoalDataset.from_arrays(**{name: value[:0] for name, value in arrays().items()}, goals=line_goals())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "expected either goals, or goals_achieved with goal_names"),
        ({"goals": line_goals(), "goals_achieved": np.ones((6, 5), bool), "goal_names": NAMES}, "got neither or both"),
        ({"goals_achieved": np.ones((6, 5), bool)}, "got neither or both"),
        ({"goals_achieved": np.ones((6, 4), bool), "goal_names": NAMES}, r"expected goals_achieved to be bool \[T, 5\]"),
        ({"goals_achieved": np.ones((6, 5)), "goal_names": NAMES}, "got float64 of shape"),
        ({"goals": PointGoals(np.eye(3), tolerance=1.0)}, "expected a signal of shape"),
        ({"goals": line_goals(), "signal": lambda obs, info: obs[0]}, "expected one signal per observation, 6"),
    ],
)
def test_bad_goals(options, message):
    with pytest.raises(ValueError, match=message):
        GoalDataset.from_arrays(**arrays(), **options)


def test_damaged_files(tmp_path):
    with pytest.raises(ValueError, match=r"expected a folder with dataset\.json"):
        GoalDataset.load(tmp_path / "nothing")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"expected a folder with dataset\.json"):
        GoalDataset.load(tmp_path / "file")
    folder = tmp_path / "data"
    GoalDataset.from_arrays(**arrays(), goals=line_goals()).save(folder)
    content = (folder / "0.npy").read_bytes()
    (folder / "0.npy").write_bytes(content[:-4])
    with pytest.raises(ValueError, match=r"expected a complete .*0\.npy with observations/observation, got a truncated"):
        GoalDataset.load(folder)
    (folder / "0.npy").unlink()
    with pytest.raises(ValueError, match=r"got no such file"):
        GoalDataset.load(folder)
    (folder / "0.npy").write_bytes(content)
    about = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**about, "goal_names": about["goal_names"] * 2}))
    with pytest.raises(ValueError, match="duplicates"):
        GoalDataset.load(folder)
    (folder / "dataset.json").write_text(json.dumps({**about, "format": 2}))
    with pytest.raises(ValueError, match=r"expected format 1 in .*, got 2"):
        GoalDataset.load(folder)
    (folder / "dataset.json").write_text(json.dumps({**about, "arrays": about["arrays"][:-1]}))
    with pytest.raises(ValueError, match="expected 'packed_masks' in"):
        GoalDataset.load(folder)
    (folder / "dataset.json").write_text(json.dumps({"format": 1}))
    with pytest.raises(ValueError, match="expected a complete"):
        GoalDataset.load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"goal_names": tuple(reversed(NAMES))}, "in another order"),
        ({"goal_names": ("a", "b", "c", "d", "e")}, "expected a dataset with the 5 goals of the model"),
        ({"action_space": spaces.Discrete(1)}, r"expected actions of a dataset in Discrete\(1\), got int64 .* to 1"),
        ({"action_space": spaces.Box(-1, 1, (2,))}, "expected actions of a dataset in Box"),
        ({"observation": spaces.Box(-1, 1, (2,))}, r"expected 'observation' of a dataset in Box.*got float32 of shape \(1,\)"),
        ({"observation": spaces.Box(0, 255, (1,), np.uint8)}, "expected 'observation' of a dataset in Box"),
        ({"extra": spaces.Box(-1, 1, (2,))}, r"with the observations \['extra', 'observation'\]"),
    ],
)
def test_datasets_of_others(change, message):
    dataset = GoalDataset.from_arrays(**arrays(), goals=line_goals())
    given = {"observation": spaces.Box(0, 4, (1,)), "action_space": spaces.Discrete(2), "goal_names": NAMES, **change}
    action_space, names = given.pop("action_space"), given.pop("goal_names")
    with pytest.raises(ValueError, match=message):
        dataset.check_matches(spaces.Dict(given), action_space, names)


class Right:
    """Agent that moves to the right."""

    goal_names = NAMES

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        assert deterministic and sorted(observation) == ["goal_id", "observation"]
        return np.ones(len(observation["goal_id"]), dtype=np.int64), None


def test_collected_by_an_agent():
    venv = make_vec_env(lambda: make_line(trap=4, horizon=6), n_envs=2)
    dataset = collect_dataset(venv, 15, Right(), epsilon=0.0)
    assert len(dataset) == 16 and (dataset.actions == 1).all()
    at = np.tile([1, 2, 3, 4], 4)
    # Each episode ends at the trap, whose observation is not that of the reset.
    np.testing.assert_array_equal(dataset.next_observations["observation"].ravel(), at)
    np.testing.assert_array_equal(dataset.observations["observation"].ravel(), at - 1)
    np.testing.assert_array_equal(dataset.terminated, at == 4)
    with pytest.raises(ValueError, match="expected an environment with the 5 goals of the model"):
        collect_dataset(make_line(length=6), 15, Right())


def test_collected_by_random_actions():
    env = gym.make("leo/GridWorld-v0", map="S..\n.#.\n...")
    dataset = collect_dataset(env, 400, seed=1)
    assert np.bincount(dataset.actions.ravel(), minlength=4).min() > 60 and not dataset.never_achieved()
    assert_equal(dataset, collect_dataset(env, 400, seed=1))
    mixed = collect_dataset(make_line(), 400, Right(), epsilon=0.5, seed=1)
    assert 0.15 < (mixed.actions == 0).mean() < 0.35
    continuous = collect_dataset(gym.make("leo/MountainCarContinuous-v0"), 400)
    same = (continuous.actions[1:] == continuous.actions[:-1]).mean()
    assert 0.6 < same < 0.9 and np.abs(continuous.actions).max() <= 1.0


def test_points_as_goals(tmp_path):
    """A goal environment without a finite goal set: collected, from a replay buffer, from arrays, and on the disk."""
    collected_points = collect_dataset(PlanePoint(), 45, seed=1)
    assert repr(collected_points) == "GoalDataset(45 transitions, 3 episodes, points as goals)"
    assert sorted(collected_points.observations) == ["achieved_goal", "observation"]
    assert collected_points.never_achieved() == [] and np.flatnonzero(collected_points.ended).tolist() == [19, 39, 44]
    model = LEOSAC("MultiGoalPolicy", PlanePoint(), seed=0, learning_starts=100, buffer_size=50).learn(45)
    from_buffer = GoalDataset.from_replay_buffer(model.replay_buffer)
    np.testing.assert_array_equal(
        from_buffer.observations["achieved_goal"], model.replay_buffer.observations["achieved_goal"][:45, 0]
    )
    parts = collected_points.observations, collected_points.actions, collected_points.next_observations
    ends = collected_points.terminated, collected_points.truncated
    assert_equal(collected_points, GoalDataset.from_arrays(*parts, *ends))
    for number, dataset in enumerate((collected_points, from_buffer)):
        dataset.save(tmp_path / str(number))
        assert_equal(dataset, GoalDataset.load(tmp_path / str(number)))
    with pytest.raises(ValueError, match="expected an environment with the 0 goals of the model"):
        collect_dataset(make_line(), 5, model)


@pytest.fixture
def minari(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return pytest.importorskip("minari")


def test_minari_and_back(minari):
    env = gym.make("leo/GridWorld-v0")
    model = LEODQN("MultiGoalPolicy", env, seed=0, learning_starts=10_000, buffer_size=500).learn(450)
    dataset = GoalDataset.from_replay_buffer(model.replay_buffer)
    written = to_minari(dataset, "grid/random-v0", env)
    assert written.total_steps == 452 and written.total_episodes == 3
    assert written.recover_environment().unwrapped.goal_names == dataset.goal_names
    assert_equal(dataset, from_minari("grid/random-v0"))
    unwrapped = env.unwrapped
    assert_equal(dataset, from_minari(written, unwrapped.goal_set, unwrapped.goal_signal))
    with pytest.raises(ValueError, match="expected the id of a new dataset"):
        to_minari(dataset, "grid/random-v0", env)


def test_minari_dataset_without_masks(minari):
    collector = minari.DataCollector(gym.make("CartPole-v1"))
    for seed in range(2):
        collector.reset(seed=seed)
        while not any(collector.step(seed)[2:4]):
            pass
    recorded = collector.create_dataset("cartpole/constant-v0")
    with pytest.raises(ValueError, match="expected 'goals_achieved' of every step in the infos"):
        from_minari(recorded)
    goals = PointGoals([[-0.5], [0.5]], tolerance=0.5)
    dataset = from_minari(recorded, goals, signal=lambda obs, info: obs[..., 2:3])
    episodes = list(recorded.iterate_episodes())
    assert len(dataset) == sum(len(episode) for episode in episodes) and dataset.terminated.sum() == 2
    angles = np.concatenate([episode.observations[1:, 2] for episode in episodes])
    masks = np.unpackbits(dataset.packed_masks, axis=1, count=2).astype(bool)
    np.testing.assert_array_equal(masks, goals.achieved(angles[:, None]))


def test_minari_goal_environment(minari):
    env = gym.make("leo/FetchReach-v0")
    model = LEOTD3("MultiGoalPolicy", env, seed=0, learning_starts=10_000, buffer_size=100).learn(60)
    dataset = GoalDataset.from_replay_buffer(model.replay_buffer)
    assert sorted(dataset.observations) == ["achieved_goal", "observation"]
    to_minari(dataset, "fetch/random-v0", env)
    assert_equal(dataset, from_minari("fetch/random-v0"))


def test_minari_with_points_as_goals(minari):
    env = AnyGoalWrapper(gym.make("leo/FetchReach-v0"))
    dataset = collect_dataset(env, 60)
    assert not dataset.goal_names
    to_minari(dataset, "fetch/points-v0", gym.make("leo/FetchReach-v0"))
    assert_equal(dataset, from_minari("fetch/points-v0"))


def test_bad_input_of_minari(minari):
    dataset = GoalDataset.from_arrays(**arrays(), goals=line_goals())
    with pytest.raises(TypeError, match="expected a MinariDataset or the id of one, got 3"):
        from_minari(3)
    with pytest.raises(TypeError, match="expected dataset to be a GoalDataset"):
        to_minari(3, "line/random-v0", gym.make("CartPole-v1"))
    with pytest.raises(TypeError, match="expected"):
        to_minari(dataset, "line/random-v0", 3)
