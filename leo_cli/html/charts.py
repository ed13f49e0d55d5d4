"""Charts as SVG, colored by the style sheet for light and dark mode."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leo_agents.evaluation.chart_data import FamilyRates
from leo_agents.evaluation.goal_report import FloatArray
from leo_agents.evaluation.report_text import percent, short_number
from leo_cli.html.colors import run_color
from leo_cli.html.markup import element, text

_WIDTH, _HEIGHT = 480, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 12, 40


@dataclass(frozen=True, eq=False)
class Line:
    """
    A line of a chart.

    :param label: name of the line
    :param xs: environment steps, ``[T]``
    :param ys: values, ``[T]``
    :param band: lower and upper bound around the values, ``[2, T]``, if known
    """

    label: str
    xs: FloatArray
    ys: FloatArray
    band: FloatArray | None = None


def line_chart(lines: Sequence[Line], *, limit: float, unit: str, description: str) -> str:
    """
    Draw lines over environment steps.

    :param lines: one line per run
    :param limit: highest possible value; the vertical axis ends there, or at a fraction of it above all lines
    :param unit: unit of the values
    :param description: text alternative
    """
    right = max((float(line.xs[-1]) for line in lines if len(line.xs)), default=1.0)
    highest = max(
        (float(np.max([line.ys, *([] if line.band is None else line.band)], initial=0.0)) for line in lines), default=0.0
    )
    top = next(part * limit for part in (0.1, 0.25, 0.5, 1.0) if highest <= part * limit or part == 1.0)
    parts = [_grid(top, unit, right)]
    for number, line in enumerate(lines):
        color = run_color(number)
        points = list(zip(_across(line.xs, right), _up(line.ys, top), strict=True))
        if line.band is not None:
            low, high = (list(zip(_across(line.xs, right), _up(bounds, top), strict=True)) for bounds in line.band)
            parts.append(f'<polygon points="{_points([*low, *reversed(high)])}" style="fill:{color}" opacity=".18"/>')
        parts.append(f'<polyline points="{_points(points)}" style="stroke:{color}" class="curve"/>')
        for (x, y), step, value in zip(points, line.xs, line.ys, strict=True):
            title = text(f"{line.label}: {value:.3g}{unit} after {step:,.0f} steps")
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" style="fill:{color}"><title>{title}</title></circle>')
    return svg(_WIDTH, _HEIGHT, "".join(parts), description)


def family_chart(rates: FamilyRates, description: str) -> str:
    """
    Draw success rates by family as groups of horizontal bars with 95 % intervals.

    :param rates: success rates of each family and run
    :param description: text alternative
    """
    num_runs = len(rates.agents)
    bar, gap, left = (15 if num_runs == 1 else 11), 14, 138
    height = 26 + len(rates.families) * (num_runs * bar + gap)
    wide = _WIDTH - left - 46
    parts = [f'<line x1="{left + wide * tick}" x2="{left + wide * tick}" y1="4" y2="{height - 18}" class="grid"/>'
             f'<text x="{left + wide * tick}" y="{height - 4}" text-anchor="middle">{100 * tick:.0f} %</text>'
             for tick in (0, 0.5, 1)]  # fmt: skip
    for row, group in enumerate(rates.labels):
        y = 8 + row * (num_runs * bar + gap)
        base = y + num_runs * bar / 2 + 4
        parts.append(f'<text x="{left - 8}" y="{base}" text-anchor="end">{text(shortened(group, 20))}</text>')
        for number, run in enumerate(rates.agents):
            value, (low, high) = rates.rates[row, number], rates.intervals[row, number]
            if np.isnan(value):
                continue
            at, middle = y + number * bar, y + number * bar + bar / 2
            title = f"{group}, {run}: {100 * value:.1f} %, 95 % interval {100 * low:.1f} to {100 * high:.1f}"
            box = f'x="{left}" y="{at + 1}" width="{max(wide * value, 1):.1f}" height="{bar - 2}" rx="2"'
            line = f'x1="{left + wide * low:.1f}" x2="{left + wide * high:.1f}" y1="{middle}" y2="{middle}"'
            drawn = f'<rect {box} style="fill:{run_color(number)}"/><line {line} class="whisker"/>'
            parts.append(f"<g><title>{text(title)}</title>{drawn}</g>")
        if num_runs == 1 and not np.isnan(rates.rates[row, 0]):
            parts.append(f'<text x="{left + wide + 8}" y="{base}">{percent(rates.rates[row, 0], 0)}</text>')
    return svg(_WIDTH, height, "".join(parts), description)


def svg(width: float, height: float, content: str, description: str, class_: str = "chart") -> str:
    """
    Build an SVG element that scales to the available width.

    :param width: width in its own units
    :param height: height in its own units
    :param content: markup inside the element
    :param description: text alternative
    :param class_: CSS class
    """
    return element("svg", content, viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=description, class_=class_)


def legend(labels: Sequence[str]) -> str:
    """Build the legend of the run colors from the runs' names; empty for a single run."""
    if len(labels) < 2:
        return ""
    items = [f'<li><i style="background:{run_color(number)}"></i>{text(label)}</li>' for number, label in enumerate(labels)]
    return element("ul", "".join(items), class_="legend")


def _grid(top: float, unit: str, right: float) -> str:
    parts = []
    for value in _ticks(top, whole=not unit):
        y = float(_up(np.array([value]), top)[0])
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}{unit}</text>')
    for step in _ticks(right):
        x = float(_across(np.array([step]), right)[0])
        anchor = "end" if x > _WIDTH - 30 else "middle"
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="{anchor}">{short_number(step)}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 4}" text-anchor="middle" class="label">environment steps</text>')
    return "".join(parts)


def _ticks(right: float, whole: bool = True) -> list[float]:
    rough = max(right / 4, 1.0 if whole else 1e-9)
    size = 10.0 ** np.floor(np.log10(rough))
    factors = (1, 2, 5, 10) if whole and size < 10 else (1, 2, 2.5, 5, 10)
    step = min((size * factor for factor in factors), key=lambda candidate: abs(candidate - rough))
    return [float(tick) for tick in np.arange(0.0, right * 1.0001, step)]


def _across(xs: FloatArray, right: float) -> FloatArray:
    result: FloatArray = _LEFT + np.asarray(xs, dtype=np.float64) / max(right, 1e-9) * (_WIDTH - _LEFT - _RIGHT)
    return result


def _up(ys: FloatArray, top: float) -> FloatArray:
    fractions = np.clip(np.nan_to_num(np.asarray(ys, dtype=np.float64)) / max(top, 1e-9), 0.0, 1.0)
    result: FloatArray = _HEIGHT - _BOTTOM - fractions * (_HEIGHT - _TOP - _BOTTOM)
    return result


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def shortened(name: str, length: int) -> str:
    """Shorten a name to a maximum number of characters, with an ellipsis."""
    return name if len(name) <= length else name[: length - 1] + "…"
