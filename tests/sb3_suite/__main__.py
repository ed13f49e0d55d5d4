"""
Run Stable-Baselines3's own tests with our algorithms in the place of its algorithms.

    python -m tests.sb3_suite FOLDER [pytest arguments]

FOLDER contains the tests of a copy of Stable-Baselines3, at best of the installed version.
"""

import os
import pathlib
import re
import subprocess
import sys

ALGORITHM_IMPORT = re.compile(r"^from stable_baselines3 import .*\b(A2C|DDPG|DQN|PPO|SAC|TD3)\b", re.MULTILINE)


def main() -> int:
    """
    Run the test files that import an algorithm.

    :return: exit code of pytest, 2 without a folder
    """
    if len(sys.argv) < 2 or not pathlib.Path(sys.argv[1]).is_dir():
        print(__doc__, file=sys.stderr)
        return 2
    folder = pathlib.Path(sys.argv[1]).resolve()
    files = [path for path in sorted(folder.glob("test_*.py")) if ALGORITHM_IMPORT.search(path.read_text())]
    # In a process of its own: the folder may be a package "tests" like the one of this script.
    root = pathlib.Path(__file__).parents[2]
    paths = [str(root / "tests"), str(root), str(root / "wrappers"), *filter(None, [os.environ.get("PYTHONPATH")])]
    options = ["-p", "sb3_suite.plugin", "-p", "no:cacheprovider", "-m", "not expensive", "-q", "--rootdir", str(folder)]
    options.append("--continue-on-collection-errors")
    selected = [] if any(argument.endswith(".py") or "::" in argument for argument in sys.argv[2:]) else map(str, files)
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *sys.argv[2:], *selected],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        cwd=folder.parent,
        check=False,
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
