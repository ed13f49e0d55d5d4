"""All subcommands by name."""

from typing import Any

from leo_cli.commands.bench import Bench
from leo_cli.commands.check import Check
from leo_cli.commands.collect import Collect
from leo_cli.commands.distill import Distill
from leo_cli.commands.eval import Eval
from leo_cli.commands.export import Export
from leo_cli.commands.goals import Goals
from leo_cli.commands.play import Play
from leo_cli.commands.plot import Plot
from leo_cli.commands.report import Report
from leo_cli.commands.serve import Serve
from leo_cli.commands.sweep import Sweep
from leo_cli.commands.train import Train
from leo_cli.commands.tune import Tune
from leo_cli.commands.video import Video
from leo_cli.commands.work import Work

COMMANDS: dict[str, Any] = {
    "goals": Goals,
    "check": Check,
    "collect": Collect,
    "train": Train,
    "eval": Eval,
    "distill": Distill,
    "play": Play,
    "serve": Serve,
    "video": Video,
    "plot": Plot,
    "report": Report,
    "export": Export,
    "sweep": Sweep,
    "work": Work,
    "tune": Tune,
    "bench": Bench,
}
