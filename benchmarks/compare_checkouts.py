"""
Compare two checkouts by the same benchmark: every number of their result files, as a ratio.

Run ``python benchmarks/compare_checkouts.py OLD NEW SCRIPT [ARGUMENTS ...]`` with the folders of two checkouts, such as git
worktrees (the script overwrites its result file there), and the name of a script in ``benchmarks/``. The script runs in both
in turn, ``--repeats`` times, with the same arguments and Python environment. The medians and their ratio, new divided by old,
are added to ``results/compare_checkouts.json``.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from machine import describe

RESULTS = Path(__file__).parent / "results" / "compare_checkouts.json"


def run(checkout: Path, script: str, arguments: list[str]) -> dict[str, float]:
    """
    Run a benchmark in a checkout.

    :param checkout: folder of the checkout
    :param script: name of the script in ``benchmarks/``, without ``.py``
    :param arguments: of the script
    :return: the numbers of its result file by path
    """
    command = [sys.executable, "-W", "ignore", f"benchmarks/{script}.py", *arguments]
    path = os.pathsep.join([str(checkout), str(checkout / "wrappers")])
    subprocess.run(command, cwd=checkout, env={**os.environ, "PYTHONPATH": path}, check=True, stdout=subprocess.DEVNULL)
    return dict(numbers(json.loads((checkout / "benchmarks" / "results" / f"{script}.json").read_text())))


def commit_of(checkout: Path) -> str:
    """
    Return the commit that is checked out.

    :param checkout: folder of the checkout
    :return: its hash
    """
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def numbers(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """
    Iterate over the numbers of a JSON document, without those about the machine.

    :param value: the document
    :param path: of the value in it
    :return: paths and numbers
    """
    if isinstance(value, bool) or path == "machine":
        return
    if isinstance(value, int | float):
        yield path, float(value)
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from numbers(part, f"{path}/{key}".lstrip("/"))
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from numbers(part, f"{path}/{number}")


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("script")
    parser.add_argument("--repeats", type=int, default=2)
    options, arguments = parser.parse_known_args()
    checkouts = {"old": options.old.resolve(), "new": options.new.resolve()}
    measured: dict[str, list[dict[str, float]]] = {"old": [], "new": []}
    for _ in range(options.repeats):
        for name, checkout in checkouts.items():
            measured[name].append(run(checkout, options.script, arguments))
    rows = {}
    for path in sorted(measured["old"][0].keys() & measured["new"][0].keys()):
        old, new = (statistics.median(result[path] for result in measured[name]) for name in checkouts)
        rows[path] = {"old": old, "new": new, "ratio": round(new / old, 3) if old else None}
        print(f"{path:70s} {old:12.4g} {new:12.4g}  {rows[path]['ratio']}")
    result = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"what": (__doc__ or "").strip()}
    command = " ".join([options.script, *arguments])
    commits = {name: commit_of(checkout) for name, checkout in checkouts.items()}
    machine = describe("numpy", "stable-baselines3", "torch")
    result[command] = {"machine": machine, "commits": commits, "repeats": options.repeats, "numbers": rows}
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
