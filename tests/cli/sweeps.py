"""Sweeps of short jobs, for several test files."""

from pathlib import Path

import yaml

from leo_cli.sweeps.folder import SweepFolder
from leo_cli.sweeps.worker import Worker

MAZE = {"env": "GridWorld", "env_set": {"map": "maze", "size": 5, "time_limit": 30}}
SMALL = {"learning_starts": 50, "batch_size": 32, "policy_kwargs": {"net_arch": [16]}, "train_freq": 1}
SETTINGS = {"steps": 400, "num_envs": 4, "evaluation": {"count": 5}, **SMALL}
SPEC = {"algorithms": ["leodqn", "dqn+her"], "environments": [MAZE], "seeds": 2, "settings": SETTINGS}


def write(path: Path, **changes: object) -> Path:
    path.write_text(yaml.safe_dump({**SPEC, **changes}))
    return path


class Display:
    """Collects the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def update(self, status) -> None:
        self.status = status

    def finish(self, title: str) -> None:
        pass

    def print(self, line: str) -> None:
        self.lines.append(line)


class Stop:
    requested = False


def work(sweep: SweepFolder, **options: object) -> tuple[Display, dict[str, int]]:
    display = Display()
    return display, Worker(sweep, display, Stop(), **options).run()


def fail_with_full_disk(_: int) -> None:
    raise OSError(28, "No space left on device")
