"""Franka Panda arm with finite goal sets; MuJoCo is imported when an environment is created."""

from leo_envs.panda.env import PandaEnv
from leo_envs.panda.tasks import PANDA_TASKS, PandaTask

__all__ = ["PANDA_TASKS", "PandaEnv", "PandaTask"]
