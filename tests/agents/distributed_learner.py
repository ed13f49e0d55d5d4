"""
A training with Ray actors, which continues from its newest checkpoint, in a process that can be killed.

Run ``python -m tests.agents.distributed_learner FOLDER STEPS``. The folder gets the checkpoints, a file in ``actors`` for each
process of an actor, and at the end ``progress.json`` and the final checkpoint in ``end``.
"""

import json
import os
import sys
from functools import partial
from pathlib import Path

from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv

from leo_agents import LEODQN, ExactCheckpoints, resume
from leo_agents.distributed import DistributedLearning

GRIDWORLD = "leo_envs:leo/GridWorld-v0"
OPTIONS = {"learning_starts": 200, "buffer_size": 20_000, "seed": 0, "device": "cpu", "policy_kwargs": {"net_arch": [64]}}


def make_env(folder: Path) -> VecEnv:
    """Create the environments of an actor, and a file for its process."""
    (folder / str(os.getpid())).touch()
    return make_vec_env(GRIDWORLD, n_envs=2)


def progress(model: LEODQN) -> dict[str, int]:
    """Return how far a training is."""
    (step,) = {int(state["step"]) for state in model.policy.optimizer.state.values()} or {0}
    filled = model.replay_buffer.pos
    return {"num_timesteps": model.num_timesteps, "filled": filled, "n_updates": model._n_updates, "optimizer_step": step}


def main(folder: Path, steps: int) -> None:
    """Train to a total number of steps."""
    checkpoints, actors = folder / "checkpoints", folder / "actors"
    actors.mkdir(exist_ok=True)
    if checkpoints.exists():
        model = resume(LEODQN, checkpoints, device="cpu")
    else:
        model = LEODQN("MultiGoalPolicy", make_vec_env(GRIDWORLD, n_envs=2), **OPTIONS)
    start = progress(model)
    with DistributedLearning(model, partial(make_env, actors), num_actors=2, num_cpus=0.1) as distributed:
        callback = ExactCheckpoints(checkpoints, save_freq=200)
        distributed.learn(steps - model.num_timesteps, callback, reset_num_timesteps=False)
    model.save_checkpoint(folder / "end")
    (folder / "progress.json").write_text(json.dumps([start, progress(model)]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
