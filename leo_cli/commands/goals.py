"""``leo goals``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from leo_cli.commands.options import Assignments, Env, Name, Path

if TYPE_CHECKING:
    from leo_cli.environments import Environment

_PER_FAMILY = 10


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
    """Only goals whose names contain this text."""
    all: bool = False
    """Show all goals of each family instead of the first few."""
    csv: Path = None
    """Write the goals and full descriptors to this file instead."""
    env_set: Assignments = ()
    """Arguments of the environment, e.g. --env-set map=maze size=9."""

    def run(self) -> int:
        """List goals or environments; return the exit code."""
        from rich.console import Console

        from leo_cli.environments import find_environment
        from leo_cli.overrides import parse_assignments

        # Names of goals and environments are printed as they are, even if they look like rich's markup.
        console = Console(highlight=False, markup=False, emoji=False)
        if not self.env:
            _list_environments(console)
            return 0
        environment = find_environment(self.env, parse_assignments(self.env_set, "--env-set"))
        goal_ids = self._select(environment.goal_names)
        descriptors = _descriptors(environment)
        if self.csv is not None:
            _write_csv(self.csv, environment.goal_names, goal_ids, descriptors)
            console.print(f"Wrote {len(goal_ids)} goals to {self.csv}")
            return 0
        self._print(console, environment, goal_ids, descriptors)
        return 0

    def _select(self, names: Sequence[str]) -> list[int]:
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

    def _print(self, console: Any, environment: "Environment", goal_ids: list[int], descriptors: Any) -> None:
        from rich.table import Table
        from rich.text import Text

        from leo_wrappers import goal_families

        names = environment.goal_names
        families = goal_families([names[goal] for goal in goal_ids])
        counts = f": {len(names)} goals, actions {environment.action_space}"
        console.print(Text.assemble((environment.id, "bold"), counts))
        unreachable = len(names) - len(environment.reachable_goals())
        if unreachable:
            console.print(f"{unreachable} of them cannot be reached from the initial states")
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("id", justify="right")
        for title in ("goal", "family", "descriptor"):
            table.add_column(title)
        for family, indices in families.items():
            ids = [goal_ids[index] for index in indices.tolist()]
            listed = ids if self.all or self.search or self.family else ids[:_PER_FAMILY]
            for goal in listed:
                table.add_row(str(goal), names[goal], family, _format_descriptor(descriptors, goal))
            if len(listed) < len(ids):
                table.add_row("", f"... {len(ids) - len(listed)} more: --all, or --family {family}", family, "", style="dim")
        console.print(table)


def _list_environments(console: Any) -> None:
    from rich.text import Text

    from leo_cli.environments import builtin_environments, builtin_extra

    console.print(Text.assemble(("Environments", "bold"), ": list the goals of one with leo goals ENV"))
    by_extra: dict[str, list[str]] = {}
    for name in builtin_environments():
        by_extra.setdefault(builtin_extra(name), []).append(name)
    for extra, names in sorted(by_extra.items()):
        console.print(f'With pip install "leo-rl[{extra}]":' if extra else "Without an extra:")
        for name in names:
            console.print(f"  {name}")


def _descriptors(environment: "Environment") -> Any:
    """Return the descriptors, one row per goal; None if there are none or they are one-hot."""
    import numpy as np

    env = environment.make()
    if not env.has_wrapper_attr("goal_set"):
        return None
    table = np.asarray(env.get_wrapper_attr("goal_set").descriptors)
    return None if table.shape[0] == table.shape[1] and np.array_equal(table, np.eye(len(table))) else table


def _format_descriptor(descriptors: Any, goal: int) -> str:
    if descriptors is None:
        return "one-hot"
    row = descriptors[goal].tolist()
    nonzero = [f"{index}:{value:g}" for index, value in enumerate(row) if value]
    # Long vectors are mostly zeros.
    return " ".join(f"{value:.3g}" for value in row) if len(row) <= 6 else "{" + " ".join(nonzero[:8]) + "}"


def _write_csv(path: str, names: Sequence[str], goal_ids: list[int], descriptors: Any) -> None:
    import csv
    from pathlib import Path as FilePath

    from leo_agents.evaluation.csv_text import quote_text
    from leo_cli.outputs import check_output

    width = 0 if descriptors is None else descriptors.shape[1]
    with open(check_output(FilePath(path)), "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["goal_id", "goal", "family", *(f"descriptor_{index}" for index in range(width))])
        for goal in goal_ids:
            row = [] if descriptors is None else [f"{value:.6g}" for value in descriptors[goal]]
            table.writerow([goal, quote_text(names[goal]), quote_text(names[goal].split("/", 1)[0]), *row])
