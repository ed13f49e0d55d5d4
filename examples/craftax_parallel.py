"""
Train LEODQN on all 136 goals of Craftax-Classic with parallel environments in one process.

Needs the extra "craftax". The first compilation takes up to a minute. Run with ``python examples/craftax_parallel.py``; the
default number of steps is enough for the first goals only (benchmarks/craftax_learning.py trains longer).
"""

import argparse
import time

from leo_agents import LEODQN
from leo_agents.evaluation import evaluate_goals
from leo_envs.craftax import CraftaxClassic
from leo_wrappers import goal_families
from leo_wrappers.sb3 import JaxVecEnv

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=50_000, help="environment steps to train for")
parser.add_argument("--num-envs", type=int, default=32, help="number of parallel environments")
parser.add_argument("--max-steps", type=int, default=300, help="maximum steps of an evaluation episode")
options = parser.parse_args()

venv = JaxVecEnv(CraftaxClassic(), num_envs=options.num_envs)
families = goal_families(venv.goal_names)
print({family: len(ids) for family, ids in families.items()})

# One gradient step per step of all environments; the buffer stores bit-packed masks.
model = LEODQN(
    "MultiGoalPolicy",
    venv,
    buffer_size=100_000,
    train_freq=1,
    learning_starts=min(2_000, options.steps // 2),
    policy_kwargs={"net_arch": [512, 256]},
    seed=0,
)
started = time.perf_counter()
model.learn(options.steps, progress_bar=True)
print(f"{options.steps / (time.perf_counter() - started):.0f} steps per second, compiling included")

# Evaluate goals that were achieved in training.
seen = model.get_env().goal_selector.seen
print(f"{seen.sum()} of {len(seen)} goals were achieved at least once")
attempted = seen.nonzero()[0][: 4 * options.num_envs]
print(evaluate_goals(model, venv, goals=attempted, seed=1, max_steps=options.max_steps))
