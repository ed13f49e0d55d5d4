"""``leo train``."""

from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Annotated

import tyro

from leo_cli.commands.options import Assignments, Count, Env, Path

if TYPE_CHECKING:
    from leo_cli.run_folder import RunFolder
    from leo_cli.run_snapshot import Notes

_STOPPING = "Stopping; a training under way leaves a checkpoint. Press Ctrl-C again to stop at once."


@dataclass(frozen=True)
class Train:
    """
    Train an agent to reach every goal of an environment.

    Settings come from the YAML file of the environment that ships with the package (or --config), and from the command line.
    Ctrl-C writes a checkpoint; `leo train --resume RUN` goes on from there, bit for bit.

    Examples: `leo train leodqn GridWorld`; `leo train dqn+her CraftaxClassic --seeds 4 --jobs 2 --set gamma=0.95`.
    """

    algorithm: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="ALGORITHM", help_behavior_hint="")] = ""
    """leodqn, leopqn, leotd3, leosac (every goal from every step); dualleopqn, dualleoppo (taught by such a one); dqn,
    dqn+her, dqn+all-goals, pqn, pqn+her, ppo, td3, td3+her, sac, sac+her, tqc, tqc+her (baselines)."""
    env: Env = ""
    """The environment: GridWorld, leo/CraftaxClassic-v0, my_package:MyEnv-v0, ... `leo goals` lists ours."""
    resume: Annotated[str | None, tyro.conf.arg(metavar="RUN", help_behavior_hint="")] = None
    """Go on with this run instead; --steps may be raised."""
    steps: Count = None
    """Environment steps."""
    seeds: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Train this many seeds."""
    jobs: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """So many of them at once, a process each, which share the processor cores."""
    first_seed: Annotated[int, tyro.conf.arg(metavar="SEED")] = 0
    """The first of them."""
    num_envs: Count = None
    """Environments at once."""
    evaluations: Count = None
    """How often every goal is tried during the training."""
    episodes: Count = None
    """Attempts at each goal in the last evaluation."""
    set: Assignments = ()
    """Hyperparameters, e.g. --set learning_rate=1e-3 policy_kwargs.net_arch=[64,64]."""
    env_set: Assignments = ()
    """Arguments of the environment, e.g. --env-set map=maze size=9."""
    config: Path = None
    """A YAML file instead of the one that ships with the package."""
    folder: Path = None
    """The run's folder; runs/ALGORITHM-ENV, with a number where that exists, by default."""
    device: str = "auto"
    """cpu, cuda or auto."""

    def run(self) -> int:
        """
        :return: the exit code
        """
        from rich.console import Console

        from leo_cli.interrupts import EXIT_INTERRUPTED, Stopped, StopRequest
        from leo_cli.progress import Board
        from leo_cli.training import is_trained, train_run

        if self.jobs < 1:
            raise ValueError(f"expected --jobs of at least 1, got {self.jobs}; 1 trains one seed after the other")
        _check_device(self.device)
        run, notes = self._new_run() if self.resume is None else self._old_run(self.resume)
        judged, goals = len(run.config.judged), len(run.config.goals)
        note = "" if judged == goals else f" ({goals - judged} cannot be reached from the start)"
        board = Board(Console(highlight=False, soft_wrap=True))
        with StopRequest(_STOPPING) as stop:
            try:
                board.say(f"{run.config.algorithm} on {run.config.environment}, {judged} goals{note}, in {run.path}/")
                train_run(run, stop, board, self.device, self.jobs)
            except Stopped:
                trained = all(is_trained(run, seed) for seed in run.seeds)
                done, remedy = ("after the training", "eval") if trained else ("with a checkpoint", "train --resume")
                board.say(f"Stopped {done}; go on with: leo {remedy} {run.path}")
                return EXIT_INTERRUPTED
            except Exception:
                notes.take_back()
                raise
            finally:
                board.close()
        board.say(f"Next: leo report {run.path}    leo play {run.path}    leo video {run.path} --goal NAME")
        return 0

    def _new_run(self) -> "tuple[RunFolder, Notes]":
        from leo_cli.algorithms import check_actions, find_algorithm
        from leo_cli.environments import find_environment
        from leo_cli.hyperparameters import load_settings
        from leo_cli.overrides import parse_assignments
        from leo_cli.run_folder import RunConfig, create_run, free_name
        from leo_cli.run_snapshot import Notes

        if not self.algorithm or not self.env:
            raise ValueError("expected an algorithm and an environment, got too few; try `leo train leodqn GridWorld`")
        if self.seeds < 1 or self.first_seed < 0:
            raise ValueError(
                f"expected --seeds of at least 1 and --first-seed of at least 0, got {self.seeds}, {self.first_seed}"
            )
        find_algorithm(self.algorithm)  # before anything slow
        environment = find_environment(self.env, parse_assignments(self.env_set, "--env-set"))
        name = self.algorithm.lower()
        check_actions(name, environment.action_space)
        config = None if self.config is None else FilePath(self.config)
        settings = load_settings(name, environment.id, config, self.set, steps=self.steps, num_envs=self.num_envs)
        counts = {"count": self.evaluations, "final_episodes": self.episodes}
        changes = {key: value for key, value in counts.items() if value is not None}
        settings = replace(settings, evaluation=replace(settings.evaluation, **changes))
        seeds = list(range(self.first_seed, self.first_seed + self.seeds))
        goals, judged = list(environment.goal_names), environment.goals_in_reach().tolist()
        run = RunConfig(name, environment.id, environment.kwargs, seeds, settings, goals, judged)
        short = environment.id.rpartition(":")[2].rpartition("/")[2]
        folder = free_name(FilePath("runs"), f"{name}-{short}") if self.folder is None else FilePath(self.folder)
        notes = Notes(folder)
        return create_run(folder, run), notes

    def _old_run(self, path: str) -> "tuple[RunFolder, Notes]":
        from leo_cli.run_folder import RunFolder, check_space
        from leo_cli.run_snapshot import Notes

        run = RunFolder(path)
        said: dict[str, object] = {"algorithm": self.algorithm, "env": self.env, "--set": self.set, "--env-set": self.env_set}
        said |= {"--num-envs": self.num_envs, "--config": self.config, "--folder": self.folder, "--episodes": self.episodes}
        said |= {"--evaluations": self.evaluations, "--first-seed": self.first_seed, "--seeds": self.seeds - 1 and self.seeds}
        for name, value in said.items():
            if value:
                raise ValueError(f"expected no {name} beside --resume, got {value!r}; {run.path} remembers its own")
        settings = run.config.settings
        if self.steps is not None and self.steps < settings.steps:
            raise ValueError(f"expected --steps of at least the run's {settings.steps}, got {self.steps}; raise it")
        check_space(run.path, 0)
        notes = Notes(run.path)
        run.note_command()
        if self.steps is not None and self.steps > settings.steps:
            run.write_config(replace(run.config, settings=replace(settings, steps=self.steps)))
        return run, notes


def _check_device(device: str) -> None:
    import torch as th

    try:
        th.device("cpu" if device == "auto" else device)
    except RuntimeError as error:
        raise ValueError(f"expected cpu, cuda, cuda:1 or auto as --device, got {device!r}; change it") from error
