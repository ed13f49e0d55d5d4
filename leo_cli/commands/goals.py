"""``leo goals``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from leo_cli.commands.options import Assignments, Env, Name, Path

if TYPE_CHECKING:
    from leo_cli.environments import Environment

_SHOWN = 10


@dataclass(frozen=True)
class Goals:
    """
    List the goals of an environment, by family and with their descriptors; without ENV, list the environments.

    Examples: `leo goals CraftaxClassic`; `leo goals GridWorld --search 0,`; `leo goals BitFlip --csv goals.csv`.
    """

    env: Env = ""
    """The environment: GridWorld, leo/CraftaxClassic-v0, my_package:MyEnv-v0, ..."""
    family: Name = None
    """Only the goals of this family."""
    search: Name = None
    """Only goals with this text in their names."""
    all: bool = False
    """Show every goal, not only the first of each family."""
    csv: Path = None
    """Write all of it to this file instead."""
    env_set: Assignments = ()
    """Arguments of the environment, e.g. --env-set map=maze size=9."""

    def run(self) -> int:
        """
        :return: the exit code
        """
        from rich.console import Console

        from leo_cli.environments import find_environment
        from leo_cli.overrides import parse_assignments

        console = Console(highlight=False)
        if not self.env:
            _list_environments(console)
            return 0
        environment = find_environment(self.env, parse_assignments(self.env_set, "--env-set"))
        chosen = self._chosen(environment.goal_names)
        descriptors = _descriptors(environment)
        if self.csv is not None:
            _write(self.csv, environment.goal_names, chosen, descriptors)
            console.print(f"Wrote {len(chosen)} goals to {self.csv}")
            return 0
        self._show(console, environment, chosen, descriptors)
        return 0

    def _chosen(self, names: Sequence[str]) -> list[int]:
        from leo_cli.suggestions import nearest, unknown
        from leo_wrappers import goal_families

        families = goal_families(names)
        if self.family is not None and self.family not in families:
            raise unknown("a family of goals", self.family, families)
        ids = list(range(len(names))) if self.family is None else families[self.family].tolist()
        found = [goal for goal in ids if (self.search or "").lower() in names[goal].lower()]
        if not found:
            near = ", ".join(nearest(str(self.search), [names[goal] for goal in ids])) or names[ids[0]]
            raise ValueError(f"expected --search to find a goal, got {self.search!r}; nearest: {near}")
        return found

    def _show(self, console: Any, environment: "Environment", chosen: list[int], descriptors: Any) -> None:
        from rich.table import Table

        from leo_wrappers import goal_families

        names = environment.goal_names
        families = goal_families([names[goal] for goal in chosen])
        console.print(f"[bold]{environment.id}[/bold]: {len(names)} goals, actions {environment.action_space}")
        reach = set(environment.goals_in_reach().tolist())
        if len(reach) < len(names):
            console.print(f"{len(names) - len(reach)} of them cannot be reached from the start")
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title, side in (("id", "right"), ("goal", "left"), ("family", "left"), ("descriptor", "left")):
            table.add_column(title, justify=side)  # type: ignore[arg-type]
        for family, places in families.items():
            ids = [chosen[place] for place in places.tolist()]
            shown = ids if self.all or self.search or self.family else ids[:_SHOWN]
            for goal in shown:
                table.add_row(str(goal), names[goal], family, _numbers(descriptors, goal))
            if len(shown) < len(ids):
                table.add_row("", f"... {len(ids) - len(shown)} more: --all, or --family {family}", family, "", style="dim")
        console.print(table)


def _list_environments(console: Any) -> None:
    from leo_cli.environments import our_environments

    console.print("[bold]Environments[/bold]: leo goals ENV tells the goals of one")
    for name in our_environments():
        console.print(f"  {name}")


def _descriptors(environment: "Environment") -> Any:
    """A vector for each goal, where the environment has them and they say more than the goal's number."""
    import numpy as np

    env = environment.make()
    if not env.has_wrapper_attr("goal_set"):
        return None
    table = np.asarray(env.get_wrapper_attr("goal_set").descriptors)
    return None if table.shape[0] == table.shape[1] and np.array_equal(table, np.eye(len(table))) else table


def _numbers(descriptors: Any, goal: int) -> str:
    if descriptors is None:
        return "one-hot"
    row = descriptors[goal].tolist()
    filled = [f"{place}:{value:g}" for place, value in enumerate(row) if value]
    # Long vectors are mostly zeros.
    return " ".join(f"{value:.3g}" for value in row) if len(row) <= 6 else "{" + " ".join(filled[:8]) + "}"


def _write(path: str, names: Sequence[str], chosen: list[int], descriptors: Any) -> None:
    import csv
    from pathlib import Path as FilePath

    from leo_cli.outputs import check_output

    width = 0 if descriptors is None else descriptors.shape[1]
    with open(check_output(FilePath(path)), "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["goal_id", "goal", "family", *(f"descriptor_{number}" for number in range(width))])
        for goal in chosen:
            row = [] if descriptors is None else [f"{value:.6g}" for value in descriptors[goal]]
            table.writerow([goal, names[goal], names[goal].split("/", 1)[0], *row])
