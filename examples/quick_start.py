"""
Train an agent for every cell of a map, save and load it, and command cells by name.

Run with ``python examples/quick_start.py``; it takes about a minute.
"""

import argparse
from pathlib import Path

import gymnasium as gym

import leo_envs
from leo_agents import LEODQN
from leo_agents.evaluation import evaluate_goals

gym.register_envs(leo_envs)

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=20_000, help="environment steps to train for")
parser.add_argument("--folder", type=Path, default=Path("runs/quick_start"))
options = parser.parse_args()
options.folder.mkdir(parents=True, exist_ok=True)

# Every free cell of the map is a goal; reachable() excludes the cells that walls enclose.
env = gym.make("leo/GridWorld-v0")
print(f"{len(env.unwrapped.goal_names)} goals, such as {env.unwrapped.goal_names[0]!r}")

# The goals achieved by one step.
obs, info = env.reset(seed=0)
obs, reward, terminated, truncated, info = env.step(1)
print("Goals achieved by the first step:", info["goals_achieved"].nonzero()[0])

# The interface is that of Stable-Baselines3.
model = LEODQN("MultiGoalPolicy", env, seed=0).learn(options.steps, progress_bar=True)
model.save(options.folder / "model")
model = LEODQN.load(options.folder / "model")

# Command goals by name, one after the other without a reset.
obs, info = env.reset(seed=0)
for goal in ("cell/0,0", "cell/15,14"):
    goal_id = env.unwrapped.goal_set.index(goal)
    print(f"{goal}: {model.expected_steps(obs)[0, goal_id]:.1f} steps expected", end=", ")
    steps = 0
    while steps < 60 and not info["goals_achieved"][goal_id]:
        obs, reward, terminated, truncated, info = env.step(model.act(obs, goal))
        steps += 1
    print(f"{'reached' if info['goals_achieved'][goal_id] else 'not reached'} in {steps}")

# Success rate of every reachable goal.
report = evaluate_goals(model, gym.make("leo/GridWorld-v0"), goals=env.unwrapped.reachable(), seed=0, max_steps=60)
print(report)
report.to_csv(options.folder / "goals.csv")
