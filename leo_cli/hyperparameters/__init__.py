"""Settings of a training, from one YAML file per environment and the command line."""

from leo_cli.hyperparameters.settings import EvaluationSettings, Settings, load_settings

__all__ = ["EvaluationSettings", "Settings", "load_settings"]
