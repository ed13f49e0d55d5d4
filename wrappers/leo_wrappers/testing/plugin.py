"""
The pytest plugin: ``pytest --leo-env my_package:MyEnv-v0`` tests an environment without a test module.

The option may be repeated. To test environments in every run of a whole suite, name them in the configuration::

    [tool.pytest.ini_options]
    leo_envs = ["my_package:MyEnv-v0"]

Goals about something that the observation does not show need ``--leo-partially-observed`` too.

pytest imports this module at every start, in every project, so it imports nothing but pytest until an environment is asked
for.
"""

from collections.abc import Iterable
from typing import Any

import pytest

TESTS = ("test_contract", "test_gymnasium_vector_env", "test_sb3_vec_env", "test_state_machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declares the options."""
    group = parser.getgroup("leo", "multi-goal environments")
    group.addoption(
        "--leo-env",
        action="append",
        default=[],
        metavar="ID",
        help="test this multi-goal environment, as gymnasium.make names it",
    )
    group.addoption(
        "--leo-partially-observed",
        action="store_true",
        help="the goals are about something that the observation does not show: let it come with different masks",
    )
    parser.addini("leo_envs", "multi-goal environments to test in every run of the whole suite", type="linelist", default=[])


@pytest.hookimpl(tryfirst=True)  # before -k and -m choose among the tests
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Adds the tests of the environments that were asked for."""
    ids = list(config.getoption("--leo-env"))
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        # Someone who names files to run wants those alone, not what the configuration adds to the suite.
        ids += [env_id for env_id in config.getini("leo_envs") if env_id not in ids]
    for env_id in ids:
        name = f"leo-env[{env_id}]"
        items.extend(EnvCollector.from_parent(session, name=name, nodeid=name, env_id=env_id).collect())


class EnvCollector(pytest.Collector):
    """
    :param env_id: the environment, as ``gymnasium.make`` names it
    """

    def __init__(self, *, env_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.env_id = env_id

    def collect(self) -> Iterable[pytest.Item]:
        """The tests of one environment."""
        return [EnvItem.from_parent(self, name=name) for name in TESTS]


class EnvItem(pytest.Item):
    """One of the tests of one environment."""

    def runtest(self) -> None:
        """Makes and runs the test."""
        from leo_wrappers.testing.env_tests import multigoal_env_tests

        assert isinstance(self.parent, EnvCollector)
        partially = bool(self.config.getoption("--leo-partially-observed"))
        tests = multigoal_env_tests(self.parent.env_id, observation_determines_mask=not partially)
        getattr(tests(), self.name)()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The message alone where the contract is broken: it says all there is to say."""
        from leo_wrappers.checks import ContractError

        if isinstance(excinfo.value, ContractError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """How reports name the test."""
        assert isinstance(self.parent, EnvCollector)
        return self.path, None, f"{self.parent.env_id} {self.name}"
