"""
Many games of Craftax-Classic in one process: all 136 goals reported at every step, learned by LEODQN.

Needs the extra "craftax". Compiling takes up to a minute the first time. Run with ``python examples/craftax_games.py``;
this many steps only teach the first goals (benchmarks/craftax_learning.py trains longer).
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
parser.add_argument("--games", type=int, default=32, help="games at once")
parser.add_argument("--patience", type=int, default=300, help="steps that an evaluation waits for a goal")
options = parser.parse_args()

venv = JaxVecEnv(CraftaxClassic(), num_envs=options.games)
families = goal_families(venv.goal_names)
print({family: len(ids) for family, ids in families.items()})

# A gradient step each round of all games; the buffer stores masks as bits and observations once.
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
print(f"{options.steps / (time.perf_counter() - started):.0f} steps a second, compiling included")

# The goals achieved so far tell which ones are worth an attempt.
seen = model.get_env().goal_selector.seen
print(f"{seen.sum()} of {len(seen)} goals were achieved at least once")
attempted = seen.nonzero()[0][: 4 * options.games]
print(evaluate_goals(model, venv, goals=attempted, seed=1, max_steps=options.patience))
