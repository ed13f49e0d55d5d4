"""
Send the values that a training logs to an experiment tracker: Weights & Biases, MLflow or Trackio.

Each tracker is configured as its users do, by its own environment variables and login. A resumed training continues the same
tracker run. Values logged after the checkpoint from which it resumes are sent twice, and are equal.
"""

import os
import secrets
import time
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from numbers import Real
from pathlib import Path
from typing import Any

from stable_baselines3.common.logger import KVWriter

from leo_cli.run_folder import RunFolder, SeedFolder

PROJECT = "leo"
"""Default project; change it by ``WANDB_PROJECT``, ``MLFLOW_EXPERIMENT_NAME`` or ``TRACKIO_PROJECT``."""
_ID_FILE = "tracker.txt"


@dataclass(frozen=True)
class TrackedRun:
    """
    What a tracker is told about a training.

    :param id: identifies the training, also after it was resumed
    :param name: name to show
    :param group: name of the trainings that belong together
    :param config: all settings
    :param folder: folder for the tracker's files
    """

    id: str
    name: str
    group: str
    config: dict[str, Any]
    folder: Path


class TrackerWriter(KVWriter):
    """
    Logger output that sends numbers to a tracker. Errors become warnings: they are no reason to lose the training.

    Subclasses start the tracker's run when they are created.
    """

    name: str

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        """
        Send the numbers among some values.

        :param key_values: the values
        :param key_excluded: outputs that do not get a value
        :param step: environment steps
        """
        numbers = {
            key: float(value)
            for key, value in key_values.items()
            if isinstance(value, Real) and self.name not in key_excluded.get(key, ())
        }
        with _errors_as_warnings():
            self.send(numbers, step)

    def close(self) -> None:
        """Finish the tracker's run."""
        with _errors_as_warnings():
            self.finish()

    @abstractmethod
    def send(self, numbers: Mapping[str, float], step: int) -> None:
        """
        Send numbers.

        :param numbers: numbers by name
        :param step: environment steps
        """

    @abstractmethod
    def finish(self) -> None:
        """Finish the tracker's run."""


@contextmanager
def _errors_as_warnings() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        warnings.warn(f"the tracker did not receive all values: {error}; progress.csv has them", stacklevel=2)


class WandbWriter(TrackerWriter):
    """
    Logger output for Weights & Biases; ``WANDB_MODE=offline`` writes to the seed's folder, for ``wandb sync``.

    :param tracked: the training
    """

    name = "wandb"

    def __init__(self, tracked: TrackedRun) -> None:
        import wandb

        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=tracked.id,
            name=tracked.name,
            group=tracked.group,
            config=tracked.config,
            dir=str(tracked.folder),
            resume="allow",
        )
        # Not wandb's own step, which cannot go back to that of a checkpoint.
        self.run.define_metric("*", step_metric="global_step")

    def send(self, numbers: Mapping[str, float], step: int) -> None:
        """Log the numbers."""
        self.run.log({**numbers, "global_step": step})

    def finish(self) -> None:
        """Finish the run."""
        self.run.finish()


class MlflowWriter(TrackerWriter):
    """
    Logger output for MLflow.

    :param tracked: the training
    """

    name = "mlflow"

    def __init__(self, tracked: TrackedRun) -> None:
        import mlflow

        experiment = mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)).experiment_id
        self.client = mlflow.MlflowClient()
        found = self.client.search_runs([experiment], f"tags.leo_id = '{tracked.id}'")
        if found:
            self.run_id = found[0].info.run_id
            return
        tags = {"leo_id": tracked.id, "group": tracked.group}
        self.run_id = self.client.create_run(experiment, run_name=tracked.name, tags=tags).info.run_id
        for key, value in tracked.config.items():
            self.client.log_param(self.run_id, key, value)

    def send(self, numbers: Mapping[str, float], step: int) -> None:
        """Log the numbers."""
        from mlflow.entities import Metric

        milliseconds = int(1_000 * time.time())
        self.client.log_batch(self.run_id, [Metric(key, value, milliseconds, step) for key, value in numbers.items()])

    def finish(self) -> None:
        """Finish the run."""
        self.client.set_terminated(self.run_id)


class TrackioWriter(TrackerWriter):
    """
    Logger output for Trackio.

    :param tracked: the training
    """

    name = "trackio"

    def __init__(self, tracked: TrackedRun) -> None:
        import trackio

        self.run = trackio.init(
            project=os.environ.get("TRACKIO_PROJECT", PROJECT),
            name=f"{tracked.name}-{tracked.id}",
            group=tracked.group,
            config=tracked.config,
            resume="allow",
            embed=False,
        )

    def send(self, numbers: Mapping[str, float], step: int) -> None:
        """Log the numbers."""
        self.run.log(dict(numbers), step=step)

    def finish(self) -> None:
        """Finish the run."""
        self.run.finish()


WRITERS: dict[str, Callable[[TrackedRun], TrackerWriter]] = {
    "wandb": WandbWriter,
    "mlflow": MlflowWriter,
    "trackio": TrackioWriter,
}
"""Logger outputs by name of the tracker."""


def make_tracker(run: RunFolder, seed: SeedFolder) -> list[KVWriter]:
    """
    Start the tracker run of a training, or continue it if the training is resumed.

    :param run: the run
    :param seed: the seed
    :return: the logger output; none if the run is not tracked
    """
    name = run.config.settings.track
    if name is None:
        return []
    tracked = _tracked_run(run, seed)
    try:
        writer = WRITERS[name](tracked)
    except ImportError as error:
        raise ImportError(f'--track {name} needs {name}; install it with: pip install "leo-rl[{name}]"') from error
    except Exception as error:  # of any kind: not logged in, no network, ...
        raise ConnectionError(
            f"expected to start a run in {name}, got {type(error).__name__}: {error}; check its login and environment "
            "variables, or train without --track"
        ) from error
    (seed.path / _ID_FILE).write_text(tracked.id, encoding="utf-8")
    return [writer]


def _tracked_run(run: RunFolder, seed: SeedFolder) -> TrackedRun:
    config, path, id_file = run.config, run.path.resolve(), seed.path / _ID_FILE
    short_id = config.environment.rpartition(":")[2].rpartition("/")[2]
    settings = asdict(config.settings)
    return TrackedRun(
        id=id_file.read_text(encoding="utf-8") if id_file.exists() else secrets.token_hex(6),
        name=f"{config.algorithm}-{short_id}-seed{seed.seed}",
        group=path.parents[1].name if path.parent.name == "jobs" else path.name,  # jobs of a sweep belong together
        config={
            "algorithm": config.algorithm,
            "environment": config.environment,
            "env_kwargs": config.env_kwargs,
            "seed": seed.seed,
            **settings.pop("hyperparameters"),
            **settings,
        },
        folder=seed.path,
    )
