"""``leo tune``."""

from dataclasses import dataclass
from pathlib import Path as FilePath

from leo_cli.commands.sweep import Folder, SpecFile
from leo_cli.commands.work import WorkerOptions


@dataclass(frozen=True)
class Tune(WorkerOptions):
    """
    Search for good hyperparameters with Optuna: maximize the mean success over all goals, and stop bad trials early.

    The trials are jobs of the folder: repeat the command to continue after an interruption, or with more trials in the file;
    run `leo work FOLDER` on other machines to share the work. The best settings are written to best.yml in the folder.

    Examples: `leo tune tune.yml runs/tune`; then `leo train leodqn GridWorld --config runs/tune/best.yml`.
    """

    spec: SpecFile
    """YAML file with the keys algorithm, environment, trials, search, start, seeds, settings, config, prune, seed, storage,
    heartbeat_timeout."""
    folder: Folder
    """The search's folder."""

    def run(self) -> int:
        """Run the trials; return the exit code, 1 if one has failed."""
        from leo_cli.sweeps.study import create_search, describe_best

        sweep, spec = create_search(FilePath(self.folder), FilePath(self.spec))
        code = self.work(self.folder)
        print(describe_best(sweep, spec))
        return code
