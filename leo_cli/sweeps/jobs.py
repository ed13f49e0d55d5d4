"""The kinds of jobs: what ``leo`` command each of them runs, and when."""

from collections.abc import Mapping
from pathlib import Path

from leo_agents.evaluation.report_text import percent
from leo_cli.overrides import read_yaml
from leo_cli.run_folder import RunFolder
from leo_cli.sweeps.folder import EVALUATION_FILE, SEARCH, SweepFolder
from leo_cli.sweeps.job_queue import FAILED, FINISHED

LOG_FILE = "job.log"


class Training:
    """
    A training, which ``leo train --resume`` starts or continues in its run folder.

    :param sweep: the sweep
    :param name: name of the job
    """

    def __init__(self, sweep: SweepFolder, name: str) -> None:
        self.sweep, self.name = sweep, name

    @property
    def path(self) -> Path:
        """Folder of the job."""
        return self.sweep.job_path(self.name)

    def is_ready(self, states: Mapping[str, str]) -> bool:
        """Return whether the job may be started, given the states of all jobs."""
        return True

    def arguments(self, device: str) -> list[str]:
        """Return the arguments of the ``leo`` command. May raise if the job cannot be run."""
        return ["train", "--resume", str(self.path), "--device", device, *self.trust_arguments]

    def should_stop(self) -> bool:
        """Return whether to stop the job early; it then counts as finished."""
        return False

    def finish(self, stopped: bool) -> str:
        """
        Complete the job after its process.

        :param stopped: whether it was stopped early
        :return: its result, for the progress output
        """
        reports = [seed.report() for seed in RunFolder(self.path, self.sweep.trust).seeds]
        return f"success {percent(sum(report.mean_success for report in reports) / len(reports), 0)}"

    def fail(self) -> None:
        """Called after the last attempt has failed."""

    @property
    def trust_arguments(self) -> list[str]:
        """``--trust`` if the sweep is trusted."""
        return ["--trust"] if self.sweep.trust else []


class Evaluation(Training):
    """An evaluation, which ``leo eval`` runs after the training, with options from the sweep's file."""

    def is_ready(self, states: Mapping[str, str]) -> bool:
        """Return whether the training has ended."""
        return states.get(self._run) in (FINISHED, FAILED)

    def arguments(self, device: str) -> list[str]:
        """Return the arguments of the ``leo`` command."""
        if self.sweep.queue.states().get(self._run) == FAILED:
            raise ValueError(f"expected a finished training to evaluate, got {self._run}, which failed; fix its cause first")
        options = [part for key, value in self._options.items() for part in (f"--{key.replace('_', '-')}", str(value))]
        table = self.path / "goals.csv"
        return ["eval", str(self.sweep.job_path(self._run)), *options, "--csv", str(table), *self.trust_arguments]

    def finish(self, stopped: bool) -> str:
        """Return the result."""
        return "evaluated"

    @property
    def _run(self) -> str:
        return str(read_yaml(self.path / EVALUATION_FILE)["run"])

    @property
    def _options(self) -> dict[str, int]:
        options = dict(read_yaml(self.path / EVALUATION_FILE))
        del options["run"]
        return options


def open_job(sweep: SweepFolder, name: str) -> Training:
    """
    Open a job.

    :param sweep: the sweep
    :param name: name of the job
    :return: the job
    """
    if sweep.kind == SEARCH:
        from leo_cli.sweeps.trials import Trial

        return Trial(sweep, name)
    return Evaluation(sweep, name) if sweep.is_evaluation(name) else Training(sweep, name)
