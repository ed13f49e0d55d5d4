"""Kinds of options that several verbs have."""

from typing import Annotated

import tyro

_FROM_SETTINGS = "(default: as the environment's settings say)"

Count = Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint=_FROM_SETTINGS)]
"""A number that the settings know when nothing is said."""

Path = Annotated[str | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")]
"""A file or folder that need not be said."""

Assignments = Annotated[tuple[str, ...], tyro.conf.arg(metavar="KEY=VALUE", help_behavior_hint="")]
"""Values by key."""

Name = Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="")]
"""A name that need not be said."""

Names = Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME", help_behavior_hint="")]
"""Any number of names."""

Env = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="ENV", help_behavior_hint="")]
Run = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN", help_behavior_hint="")]
Runs = Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="RUN", help_behavior_hint="")]
