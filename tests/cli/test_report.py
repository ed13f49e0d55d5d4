"""The report as a file, and in a browser."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from leo_agents.evaluation import GoalReport
from leo_cli.html.agent_sections import telling_goals
from leo_cli.results import read_stories
from leo_cli.run_folder import open_runs
from tests.cli import chromium
from tests.cli.chromium import Page

VOID = {"meta", "link", "img", "input", "rect", "circle", "line", "image", "polygon", "polyline"}


class Outline(HTMLParser):
    """Elements that must be closed are; and what the page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.addresses += [given[name] for name in ("href", "src") if given.get(name)]
        self.ids += [given["id"]] if given.get("id") else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert tag in VOID or self.open.pop() == tag, tag


@pytest.fixture(scope="module")
def single(run, tmp_path_factory) -> Path:
    return write(tmp_path_factory, [run], "--videos", "2")


@pytest.fixture(scope="module")
def double(run, baseline, tmp_path_factory) -> Path:
    return write(tmp_path_factory, [run, baseline], "--videos", "1")


def write(factory, runs, *options) -> Path:
    from leo_cli.main import main

    path = factory.mktemp("report") / "report.html"
    assert main(["report", *map(str, runs), "--out", str(path), *options]) == 0
    return path


@pytest.mark.parametrize("which", ["single", "double"])
def test_the_file_needs_no_other_and_is_well_formed(which, request):
    page = request.getfixturevalue(which).read_text()
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    assert outline.addresses and all(address.startswith(("data:", "#")) for address in outline.addresses)
    assert all(address[1:] in outline.ids for address in outline.addresses if address.startswith("#"))
    assert not re.search(r"https?:|url\(|@import|\bfetch\(|XMLHttpRequest", re.sub(r"data:[^\"]*", "", page))


def test_it_tells_the_same_numbers_as_the_tables(single, run):
    page = single.read_text()
    (story,) = read_stories(open_runs([str(run)]))
    assert f"{100 * story.mean_success:.1f} %" in page and f"{100 * story.iqm:.1f} %" in page
    for seed in (0, 1):
        assert f"seed-{seed}" not in page  # pooled
    reports = [GoalReport.from_csv(run / f"seed-{seed}" / "goals.csv") for seed in (0, 1)]
    assert story.report.successes.tolist() == (reports[0].successes + reports[1].successes).tolist()
    for name, rate in zip(story.report.goal_names, story.report.success_rate.tolist(), strict=True):
        row = re.search(rf'<tr data-goal="{name}".*?</tr>', page, flags=re.DOTALL)
        assert row is not None
        assert ("true at the start" in row[0]) if np.isnan(rate) else (f'data-sort="{rate:.6g}"' in row[0])
    assert page.count("data:image/webp") == 2
    assert "map: maze" in page and "stable-baselines3" in page  # what was trained and with which versions


def test_names_are_text_and_not_markup():
    from leo_cli.html.markup import element, text

    assert element("p", text("<b>&"), title='"') == '<p title="&quot;">&lt;b&gt;&amp;</p>'


def test_telling_goals_are_far_half_way_shaky_and_lost():
    steps = [[10] * 4, [2] * 4, [5] * 4, [9], [], [3] * 4]
    report = GoalReport(tuple("abcdef"), range(6), [4] * 6, [0] * 6, tuple(steps))
    assert telling_goals(report, 4) == [0, 5, 3, 4]
    assert telling_goals(GoalReport(("a",), [0], [0], [1], ([],)), 4) == []


@pytest.mark.skipif(chromium.FOUND is None, reason="no chromium")
class TestInBrowser:
    @pytest.mark.parametrize(("which", "width", "dark"), [("single", 1280, False), ("double", 390, True)])
    def test_it_opens_without_a_complaint_and_asks_for_nothing(self, which, width, dark, request, tmp_path):
        path = request.getfixturevalue(which)
        with Page(path, width=width, dark=dark) as page:
            assert page.problems == []
            asked = [url for url in page.requests if not url.startswith("data:")]
            assert asked == [path.resolve().as_uri()]
            assert page.evaluate("document.documentElement.scrollWidth") == width  # nothing sticks out
            brightness = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]")
            assert (brightness < 60) if dark else (brightness > 200)
            assert page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")

    def test_sorting(self, single):
        with Page(single) as page:
            for column, key in ((2, "steps"), (1, "success"), (0, "goal")):
                header = f"#goals-table thead th:nth-child({column + 1})"
                values = f"[...document.querySelectorAll('#goals-table tbody tr')].map((r) => r.cells[{column}].dataset.sort)"
                page.click(f"{header} button")
                assert page.evaluate(f"document.querySelector('{header}').getAttribute('aria-sort')") == "ascending", key
                upward = page.evaluate(values)
                page.click(f"{header} button")
                downward = page.evaluate(values)
                known = [value for value in upward if value != ""]
                if key == "goal":
                    assert known == sorted(known, key=lambda name: [int(part) for part in re.findall(r"\d+", name)])
                    assert downward == upward[::-1]
                else:
                    assert list(map(float, known)) == sorted(map(float, known))
                    assert [float(v) for v in downward if v != ""] == sorted(map(float, known), reverse=True)
                    # Goals without a number stay below, whichever way the others go.
                    assert upward[len(known) :] == downward[len(known) :] == [""] * (17 - len(known))
            assert page.problems == []

    def test_filtering(self, single, run):
        (story,) = read_stories(open_runs([str(run)]))
        shown = "[...document.querySelectorAll('#goals-table tbody tr')].filter((r) => !r.hidden).map((r) => r.dataset.goal)"
        with Page(single) as page:
            assert len(page.evaluate(shown)) == 17
            page.click("#filter")
            page.write("CELL/0,")
            assert page.evaluate(shown) == [name for name in story.report.goal_names if name.startswith("cell/0,")]
            assert page.evaluate("document.getElementById('count').textContent") == "5 of 17 goals"
            page.evaluate("document.getElementById('filter').value = ''")
            page.click("#lost")
            assert page.evaluate(shown) == story.never_achieved

    def test_without_scripts_the_table_is_whole_and_nothing_is_dead(self, double):
        with Page(double, scripts=False) as page:
            assert page.evaluate("[...document.querySelectorAll('#goals-table tbody tr')].every((r) => r.offsetHeight > 0)")
            assert page.evaluate("getComputedStyle(document.querySelector('.controls')).display") == "none"
            assert page.evaluate("document.querySelectorAll('#goals-table button').length") == 0
            page.click("details summary")
            assert page.evaluate("document.querySelector('details').open")
