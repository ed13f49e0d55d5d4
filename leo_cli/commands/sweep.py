"""``leo sweep``."""

from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Annotated

import tyro

SpecFile = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SPEC.yml", help_behavior_hint="")]
Folder = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")]


@dataclass(frozen=True)
class Sweep:
    """
    Turn algorithms x environments x overrides x seeds into a folder of jobs, which `leo work` runs.

    A file with more values adds the missing jobs to the same folder; jobs that have finished never run again.

    Examples: `leo sweep sweep.yml runs/sweep`; then `leo work runs/sweep --workers 2` and `leo report runs/sweep`.
    """

    spec: SpecFile
    """YAML file with the keys algorithms, environments, seeds, settings, overrides, config, evaluate, heartbeat_timeout."""
    folder: Folder
    """The sweep's folder."""

    def run(self) -> int:
        """Write the jobs; return the exit code."""
        from leo_cli.sweeps.folder import create_sweep

        added, total = create_sweep(FilePath(self.folder), FilePath(self.spec))
        print(f"{total} jobs in {self.folder}/, {added} of them new")
        print(f"Next: leo work {self.folder}    leo report {self.folder}")
        return 0
