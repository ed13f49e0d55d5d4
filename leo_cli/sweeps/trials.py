"""The trials of a search, whose settings Optuna samples."""

import shutil
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from leo_agents.evaluation import read_curve
from leo_agents.evaluation.curves import NoEvaluationsError
from leo_agents.evaluation.report_text import percent
from leo_cli.run_config import RUN_FILE, write_config
from leo_cli.run_folder import RunFolder, SeedFolder
from leo_cli.sweeps.folder import SweepFolder
from leo_cli.sweeps.jobs import Training
from leo_cli.sweeps.search import SearchSpec
from leo_cli.sweeps.study import open_study, read_search, write_best

if TYPE_CHECKING:
    import optuna

_JOB = "job"
"""User attribute of a trial: name of the job that runs it."""


class Trial(Training):
    """
    A training with settings that Optuna samples when the job starts.

    :param sweep: the folder of the search
    :param name: name of the job
    """

    def __init__(self, sweep: SweepFolder, name: str) -> None:
        super().__init__(sweep, name)
        self._evaluated_at = -1

    @cached_property
    def spec(self) -> SearchSpec:
        """The search."""
        return read_search(self.sweep)

    @cached_property
    def study(self) -> "optuna.Study":
        """The study. Its sampler gets a seed of its own in each job, so that parallel workers do not sample the same."""
        return open_study(self.sweep, self.spec, self.spec.seed + int(self.name.rpartition("-")[2]))

    @cached_property
    def trial(self) -> "optuna.Trial":
        """The unfinished trial of the job if its worker died, else a new one."""
        study = self.study
        import optuna  # after the study, whose error names the extra

        for frozen in study.get_trials(deepcopy=False):
            if frozen.user_attrs.get(_JOB) == self.name and not frozen.state.is_finished():
                return optuna.Trial(study, frozen._trial_id)
        trial = study.ask()
        trial.set_user_attr(_JOB, self.name)
        return trial

    def arguments(self, device: str) -> list[str]:
        """Return the arguments of the ``leo`` command, after writing the settings of a new trial to the run folder."""
        config = self.spec.configure(self.spec.sample(self.trial))
        if not (self.path / RUN_FILE).exists() or RunFolder(self.path, self.sweep.trust).config.settings != config.settings:
            for seed in self.path.glob("seed-*"):  # of an earlier trial, which failed
                shutil.rmtree(seed)
            write_config(self.path, config)
        return super().arguments(device)

    def should_stop(self) -> bool:
        """Report the evaluations of the first seed; return whether to prune the trial."""
        return self._report_evaluations() and self.spec.prune and self.trial.should_prune()

    def finish(self, stopped: bool) -> str:
        """Report the mean success over goals and seeds, and update the best settings."""
        from optuna.trial import TrialState

        if stopped:
            self.study.tell(self.trial, state=TrialState.PRUNED, skip_if_finished=True)
            return "pruned"
        self._report_evaluations()
        success = float(np.mean([seed.report().mean_success for seed in self._seeds]))
        self.study.tell(self.trial, success, skip_if_finished=True)
        write_best(self.sweep, self.spec, self.study)
        return f"success {percent(success)}"

    def fail(self) -> None:
        """Tell the study that the trial has no result."""
        from optuna.trial import TrialState

        self.study.tell(self.trial, state=TrialState.FAIL, skip_if_finished=True)

    @cached_property
    def _seeds(self) -> list[SeedFolder]:
        return RunFolder(self.path, self.sweep.trust).seeds

    def _report_evaluations(self) -> bool:
        """Report the evaluations that the study does not know; return whether there were any."""
        path = self._seeds[0].evaluations
        try:
            changed = path.stat().st_mtime_ns
            curve = read_curve(path) if changed != self._evaluated_at else None
        except (FileNotFoundError, NoEvaluationsError):
            return False
        if curve is None:
            return False
        self._evaluated_at = changed
        known = self.study.get_trials(deepcopy=False)[self.trial.number].intermediate_values
        new = [(int(step), rate) for step, rate in zip(curve.timesteps, curve.mean, strict=True) if step not in known]
        for step, rate in new:
            self.trial.report(float(rate), step)
        return bool(new)
