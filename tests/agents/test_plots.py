import subprocess
import sys

import numpy as np
import pytest

from leo_agents.evaluation.curves import NoEvaluationsError, append_to_curve, start_curve
from leo_agents.evaluation.goal_report import GoalReport
from leo_agents.evaluation.plots import plot_comparison, plot_learning_curve, plot_report

pytest.importorskip("matplotlib")


def report_of(names, rates, attempts=4, positions=None, axes=("x", "y")):
    """Make a report; a rate of NaN stands for a goal without attempts."""
    tried = np.where(np.isnan(rates), 0, attempts)
    won = np.round(np.nan_to_num(rates) * attempts).astype(int)
    return GoalReport(tuple(names), range(len(tried)), tried, [0] * len(tried), tuple([3] * k for k in won), positions, axes)


def cells(rates, positions, axes=("column", "row")):
    return report_of([f"cell/{number}" for number in range(len(positions))], rates, 4, np.array(positions, dtype=float), axes)


class TestMaps:
    def test_cell_colors_and_blank_walls(self):
        figure = plot_report(cells([0.0, 0.25, 1.0, np.nan], [(0, 0), (2, 0), (0, 1), (1, 1)]))
        axes, bar = figure.axes
        image = axes.images[0].get_array()
        assert image.filled(-1).tolist() == [[0.0, -1.0, 25.0], [100.0, -1.0, -1.0]]
        assert axes.images[0].get_clim() == (0.0, 100.0) and bar.get_ylabel() == "success, %"
        assert [line.get_xydata().tolist() for line in axes.lines] == [[[1.0, 1.0]]], "marks goals without attempts"
        low, high = axes.get_ylim()
        assert low > high and axes.get_ylabel() == "row", "rows point downwards"

    def test_positions(self):
        """Cells of 2 by 0.5, with a gap; y points upwards."""
        figure = plot_report(cells([0.5, 1.0, 0.0], [(-1, 0.5), (3, 0.5), (1, 1.0)], ("x", "y")))
        axes = figure.axes[0]
        assert axes.images[0].get_extent() == pytest.approx([-2, 4, 0.25, 1.25])
        assert axes.images[0].get_array().filled(-1).tolist() == [[50.0, -1.0, 100.0], [-1.0, 0.0, -1.0]]
        assert axes.get_aspect() == pytest.approx(2 / 0.5), "cells are square"
        assert axes.get_ylim()[0] < axes.get_ylim()[1]

    def test_outline_between_cells_with_and_without_goals(self):
        figure = plot_report(cells([1.0, 1.0], [(0, 0), (1, 0)]))
        (outline,) = figure.axes[0].collections
        assert len(outline.get_segments()) == 6, "around both cells, not between them"

    @pytest.mark.parametrize("positions", [[(0.1, 0.2), (1.7, 0.33), (0.4, 5.0)], [(0.0, 0.0), (0.0, 0.0)]])
    def test_positions_off_any_lattice(self, positions):
        rates = [1.0, 0.5, np.nan][: len(positions)]
        axes = plot_report(cells(rates, positions, ("x", "y"))).axes[0]
        (scatter,) = axes.collections
        assert scatter.get_offsets().tolist() == [list(position) for position in positions[:2]]
        assert scatter.get_array().tolist() == [100.0, 50.0] and not axes.images

    @pytest.mark.parametrize("shape", [(1, 1), (1, 20), (100, 100)])
    def test_sizes(self, tmp_path, shape):
        positions = [(x, y) for y in range(shape[0]) for x in range(shape[1])]
        figure = plot_report(cells(np.full(len(positions), 0.5), positions), tmp_path / "map.png", title="a title")
        assert figure.axes[0].get_title() == "a title" and (tmp_path / "map.png").stat().st_size > 1000
        assert figure.axes[0].images[0].get_array().shape == shape


def bars_of(axes):
    """Width of the bar at each label."""
    widths = {bar.get_y() + bar.get_height() / 2: bar.get_width() for bar in axes.patches}
    labels = [label.get_text() for label in axes.get_yticklabels()]
    return {text: next((w for y, w in widths.items() if abs(y - row) < 0.01), None) for row, text in enumerate(labels)}


class TestBars:
    def test_goals_of_a_family_are_sorted_by_success(self):
        report = report_of(["in/a", "out/x", "in/b", "in/c", "out/y"], [0.25, 1.0, 0.75, np.nan, 0.0])
        (axes,) = plot_report(report).axes
        bars = bars_of(axes)
        assert list(bars) == ["in: 50.0 %", "b", "a", "c", "out: 50.0 %", "x", "y"]
        assert list(bars.values()) == [None, 75.0, 25.0, 0.0, None, 100.0, 0.0]
        assert [text.get_text() for text in axes.texts] == ["not attempted"]

    def test_intervals(self):
        report = report_of(["a", "b"], [0.25, 1.0])
        (axes,) = plot_report(report).axes
        (intervals,) = axes.collections
        bounds = np.array([segment[:, 0] for segment in intervals.get_segments()])
        low, high = report.interval()
        assert bounds == pytest.approx(100 * np.array([[low[1], high[1]], [low[0], high[0]]]))

    def test_full_names_if_all_families_have_one_goal(self):
        (axes,) = plot_report(report_of(["a/x", "b"], [0.5, 1.0])).axes
        assert list(bars_of(axes)) == ["b", "a/x"]

    def test_512_goals_in_columns(self, tmp_path):
        names = [f"family{number % 7}/goal{number}" for number in range(512)]
        rates = np.random.default_rng(0).integers(0, 5, size=512) / 4
        figure = plot_report(report_of(names, rates), tmp_path / "bars.png")
        columns = [bars_of(axes) for axes in figure.axes]
        goals = [name for column in columns for name, width in column.items() if width is not None]
        assert sorted(goals) == sorted(name.split("/")[1] for name in names), "each goal once"
        for column in columns:
            entries = list(column.values())
            assert entries[0] is None and entries[-1] is not None, "columns start with a heading and end with a goal"
        width, height = figure.get_size_inches()
        assert height < 1.2 * width and len({len(column) for column in columns[:-1]}) <= 2
        assert (tmp_path / "bars.png").stat().st_size > 10_000


class TestComparison:
    def test_bars_by_family(self):
        names = ["in/a", "in/b", "out"]
        (axes,) = plot_comparison({"LEO": report_of(names, [1.0, 0.5, 0.25]), "HER": report_of(names, [0, 0, np.nan])}).axes
        assert [label.get_text() for label in axes.get_yticklabels()] == ["in (2)", "out (1)", "all goals (3)"]
        widths = [[bar.get_width() for bar in bars] for bars in axes.containers]
        assert widths[0] == pytest.approx([75.0, 25.0, 175 / 3]) and widths[1] == [0.0, 0.0, 0.0]
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["LEO", "HER"]

    def test_maps_side_by_side(self, tmp_path):
        reports = {f"agent {number}": cells([number / 4, 1.0], [(0, 0), (1, 1)]) for number in range(5)}
        figure = plot_comparison(reports, tmp_path / "maps.svg", title="five")
        maps = [axes for axes in figure.axes if axes.images]
        assert [axes.images[0].get_array()[0, 0] for axes in maps] == [0.0, 25.0, 50.0, 75.0, 100.0]
        assert maps[1].get_title() == "agent 1: 62.5 %" and len({axes.images[0].get_clim() for axes in maps}) == 1
        assert "<svg" in (tmp_path / "maps.svg").read_text()

    def test_different_goals(self):
        with pytest.raises(ValueError, match="same goals"):
            plot_comparison({"a": report_of(["x"], [1.0]), "b": report_of(["y"], [1.0])})


def table(path, rates_over_time):
    start_curve(path, 0)
    for timesteps, rates in rates_over_time.items():
        append_to_curve(path, timesteps, report_of([f"g{number}" for number in range(len(rates))], np.array(rates)))
    return path


class TestLearningCurve:
    def test_mean_band_and_number_learned(self, tmp_path):
        rates = {100: [0.0, 0.25, np.nan], 200: [0.5, 1.0, 0.0]}
        upper, lower = plot_learning_curve(table(tmp_path / "curve.csv", rates), tmp_path / "curve.png").axes
        assert upper.lines[0].get_xydata().tolist() == [[100, 12.5], [200, 50.0]]
        assert lower.lines[0].get_xydata().tolist() == [[100, 0], [200, 2]]
        corners = upper.collections[0].get_paths()[0].vertices
        assert {(100.0, 0.0), (100.0, 25.0), (200.0, 0.0), (200.0, 100.0)} <= set(map(tuple, corners.tolist()))
        assert (tmp_path / "curve.png").exists()

    def test_several_curves(self, tmp_path):
        one, two = (table(tmp_path / name, {10: [rate], 20: [1.0]}) for name, rate in (("a", 0.0), ("b", 0.5)))
        upper, lower = plot_learning_curve({"LEO": one, "HER": two}).axes
        assert [text.get_text() for text in upper.get_legend().get_texts()] == ["LEO", "HER", "worst tenth of the goals"]
        assert len(lower.lines) == 2 and not upper.collections

    def test_invalid_input(self, tmp_path):
        with pytest.raises(ValueError, match="at least one table"):
            plot_learning_curve({})
        with pytest.raises(NoEvaluationsError, match="got none"):
            plot_learning_curve(table(tmp_path / "empty.csv", {}))


def test_missing_matplotlib_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"leo-rl\[plots\]"):
        plot_report(report_of(["a"], [1.0]))


def test_matplotlib_is_imported_lazily_and_without_pyplot():
    code = """
import sys
from leo_agents.evaluation.goal_report import GoalReport
from leo_agents.evaluation.plots import plot_report
early = "matplotlib.figure" in sys.modules
plot_report(GoalReport(("a",), [0], [1], [0], ([1],)))
print(early, "matplotlib.figure" in sys.modules, "matplotlib.pyplot" in sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "True", "False"]
