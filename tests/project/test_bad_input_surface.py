"""Every public function and class is in a table or test of bad input; see ``test_bad_input``."""

import importlib

import pytest

from tests.project import test_bad_input, test_bad_input_checks, test_bad_input_evaluation, test_bad_input_policies

PACKAGES = (
    "leo_wrappers",
    "leo_wrappers.programs",
    "leo_wrappers.tasks",
    "leo_wrappers.sb3",
    "leo_wrappers.testing",
    "leo_wrappers.jax_envs",
    "leo_agents",
    "leo_agents.evaluation",
    "leo_agents.programs",
    "leo_agents.baselines",
    "leo_agents.learning",
    "leo_agents.distributed",
)
TESTED_ELSEWHERE = {
    **dict.fromkeys(("DistributedLearning", "RayVecEnv"), "tests of leo_agents.distributed, which need Ray"),
    **dict.fromkeys(("from_minari", "to_minari"), "tests of GoalDataset, which need Minari"),
    "FixedGoal": test_bad_input_evaluation.fixed_goal,
    "InverseModel": "tests.agents.test_inverse_model",
    **dict.fromkeys(
        ("compile_program", "first_completion", "goal", "parse_program", "repeat"), "tests.wrappers.test_programs"
    ),
    **dict.fromkeys(("ProgramWrapper", "ProgramVectorWrapper"), "tests.wrappers.test_program_wrapper"),
    **dict.fromkeys(
        ("ProgramPlanner", "ProgramPolicy", "collect_goal_observations", "evaluate_programs"),
        "tests.agents.test_program_policy",
    ),
    **dict.fromkeys(
        (
            *("FunctionTasks", "GoalTasks", "PreferenceTasks", "RewardTasks", "Task", "TaskVectorWrapper", "TaskWrapper"),
            *("VectorRewardWrapper", "multi_objective_env", "preference_grid"),
        ),
        "tests.wrappers.test_tasks",
    ),
    **dict.fromkeys(
        ("evaluate_preferences", "evaluate_tasks", "hypervolume", "pareto_front"), "tests.agents.test_task_learning"
    ),
    **dict.fromkeys(("task_sets", "transitions"), "tests.wrappers.test_tasks"),
    **dict.fromkeys(("plot_programs", "run_program"), "tests.agents.test_program_plots"),
    "GoalSequenceWrapper": "tests.wrappers.test_goal_sequence",
    "goal_sequence_dqn": "tests.agents.test_goal_sequences",
    "distill": test_bad_input.test_distillation,
    "from_space": test_bad_input_evaluation.strategy,
    "naive_all_goals_loss": test_bad_input_policies.test_naive_losses,
    "naive_goal_losses": test_bad_input_policies.test_naive_losses,
    **dict.fromkeys(("BatchedEnv", "GymnaxEnv", "JaxEnv", "JaxVecEnv", "JaxVectorEnv"), "test_bad_input_points.TestJax"),
}
EXCEPTIONS = {
    "ArrayStep": "a record that environments create",
    "BatchState": "a record that environments create",
    "Transition": "a record that environments create",
    "ContractError": "an error",
    "FunctionalEnv": "abstract",
    "GoalDiagnostics": "a record that GoalDiagnosticsCallback creates",
    "ProgramRun": "a record that run_program creates",
    "GoalSequenceDQN": "created by goal_sequence_dqn",
    "ProgramResult": "a record that evaluate_programs creates",
    **dict.fromkeys(("PreferenceReport", "TaskResult", "TaskStep"), "records that functions create"),
    "TaskSet": "abstract",
    "Avoidance": "made by an operator of programs",
    "Program": "abstract; made by goal and its operators",
    "ProgramAutomaton": "made by compile_program",
    "GoalSelector": "abstract; its arguments are those of UniformGoals",
    **{
        f"Normalized{name}": "Stable-Baselines3's constructor, which checks its own arguments"
        for name in ("DQN", "PPO", "SAC", "TD3", "TQC")
    },
    "GoalConditionedBC": "created by goal_conditioned_bc",
    "GoalConditionedIQL": "created by goal_conditioned_iql",
    "to_numpy": "takes any nesting of arrays",
    "to_torch": "takes any nesting of JAX arrays",
}


def tables() -> set[str]:
    """Return the names of the functions in all tables."""
    modules = (test_bad_input, test_bad_input_checks, test_bad_input_evaluation, test_bad_input_policies)
    dictionaries = [value for module in modules for value in vars(module).values() if isinstance(value, dict)]
    functions = {function for dictionary in dictionaries for function in dictionary}
    return {function.__name__ for function in functions if callable(function)}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_tested(package):
    if package == "leo_wrappers.jax_envs":
        pytest.importorskip("jax")
    names = importlib.import_module(package).__all__
    missing = [name for name in names if name not in {*tables(), *TESTED_ELSEWHERE, *EXCEPTIONS}]
    assert not missing, f"add {missing} to a table of bad input"


def test_the_exceptions_are_public_and_in_no_table():
    pytest.importorskip("jax")
    names = {name for package in PACKAGES for name in importlib.import_module(package).__all__}
    assert {*TESTED_ELSEWHERE, *EXCEPTIONS} <= names
    assert not tables() & {*TESTED_ELSEWHERE, *EXCEPTIONS}
