"""GoalReplayBuffer: masks, n-step windows, memory usage, invalid input."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from leo_agents import GoalReplayBuffer
from leo_agents.learning.losses import all_goals_targets
from leo_agents.replay import goal_replay_buffer, memory
from leo_agents.replay.replay_size import replay_nbytes
from leo_wrappers import InfoList
from tests.devices import DEVICES

ACTION_SPACE = spaces.Discrete(4)
GAMMA = 0.9


def obs_space(num_goals: int) -> spaces.Dict:
    return spaces.Dict({"observation": spaces.Box(-1e6, 1e6, (2,), np.float32), "goal_id": spaces.Discrete(num_goals)})


def mask_of(stamp: int, num_goals: int) -> np.ndarray:
    """Return the random mask of the transition with this number."""
    return np.random.default_rng(stamp).random(num_goals) < 0.3


def fill(buffer: GoalReplayBuffer, steps: int, ends: dict[int, str] | None = None) -> None:
    """Add transitions whose number, ``t * n_envs + env``, determines observation, action, reward, goal and mask."""
    for t in range(steps):
        stamps = t * buffer.n_envs + np.arange(buffer.n_envs)
        end = (ends or {}).get(t)
        infos = [
            {"goals_achieved": mask_of(stamp, buffer.num_goals), "TimeLimit.truncated": end == "truncated"} for stamp in stamps
        ]
        obs = {"observation": np.stack([stamps, stamps], 1).astype(np.float32), "goal_id": stamps % buffer.num_goals}
        next_obs = {"observation": obs["observation"] + 0.5, "goal_id": (stamps + 1) % buffer.num_goals}
        done = np.full(buffer.n_envs, end is not None)
        buffer.add(obs, next_obs, stamps % 4, stamps.astype(np.float32), done, infos)


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("num_goals", [1, 8, 13])
@pytest.mark.parametrize("steps", [3, 25])  # partly filled, overwritten
def test_all_fields_of_a_sample_belong_to_the_same_transition(n_envs: int, num_goals: int, steps: int) -> None:
    buffer = GoalReplayBuffer(10 * n_envs, obs_space(num_goals), ACTION_SPACE, "cpu", n_envs, num_goals=num_goals)
    fill(buffer, steps)
    samples = buffer.sample(500)
    stamps = samples.observations["observation"][:, 0].long()
    oldest = max(0, steps - 10) * n_envs
    assert set(stamps.tolist()) == set(range(oldest, steps * n_envs))
    th.testing.assert_close(samples.next_observations["observation"], samples.observations["observation"] + 0.5)
    assert th.equal(samples.actions, (stamps % 4)[:, None])
    assert th.equal(samples.rewards, stamps[:, None].float())
    expected = np.stack([mask_of(stamp, num_goals) for stamp in stamps.tolist()])
    assert samples.goals_achieved.dtype == th.float32
    assert th.equal(samples.goals_achieved, th.as_tensor(expected, dtype=th.float32))
    # Both observations have the goal commanded when the action was taken.
    assert th.equal(samples.observations["goal_id"], (stamps % num_goals)[:, None])
    assert th.equal(samples.next_observations["goal_id"], samples.observations["goal_id"])
    assert samples.discounts is None


def test_dones_exclude_truncations() -> None:
    buffer = GoalReplayBuffer(6, obs_space(3), ACTION_SPACE, "cpu", num_goals=3)
    fill(buffer, 6, {1: "terminated", 4: "truncated"})
    samples = buffer.sample(100)
    stamps = samples.observations["observation"][:, :1]
    assert th.equal(samples.dones, (stamps == 1).float())


@settings(max_examples=40, deadline=None)
@given(
    n_steps=st.integers(1, 5),
    n_envs=st.integers(1, 2),
    steps=st.integers(1, 20),
    ends=st.dictionaries(st.integers(0, 19), st.sampled_from(["terminated", "truncated"]), max_size=6),
)
def test_n_step_targets_equal_a_recursion(n_steps: int, n_envs: int, steps: int, ends: dict[int, str]) -> None:
    num_goals, size = 5, 8
    values = np.random.default_rng(0).random((200, num_goals)).astype(np.float32)  # of the state after each transition
    buffer = GoalReplayBuffer(
        size * n_envs, obs_space(num_goals), ACTION_SPACE, "cpu", n_envs, num_goals=num_goals, n_steps=n_steps, gamma=GAMMA
    )
    fill(buffer, steps, ends)

    def expected(t: int, env: int, goal: int, depth: int) -> float:
        stamp = t * n_envs + env
        if mask_of(stamp, num_goals)[goal]:
            return 1.0
        if ends.get(t) == "terminated":
            return 0.0
        if ends.get(t) == "truncated" or depth == n_steps or t == steps - 1:
            return GAMMA * float(values[stamp, goal])
        return GAMMA * expected(t + 1, env, goal, depth + 1)

    samples = buffer.sample(64)
    last = samples.next_observations["observation"][:, 0].long()  # the stamp of the window's last transition
    discounts = GAMMA if samples.discounts is None else samples.discounts
    targets = all_goals_targets(samples.goal_returns, th.as_tensor(values)[last], samples.dones, discounts)
    stamps = samples.observations["observation"][:, 0].long().tolist()
    reference = [[expected(*divmod(stamp, n_envs), goal, 1) for goal in range(num_goals)] for stamp in stamps]
    th.testing.assert_close(targets, th.tensor(reference))


@pytest.mark.parametrize("n_steps", [1, 3])
def test_goal_returns_and_goals_achieved(n_steps: int) -> None:
    """Windows stop at the end of an episode (after steps 2 and 6) and at the newest transition (9)."""
    buffer = GoalReplayBuffer(10, obs_space(5), ACTION_SPACE, "cpu", num_goals=5, n_steps=n_steps, gamma=GAMMA)
    fill(buffer, 10, {2: "terminated", 6: "truncated"})
    samples = buffer.sample(100)
    stamps = samples.observations["observation"][:, 0].int().tolist()
    assert set(stamps) == set(range(10))
    for row, first in enumerate(stamps):
        last = min(first + n_steps - 1, next(end for end in (2, 6, 9) if end >= first))
        returns = np.zeros(5, np.float32)
        for stamp in range(last, first - 1, -1):
            returns[mask_of(stamp, 5)] = GAMMA ** (stamp - first)
        np.testing.assert_array_equal(samples.goals_achieved[row], mask_of(first, 5))
        np.testing.assert_allclose(samples.goal_returns[row], returns)
        assert samples.next_observations["observation"][row, 0] == last + 0.5
        assert samples.dones[row] == (last == 2)
        if samples.discounts is not None:
            np.testing.assert_allclose(samples.discounts[row], [GAMMA ** (last - first + 1)])
    assert (samples.discounts is None) == (n_steps == 1)
    assert th.equal(samples.goal_returns, samples.goals_achieved) == (n_steps == 1)


def test_sampling_follows_the_global_seed_and_survives_pickling() -> None:
    buffer = GoalReplayBuffer(20, obs_space(5), ACTION_SPACE, "cpu", 2, num_goals=5)
    fill(buffer, 14)
    copy = pickle.loads(pickle.dumps(buffer))
    samples = []
    for source in (buffer, copy):
        np.random.seed(3)
        samples.append(source.sample(16)._asdict())
    th.testing.assert_close(samples[0], samples[1], rtol=0, atol=0)
    fill(copy, 1)
    assert copy.pos == (buffer.pos + 1) % copy.buffer_size


@pytest.mark.parametrize("n_steps", [1, 3])
@pytest.mark.parametrize("device", DEVICES)
def test_storage_on_the_device_gives_the_same_samples(device: str, n_steps: int) -> None:
    kwargs = {"num_goals": 13, "n_steps": n_steps, "gamma": GAMMA}
    stored = GoalReplayBuffer(20, obs_space(13), ACTION_SPACE, device, 2, storage_device=device, **kwargs)
    host = GoalReplayBuffer(20, obs_space(13), ACTION_SPACE, "cpu", 2, **kwargs)
    for buffer in (stored, host):
        fill(buffer, 14, {2: "terminated", 6: "truncated"})
    assert not any(isinstance(array, np.ndarray) for array in (stored.packed_masks, *stored.observations.values()))
    samples = []
    for buffer in (stored, pickle.loads(pickle.dumps(stored)), host):
        np.random.seed(3)
        samples.append(buffer.sample(64)._asdict())
    assert {tensor.device.type for tensor in samples[0]["observations"].values()} == {device}
    for sample in samples[:2]:
        th.testing.assert_close(sample, samples[2], rtol=0, atol=0, check_device=False)


def test_a_buffer_too_large_for_the_device_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(th.cuda, "mem_get_info", lambda device: (10_000, 10_000))
    monkeypatch.setattr(goal_replay_buffer, "get_device", th.device)
    with pytest.raises(MemoryError, match=r"to fit in 10.0 kB of free memory of the device cuda, got .* leave out storage_d"):
        GoalReplayBuffer(1_000, obs_space(13), ACTION_SPACE, "cpu", num_goals=13, storage_device="cuda")
    with pytest.raises(ValueError, match="expected a device of PyTorch"):
        GoalReplayBuffer(1_000, obs_space(13), ACTION_SPACE, "cpu", num_goals=13, storage_device="disk")


def test_add_does_not_modify_its_arguments() -> None:
    buffer = GoalReplayBuffer(4, obs_space(3), ACTION_SPACE, "cpu", 2, num_goals=3)
    obs = {"observation": np.zeros((2, 2), np.float32), "goal_id": np.array([1, 2])}
    infos = InfoList([{}, {}], np.ones((2, 3), bool))
    buffer.add(obs, obs, np.zeros(2), np.zeros(2), np.zeros(2), infos)
    assert obs["goal_id"].shape == (2,) and set(obs) == {"observation", "goal_id"}
    assert buffer.sample(4).goals_achieved.all()


def test_an_observation_space_without_the_goal() -> None:
    space = spaces.Dict({"observation": spaces.Box(-1, 1, (2,), np.float32)})
    buffer = GoalReplayBuffer(4, space, ACTION_SPACE, "cpu", num_goals=3)
    fill(buffer, 4)
    assert set(buffer.sample(2).observations) == {"observation"}


def test_memory_usage_of_a_million_transitions_with_512_goals() -> None:
    space = spaces.Dict({"observation": spaces.Box(-1, 1, (10,), np.float32)})
    sizes = replay_nbytes(125_000, space, ACTION_SPACE, 8, 512)
    assert sizes["goal masks"] == 64_000_000
    assert sizes["observations"] == 80_000_000


def test_memory_usage_equals_the_allocated_memory(capsys: pytest.CaptureFixture[str]) -> None:
    buffer = GoalReplayBuffer(30, obs_space(13), ACTION_SPACE, "cpu", 3, num_goals=13, verbose=1)
    sizes = replay_nbytes(10, spaces.Dict({"observation": obs_space(13)["observation"]}), ACTION_SPACE, 3, 13)
    observations = buffer.observations["observation"].nbytes + buffer.next_observations["observation"].nbytes
    others = (buffer.actions, buffer.rewards, buffer.dones, buffer.timeouts, buffer.goal_ids)
    assert sizes == {
        "observations": observations,
        "goal masks": buffer.packed_masks.nbytes,
        "actions, rewards and flags": sum(array.nbytes for array in others),
    }
    assert set(buffer.observations) == {"observation"}
    assert memory.format_bytes(sum(sizes.values())) in capsys.readouterr().out


def test_a_buffer_too_large_for_the_memory_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "total_memory", lambda: 10_000)
    with pytest.raises(MemoryError, match=r"got .* kB \(observations .*; use a smaller buffer_size"):
        GoalReplayBuffer(1_000, obs_space(13), ACTION_SPACE, "cpu", num_goals=13)
    GoalReplayBuffer(100, obs_space(13), ACTION_SPACE, "cpu", num_goals=13)


def test_total_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is the container's limit if that is lower than the machine's memory."""
    machine, limit, unlimited = tmp_path / "missing", tmp_path / "limit", tmp_path / "unlimited"
    limit.write_text("1000\n")
    unlimited.write_text("max\n")
    monkeypatch.setattr("leo_wrappers.memory.CGROUP_LIMITS", (machine, unlimited, limit))
    assert memory.total_memory() == 1000
    monkeypatch.setattr("leo_wrappers.memory.CGROUP_LIMITS", (machine, unlimited))
    total = memory.total_memory()
    assert total is None or total > 10**8


def test_invalid_arguments() -> None:
    with pytest.raises(ValueError, match="Dict observation space"):
        GoalReplayBuffer(10, spaces.Box(-1, 1, (2,)), ACTION_SPACE, num_goals=3)
    with pytest.raises(ValueError, match="optimize_memory_usage"):
        GoalReplayBuffer(10, obs_space(3), ACTION_SPACE, optimize_memory_usage=True, num_goals=3)
    with pytest.raises(ValueError, match="n_steps from 1 to 10, got 0"):
        GoalReplayBuffer(10, obs_space(3), ACTION_SPACE, num_goals=3, n_steps=0)


def test_masks_of_another_goal_set_are_rejected() -> None:
    buffer = GoalReplayBuffer(10, obs_space(3), ACTION_SPACE, "cpu", num_goals=3)
    obs = {"observation": np.zeros((1, 2), np.float32), "goal_id": np.array([1])}
    infos = [{"goals_achieved": np.zeros(4, bool)}]
    with pytest.raises(ValueError, match=r"shape \(1, 3\), got \(1, 4\)"):
        buffer.add(obs, obs, np.zeros(1), np.zeros(1), np.zeros(1), infos)
    with pytest.raises(ValueError, match="MultiGoalWrapper"):
        buffer.add(obs, obs, np.zeros(1), np.zeros(1), np.zeros(1), [{}])
