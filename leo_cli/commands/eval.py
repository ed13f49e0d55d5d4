"""``leo eval``."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

from leo_cli.commands.options import Count, Names, Path, Run

if TYPE_CHECKING:
    from leo_agents.evaluation import GoalReport
    from leo_cli.interrupts import Stop
    from leo_cli.run_folder import RunFolder, SeedFolder


@dataclass(frozen=True)
class Eval:
    """
    Command every goal of a run and count how often, and how fast, the agent achieves it. Writes goals.csv for each seed.

    Examples: `leo eval runs/leodqn-GridWorld-v0 --episodes 10`; `leo eval runs/x --goals cell/0,0 cell/8,7`.
    """

    run_folder: Run
    """The run's folder."""
    episodes: Count = None
    """Attempts at each goal."""
    goals: Names = ()
    """Only these goals; shows them, and leaves goals.csv alone."""
    max_steps: Count = None
    """Give an attempt up after this many steps."""
    seed: Annotated[int, tyro.conf.arg(metavar="SEED")] = 10_000
    """Seeds the episodes."""
    cores: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: all)")] = None
    """How many processor cores to use."""
    csv: Path = None
    """Write the table of all seeds together to this file, too."""

    def run(self) -> int:
        """
        :return: the exit code
        """
        from pathlib import Path as FilePath

        from leo_cli.evaluation import pooled
        from leo_cli.interrupts import EXIT_INTERRUPTED, Stopped, StopRequest
        from leo_cli.outputs import check_output
        from leo_cli.run_folder import RunFolder
        from leo_cli.suggestions import goal_named

        for name, value in (("--episodes", self.episodes), ("--max-steps", self.max_steps), ("--cores", self.cores)):
            if value is not None and value < 1:
                raise ValueError(f"expected {name} of at least 1, got {value}; change it")
        run = RunFolder(self.run_folder)
        goals = [run.config.goals.index(goal_named(run.config.goals, goal)) for goal in self.goals] or None
        if self.csv is not None:
            check_output(FilePath(self.csv))
        reports: list[GoalReport] = []
        with StopRequest("Stopping. Press Ctrl-C again to stop at once.") as stop:
            try:
                for seed in run.begun:
                    reports.append(self._evaluated(run, seed, goals, stop))
            except Stopped:
                written = [] if goals else [str(seed.goals) for seed in run.begun[: len(reports)]]
                print(f"Stopped; {', '.join(written) or 'nothing'} was written. Start again with: leo eval {run.path}")
                return EXIT_INTERRUPTED
        together = pooled(reports)
        if len(reports) > 1:
            print(f"all seeds\n{together}\n")
        if self.csv is not None:
            together.to_csv(self.csv)
        if goals is None:
            print(f"Wrote {', '.join(str(seed.goals) for seed in run.begun)}")
        return 0

    def _evaluated(self, run: "RunFolder", seed: "SeedFolder", goals: list[int] | None, stop: "Stop") -> "GoalReport":
        import sys

        from leo_cli.evaluation import evaluate_seed

        report = evaluate_seed(
            run,
            seed,
            run.config.make_environment(),
            episodes=self.episodes,
            goals=goals,
            first_seed=self.seed,
            max_steps=self.max_steps,
            cores=self.cores,
            progress_bar=sys.stderr.isatty(),
            stop=stop,
        )
        print(f"seed {seed.seed}, {seed.steps_done:,} steps of training\n{report}\n", flush=True)
        return report
