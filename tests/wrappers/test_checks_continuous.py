"""Faults planted where observations never repeat."""

import warnings
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.vec_env import DummyVecEnv

from leo_wrappers import (
    ContractError,
    GoalConditionedWrapper,
    MultiGoalWrapper,
    PointGoals,
    PredicateGoals,
    check_multigoal_env,
    check_multigoal_vec_env,
)

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


# ------------------------------------------------------------------------------- goal sets without MultiGoalWrapper


class PointEnv(gym.Env):
    """Random walk of a point with a goal set and a signal, and a fault that its masks are one step late."""

    action_space = gym.spaces.Discrete(2)
    goal_names = ("low", "high")

    def __init__(self, is_goal_env, is_late):
        self.is_goal_env, self.is_late = is_goal_env, is_late
        self.goal_set = PointGoals([[0.0], [1.0]], tolerance=0.3, names=self.goal_names)
        box = gym.spaces.Box(-np.inf, np.inf, (1,), np.float64)
        if is_goal_env:
            keys = ("observation", "achieved_goal", "desired_goal")
            self.observation_space = gym.spaces.Dict(dict.fromkeys(keys, box))
        else:
            self.observation_space = box
            self.goal_signal = lambda observation, info: observation / 2

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.point = self.np_random.uniform(0, 1, 1)
        return self.observe(self.point)

    def step(self, action):
        before = self.point
        self.point = before + self.np_random.normal(0, 0.3, 1)
        obs, info = self.observe(before if self.is_late else self.point)
        return obs, 0.0, False, bool(abs(self.point) > 2), info

    def observe(self, tested):
        info = {"goals_achieved": self.goal_set.achieved(tested)}
        if not self.is_goal_env:
            return 2 * self.point, info
        return {"observation": self.point, "achieved_goal": self.point, "desired_goal": np.zeros(1)}, info


@pytest.mark.parametrize("is_goal_env", [False, True])
def test_masks_are_compared_with_the_goal_set_of_the_environment(is_goal_env):
    make = partial(PointEnv, is_goal_env, is_late=False)
    assert warnings_of(make(), env_fn=make) == []
    assert warnings_of(gym.wrappers.TimeLimit(make(), 10)) == []
    make_late = partial(PointEnv, is_goal_env, is_late=True)
    with pytest.raises(ContractError, match="as the goal set of PointEnv computes it"):
        warnings_of(make_late())
    for venv in (gym.vector.SyncVectorEnv([make_late] * 2), DummyVecEnv([make_late] * 2)):
        with pytest.raises(ContractError, match="as the goal set of PointEnv computes it"):
            check_multigoal_vec_env(venv)


def test_masks_in_worker_processes_are_compared_with_those_of_env_fn():
    venv = gym.vector.AsyncVectorEnv([partial(PointEnv, True, is_late=True)] * 2, context="forkserver")
    try:
        with pytest.raises(ContractError, match="as the goal set of PointEnv computes it"):
            check_multigoal_vec_env(venv, steps=20)
    finally:
        venv.close()


def test_oracle_of_a_vector_env():
    venv = gym.vector.SyncVectorEnv([partial(NativeEnv, "reset mask at the end")] * 2)
    with pytest.raises(ContractError, match="the oracle's mask for the observation"):
        check_multigoal_vec_env(venv, oracle=lambda obs, info: GOALS.achieved(obs))
    with pytest.raises(ValueError, match=r"a mask of shape \(4,\), got shape \(2,\)"):
        check_multigoal_vec_env(venv, oracle=lambda obs, info: [True, False])
