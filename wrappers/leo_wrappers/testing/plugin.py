"""
Pytest plugin: ``pytest --leo-env my_package:MyEnv-v0`` tests an environment without a test module.

The option may be repeated. To test environments in every run of the whole test suite, list them in the configuration::

    [tool.pytest.ini_options]
    leo_envs = ["my_package:MyEnv-v0"]

If goals depend on parts of the state that are not in the observation, add ``--leo-partially-observed``.

Pytest imports this module at every start, in every project, so it imports other packages only when there is an environment to
test.
"""

from collections.abc import Iterable
from typing import Any

import pytest

TESTS = ("test_contract", "test_gymnasium_vector_env", "test_sb3_vec_env", "test_state_machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the options."""
    group = parser.getgroup("leo", "multi-goal environments")
    group.addoption(
        "--leo-env",
        action="append",
        default=[],
        metavar="ID",
        help="test the multi-goal environment with this id",
    )
    group.addoption(
        "--leo-partially-observed",
        action="store_true",
        help="allow different masks for the same observation, for goals on parts of the state that are not in it",
    )
    parser.addini(
        "leo_envs", "ids of multi-goal environments to test in every run of the whole suite", type="linelist", default=[]
    )


@pytest.hookimpl(tryfirst=True)  # before -k and -m deselect tests
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the tests of the requested environments."""
    ids = list(config.getoption("--leo-env"))
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        # With files on the command line only those run, without what the configuration adds to the whole suite.
        ids += [env_id for env_id in config.getini("leo_envs") if env_id not in ids]
    for env_id in ids:
        name = f"leo-env[{env_id}]"
        items.extend(EnvCollector.from_parent(session, name=name, nodeid=name, env_id=env_id).collect())


class EnvCollector(pytest.Collector):
    """
    Collects the tests of one environment.

    :param env_id: the environment's id
    """

    def __init__(self, *, env_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.env_id = env_id

    def collect(self) -> Iterable[pytest.Item]:
        """Return the tests of the environment."""
        return [EnvItem.from_parent(self, name=name) for name in TESTS]


class EnvItem(pytest.Item):
    """One test of one environment."""

    def runtest(self) -> None:
        """Run the test."""
        from leo_wrappers.testing.env_tests import multigoal_env_tests

        assert isinstance(self.parent, EnvCollector)
        partially = bool(self.config.getoption("--leo-partially-observed"))
        tests = multigoal_env_tests(self.parent.env_id, observation_determines_mask=not partially)
        getattr(tests(), self.name)()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Report a contract error without its traceback, which lies inside the checkers."""
        from leo_wrappers.checks import ContractError

        if isinstance(excinfo.value, ContractError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """Return the file, line and name of the test for reports."""
        assert isinstance(self.parent, EnvCollector)
        return self.path, None, f"{self.parent.env_id} {self.name}"
