"""The HTML report as a file and in a browser."""

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from leo_agents.evaluation import GoalReport
from leo_agents.evaluation.chart_data import family_rates
from leo_cli.html.agent_sections import representative_goals
from leo_cli.html.charts import family_chart
from leo_cli.results import read_results
from leo_cli.run_folder import open_runs
from tests.cli import chromium
from tests.cli.chromium import Page

VOID = {"meta", "link", "img", "input", "rect", "circle", "line", "image", "polygon", "polyline"}


class Outline(HTMLParser):
    """Parser that checks that elements are closed, and collects ids and references."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.references += [attributes[name] for name in ("href", "src") if attributes.get(name)]
        self.ids += [attributes["id"]] if attributes.get("id") else []
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
def test_file_is_well_formed_and_self_contained(which, request):
    page = request.getfixturevalue(which).read_text()
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    links = {reference[1:] for reference in outline.references if reference.startswith("#")}
    assert links and links <= set(outline.ids)
    assert all(reference.startswith(("data:", "#")) for reference in outline.references)
    assert not re.search(r"https?:|url\(|@import|\bfetch\(|XMLHttpRequest", re.sub(r"data:[^\"]*", "", page))


def test_numbers_equal_those_of_the_csv_files(single, run):
    page = single.read_text()
    (result,) = read_results(open_runs([str(run)]))
    assert f"{100 * result.mean_success:.1f} %" in page and f"{100 * result.iqm:.1f} %" in page
    for seed in (0, 1):
        assert f"seed-{seed}" not in page  # pooled
    reports = [GoalReport.from_csv(run / f"seed-{seed}" / "goals.csv") for seed in (0, 1)]
    assert result.report.successes.tolist() == (reports[0].successes + reports[1].successes).tolist()
    for name, rate in zip(result.report.goal_names, result.report.success_rate.tolist(), strict=True):
        row = re.search(rf'<tr data-goal="{name}".*?</tr>', page, flags=re.DOTALL)
        assert row is not None
        assert ("achieved at the reset" in row[0]) if np.isnan(rate) else (f'data-sort="{rate:.6g}"' in row[0])
    assert page.count("data:image/webp") == 2
    assert "map: maze" in page and "stable-baselines3" in page  # what was trained and with which versions


def test_discoveries_are_those_of_the_training(single, double, run, baseline, tmp_path, leo):
    for path, runs in ((single, [run]), (double, [run, baseline])):
        page, results = path.read_text(), read_results(open_runs(list(map(str, runs))))
        assert 'id="discovery"' in page
        counts = [np.mean([len(one.order) for one in result.discoveries]) for result in results]
        for result, count in zip(results, counts, strict=True):
            assert f"{result.label}: {count:.3g} after {result.steps:,} steps" in page
    (result,) = read_results(open_runs([str(run)]))
    first = result.discoveries[0]
    assert page.count("first seen after") == len(first.order) and (first.origins[first.order[1:]] >= 0).all()
    folder = shutil.copytree(run, tmp_path / "run")
    (folder / "seed-1" / "discoveries.csv").unlink()
    assert leo("report", folder, "--videos", "0")[0] == 0
    assert 'id="discovery"' not in (folder / "report.html").read_text()


def test_run_stopped_before_its_first_evaluation(run, tmp_path, leo):
    folder = shutil.copytree(run, tmp_path / "run")
    for table in folder.glob("seed-*/evaluations.csv"):
        table.write_text(table.read_text().splitlines()[0] + "\n")
    assert leo("report", folder, "--videos", "0")[0] == 0 and leo("plot", folder)[0] == 0
    page = (folder / "report.html").read_text()
    assert 'id="runs"' in page and 'id="learning"' not in page and 'id="time"' not in page


def test_family_chart_has_a_bar_with_interval_per_family_and_run():
    names, steps = ("in/a", "in/b", "out/a", "out/b"), ([1, 1], [2], [], [3, 3])
    reports = {
        "LEO": GoalReport(names, range(4), [2] * 4, [0] * 4, steps),
        "HER": GoalReport(names, range(4), [0, 0, 2, 2], [2, 2, 0, 0], ([], [], [1], [])),
    }
    titles = re.findall(r"<title>([^<]*): ([\d.]+) %", family_chart(family_rates(reports), "test"))
    assert titles == [("in (2), LEO", "75.0"), ("out (2), LEO", "50.0"), ("out (2), HER", "25.0")]


def test_text_is_escaped():
    from leo_cli.html.markup import element, text

    assert element("p", text("<b>&"), title='"') == '<p title="&quot;">&lt;b&gt;&amp;</p>'


def test_representative_goals():
    """The farthest learned goal, one at half its rank, the least reliable one, and one that is never achieved."""
    steps = [[10] * 4, [2] * 4, [5] * 4, [9], [], [3] * 4]
    report = GoalReport(tuple("abcdef"), range(6), [4] * 6, [0] * 6, tuple(steps))
    assert representative_goals(report, 4) == [0, 5, 3, 4]
    assert representative_goals(GoalReport(("a",), [0], [0], [1], ([],)), 4) == []


def natural_key(name: str) -> list[int]:
    """Sort key of cells, e.g. [2, 10] for "cell/2,10"."""
    return [int(part) for part in re.findall(r"\d+", name)]


@pytest.mark.skipif(chromium.FOUND is None, reason="no chromium")
class TestInBrowser:
    @pytest.mark.parametrize(("which", "width", "dark"), [("single", 1280, False), ("double", 390, True)])
    def test_opens_without_errors_and_without_requests(self, which, width, dark, request, tmp_path):
        path = request.getfixturevalue(which)
        with Page(path, width=width, dark=dark) as page:
            assert page.problems == []
            requested = [url for url in page.requests if not url.startswith("data:")]
            assert requested == [path.resolve().as_uri()]
            assert page.evaluate("document.documentElement.scrollWidth") == width  # no horizontal overflow
            brightness = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]")
            assert (brightness < 60) if dark else (brightness > 200)
            assert page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")

    @pytest.mark.parametrize(("column", "key"), [(0, natural_key), (1, float), (2, float)], ids=["goal", "success", "steps"])
    def test_sorting(self, single, column, key):
        header = f"#goals-table thead th:nth-child({column + 1})"
        values = f"[...document.querySelectorAll('#goals-table tbody tr')].map((r) => r.cells[{column}].dataset.sort)"
        with Page(single) as page:
            for direction in ("ascending", "descending"):
                page.click(f"{header} button")
                assert page.evaluate(f"document.querySelector('{header}').getAttribute('aria-sort')") == direction
                column_values = page.evaluate(values)
                known = [key(value) for value in column_values if value != ""]
                assert known == sorted(known, reverse=direction == "descending")
                # Missing values come last in both directions.
                assert column_values[len(known) :] == [""] * (17 - len(known))
            assert page.problems == []

    def test_filtering(self, single, run):
        (result,) = read_results(open_runs([str(run)]))
        visible = "[...document.querySelectorAll('#goals-table tbody tr')].filter((r) => !r.hidden).map((r) => r.dataset.goal)"
        with Page(single) as page:
            assert len(page.evaluate(visible)) == 17
            page.click("#filter")
            page.write("CELL/0,")
            assert page.evaluate(visible) == [name for name in result.report.goal_names if name.startswith("cell/0,")]
            assert page.evaluate("document.getElementById('count').textContent") == "5 of 17 goals"
            page.evaluate("document.getElementById('filter').value = ''")
            page.click("#never")
            assert page.evaluate(visible) == result.never_achieved

    def test_table_is_complete_without_scripts(self, double):
        with Page(double, scripts=False) as page:
            assert page.evaluate("[...document.querySelectorAll('#goals-table tbody tr')].every((r) => r.offsetHeight > 0)")
            assert page.evaluate("getComputedStyle(document.querySelector('.controls')).display") == "none"
            assert page.evaluate("document.querySelectorAll('#goals-table button').length") == 0
            page.click("details summary")
            assert page.evaluate("document.querySelector('details').open")
