"""Settings of a training, from one YAML file per environment and the command line."""

from leo_cli.hyperparameters.settings import SEARCH_SPACES, EvaluationSettings, Settings, load_settings

__all__ = ["SEARCH_SPACES", "EvaluationSettings", "Settings", "load_settings"]
