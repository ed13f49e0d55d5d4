"""
Write a goal selector that commands goals with few attempts, and compare it with uniform goals.

A selector chooses the commanded goal. LEO updates all goals whichever is commanded, so the choice only determines which
states are visited. Run with ``python examples/goal_selector.py``.
"""

import argparse

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode

import leo_envs
from leo_agents import LEODQN
from leo_agents.evaluation import evaluate_goals
from leo_wrappers import GoalSelector

gym.register_envs(leo_envs)

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=6_000, help="environment steps per selector")
options = parser.parse_args()


class LeastTried(GoalSelector):
    """
    Prefer seen goals with few attempts.

    The base class counts ``seen``, ``attempts`` and ``successes``, samples with its own generator ``rng``, skips goals that
    are already achieved, and is saved in checkpoints. A subclass only returns the weight of every goal.
    """

    def _weights(self) -> np.ndarray:
        weights = 1 / (1 + self.attempts)
        return np.where(self.seen, weights, 0.0) if self.seen.any() else weights


def rarely_achieved(selector: GoalSelector, count: int) -> np.ndarray:
    """Sample ``count`` goal ids from the ten seen goals with the fewest successes; a plain function is a selector too."""
    ids = np.flatnonzero(selector.seen) if selector.seen.any() else np.arange(selector.num_goals)
    least = ids[np.argsort(selector.successes[ids], kind="stable")[:10]]
    return selector.rng.choice(least, size=count)


maze = {"map": "maze", "size": 13, "map_seed": 1}
for name, selector in {"uniform": "uniform", "few tries": LeastTried(), "rare": rarely_achieved}.items():
    env = gym.make("leo/GridWorld-v0", **maze)
    model = LEODQN("MultiGoalPolicy", env, goal_selector=selector, seed=0).learn(options.steps)
    goals = env.unwrapped.reachable()
    envs = gym.make_vec("leo/GridWorld-v0", num_envs=len(goals), autoreset_mode=AutoresetMode.SAME_STEP, **maze)
    report = evaluate_goals(model, envs, goals=goals, seed=1, max_steps=100)
    seen = model.get_env().goal_selector.seen.sum()
    print(f"{name:>9}: {seen} goals seen, {report.num_learned()} of {len(report)} learned")
