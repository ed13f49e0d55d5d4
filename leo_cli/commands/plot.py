"""``leo plot``."""

from dataclasses import dataclass

from leo_cli.commands.options import Path, Runs, Trust


@dataclass(frozen=True)
class Plot:
    """
    Plot learning curves, final scores, success by family, and success at each goal over training.

    Examples: `leo plot runs/leodqn-GridWorld-v0`; `leo plot runs/a runs/b --out figures`.
    """

    runs: Runs
    """The runs' folders; several are compared."""
    out: Path = None
    """The folder to write to, created if necessary; plots/ in the first run's folder by default."""
    trust: Trust = False

    def run(self) -> int:
        """Write the figures; return the exit code."""
        from pathlib import Path as FilePath

        from leo_cli.evaluation import evaluate_missing
        from leo_cli.outputs import check_inside, make_output_folder
        from leo_cli.plots import write_plots
        from leo_cli.results import read_results
        from leo_cli.run_folder import open_runs

        runs = open_runs(self.runs, self.trust)
        folder = make_output_folder(runs[0].path / "plots" if self.out is None else FilePath(self.out))
        if self.out is None:
            check_inside(folder, runs[0].path)
        evaluate_missing(runs)
        for path in write_plots(read_results(runs), folder):
            print(f"Wrote {path}")
        return 0
