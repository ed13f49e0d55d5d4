"""``leo train``."""

from contextlib import closing
from dataclasses import dataclass, fields, replace
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Annotated

import tyro

from leo_cli.commands.options import Assignments, Count, Env, Name, Path, Trust
from leo_cli.errors import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from leo_cli.environments import Environment
    from leo_cli.run_config import RunConfig

_STOPPING = "Stopping; running trainings save a checkpoint. Press Ctrl-C again to stop immediately."
_WITH_RESUME = ("resume", "steps", "jobs", "device", "trust")


@dataclass(frozen=True)
class Train:
    """
    Train an agent to reach every goal of an environment.

    Settings come from the YAML file that the package provides for the environment (or --config), then from the command line.
    Ctrl-C saves a checkpoint; `leo train --resume RUN` continues from it, bit for bit.

    Examples: `leo train leodqn GridWorld`; `leo train dqn+her CraftaxClassic --seeds 4 --jobs 2 --set gamma=0.95`.
    """

    algorithm: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="ALGORITHM", help_behavior_hint="")] = ""
    """leodqn, leopqn, leotd3, leosac (update all goals from every step);
    dualleopqn, dualleoppo (with a LEO teacher);
    dqn, dqn+her, dqn+all-goals, pqn, pqn+her, ppo, td3, td3+her, sac, sac+her, tqc, tqc+her (baselines)."""
    env: Env = ""
    """The environment: GridWorld, leo/CraftaxClassic-v0, my_package:MyEnv-v0, ... `leo goals` lists the built-in ones."""
    resume: Annotated[str | None, tyro.conf.arg(metavar="RUN", help_behavior_hint="")] = None
    """Resume this run; --steps may be raised."""
    steps: Count = None
    """Environment steps."""
    seeds: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Number of seeds to train."""
    jobs: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Number of seeds to train in parallel, in processes that share the processor cores."""
    first_seed: Annotated[int, tyro.conf.arg(metavar="SEED")] = 0
    """The first seed."""
    num_envs: Count = None
    """Number of parallel environments."""
    dataset: Path = None
    """Learn from this dataset, without environment steps: a folder that `leo collect` wrote. --steps counts gradient steps."""
    any_goal: bool = False
    """Any point is a goal (leotd3, leosac): do without the finite goal set of ENV. Environments without one need no option."""
    keep: Count = None
    """Number of checkpoints to keep; training resumes from an older one if the newest is damaged."""
    evaluations: Count = None
    """Number of evaluations during training."""
    episodes: Count = None
    """Episodes per goal in the final evaluation."""
    set: Assignments = ()
    """Hyperparameters, e.g. --set learning_rate=1e-3 policy_kwargs.net_arch=[64,64]."""
    env_set: Assignments = ()
    """Arguments of the environment, e.g. --env-set map=maze size=9."""
    config: Path = None
    """YAML file to use instead of the one that the package provides."""
    folder: Path = None
    """The run's folder; runs/ALGORITHM-ENV by default, with a number appended if that exists."""
    track: Name = None
    """Also log to wandb, mlflow or trackio (the extra of that name)."""
    device: str = "auto"
    """cpu, cuda or auto."""
    trust: Trust = False

    def run(self) -> int:
        """Create or resume a run and train its seeds; return the exit code."""
        from rich.console import Console

        from leo_cli.interrupts import Interrupted, InterruptHandler
        from leo_cli.parallel import train_in_processes
        from leo_cli.progress import ProgressBoard
        from leo_cli.run_folder import create_run, resume_run
        from leo_cli.run_snapshot import restore_on_failure
        from leo_cli.training import train_seed

        if self.jobs < 1:
            raise ValueError(f"expected --jobs of at least 1, got {self.jobs}; 1 trains one seed after the other")
        check_device(self.device)
        path, config = self._new_run() if self.resume is None else self._resumed_run()
        board = ProgressBoard(Console(highlight=False, soft_wrap=True))
        with InterruptHandler(_STOPPING) as stop, restore_on_failure(path), closing(board):
            run = resume_run(path, self.steps, self.trust) if config is None else create_run(path, config)
            environment = run.config.find_environment()
            board.print(f"{run.config.algorithm} on {run.config.environment}, {_describe_goals(run.config)}, in {path}/")
            seeds = [seed for seed in run.seeds if not seed.is_finished]
            if not seeds:
                board.print("Nothing left to train; raise --steps to continue.")
            try:
                if self.jobs > 1 and len(seeds) > 1:
                    train_in_processes(run, seeds, stop, board, self.device, min(self.jobs, len(seeds)))
                else:
                    for seed in seeds:
                        train_seed(run, seed, environment, stop, board, self.device)
            except Interrupted:
                trained = all(seed.is_trained for seed in run.seeds)
                stopped, command = ("after training", "eval") if trained else ("with a checkpoint", "train --resume")
                board.print(f"Stopped {stopped}; continue with: leo {command} {path}")
                return EXIT_INTERRUPTED
            board.print(f"Next: leo report {path}    leo play {path}    leo video {path} --goal GOAL")
        return 0

    def _new_run(self) -> "tuple[FilePath, RunConfig | None]":
        """Return the folder and the configuration of a new run."""
        from leo_cli.algorithms import check_action_space, find_algorithm
        from leo_cli.hyperparameters import load_settings
        from leo_cli.run_config import new_config
        from leo_cli.run_folder import free_name

        if not self.algorithm or not self.env:
            raise ValueError("expected an algorithm and an environment, got too few; try `leo train leodqn GridWorld`")
        if self.seeds < 1 or self.first_seed < 0:
            raise ValueError(
                f"expected --seeds of at least 1 and --first-seed of at least 0, got {self.seeds}, {self.first_seed}"
            )
        find_algorithm(self.algorithm)  # fails before the environment is created, which may be slow
        if self.dataset is not None:
            self._check_offline()
        algorithm, environment = self.algorithm.lower(), self._environment()
        check_action_space(algorithm, environment.action_space)
        settings = load_settings(
            algorithm,
            environment.id,
            None if self.config is None else FilePath(self.config),
            self.set,
            steps=self.steps,
            num_envs=self.num_envs if self.dataset is None else 1,
            # Offline the replay buffer stays empty; checkpoints contain all of it.
            overrides=() if self.dataset is None else ({"buffer_size": 1},),
            keep=self.keep,
            evaluations=self.evaluations,
            final_episodes=self.episodes,
            track=self.track,
        )
        seeds = list(range(self.first_seed, self.first_seed + self.seeds))
        config = new_config(algorithm, environment, seeds, settings, self.dataset)
        name = f"{algorithm}-{environment.id.rpartition(':')[2].rpartition('/')[2]}" + "-any-goal" * self.any_goal
        return free_name(FilePath("runs"), name) if self.folder is None else FilePath(self.folder), config

    def _check_offline(self) -> None:
        """Raise a ``ValueError`` for options that --dataset excludes."""
        from leo_cli.algorithms import check_offline

        check_offline(self.algorithm)
        if self.num_envs:
            raise ValueError(f"expected no --num-envs with --dataset, got {self.num_envs}; leave it out")

    def _environment(self) -> "Environment":
        """Find the environment, with any point as a goal if it was asked for or has no finite goal set."""
        from leo_cli.algorithms import check_any_goal
        from leo_cli.environments import find_environment
        from leo_cli.overrides import parse_assignments

        if self.any_goal:
            check_any_goal(self.algorithm, "leave out --any-goal")
        environment = find_environment(self.env, parse_assignments(self.env_set, "--env-set"), any_goal=self.any_goal)
        if not self.any_goal and environment.is_goal_env and not environment.has_goal_set:
            check_any_goal(self.algorithm, f"wrap {environment.id} with MultiGoalWrapper and register that")
            return replace(environment, any_goal=True)
        if not self.any_goal:
            environment.check_goal_set()
        return environment

    def _resumed_run(self) -> "tuple[FilePath, RunConfig | None]":
        """Return the folder of the run to resume, without a configuration."""
        for option in fields(self):
            value = getattr(self, option.name)
            if option.name not in _WITH_RESUME and value != option.default:
                name = option.name if option.name in ("algorithm", "env") else f"--{option.name.replace('_', '-')}"
                raise ValueError(f"expected no {name} with --resume, got {value!r}; {self.resume} keeps its own settings")
        return FilePath(str(self.resume)), None


def _describe_goals(config: "RunConfig") -> str:
    evaluated, total = len(config.eval_goal_ids), len(config.goals)
    if config.points is not None:
        return f"any goal ({evaluated} random ones are evaluated)"
    note = f" ({total - evaluated} more cannot be reached from the initial states)" if evaluated < total else ""
    return f"{evaluated} goals{note}"


def check_device(device: str) -> None:
    """
    Check the name of a PyTorch device.

    :param device: the name, or ``"auto"``
    """
    import torch as th

    try:
        th.device("cpu" if device == "auto" else device)
    except RuntimeError as error:
        raise ValueError(f"expected cpu, cuda, cuda:1 or auto as --device, got {device!r}; change it") from error
