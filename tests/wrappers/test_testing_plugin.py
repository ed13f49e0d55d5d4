import functools
import subprocess
import sys

import gymnasium as gym
import pytest

import leo_wrappers.testing
from leo_wrappers import ContractError
from leo_wrappers.testing import multigoal_env_tests
from tests.corridor_env import CorridorEnv

pytest_plugins = "pytester"


def test_test_class_passes_and_fails():
    tests = multigoal_env_tests(CorridorEnv, max_examples=10)()
    names = [name for name in dir(tests) if name.startswith("test_")]
    assert names == ["test_contract", "test_gymnasium_vector_env", "test_sb3_vec_env", "test_state_machine"]
    for name in names:
        getattr(tests, name)()
    faulty = multigoal_env_tests(functools.partial(CorridorEnv, fault="short mask"))()
    for name in names:
        with pytest.raises(ContractError, match=r"shape \((2, )?4,?\)"):
            getattr(faulty, name)()


def test_environment_instance_is_rejected():
    with pytest.raises(TypeError, match=r"pass lambda: MyEnv\(\)"):
        multigoal_env_tests(CorridorEnv())


CORRIDORS = """
import functools, gymnasium as gym
from tests.corridor_env import CorridorEnv

gym.register("Good-v0", CorridorEnv)
gym.register("Bad-v0", functools.partial(CorridorEnv, fault="int mask"))
gym.register("Partial-v0", functools.partial(CorridorEnv, fault="cell 2 once a step went left"))
"""
TESTS = ("test_contract", "test_gymnasium_vector_env", "test_sb3_vec_env", "test_state_machine")
# By module name, because the entry point may not be installed.
PLUGIN = ("-p", "no:leo", "-p", "leo_wrappers.testing.plugin", "-p", "no:cacheprovider")


@pytest.fixture
def project(pytester):
    pytester.makepyfile(corridors=CORRIDORS, test_other="def test_other(): pass")
    pytester.syspathinsert()
    yield pytester
    for name in ("Good-v0", "Bad-v0", "Partial-v0"):
        gym.registry.pop(name, None)


def test_one_line_in_a_test_module(project):
    project.makepyfile(
        test_mine="""
        from leo_wrappers.testing import multigoal_env_tests

        TestGood = multigoal_env_tests("corridors:Good-v0", max_examples=5)
        TestBad = multigoal_env_tests("corridors:Bad-v0", max_examples=5)
        """
    )
    result = project.runpytest_inprocess(*PLUGIN, "-v", "test_mine.py")
    result.assert_outcomes(passed=4, failed=4)
    result.stdout.fnmatch_lines([f"*TestGood::{name} PASSED*" for name in TESTS])
    result.stdout.fnmatch_lines([f"*TestBad::{name} FAILED*" for name in TESTS])


def test_option_without_a_test_module(project):
    result = project.runpytest_inprocess(
        *PLUGIN, "-v", "--leo-env", "corridors:Good-v0", "--leo-env=corridors:Bad-v0", "test_other.py"
    )
    result.assert_outcomes(passed=5, failed=4)
    result.stdout.fnmatch_lines([f"*leo-env?corridors:Good-v0?::{name} PASSED*" for name in TESTS])
    result.stdout.fnmatch_lines(["*dtype bool, got dtype int64; return mask.astype(bool)*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_k_option_selects_environment_tests(project):
    result = project.runpytest_inprocess(*PLUGIN, "--leo-env", "corridors:Good-v0", "-k", "Good and contract")
    result.assert_outcomes(passed=1, deselected=4)


def test_partially_observed_option(project):
    arguments = [*PLUGIN, "--leo-env", "corridors:Partial-v0", "-k", "test_contract"]
    project.runpytest_inprocess(*arguments).assert_outcomes(failed=1, deselected=4)
    project.runpytest_inprocess(*arguments, "--leo-partially-observed").assert_outcomes(passed=1, deselected=4)


def test_configuration_applies_only_to_the_whole_suite(project):
    project.makeini("[pytest]\nleo_envs =\n    corridors:Good-v0")
    project.runpytest_inprocess(*PLUGIN).assert_outcomes(passed=5)
    project.runpytest_inprocess(*PLUGIN, "test_other.py").assert_outcomes(passed=1)


def test_unknown_environment_fails_only_its_own_tests(project):
    result = project.runpytest_inprocess(*PLUGIN, "--leo-env", "corridors:Goood-v0")
    result.assert_outcomes(passed=1, failed=4)
    result.stdout.fnmatch_lines(["*Goood*"])


def test_plugin_imports_only_pytest():
    heavy = {"numpy", "gymnasium", "hypothesis", "torch", "stable_baselines3"}
    code = f"import leo_wrappers.testing.plugin, sys; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_missing_hypothesis():
    code = """
import sys
sys.modules["hypothesis"] = None
import leo_wrappers.testing.plugin
try:
    from leo_wrappers.testing import from_space
except ImportError as error:
    print(error)
"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 'pip install "leo-rl[testing]"' in output


def test_public_names_can_be_imported():
    assert all(callable(getattr(leo_wrappers.testing, name)) for name in leo_wrappers.testing.__all__)
    assert set(leo_wrappers.testing.__all__) <= set(dir(leo_wrappers.testing))
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = leo_wrappers.testing.no_such_name
