"""The file that describes a run, ``run.yml``."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import leo_wrappers
from leo_agents.algorithms.env_wrapping import check_same_goals
from leo_agents.evaluation.goal_report import FloatArray
from leo_agents.evaluation.random_goals import point_names
from leo_agents.learning.ownership import is_signed, sign
from leo_agents.replay.goal_dataset import GoalDataset
from leo_cli.environments import Environment, find_environment, is_builtin
from leo_cli.hyperparameters import Settings
from leo_cli.named_goals import NamedGoal, find_named_goal
from leo_cli.outputs import check_output
from leo_cli.overrides import read_yaml
from leo_cli.suggestions import nearest
from leo_cli.trust import HOW

FORMAT = 2
GOAL_SEED = 20_000
"""Seed of the goals that are evaluated if any point is a goal, the same for all runs."""
RUN_FILE, COMMANDS_FILE, PROVENANCE_FILE = "run.yml", "commands.txt", "provenance.yml"


@dataclass(frozen=True)
class RunConfig:
    """
    Configuration of a run.

    :param algorithm: name of the algorithm
    :param environment: environment id
    :param env_kwargs: arguments of the environment's constructor
    :param seeds: seeds to train
    :param settings: steps, number of environments, evaluation, hyperparameters
    :param goals: names of all goals; of the evaluated ones if any point is a goal
    :param eval_goal_ids: ids of the goals that are evaluated
    :param points: coordinates of the evaluated goals if any point is a goal; None for a finite goal set
    :param dataset: folder of the dataset to learn from, absolute; None to learn in the environment
    :param trusted: whether the environment may be one that is not built in, whose module is imported; not written to the file
    """

    algorithm: str
    environment: str
    env_kwargs: dict[str, Any]
    seeds: list[int]
    settings: Settings
    goals: list[str]
    eval_goal_ids: list[int]
    points: list[list[float]] | None = None
    dataset: str | None = None
    trusted: bool = True

    def __post_init__(self) -> None:
        points = self.goal_points
        if points is not None and (points.ndim != 2 or len(points) != len(self.goals)):
            raise ValueError(f"points must be one list of coordinates per goal, got shape {points.shape}")

    @property
    def goal_points(self) -> FloatArray | None:
        """Coordinates of the evaluated goals ``[M, d]`` if any point is a goal; None for a finite goal set."""
        return None if self.points is None else np.array(self.points, dtype=np.float64)

    @property
    def evaluated(self) -> list[int] | FloatArray:
        """The evaluated goals: ids of a finite set, or points ``[M, d]``."""
        return self.eval_goal_ids if self.points is None else np.array(self.points)

    def find_goal(self, text: str) -> NamedGoal:
        """Resolve a goal given on the command line, see :func:`~leo_cli.named_goals.find_named_goal`."""
        return find_named_goal(self.goals, self.goal_points, text)

    def goals_to_evaluate(self, texts: Sequence[str]) -> list[int] | FloatArray:
        """
        Resolve several goals given on the command line.

        :param texts: see :meth:`find_goal`
        :return: ids of a finite set, or points ``[M, d]``
        """
        found = [self.find_goal(text) for text in texts]
        if self.points is None:
            return [self.goals.index(goal.name) for goal in found]
        return np.array([goal.target for goal in found])

    def find_environment(self) -> Environment:
        """Find the environment of the run, and check that it still has the same goals."""
        if not self.trusted and not is_builtin(self.environment):
            raise ValueError(
                f"expected a built-in environment in a run that you did not create on this machine, got {self.environment!r}. "
                f"Creating it would import a Python module and run its code; {HOW}"
            )
        environment = find_environment(self.environment, self.env_kwargs, any_goal=self.points is not None)
        if self.points is None and list(environment.goal_names) != self.goals:
            raise ValueError(
                f"expected {self.environment} with the {len(self.goals)} goals it was trained on, got "
                f"{len(environment.goal_names)} others; install the version listed in the run's {PROVENANCE_FILE}"
            )
        return environment


def new_config(
    algorithm: str, environment: Environment, seeds: list[int], settings: Settings, dataset: str | None = None
) -> RunConfig:
    """
    Describe a new run, which evaluates all goals that can be reached, or random goals if any point is a goal.

    :param algorithm: name of the algorithm
    :param environment: the environment
    :param seeds: seeds to train
    :param settings: the settings
    :param dataset: folder of a dataset to learn from, whose goals are checked; None to learn in the environment
    :return: the configuration
    """
    described = (algorithm, environment.id, environment.kwargs, seeds, settings)
    path = None if dataset is None else str(Path(dataset).absolute())
    found = None if path is None else GoalDataset.load(path)
    if not environment.any_goal:
        goals = environment.goal_names
        if found is not None:
            check_same_goals(goals, found.goal_names, "a dataset")
        return RunConfig(*described, list(goals), environment.reachable_goals().tolist(), dataset=path)
    points = environment.sample_goals(settings.evaluation.random_goals, GOAL_SEED)
    return RunConfig(*described, point_names(points), list(range(len(points))), points.tolist(), dataset=path)


def read_config(path: Path, trust: bool) -> RunConfig:
    """
    Read the configuration of a run.

    :param path: the run folder
    :param trust: whether the environment may be one that is not built in, whoever trained in it
    :return: the configuration
    """
    file = path / RUN_FILE
    if not file.is_file():
        others = sorted(str(other.parent) for other in path.parent.glob(f"*/{RUN_FILE}")) if path.parent.is_dir() else []
        near = nearest(str(path), others) or others[:3]
        hint = f"nearest: {', '.join(near)}" if near else "`leo train` creates one"
        raise FileNotFoundError(f"expected a run folder with a {RUN_FILE}, got {path}; {hint}")
    values = read_yaml(file)
    if not isinstance(values, dict) or "format" not in values:
        raise ValueError(f"expected the settings of a run in {file}, got something else; restore it, or train again")
    found, version = values.pop("format"), values.pop("leo-rl", "?")
    if found != FORMAT:
        raise ValueError(
            f"expected a run of format {FORMAT} in {file}, got format {found} (written by leo-rl {version}): its settings and "
            "checkpoints cannot be read, and nothing was changed; install that version, or train again with another --folder "
            f"(the command is in {path / COMMANDS_FILE})"
        )
    mark = values.pop("mark", None)
    try:
        trusted = trust or is_signed(_environment_content(values["environment"], values["env_kwargs"]), mark)
        if not all(type(seed) is int for seed in values["seeds"]):  # they name folders
            raise TypeError(f"seeds must be integers, got {values['seeds']}")
        return RunConfig(**{**values, "settings": Settings.from_dict(values["settings"]), "trusted": trusted})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"expected a complete {file}, got a damaged one ({error}); restore it, or train again") from error


def write_config(path: Path, config: RunConfig) -> None:
    """
    Write the configuration of a run, from which :func:`~leo_cli.run_folder.resume_run` can start it.

    :param path: the run folder
    :param config: the configuration
    """
    content = asdict(config)
    for key in ("points", "dataset"):
        if content[key] is None:
            del content[key]  # readable by versions that do not know them
    # Marks the environment as one that this user trains in, however the other settings are edited.
    mark = sign(_environment_content(config.environment, config.env_kwargs)) if content.pop("trusted") else None
    write_yaml(path / RUN_FILE, {"format": FORMAT, "leo-rl": leo_wrappers.__version__, **content, "mark": mark})


def _environment_content(environment: str, env_kwargs: dict[str, Any]) -> bytes:
    return json.dumps([environment, env_kwargs], sort_keys=True, default=str).encode()


def write_yaml(path: Path, content: dict[str, Any]) -> None:
    """
    Write a YAML file, which is complete even if the process is killed.

    :param path: the file
    :param content: its content
    """
    partial = check_output(path.with_name(path.name + ".partial"))
    partial.write_text(yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=120), encoding="utf-8")
    os.replace(partial, path)
