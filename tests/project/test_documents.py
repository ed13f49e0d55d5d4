"""Code and commands on documentation pages run, and links are valid."""

import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from stable_baselines3.common.base_class import BaseAlgorithm

from leo_cli.main import main as leo
from leo_cli.sweeps.search import SEARCH_KEYS
from leo_cli.sweeps.spec import SWEEP_KEYS
from tests.project.documents import PAGES, anchors, blocks, commands, links, shortened
from tests.project.test_packaging import ROOT

NAMES = {str(page.relative_to(ROOT)): page for page in PAGES}
WITH_CODE = [name for name, page in NAMES.items() if blocks(page, "python")]
README = NAMES["README.md"]

OPTIONAL = {
    "docs/atari.md": "ale_py",
    "docs/distributed.md": "ray",
    "docs/minigrid.md": "minigrid",
    "docs/xland.md": "xminigrid",
}
"""The library that the code on a page needs, if it may be missing."""

# Options added to a command so that it ends soon and needs no keyboard input.
SHORT_RUN = {
    "train": ["--steps", "300", "--evaluations", "1"],
    "report": [],
    "play": ["--view", "terminal", "--goal", "0", "--fps", "10000", "--max-steps", "3"],
}


@pytest.mark.parametrize("name", WITH_CODE)
def test_code_on_a_page_runs(name, tmp_path, monkeypatch):
    """All blocks of a page run in order in one namespace, with less training."""
    monkeypatch.chdir(tmp_path)
    if name in OPTIONAL:
        pytest.importorskip(OPTIONAL[name])
    code = shortened("\n".join(blocks(NAMES[name], "python")))
    assert not re.search(r"\.learn\((?!200\)|labeled, gradient_steps=20\))", code)
    exec(compile(code, name, "exec"), {"__name__": "page"})


@pytest.mark.parametrize("name", NAMES)
def test_links_are_valid(name):
    page = NAMES[name]
    for link in links(page):
        if re.match(r"https?://|mailto:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name}: {link}"
        assert ROOT in target.parents, f"{name}: {link} leaves the repository"
        assert not anchor or anchor in anchors(target), f"{name}: {link}; expected one of {sorted(anchors(target))}"


def run_leo(line: str) -> None:
    arguments = shlex.split(shortened(line))[1:]
    assert leo([*arguments, *SHORT_RUN[arguments[0]]]) == 0, line


def test_commands_in_the_readme_run(tmp_path, monkeypatch, capsys):
    """The commands run in order in an empty folder."""
    monkeypatch.chdir(tmp_path)
    lines = [line for line in commands(README) if line.startswith("leo ")]
    assert [line.split()[1] for line in lines[:3]] == ["train", "report", "serve"]
    for line in lines:
        if line.split()[1] != "serve":  # which does not end by itself
            run_leo(line)
    assert (tmp_path / "runs" / "leodqn-GridWorld-v0" / "report.html").is_file()


def all_commands(start: str) -> list[str]:
    return sorted({line for page in PAGES for line in commands(page) if line.startswith(start)})


@pytest.mark.expensive
@pytest.mark.parametrize("line", [line for line in all_commands("leo train") if line not in commands(README)])
def test_training_commands_run(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for word, library in (("XLand", "xminigrid"), ("MiniGrid", "minigrid"), ("MsPacman", "ale_py")):
        if word in line:
            pytest.importorskip(library)
    run_leo(line)


@pytest.mark.expensive
@pytest.mark.timeout(900)
def test_the_page_about_sweeps(tmp_path, monkeypatch, capsys):
    """Its files describe what its commands use, with less training."""
    page = NAMES["docs/sweeps.md"]
    monkeypatch.chdir(tmp_path)
    smaller = {r"(?<=steps: )\d+": "200", r"(?<=seeds: )\d+": "1", r"(?<=trials: )\d+": "2", r"(?<=episodes: )\d+": "1"}
    for text in blocks(page, "yaml"):
        name = text.splitlines()[0].removeprefix("# ")
        for pattern, number in smaller.items():
            text = re.sub(pattern, number, text)
        (tmp_path / name).write_text(text)
    for line in commands(page):
        assert leo(shlex.split(line)[1:]) == 0, line
    assert "16 of 16 jobs finished, 0 failed" in capsys.readouterr().out
    (best,) = re.findall(r"`leo train ([^`]*--config runs/tune/best.yml)`", " ".join(page.read_text().split()))
    assert leo(["train", *best.split(), "--steps", "200", "--evaluations", "1"]) == 0
    assert all((tmp_path / "runs" / name / "report.html").is_file() for name in ("sweep", "tune"))


def test_the_keys_on_the_page_about_sweeps():
    tables = "\n".join(line for line in NAMES["docs/sweeps.md"].read_text().splitlines() if line.startswith("| `"))
    for keys in (SWEEP_KEYS, SEARCH_KEYS):
        assert not [key for key in keys if f"`{key}`" not in tables]


@pytest.mark.parametrize("line", all_commands("leo bench"))
def test_benchmark_options_exist(line):
    name, *arguments = shlex.split(line)[2:]
    code = "".join((ROOT / "benchmarks" / f"{stem}.py").read_text() for stem in (name, "training_runs"))
    for option in [argument for argument in arguments if argument.startswith("--")]:
        assert f'"{option}"' in code, line


@pytest.mark.parametrize("line", all_commands("make"))
def test_make_targets_on_pages_exist(line):
    (target,) = line.split()[1:]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("target", ["demo", "docs", "test", "check", "format", "test-expensive"])
def test_make_targets_are_documented(target):
    assert f"make {target}" in README.read_text() + (ROOT / "CONTRIBUTING.md").read_text()
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site with the recipe of `make docs`, in which warnings are errors."""
    target = tmp_path_factory.mktemp("site")
    recipe = re.search(r"^docs:.*\n\t\$\(BIN\)/python (.*) docs build/docs$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None and "-W" in recipe[1].split()
    result = subprocess.run(
        [sys.executable, *recipe[1].split(), "docs", str(target)], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return {page.relative_to(target).as_posix(): Markup(page) for page in target.rglob("*.html")}


class Markup(HTMLParser):
    """Collect a page's links, loaded resources and ids."""

    def __init__(self, path):
        super().__init__()
        self.path, self.links, self.loads, self.ids = path, [], [], {""}
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.ids |= {attributes["id"]} if attributes.get("id") else set()
        is_link = tag == "a" or attributes.get("rel") in ("next", "prev", "index", "search", "canonical")
        target = attributes.get("href") or attributes.get("src")
        if target:
            (self.links if is_link else self.loads).append(target)


@pytest.mark.expensive
def test_site_loads_no_external_resources(site):
    assert len(site) > 15
    for name, page in site.items():
        assert page.loads, name
        for address in page.loads:
            assert not re.match(r"(https?:)?//", address), f"{name}: {address}"
            inline = address.startswith(("data:", "#"))
            assert inline or (page.path.parent / address.partition("?")[0]).is_file(), f"{name}: {address}"


@pytest.mark.expensive
def test_links_in_the_site_are_valid(site):
    pages = {page.path: page for page in site.values()}
    followed = 0
    for name, page in site.items():
        for link in page.links:
            if re.match(r"https?://|mailto:", link):
                continue
            path, _, anchor = link.partition("#")
            target = (page.path.parent / path.partition("?")[0]).resolve() if path else page.path
            assert target.is_file(), f"{name}: {link}"
            assert target not in pages or unquote(anchor) in pages[target].ids, f"{name}: {link}"
            followed += 1
    assert followed > 500


def test_every_public_algorithm_has_a_page():
    import leo_agents

    pages = "\n".join(page.read_text() for page in (ROOT / "docs" / "algorithms").glob("*.md"))
    kinds = [name for name in leo_agents.__all__ if isinstance(getattr(leo_agents, name), type)]
    for name in [kind for kind in kinds if issubclass(getattr(leo_agents, kind), BaseAlgorithm)]:
        assert f"# {name}\n" in pages, name
        assert f"leo_agents.{name}" in pages, name
