"""Pretrained teachers and their arguments: what fits the environment and the student."""

from typing import Any

from gymnasium import spaces

from leo_agents.leo_dqn import LEODQN
from leo_agents.leo_pqn import LEOPQN
from leo_agents.networks.state_network import state_space

PretrainedTeacher = LEOPQN | LEODQN

# Arguments of LEOPQN that the teacher has on its own; the others are the student's, or about acting.
TEACHER_OPTIONS = (
    "learning_rate",
    "batch_size",
    "n_epochs",
    "q_lambda",
    "max_grad_norm",
    "loss",
    "goal_reduction",
    "amp",
    "cuda_graph",
    "head",
    "paper_mode",
    "policy_kwargs",
)


def check_teacher_kwargs(teacher: Any, teacher_kwargs: dict[str, Any] | None) -> None:
    """
    Raise an error for a pretrained teacher of another kind, and for arguments that a teacher does not have.

    :param teacher: pretrained teacher, or None
    :param teacher_kwargs: arguments of the teacher
    """
    given = set(teacher_kwargs or {})
    if given - set(TEACHER_OPTIONS):
        raise ValueError(f"expected teacher_kwargs among {TEACHER_OPTIONS}, got {sorted(given - set(TEACHER_OPTIONS))}")
    if teacher is None:
        return
    check_teacher_kind(teacher)
    network = {"policy_kwargs", "head", "paper_mode"} & given
    if network:
        raise ValueError(f"expected teacher_kwargs without {sorted(network)}, got some: a pretrained teacher has its network")


def check_teacher_kind(teacher: Any) -> None:
    """
    Raise a ``TypeError`` unless a pretrained teacher has values of all goals.

    :param teacher: the teacher
    """
    if not isinstance(teacher, PretrainedTeacher):
        raise TypeError(f"expected a LEOPQN or a LEODQN as teacher, got {type(teacher).__name__}")


def check_teacher_fits(
    teacher: Any,
    goal_names: tuple[str, ...],
    observation_space: spaces.Space[Any],
    action_space: spaces.Space[Any],
) -> None:
    """
    Raise a ``ValueError`` unless a pretrained teacher has the environment's goals, observations and actions.

    :param teacher: the teacher
    :param goal_names: goals of the environment
    :param observation_space: of the goal-conditioned environment
    :param action_space: of the environment
    """
    names = tuple(teacher.goal_names)
    if names != goal_names:
        found = "the same goals in another order" if set(names) == set(goal_names) else f"one of {len(names)} other goals"
        raise ValueError(f"expected a teacher of the {len(goal_names)} goals of the environment, got {found}")
    for what, expected, actual in (
        ("observations", state_space(observation_space), state_space(teacher.observation_space)),
        ("actions", action_space, teacher.action_space),
    ):
        if expected != actual:
            raise ValueError(f"expected a teacher of the environment's {what}, {expected}, got one of {actual}")


def network_of(teacher: PretrainedTeacher | None) -> dict[str, Any]:
    """Return the arguments that create a network like that of a pretrained teacher."""
    if teacher is None:
        return {}
    policy_kwargs = {name: value for name, value in teacher.policy_kwargs.items() if name != "goal_names"}
    return {"policy_kwargs": policy_kwargs, "loss": teacher.loss}
