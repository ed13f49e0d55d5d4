"""``leo plot``."""

from dataclasses import dataclass

from leo_cli.commands.options import Path, Runs


@dataclass(frozen=True)
class Plot:
    """
    Draw curves with bands over seeds, the end result with bootstrap intervals, success by family, and goals over time.

    Examples: `leo plot runs/leodqn-GridWorld-v0`; `leo plot runs/a runs/b --out pictures`.
    """

    runs: Runs
    """The runs' folders; several are drawn side by side."""
    out: Path = None
    """The folder to write to, made if need be; plots/ in the first run's folder by default."""

    def run(self) -> int:
        """
        :return: the exit code
        """
        from pathlib import Path as FilePath

        from leo_cli.evaluation import evaluate_where_missing
        from leo_cli.outputs import make_output_folder
        from leo_cli.plots import write_plots
        from leo_cli.results import read_results
        from leo_cli.run_folder import open_runs

        runs = open_runs(self.runs)
        folder = make_output_folder(runs[0].path / "plots" if self.out is None else FilePath(self.out))
        evaluate_where_missing(runs)
        stories = read_results(runs)
        for path in write_plots(stories, folder):
            print(f"Wrote {path}")
        return 0
