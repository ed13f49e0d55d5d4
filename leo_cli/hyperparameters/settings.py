"""What a training is done with: defaults, the environment's file, the command line, the later the stronger."""

import inspect
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from leo_cli.algorithms import ALGORITHMS, check_hyperparameters, find_algorithm
from leo_cli.overrides import merged, parse_assignments, read_yaml
from leo_cli.suggestions import unknown

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Evaluation:
    """
    How agents are judged.

    :param count: evaluations during a training
    :param episodes: attempts at each goal in each of them
    :param final_episodes: attempts at each goal in the end
    :param max_steps: an attempt is given up after this many steps; None leaves it to the environment
    :param random_actions: share of random actions, where a greedy agent would stand still
    """

    count: int = 20
    episodes: int = 1
    final_episodes: int = 3
    max_steps: int | None = None
    random_actions: float = 0.0


@dataclass(frozen=True)
class Settings:
    """
    Of one training.

    :param steps: environment steps
    :param num_envs: environments at once
    :param evaluation: how it is judged
    :param hyperparameters: arguments of the algorithm
    """

    steps: int = 100_000
    num_envs: int = 1
    evaluation: Evaluation = field(default_factory=Evaluation)
    hyperparameters: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        judged = {f"evaluation.{name}": value for name, value in asdict(self.evaluation).items()}
        share = judged.pop("evaluation.random_actions")
        for name, value in {"steps": self.steps, "num_envs": self.num_envs, **judged}.items():
            if value is None and name == "evaluation.max_steps":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"expected {name} to be a whole number of at least 1, got {value!r}; change it")
        if not isinstance(share, int | float) or not 0.0 <= share < 1.0:
            raise ValueError(f"expected evaluation.random_actions from 0 to below 1, got {share!r}; 0.05 is usual")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Settings":
        """
        :param values: as ``dataclasses.asdict`` gives them
        :return: the settings
        """
        return cls(**{**values, "evaluation": Evaluation(**values.get("evaluation", {}))})


def load_settings(
    algorithm: str, env_id: str, file: Path | None = None, assignments: Sequence[str] = (), **options: int | None
) -> Settings:
    """
    The settings for an algorithm in an environment.

    :param algorithm: its name
    :param env_id: the environment's id
    :param file: a YAML file instead of the one that comes with this package
    :param assignments: hyperparameters from the command line, ``key=value``
    :param options: ``steps`` and ``num_envs`` from the command line, None where nothing was said
    :return: the settings

    Example::

        >>> settings = load_settings("leodqn", "leo/GridWorld-v0", assignments=["gamma=0.9"])
        >>> settings.num_envs, settings.hyperparameters["gamma"]
        (8, 0.9)
    """
    path = settings_file(env_id) if file is None else file
    content = _checked(read_yaml(path), path) if path is not None else {}
    common = {key: value for key, value in content.items() if key not in ALGORITHMS}
    own = dict(content.get(algorithm) or {})
    values = merged(common, {key: own.pop(key) for key in list(own) if key in _GENERAL})
    values = merged(values, {key: value for key, value in options.items() if value is not None})
    check_hyperparameters(algorithm, own, str(path))
    changes = parse_assignments(assignments, "--set")
    check_hyperparameters(algorithm, changes, "--set")
    settings = Settings.from_dict(
        {"num_envs": find_algorithm(algorithm).num_envs, **values, "hyperparameters": merged(own, changes)}
    )
    return _with_fitting_buffer(algorithm, settings)


def settings_file(env_id: str) -> Path | None:
    """
    :param env_id: an environment's id
    :return: the file that comes with this package, if there is one
    """
    path = FOLDER / f"{env_id.rpartition(':')[2]}.yml"
    return path if path.is_file() else None


_GENERAL = ("steps", "num_envs", "evaluation")


def _checked(content: Any, path: Path) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ValueError(f"expected a mapping in {path}, got {type(content).__name__}; write e.g. steps: 10000")
    for key, value in content.items():
        if key not in (*_GENERAL, *ALGORITHMS):
            raise unknown(f"{', '.join(_GENERAL)} or an algorithm in {path}", str(key), [*_GENERAL, *ALGORITHMS])
        if key in ALGORITHMS and value is not None and not isinstance(value, dict):
            raise ValueError(f"expected hyperparameters under {key} in {path}, got {value!r}; write key: value below it")
    known = {one.name for one in fields(Evaluation)}
    for part in (content, *(content.get(name) or {} for name in ALGORITHMS)):
        for key in part.get("evaluation") or {}:
            if key not in known:
                raise unknown(f"a key of evaluation in {path}", str(key), known)
    return content


def _with_fitting_buffer(algorithm: str, settings: Settings) -> Settings:
    """A replay buffer of no more rows than there will be steps: the rest of it would be written to disk for nothing."""
    parameters = inspect.signature(find_algorithm(algorithm).kind).parameters
    if "buffer_size" not in parameters:
        return settings
    own = settings.hyperparameters
    size, batch = (own.get(name, parameters[name].default) for name in ("buffer_size", "batch_size"))
    return replace(settings, hyperparameters={**own, "buffer_size": max(min(size, settings.steps), batch)})
