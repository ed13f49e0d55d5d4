"""The Optuna study of a search: its creation, its storage and its best settings."""

import os
import secrets
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from leo_agents.evaluation.report_text import percent
from leo_cli.run_config import write_yaml
from leo_cli.sweeps.folder import SEARCH, SWEEP_FILE, SweepFolder, open_or_create, sweep_content, write_job
from leo_cli.sweeps.search import SEARCH_KEYS, SearchSpec
from leo_cli.sweeps.spec_values import read_spec

if TYPE_CHECKING:
    import optuna

BEST_FILE, CONFIG_FILE, STUDY_FILE = "best.yml", "config.yml", "study.log"
_WARMUP_FRACTION = 0.2
"""Fraction of a training after which it may be pruned."""


def create_search(path: Path, spec_file: Path) -> tuple[SweepFolder, SearchSpec]:
    """
    Fill a new folder with the trials of a search, or add trials to an existing one.

    :param path: the folder
    :param spec_file: YAML file of the search
    :return: the folder and the search
    """
    _import_optuna()
    content = read_spec(spec_file, SEARCH_KEYS, ("algorithm", "environment"))
    spec = SearchSpec.from_content(content, spec_file)
    config_text = None if spec.config is None else spec.config.read_text(encoding="utf-8")
    # The settings file is copied: it may change, or be missing on other machines.
    content |= {"trials": spec.trials, "study": f"{path.resolve().name}-{secrets.token_hex(4)}"}
    content |= {} if config_text is None else {"config": CONFIG_FILE}
    sweep = open_or_create(path, SEARCH, content, spec.heartbeat_timeout)
    _check_same_search(sweep, content, config_text)
    if config_text is not None:
        (path / CONFIG_FILE).write_text(config_text, encoding="utf-8")
    states = sweep.queue.states()
    if spec.start:
        start = {key: spec.search[key].stored(value) for key, value in spec.start.items()}
        open_study(sweep, spec, spec.seed).enqueue_trial(start, skip_if_exists=True)
    for job in (f"trial-{number:04d}" for number in range(spec.trials)):
        if job not in states:
            write_job(sweep, job, None)
    content["study"] = sweep.spec["study"]
    write_yaml(path / SWEEP_FILE, sweep_content(SEARCH, content, spec.heartbeat_timeout))
    return sweep, spec


def read_search(sweep: SweepFolder) -> SearchSpec:
    """
    Read the search of a folder. Imports the module of an environment that is not built in.

    :param sweep: the folder, which must be trusted
    :return: the search
    """
    return SearchSpec.from_content(sweep.spec, sweep.path / SWEEP_FILE)


def open_study(sweep: SweepFolder, spec: SearchSpec, seed: int) -> "optuna.Study":
    """
    Open or create the study.

    :param sweep: the folder of the search
    :param spec: the search
    :param seed: seed of the sampler
    :return: the study, which maximizes the mean success over goals
    """
    package = _import_optuna()
    package.logging.set_verbosity(package.logging.WARNING)
    storage: Any = spec.storage
    if storage is None:
        path = str((sweep.path / STUDY_FILE).resolve())
        storage = package.storages.JournalStorage(package.storages.journal.JournalFileBackend(path))
    warmup = int(_WARMUP_FRACTION * spec.configure({}).settings.steps)
    study: optuna.Study = package.create_study(
        storage=storage,
        sampler=package.samplers.TPESampler(seed=seed),
        pruner=package.pruners.MedianPruner(n_warmup_steps=warmup),
        study_name=sweep.spec["study"],
        direction="maximize",
        load_if_exists=True,
    )
    return study


def write_best(sweep: SweepFolder, spec: SearchSpec, study: "optuna.Study") -> None:
    """
    Write the settings of the best trial as a file for ``leo train --config``.

    :param sweep: the folder of the search
    :param spec: the search
    :param study: the study, with at least one finished trial
    """
    best = study.best_trial
    settings = asdict(spec.configure(spec.parameters_of(best), fit_buffer=False).settings)
    content = {key: settings[key] for key in ("steps", "num_envs", "evaluation")}
    content[spec.algorithm] = settings["hyperparameters"]
    text = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=120)
    partial = sweep.path / f"{BEST_FILE}.{os.getpid()}"
    partial.write_text(f"# Trial {best.number}: mean success {100 * study.best_value:.1f} %\n{text}", encoding="utf-8")
    partial.replace(sweep.path / BEST_FILE)


def describe_best(sweep: SweepFolder, spec: SearchSpec) -> str:
    """
    Describe the best trial and how to train with its settings.

    :param sweep: the folder of the search
    :param spec: the search
    :return: two lines
    """
    from optuna.trial import TrialState

    study = open_study(sweep, spec, spec.seed)
    if not study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]):
        return "No trial has finished yet."
    best, environment = study.best_trial, spec.environment
    found = ", ".join(f"{key}={value}" for key, value in spec.parameters_of(best).items())
    options = " --env-set" * bool(environment.kwargs) + "".join(f" {key}={value}" for key, value in environment.kwargs.items())
    command = f"leo train {spec.algorithm} {environment.id}{options} --config {sweep.path / BEST_FILE}"
    return f"Best: trial {best.number}, success {percent(study.best_value)}, with {found}\nNext: {command}"


def _check_same_search(sweep: SweepFolder, content: dict[str, Any], config_text: str | None) -> None:
    """Raise an error if a folder belongs to another search."""
    differing = [
        key
        for key in dict.fromkeys((*sweep.spec, *content))
        if key not in ("trials", "study") and sweep.spec.get(key) != content.get(key)
    ]
    config = sweep.path / CONFIG_FILE
    if config.exists() and config.read_text(encoding="utf-8") != config_text:
        differing.append("the settings in config")
    if differing or content["trials"] < sweep.spec["trials"]:
        what = f"another {' and '.join(differing)}" if differing else f"only {content['trials']} trials"
        raise ValueError(
            f"expected the search of {sweep.path}, with {sweep.spec['trials']} or more trials, got {what}: the trials would "
            "not be comparable; choose another folder"
        )


def _import_optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ImportError('leo tune needs Optuna; install it with: pip install "leo-rl[tune]"') from error
    return optuna
