from statistics import NormalDist

import numpy as np
import pytest

from leo_agents.evaluation.goal_report import GoalReport, select_goals
from leo_agents.evaluation.intervals import wilson_interval
from leo_agents.evaluation.report_text import compare_reports


class TestWilson:
    @pytest.mark.parametrize(
        ("successes", "attempts", "low", "high"),
        # By hand from (s + z^2/2 -+ z sqrt(s (n - s) / n + z^2/4)) / (n + z^2) with z = 1.959964.
        [
            (5, 10, 0.236593, 0.763407),
            (0, 10, 0.0, 0.277533),
            (10, 10, 0.722467, 1.0),
            (1, 1, 0.206549, 1.0),
            (0, 0, 0.0, 1.0),
        ],
    )
    def test_values(self, successes, attempts, low, high):
        assert wilson_interval(successes, attempts) == pytest.approx((low, high), abs=1e-6)

    def test_bounds_invert_the_score_test(self):
        """By definition the observed rate is exactly z standard errors away from each bound."""
        z = NormalDist().inv_cdf(0.95)
        for bound in wilson_interval(7, 30, confidence=0.9):
            assert abs(7 / 30 - bound) == pytest.approx(z * np.sqrt(bound * (1 - bound) / 30))

    def test_arrays(self):
        low, high = wilson_interval(np.array([[0, 5], [10, 3]]), 10)
        assert low.shape == high.shape == (2, 2) and (low < high).all()

    @pytest.mark.parametrize("wrong", [(3, 2, 0.95), (-1, 2, 0.95), (1, 2, 0.0), (1, 2, 1.0)])
    def test_invalid_input(self, wrong):
        with pytest.raises(ValueError, match="expected"):
            wilson_interval(*wrong)


def make_report():
    names = ("at/0", "at/1", "in/box", "solo", "in/bag")
    steps = ([], [2, 4], [3], [1, 1], [9, 2, 1])
    return GoalReport(names, range(5), attempts=[2, 2, 4, 2, 3], already_true=[0, 0, 1, 0, 2], steps=steps)


class TestReport:
    def test_numbers(self):
        report = make_report()
        assert report.success_rate.tolist() == [0.0, 1.0, 0.25, 1.0, 1.0] and report.mean_success == pytest.approx(0.65)
        assert report.mean_steps[1:].tolist() == [3.0, 3.0, 1.0, 4.0] and report.median_steps[4] == 2.0
        assert report.num_learned() == 3 and report.num_learned(0.25) == 4
        assert report.worst_decile == 0.0, "the worst tenth is at least one goal"
        assert report.worst(3).goal_names == ("at/0", "in/box", "in/bag"), "ties: more steps first"
        assert report.interval()[0].tolist() == wilson_interval([0, 2, 1, 2, 3], [2, 2, 4, 2, 3])[0].tolist()

    def test_interval_of_the_mean(self):
        """With equal numbers of attempts it is Wilson's interval of all attempts pooled, otherwise it is wider."""
        even = GoalReport(("a", "b"), [0, 1], [10, 10], [0, 0], ([1] * 4, [1] * 2))
        assert even.mean_interval() == pytest.approx(tuple(map(float, wilson_interval(6, 20))))
        uneven = GoalReport(("a", "b"), [0, 1], [1, 19], [0, 0], ([], [1] * 5))
        assert np.diff(uneven.mean_interval()) > np.diff(wilson_interval(5, 20), axis=0)

    def test_families_and_subsets(self):
        report = make_report()
        families = report.by_family()
        assert {family: part.goal_names for family, part in families.items()} == {
            "at": ("at/0", "at/1"),
            "in": ("in/box", "in/bag"),
            "solo": ("solo",),
        }
        assert families["in"].mean_success == 0.625 and families["in"].goal_ids.tolist() == [2, 4]
        assert report.subset(np.array([0, 0, 0, 1, 0], dtype=bool)) == report.subset(["solo"]) == report.subset([3])
        assert report.subset(["solo"]) != report.subset([0]) and report != "something else"

    def test_goals_without_attempts_are_excluded(self):
        report = GoalReport(("a", "b"), [0, 1], [0, 2], [2, 0], ([], [1, 3]))
        assert report.mean_success == 1.0 and report.num_learned() == 1 and report.worst(5).goal_names == ("b",)
        nothing = report.subset(["a"])
        assert np.isnan(nothing.mean_success) and nothing.mean_interval() == (0.0, 1.0) and "-" in str(nothing)
        with pytest.raises(ValueError, match="some attempts"):
            nothing.worst()

    def test_table(self):
        lines = str(make_report()).splitlines()
        assert lines[0].split("  ")[0] == "family" and len({len(line) for line in lines[:6]}) == 1, "aligned"
        cells = lines[2].split()
        assert cells[:5] == ["at", "2", "4", "50.0", "%"] and lines[5].startswith("all")
        assert "3 episodes" in lines[7] and "at/0 0/2, in/box 1/4" in lines[8]

    def test_comparison(self):
        report = make_report()
        worse = GoalReport(report.goal_names, range(5), [2] * 5, [0] * 5, ([], [7], [], [1], []))
        text = compare_reports({"LEO": report, "HER": worse})
        rows = {line.split()[0]: line for line in text.splitlines() if line}
        assert rows["at"].split()[1:3] == ["50.0", "%"] and "3 of 5" in rows["learned"]
        assert rows["steps"].split()[1:] == ["2.0", "4.0"] and "the 2 goals that every agent achieved" in text
        with pytest.raises(ValueError, match="same goals"):
            compare_reports({"a": report, "b": report.subset([0])})
        with pytest.raises(ValueError, match="at least one report"):
            compare_reports({})

    @pytest.mark.parametrize("positions", [None, np.array([[0.1, 2], [1, 1 / 3], [2, 0], [3, 0], [4, 7]])])
    def test_csv_round_trip(self, tmp_path, positions):
        whole = make_report()
        report = GoalReport(
            ('odd, "name"', *whole.goal_names[1:]), [9, 1, 2, 3, 4], whole.attempts, whole.already_true, whole.steps, positions
        )
        report.to_csv(tmp_path / "report.csv")
        assert GoalReport.from_csv(tmp_path / "report.csv") == report

    @pytest.mark.parametrize("text", ["", "a,b\n1,2\n"])
    def test_foreign_csv_file(self, tmp_path, text):
        (tmp_path / "report.csv").write_text(text)
        with pytest.raises(ValueError, match="written by GoalReport"):
            GoalReport.from_csv(tmp_path / "report.csv")

    @pytest.mark.parametrize(
        "wrong",
        [
            {"attempts": [1]},
            {"steps": ([1],)},
            {"steps": ([1, 2], [])},
            {"goal_names": ("a", "a")},
            {"positions": [[0.0, 1.0, 2.0]] * 2},
        ],
    )
    def test_invalid_arguments(self, wrong):
        right = {"goal_names": ("a", "b"), "goal_ids": [0, 1], "attempts": [1, 1], "already_true": [0, 0], "steps": ([1], [])}
        GoalReport(**right)
        with pytest.raises(ValueError, match="expected"):
            GoalReport(**{**right, **wrong})

    def test_select_goals_keeps_the_order(self):
        assert select_goals(("a", "b", "c"), ["c", 0]).tolist() == [2, 0]
