"""Section of the report on the stability of learning, from the diagnostics that training has logged."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from leo_agents.evaluation.goal_report import FloatArray
from leo_cli.html.charts import Line, legend, line_chart
from leo_cli.html.markup import card, element, text
from leo_cli.results import RunResults

_STEPS, _PREFIX = "time/total_timesteps", "diagnostics/"
_CHARTS = {
    "td_error_mean": "TD error, mean over goals",
    "unseen_value_max": "largest value of goals that were never achieved",
    "dead_heads": "goals whose values are the same everywhere",
}


def stability_section(results: Sequence[RunResults]) -> str:
    """Build the curves of the diagnostics of each run's first seed; empty if none were logged."""
    logged = {result.label: _read(result.seeds[0].progress) for result in results}
    figures = []
    for name, title in _CHARTS.items():
        lines = [Line(label, *table[name]) for label, table in logged.items() if name in table]
        if len(lines) == len(results):
            limit = float(len(results[0].run.config.goals)) if name == "dead_heads" else 1.0
            chart = line_chart(lines, limit=limit, unit="", description=title)
            figures.append(f"<figure>{chart}<figcaption>{text(title)}</figcaption></figure>")
    if not figures:
        return ""
    several = any(len(result.seeds) > 1 for result in results)
    note = "From transitions of the training. Values are probabilities; those of goals never achieved should be small."
    note += " First seed of each run." if several else ""
    parts = legend([result.label for result in results]) + element("div", "".join(figures), class_="columns")
    return card("Stability", parts, note=note, id_="stability")


def _read(progress: Path) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Read steps and values of each diagnostic."""
    columns: dict[str, list[tuple[float, float]]] = {}
    if progress.exists():
        with open(progress, newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                for key, value in row.items():
                    if key is not None and key.startswith(_PREFIX) and value and row.get(_STEPS):
                        columns.setdefault(key.removeprefix(_PREFIX), []).append((float(row[_STEPS] or 0), float(value)))
    return {name: (np.array(pairs)[:, 0], np.array(pairs)[:, 1]) for name, pairs in columns.items()}
