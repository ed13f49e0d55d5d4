"""Data of curves and family bars, shared by tables, figures and the HTML report."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # goal_report imports this module to print reports
    from leo_agents.evaluation.goal_report import FloatArray, GoalReport, IntArray


@dataclass(frozen=True, eq=False)
class SuccessCurve:
    """
    Success over a training.

    :param label: name of the curve
    :param timesteps: environment steps at each evaluation, ``[T]``
    :param success: mean success rate over goals, ``[T]``
    :param num_learned: number of learned goals, mean over seeds, ``[T]``
    :param band: lower and upper bound around ``success``, ``[2, T]``, if known
    """

    label: str
    timesteps: "IntArray"
    success: "FloatArray"
    num_learned: "FloatArray"
    band: "FloatArray | None" = None


@dataclass(frozen=True, eq=False)
class FamilyRates:
    """
    Mean success rate of each family of goals, for one or more agents.

    :param agents: names of the agents, ``[N]``
    :param families: names of the families, ``[F]``
    :param sizes: number of goals in each family, ``[F]``
    :param rates: mean success rates, ``[F, N]``; NaN without attempts
    :param intervals: their 95 % intervals, ``[F, N, 2]``
    """

    agents: tuple[str, ...]
    families: tuple[str, ...]
    sizes: tuple[int, ...]
    rates: "FloatArray"
    intervals: "FloatArray"

    @property
    def labels(self) -> list[str]:
        """Name and size of each family."""
        return [f"{family} ({size})" for family, size in zip(self.families, self.sizes, strict=True)]


def family_rates(reports: "Mapping[str, GoalReport]", total: str | None = None) -> FamilyRates:
    """
    Compute mean success rates and intervals by family, in order of first appearance.

    :param reports: report of each agent by name, all on the same goals
    :param total: name of an additional last row over all goals, left out if there is only one family
    :return: the rates
    """
    columns = [report.by_family() for report in reports.values()]
    if total is not None and len(columns[0]) > 1:
        columns = [{**column, total: report} for column, report in zip(columns, reports.values(), strict=True)]
    families = tuple(columns[0])
    return FamilyRates(
        tuple(reports),
        families,
        tuple(len(columns[0][family]) for family in families),
        np.array([[column[family].mean_success for column in columns] for family in families]),
        np.array([[column[family].mean_interval() for column in columns] for family in families]),
    )
