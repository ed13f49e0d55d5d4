"""Bad input to policies, learners, replay buffers, saved models and JAX environments; see ``test_bad_input``."""

import copy
import re
import zipfile
from functools import partial
from math import nan
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3 import DQN, TD3

from leo_agents import LEODQN, LEOPQN, LEOSAC, LEOTD3, PQN, DualLEOPPO, DualLEOPQN, ExactCheckpoints, resume
from leo_agents.baselines import (
    AllGoalsReplayBuffer,
    BoundedDQNPolicy,
    GoalDescriptorExtractor,
    GoalEnvSACPolicy,
    GoalEnvTD3Policy,
    GoalEnvTQCPolicy,
    GoalInputDQNPolicy,
    GoalInputPPOPolicy,
    GoalInputSACPolicy,
    GoalInputTD3Policy,
    GoalInputTQCPolicy,
    GoalSequenceExtractor,
    MaskHerReplayBuffer,
    SequenceReplayBuffer,
    goal_env_actor_critic,
    naive_all_goals_loss,
    naive_goal_losses,
)
from leo_agents.baselines.pqn.policies import PQNPolicy
from leo_agents.dual_leo.policies import DualLEOPPOPolicy, DualLEOPQNPolicy
from leo_agents.learning import AllGoalsQLearner, RolloutQLearner
from leo_agents.learning.checkpoints import save_checkpoint
from leo_agents.learning.policy_data import PolicyAgent, load_policy, why_pickled
from leo_agents.leo_dqn.policies import LEODQNPolicy
from leo_agents.leo_pqn.policies import LEOPQNPolicy
from leo_agents.leo_sac.policies import LEOSACPointPolicy, LEOSACPolicy
from leo_agents.leo_td3.policies import LEOTD3PointPolicy, LEOTD3Policy
from leo_agents.replay.goal_replay_buffer import GoalReplayBuffer
from leo_agents.replay.point_goal_buffer import PointGoalReplayBuffer
from tests.agents.plane_point import PlanePoint
from tests.line_env import LineEnv, make_line
from tests.project.test_bad_input import (
    ALGORITHMS,
    CHOICE,
    ENV,
    FLAG,
    FRACTION,
    FRACTION_OR_NONE,
    NAMES,
    NATURAL_NUMBER,
    NOT_CLASSES,
    NOT_DICTS,
    POSITIVE,
    POSITIVE_INTEGER,
    Table,
    assert_rejected,
    cases,
    trained,
)

pytestmark = pytest.mark.timeout(60)

POINT = spaces.Box(-1.0, 1.0, (2,), np.float32)
SPACE = spaces.Dict({"observation": POINT, "goal_id": spaces.Discrete(2)})
SEQUENCES = spaces.Dict({"observation": POINT, "goal_sequence": spaces.MultiDiscrete([3, 3])})
GOAL_SPACE = spaces.Dict({"observation": POINT, "achieved_goal": POINT, "desired_goal": POINT})
WITHOUT_GOAL = (3, None, "space", POINT, spaces.Dict({"observation": POINT}), spaces.Dict({"goal_id": spaces.Discrete(2)}))
WITHOUT_SEQUENCE = (*WITHOUT_GOAL, SPACE, spaces.Dict({"goal_sequence": spaces.MultiDiscrete([3, 3])}))
NET_ARCH = (3, "wide", [0], [-1], [1.5], ["a"], [nan], [True], [None])
DEVICE = (3, "gpu", None, [])
PATH = (3, None, True, [], {}, b"bytes")


def schedule(progress: float) -> float:
    return 1e-3


SWITCH = tuple(value for value in FLAG if value is not None)  # None is the default of the policy
POLICY_ARGUMENTS = {
    "action_space": (3, None, "space", spaces.Dict({}), spaces.Text(3)),
    "lr_schedule": (3, None, "fast", lambda progress: nan, lambda progress: -1.0),
    **dict.fromkeys(("activation_fn", "features_extractor_class", "optimizer_class"), tuple(x for x in NOT_CLASSES if x)),
    **dict.fromkeys(("features_extractor_kwargs", "optimizer_kwargs"), tuple(x for x in NOT_DICTS if x != [])),
    "net_arch": NET_ARCH,
    "normalize_images": SWITCH,
    "normalize_observations": SWITCH,
}
GOAL_POLICY_ARGUMENTS = {
    **POLICY_ARGUMENTS,
    "observation_space": WITHOUT_GOAL,
    "goal_names": (*NAMES, None, ["a"], ["a", "b", "c"]),
}
ALL_GOALS = {**GOAL_POLICY_ARGUMENTS, "layer_norm": SWITCH, "squash": SWITCH}
ONE_GOAL = {**GOAL_POLICY_ARGUMENTS, "goal_points": (3, "ab", [], [[0.0]], [[nan], [0.0]])}
DISCRETE = {"observation_space": SPACE, "action_space": spaces.Discrete(3), "lr_schedule": schedule, "goal_names": ("a", "b")}
CONTINUOUS = {**DISCRETE, "action_space": POINT}
POINTS = {**CONTINUOUS, "observation_space": GOAL_SPACE, "goal_names": ()}
GOAL_ENV = {name: value for name, value in POINTS.items() if name != "goal_names"}
VALUE_RANGE = (3, "ab", [], [0.0], [1.0, 0.0], [0.0, 0.0], [nan, 1.0], ["a", "b"])
CRITICS = {
    "n_critics": POSITIVE_INTEGER,
    "share_features_extractor": SWITCH,
    "head_kwargs": NOT_DICTS,
    "encoder_kwargs": NOT_DICTS,
}
POLICIES: Table = {
    LEODQNPolicy: (DISCRETE, {**ALL_GOALS, "head": CHOICE, "head_kwargs": NOT_DICTS, "input_norm": SWITCH}),
    LEOPQNPolicy: (DISCRETE, {**ALL_GOALS, "head": CHOICE, "head_kwargs": NOT_DICTS, "input_norm": SWITCH}),
    PQNPolicy: (DISCRETE, {**ALL_GOALS, "descriptors": (3, "ab", [], [1.0], [[1.0]], [[nan], [1.0]])}),
    DualLEOPQNPolicy: (DISCRETE, {**ALL_GOALS, "combine": CHOICE, "teacher_weight": FRACTION, "teacher_kwargs": NOT_DICTS}),
    DualLEOPPOPolicy: (DISCRETE, {**ONE_GOAL, "descriptors": (3, "ab", [], [1.0], [[1.0]], [[nan], [1.0]])}),
    LEOTD3Policy: (CONTINUOUS, {**ALL_GOALS, **CRITICS}),
    LEOSACPolicy: (CONTINUOUS, {**ALL_GOALS, **CRITICS}),
    LEOTD3PointPolicy: (POINTS, {**ALL_GOALS, **CRITICS, "goal_names": (("a",),)}),
    LEOSACPointPolicy: (POINTS, {**ALL_GOALS, **CRITICS, "goal_names": (("a",),)}),
    BoundedDQNPolicy: (
        {name: value for name, value in DISCRETE.items() if name != "goal_names"},
        {**POLICY_ARGUMENTS, "observation_space": (3, None, POINT), "squash": SWITCH},
    ),
    GoalInputDQNPolicy: (DISCRETE, {**ONE_GOAL, "squash": SWITCH}),
    GoalInputPPOPolicy: (DISCRETE, ONE_GOAL),
    GoalInputTD3Policy: (CONTINUOUS, {**ONE_GOAL, "value_range": VALUE_RANGE}),
    GoalInputSACPolicy: (CONTINUOUS, {**ONE_GOAL, "value_range": VALUE_RANGE}),
    GoalInputTQCPolicy: (CONTINUOUS, {**ONE_GOAL, "value_range": VALUE_RANGE}),
    GoalEnvTD3Policy: (GOAL_ENV, {**POLICY_ARGUMENTS, "observation_space": (3, None, POINT), "value_range": VALUE_RANGE}),
    GoalEnvSACPolicy: (GOAL_ENV, {**POLICY_ARGUMENTS, "observation_space": (3, None, POINT), "value_range": VALUE_RANGE}),
    GoalEnvTQCPolicy: (GOAL_ENV, {**POLICY_ARGUMENTS, "observation_space": (3, None, POINT), "value_range": VALUE_RANGE}),
}


LEARNER = {"policy": LEODQNPolicy(**DISCRETE), "gamma": 0.9}
LEARNERS: Table = {
    AllGoalsQLearner: (
        LEARNER,
        {
            "policy": (3, None, "policy", LEODQNPolicy, th.nn.Linear(2, 2)),
            "gamma": FRACTION,
            "loss": CHOICE,
            "goal_reduction": CHOICE,
            "max_grad_norm": POSITIVE,
            "double_q": FLAG,
            "cut_tolerance": FRACTION_OR_NONE,
            "amp": FLAG,
            "cuda_graph": (2, "yes"),
        },
    ),
    RolloutQLearner: (
        {**LEARNER, "n_epochs": 1, "batch_size": 4},
        {
            "n_epochs": POSITIVE_INTEGER,
            "batch_size": POSITIVE_INTEGER,
            "q_lambda": FRACTION,
            "cut_tolerance": FRACTION_OR_NONE,
            "goals_per_update": (0, -1, 99, 1.5, nan, True, "all"),
            "gamma": FRACTION,
        },
    ),
    PolicyAgent: ({"policy": LEODQNPolicy(**DISCRETE), "gamma": 0.9}, {"policy": (3, None, LEODQNPolicy), "gamma": FRACTION}),
    load_policy: ({"path": "nowhere"}, {"path": PATH}),
    save_checkpoint: (
        {"model": None, "folder": "never-written"},
        {"model": (3, None, LEODQN), "folder": PATH, "keep": POSITIVE_INTEGER},
    ),
    resume: ({"algorithm": LEODQN, "folder": "nowhere"}, {"algorithm": (3, None, "LEODQN", dict), "folder": PATH}),
    ExactCheckpoints: (
        {"folder": "never-written", "save_freq": 10},
        {"folder": PATH, "save_freq": POSITIVE_INTEGER, "keep": POSITIVE_INTEGER, "verbose": (-1, 3, 1.5, "loud", None)},
    ),
    goal_env_actor_critic: (
        {"algorithm": TD3, "env": PlanePoint()},
        {
            "algorithm": (3, None, "TD3", dict, DQN),
            "env": (*ENV, LineEnv(), make_line()),
            "clip_targets": FLAG,
            "normalize": FLAG,
            "gamma": FRACTION,
            "policy_kwargs": NOT_DICTS,
        },
    ),
}

BUFFER = {"buffer_size": 10, "action_space": spaces.Discrete(3)}
BUFFER_ARGUMENTS = {
    "buffer_size": POSITIVE_INTEGER,
    "observation_space": WITHOUT_GOAL,
    "action_space": (3, None, "space", spaces.Dict({})),
    "device": DEVICE,
    "n_envs": POSITIVE_INTEGER,
    "optimize_memory_usage": (True, 2, "yes"),
    "handle_timeout_termination": FLAG,
}
N_STEP = {**BUFFER_ARGUMENTS, "n_steps": (*POSITIVE_INTEGER, 10**9), "gamma": FRACTION}
RELABEL = {**BUFFER_ARGUMENTS, "goal_points": (3, "ab", [[0.0]], [[nan, 0.0]] * 2)}
BUFFERS: Table = {
    PointGoalReplayBuffer: (
        {**BUFFER, "observation_space": GOAL_SPACE},
        {
            **N_STEP,
            "observation_space": (*WITHOUT_GOAL, SPACE),
            "shared_goals": NATURAL_NUMBER,
            "own_goals": NATURAL_NUMBER,
            "goal_test": (3, "test", []),
        },
    ),
    GoalReplayBuffer: (
        {**BUFFER, "observation_space": SPACE, "num_goals": 2},
        {
            **N_STEP,
            "observation_space": (3, None, "space", POINT),
            "num_goals": POSITIVE_INTEGER,
            "with_windows": FLAG,
        },
    ),
    AllGoalsReplayBuffer: (
        {**BUFFER, "observation_space": SPACE},
        {**RELABEL, "goals_per_transition": (0, -1, 99, 1.5, nan, True, "all")},
    ),
    MaskHerReplayBuffer: (
        {**BUFFER, "observation_space": SPACE},
        {**RELABEL, "n_sampled_goal": NATURAL_NUMBER, "goal_selection_strategy": CHOICE},
    ),
    SequenceReplayBuffer: (
        {**BUFFER, "observation_space": SEQUENCES},
        {**BUFFER_ARGUMENTS, "observation_space": WITHOUT_SEQUENCE, "n_sampled_goal": NATURAL_NUMBER},
    ),
    GoalSequenceExtractor: (
        {"observation_space": SEQUENCES},
        {"observation_space": WITHOUT_SEQUENCE, "descriptors": (3, "ab", [], [1.0], [[1.0]], [[nan], [1.0]])},
    ),
    GoalDescriptorExtractor: (
        {"observation_space": SPACE},
        {"observation_space": WITHOUT_GOAL, "descriptors": (3, "ab", [], [1.0], [[1.0]], [[nan], [1.0]])},
    ),
}


def complete(function: Any, kwargs: dict[str, Any], name: str) -> dict[str, Any]:
    return {**kwargs, "model": trained(LEODQN)} if function is save_checkpoint and name != "model" else kwargs


@pytest.mark.parametrize(("function", "kwargs", "name", "values"), cases(POLICIES, LEARNERS, BUFFERS))
def test_arguments(function, kwargs, name, values):
    kwargs = complete(function, kwargs, name)
    for value in values:
        assert_rejected(partial(function, **{**kwargs, name: value}), f"{function.__name__}({name}={value!r})")


@pytest.mark.parametrize("policy", POLICIES)
def test_valid_arguments_are_accepted_and_policies_can_be_copied(policy):
    arguments, _ = POLICIES[policy]
    created = policy(**arguments)
    assert copy.deepcopy(created).state_dict().keys() == created.state_dict().keys()
    positional = [arguments[name] for name in ("observation_space", "action_space", "lr_schedule")]
    assert_rejected(partial(policy, *[3, *positional[1:]], **{"goal_names": ("a", "b")}), "positional arguments")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("net_arc", "expected policy_kwargs of {}, got 'net_arc'; did you mean 'net_arch'?"),
        ("nonsense", "expected policy_kwargs of {}, got 'nonsense'; use some of ["),
        ("lr_schedule", "expected policy_kwargs of {}, got 'lr_schedule'; "),
    ],
)
def test_unknown_policy_kwargs(name, message):
    for algorithm, policy in (
        (LEODQN, LEODQNPolicy),
        (LEOPQN, LEOPQNPolicy),
        (LEOTD3, LEOTD3Policy),
        (LEOSAC, LEOSACPolicy),
        (PQN, PQNPolicy),
        (DualLEOPQN, DualLEOPQNPolicy),
        (DualLEOPPO, DualLEOPPOPolicy),
    ):
        kwargs, _ = ALGORITHMS[algorithm]
        for given in ("MultiGoalPolicy", policy):
            with pytest.raises(TypeError, match=re.escape(message.format(policy.__name__))):
                algorithm(given, **kwargs, policy_kwargs={name: 1})


def test_policies_of_users_may_have_other_arguments():
    class Own(LEODQNPolicy):
        def __init__(self, *args: Any, width: int = 4, **kwargs: Any) -> None:
            super().__init__(*args, net_arch=[width], **kwargs)

    model = LEODQN(Own, make_line(), buffer_size=1_000, policy_kwargs={"width": 3})
    assert model.policy.net_args["net_arch"] == [3]


@pytest.mark.parametrize("goals", [None, th.tensor([1])])
def test_targets_of_other_shapes(goals):
    learner, observations = AllGoalsQLearner(**LEARNER), {"observation": th.zeros(4, 2), "goal_id": th.zeros(4)}
    columns = 2 if goals is None else 1
    for shape in ((4, columns + 1), (3, columns), (4,)):
        call = partial(learner.update, observations, th.zeros(4), th.zeros(shape), goals)
        assert_rejected(call, f"targets of shape {shape}")


@pytest.mark.parametrize("content", [b"", b"PK", b"x" * 1000])
def test_files_that_are_no_models(tmp_path, content):
    path = tmp_path / "model.zip"
    path.write_bytes(content)
    for load in (load_policy, why_pickled, LEODQN.load):
        assert_rejected(partial(load, path), f"{load!r}({content[:4]!r})")
    for files in ({}, {"data": b"{"}, {"data": b"\xff"}, {"data": b"[]"}, {"data": b"{}"}, {"data": b'{"policy_json": "{}"}'}):
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        if files.get("data") != b"{}":  # an older model, which load_policy reports as pickled
            assert_rejected(partial(load_policy, path), f"load_policy({files!r})")


def test_cut_models(tmp_path):
    path = tmp_path / "model.zip"
    trained(LEODQN).save(path)
    content = path.read_bytes()
    for size in (10, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        assert_rejected(partial(load_policy, path), f"{size} of {len(content)} bytes")
    path.write_bytes(content)
    for device in DEVICE:
        assert_rejected(partial(load_policy, path, device), f"device={device!r}")


def test_sampling_without_a_goal_test():
    buffer = PointGoalReplayBuffer(**BUFFER, observation_space=GOAL_SPACE)
    obs = {key: np.zeros((1, 2), np.float32) for key in GOAL_SPACE.spaces}
    buffer.add(obs, obs, np.zeros((1, 1)), np.zeros(1), np.zeros(1), [{}])
    assert_rejected(partial(buffer.sample, 2), "sample")


def test_naive_losses():
    for loss in CHOICE:
        for function in (naive_all_goals_loss, lambda *args: next(naive_goal_losses(*args))):
            policy = LEARNER["policy"]
            assert_rejected(partial(function, policy.q_net, policy.q_net_target, None, 0.9, loss), f"loss={loss!r}")
