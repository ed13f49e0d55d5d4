"""
Write a goal selector: command goals of middling difficulty, and compare with uniform ones.

A selector says which goal to pursue next. LEO learns about all goals whichever is pursued, so the choice matters for one
thing only: where the agent goes, and what it thus gets to see. Run with ``python examples/goal_selector.py``.
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
parser.add_argument("--steps", type=int, default=6_000, help="environment steps to train each for")
options = parser.parse_args()


class MiddlingGoals(GoalSelector):
    """
    Seen goals, those most of all that are reached about half of the time.

    The base class counts ``seen``, ``attempts`` and ``successes``, draws by its own generator ``rng``, skips goals that are
    true already, and saves all of that in checkpoints. A strategy only says how much it wants each goal.
    """

    def _weights(self) -> np.ndarray:
        rate = (self.successes + 1) / (self.attempts + 2)  # 1/2 for goals not tried yet
        wanted = rate * (1 - rate) + 0.01
        return np.where(self.seen, wanted, 0.0) if self.seen.any() else wanted


def far_goals(selector: GoalSelector, count: int) -> np.ndarray:
    """A function will do too: it gets the selector and returns so many goal ids. This one likes what was seldom reached."""
    ids = np.flatnonzero(selector.seen) if selector.seen.any() else np.arange(selector.num_goals)
    least = ids[np.argsort(selector.successes[ids], kind="stable")[:10]]
    return selector.rng.choice(least, size=count)


maze = {"map": "maze", "size": 13, "map_seed": 1}
for name, selector in {"uniform": "uniform", "middling": MiddlingGoals(), "far": far_goals}.items():
    env = gym.make("leo/GridWorld-v0", **maze)
    model = LEODQN("MultiGoalPolicy", env, goal_selector=selector, seed=0).learn(options.steps)
    goals = env.unwrapped.reachable()
    envs = gym.make_vec("leo/GridWorld-v0", num_envs=len(goals), autoreset_mode=AutoresetMode.SAME_STEP, **maze)
    report = evaluate_goals(model, envs, goals=goals, seed=1, max_steps=100)
    seen = model.get_env().goal_selector.seen.sum()
    print(f"{name:>9}: {seen} goals seen, {report.num_learned()} of {len(report)} learned")
