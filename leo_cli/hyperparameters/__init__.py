"""Hyperparameters: a YAML file an environment, and what may be changed on the command line."""

from leo_cli.hyperparameters.settings import Evaluation, Settings, load_settings

__all__ = ["Evaluation", "Settings", "load_settings"]
