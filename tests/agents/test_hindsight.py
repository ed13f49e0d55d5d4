"""Hindsight relabeling against the exact goal distribution computed from the stored trajectories."""

import pickle
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3 import DQN
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from leo_agents.baselines import MaskHerReplayBuffer, goal_conditioned_dqn
from leo_wrappers import GoalConditionedWrapper
from tests.stamped_line import NUM_GOALS, TABLE, add_step, line_space, stamped_line


def collect(strategy: str, n_envs: int, steps: int, wrapping: str = "sampler", size: int = 40, **kwargs: Any) -> DQN:
    """Fill a buffer with random steps in two calls of ``learn``."""
    if wrapping == "sampler":
        venv: VecEnv = DummyVecEnv([stamped_line] * n_envs)
    else:  # each environment is reset when its commanded goal is achieved
        venv = DummyVecEnv([lambda: GoalConditionedWrapper(stamped_line(), seed=0)] * n_envs)
    model = goal_conditioned_dqn(
        venv,
        buffer="her",
        goal_input="one_hot",
        buffer_size=size * n_envs,
        learning_starts=10**6,
        seed=0,
        replay_buffer_kwargs={"goal_selection_strategy": strategy, **kwargs},
    )
    return model.learn(steps * n_envs // 2).learn(steps * n_envs // 2)


class Oracle:
    """The distribution of the relabeled goals, from the stored observations."""

    def __init__(self, buffer: MaskHerReplayBuffer) -> None:
        size = buffer.buffer_size
        slots = [(buffer.pos + k) % size for k in range(size)] if buffer.full else list(range(buffer.pos))
        self.steps: dict[tuple[int, int], dict[str, Any]] = {}
        self.n_envs = buffer.n_envs
        for env in range(buffer.n_envs):
            for slot in slots:
                _, stamp, episode = buffer.observations["observation"][slot, env].astype(int)
                after = buffer.next_observations["observation"][slot, env].astype(int)
                assert after[1] == stamp + 1 and after[2] == episode
                self.steps[env, stamp] = {
                    "episode": episode,
                    "mask": TABLE[after[0]],
                    "terminated": after[0] == 4,
                    "action": buffer.actions[slot, env, 0],
                    "goal": buffer.goal_ids[slot, env],
                }

    def candidates(self, strategy: str, env: int, stamp: int) -> list[dict[str, Any]]:
        if strategy == "random":
            return list(self.steps.values())
        episode = self.steps[env, stamp]["episode"]
        same = [(s, step) for (e, s), step in sorted(self.steps.items()) if e == env and step["episode"] == episode]
        if strategy == "final":
            return [same[-1][1]]
        return [step for s, step in same if strategy == "episode" or s >= stamp]

    def goal_distribution(self, strategy: str, env: int, stamp: int) -> np.ndarray:
        own = np.eye(NUM_GOALS)[self.steps[env, stamp]["goal"]]
        masks = [step["mask"] for step in self.candidates(strategy, env, stamp)]
        return np.mean([mask / mask.sum() if mask.any() else own for mask in masks], axis=0)


@pytest.mark.parametrize("strategy", ["future", "final", "episode", "random"])
@pytest.mark.parametrize(("n_envs", "steps", "wrapping"), [(1, 30, "sampler"), (3, 150, "sampler"), (2, 90, "reset")])
def test_hindsight_against_the_stored_trajectories(strategy: str, n_envs: int, steps: int, wrapping: str) -> None:
    """Check goals, rewards, dones and frequencies; partly filled, overwritten, and with environments reset on success."""
    buffer = collect(strategy, n_envs, steps, wrapping, n_sampled_goal=10**9).replay_buffer
    assert isinstance(buffer, MaskHerReplayBuffer) and buffer.full == (steps > 40)
    oracle = Oracle(buffer)
    counts: dict[tuple[int, int], np.ndarray] = {}
    # The samples do not contain the environment index: repeat the draw to know it.
    np.random.seed(1)
    rows = buffer.sample(60_000)
    np.random.seed(1)
    inds = np.random.randint(0, buffer.size(), size=60_000)
    envs = np.random.randint(0, n_envs, size=60_000)
    stamps = rows.observations["observation"][:, 1].int().numpy()
    np.testing.assert_array_equal(stamps, buffer.observations["observation"][inds, envs, 1])
    goals = rows.observations["goal_id"][:, 0].numpy()
    for env, stamp, goal, action, reward, done in zip(
        envs, stamps, goals, rows.actions[:, 0].numpy(), rows.rewards[:, 0].numpy(), rows.dones[:, 0].numpy(), strict=True
    ):
        step = oracle.steps[env, stamp]
        assert action == step["action"] and reward == step["mask"][goal]
        assert done == (step["mask"][goal] or step["terminated"])
        counts.setdefault((env, stamp), np.zeros(NUM_GOALS))[goal] += 1
    assert counts.keys() == oracle.steps.keys()
    for (env, stamp), count in counts.items():
        expected = oracle.goal_distribution(strategy, env, stamp)
        assert not count[expected == 0].any()
        deviation = np.sqrt(count.sum() * expected * (1 - expected))
        np.testing.assert_array_less(np.abs(count - count.sum() * expected), 5 * deviation + 1e-6)
    assert th.equal(rows.next_observations["goal_id"], rows.observations["goal_id"])


def sampled_goals(buffer: MaskHerReplayBuffer) -> dict[int, set[int]]:
    """Return the goals that are sampled for each position."""
    rows = buffer.sample(400)
    goals: dict[int, set[int]] = {}
    for position, goal in zip(rows.observations["observation"][:, 0].int(), rows.observations["goal_id"][:, 0], strict=True):
        goals.setdefault(int(position), set()).add(int(goal))
    return goals


def test_episodes_continue_after_the_commanded_goal_is_switched() -> None:
    model = collect("final", 1, 30, n_sampled_goal=10**9)
    buffer = model.replay_buffer
    ended_by_goal = (buffer.dones == 1) & (buffer.timeouts == 1)
    episodes = buffer.observations["observation"][..., 2]
    switches = [t for t in range(buffer.pos - 1) if ended_by_goal[t] and episodes[t] == episodes[t + 1]]
    assert switches, "no success within an episode: the test covers nothing"
    inds = np.arange(buffer.pos)
    last_steps = buffer.episodes.last(inds, np.zeros_like(inds))
    assert all(last_steps[t] > t for t in switches)


def test_a_truncation_ends_the_episode_even_if_the_reset_returns_the_same_state() -> None:
    options = {"goal_selection_strategy": "final", "n_sampled_goal": 10**9}
    buffer = MaskHerReplayBuffer(10, line_space(), spaces.Discrete(2), **options)
    add_step(buffer, 1, 2, done=True, **{"TimeLimit.truncated": True})
    add_step(buffer, 2, 3)
    add_step(buffer, 3, 4, done=True, ended_by_goal=True)
    add_step(buffer, 4, 5)
    inds, envs = np.arange(4), np.zeros(4, dtype=int)
    assert buffer.episodes.last(inds, envs)[0] == 0 and buffer.episodes.first(inds, envs)[:4].tolist() == [0, 1, 1, 1]
    assert sampled_goals(buffer) == {1: {2}, 2: {5}, 3: {5}, 4: {5}}


@pytest.mark.parametrize(("k", "fraction"), [(0, 0.0), (1, 0.5), (4, 0.8)])
def test_fraction_of_relabeled_rows(k: int, fraction: float) -> None:
    buffer = MaskHerReplayBuffer(10, line_space(), spaces.Discrete(2), n_sampled_goal=k)
    for x in range(5):
        add_step(buffer, x, x + 1, goal=8)  # goal 8 is never achieved
    rows = buffer.sample(100)
    assert (rows.observations["goal_id"] != 8).sum() == 100 * fraction
    assert (rows.rewards.sum() > 0) == (k > 0)


def test_rows_without_an_achieved_goal_keep_their_own() -> None:
    buffer = MaskHerReplayBuffer(10, line_space(), spaces.Discrete(2), n_sampled_goal=10**9)
    add_step(buffer, 20, 21, goal=7)
    rows = buffer.sample(50)
    assert (rows.observations["goal_id"] == 7).all() and not rows.rewards.any() and not rows.dones.any()


def test_pickling_and_reset() -> None:
    buffer = collect("future", 2, 100).replay_buffer
    copy = pickle.loads(pickle.dumps(buffer))
    samples = []
    for source in (buffer, copy):
        np.random.seed(3)
        samples.append(source.sample(64))
    assert th.equal(samples[0].observations["goal_id"], samples[1].observations["goal_id"])
    assert th.equal(samples[0].rewards, samples[1].rewards)
    copy.reset()
    assert copy.size() == 0 and copy.episodes.num_steps == 0
    with pytest.raises(ValueError, match="high <= 0"):
        copy.sample(1)


def test_an_episode_longer_than_the_buffer() -> None:
    options = {"goal_selection_strategy": "episode", "n_sampled_goal": 10**9}
    buffer = MaskHerReplayBuffer(4, line_space(), spaces.Discrete(2), **options)
    for step in range(9):
        add_step(buffer, step, step + 1, done=step == 6, **{"TimeLimit.truncated": step == 6})
        stored = np.arange(max(step - 3, 0), step + 1)
        expected = np.where((step >= 7) & (stored <= 6), 6, step)
        np.testing.assert_array_equal(buffer.episodes.last(stored % 4, np.zeros_like(stored)), expected)
    # Step 8 achieves no goal: transitions for which it is drawn keep the commanded goal 0.
    assert sampled_goals(buffer) == {5: {6, 7}, 6: {6, 7}, 7: {0, 8}, 8: {0, 8}}


def test_wrong_or_missing_masks_are_rejected() -> None:
    buffer = MaskHerReplayBuffer(20, line_space(), spaces.Discrete(2), n_envs=2)
    obs = {"observation": np.zeros((2, 1), np.float32), "goal_id": np.zeros(2, int)}
    step = (obs, obs, np.zeros(2), np.zeros(2), np.zeros(2))
    with pytest.raises(ValueError, match="got 1 infos for 2 environments"):
        buffer.add(*step, [{"goals_achieved": np.zeros(9, bool)}])
    with pytest.raises(ValueError, match="MultiGoalWrapper"):
        buffer.add(*step, [{}, {}])
    assert buffer.size() == 0 and buffer.episodes.num_steps == 0
