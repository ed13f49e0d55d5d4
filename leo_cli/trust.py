"""Ask before running code that came with a run: pickles, and modules of environments."""

from pathlib import Path
from typing import Any

from leo_agents.learning.checkpoint_files import is_own_checkpoint

HOW = "if you trust whoever wrote it, repeat the command with --trust (in Python: RunFolder(path, trust=True))"


def check_pickles_trusted(run: Any, checkpoint: Path, reason: str) -> None:
    """
    Raise a ``ValueError`` unless the user trusts a run or wrote the checkpoint on this machine.

    :param run: the run
    :param checkpoint: the checkpoint whose pickles are to be loaded
    :param reason: why they are to be loaded
    """
    if not run.trust and not is_own_checkpoint(checkpoint):
        raise ValueError(
            f"expected a checkpoint that you wrote on this machine, got {checkpoint}, which was written by another user or "
            f"machine, or changed since. Loading it would run the code in its pickles: {reason}; {HOW}"
        )
