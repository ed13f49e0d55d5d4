"""
Read and write the folder of a run::

    runs/leodqn-GridWorld-v0/
      run.yml               algorithm, environment, seeds and settings: all that is needed to train it again
      commands.txt          the command that started it, and those that resumed it
      provenance.yml        versions, machine, git state
      seed-0/
        evaluations.csv     success rate of each goal during training
        progress.csv        values logged by the algorithm; TensorBoard's events are next to it
        discoveries.csv     when each goal was first achieved, and from which goal
        goals.csv           success rate of each goal in the final evaluation
        checkpoints/        the newest states, from which training resumes exactly
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from leo_agents.evaluation import GoalReport
from leo_agents.learning.checkpoint_files import MODEL_FILE, DamagedCheckpointError, checkpoint_step, latest_checkpoint
from leo_cli.disk_space import check_disk_space
from leo_cli.outputs import check_output, make_output_folder
from leo_cli.overrides import read_yaml
from leo_cli.provenance import collect_provenance, command_line
from leo_cli.run_config import COMMANDS_FILE, PROVENANCE_FILE, RUN_FILE, RunConfig, read_config, write_config, write_yaml

HUB_PREFIX = "hub:"


@dataclass(frozen=True)
class SeedFolder:
    """
    Folder of one seed of a run.

    :param path: the folder
    :param seed: the seed
    :param title: name of the training in progress output
    :param steps: environment steps to train for
    """

    path: Path
    seed: int
    title: str
    steps: int

    @property
    def evaluations(self) -> Path:
        """Table of the success rates during training."""
        return self.path / "evaluations.csv"

    @property
    def progress(self) -> Path:
        """Table of the values logged by the algorithm."""
        return self.path / "progress.csv"

    @property
    def discoveries(self) -> Path:
        """Table of when each goal was first achieved in the training; missing if no goals were commanded in it."""
        return self.path / "discoveries.csv"

    @property
    def goals(self) -> Path:
        """Table of the success rates in the final evaluation."""
        return self.path / "goals.csv"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def checkpoint(self) -> Path | None:
        """The newest checkpoint; None without one."""
        try:
            return latest_checkpoint(self.checkpoints)
        except FileNotFoundError:
            return None

    @property
    def steps_done(self) -> int | None:
        """Environment steps at the newest checkpoint; None without one."""
        checkpoint = self.checkpoint
        return None if checkpoint is None else checkpoint_step(checkpoint)

    @property
    def loadable_steps(self) -> int:
        """Environment steps at the newest checkpoint whose model is undamaged; 0 without one."""
        try:
            return checkpoint_step(latest_checkpoint(self.checkpoints, (MODEL_FILE,)))
        except (FileNotFoundError, DamagedCheckpointError):
            return 0

    @property
    def is_trained(self) -> bool:
        """Whether training is complete."""
        return self.loadable_steps >= self.steps

    @property
    def is_finished(self) -> bool:
        """Whether training and the final evaluation are complete."""
        return self.is_trained and self.goals.exists()

    def report(self) -> GoalReport:
        """Read the final evaluation."""
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
    Folder of an existing run.

    :param path: the folder, or ``"hub:user/name"`` for a run on the Hugging Face Hub, which is downloaded
    :param trust: whether code that came with the run may be executed: pickles, and the module of its environment. Runs created
        by the same user on the same machine are trusted without it
    """

    def __init__(self, path: str | os.PathLike[str], trust: bool = False) -> None:
        self.path, self.trust = _find_run(path), trust
        self.config = read_config(self.path, trust)

    @property
    def seeds(self) -> list[SeedFolder]:
        """All seeds of the run, started or not."""
        config = self.config
        return [
            SeedFolder(self.path / f"seed-{seed}", seed, f"{config.algorithm}, seed {seed}", config.settings.steps)
            for seed in config.seeds
        ]

    @property
    def started_seeds(self) -> list[SeedFolder]:
        """The seeds that have a checkpoint."""
        seeds = [seed for seed in self.seeds if seed.steps_done is not None]
        if not seeds:
            raise FileNotFoundError(
                f"expected a checkpoint in {self.seeds[0].checkpoints}, got none: training stopped before the first one; "
                f"run `leo train --resume {self.path}`"
            )
        return seeds

    @property
    def command(self) -> str:
        """The command that started the run; "?" if it was not recorded."""
        path = self.path / COMMANDS_FILE
        return path.read_text(encoding="utf-8").partition("\n")[0] if path.exists() else "?"

    @property
    def provenance(self) -> dict[str, Any]:
        """Versions, machine and git state."""
        path = self.path / PROVENANCE_FILE
        return dict(read_yaml(path) or {}) if path.exists() else {}


def create_run(path: Path, config: RunConfig) -> RunFolder:
    """
    Create the folder of a new run.

    :param path: the folder, which must not exist or be empty
    :param config: the run's configuration
    :return: the run
    """
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"expected a folder or nothing at {path}, got a file; choose another --folder")
    if path.is_dir() and any(path.iterdir()):
        remedy = f"resume it with `leo train --resume {path}`, or " if (path / RUN_FILE).exists() else ""
        raise FileExistsError(f"expected an empty folder at {path}, got one with files in it; {remedy}choose another --folder")
    existed = path.exists()
    make_output_folder(path, "--folder")
    try:
        check_disk_space(path)
    except OSError:
        if not existed:
            path.rmdir()
        raise
    write_config(path, config)
    write_yaml(path / PROVENANCE_FILE, collect_provenance())
    _record_command(path)
    return RunFolder(path)


def resume_run(path: Path, steps: int | None = None, trust: bool = False) -> RunFolder:
    """
    Open a run to continue its training.

    :param path: the run folder
    :param steps: new number of environment steps; at least the run's own, which is the default
    :param trust: see :class:`RunFolder`
    :return: the run
    """
    run = RunFolder(path, trust)
    settings = run.config.settings
    if steps is not None and steps < settings.steps:
        raise ValueError(f"expected --steps of at least the run's {settings.steps}, got {steps}; raise it")
    _record_command(path)
    if not (path / PROVENANCE_FILE).exists():  # a job of a sweep, described before it started
        write_yaml(path / PROVENANCE_FILE, collect_provenance())
    if steps is not None and steps > settings.steps:
        run.config = replace(run.config, settings=replace(settings, steps=steps))
        write_config(path, run.config)
    return run


def free_name(folder: Path, name: str) -> Path:
    """
    Choose the path of a new run.

    :param folder: folder that contains the runs
    :param name: preferred name
    :return: a path that does not exist: ``folder / name``, with a number appended if necessary
    """
    number = 1
    while (path := folder / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return path


def open_runs(paths: Sequence[str], trust: bool = False) -> list[RunFolder]:
    """
    Open several runs, and check that they evaluate the same goals.

    :param paths: the run folders
    :param trust: see :class:`RunFolder`
    :return: the runs, without duplicates
    """
    if not paths:
        raise ValueError("expected at least one run folder, got none; name one under runs/")
    runs = [RunFolder(path, trust) for path in dict.fromkeys(paths)]
    first = runs[0].config
    for run in runs[1:]:
        other = run.config
        if (other.goals, other.eval_goal_ids) != (first.goals, first.eval_goal_ids):
            raise ValueError(
                f"expected runs with the same goals, got {len(first.eval_goal_ids)} of {first.environment} in "
                f"{runs[0].path / RUN_FILE} and {len(other.eval_goal_ids)} of {other.environment} in {run.path / RUN_FILE}; "
                "name runs of one environment that evaluate the same goals"
            )
    return runs


def run_labels(runs: Sequence[RunFolder]) -> list[str]:
    """
    Choose distinct labels for several runs.

    :param runs: the runs
    :return: their algorithms if these differ, else the names of their folders, else the paths
    """
    choices = [[run.config.algorithm for run in runs], [run.path.resolve().name for run in runs]]
    return next((names for names in choices if len(set(names)) == len(runs)), [str(run.path) for run in runs])


def pick_seed(run: RunFolder, seed: int | None) -> SeedFolder:
    """
    Select a seed of a run that has a checkpoint.

    :param run: the run
    :param seed: the seed; None selects the first with a checkpoint
    :return: the seed's folder
    """
    started = {folder.seed: folder for folder in run.started_seeds}
    if seed is not None and seed not in started:
        raise ValueError(f"expected a seed that {run.path} was trained with, got {seed}; choose from: {sorted(started)}")
    return next(iter(started.values())) if seed is None else started[seed]


def _find_run(path: str | os.PathLike[str]) -> Path:
    if not str(path).startswith(HUB_PREFIX):
        return Path(path)
    from leo_cli.hub import pull_run

    return pull_run(str(path).removeprefix(HUB_PREFIX))


def _record_command(path: Path) -> None:
    with open(check_output(path / COMMANDS_FILE), "a", encoding="utf-8") as file:
        file.write(command_line() + "\n")
