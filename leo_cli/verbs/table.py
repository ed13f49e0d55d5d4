"""The verbs by name."""

from typing import Any

from leo_cli.verbs.bench import Bench
from leo_cli.verbs.check import Check
from leo_cli.verbs.eval import Eval
from leo_cli.verbs.goals import Goals
from leo_cli.verbs.train import Train

VERBS: dict[str, Any] = {
    "goals": Goals,
    "check": Check,
    "train": Train,
    "eval": Eval,
    "bench": Bench,
}
