"""
Property tests of multi-goal environments with Hypothesis; install with ``pip install "leo-rl[testing]"``.

In a test module::

    from leo_wrappers.testing import multigoal_env_tests

    TestMyEnv = multigoal_env_tests("my_package:MyEnv-v0")

or, without a test module, ``pytest --leo-env my_package:MyEnv-v0``.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leo_wrappers.testing.env_tests import multigoal_env_tests as multigoal_env_tests
    from leo_wrappers.testing.state_machine import multigoal_state_machine as multigoal_state_machine
    from leo_wrappers.testing.state_machine import run_state_machine as run_state_machine
    from leo_wrappers.testing.strategies import action_sequences as action_sequences
    from leo_wrappers.testing.strategies import from_space as from_space
    from leo_wrappers.testing.strategies import goal_names as goal_names
    from leo_wrappers.testing.strategies import goal_sets as goal_sets
    from leo_wrappers.testing.strategies import masks as masks
    from leo_wrappers.testing.task_strategies import task_sets as task_sets
    from leo_wrappers.testing.task_strategies import transitions as transitions

# Imported lazily: pytest imports this package at every start, for the plugin, and should not wait for Hypothesis.
_EXPORTS = {
    "env_tests": ("multigoal_env_tests",),
    "state_machine": ("multigoal_state_machine", "run_state_machine"),
    "strategies": ("action_sequences", "from_space", "goal_names", "goal_sets", "masks"),
    "task_strategies": ("task_sets", "transitions"),
}
_MODULE_OF = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
