"""``leo check``."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from leo_cli.commands.options import Assignments, Env
from leo_cli.errors import EXIT_FAILED


@dataclass(frozen=True)
class Check:
    """
    Check that an environment follows the multi-goal contract. Errors name the goal and the step.

    Examples: `leo check GridWorld`; `leo check my_package:MyEnv-v0 --steps 1000`.
    """

    env: Env
    """The environment: GridWorld, my_package:MyEnv-v0, ..."""
    steps: Annotated[int, tyro.conf.arg(metavar="N")] = 200
    """Number of random steps."""
    seed: int = 0
    """Seed of the environment and the actions."""
    partially_observed: bool = False
    """The observation does not determine which goals are achieved: skip the check that it does."""
    env_set: Assignments = ()
    """Arguments of the environment."""

    def run(self) -> int:
        """Run the checks; return the exit code, 1 if a check fails."""
        from leo_cli.environments import find_environment
        from leo_cli.overrides import parse_assignments
        from leo_wrappers.checks import ContractError, check_multigoal_env, check_multigoal_vec_env

        environment = find_environment(self.env, parse_assignments(self.env_set, "--env-set"))
        options: dict[str, Any] = {
            "steps": self.steps,
            "seed": self.seed,
            "observation_determines_mask": not self.partially_observed,
        }
        checks: dict[str, Callable[[], None]] = {
            "single environment": lambda: check_multigoal_env(environment.make(), env_fn=environment.make, **options)
        }
        if environment.is_vectorized:
            checks["vectorized"] = lambda: check_multigoal_vec_env(environment.make_vec(3), **options)
        for name, check in checks.items():
            try:
                check()
            except ContractError as error:
                print(f"{environment.id}, {name}: failed\n\n{error}")
                return EXIT_FAILED
            print(f"{environment.id}, {name}: passed ({self.steps} random steps)")
        return 0
