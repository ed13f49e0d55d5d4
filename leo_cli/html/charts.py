"""Charts as SVG, in the page's own colours, so that they follow light and dark."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from leo_agents.evaluation.goal_report import FloatArray
from leo_agents.evaluation.plots import short_number
from leo_cli.html.colours import run_colour
from leo_cli.html.markup import element, text

_WIDTH, _HEIGHT = 480, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 12, 40


@dataclass(frozen=True, eq=False)
class Line:
    """
    A curve.

    :param label: what it is of
    :param xs: its points
    :param ys: their heights
    :param band: lower and upper ends around it, if known
    """

    label: str
    xs: FloatArray
    ys: FloatArray
    band: FloatArray | None = None


def line_chart(lines: Sequence[Line], *, limit: float, unit: str, description: str) -> str:
    """
    :param lines: curves, in the colours of their runs
    :param limit: the highest value there can be; the vertical axis goes from 0 to it, or to a part of it that holds the curves
    :param unit: behind its numbers
    :param description: for those who cannot see it
    :return: markup
    """
    right = max((float(line.xs[-1]) for line in lines if len(line.xs)), default=1.0)
    highest = max(
        (float(np.max([line.ys, *([] if line.band is None else line.band)], initial=0.0)) for line in lines), default=0.0
    )
    top = next(share * limit for share in (0.1, 0.25, 0.5, 1.0) if highest <= share * limit or share == 1.0)
    parts = [_grid(top, unit, right)]
    for number, line in enumerate(lines):
        colour = run_colour(number)
        points = list(zip(_across(line.xs, right), _up(line.ys, top), strict=True))
        if line.band is not None:
            low, high = (list(zip(_across(line.xs, right), _up(ends, top), strict=True)) for ends in line.band)
            parts.append(f'<polygon points="{_points([*low, *reversed(high)])}" style="fill:{colour}" opacity=".18"/>')
        parts.append(f'<polyline points="{_points(points)}" style="stroke:{colour}" class="curve"/>')
        for (x, y), step, value in zip(points, line.xs, line.ys, strict=True):
            title = text(f"{line.label}: {value:.3g}{unit} after {step:,.0f} steps")
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" style="fill:{colour}"><title>{title}</title></circle>')
    return svg(_WIDTH, _HEIGHT, "".join(parts), description)


def bar_chart(groups: Sequence[str], runs: Sequence[str], values: FloatArray, ends: FloatArray, description: str) -> str:
    """
    Groups of bars from 0 to 100 %.

    :param groups: what each group is called
    :param runs: what each bar in a group is called
    :param values: from 0 to 1, ``[groups, runs]``
    :param ends: of the intervals ``[groups, runs, 2]``
    :param description: for those who cannot see it
    :return: markup
    """
    bar, gap, left = (15 if len(runs) == 1 else 11), 14, 138
    height = 26 + len(groups) * (len(runs) * bar + gap)
    wide = _WIDTH - left - 46
    parts = [f'<line x1="{left + wide * share}" x2="{left + wide * share}" y1="4" y2="{height - 18}" class="grid"/>'
             f'<text x="{left + wide * share}" y="{height - 4}" text-anchor="middle">{100 * share:.0f} %</text>'
             for share in (0, 0.5, 1)]  # fmt: skip
    for row, group in enumerate(groups):
        y = 8 + row * (len(runs) * bar + gap)
        base = y + len(runs) * bar / 2 + 4
        parts.append(f'<text x="{left - 8}" y="{base}" text-anchor="end">{text(shortened(group, 20))}</text>')
        for number, run in enumerate(runs):
            value, (low, high) = values[row, number], ends[row, number]
            if np.isnan(value):
                continue
            at, middle = y + number * bar, y + number * bar + bar / 2
            title = f"{group}, {run}: {100 * value:.1f} %, 95 % interval {100 * low:.1f} to {100 * high:.1f}"
            box = f'x="{left}" y="{at + 1}" width="{max(wide * value, 1):.1f}" height="{bar - 2}" rx="2"'
            line = f'x1="{left + wide * low:.1f}" x2="{left + wide * high:.1f}" y1="{middle}" y2="{middle}"'
            drawn = f'<rect {box} style="fill:{run_colour(number)}"/><line {line} class="whisker"/>'
            parts.append(f"<g><title>{text(title)}</title>{drawn}</g>")
        parts.append(f'<text x="{left + wide + 8}" y="{base}">{_percents(values[row])}</text>')
    return svg(_WIDTH, height, "".join(parts), description)


def svg(width: float, height: float, content: str, description: str, class_: str = "chart") -> str:
    """
    :param width: in its own units
    :param height: in its own units
    :param content: markup inside
    :param description: for those who cannot see it
    :param class_: of the element
    :return: a picture that is as wide as there is room
    """
    return element("svg", content, viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=description, class_=class_)


def legend(labels: Sequence[str]) -> str:
    """
    :param labels: of the runs
    :return: what the colours mean; nothing for a single run
    """
    if len(labels) < 2:
        return ""
    items = [f'<li><i style="background:{run_colour(number)}"></i>{text(label)}</li>' for number, label in enumerate(labels)]
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
    shares = np.clip(np.nan_to_num(np.asarray(ys, dtype=np.float64)) / max(top, 1e-9), 0.0, 1.0)
    result: FloatArray = _HEIGHT - _BOTTOM - shares * (_HEIGHT - _TOP - _BOTTOM)
    return result


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _percents(values: FloatArray) -> str:
    known = [f"{100 * value:.0f}" for value in values if not np.isnan(value)]
    return known[0] + " %" if len(values) == 1 and known else ""


def shortened(name: str, length: int) -> str:
    """
    :param name: any text
    :param length: the most characters
    :return: it, or its beginning
    """
    return name if len(name) <= length else name[: length - 1] + "…"
