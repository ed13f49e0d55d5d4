"""The baselines: hindsight against an oracle that reads the stored trajectories, rows of all goals, SB3's DQN around them."""

import pickle
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3 import DQN
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from leo_agents import LEODQN
from leo_agents.baselines import (
    AllGoalsReplayBuffer,
    GoalDescriptorExtractor,
    MaskHerReplayBuffer,
    goal_conditioned_dqn,
    goal_conditioned_venv,
    naive_all_goals_loss,
    naive_goal_losses,
)
from leo_wrappers import GoalConditionedWrapper, GoalSet, MultiGoalWrapper
from leo_wrappers.sb3 import VecGoalSampler
from tests.line_env import LineEnv, LineGoalEnv, line_goals, make_line

LENGTH, NUM_GOALS = 5, 4
# Goals achieved at each position: several, one, none.
TABLE = np.array([[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 1, 1, 1], [0, 0, 0, 1]], dtype=bool)


class Stamped(gym.Wrapper):
    """Observations ``(position, stamp, episode)``: every state is one of a kind, and tells which episode it belongs to."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.observation_space = spaces.Box(0.0, 1e6, (3,), np.float32)
        self.stamp = self.episode = -1

    def reset(self, **kwargs: Any):
        self.episode += 1
        obs, info = self.env.reset(**kwargs)
        return self._stamped(obs), info

    def step(self, action: int):
        obs, *rest = self.env.step(action)
        return self._stamped(obs), *rest

    def _stamped(self, obs: np.ndarray) -> np.ndarray:
        self.stamp += 1
        return np.array([obs[0], self.stamp, self.episode], dtype=np.float32)


def stamped_line() -> gym.Env:
    goals = GoalSet([f"goal/{g}" for g in range(NUM_GOALS)], lambda obs: TABLE[obs[..., 0].astype(int)])
    return Stamped(MultiGoalWrapper(LineEnv(LENGTH, start=None, trap=4, horizon=6), goals))


def collect(strategy: str, n_envs: int, steps: int, wrapping: str = "sampler", size: int = 40, **kwargs: Any) -> DQN:
    """A buffer filled by SB3 itself with random steps, in two calls of learn."""
    if wrapping == "sampler":
        venv: VecEnv = DummyVecEnv([stamped_line] * n_envs)
    else:  # each environment is reset when its goal is reached
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
    """What may be sampled, read off the stored observations."""

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

    def chosen(self, strategy: str, env: int, stamp: int) -> list[dict[str, Any]]:
        if strategy == "random":
            return list(self.steps.values())
        episode = self.steps[env, stamp]["episode"]
        same = [(s, step) for (e, s), step in sorted(self.steps.items()) if e == env and step["episode"] == episode]
        if strategy == "final":
            return [same[-1][1]]
        return [step for s, step in same if strategy == "episode" or s >= stamp]

    def goal_distribution(self, strategy: str, env: int, stamp: int) -> np.ndarray:
        own = np.eye(NUM_GOALS)[self.steps[env, stamp]["goal"]]
        masks = [step["mask"] for step in self.chosen(strategy, env, stamp)]
        return np.mean([mask / mask.sum() if mask.any() else own for mask in masks], axis=0)


@pytest.mark.parametrize("strategy", ["future", "final", "episode", "random"])
@pytest.mark.parametrize(("n_envs", "steps", "wrapping"), [(1, 30, "sampler"), (3, 150, "sampler"), (2, 90, "reset")])
def test_hindsight_against_the_stored_trajectories(strategy: str, n_envs: int, steps: int, wrapping: str) -> None:
    """Partly filled, wrapped around, and with environments that are reset at success: goals, rewards, ends, frequencies."""
    buffer = collect(strategy, n_envs, steps, wrapping, n_sampled_goal=10**9).replay_buffer
    assert isinstance(buffer, MaskHerReplayBuffer) and buffer.full == (steps > 40)
    oracle = Oracle(buffer)
    counts: dict[tuple[int, int], np.ndarray] = {}
    # The environment is no part of the observation: each has episodes of its own, told apart by drawing it again.
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
    for (env, stamp), found in counts.items():
        expected = oracle.goal_distribution(strategy, env, stamp)
        assert not found[expected == 0].any()
        deviation = np.sqrt(found.sum() * expected * (1 - expected))
        np.testing.assert_array_less(np.abs(found - found.sum() * expected), 5 * deviation + 1e-6)
    assert th.equal(rows.next_observations["goal_id"], rows.observations["goal_id"])


def test_hindsight_looks_past_a_change_of_the_goal() -> None:
    """Only there can a future goal be one that was achieved after the commanded one."""
    model = collect("final", 1, 30, n_sampled_goal=10**9)
    buffer = model.replay_buffer
    ended_by_goal = (buffer.dones == 1) & (buffer.timeouts == 1)
    episodes = buffer.observations["observation"][..., 2]
    crossed = [t for t in range(buffer.pos - 1) if ended_by_goal[t] and episodes[t] == episodes[t + 1]]
    assert crossed, "no success in the midst of an episode: the other tests would test too little"
    last_steps = np.minimum(buffer.last_steps[: buffer.pos, 0], buffer.pos - 1)
    assert all(last_steps[t] > t for t in crossed)


def add_step(buffer: Any, position: int, after: int, done: bool = False, goal: int = 0, **info: Any) -> None:
    obs, next_obs = ({"observation": np.array([[x]], np.float32), "goal_id": np.array([goal])} for x in (position, after))
    buffer.add(
        obs, next_obs, np.array([1]), np.zeros(1), np.array([done]), [{"goals_achieved": np.arange(9) == after, **info}]
    )


def line_space() -> spaces.Dict:
    return spaces.Dict({"observation": spaces.Box(0, 9, (1,), np.float32), "goal_id": spaces.Discrete(9)})


def test_a_time_limit_is_an_end_even_where_the_reset_looks_the_same() -> None:
    buffer = MaskHerReplayBuffer(10, line_space(), spaces.Discrete(2), goal_selection_strategy="final")
    add_step(buffer, 1, 2, done=True, **{"TimeLimit.truncated": True})
    add_step(buffer, 2, 3)
    add_step(buffer, 3, 4, done=True, ended_by_goal=True)
    add_step(buffer, 4, 5)
    assert buffer.last_steps[0] == 0 and buffer.first_steps[:4, 0].tolist() == [0, 1, 1, 1]
    np.testing.assert_array_equal(buffer._hindsight_goals(np.arange(4), np.zeros(4, int)), [2, 5, 5, 5])


@pytest.mark.parametrize(("k", "share"), [(0, 0.0), (1, 0.5), (4, 0.8)])
def test_share_of_relabelled_rows(k: int, share: float) -> None:
    buffer = MaskHerReplayBuffer(10, line_space(), spaces.Discrete(2), n_sampled_goal=k)
    for x in range(5):
        add_step(buffer, x, x + 1, goal=8)  # goal 8 is never achieved
    rows = buffer.sample(100)
    assert (rows.observations["goal_id"] != 8).sum() == 100 * share
    assert rows.rewards.sum() > 0 or k == 0


def test_rows_without_any_goal_in_reach_keep_theirs() -> None:
    buffer = MaskHerReplayBuffer(10, line_space(), spaces.Discrete(2), n_sampled_goal=10**9)
    add_step(buffer, 20, 21, goal=7)
    rows = buffer.sample(50)
    assert (rows.observations["goal_id"] == 7).all() and not rows.rewards.any() and not rows.dones.any()


def test_hindsight_buffer_survives_pickling_and_reset() -> None:
    buffer = collect("future", 2, 100).replay_buffer
    copy = pickle.loads(pickle.dumps(buffer))
    drawn = []
    for source in (buffer, copy):
        np.random.seed(3)
        drawn.append(source.sample(64))
    assert th.equal(drawn[0].observations["goal_id"], drawn[1].observations["goal_id"])
    assert th.equal(drawn[0].rewards, drawn[1].rewards)
    copy.reset()
    assert copy.size() == 0 and copy.num_steps == 0
    with pytest.raises(ValueError):
        copy.sample(1)


def test_all_goals_rows() -> None:
    """Every transition with every goal, once each, judged by the masks."""
    model = goal_conditioned_dqn(DummyVecEnv([stamped_line] * 2), buffer="all_goals", goal_input="one_hot", seed=0)
    rows = model.learn(60).replay_buffer.sample(32)
    goals = rows.observations["goal_id"].view(32, NUM_GOALS)
    assert th.equal(goals, th.arange(NUM_GOALS).expand(32, -1))
    stamps = rows.observations["observation"][:, 1].view(32, NUM_GOALS)
    assert (stamps == stamps[:, :1]).all() and len(stamps.unique()) > 10
    after = rows.next_observations["observation"][:, 0].view(32, NUM_GOALS).int()
    masks = th.as_tensor(TABLE)[after[:, 0].long()].float()
    assert th.equal(rows.rewards.view(32, NUM_GOALS), masks)
    assert th.equal(rows.dones.view(32, NUM_GOALS), th.maximum(masks, (after == 4).float()))
    assert len(rows.actions) == 32 * NUM_GOALS and masks.any()


def test_some_goals_of_each_transition_are_different_ones_and_all_as_likely() -> None:
    buffer = AllGoalsReplayBuffer(10, line_space(), spaces.Discrete(2), goals_per_transition=3)
    add_step(buffer, 1, 2)
    goals = buffer.sample(6_000).observations["goal_id"].view(6_000, 3).sort(dim=1).values
    assert (goals[:, 1:] > goals[:, :-1]).all()
    shares = th.bincount(goals.flatten(), minlength=9) / 6_000
    th.testing.assert_close(shares, th.full((9,), 1 / 3), atol=0.04, rtol=0)


def test_desired_goal_follows_the_relabelled_goal() -> None:
    env = MultiGoalWrapper(LineGoalEnv(), line_goals())
    model = goal_conditioned_dqn(env, buffer="all_goals", seed=0).learn(20)
    rows = model.replay_buffer.sample(8)
    for observations in (rows.observations, rows.next_observations):
        assert th.equal(observations["desired_goal"], observations["goal_id"].to(observations["desired_goal"]))
    assert th.equal(rows.rewards, (rows.next_observations["achieved_goal"] == rows.observations["desired_goal"]).float())


@pytest.mark.parametrize("loss", ["bce", "squared"])
@pytest.mark.parametrize("head", ["dense", "factored"])
def test_naive_relabelling_is_leos_update(loss: str, head: str) -> None:
    th.manual_seed(0)
    model = LEODQN("MultiGoalPolicy", make_line(start=None, trap=4), head=head, loss=loss, learning_starts=50, seed=0)
    batch = model.learn(200).replay_buffer.sample(64)
    parameters = list(model.q_net.parameters())

    def assert_same_gradients(found: tuple[th.Tensor, ...], expected: tuple[th.Tensor, ...]) -> None:
        for mine, other in zip(found, expected, strict=True):
            assert other.norm() > 1e-5
            assert (mine - other).norm() < 1e-4 * other.norm()

    together = model._goals_loss(batch, None)
    naive = naive_all_goals_loss(model.q_net, model.q_net_target, batch, model.gamma, loss)
    th.testing.assert_close(naive, together)
    expected = th.autograd.grad(together, parameters)
    assert_same_gradients(th.autograd.grad(naive, parameters), expected)
    model.q_net.zero_grad()
    for one in naive_goal_losses(model.q_net, model.q_net_target, batch, model.gamma, loss):
        (one / 5).backward()
    assert_same_gradients(tuple(parameter.grad for parameter in parameters), expected)


def test_extractor_shows_descriptor_or_one_hot() -> None:
    space = spaces.Dict({"observation": spaces.Box(0, 1, (2,)), "goal_id": spaces.Discrete(3)})
    descriptors = np.array([[5.0, 6.0], [7.0, 8.0], [9.0, 10.0]])
    observations = {"observation": th.rand(4, 2), "goal_id": th.eye(3)[[2, 0, 1, 1]]}
    described, one_hot = GoalDescriptorExtractor(space, descriptors), GoalDescriptorExtractor(space)
    assert (described.features_dim, one_hot.features_dim) == (4, 5)
    expected = th.as_tensor(descriptors[[2, 0, 1, 1]], dtype=th.float32)
    th.testing.assert_close(described(observations), th.cat([observations["observation"], expected], dim=1))
    th.testing.assert_close(one_hot(observations), th.cat([observations["observation"], observations["goal_id"]], dim=1))
    # As a batch from a replay buffer arrives.
    batch = {**observations, "goal_id": observations["goal_id"][:, None]}
    th.testing.assert_close(described(batch), described(observations))


def test_extractor_reads_images() -> None:
    space = spaces.Dict({"picture": spaces.Box(0, 255, (3, 36, 36), np.uint8), "goal_id": spaces.Discrete(2)})
    extractor = GoalDescriptorExtractor(space, [[1.0], [2.0]], cnn_output_dim=7)
    assert extractor({"picture": th.rand(5, 3, 36, 36), "goal_id": th.eye(2)[[0, 1, 0, 1, 0]]}).shape == (5, 8)


LEARN = {"learning_rate": 3e-3, "learning_starts": 100, "train_freq": 2, "target_update_interval": 100, "seed": 0}
LEARN |= {"exploration_fraction": 0.5, "policy_kwargs": {"net_arch": [32]}, "gamma": 0.9}


def success(model: DQN, num_episodes: int = 20) -> float:
    env = GoalConditionedWrapper(make_line(start=None), selector="round_robin")
    env.reset(seed=7)
    return float(evaluate_policy(model, env, n_eval_episodes=num_episodes, warn=False)[0])


@pytest.mark.parametrize("buffer", ["plain", "her", "all_goals"])
@pytest.mark.parametrize("goal_input", ["descriptor", "one_hot"])
def test_every_baseline_learns_every_goal(buffer: str, goal_input: str) -> None:
    steps = 4000 if buffer == "plain" else 2000
    model = goal_conditioned_dqn(
        DummyVecEnv([lambda: make_line(start=None)] * 2), buffer=buffer, goal_input=goal_input, selector="uniform", **LEARN
    )
    assert success(model) < 0.9
    assert success(model.learn(steps)) == 1.0


@pytest.mark.parametrize("buffer", ["plain", "her", "all_goals"])
def test_saved_model_acts_the_same_and_learns_on(buffer: str, tmp_path: Path) -> None:
    model = goal_conditioned_dqn(make_line(), buffer=buffer, **LEARN).learn(200)
    model.save(tmp_path / "model")
    model.save_replay_buffer(tmp_path / "buffer")
    obs = {"observation": np.arange(5, dtype=np.float32)[:, None], "goal_id": np.array([4, 3, 2, 1, 0])}
    expected = model.predict(obs, deterministic=True)[0]
    alone = DQN.load(tmp_path / "model")
    np.testing.assert_array_equal(alone.predict(obs, deterministic=True)[0], expected)
    further = DQN.load(tmp_path / "model", env=goal_conditioned_venv(make_line(), seed=1))
    np.testing.assert_array_equal(further.predict(obs, deterministic=True)[0], expected)
    further.load_replay_buffer(tmp_path / "buffer")
    assert further.replay_buffer.size() == 200
    further.learn(50, reset_num_timesteps=False)
    assert further.replay_buffer.size() == 250


def test_descriptors_come_from_the_environment() -> None:
    extractor = goal_conditioned_dqn(make_line()).q_net.features_extractor
    th.testing.assert_close(extractor.descriptors, th.arange(5.0)[:, None])
    extractor = goal_conditioned_dqn(make_line(), descriptors=np.eye(5, 2)).q_net.features_extractor
    th.testing.assert_close(extractor.descriptors, th.eye(5, 2))
    assert goal_conditioned_dqn(make_line(), goal_input="one_hot").q_net.features_extractor.descriptors is None
    predicates = goal_conditioned_dqn(stamped_line()).q_net.features_extractor
    th.testing.assert_close(predicates.descriptors, th.eye(NUM_GOALS))


def test_conditioned_environments_are_taken_as_they_are() -> None:
    assert isinstance(goal_conditioned_dqn(make_line()).env, VecGoalSampler)
    venv = VecGoalSampler(DummyVecEnv([make_line]), on_success="terminate")
    assert goal_conditioned_dqn(venv).env is venv
    assert not isinstance(goal_conditioned_dqn(GoalConditionedWrapper(make_line())).env, VecGoalSampler)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: goal_conditioned_dqn("CartPole-v1"), "goal_names"),
        (lambda: goal_conditioned_dqn(make_line(), buffer="hers"), "buffer to be one of"),
        (lambda: goal_conditioned_dqn(make_line(), goal_input="name"), "goal_input to be one of"),
        (lambda: goal_conditioned_dqn(make_line(), goal_input="one_hot", descriptors=np.eye(5)), "no descriptors"),
        (lambda: goal_conditioned_dqn(make_line(), descriptors=np.eye(4)), r"descriptors of shape \[5, d\]"),
        (lambda: goal_conditioned_dqn(make_line(), replay_buffer_class=MaskHerReplayBuffer), "replay_buffer_class"),
        (lambda: goal_conditioned_dqn(VecGoalSampler(DummyVecEnv([make_line]))), "on_success=\"terminate\", got 'switch'"),
        (lambda: goal_conditioned_dqn(GoalConditionedWrapper(make_line(), on_success="continue")), "got 'continue'"),
        (lambda: goal_conditioned_dqn(GoalConditionedWrapper(make_line()), selector="seen"), "bare multi-goal"),
        (lambda: MaskHerReplayBuffer(9, line_space(), spaces.Discrete(2), n_sampled_goal=-1), "n_sampled_goal of at least 0"),
        (
            lambda: MaskHerReplayBuffer(9, line_space(), spaces.Discrete(2), goal_selection_strategy="past"),
            "goal_selection_strategy to be one of",
        ),
        (lambda: AllGoalsReplayBuffer(9, line_space(), spaces.Discrete(2), goals_per_transition=10), "from 1 to 9, got 10"),
        (lambda: AllGoalsReplayBuffer(9, line_space()["observation"], spaces.Discrete(2)), "Discrete 'goal_id'"),
        (lambda: AllGoalsReplayBuffer(9, line_space(), spaces.Discrete(2), goal_points=np.eye(9)), "desired_goal"),
        (lambda: GoalDescriptorExtractor(line_space()["observation"]), "Discrete 'goal_id'"),
    ],
)
def test_bad_input_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_buffers_refuse_masks_of_other_environments() -> None:
    buffer = MaskHerReplayBuffer(20, line_space(), spaces.Discrete(2), n_envs=2)
    obs = {"observation": np.zeros((2, 1), np.float32), "goal_id": np.zeros(2, int)}
    step = (obs, obs, np.zeros(2), np.zeros(2), np.zeros(2))
    with pytest.raises(ValueError, match="got 1 infos for 2 environments"):
        buffer.add(*step, [{"goals_achieved": np.zeros(9, bool)}])
    with pytest.raises(ValueError, match="MultiGoalWrapper"):
        buffer.add(*step, [{}, {}])
    assert buffer.size() == 0 and buffer.num_steps == 0
