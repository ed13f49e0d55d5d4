"""Reads the pages that people read: their code, commands, links and headings."""

import re
from pathlib import Path

from tests.project.test_packaging import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")])

_FENCED = re.compile(r"^(`{3,})(?P<kind>[^\n]*)\n(?P<text>.*?)^\1[ ]*$", flags=re.DOTALL | re.MULTILINE)
# What a page shows is meant to be worth running; a test runs it shorter. Nothing but these numbers is changed.
_SHORTER = (
    (re.compile(r"(?<=\.learn\()[\d_]+"), "200"),
    (re.compile(r"(?<=num_envs=)\d{2,}"), "3"),
    (re.compile(r"(?<=--steps )[\d_]+"), "300"),
    (re.compile(r"(?<=--seeds )\d+"), "1"),
)


def blocks(page: Path, kind: str) -> list[str]:
    """The fenced blocks of one kind."""
    return [match["text"] for match in _FENCED.finditer(page.read_text()) if match["kind"] == kind]


def shortened(text: str) -> str:
    """The same code or commands with less training."""
    for pattern, number in _SHORTER:
        text = pattern.sub(number, text)
    return text


def commands(page: Path) -> list[str]:
    """The commands of a page, each on one line, without the comments beside them."""
    lines = re.sub(r"\\\n\s*", "", "\n".join(blocks(page, "console"))).splitlines()
    return [line.partition("  #")[0].strip() for line in lines if line.strip()]


def links(page: Path) -> list[str]:
    """Where a page's links and pictures lead to."""
    text = _FENCED.sub("", page.read_text())
    return re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and Sphinx make them."""
    headings = re.findall(r"^#{1,4} (.+)$", _FENCED.sub("", page.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
