"""
Compare goal-conditioned DQN + HER with LEODQN: same environment steps, same network, same map.

HER relabels transitions with achieved goals; LEO updates all goals from every transition.
Run with ``python examples/her_or_leo.py``; it takes about two minutes.
"""

import argparse
from pathlib import Path

import gymnasium as gym
from gymnasium.vector import AutoresetMode

import leo_envs
from leo_agents import LEODQN
from leo_agents.baselines import goal_conditioned_dqn
from leo_agents.evaluation import compare_reports, evaluate_goals, plot_comparison
from leo_wrappers.sb3 import GymVecEnv

gym.register_envs(leo_envs)

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=25_000, help="environment steps to train each for")
parser.add_argument("--folder", type=Path, default=Path("runs/her_or_leo"))
options = parser.parse_args()
options.folder.mkdir(parents=True, exist_ok=True)


def make_envs(num_envs: int) -> GymVecEnv:
    """Vectorized gridworlds as a VecEnv of Stable-Baselines3."""
    return GymVecEnv(gym.make_vec("leo/GridWorld-v0", num_envs=num_envs, autoreset_mode=AutoresetMode.SAME_STEP))


# Shared by both: a gradient step of 256 transitions per step of all eight environments.
shared = dict(
    learning_rate=2e-3,
    learning_starts=1_000,
    batch_size=256,
    train_freq=1,
    tau=0.02,
    exploration_fraction=0.2,
    exploration_final_eps=0.1,
    buffer_size=options.steps,
    policy_kwargs={"net_arch": [256, 256]},
    seed=0,
)
her = goal_conditioned_dqn(
    make_envs(8),
    buffer="her",
    goal_input="one_hot",
    target_update_interval=8,  # environment steps; equals LEODQN's target_update_freq=1 in gradient steps
    replay_buffer_kwargs={"n_sampled_goal": 4, "goal_selection_strategy": "future"},
    **shared,
)
leo = LEODQN("MultiGoalPolicy", make_envs(8), **shared)

reachable = gym.make("leo/GridWorld-v0").unwrapped.reachable()
reports = {}
for name, model in {"DQN + HER": her, "LEODQN": leo}.items():
    model.learn(options.steps, progress_bar=True)
    reports[name] = evaluate_goals(model, make_envs(len(reachable)), goals=reachable, seed=1, max_steps=200)

print(compare_reports(reports))
plot_comparison(reports, options.folder / "comparison.png")
print(f"Wrote {options.folder / 'comparison.png'}")
