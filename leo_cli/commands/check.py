"""``leo check``."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from leo_cli.commands.options import Assignments, Env


@dataclass(frozen=True)
class Check:
    """
    Check that an environment keeps the multi-goal contract: every promise, with errors that say which goal and which step.

    Examples: `leo check GridWorld`; `leo check my_package:MyEnv-v0 --steps 1000`.
    """

    env: Env
    """The environment: GridWorld, my_package:MyEnv-v0, ..."""
    steps: Annotated[int, tyro.conf.arg(metavar="N")] = 200
    """How many random steps to play."""
    seed: int = 0
    """Seeds the environment and the actions."""
    partially_observed: bool = False
    """The goals are about something that the observation does not show: let one observation come with different masks."""
    env_set: Assignments = ()
    """Arguments of the environment."""

    def run(self) -> int:
        """
        :return: the exit code: 1 where a promise is broken
        """
        from leo_cli.environments import find_environment
        from leo_cli.overrides import parse_assignments
        from leo_wrappers.checks import ContractError, check_multigoal_env, check_multigoal_vec_env

        environment = find_environment(self.env, parse_assignments(self.env_set, "--env-set"))
        options: dict[str, Any] = {"seed": self.seed, "observation_determines_mask": not self.partially_observed}
        checks: dict[str, Callable[[], None]] = {
            "one environment": lambda: check_multigoal_env(
                environment.make(), steps=self.steps, env_fn=environment.make, **options
            )
        }
        if environment.is_native:
            checks["many at once"] = lambda: check_multigoal_vec_env(environment.make_many(3), steps=self.steps, **options)
        for name, check in checks.items():
            try:
                check()
            except ContractError as error:
                print(f"{environment.id}, {name}: broken\n\n{error}")
                return 1
            print(f"{environment.id}, {name}: keeps the contract ({self.steps} random steps)")
        return 0
