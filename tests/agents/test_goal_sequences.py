"""Sequences of goals: rows relabeled in hindsight against a loop over the masks, and an agent that learns them."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import DQN

from leo_agents.baselines import GoalSequenceDQN, SequenceReplayBuffer, goal_sequence_dqn
from leo_wrappers import GoalSequenceWrapper
from tests.line_env import make_line
from tests.wrappers.test_goal_sequence import naive_next

G, LENGTH, NONE = 3, 3, 3
SPACE = spaces.Dict(
    {"observation": spaces.Box(0, 1e6, (1,), np.float64), "goal_sequence": spaces.MultiDiscrete([G + 1] * LENGTH)}
)


def happened(sequence, masks):
    """Whether the steps with these masks achieve the goals one after the other."""
    for mask in masks:
        sequence = naive_next(sequence, mask)
    return sequence[0] == NONE


def all_that_happened(masks):
    """List all sequences of at most LENGTH goals that the steps with these masks achieve."""
    found = {()}
    for mask in masks:
        found |= {(*before, int(goal)) for before in found for goal in np.flatnonzero(mask) if len(before) < LENGTH}
    return {goals + (NONE,) * (LENGTH - len(goals)) for goals in found - {()}}


def fill(buffer, masks, dones, kinds, sequences):
    """
    Store steps ``[T, N]`` whose observations are numbered, and return the steps of each transition's episode from it on.

    An episode ends by termination (kind 0), truncation (1), or the commanded sequence (2), after which the state goes on.
    """
    num_steps, num_envs = dones.shape
    number = np.zeros((num_steps, num_envs), dtype=int)
    rest = {}
    for env in range(num_envs):
        count, episode = 1_000 * env, []
        for step in range(num_steps):
            number[step, env] = count
            episode.append(count)
            rest[count] = (step, env, episode)
            # Two numbers are left out where the next step starts in another state.
            ends = dones[step, env] and kinds[step, env] != 2
            count, episode = (count + 2, []) if ends else (count + 1, episode)
    for step in range(num_steps):
        obs, next_obs = (
            {"observation": (number[step] + d)[:, None].astype(float), "goal_sequence": sequences[step]} for d in (0, 1)
        )
        infos = [{"goals_achieved": masks[step, env], "TimeLimit.truncated": False} for env in range(num_envs)]
        for env, info in enumerate(infos):
            if dones[step, env]:
                info |= {"TimeLimit.truncated": kinds[step, env] == 1, "ended_by_goal": kinds[step, env] == 2}
        buffer.add(obs, next_obs, np.zeros(num_envs, dtype=int), np.zeros(num_envs), dones[step], infos)
    kept = {n: place for n, place in rest.items() if place[0] >= num_steps - buffer.buffer_size}
    return {n: (step, env, [masks[rest[m][0], env] for m in episode if m >= n]) for n, (step, env, episode) in kept.items()}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 2), st.integers(1, 14), st.floats(0.0, 0.6))
def test_relabeled_rows_equal_a_loop_over_the_masks(seed, num_envs, num_steps, density):
    rng = np.random.default_rng(seed)
    masks = rng.random((num_steps, num_envs, G)) < density
    dones = rng.random((num_steps, num_envs)) < 0.25
    kinds = rng.integers(0, 3, (num_steps, num_envs))
    lengths = rng.integers(1, LENGTH + 1, (num_steps, num_envs, 1))
    own = np.where(np.arange(LENGTH) < lengths, rng.integers(0, G, (num_steps, num_envs, LENGTH)), NONE)
    buffer = SequenceReplayBuffer(10 * num_envs, SPACE, spaces.Discrete(2), n_envs=num_envs, n_sampled_goal=1, device="cpu")
    rest = fill(buffer, masks, dones, kinds, own)
    np.random.seed(seed)
    rows = buffer.sample(64)
    for row in range(64):
        number = int(rows.observations["observation"][row])
        step, env, later = rest[number]
        sequence = rows.observations["goal_sequence"][row].tolist()
        if sequence != own[step, env].tolist():
            assert row < 32 and happened(sequence, later)
        elif row < 32 and not happened(sequence, later):
            assert not any(mask.any() for mask in later) or len(later) > 1  # a drawn step achieved nothing
        following = naive_next(sequence, masks[step, env])
        assert rows.next_observations["goal_sequence"][row].tolist() == following
        assert rows.next_observations["observation"][row] == number + 1
        completed = following[0] == NONE
        terminated = bool(dones[step, env]) and kinds[step, env] == 0
        assert rows.rewards[row] == completed and rows.dones[row] == (completed or terminated)


def test_every_sequence_that_happened_can_be_drawn_and_no_other():
    masks = np.array([[1, 0, 0], [0, 0, 0], [0, 1, 1], [0, 1, 0], [1, 0, 0]], dtype=bool)[:, None]
    buffer = SequenceReplayBuffer(5, SPACE, spaces.Discrete(2), n_sampled_goal=10**9, device="cpu")
    own = np.full((5, 1, LENGTH), NONE)
    rest = fill(buffer, masks, np.zeros((5, 1), dtype=bool), np.zeros((5, 1)), own)
    np.random.seed(0)
    rows = buffer.sample(20_000).observations
    drawn = {number: set() for number in rest}
    for number, sequence in zip(rows["observation"].flatten().tolist(), rows["goal_sequence"].tolist(), strict=True):
        drawn[int(number)].add(tuple(sequence))
    for number, (_, _, later) in rest.items():
        assert drawn[number] - {(NONE,) * LENGTH} == all_that_happened(later)


def test_an_agent_learns_sequences(tmp_path):
    env = GoalSequenceWrapper(make_line(start=2, horizon=30), max_length=3)
    kwargs = {"learning_rate": 3e-3, "learning_starts": 200, "train_freq": 2, "target_update_interval": 100, "gamma": 0.9}
    model = goal_sequence_dqn(env, seed=0, exploration_fraction=0.5, policy_kwargs={"net_arch": [64]}, **kwargs).learn(3_000)
    model.save(tmp_path / "model")
    loaded = DQN.load(tmp_path / "model")
    for goals, best in (([4], 2), ([0, 4], 6), ([3, 1, 2], 4)):
        obs, _ = env.reset(options={"goals": goals})
        steps, done = 0, False
        while not done:
            action = model.predict(obs, deterministic=True)[0]
            assert action == loaded.predict(obs, deterministic=True)[0]
            obs, reward, terminated, truncated, _ = env.step(int(action))
            steps, done = steps + 1, terminated or truncated
        assert (steps, reward) == (best, 1.0)
    assert isinstance(model, GoalSequenceDQN)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: goal_sequence_dqn(make_line()), "wrap the environment with GoalSequenceWrapper"),
        (lambda: goal_sequence_dqn(gym.make("CartPole-v1")), "wrap the environment with GoalSequenceWrapper"),
        (lambda: goal_sequence_dqn(GoalSequenceWrapper(make_line()), squash=2), "squash"),
        (lambda: goal_sequence_dqn(GoalSequenceWrapper(make_line()), normalize="no"), "normalize"),
        (lambda: goal_sequence_dqn(GoalSequenceWrapper(make_line()), goal_input="ids"), "goal_input"),
        (lambda: goal_sequence_dqn(GoalSequenceWrapper(make_line()), policy="MlpPolicy"), "policy"),
        (lambda: goal_sequence_dqn(GoalSequenceWrapper(make_line()), descriptors=[[0.0]]), "descriptors"),
        (
            lambda: goal_sequence_dqn(GoalSequenceWrapper(make_line()), replay_buffer_kwargs={"n_sampled_goals": 4}),
            "did you mean 'n_sampled_goal'?",
        ),
        (lambda: SequenceReplayBuffer(9, SPACE["observation"], spaces.Discrete(2)), "wrap the environment with"),
        (lambda: SequenceReplayBuffer(9, SPACE, spaces.Discrete(2), n_sampled_goal=-1), "n_sampled_goal"),
        (lambda: SequenceReplayBuffer(0, SPACE, spaces.Discrete(2)), "buffer_size"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises((TypeError, ValueError), match="expected") as error:
        make()
    assert message in str(error.value)
