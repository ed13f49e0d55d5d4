"""The YAML file of a search: one algorithm and environment, and the ranges of the settings to tune."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from leo_cli.algorithms import check_action_space
from leo_cli.environments import Environment
from leo_cli.overrides import merge, read_yaml
from leo_cli.run_config import RunConfig
from leo_cli.suggestions import unknown
from leo_cli.sweeps import spec_values as values
from leo_cli.sweeps.spec import make_config

if TYPE_CHECKING:
    import optuna

SEARCH_KEYS = (
    "algorithm", "environment", "trials", "search", "start", "seeds", "settings", "config", "prune", "seed", "storage",
    "heartbeat_timeout",
)  # fmt: skip
SEARCH_SPACES = Path(__file__).parent / "search_spaces.yml"
"""Ranges that the package provides for each algorithm."""
_RANGE_KEYS = ("low", "high", "log")


@dataclass(frozen=True)
class Choices:
    """
    Values to choose from.

    :param values: numbers, texts, lists, ...
    """

    values: list[Any]

    @property
    def ends(self) -> list[Any]:
        """All values."""
        return self.values

    def sample(self, trial: "optuna.Trial", key: str) -> Any:
        """Return the value that a trial uses."""
        return self.loaded(trial.suggest_categorical(key, [self.stored(value) for value in self.values]))

    def stored(self, value: Any) -> Any:
        """Return how the study stores a value: as text, because it stores no lists."""
        return json.dumps(value)

    def loaded(self, value: Any) -> Any:
        """Return the value that the study stores."""
        return json.loads(value)

    def __contains__(self, value: Any) -> bool:
        return value in self.values


@dataclass(frozen=True)
class Range:
    """
    A range of numbers.

    :param low: the lowest number
    :param high: the highest number; if both are whole numbers, all of them are
    :param log: whether to search the logarithm
    """

    low: float
    high: float
    log: bool

    @property
    def ends(self) -> list[Any]:
        """Lowest and highest number."""
        return [self.low, self.high]

    def sample(self, trial: "optuna.Trial", key: str) -> Any:
        """Return the value that a trial uses."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(key, self.low, self.high, log=self.log)
        return trial.suggest_float(key, self.low, self.high, log=self.log)

    def stored(self, value: Any) -> Any:
        """Return how the study stores a value."""
        return value

    def loaded(self, value: Any) -> Any:
        """Return the value that the study stores."""
        return value

    def __contains__(self, value: Any) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high


@dataclass(frozen=True)
class SearchSpec:
    """
    A search for good settings.

    :param algorithm: name of the algorithm
    :param environment: the environment
    :param trials: number of trials
    :param search: ranges by key; dots separate the parts of nested keys
    :param start: values of the first trial, which are sampled where they are missing
    :param seeds: seeds to train in each trial
    :param settings: settings of all trials, with the keys of a settings file
    :param config: settings file to use instead of the one that the package provides
    :param prune: whether to stop trials whose success is below the median of the earlier ones
    :param seed: seed of the sampler
    :param storage: URL of Optuna's database; None for a file in the folder
    :param heartbeat_timeout: seconds without a heartbeat after which another worker takes over a trial
    """

    algorithm: str
    environment: Environment
    trials: int
    search: dict[str, Choices | Range]
    start: dict[str, Any]
    seeds: list[int]
    settings: dict[str, Any]
    config: Path | None
    prune: bool
    seed: int
    storage: str | None
    heartbeat_timeout: float

    @classmethod
    def from_content(cls, content: dict[str, Any], path: Path) -> "SearchSpec":
        """
        Check the content of a YAML file.

        :param content: the content
        :param path: the file
        :return: the search
        """
        algorithm = values.read_algorithm(content["algorithm"], path)
        search = _read_search(content.get("search"), algorithm, path)
        spec = cls(
            algorithm=algorithm,
            environment=values.read_environment(content["environment"], path),
            trials=values.read_count(content.get("trials", 50), "trials", path),
            search=search,
            start=_read_start(content.get("start"), search, path),
            seeds=values.read_seeds(content.get("seeds", 1), path),
            settings=values.mapping(content.get("settings"), "settings", path),
            config=values.read_config_path(content.get("config"), path),
            prune=_read_flag(content.get("prune", True), "prune", path),
            seed=values.read_count(content.get("seed", 0), "seed", path, 0),
            storage=_read_url(content.get("storage"), path),
            heartbeat_timeout=values.read_timeout(content.get("heartbeat_timeout", values.DEFAULT_TIMEOUT), path),
        )
        check_action_space(algorithm, spec.environment.action_space)
        for key, options in search.items():
            for value in options.ends:
                spec.configure({key: value})
        return spec

    def configure(self, parameters: Mapping[str, Any], *, fit_buffer: bool = True) -> RunConfig:
        """
        Resolve the settings of a trial.

        :param parameters: values of the tuned settings
        :param fit_buffer: limit the replay buffer to the number of steps
        :return: configuration of the trial's run
        """
        override = nested(parameters)
        return make_config(
            self.algorithm, self.environment, self.config, self.settings, override, seeds=self.seeds, fit_buffer=fit_buffer
        )

    def sample(self, trial: "optuna.Trial") -> dict[str, Any]:
        """
        Return the values of the tuned settings in a trial, sampled if the trial is new.

        :param trial: the trial
        """
        return {key: options.sample(trial, key) for key, options in self.search.items()}

    def parameters_of(self, trial: "optuna.trial.FrozenTrial") -> dict[str, Any]:
        """
        Return the values of the tuned settings in a finished trial.

        :param trial: the trial
        """
        return {key: options.loaded(trial.params[key]) for key, options in self.search.items()}


def nested(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """
    Split keys at their dots.

    :param parameters: values by key
    :return: nested dictionaries

    Example::

        >>> nested({"gamma": 0.9, "policy_kwargs.net_arch": [64], "policy_kwargs.layer_norm": True})
        {'gamma': 0.9, 'policy_kwargs': {'net_arch': [64], 'layer_norm': True}}
    """
    result: dict[str, Any] = {}
    for key, value in parameters.items():
        for part in reversed(key.split(".")):
            value = {part: value}
        result = merge(result, value)
    return result


def _read_search(value: Any, algorithm: str, path: Path) -> dict[str, Choices | Range]:
    """Read ranges: all of those that the package provides, some of them by name, or others."""
    provided = read_yaml(SEARCH_SPACES)[algorithm]
    if value is None:
        value = provided
    elif isinstance(value, list):
        for key in value:
            if key not in provided:
                raise unknown(f"a setting with a range for {algorithm} in {path}", str(key), provided)
        value = {key: provided[key] for key in value}
    value = values.mapping(value, "search", path)
    if not value:
        raise ValueError(f"expected at least one setting to search in {path}, got none; write e.g. search: [learning_rate]")
    return {key: _read_range(key, one, path) for key, one in value.items()}


def _read_range(key: str, value: Any, path: Path) -> Choices | Range:
    if isinstance(value, list):
        return Choices(values.items(value, f"values of {key}", path))
    options = values.mapping(value, f"a range of {key}", path)
    for name in options:
        if name not in _RANGE_KEYS:
            raise unknown(f"a part of the range of {key} in {path}", name, _RANGE_KEYS)
    low, high, log = options.get("low"), options.get("high"), options.get("log", False)
    if _is_number(low) and _is_number(high) and isinstance(log, bool) and low < high and (low > 0 or not log):
        return Range(low, high, log)
    raise ValueError(
        f"expected numbers low < high for {key} in {path}, with low > 0 if log, got {value!r}; write e.g. "
        f"{key}: {{low: 0.001, high: 0.01, log: true}}"
    )


def _is_number(value: Any) -> TypeGuard[float]:
    return type(value) in (int, float)


def _read_start(value: Any, search: Mapping[str, Choices | Range], path: Path) -> dict[str, Any]:
    start = values.mapping(value, "start", path)
    for key, one in start.items():
        if key not in search:
            raise unknown(f"a searched setting as start in {path}", key, search)
        if one not in search[key]:
            raise ValueError(
                f"expected a start of {key} within its range in {path}, got {one!r}; change the range or the start"
            )
    return start


def _read_flag(value: Any, what: str, path: Path) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false as {what} in {path}, got {value!r}; change it")
    return value


def _read_url(value: Any, path: Path) -> str | None:
    if value is not None and (not isinstance(value, str) or "://" not in value):
        raise ValueError(f"expected a URL of a database as storage in {path}, got {value!r}; e.g. postgresql://host/name")
    return value
