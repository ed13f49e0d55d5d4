"""pytest plugin that puts our algorithms in the place of Stable-Baselines3's, and reports what holds."""

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
import stable_baselines3

from sb3_suite.not_applicable import NOT_APPLICABLE
from sb3_suite.substitutes import ALGORITHMS, command_first_goal, substitute

used: list[str] = []
results: dict[str, list[str]] = defaultdict(list)


def pytest_configure() -> None:
    """Replace the algorithms before the tests import them."""
    for name in ALGORITHMS:
        setattr(stable_baselines3, name, substitute(name, used))
    command_first_goal()


def pytest_runtest_setup() -> None:
    """Forget the algorithms of the previous test."""
    used.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Sort a result by what it is about, and skip failures that are known not to apply."""
    report: Any = yield
    name = f"{item.path.name}::{item.name}"
    if call.when != "call" and report.passed:
        return report
    error = "" if call.excinfo is None else str(call.excinfo.value)
    reasons = (kind.reason for kind in NOT_APPLICABLE if re.match(kind.test, name) and re.search(kind.error, error))
    reason = next(reasons, None)
    if report.skipped:
        results["skipped by the test itself"].append(name)
    elif call.when == "call" and not used:
        results["about no algorithm" if report.passed else "about no algorithm, fails here"].append(name)
    elif report.passed:
        results["holds"].append(name)
    elif reason is not None:
        report.outcome, report.wasxfail = "skipped", reason
        results[f"does not apply: {reason}"].append(name)
    else:
        results["fails"].append(name)
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the number of tests per result, and the tests that fail."""
    terminalreporter.section("Stable-Baselines3's tests with our algorithms")
    for result, names in sorted(results.items()):
        terminalreporter.write_line(f"{len(names):4d} {result}")
    for name in results["fails"]:
        terminalreporter.write_line(f"fails: {name}")
