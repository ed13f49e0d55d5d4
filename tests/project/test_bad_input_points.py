"""Bad goal environments, JAX environments and their arguments; see ``test_bad_input``."""

from functools import partial
from math import inf, nan
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from leo_agents import LEOSAC, LEOTD3
from leo_agents.algorithms.goal_env import RewardGoalTest
from leo_agents.evaluation import evaluate_random_goals
from tests.agents.plane_point import PlanePoint
from tests.line_env import LineEnv
from tests.project.test_bad_input import ENV, POSITIVE_INTEGER, assert_rejected

pytestmark = pytest.mark.timeout(60)

REAL = spaces.Box(-np.inf, np.inf, (2,), np.float32)
THREE = spaces.Box(-np.inf, np.inf, (3,), np.float32)
SMALL = {"buffer_size": 1_000, "learning_starts": 10, "batch_size": 4, "policy_kwargs": {"net_arch": [4]}, "seed": 0}
NOT_POINTS = (
    THREE,
    spaces.Box(-np.inf, np.inf, (), np.float32),
    spaces.Box(-np.inf, np.inf, (2, 1), np.float32),
    spaces.Box(0, 9, (2,), np.int64),
    spaces.Box(0, 255, (2,), np.uint8),
    spaces.Discrete(4),
    spaces.MultiBinary(2),
)


class Altered(PlanePoint):
    """
    The plane with other spaces, or with another ``compute_reward``.

    :param parts: spaces of observations to replace
    :param actions: another action space
    :param reward: called by ``compute_reward`` with the true rewards
    """

    def __init__(self, parts: Any = None, actions: Any = None, reward: Any = None) -> None:
        super().__init__()
        self.observation_space = spaces.Dict({**self.observation_space.spaces, **(parts or {})})
        self.action_space = self.action_space if actions is None else actions
        self.reward = reward

    def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
        rewards = super().compute_reward(achieved_goal, desired_goal, info)
        # Single rewards are those of steps.
        return rewards if self.reward is None or np.ndim(achieved_goal) == 1 else self.reward(rewards)


class WithoutReward(PlanePoint):
    compute_reward = property()  # type: ignore[assignment]


def fail(rewards: Any) -> Any:
    raise KeyError("is_success")


REWARDS = (
    fail,
    lambda rewards: None,
    lambda rewards: "rewards",
    lambda rewards: ["x"] * len(rewards),
    lambda rewards: [None] * len(rewards),
    lambda rewards: {},
    lambda rewards: 0.0,
    lambda rewards: rewards[:-1],
    lambda rewards: rewards[:, None],
    lambda rewards: rewards * nan,
    lambda rewards: np.where(rewards == 0, rewards, nan),
    lambda rewards: np.where(rewards == 0, nan, rewards),
    lambda rewards: np.where(rewards == 0, rewards, inf),
    lambda rewards: np.where(rewards == 0, rewards, -inf),
    lambda rewards: -rewards - 2,
    lambda rewards: rewards.astype(complex),
)


@pytest.mark.parametrize("algorithm", [LEOTD3, LEOSAC])
class TestGoalEnvironments:
    @pytest.mark.parametrize("key", ["achieved_goal", "desired_goal", "both"])
    def test_spaces_of_goals(self, algorithm, key):
        for space in NOT_POINTS:
            keys = ("achieved_goal", "desired_goal") if key == "both" else (key,)
            if key == "both" and space is THREE:
                continue
            env = Altered(parts=dict.fromkeys(keys, space))
            assert_rejected(partial(algorithm, "MultiGoalPolicy", env, **SMALL), f"{key}: {space}")

    def test_spaces_of_actions(self, algorithm):
        for space in (spaces.Discrete(2), spaces.MultiBinary(2), REAL, spaces.Box(1.0, 1.0, (2,)), spaces.Dict({"x": REAL})):
            env = Altered(actions=space)
            assert_rejected(partial(algorithm, "MultiGoalPolicy", env, **SMALL), f"actions: {space}")

    def test_without_a_reward(self, algorithm):
        assert_rejected(partial(algorithm, "MultiGoalPolicy", WithoutReward(), **SMALL), "no compute_reward")

    @pytest.mark.parametrize("number", range(len(REWARDS)))
    def test_rewards(self, algorithm, number):
        model = algorithm("MultiGoalPolicy", Altered(reward=REWARDS[number]), **SMALL)
        assert_rejected(partial(model.learn, 60), f"rewards {number}")

    def test_points(self, algorithm):
        model = algorithm("MultiGoalPolicy", PlanePoint(), **SMALL)
        obs, _ = PlanePoint().reset(seed=0)
        for goal in (
            None,
            3,
            "here",
            [],
            [0.0],
            [0.0] * 3,
            [nan, 0.0],
            [inf, 0.0],
            ["x", "y"],
            [[0.0, 0.0]],
            {},
            object(),
            [None] * 2,
        ):
            assert_rejected(partial(model.act, obs, goal), f"act({goal!r})")
            if goal not in (None, [[0.0, 0.0]]):
                assert_rejected(partial(model.values, obs, goal), f"values({goal!r})")
        for bad in (None, 3, "abc", {}, obs["observation"], {**obs, "observation": [nan, 0.0]}, {"desired_goal": [0.0, 0.0]}):
            assert_rejected(partial(model.act, bad, [0.0, 0.0]), f"act({bad!r})")
            assert_rejected(partial(model.values, bad), f"values({bad!r})")
            assert_rejected(partial(model.predict, bad), f"predict({bad!r})")
        for goal in ([nan, 0.0], [inf, 0.0], [0.0] * 3, "here", None):
            bad = {**obs, "desired_goal": np.asarray(goal)}
            assert_rejected(partial(model.predict, bad), f"predict({bad!r})")
            assert_rejected(partial(model.values, bad), f"values({bad!r})")


@pytest.mark.parametrize("number", range(len(REWARDS)))
def test_evaluation_with_rewards(number):
    model = LEOSAC("MultiGoalPolicy", PlanePoint(), **SMALL)
    env = Altered(reward=REWARDS[number])
    assert_rejected(partial(evaluate_random_goals, model, env, 3, goals=[[9.0, 9.0]] * 3), f"rewards {number}")


def test_environments_of_the_goal_test():
    for env in (*ENV, LineEnv(), PlanePoint()):
        assert_rejected(partial(RewardGoalTest, env), f"RewardGoalTest({env!r})")


class TestJax:
    def test_environments(self):
        jax_envs = pytest.importorskip("leo_wrappers.jax_envs")
        sb3 = pytest.importorskip("leo_wrappers.sb3")
        from tests.wanderer_env import Wanderer

        for make in (
            jax_envs.JaxEnv,
            jax_envs.JaxVectorEnv,
            partial(jax_envs.BatchedEnv, num_envs=2),
            partial(sb3.JaxVecEnv, num_envs=2),
        ):
            for env in (*ENV, LineEnv(), Wanderer):
                assert_rejected(partial(make, env), f"{make}({env!r})")
        for make in (jax_envs.JaxVectorEnv, jax_envs.BatchedEnv, sb3.JaxVecEnv):
            for num_envs in (*POSITIVE_INTEGER, 10**15):
                assert_rejected(partial(make, Wanderer(), num_envs), f"{make}(num_envs={num_envs!r})")
        for mode in (3, "nonsense", None, []):
            assert_rejected(partial(jax_envs.JaxVectorEnv, Wanderer(), autoreset_mode=mode), f"autoreset_mode={mode!r}")

    def test_seeds_and_actions(self):
        jax_envs = pytest.importorskip("leo_wrappers.jax_envs")
        from tests.wanderer_env import Wanderer

        envs, single = jax_envs.JaxVectorEnv(Wanderer(), 2), jax_envs.JaxEnv(Wanderer())
        for seed in (-1, 1.5, nan, "seed", [], [1], [1, "x"], [1, -1], [1, 1.5], {}):
            assert_rejected(partial(envs.reset, seed=seed), f"reset(seed={seed!r})")
        envs.reset(seed=0), single.reset(seed=0)
        for actions in (None, 3, "ab", [], [0], [0, 2], [-1, 0], [0.5, 0.0], [nan, 0], [[0, 1]], [None, 0]):
            assert_rejected(partial(envs.step, actions), f"step({actions!r})")
        for action in (None, "a", 2, -1, 0.5, nan, [0], {}):
            assert_rejected(partial(single.step, action), f"step({action!r})")

    def test_gymnax_environments(self):
        jax_envs = pytest.importorskip("leo_wrappers.jax_envs")

        class Env:
            reset_env = step_env = staticmethod(lambda *args: args)

        valid = {
            "env": Env(),
            "params": None,
            "goal_names": ("a",),
            "achieves": lambda obs, state: obs,
            "observation_space": REAL,
            "action_space": spaces.Discrete(2),
        }
        jax_envs.GymnaxEnv(**valid)
        bad = {
            "env": (3, None, LineEnv()),
            "goal_names": (3, "abc", [], [1], ["a", "a"]),
            "achieves": (3, None, "f"),
            "observation_space": (3, None, "space"),
            "action_space": (3, None, "space"),
            "is_truncated": (3, "f"),
        }
        for name, values in bad.items():
            for value in values:
                assert_rejected(partial(jax_envs.GymnaxEnv, **{**valid, name: value}), f"GymnaxEnv({name}={value!r})")
