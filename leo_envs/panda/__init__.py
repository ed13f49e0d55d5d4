"""A Franka Panda arm on MuJoCo with a grid of goals; imports MuJoCo only when an environment is made."""

from leo_envs.panda.env import PandaEnv
from leo_envs.panda.tasks import PANDA_TASKS, PandaTask

__all__ = ["PANDA_TASKS", "PandaEnv", "PandaTask"]
