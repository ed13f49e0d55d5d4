"""Section of the report on discovery: goals achieved over time, and which goal was first reached from which."""

from collections.abc import Sequence

import numpy as np

from leo_agents.evaluation.goal_report import FloatArray
from leo_agents.evaluation.report_text import short_number
from leo_cli.discoveries import Discoveries
from leo_cli.goal_positions import locate_goals
from leo_cli.html.charts import Line, legend, line_chart, shortened, svg
from leo_cli.html.colors import ramp_legend
from leo_cli.html.goal_map import goal_map
from leo_cli.html.markup import card, element, text
from leo_cli.results import RunResults

_ROW, _INDENT, _LETTER, _MAX_NAME = 17.0, 18.0, 6.6, 48


def discovery_section(results: Sequence[RunResults]) -> str:
    """Build the coverage curves and the first run's goal graph; empty if a run has recorded no discoveries."""
    if not all(result.discoveries for result in results):
        return ""
    lines = []
    for result in results:
        xs, ys = zip(*(one.coverage() for one in result.discoveries), strict=True)
        steps, counts = np.mean(xs, axis=0), np.stack(ys)
        band = np.stack([counts.min(axis=0), counts.max(axis=0)]) if len(counts) > 1 else None
        lines.append(Line(result.label, steps, counts.mean(axis=0), band))
    first = results[0].discoveries[0]
    curve = line_chart(lines, limit=float(len(first.goal_names)), unit="", description="Goals ever achieved")
    figures = [element("figure", curve + element("figcaption", "goals ever achieved, commanded or not"))]
    graph = _graph_on_map(results[0], first)
    on_map = graph is not None
    title = "goal graph" if len(results) == 1 else f"goal graph, {text(results[0].label)}"
    caption = element("figcaption", f"<b>{title}</b>")
    if graph is not None:
        figures.append(element("figure", graph + caption))
    columns = element("div", "".join(figures), class_="columns")
    tree = "" if on_map else element("div", goal_tree(first), class_="scroll tall") + caption
    note = (
        "Goal graph: each achieved goal is joined to the one that it was first reached from, the last discovered of those "
        "achieved a step before; one seed."
    )
    note += " Band: lowest and highest seed." if any(line.band is not None for line in lines) else ""
    ramp = ramp_legend("seen last", "seen first") if on_map else ""
    return card("Discovery", legend([result.label for result in results]), columns, tree, ramp, note=note, id_="discovery")


def goal_tree(discoveries: Discoveries) -> str:
    """
    Draw the achieved goals as an indented tree, each below the goal that it was first reached from.

    :param discoveries: the discoveries of a training
    """
    children: dict[int, list[int]] = {}
    for goal in discoveries.order.tolist():
        children.setdefault(int(discoveries.origins[goal]), []).append(goal)
    waiting = [(goal, 0, -1) for goal in reversed(children.get(-1, []))]
    parts, row, right = [], 0, 0.0
    while waiting:
        goal, depth, parent_row = waiting.pop()
        x, y = 10.0 + depth * _INDENT, 12.0 + row * _ROW
        if parent_row >= 0:
            top, left = 12.0 + parent_row * _ROW + 5.0, x - _INDENT
            parts.append(f'<path d="M{left:.1f} {top:.1f}V{y:.1f}H{x - 5:.1f}" class="edge"/>')
        name = shortened(discoveries.goal_names[goal], _MAX_NAME)
        label = f"{name}, {short_number(float(discoveries.steps[goal]))}"
        title = f"{discoveries.goal_names[goal]}: after {discoveries.steps[goal]:,} steps"
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.4" class="node"><title>{text(title)}</title></circle>')
        parts.append(f'<text x="{x + 9:.1f}" y="{y + 4:.1f}">{text(label)}</text>')
        waiting += [(child, depth + 1, row) for child in reversed(children.get(goal, []))]
        row, right = row + 1, max(right, x + 15.0 + _LETTER * len(label))
    drawing = svg(right, 12.0 + row * _ROW, "".join(parts), "Goal graph", "tree")
    # Not scaled to the available width, as charts are.
    return drawing.replace("<svg ", f'<svg style="width:{right:.0f}px" ', 1)


def _graph_on_map(result: RunResults, discoveries: Discoveries) -> str | None:
    """Draw the goals with positions as a map, colored by the order of discovery, and the graph on it."""
    located = locate_goals(result.report, result.run.config.find_environment().make(), result.run.config.goal_points)
    if located is None or len(located[1].layers()) > 1:
        return None
    report, positions = located
    rank = np.full(len(discoveries.goal_names), np.nan)
    order = discoveries.order
    rank[order] = 1.0 - np.arange(len(order)) / max(len(order) - 1, 1)
    titles = [
        f"{name}: {f'first seen after {step:,} steps' if step >= 0 else 'never seen'}"
        for name, step in zip(report.goal_names, discoveries.steps[report.goal_ids].tolist(), strict=True)
    ]
    index = {goal: number for number, goal in enumerate(report.goal_ids.tolist())}
    pairs = [(index[goal], index.get(int(discoveries.origins[goal]))) for goal in order.tolist() if goal in index]
    edges = np.array([(goal, origin) for goal, origin in pairs if origin is not None], dtype=np.int64).reshape(-1, 2)
    values: FloatArray = rank[report.goal_ids]
    return goal_map(positions, values, titles, "Goal graph", edges=edges)
