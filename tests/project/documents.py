"""Parse the documentation pages: code blocks, commands, links and headings."""

import json
import re
from pathlib import Path

from tests.project.test_packaging import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md"), *ROOT.glob("examples/*.ipynb")])

_FENCED = re.compile(r"^(`{3,})(?P<language>[^\n]*)\n(?P<text>.*?)^\1[ ]*$", flags=re.DOTALL | re.MULTILINE)
# Code on a page trains for a useful number of steps; tests reduce these numbers and change nothing else.
_SHORTER = (
    (re.compile(r"(?<=\.learn\()[\d_]+"), "200"),
    (re.compile(r"(?<=gradient_steps=)[\d_]+"), "20"),
    (re.compile(r"(?<=num_envs=)\d{2,}"), "3"),
    (re.compile(r"(?<=--steps )[\d_]+"), "300"),
    (re.compile(r"(?<=--seeds )\d+"), "1"),
)


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of one language; the code cells of a notebook are Python."""
    if page.suffix == ".ipynb":
        cells = json.loads(page.read_text())["cells"] if language == "python" else []
        return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return [match["text"] for match in _FENCED.finditer(page.read_text()) if match["language"] == language]


def shortened(text: str) -> str:
    """Return code or commands with less training."""
    for pattern, number in _SHORTER:
        text = pattern.sub(number, text)
    return text


def commands(page: Path) -> list[str]:
    """Return the console commands of a page, one per line, without comments."""
    lines = re.sub(r"\\\n\s*", "", "\n".join(blocks(page, "console"))).splitlines()
    return [line.partition("  #")[0].strip() for line in lines if line.strip()]


def links(page: Path) -> list[str]:
    """Return the targets of links and images."""
    text = _FENCED.sub("", page.read_text())
    return re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)


def anchors(page: Path) -> set[str]:
    """Return the anchors of headings, as GitHub and Sphinx generate them."""
    headings = re.findall(r"^#{1,4} (.+)$", _FENCED.sub("", page.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
