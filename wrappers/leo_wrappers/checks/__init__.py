"""Checkers of the multi-goal contract: for environments, vector environments, and as a wrapper during training."""

from leo_wrappers.checks.checker import ContractChecker
from leo_wrappers.checks.env import check_multigoal_env
from leo_wrappers.checks.errors import ContractError
from leo_wrappers.checks.tasks import check_task_env
from leo_wrappers.checks.vector import check_multigoal_vec_env

__all__ = ["ContractChecker", "ContractError", "check_multigoal_env", "check_multigoal_vec_env", "check_task_env"]
