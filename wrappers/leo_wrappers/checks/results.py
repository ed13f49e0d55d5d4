"""What resets and steps return, for one environment and for a row of a vector environment."""

from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from leo_wrappers.goal_set import BoolArray


@dataclass
class ResetResult:
    """The first state of an episode."""

    observation: Any
    mask: BoolArray
    info: dict[str, Any] = field(default_factory=dict)


@dataclass
class StepResult:
    """The state after a step, before any reset."""

    observation: Any
    mask: BoolArray
    reward: float
    done: bool
    terminated: bool | None
    """None where a vector environment does not distinguish termination from truncation."""
    truncated: bool | None
    info: dict[str, Any] = field(default_factory=dict)
    reset: ResetResult | None = None
    """The reset that followed in the same step of a vector environment, if any."""


Result = ResetResult | StepResult
AnyResult = TypeVar("AnyResult", bound=ResetResult | StepResult)


def copy_result(result: AnyResult) -> AnyResult:
    """
    Copy a result without its info, which may be large or impossible to copy.

    :param result: the result
    """
    return replace(result, observation=deepcopy(result.observation), mask=result.mask.copy(), info={})
