"""Faults planted where observations never repeat."""

import warnings

import gymnasium as gym
import numpy as np
import pytest

from leo_wrappers import ContractError, GoalConditionedWrapper, MultiGoalWrapper, PredicateGoals, check_multigoal_env

GOALS = PredicateGoals(
    {
        "pole/left": lambda obs: obs[..., 2] < -0.05,
        "pole/right": lambda obs: obs[..., 2] > 0.05,
        "cart/left": lambda obs: obs[..., 0] < 0,
        "cart/fast": lambda obs: abs(obs[..., 1]) > 0.5,
    }
)


def make_env(kind=MultiGoalWrapper):
    return kind(gym.make("CartPole-v1"), GOALS)


class LateMasks(gym.Wrapper):
    """Returns every mask one step late."""

    def reset(self, **kwargs):
        obs, info = self.env.reset(**kwargs)
        self.mask = info["goals_achieved"]
        return obs, info

    def step(self, action):
        *rest, info = self.env.step(action)
        late, self.mask = self.mask, info["goals_achieved"]
        return *rest, {**info, "goals_achieved": late.copy()}


class ResetMasksAtTheEnd(gym.Wrapper):
    """Returns the mask of a new episode with the last step of an episode."""

    def step(self, action):
        obs, reward, terminated, truncated, info = self.env.step(action)
        if terminated:
            info["goals_achieved"] = GOALS.achieved(self.np_random.uniform(-0.05, 0.05, 4))
        return obs, reward, terminated, truncated, info


class LateSubclass(MultiGoalWrapper):
    """Tests the goals on the previous observation."""

    def reset(self, **kwargs):
        self.previous, info = super().reset(**kwargs)
        return self.previous, info

    def step(self, action):
        obs, *rest, info = super().step(action)
        late, self.previous = self.previous, obs
        return obs, *rest, {**info, "goals_achieved": self.goal_set.achieved(late)}


FAULTY = {
    "late": lambda: LateMasks(make_env()),
    "late below a goal-conditioned wrapper": lambda: GoalConditionedWrapper(LateMasks(make_env())),
    "late subclass": lambda: make_env(LateSubclass),
    "reset mask at the end": lambda: ResetMasksAtTheEnd(make_env()),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_masks_are_compared_with_the_goal_set(fault):
    with pytest.raises(ContractError, match="as the goal set of MultiGoalWrapper computes it"):
        check_multigoal_env(FAULTY[fault](), skip_sb3_check=True, skip_gymnasium_check=True)


def test_recomputation_leaves_the_environment_unchanged():
    env = LateMasks(make_env())
    inner = env.env.env
    with pytest.raises(ContractError):
        check_multigoal_env(env)
    assert env.env.env is inner


def test_signal_of_the_history_is_not_recomputed():
    visited = []

    def signal(obs, info):
        visited.append(obs[0] < 0)
        return np.array([sum(visited[-3:])])

    env = MultiGoalWrapper(gym.make("CartPole-v1"), PredicateGoals({"twice": lambda count: count[..., 0] >= 2}), signal)
    env.spec.nondeterministic = True
    check_multigoal_env(env, observation_determines_mask=False, skip_sb3_check=True, skip_gymnasium_check=True)


class NativeEnv(gym.Env):
    """CartPole with the masks in the environment itself, where no goal set can be found."""

    goal_names = GOALS.names

    def __init__(self, fault=""):
        self.fault = fault
        self.env = gym.make("CartPole-v1").unwrapped
        self.observation_space, self.action_space = self.env.observation_space, self.env.action_space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.env.reset(seed=int(self.np_random.integers(2**31)))
        return self.state(), {"goals_achieved": GOALS.achieved(self.state())}

    def step(self, action):
        before = self.state()
        _, reward, terminated, _, _ = self.env.step(action)
        mask = GOALS.achieved(before if self.fault == "late" else self.state())
        if terminated and self.fault == "reset mask at the end":
            mask = GOALS.achieved(self.np_random.uniform(-0.05, 0.05, 4))
        return self.state(), float(reward), terminated, False, {"goals_achieved": mask}

    def state(self):
        return np.array(self.env.state, dtype=np.float32)


def warnings_of(env, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_multigoal_env(env, skip_sb3_check=True, skip_gymnasium_check=True, **options)
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize("seed", range(3))
def test_late_masks_without_a_goal_set_cause_a_warning(seed):
    late, in_time = warnings_of(NativeEnv("late"), seed=seed), warnings_of(NativeEnv(), seed=seed)
    assert any("probably one step late" in message for message in late)
    assert not any("probably one step late" in message for message in in_time)


@pytest.mark.parametrize("seed", range(3))
def test_terminal_masks_of_a_random_reset_are_found(seed):
    with pytest.raises(ContractError, match="the same observation and other random numbers"):
        warnings_of(NativeEnv("reset mask at the end"), seed=seed)


def test_rare_comparisons_are_reported():
    (message,) = warnings_of(NativeEnv())
    assert "0 of 2" in message and "oracle=" in message
    assert warnings_of(NativeEnv(), oracle=lambda obs, info: GOALS.achieved(obs)) == []


@pytest.mark.parametrize("env_id", ["CartPole-v1", "MountainCar-v0", "Pendulum-v1", "Acrobot-v1"])
@pytest.mark.parametrize("seed", range(3))
def test_masks_in_time_cause_no_warning(env_id, seed):
    env = gym.make(env_id)
    observations = np.array([env.observation_space.sample() for _ in range(8)]).clip(-3, 3)
    dimensions = observations.shape[1]
    goals = PredicateGoals(
        {f"below/{i}": lambda obs, i=i: obs[..., i % dimensions] < observations[i, i % dimensions] for i in range(8)}
        | {f"near/{i}": lambda obs, i=i: np.linalg.norm(obs - observations[i], axis=-1) < 1 for i in range(8)}
    )
    assert warnings_of(MultiGoalWrapper(env, goals), seed=seed) == []
