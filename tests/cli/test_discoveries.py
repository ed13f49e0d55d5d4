import re

import numpy as np
import pytest

from leo_cli.discoveries import Discoveries
from leo_cli.html.discovery import goal_tree

NAMES = ("a", 'b, "quoted"', "c", "d")


def example() -> Discoveries:
    return Discoveries(NAMES, np.array([0, 40, -1, 24]), np.array([-1, 3, -1, 0]), 100)


def test_a_table_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "discoveries.csv"
    example().write(path)
    copy = Discoveries.read(path, NAMES)
    assert (copy.steps.tolist(), copy.origins.tolist(), copy.num_steps) == ([0, 40, -1, 24], [-1, 3, -1, 0], 100)
    assert copy.order.tolist() == [0, 3, 1]


def test_coverage_counts_the_goals_achieved_until_each_step():
    steps, counts = example().coverage()
    assert steps[0] == 0 and steps[-1] == 100
    expected = [sum(0 <= step <= now for step in (0, 40, -1, 24)) for now in steps]
    assert counts.tolist() == expected and counts[-1] == 3


def test_the_tree_has_each_achieved_goal_below_its_origin():
    drawing = goal_tree(example())
    nodes = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"[^>]*><title>(.*?): after (\d+) steps', drawing)
    assert [(name, step) for *_, name, step in nodes] == [("a", "0"), ("d", "24"), ("b, &quot;quoted&quot;", "40")]
    xs, ys = ([float(node[axis]) for node in nodes] for axis in (0, 1))
    assert xs == sorted(set(xs)) and ys == sorted(set(ys))
    assert drawing.count('class="edge"') == 2


@pytest.mark.parametrize(
    "text",
    ["", "goal,step\na,1\n", "goal,step,reached_from\nnowhere,1,\n,5,\n", "goal,step,reached_from\na,x,\n,5,\n"],
)
def test_a_damaged_table(text, tmp_path):
    path = tmp_path / "discoveries.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"expected a table of the run's 4 goals in .*; delete the file"):
        Discoveries.read(path, NAMES)
