"""
Take an environment that somebody else wrote, cut its states into cells, and learn to reach every cell.

MountainCar asks for one thing: the flag. Here every cell of position and speed is a goal, the flag's hill among them.
Run with ``python examples/wrap_an_environment.py``; it takes about two minutes.
"""

import argparse

import gymnasium as gym
from gymnasium.wrappers import TimeLimit

from leo_agents import LEODQN
from leo_agents.evaluation import evaluate_goals
from leo_wrappers import GridGoals, MultiGoalWrapper

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=20_000, help="environment steps to train for")
options = parser.parse_args()

# 12 cells of position by 8 of speed. A cell holds its lower faces, so every state achieves exactly one goal.
goals = GridGoals(low=[-1.2, -0.07], high=[0.6, 0.07], shape=[12, 8])


def make_env() -> gym.Env:
    """Goals on the observation itself; signal=lambda obs, info: ... takes any other part of the state."""
    return MultiGoalWrapper(TimeLimit(gym.make("MountainCar-v0").unwrapped, 120), goals)


model = LEODQN("MultiGoalPolicy", make_env(), seed=0).learn(options.steps, progress_bar=True)

# Some cells cannot be reached at all: full speed at the left wall, for example. What was ever achieved tells.
seen = model.get_env().goal_selector.seen
print(f"{seen.sum()} of {len(seen)} cells were ever reached")
report = evaluate_goals(model, make_env(), goals=seen, seed=1)
print(report)

# The flag stands in the last column of cells.
flag = [name for name in report.goal_names if name.startswith("cell/11,")]
print("cells at the flag:", {name: float(report.subset([name]).mean_success) for name in flag})
