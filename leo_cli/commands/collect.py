"""``leo collect``."""

from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from leo_cli.commands.options import Assignments, Env, Name, Path, Trust


@dataclass(frozen=True)
class Collect:
    """
    Collect a dataset of transitions, by random actions or by a trained agent: `leo train ... --dataset FOLDER` learns from it.

    Examples: `leo collect GridWorld`; `leo collect GridWorld --agent runs/leodqn-GridWorld-v0 --epsilon 0.3 --out data/mixed`.
    """

    env: Env
    """The environment: GridWorld, leo/CraftaxClassic-v0, my_package:MyEnv-v0, ..."""
    steps: Annotated[int, tyro.conf.arg(metavar="N")] = 50_000
    """Number of environment steps."""
    agent: Annotated[str | None, tyro.conf.arg(metavar="RUN", help_behavior_hint="")] = None
    """Act by the first agent of this run, with goals drawn uniformly; random actions by default."""
    epsilon: float = 0.1
    """Probability of a random action of the agent."""
    seed: int = 0
    """Seed of environments, goals and random actions."""
    num_envs: Annotated[int, tyro.conf.arg(metavar="N")] = 8
    """Number of parallel environments."""
    env_set: Assignments = ()
    """Arguments of the environment."""
    out: Path = None
    """The new folder; datasets/ENV by default, with a number appended if that exists."""
    minari: Name = None
    """Also write a local Minari dataset with this id, such as gridworld/random-v0."""
    trust: Trust = False

    def run(self) -> int:
        """Collect and write the dataset; return the exit code."""
        import os
        import shlex
        from pathlib import Path as FilePath

        from leo_agents import collect_dataset, to_minari
        from leo_agents.replay.minari_datasets import import_minari
        from leo_cli.environments import find_environment
        from leo_cli.outputs import make_output_folder
        from leo_cli.overrides import parse_assignments
        from leo_cli.run_folder import free_name

        for name, value in (("--steps", self.steps), ("--num-envs", self.num_envs)):
            if value < 1:
                raise ValueError(f"expected {name} of at least 1, got {value}; change it")
        environment = find_environment(self.env, parse_assignments(self.env_set, "--env-set"))
        if not environment.is_goal_env:
            environment.check_goal_set()
        short_name = environment.id.rpartition(":")[2].rpartition("/")[2]
        folder = free_name(FilePath("datasets"), short_name) if self.out is None else FilePath(self.out)
        if folder.exists():
            raise ValueError(f"expected a new folder as --out, got {folder}, which exists; choose another one")
        # Before the steps, which would be lost.
        parent = next(parent for parent in folder.absolute().parents if parent.exists())
        if not (parent.is_dir() and os.access(parent, os.W_OK)):
            raise ValueError(f"expected a folder that can be created as --out, got {folder} in {parent}; choose another one")
        if self.minari is not None:
            import_minari()
        agent = None if self.agent is None else self._load_agent()
        envs = environment.make_vec(self.num_envs)
        dataset = collect_dataset(envs, self.steps, agent, epsilon=self.epsilon, seed=self.seed)
        envs.close()
        make_output_folder(folder.parent)
        dataset.save(folder)
        print(f"{dataset}, written to {folder}/")
        if self.minari is not None:
            to_minari(dataset, self.minari, environment.make())
            print(f"Written to the Minari dataset {self.minari}")
        missing = dataset.never_achieved()
        if missing:
            print(f"Never achieved: {len(missing)} goals ({', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''})")
        arguments = ["--env-set", *self.env_set] if self.env_set else []
        print("Next: leo train ALGORITHM", shlex.join([self.env, "--dataset", str(folder), *arguments]))
        return 0

    def _load_agent(self) -> Any:
        from leo_cli.models import load_agent
        from leo_cli.run_folder import RunFolder

        run = RunFolder(str(self.agent), self.trust)
        return load_agent(run, run.started_seeds[0])
