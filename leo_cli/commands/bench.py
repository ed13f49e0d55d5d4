"""``leo bench``."""

import ast
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

FOLDER = Path(__file__).parents[2] / "benchmarks"


@dataclass(frozen=True)
class Bench:
    """
    Run a benchmark of the repository with the arguments that follow its name; without a name, list all benchmarks.

    Examples: `leo bench`; `leo bench gridworld_learning --steps 20000 --seeds 1`; `leo bench heads_speed --help`.
    """

    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NAME", help_behavior_hint="")] = ""
    """Name of the benchmark, or the beginning of only one name."""

    def run(self, arguments: list[str] | None = None) -> int:
        """
        Run the benchmark, or list all.

        :param arguments: arguments of the benchmark
        :return: the exit code
        """
        from leo_cli.suggestions import unknown

        scripts = find_benchmarks(FOLDER)
        if not scripts:
            raise FileNotFoundError(
                f"expected benchmarks in {FOLDER}, got none: the installed package does not include them; clone the "
                "repository and run `leo bench` there"
            )
        if not self.name:
            width = max(map(len, scripts))
            for name, path in scripts.items():
                print(f"{name:{width}}  {_summary(path)}")
            return 0
        matching = [self.name] if self.name in scripts else [name for name in scripts if name.startswith(self.name)]
        if len(matching) != 1:
            raise unknown("a benchmark", self.name, scripts)
        return subprocess.run([sys.executable, str(scripts[matching[0]]), *(arguments or [])]).returncode


def find_benchmarks(folder: Path) -> dict[str, Path]:
    """
    Find the scripts in a folder.

    :param folder: the folder
    :return: modules with a ``__main__`` block, by name
    """
    scripts = sorted(folder.glob("*.py"))
    return {path.stem: path for path in scripts if '__name__ == "__main__"' in path.read_text(encoding="utf-8")}


def _summary(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(docstring.partition("\n\n")[0].split())
