"""
Train a Fetch arm with continuous actions to reach every point of a grid, with LEOSAC or LEOTD3.

Needs the extra "robotics". Run with ``python examples/continuous_actions.py``.
"""

import argparse
from pathlib import Path

import gymnasium as gym
import numpy as np

import leo_envs
from leo_agents import LEOSAC, LEOTD3
from leo_agents.evaluation import evaluate_goals, plot_report

gym.register_envs(leo_envs)

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=20_000, help="environment steps to train for")
parser.add_argument("--start", type=int, default=1_000, help="steps of random actions before training (learning_starts)")
parser.add_argument("--algorithm", choices=["leosac", "leotd3"], default="leosac")
parser.add_argument("--folder", type=Path, default=Path("runs/continuous_actions"))
options = parser.parse_args()
options.folder.mkdir(parents=True, exist_ok=True)

env = gym.make("leo/FetchReach-v0")
print(f"{len(env.unwrapped.goal_names)} goals, actions {env.action_space}")

# The actor outputs an action and the critics a value for every goal; each transition updates all of them.
Algorithm = {"leosac": LEOSAC, "leotd3": LEOTD3}[options.algorithm]
model = Algorithm("MultiGoalPolicy", env, learning_starts=options.start, seed=0).learn(options.steps, progress_bar=True)

# The goals with the highest values are the nearest ones.
obs, info = env.reset(seed=0)
values = model.values(obs)[0]
nearest = np.argsort(-values)[:3]
print("goals with the highest values:", [(env.unwrapped.goal_names[goal], round(float(values[goal]), 2)) for goal in nearest])

report = evaluate_goals(model, env, seed=1, goals=env.unwrapped.goal_names[::5])
print(report)
plot_report(report, options.folder / "success.png")
