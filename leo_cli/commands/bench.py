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
    Run one of the benchmarks of the repository; without a name, list them. What follows the name goes to the benchmark.

    Examples: `leo bench`; `leo bench gridworld_learning --steps 20000 --seeds 1`; `leo bench heads_speed --help`.
    """

    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NAME", help_behavior_hint="")] = ""
    """The benchmark."""

    def run(self, arguments: list[str] | None = None) -> int:
        """
        :param arguments: for the benchmark
        :return: the exit code
        """
        from leo_cli.suggestions import unknown

        scripts = benchmark_scripts(FOLDER)
        if not scripts:
            raise FileNotFoundError(
                f"expected benchmarks in {FOLDER}, got none: they come with the repository, not with the installed package; "
                "clone it and run `leo bench` there"
            )
        if not self.name:
            width = max(map(len, scripts))
            for name, path in scripts.items():
                print(f"{name:{width}}  {_first_line(path)}")
            return 0
        if self.name not in scripts:
            raise unknown("a benchmark", self.name, scripts)
        return subprocess.run([sys.executable, str(scripts[self.name]), *(arguments or [])]).returncode


def benchmark_scripts(folder: Path) -> dict[str, Path]:
    """
    :param folder: where they lie
    :return: the scripts that can be run, by name
    """
    scripts = sorted(folder.glob("*.py"))
    return {path.stem: path for path in scripts if '__name__ == "__main__"' in path.read_text(encoding="utf-8")}


def _first_line(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(docstring.partition("\n\n")[0].split())
