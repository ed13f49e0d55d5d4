"""The verbs by name."""

from typing import Any

from leo_cli.verbs.bench import Bench
from leo_cli.verbs.check import Check
from leo_cli.verbs.eval import Eval
from leo_cli.verbs.goals import Goals
from leo_cli.verbs.play import Play
from leo_cli.verbs.plot import Plot
from leo_cli.verbs.report import Report
from leo_cli.verbs.train import Train
from leo_cli.verbs.video import Video

VERBS: dict[str, Any] = {
    "goals": Goals,
    "check": Check,
    "train": Train,
    "eval": Eval,
    "play": Play,
    "video": Video,
    "plot": Plot,
    "report": Report,
    "bench": Bench,
}
