"""Settings of a training: the defaults, overridden by the environment's YAML file, overridden by the command line."""

import inspect
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from leo_cli.algorithms import ALGORITHMS, check_hyperparameters, find_algorithm
from leo_cli.overrides import merge, parse_assignments, read_yaml
from leo_cli.suggestions import unknown

FOLDER = Path(__file__).parent
_GENERAL = ("steps", "num_envs", "keep", "evaluation", "track")
TRACKERS = ("wandb", "mlflow", "trackio")
"""Experiment trackers, see :mod:`leo_cli.tracking`."""


@dataclass(frozen=True)
class EvaluationSettings:
    """
    Settings of the evaluations.

    :param count: number of evaluations during training
    :param episodes: episodes per goal in each of them
    :param final_episodes: episodes per goal in the final evaluation
    :param random_goals: number of goals to evaluate if any point is a goal, drawn by the environment
    :param max_steps: maximum number of steps per episode; None for the environment's own limit
    :param epsilon: probability of a random action; a greedy policy can get stuck under partial observability
    """

    count: int = 20
    episodes: int = 1
    final_episodes: int = 3
    random_goals: int = 100
    max_steps: int | None = None
    epsilon: float = 0.0


@dataclass(frozen=True)
class Settings:
    """
    Settings of a training.

    :param steps: environment steps
    :param num_envs: number of parallel environments
    :param keep: number of checkpoints to keep; with at least 2, training can resume if the newest is damaged
    :param evaluation: settings of the evaluations
    :param hyperparameters: arguments of the algorithm
    :param track: experiment tracker that receives the logged values, see :mod:`leo_cli.tracking`; None for none
    """

    steps: int = 100_000
    num_envs: int = 1
    keep: int = 2
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    track: str | None = None

    def __post_init__(self) -> None:
        evaluation = {f"evaluation.{name}": value for name, value in asdict(self.evaluation).items()}
        epsilon = evaluation.pop("evaluation.epsilon")
        for name, value in {"steps": self.steps, "num_envs": self.num_envs, "keep": self.keep, **evaluation}.items():
            if value is None and name == "evaluation.max_steps":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"expected {name} to be a whole number of at least 1, got {value!r}; change it")
        if not isinstance(epsilon, int | float) or not 0.0 <= epsilon < 1.0:
            raise ValueError(f"expected evaluation.epsilon from 0 to below 1, got {epsilon!r}; 0.05 is usual")
        if self.track is not None and self.track not in TRACKERS:
            raise unknown("a tracker", str(self.track), TRACKERS)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Settings":
        """
        Create settings from nested dictionaries.

        :param values: as returned by ``dataclasses.asdict``; missing keys take their defaults
        :return: the settings
        """
        return cls(**{**values, "evaluation": EvaluationSettings(**values.get("evaluation", {}))})


def load_settings(
    algorithm: str,
    env_id: str,
    file: Path | None = None,
    assignments: Sequence[str] = (),
    *,
    overrides: Sequence[dict[str, Any]] = (),
    steps: int | None = None,
    num_envs: int | None = None,
    keep: int | None = None,
    evaluations: int | None = None,
    final_episodes: int | None = None,
    track: str | None = None,
    fit_buffer: bool = True,
) -> Settings:
    """
    Load the settings of an algorithm in an environment.

    :param algorithm: name of the algorithm
    :param env_id: environment id
    :param file: YAML file; by default the one of this package for the environment, if there is one
    :param assignments: hyperparameters from the command line, ``key=value``
    :param overrides: settings that take precedence over those of the file and over earlier ones, with the same keys;
        hyperparameters that are not below an algorithm are those of every algorithm
    :param steps: overrides the environment steps
    :param num_envs: overrides the number of parallel environments
    :param keep: overrides the number of checkpoints to keep
    :param evaluations: overrides ``evaluation.count``
    :param final_episodes: overrides ``evaluation.final_episodes``
    :param track: overrides the tracker
    :param fit_buffer: limit the replay buffer to the number of steps
    :return: the settings

    Example::

        >>> settings = load_settings("leodqn", "leo/GridWorld-v0", assignments=["gamma=0.9"])
        >>> settings.num_envs, settings.hyperparameters["gamma"]
        (8, 0.9)
    """
    path = _builtin_file(env_id) if file is None else file
    content = _checked(read_yaml(path), path) if path is not None else {}
    hyperparameters = dict(content.get(algorithm) or {})
    values: dict[str, Any] = {"num_envs": find_algorithm(algorithm).num_envs}
    values |= {key: value for key, value in content.items() if key in _GENERAL}
    values = merge(values, {key: hyperparameters.pop(key) for key in list(hyperparameters) if key in _GENERAL})
    check_hyperparameters(algorithm, hyperparameters, str(path))
    for override in overrides:
        general, more = _split_override(override, algorithm)
        values, hyperparameters = merge(values, general), merge(hyperparameters, more)
    values = merge(values, _without_none({"steps": steps, "num_envs": num_envs, "keep": keep, "track": track}))
    values = merge(values, {"evaluation": _without_none({"count": evaluations, "final_episodes": final_episodes})})
    changes = parse_assignments(assignments, "--set")
    check_hyperparameters(algorithm, changes, "--set")
    settings = Settings.from_dict({**values, "hyperparameters": merge(hyperparameters, changes)})
    return _with_fitting_buffer(algorithm, settings) if fit_buffer else settings


def _builtin_file(env_id: str) -> Path | None:
    module, _, name = env_id.rpartition(":")
    if module == "gymnasium_robotics":  # this package has the same environments with a finite goal set
        name = f"leo/{name.rpartition('-v')[0]}-v0"
    path = FOLDER / f"{name}.yml"
    return path if path.is_file() else None


def _without_none(values: dict[str, int | str | None]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _checked(content: Any, path: Path | str) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ValueError(f"expected a mapping in {path}, got {type(content).__name__}; write e.g. steps: 10000")
    for key, value in content.items():
        if key not in (*_GENERAL, *ALGORITHMS):
            raise unknown(f"{', '.join(_GENERAL)} or an algorithm in {path}", str(key), [*_GENERAL, *ALGORITHMS])
        if key in ALGORITHMS and value is not None and not isinstance(value, dict):
            raise ValueError(f"expected hyperparameters under {key} in {path}, got {value!r}; write key: value below it")
    known = {one.name for one in fields(EvaluationSettings)}
    for part in (content, *(content.get(name) or {} for name in ALGORITHMS)):
        evaluation = part.get("evaluation") or {}
        if not isinstance(evaluation, dict):
            raise ValueError(f"expected keys and values for evaluation in {path}, got {evaluation!r}; e.g. {{episodes: 3}}")
        for key in evaluation:
            if key not in known:
                raise unknown(f"a key of evaluation in {path}", str(key), known)
    return content


def _split_override(override: dict[str, Any], algorithm: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split an override into the general settings and the hyperparameters of an algorithm."""
    source = "the overrides"
    _checked({key: value for key, value in override.items() if key in (*_GENERAL, *ALGORITHMS)}, source)
    values = merge({key: value for key, value in override.items() if key not in ALGORITHMS}, override.get(algorithm) or {})
    known = [*_GENERAL, *find_algorithm(algorithm).hyperparameters]
    for key in values:
        if key not in known:
            raise unknown(f"a setting or a hyperparameter of {algorithm} in {source}", str(key), known)
    general = {key: values.pop(key) for key in _GENERAL if key in values}
    check_hyperparameters(algorithm, values, source)
    return general, values


def _with_fitting_buffer(algorithm: str, settings: Settings) -> Settings:
    """Limit the replay buffer to the number of steps: checkpoints would store its unused rows."""
    parameters = inspect.signature(find_algorithm(algorithm).algorithm_class).parameters
    if "buffer_size" not in parameters:
        return settings
    own = settings.hyperparameters
    size, batch_size = (own.get(name, parameters[name].default) for name in ("buffer_size", "batch_size"))
    return replace(settings, hyperparameters={**own, "buffer_size": max(min(size, settings.steps), batch_size)})
