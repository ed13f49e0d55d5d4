"""
Divide the state space of an existing environment into cells and learn to reach every cell.

MountainCar's own task is to reach the flag. Here every cell of position and velocity is a goal, including those at the flag.
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

# 12 x 8 cells of position and velocity. Lower bounds are inclusive, so every state achieves exactly one goal.
goals = GridGoals(low=[-1.2, -0.07], high=[0.6, 0.07], shape=[12, 8])


def make_env() -> gym.Env:
    """Goals are tested on the observation; pass signal=lambda obs, info: ... to test something else."""
    return MultiGoalWrapper(TimeLimit(gym.make("MountainCar-v0").unwrapped, 120), goals)


model = LEODQN("MultiGoalPolicy", make_env(), seed=0).learn(options.steps, progress_bar=True)

# Some cells are unreachable, for example full speed at the left wall; evaluate those achieved in training.
seen = model.get_env().goal_selector.seen
print(f"{seen.sum()} of {len(seen)} cells were achieved")
report = evaluate_goals(model, make_env(), goals=seen, seed=1)
print(report)

# The flag is in the last cells of the position axis.
flag = [name for name in report.goal_names if name.startswith("cell/11,")]
print("cells at the flag:", {name: float(report.subset([name]).mean_success) for name in flag})
