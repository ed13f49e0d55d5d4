"""
Save checkpoints and evaluate every goal with callbacks, then resume training bit for bit.

Run with ``python examples/checkpoints.py``; it takes about a minute.
"""

import argparse
from pathlib import Path

import gymnasium as gym
import torch as th

import leo_envs
from leo_agents import LEODQN, ExactCheckpoints
from leo_agents.evaluation import GoalEvalCallback, plot_learning_curve

gym.register_envs(leo_envs)

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=8_000, help="environment steps to train for")
parser.add_argument("--folder", type=Path, default=Path("runs/checkpoints"))
options = parser.parse_args()
options.folder.mkdir(parents=True, exist_ok=True)


def make_env() -> gym.Env:
    return gym.make("leo/GridWorld-v0", map="maze", size=9)


def evaluation(name: str) -> GoalEvalCallback:
    """Evaluate every goal twice during training and write a CSV table; this does not affect training."""
    path = options.folder / f"{name}.csv"
    return GoalEvalCallback(make_env(), eval_freq=max(options.steps // 2, 1), csv_path=path, max_steps=60)


# A checkpoint after half of the steps contains networks, optimizer, replay buffer, environment and all random generators.
# A new checkpoint replaces the previous one only once it is complete.
checkpoints = ExactCheckpoints(options.folder / "checkpoints", save_freq=options.steps // 2)
model = LEODQN("MultiGoalPolicy", make_env(), seed=0)
model.learn(options.steps, [evaluation("uninterrupted"), checkpoints])

# Resume as a new process would after a crash.
resumed = LEODQN.resume(options.folder / "checkpoints")
print(f"Resumed at step {resumed.num_timesteps}")
resumed.learn(options.steps - resumed.num_timesteps, evaluation("resumed"), reset_num_timesteps=False)

pairs = zip(model.policy.parameters(), resumed.policy.parameters(), strict=True)
print("Same weights as uninterrupted training:", all(th.equal(one, other) for one, other in pairs))
plot_learning_curve(options.folder / "uninterrupted.csv", options.folder / "learning_curve.png")
