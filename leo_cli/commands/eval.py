"""``leo eval``."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

from leo_cli.commands.options import Count, Names, Path, Programs, Run, Trust
from leo_cli.errors import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from leo_agents.evaluation import GoalReport
    from leo_cli.run_folder import RunFolder


@dataclass(frozen=True)
class Eval:
    """
    Evaluate the agents of a run: how often, and in how many steps, they reach each goal. Writes goals.csv for each seed; with
    --program, it only prints how often and in how many steps they complete the programs, and --out draws them.

    Examples: `leo eval runs/leodqn-GridWorld-v0 --episodes 10`; `leo eval runs/x --goals cell/0,0 cell/8,7`;
    `leo eval runs/x --program "cell/0,0 then cell/8,7" --out program.png`.
    """

    run_folder: Run
    """The run's folder."""
    episodes: Count = None
    """Episodes per goal."""
    goals: Names = ()
    """Evaluate only these goals, names or coordinates such as 1.3,0.7,0.5, without writing goals.csv."""
    program: Programs = ()
    out: Path = None
    """With --program: a figure of the automata next to the first seed's paths, e.g. program.png."""
    max_steps: Count = None
    """Maximum number of steps per episode."""
    seed: Annotated[int, tyro.conf.arg(metavar="SEED")] = 10_000
    """Seed of the episodes."""
    cores: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: all)")] = None
    """Number of processor cores."""
    csv: Path = None
    """Also write a table of all seeds pooled to this file."""
    trust: Trust = False

    def run(self) -> int:
        """Evaluate all seeds; return the exit code."""
        import sys
        from pathlib import Path as FilePath

        from leo_cli.evaluation import evaluate_seed, pool_reports
        from leo_cli.interrupts import Interrupted, InterruptHandler
        from leo_cli.outputs import check_output
        from leo_cli.run_folder import RunFolder

        for name, value in (("--episodes", self.episodes), ("--max-steps", self.max_steps), ("--cores", self.cores)):
            if value is not None and value < 1:
                raise ValueError(f"expected {name} of at least 1, got {value}; change it")
        run = RunFolder(self.run_folder, self.trust)
        if self.out is not None and not self.program:
            raise ValueError("expected --out with --program, got it without; use --csv, or leo plot for figures of goals")
        if self.program:
            self._evaluate_programs(run)
            return 0
        goals = run.config.goals_to_evaluate(self.goals) if self.goals else None
        if self.csv is not None:
            check_output(FilePath(self.csv))
        options = {"episodes": self.episodes, "max_steps": self.max_steps, "cores": self.cores}
        reports: list[GoalReport] = []
        seeds, environment = run.started_seeds, run.config.find_environment()
        with InterruptHandler("Stopping. Press Ctrl-C again to stop immediately.") as stop:
            try:
                for seed in seeds:
                    report = evaluate_seed(
                        run,
                        seed,
                        environment,
                        goals=goals,
                        first_seed=self.seed,
                        progress_bar=sys.stderr.isatty(),
                        stop=stop,
                        **options,
                    )
                    reports.append(report)
                    print(f"seed {seed.seed}, after {seed.loadable_steps:,} steps of training\n{report}\n", flush=True)
            except Interrupted:
                written = [] if self.goals else [str(seed.goals) for seed in seeds[: len(reports)]]
                print(f"Stopped; files written: {', '.join(written) or 'none'}. Start again with: leo eval {run.path}")
                return EXIT_INTERRUPTED
        pooled = pool_reports(reports)
        if len(reports) > 1:
            print(f"all seeds\n{pooled}\n")
        if self.csv is not None:
            pooled.to_csv(self.csv)
        if goals is None:
            print(f"Wrote {', '.join(str(seed.goals) for seed in seeds)}")
        return 0

    def _evaluate_programs(self, run: "RunFolder") -> None:
        """Print how often, and in how many steps, the agent of each seed completes each program."""
        from pathlib import Path as FilePath

        import numpy as np

        from leo_agents.programs import plot_programs
        from leo_cli.models import load_agent
        from leo_cli.outputs import check_output
        from leo_cli.programs import check_programs, evaluate_agent, record_programs

        if self.goals or self.csv is not None:
            raise ValueError("expected --program without --goals and --csv, got both; evaluate them one after the other")
        programs = check_programs(run.config, self.program)
        out = None if self.out is None else check_output(FilePath(self.out))
        evaluation = run.config.settings.evaluation
        episodes = evaluation.final_episodes if self.episodes is None else self.episodes
        for seed in run.started_seeds:
            print(f"seed {seed.seed}, after {seed.loadable_steps:,} steps of training")
            for result in evaluate_agent(run.config, load_agent(run, seed), programs, episodes, self.seed, self.max_steps):
                steps = f", {np.mean(result.steps):.1f} steps on average" if result.steps else ""
                completed = f"{len(result.steps)} of {result.episodes} completed{steps}"
                print(f"  {result.program}: {completed}, {result.violated} violated")
        if out is not None:
            agent = load_agent(run, run.started_seeds[0])
            plot_programs(record_programs(run.config, agent, programs, self.seed, self.max_steps), out)
            print(f"Wrote {out}")
