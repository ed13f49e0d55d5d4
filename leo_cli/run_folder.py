"""
A run on disk::

    runs/leodqn-GridWorld-v0/
      run.yml               what was trained and how: everything needed to make it again
      commands.txt          the command that began it, and those that took it up again
      provenance.yml        versions, machine, state of the code
      seed-0/
        evaluations.csv     success at every goal over the training
        progress.csv        what the algorithm logged; beside it TensorBoard's events
        goals.csv           success at every goal in the end
        checkpoints/        the newest state, to go on from exactly
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

import leo_wrappers
from leo_agents.evaluation import GoalReport
from leo_agents.learning.checkpoints import latest_checkpoint
from leo_cli.algorithms import find_algorithm
from leo_cli.environments import Environment, find_environment
from leo_cli.hyperparameters import Settings
from leo_cli.overrides import read_yaml
from leo_cli.provenance import command_line, describe_machine
from leo_cli.suggestions import nearest

FORMAT = 1
RUN_FILE = "run.yml"
_SPARE_BYTES = 50_000_000


@dataclass(frozen=True)
class RunConfig:
    """
    What was trained and how.

    :param algorithm: its name
    :param environment: the environment's id
    :param env_kwargs: arguments of its constructor
    :param seeds: one training each
    :param settings: steps, environments, evaluation, hyperparameters
    :param goals: the names of all goals
    :param judged: the ids of the goals that evaluations are about
    """

    algorithm: str
    environment: str
    env_kwargs: dict[str, Any]
    seeds: list[int]
    settings: Settings
    goals: list[str]
    judged: list[int]

    def make_environment(self) -> Environment:
        """
        :return: the environment that was trained in
        """
        environment = find_environment(self.environment, self.env_kwargs)
        if list(environment.goal_names) != self.goals:
            raise ValueError(
                f"expected {self.environment} with the {len(self.goals)} goals that were trained, got "
                f"{len(environment.goal_names)} others; install the version that the run's provenance.yml names"
            )
        return environment


@dataclass(frozen=True)
class SeedFolder:
    """
    One training of a run.

    :param path: its folder
    :param seed: its seed
    """

    path: Path
    seed: int

    @property
    def evaluations(self) -> Path:
        """Success at every goal over the training."""
        return self.path / "evaluations.csv"

    @property
    def progress(self) -> Path:
        """What the algorithm logged."""
        return self.path / "progress.csv"

    @property
    def goals(self) -> Path:
        """Success at every goal in the end."""
        return self.path / "goals.csv"

    @property
    def checkpoints(self) -> Path:
        """The newest state."""
        return self.path / "checkpoints"

    @property
    def steps_done(self) -> int | None:
        """Steps up to the newest checkpoint; None without one."""
        try:
            return int(latest_checkpoint(self.checkpoints).name.rpartition("-")[2])
        except FileNotFoundError:
            return None

    def report(self) -> GoalReport:
        """
        :return: success at every goal in the end
        """
        try:
            return GoalReport.from_csv(self.goals)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"expected {self.goals}, got no such file; run `leo eval {self.path.parent}` first"
            ) from error
        except ValueError as error:
            raise ValueError(f"{error}; delete {self.goals} and run `leo eval {self.path.parent}`") from error


class RunFolder:
    """
    A run that exists.

    :param path: its folder
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.config = _read_config(self.path)

    @property
    def seeds(self) -> list[SeedFolder]:
        """Its trainings, begun or not."""
        return [SeedFolder(self.path / f"seed-{seed}", seed) for seed in self.config.seeds]

    @property
    def begun(self) -> list[SeedFolder]:
        """Its trainings of which there is a checkpoint."""
        seeds = [seed for seed in self.seeds if seed.steps_done is not None]
        if not seeds:
            raise FileNotFoundError(
                f"expected a checkpoint in {self.seeds[0].checkpoints}, got none; the training was stopped too early: "
                f"run `leo train --resume {self.path}`"
            )
        return seeds

    @property
    def command(self) -> str:
        """The command that began it."""
        path = self.path / "commands.txt"
        return path.read_text(encoding="utf-8").splitlines()[0] if path.exists() else "?"

    @property
    def provenance(self) -> dict[str, Any]:
        """Versions, machine and state of the code."""
        path = self.path / "provenance.yml"
        return dict(read_yaml(path) or {}) if path.exists() else {}

    def note_command(self) -> None:
        """Adds the command under way to the run's commands."""
        with open(self.path / "commands.txt", "a", encoding="utf-8") as file:
            file.write(command_line() + "\n")

    def write_config(self, config: RunConfig) -> None:
        """
        Replaces what is said of the run.

        :param config: the new words
        """
        _write_yaml(self.path / RUN_FILE, {"format": FORMAT, "leo-rl": leo_wrappers.__version__, **asdict(config)})
        self.config = config


def create_run(path: Path, config: RunConfig) -> RunFolder:
    """
    Makes the folder of a new run, or says what is in the way before anything is trained.

    :param path: the folder, which must not exist or be empty
    :param config: what will be trained
    :return: the run
    """
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"expected a folder or nothing at {path}, got a file; choose another --folder")
    if path.is_dir() and any(path.iterdir()):
        remedy = f"go on with `leo train --resume {path}`, or " if (path / RUN_FILE).exists() else ""
        raise FileExistsError(f"expected an empty folder at {path}, got one with files in it; {remedy}choose another --folder")
    existed = path.exists()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"expected a folder that can be made, got {path}: {error.strerror}; choose another --folder") from error
    try:
        check_space(path, 0)
    except OSError:
        if not existed:
            path.rmdir()
        raise
    _write_yaml(path / RUN_FILE, {"format": FORMAT, "leo-rl": leo_wrappers.__version__, **asdict(config)})
    _write_yaml(path / "provenance.yml", describe_machine())
    run = RunFolder(path)
    run.note_command()
    return run


def check_space(folder: Path, needed: int) -> None:
    """
    Refuses a folder that cannot be written to, or whose disk is too full, before hours of training are lost to it.

    :param folder: the folder
    :param needed: bytes that will be written, at least
    """
    probe = folder / ".probe"
    try:
        with open(probe, "wb") as file:
            file.write(b"\0" * 1_000_000)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(
            f"expected to write to {folder}, got: {error.strerror}; free some space or choose another --folder"
        ) from error
    finally:
        probe.unlink(missing_ok=True)
    free, wanted = shutil.disk_usage(folder).free, needed + _SPARE_BYTES
    if free < wanted:
        raise OSError(
            f"expected {wanted / 1e6:,.0f} MB for checkpoints in {folder}, got {free / 1e6:,.0f} MB of free space; free some, "
            "choose another --folder, or set a smaller buffer_size"
        )


def free_name(folder: Path, name: str) -> Path:
    """
    :param folder: where runs lie
    :param name: of a new one
    :return: a path that does not exist yet: the name, with a number if need be
    """
    number = 1
    while (path := folder / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return path


def open_runs(paths: Sequence[str]) -> list[RunFolder]:
    """
    Several runs about the same goals.

    :param paths: their folders
    :return: the runs
    """
    if not paths:
        raise ValueError("expected at least one run folder, got none; name one under runs/")
    runs = [RunFolder(path) for path in dict.fromkeys(paths)]
    first = runs[0].config
    for run in runs[1:]:
        other = run.config
        if (other.goals, other.judged) != (first.goals, first.judged):
            raise ValueError(
                f"expected runs about the same goals, got {len(first.judged)} of {first.environment} in "
                f"{runs[0].path / RUN_FILE} and {len(other.judged)} of {other.environment} in {run.path / RUN_FILE}; "
                "name runs of one environment"
            )
    return runs


def run_labels(runs: Sequence[RunFolder]) -> list[str]:
    """
    :param runs: several runs
    :return: what to call each: its algorithm where that tells them apart, else its folder
    """
    choices = [[run.config.algorithm for run in runs], [run.path.resolve().name for run in runs]]
    return next((names for names in choices if len(set(names)) == len(runs)), [str(run.path) for run in runs])


def pick_seed(run: RunFolder, seed: int | None) -> SeedFolder:
    """
    :param run: a run
    :param seed: of one of its trainings; the first that was begun when None
    :return: the training
    """
    begun = {one.seed: one for one in run.begun}
    if seed is not None and seed not in begun:
        raise ValueError(f"expected a seed that {run.path} was trained with, got {seed}; there are: {sorted(begun)}")
    return next(iter(begun.values())) if seed is None else begun[seed]


def load_agent(run: RunFolder, seed: SeedFolder) -> Any:
    """
    The agent of the newest checkpoint.

    :param run: the run
    :param seed: one of its trainings
    :return: the model, without an environment
    """
    checkpoint = latest_checkpoint(seed.checkpoints)
    try:
        return find_algorithm(run.config.algorithm).kind.load(checkpoint / "model.zip", device="cpu")
    except Exception as error:  # whatever unpickling a damaged file may raise
        raise damaged(checkpoint, run, error) from error


def damaged(checkpoint: Path, run: RunFolder, error: Exception) -> ValueError:
    """
    :param checkpoint: a checkpoint that cannot be read
    :param run: whose it is
    :param error: what happened
    :return: the error to raise
    """
    return ValueError(
        f"expected a whole checkpoint at {checkpoint}, got a damaged one ({type(error).__name__}: {error}); nothing was "
        f"changed: restore it, or remove {checkpoint.parent.parent} and train that seed again: leo train --resume {run.path}"
    )


def _read_config(path: Path) -> RunConfig:
    file = path / RUN_FILE
    if not file.is_file():
        others = sorted(str(other.parent) for other in path.parent.glob(f"*/{RUN_FILE}")) if path.parent.is_dir() else []
        near = nearest(str(path), others) or others[:3]
        hint = f"nearest: {', '.join(near)}" if near else "`leo train` makes one"
        raise FileNotFoundError(f"expected a run folder, with a {RUN_FILE}, got {path}; {hint}")
    values = read_yaml(file)
    found = values.pop("format", None) if isinstance(values, dict) else None
    if found != FORMAT:
        maker = f"leo-rl {values.get('leo-rl', '?')}" if isinstance(values, dict) else "something else"
        raise ValueError(
            f"expected a run of format {FORMAT} in {file}, got format {found}, written by {maker}; "
            "read it with that version, or train again"
        )
    values.pop("leo-rl", None)
    try:
        return RunConfig(**{**values, "settings": Settings.from_dict(values["settings"])})
    except (KeyError, TypeError) as error:
        raise ValueError(f"expected a whole {file}, got a damaged one ({error}); restore it, or train again") from error


def _write_yaml(path: Path, content: dict[str, Any]) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=120), encoding="utf-8")
    os.replace(partial, path)
