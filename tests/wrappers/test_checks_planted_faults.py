"""A table of faults planted in environments, and correct environments, which must cause no false alarm."""

import warnings
from collections import Counter
from functools import partial

import gymnasium as gym
import numpy as np
import pytest

import leo_envs  # noqa: F401  (registers the ids)
from leo_wrappers import GoalConditionedWrapper, MultiGoalWrapper, PredicateGoals, check_multigoal_env, check_multigoal_vec_env
from tests.planted_faults import BASES, KINDS, cases, check, outcome

# Where observations never repeat and there is no goal set, a warning reports that these may be missed.
ANNOUNCED = {
    "two steps late": KINDS,
    "late at the end": ("gymnasium", "sb3"),
    "early": ("gymnasium", "sb3"),
    "of the next episode if terminated": ("gymnasium", "sb3"),
    "of the next episode if truncated": ("gymnasium", "sb3"),
    "empty if truncated": ("gymnasium", "sb3"),
    "achieved goals stay achieved": KINDS,
    "depends on the time": KINDS,
    "depends on the episode": ("sb3",),
    "random": ("gymnasium", "sb3"),
}
CASES = list(cases())


def expected_outcome(name, base, kind):
    if base == "never repeating" and kind in ANNOUNCED.get(name, ()):
        return "announced"
    # Consistent masks of the wrong goals can only be found by computing them independently.
    return "announced" if base != "goal set" and name == "goals in another order" else "found"


@pytest.mark.parametrize(("name", "kind", "base", "run", "match"), CASES, ids=["-".join(case[:3]) for case in CASES])
def test_planted_fault(name, kind, base, run, match):
    assert outcome(run, match) == expected_outcome(name, base, kind)


def test_counts_in_the_documentation():
    """docs/your-environment.md reports these numbers."""
    counts = Counter(expected_outcome(name, base, kind) for name, kind, base, _, _ in CASES)
    assert counts == {"found": 365, "announced": 28}


# ------------------------------------------------------------------------------------------------------ no false alarms


class NativeMasks(gym.Wrapper):
    """Reports masks without a goal set that a checker could find."""

    def __init__(self, env, goals):
        super().__init__(env)
        self.goals, self.goal_names = goals, goals.names

    def reset(self, **kwargs):
        obs, info = self.env.reset(**kwargs)
        return obs, {**info, "goals_achieved": self.goals.achieved(np.ravel(obs))}

    def step(self, action):
        obs, reward, terminated, truncated, info = self.env.step(action)
        return obs, reward, terminated, truncated, {**info, "goals_achieved": self.goals.achieved(np.ravel(obs))}


def make_gymnasium_env(env_id, native):
    env = gym.make(env_id)
    env.observation_space.seed(0)
    points = np.array([np.ravel(env.observation_space.sample()) for _ in range(6)], dtype=float).clip(-3, 3)
    size = points.shape[1]
    goals = PredicateGoals(
        {f"below/{i}": lambda x, i=i: np.ravel(x)[i % size] < points[i, i % size] for i in range(6)}
        | {f"near/{i}": lambda x, i=i: np.linalg.norm(np.ravel(x) - points[i]) < 1 for i in range(6)}
    )
    if native:
        return NativeMasks(env, goals)
    return MultiGoalWrapper(env, goals, lambda obs, info: np.ravel(obs))


def messages_of(run):
    """Return the warnings of a check, but not those of Gymnasium's and Stable-Baselines3's checkers."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run()
    return [str(warning.message) for warning in caught if str(warning.message).startswith("Expected")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("base", BASES)
def test_correct_environments_pass(base, kind):
    assert outcome(partial(check, kind, BASES[base]), "^$") == ("missed" if base == "goal set" else "announced")


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize(
    "env_id",
    [
        *("CartPole", "Acrobot", "MountainCar", "MountainCarContinuous", "Pendulum"),
        *("Blackjack", "CliffWalking", "FrozenLake", "Taxi"),
    ],
)
def test_gymnasium_environments_pass(env_id, native):
    make = partial(make_gymnasium_env, env_id, native)
    messages = messages_of(lambda: check_multigoal_env(make(), env_fn=make, skip_gymnasium_check=True, skip_sb3_check=True))
    messages += messages_of(lambda: check_multigoal_vec_env(gym.vector.SyncVectorEnv([make] * 2)))
    # Only native masks cannot be computed again.
    assert all(native and "could be compared" in message for message in messages)


@pytest.mark.parametrize("wrapper", [gym.Wrapper, GoalConditionedWrapper])
@pytest.mark.parametrize(
    "env_id",
    [
        *("GridWorld", "BitFlip", "MountainCar", "MountainCarContinuous"),
        *("PandaReach", "FetchReach", "PointMaze_UMaze", "HandReach", "FrankaKitchen"),
    ],
)
def test_own_environments_pass_without_warning(env_id, wrapper):
    pytest.importorskip("mujoco")
    env = wrapper(gym.make(f"leo/{env_id}-v0"))
    assert messages_of(lambda: check_multigoal_env(env, steps=20, skip_gymnasium_check=True, skip_sb3_check=True)) == []
    env.close()
