"""Students of all goals: they learn the values and actions of a teacher, from its own steps or from a dataset."""

import gymnasium as gym
import numpy as np
import pytest
import torch as th

import leo_envs
from leo_agents import LEODQN, LEOPQN, LEOSAC, LEOTD3, PQN, collect_dataset, distill
from leo_agents.learning.policy_data import load_policy
from leo_wrappers import MultiGoalWrapper
from tests.line_env import LineEnv, line_goals, make_line

gym.register_envs(leo_envs)
SMALL = {"policy_kwargs": {"net_arch": [32]}, "seed": 0, "device": "cpu"}
TEACHERS = {"leodqn": (LEODQN, LEOPQN), "leotd3": (LEOTD3, LEOSAC)}


def make_env(kind="leodqn"):
    return make_line(start=None) if kind == "leodqn" else gym.make("leo/MountainCarContinuous-v0")


def make_teacher(algorithm):
    """Return an untrained agent whose heads, which start at zero, have random weights."""
    model = algorithm("MultiGoalPolicy", make_env("leodqn" if algorithm in TEACHERS["leodqn"] else "leotd3"), **SMALL)
    with th.no_grad():
        for name, parameter in model.policy.named_parameters():
            if "head" in name:
                parameter.copy_(th.randn(parameter.shape, generator=th.Generator().manual_seed(0)) * 0.2)
    return model


@pytest.mark.parametrize(("kind", "algorithm"), [(kind, one) for kind, pair in TEACHERS.items() for one in pair])
def test_students_of_all_goals_learn_values_and_actions(kind, algorithm):
    teacher, env = make_teacher(algorithm), make_env(kind)
    before = {name: value.clone() for name, value in teacher.policy.state_dict().items()}
    dataset = collect_dataset(make_env(kind), 300)
    states = dataset.observations["observation"][:50]
    student = distill(
        teacher,
        kind,
        dataset=dataset,
        steps=400,
        batch_size=64,
        learning_rate=1e-2,
        seed=1,
        **{"policy_kwargs": {"net_arch": [24]}},
    )
    for name, value in teacher.policy.state_dict().items():
        assert th.equal(value, before[name]), name
    spread = teacher.values(states).std()
    assert np.abs(student.values(states) - teacher.values(states)).max() < 0.5 * spread
    for state in states[:10]:
        for goal in range(len(env.get_wrapper_attr("goal_names"))):
            difference = np.abs(student.act(state, goal) - teacher.act(state, goal))
            assert np.max(difference) < 0.1 if kind == "leotd3" else True
    # Further training starts from equal target networks.
    weights = student.policy.state_dict()
    targets = [name for name in weights if "_target." in name]
    assert targets and all(th.equal(weights[name], weights[name.replace("_target.", ".")]) for name in targets)
    student.learn(20)


def test_greedy_actions_are_those_of_the_teacher():
    teacher = make_teacher(LEODQN)
    student = distill(teacher, "leodqn", steps=500, batch_size=32, learning_rate=1e-2, epsilon=1.0, seed=0)
    states = np.arange(5.0, dtype=np.float32)[:, None]
    gaps = np.abs(np.diff(teacher.q_values(states), axis=2))[..., 0]
    same = student.q_values(states).argmax(axis=2) == teacher.q_values(states).argmax(axis=2)
    assert gaps.max() > 0.05 and same[gaps > 0.05].all()


def test_a_smaller_student_is_saved_like_any_model(tmp_path):
    teacher = make_teacher(LEODQN)
    student = distill(teacher, "leodqn", steps=5, seed=0, policy_kwargs={"net_arch": [8]})
    size, teacher_size = (sum(one.numel() for one in model.q_net.parameters()) for model in (student, teacher))
    assert size < teacher_size
    student.save(tmp_path / "student")
    state = np.array([2.0], dtype=np.float32)
    for loaded in (LEODQN.load(tmp_path / "student"), load_policy(tmp_path / "student.zip")):
        np.testing.assert_array_equal(loaded.values(state), student.values(state))
    exported = student.policy.to_torchscript()(th.tensor(state[None]), th.tensor([3]))
    np.testing.assert_allclose(exported.detach().numpy(), student.q_values(state)[:, 3], rtol=1e-5)


def test_a_policy_loaded_as_data_is_a_teacher(tmp_path):
    teacher = make_teacher(LEODQN)
    teacher.save(tmp_path / "teacher")
    loaded = load_policy(tmp_path / "teacher.zip")
    with pytest.raises(ValueError, match="expected environments to visit states in, got none; pass env"):
        distill(loaded, "leodqn", steps=1)
    first, second = (distill(one, "leodqn", make_env(), steps=5, seed=0) for one in (teacher, loaded))
    np.testing.assert_array_equal(first.values(np.zeros((1, 1))), second.values(np.zeros((1, 1))))


@pytest.mark.parametrize(
    ("algorithm", "kind", "message"),
    [
        (PQN, "leodqn", "expected a LEOPQN or a LEODQN as teacher of a 'leodqn', got PQN"),
        (LEODQN, "leotd3", "expected a LEOTD3 or a LEOSAC of a finite goal set as teacher of a 'leotd3', got LEODQN"),
    ],
)
def test_teachers_of_other_kinds(algorithm, kind, message):
    with pytest.raises(TypeError, match=message):
        distill(algorithm("MultiGoalPolicy", make_env(), **SMALL), kind)


def test_datasets_of_other_goals_or_types():
    teacher = make_teacher(LEODQN)
    other = MultiGoalWrapper(LineEnv(start=None), line_goals().subset([1, 0, 2, 3, 4]))
    with pytest.raises(ValueError, match="in another order"):
        distill(teacher, "leodqn", dataset=collect_dataset(other, 20))
    with pytest.raises(TypeError, match="expected dataset to be a GoalDataset"):
        distill(teacher, "leodqn", dataset=[1])
