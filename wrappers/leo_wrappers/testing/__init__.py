"""
Property tests of multi-goal environments with Hypothesis: ``pip install "leo-rl[testing]"``.

One line in a test module tests an environment::

    from leo_wrappers.testing import multigoal_env_tests

    TestMyEnv = multigoal_env_tests("my_package:MyEnv-v0")

and so does ``pytest --leo-env my_package:MyEnv-v0``, without a test module.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leo_wrappers.testing.env_tests import multigoal_env_tests
    from leo_wrappers.testing.machine import multigoal_state_machine, run_state_machine
    from leo_wrappers.testing.strategies import action_sequences, from_space, goal_names, goal_sets, masks

# Imported when asked for: pytest imports this package at every start, for the plugin, and must not wait for Hypothesis.
_HOMES = {
    "action_sequences": "strategies",
    "from_space": "strategies",
    "goal_names": "strategies",
    "goal_sets": "strategies",
    "masks": "strategies",
    "multigoal_env_tests": "env_tests",
    "multigoal_state_machine": "machine",
    "run_state_machine": "machine",
}

__all__ = [
    "action_sequences",
    "from_space",
    "goal_names",
    "goal_sets",
    "masks",
    "multigoal_env_tests",
    "multigoal_state_machine",
    "run_state_machine",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
