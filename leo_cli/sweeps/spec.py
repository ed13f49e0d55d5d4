"""The YAML file of a sweep: algorithms x environments x overrides x seeds."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from leo_cli.algorithms import check_action_space
from leo_cli.environments import Environment
from leo_cli.hyperparameters import load_settings
from leo_cli.run_config import RunConfig, new_config
from leo_cli.suggestions import unknown
from leo_cli.sweeps import spec_values as values

_NOT_IN_ID = ("keep", "track")
"""Settings that do not change the results."""
SWEEP_KEYS = ("algorithms", "environments", "seeds", "settings", "overrides", "config", "evaluate", "heartbeat_timeout")
_EVALUATE_KEYS = {"episodes": 1, "max_steps": 1, "seed": 0}
"""Options of ``leo eval``, and their smallest values."""


@dataclass(frozen=True)
class SweepSpec:
    """
    A sweep, with one training for each algorithm, environment, override and seed.

    :param algorithms: names of the algorithms
    :param environments: the environments
    :param seeds: the seeds
    :param settings: settings of all trainings, with the keys of a settings file
    :param overrides: settings that differ, one dictionary per variant
    :param config: settings file to use instead of the one that the package provides
    :param evaluate: options of ``leo eval`` for an evaluation after each training; None for none
    :param heartbeat_timeout: seconds without a heartbeat after which another worker takes over a job
    """

    algorithms: list[str]
    environments: list[Environment]
    seeds: list[int]
    settings: dict[str, Any]
    overrides: list[dict[str, Any]]
    config: Path | None
    evaluate: dict[str, int] | None
    heartbeat_timeout: float

    @classmethod
    def read(cls, path: Path) -> "SweepSpec":
        """
        Read and check a YAML file.

        :param path: the file
        :return: the sweep
        """
        content = values.read_spec(path, SWEEP_KEYS, ("algorithms", "environments"))
        overrides = values.items(content.get("overrides", [{}]), "overrides", path)
        return cls(
            algorithms=[values.read_algorithm(one, path) for one in values.items(content["algorithms"], "algorithms", path)],
            environments=[
                values.read_environment(one, path) for one in values.items(content["environments"], "environments", path)
            ],
            seeds=values.read_seeds(content.get("seeds", 1), path),
            settings=values.mapping(content.get("settings"), "settings", path),
            overrides=[values.mapping(one, "overrides", path) for one in overrides],
            config=values.read_config_path(content.get("config"), path),
            evaluate=_read_evaluate(content["evaluate"], path) if "evaluate" in content else None,
            heartbeat_timeout=values.read_timeout(content.get("heartbeat_timeout", values.DEFAULT_TIMEOUT), path),
        )

    def configs(self) -> Iterator[RunConfig]:
        """Return the configuration of each training; those that are equal in everything only once."""
        seen = set()
        for environment in self.environments:
            for algorithm in self.algorithms:
                check_action_space(algorithm, environment.action_space)
                for override in self.overrides:
                    config = make_config(algorithm, environment, self.config, self.settings, override)
                    for seed in self.seeds:
                        job = replace(config, seeds=[seed])
                        if (name := job_name(job)) not in seen:
                            seen.add(name)
                            yield job


def _read_evaluate(value: Any, path: Path) -> dict[str, int]:
    options = values.mapping(value, "evaluate", path)
    for key in options:
        if key not in _EVALUATE_KEYS:
            raise unknown(f"an option of evaluate in {path}", key, _EVALUATE_KEYS)
    return {key: values.read_count(number, f"evaluate.{key}", path, _EVALUATE_KEYS[key]) for key, number in options.items()}


def make_config(
    algorithm: str,
    environment: Environment,
    file: Path | None,
    *overrides: dict[str, Any],
    seeds: Sequence[int] = (0,),
    fit_buffer: bool = True,
) -> RunConfig:
    """
    Resolve the settings of a training.

    :param algorithm: name of the algorithm
    :param environment: the environment
    :param file: settings file; None for the one that the package provides
    :param overrides: settings that take precedence, the last ones most
    :param seeds: the seeds
    :param fit_buffer: limit the replay buffer to the number of steps
    :return: the configuration of a run
    """
    settings = load_settings(algorithm, environment.id, file, overrides=overrides, fit_buffer=fit_buffer)
    return new_config(algorithm, environment, list(seeds), settings)


def job_name(config: RunConfig) -> str:
    """
    Name the job of a training after its settings, so that equal settings are the same job.

    :param config: configuration with one seed
    :return: seed, algorithm, environment, and a hash of everything that affects the results
    """
    settings = {key: value for key, value in asdict(config.settings).items() if key not in _NOT_IN_ID}
    digest = short_hash([config.algorithm, config.environment, config.env_kwargs, config.seeds, settings])
    short_id = config.environment.rpartition(":")[2].rpartition("/")[2]
    return f"seed{config.seeds[0]:03d}-{config.algorithm}-{short_id}-{digest}"


def short_hash(content: Any) -> str:
    """
    Hash a value that consists of lists, dictionaries, numbers and strings.

    :param content: the value
    :return: ten hexadecimal digits

    Example::

        >>> short_hash({"a": 1, "b": 2}) == short_hash({"b": 2, "a": 1})
        True
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:10]
