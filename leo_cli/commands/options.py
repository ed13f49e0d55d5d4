"""Types of options that several commands share."""

from typing import Annotated

import tyro

_FROM_SETTINGS = "(default: from the environment's settings)"

Count = Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint=_FROM_SETTINGS)]
"""Optional number whose default is in the settings."""

Path = Annotated[str | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")]
"""Optional file or folder."""

Assignments = Annotated[tuple[str, ...], tyro.conf.arg(metavar="KEY=VALUE", help_behavior_hint="")]
"""Any number of ``key=value`` arguments."""

Name = Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="")]
"""Optional name."""

Names = Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME", help_behavior_hint="")]
"""Any number of names."""

RepeatedNames = Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="NAME", help_behavior_hint="")]
"""Names, each after an option of its own."""

Programs = Annotated[
    tyro.conf.UseAppendAction[tuple[str, ...]],
    tyro.conf.arg(
        metavar="PROGRAM",
        help_behavior_hint="",
        help='Program of goals such as "a then b or c avoiding d"; repeat it for several, each in an episode of its own.',
    ),
]
"""Programs, each after an option of its own."""

Seed = Annotated[int | None, tyro.conf.arg(metavar="SEED", help_behavior_hint="(default: the first)")]
"""Optional seed of a run."""

Trust = Annotated[bool, tyro.conf.arg(help="Run code that came with the run (pickles, the module of its environment).")]
"""Whether runs of other users or machines may run code; without it they stop where they would have to."""

Env = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="ENV", help_behavior_hint="")]
Run = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN", help_behavior_hint="")]
Runs = Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="RUN", help_behavior_hint="")]
