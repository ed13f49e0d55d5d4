"""``leo report``."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from leo_cli.commands.options import Path, Programs, RepeatedNames, Runs, Trust


@dataclass(frozen=True)
class Report:
    """
    Write a self-contained HTML report of one or more runs: curves, maps, short videos, and a table of all goals.

    For the folder of a sweep: a comparison of its algorithms, environments and overrides, as far as the jobs have come.

    Examples: `leo report runs/leodqn-GridWorld-v0`; `leo report runs/a runs/b --out comparison.html`; `leo report runs/sweep`.
    """

    runs: Runs
    """The runs' folders; several are compared."""
    out: Path = None
    """The file to write; report.html in the first run's folder by default."""
    goal: RepeatedNames = ()
    """Goal to record a video of, a name or coordinates such as 1.3,0.7,0.5; repeat it for more."""
    program: Programs = ()
    videos: Annotated[int, tyro.conf.arg(metavar="N")] = 4
    """Number of goals to record videos of when none are named."""
    trust: Trust = False

    def run(self) -> int:
        """Write the report; return the exit code."""
        from pathlib import Path as FilePath

        from leo_cli.evaluation import evaluate_missing
        from leo_cli.html.page import report_page
        from leo_cli.outputs import check_output
        from leo_cli.programs import check_programs
        from leo_cli.results import read_results
        from leo_cli.run_folder import open_runs
        from leo_cli.sweeps.folder import is_sweep
        from leo_cli.sweeps.report import report_sweep

        if self.videos < 0:
            raise ValueError(f"expected --videos of at least 0, got {self.videos}; 0 records none")
        if len(self.runs) == 1 and is_sweep(FilePath(self.runs[0])):
            print(f"Wrote {report_sweep(FilePath(self.runs[0]), self.out, self.trust)}")
            return 0
        runs = open_runs(self.runs, self.trust)
        goals = [runs[0].config.find_goal(goal) for goal in self.goal]
        programs = check_programs(runs[0].config, self.program)
        out = check_output(runs[0].path / "report.html" if self.out is None else FilePath(self.out))
        evaluate_missing(runs)
        page = report_page(read_results(runs), goals=goals, programs=programs, num_videos=self.videos)
        out.write_text(page, encoding="utf-8")
        print(f"Wrote {out} ({out.stat().st_size / 1e6:.1f} MB); open it in a browser")
        return 0
