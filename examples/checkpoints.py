"""
Checkpoints to go on from bit for bit, and the callbacks that write them and evaluate every goal on the way.

Run with ``python examples/checkpoints.py``; it takes about a minute.
"""

import argparse
from pathlib import Path

import gymnasium as gym
import torch as th

import leo_envs
from leo_agents import LEODQN
from leo_agents.evaluation import GoalEvalCallback, plot_learning_curve
from leo_agents.learning.checkpoints import ExactCheckpoints

gym.register_envs(leo_envs)

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=8_000, help="environment steps to train for")
parser.add_argument("--folder", type=Path, default=Path("runs/checkpoints"))
options = parser.parse_args()
options.folder.mkdir(parents=True, exist_ok=True)


def make_env() -> gym.Env:
    return gym.make("leo/GridWorld-v0", map="maze", size=9)


def evaluation(name: str) -> GoalEvalCallback:
    """Tries every goal twice during the training, which goes on as it would have without; fills a table."""
    path = options.folder / f"{name}.csv"
    return GoalEvalCallback(make_env(), eval_freq=max(options.steps // 2, 1), csv_path=path, max_steps=60)


# Networks, optimiser, replay buffer, environment and every random generator go to disk half-way. The newest checkpoint
# replaces the one before; one that a crash cut short is never taken for whole.
checkpoints = ExactCheckpoints(options.folder / "checkpoints", save_freq=options.steps // 2)
model = LEODQN("MultiGoalPolicy", make_env(), seed=0)
model.learn(options.steps, [evaluation("whole"), checkpoints])

# Had that process been killed after the checkpoint, this is how another would go on.
resumed = LEODQN.resume(options.folder / "checkpoints")
print(f"Resumed at step {resumed.num_timesteps}")
resumed.learn(options.steps - resumed.num_timesteps, evaluation("resumed"), reset_num_timesteps=False)

pairs = zip(model.policy.parameters(), resumed.policy.parameters(), strict=True)
print("Both end with the same weights, bit for bit:", all(th.equal(one, other) for one, other in pairs))
plot_learning_curve(options.folder / "whole.csv", options.folder / "learning_curve.png")
