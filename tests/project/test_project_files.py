"""The files of services and package managers agree with ``pyproject.toml`` and with each other."""

import re
import tomllib

import pytest
import yaml

import leo_wrappers
from tests.project.test_packaging import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / ".github" / "workflows").glob("*.yml")}
# The names of packages of conda-forge that differ from those of PyPI.
CONDA_NAMES = {"matplotlib": "matplotlib-base"}


def test_the_matrix_has_the_versions_of_python_in_the_classifiers():
    prefix = "Programming Language :: Python :: 3."
    versions = [line.removeprefix(prefix) for line in PROJECT["classifiers"] if line.startswith(prefix)]
    python = WORKFLOWS["tests"]["jobs"]["bounds"]["strategy"]["matrix"]["python"]
    assert python == [f"3.{version}" for version in versions]
    assert PROJECT["requires-python"] == f">={python[0]}"


def test_a_release_needs_the_tests_and_publishes_without_a_token():
    jobs = WORKFLOWS["release"]["jobs"]
    assert jobs["tests"]["uses"] == "./.github/workflows/tests.yml"
    assert jobs["publish"]["needs"] == ["tests", "build"]
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert "secrets." not in (ROOT / ".github" / "workflows" / "release.yml").read_text()


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflows_may_only_read_the_repository(name):
    assert WORKFLOWS[name]["permissions"] == {"contents": "read"}


def test_the_conda_recipe_has_the_dependencies_of_the_command_line():
    recipe = yaml.safe_load((ROOT / "conda" / "recipe.yaml").read_text())
    extras = PROJECT["optional-dependencies"]
    expected = [*PROJECT["dependencies"], *extras["agents"], *extras["cli"], *extras["plots"]]
    expected = [re.sub(r"(?=[<>=])", " ", line, count=1) for line in expected if not line.startswith("leo-rl")]
    expected = [" ".join([CONDA_NAMES.get(name, name), bounds]) for name, bounds in map(str.split, expected)]
    assert recipe["context"]["version"] == leo_wrappers.__version__
    assert PROJECT["requires-python"] == f">={recipe['context']['python_min']}"
    assert sorted(recipe["requirements"]["run"][1:]) == sorted(expected)


def test_the_citation_is_that_of_the_readme():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["license"] == PROJECT["license"]
    paper = citation["preferred-citation"]
    bibtex = (ROOT / "README.md").read_text().partition("```bibtex")[2].partition("```")[0].replace("{\\'e}", "é")
    for author in paper["authors"]:
        assert f"{author['family-names']}, {author['given-names']}" in bibtex
    assert paper["title"] in bibtex and paper["collection-title"] in bibtex and str(paper["year"]) in bibtex
    assert paper["identifiers"][0]["value"] in bibtex


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.stem)
def test_issue_forms_ask_something(path):
    form = yaml.safe_load(path.read_text())
    assert form["name"] and form["description"]
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert fields and all(field["attributes"]["label"] for field in fields)
    assert len({field["id"] for field in fields}) == len(fields)
