"""
Bad input to public constructors and functions: wrong types, NaN, negative, empty and huge values, other goals.

Each is rejected before it does harm, by a ``ValueError`` or ``TypeError`` that names what was expected and what was passed.
"""

import itertools
from collections.abc import Callable, Iterator
from functools import cache, partial
from math import inf, nan
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from stable_baselines3 import DQN, TD3
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from leo_agents import (
    LEODQN,
    LEOPQN,
    LEOSAC,
    LEOTD3,
    PQN,
    DualLEOPPO,
    DualLEOPQN,
    ExactCheckpoints,
    GoalDataset,
    GoalReplayBuffer,
    JumpStart,
    collect_dataset,
    distill,
)
from leo_agents.baselines import (
    goal_conditioned_actor_critic,
    goal_conditioned_bc,
    goal_conditioned_dqn,
    goal_conditioned_iql,
    goal_conditioned_ppo,
)
from leo_agents.evaluation import GoalEvalCallback, evaluate_goals
from leo_agents.networks.heads import MANY_OUTPUTS
from leo_agents.networks.policies import expected_steps
from leo_envs.bitflip import BitFlipEnv
from leo_envs.gridworld import GridWorldEnv
from leo_envs.mountain_car import MountainCarEnv
from leo_wrappers import (
    CallableGoals,
    FixedGoal,
    FrontierGoals,
    GoalConditionedWrapper,
    GoalSet,
    GridGoals,
    IntermediateGoals,
    LearningProgressGoals,
    MixtureGoals,
    MultiGoalWrapper,
    NoveltyWrapper,
    PointGoals,
    PredicateGoals,
    RoundRobinGoals,
    UniformGoals,
    goal_index,
    make_goal_selector,
)
from leo_wrappers.sb3 import GymVecEnv, VecGoalSampler
from leo_wrappers.validation import check_action, check_actions, check_num_envs, check_time_limit, row_seeds
from tests.line_env import LineEnv, line_goals, make_line

pytestmark = pytest.mark.timeout(20)

NOT_NUMBERS = ("many", None, [], {}, object())
POSITIVE_INTEGER = (0, -1, 1.5, nan, inf, True, *NOT_NUMBERS)
NATURAL_NUMBER = (-1, 1.5, nan, inf, True, *NOT_NUMBERS)
FRACTION = (-0.1, 1.1, nan, inf, -inf, True, *NOT_NUMBERS)
FRACTION_OR_NONE = tuple(value for value in FRACTION if value is not None)
POSITIVE_FRACTION = (0.0, *FRACTION)
EXPECTILE = (0.0, 1.0, *(value for value in FRACTION if value is not None))
POSITIVE = (0.0, -1.0, nan, -inf, True, *NOT_NUMBERS)
NOT_NEGATIVE = (-0.1, nan, inf, -inf, True, *NOT_NUMBERS)
RATE = (-1e-3, nan, inf, "fast", [], lambda progress: -progress, lambda progress: nan)
SEED = (-1, 2**32, 1.5, nan, "seed", [])
GOAL = ("at/nowhere", "", -1, 99, 1.5, nan, True, [], object())
GOAL_SELECTOR = ("nowhere", "", -1, 99, 1.5, True, [], {}, {"seen": -1}, {"nowhere": 1})
NAMES = (3, "abc", [], [""], [1], [None], ["a", "a"], ["a\nb"], ["a\x00"], ["\x1b[31mred"], map(str, itertools.count()))
ARRAY = ("abc", [["a"]], [[nan]], [[inf]], [[1.0], [1.0, 2.0]], [], None, object())
CHOICE = ("nonsense", 1, [])
ENV = (3, None, LineEnv, gym.make_vec)


Table = dict[Callable[..., Any], tuple[dict[str, Any], dict[str, tuple[Any, ...]]]]
"""Functions, their valid arguments, and bad values by argument."""


def assert_rejected(call: Callable[[], Any], what: str) -> None:
    try:
        call()
    except (TypeError, ValueError) as error:
        assert "expected" in str(error) and "got" in str(error), f"{what}: {error!r}"
    except Exception as error:
        raise AssertionError(f"{what}: {error!r}") from error
    else:
        raise AssertionError(f"{what} was accepted")


def env() -> gym.Env:
    return make_line()


def envs(num_envs: int = 2) -> Any:
    return GymVecEnv(gym.vector.SyncVectorEnv([make_line] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP))


def box_env() -> gym.Env:
    return MultiGoalWrapper(gym.make("MountainCarContinuous-v0"), GridGoals([-1.2, -0.07], [0.6, 0.07], [3, 2]))


GOAL_SETS: Table = {
    GoalSet: (
        {"names": ["a"], "test": lambda signal: signal > 0},
        {
            "names": NAMES,
            "test": ("abc", None, 3),
            "descriptors": ("abc", [[nan]], [1.0], [[1.0], [2.0]], [["a"]]),
            "signal_shape": (3, "abc", [1.5], [-1], [None]),
        },
    ),
    PointGoals: (
        {"points": [[0.0], [1.0]], "tolerance": 0.1},
        {
            "points": (*ARRAY, [0.0], 0.0, [[]]),
            "tolerance": (*POSITIVE, inf, 1e200),
            "metric": CHOICE,
            "names": (3, "ab", [], ["a"], ["a", "b", "c"], ["a", "a"], ["a", 1], ["a", "b\n"]),
            "family": ("a\nb",),
        },
    ),
    GridGoals: (
        {"low": [0.0, 0.0], "high": [1.0, 1.0], "shape": [2, 2]},
        {
            "low": (*ARRAY, [0.0], [2.0, 0.0], [1.0, 0.0], 0.0),
            "high": (*ARRAY, [1.0], [0.0, 1.0], 1.0),
            "shape": (3, "ab", [], [2], [2.5, 2], [0, 2], [-1, 2], [nan, 2], [None, 2], [10**9, 1], [10**5] * 2, [2] * 40),
            "names": (3, "abcd", [], ["a"], ["a", "a", "b", "c"], [1, 2, 3, 4]),
        },
    ),
    PredicateGoals: (
        {"predicates": {"a": lambda signal: signal[..., 0] > 0}},
        {
            "predicates": (3, None, "abc", [], {}, {"a": 3}, {"": len}, {1: len}, {"a\n": len}),
            "descriptors": ("abc", [[nan]], [1.0]),
            "signal_shape": (3, "abc", [1.5]),
        },
    ),
}

TIME_LIMIT = (0, -1, 1.5, nan, True, "long", [])
ENVIRONMENTS: Table = {
    GridWorldEnv: (
        {},
        {
            "map": (3, "nowhere", [], [""], ["#"], ["ab"], [1, 2], None),
            "size": (0, -1, 1.5, nan, "big", [1], [0, 3], 10**6),
            "map_seed": (-1, 1.5, "seed"),
            "start": ((99, 99), "nowhere", (1,), (-1, 0), (1.5, 2), 3),
            "observation": CHOICE,
            "time_limit": TIME_LIMIT,
        },
    ),
    BitFlipEnv: (
        {},
        {
            "n_bits": (*POSITIVE_INTEGER, 10**6),
            "goals": CHOICE,
            "start": ("nowhere", (0,), (2,) * 8, 3, None),
            "time_limit": TIME_LIMIT,
        },
    ),
    MountainCarEnv: (
        {"shape": (31, 21)},
        {
            "shape": (3, "ab", (0, 0), (1.5, 20), (31,), (nan, nan), None),
            "moments": (*POSITIVE_INTEGER, 10**9),
            "goals": CHOICE,
            "start": ("nowhere", (1, 2, 3), (nan, nan), (99.0, 99.0), 3),
            "time_limit": TIME_LIMIT,
        },
    ),
}

FLAG = (2, "yes", None, nan, [])
ESTIMATE = {
    "window": POSITIVE_INTEGER,
    "descriptors": tuple(value for value in ARRAY if value is not None),
    "skip_achieved": FLAG,
    "seed": SEED,
}
SELECTORS: Table = {
    UniformGoals: ({}, {"seed": SEED}),
    RoundRobinGoals: ({}, {"start": NATURAL_NUMBER}),
    IntermediateGoals: ({}, ESTIMATE),
    LearningProgressGoals: ({}, {**ESTIMATE, "long_window": POSITIVE_INTEGER, "uniform": POSITIVE_FRACTION}),
    FrontierGoals: ({}, {"min_value": FRACTION, "fraction": POSITIVE_FRACTION, "skip_achieved": FLAG, "seed": SEED}),
    MixtureGoals: ({"selectors": {"seen": 1}}, {"selectors": (3, None, [], {}, {"seen": nan}, {"seen": "x"}), "seed": SEED}),
    CallableGoals: ({"function": len}, {"function": (3, None, "abc"), "seed": SEED}),
    make_goal_selector: (
        {"spec": "seen", "goal_names": ["a", "b"]},
        {"spec": GOAL_SELECTOR, "goal_names": NAMES, "seed": SEED},
    ),
}

WRAPPERS: Table = {
    MultiGoalWrapper: (
        {"env": LineEnv(), "goals": line_goals()},
        {"env": ENV, "goals": (None, ["a"], GoalSet), "signal": (3, "observation")},
    ),
    GoalConditionedWrapper: (
        {"env": make_line()},
        {
            "env": (*ENV, LineEnv()),
            "goal": GOAL,
            "goal_selector": GOAL_SELECTOR,
            "on_success": CHOICE,
            "seed": SEED,
        },
    ),
    VecGoalSampler: (
        {"venv": DummyVecEnv([make_line])},
        {
            "venv": (*ENV, make_line(), DummyVecEnv([LineEnv]), VecNormalize(DummyVecEnv([make_line]))),
            "goal_selector": GOAL_SELECTOR,
            "on_success": CHOICE,
            "seed": SEED,
            "explore_steps": NATURAL_NUMBER,
            "explore_repeat": POSITIVE_INTEGER,
            "patience": tuple(value for value in POSITIVE_INTEGER if value is not None),
        },
    ),
    NoveltyWrapper: (
        {"env": make_line()},
        {"env": (*ENV, LineEnv()), "counts": ("abc", [0] * 5, np.zeros(5), np.zeros(4, dtype=np.int64)), "training": FLAG},
    ),
    GymVecEnv: (
        {"vector_env": gym.vector.SyncVectorEnv([make_line], autoreset_mode=AutoresetMode.SAME_STEP)},
        {"vector_env": (*ENV, make_line(), gym.vector.SyncVectorEnv([make_line]))},
    ),
}

NOT_DICTS = (3, "x", [], {3: 1})
NOT_CLASSES = (3, "relu", dict, object())
CUDA_GRAPH = tuple(value for value in FLAG if value is not None)
POLICY_KWARGS = (
    *NOT_DICTS,
    {"nonsense": 1},
    *({name: value} for name in ("features_extractor_class", "activation_fn", "optimizer_class") for value in NOT_CLASSES),
    *({name: value} for name in ("features_extractor_kwargs", "optimizer_kwargs") for value in NOT_DICTS),
    *({"normalize_images": value} for value in FLAG if value is not None),
    *({"net_arch": value} for value in (3, "wide", [0], [-1], [1.5], ["a"], [nan], [True], [None])),
)
COMMON = {
    "policy_kwargs": POLICY_KWARGS,
    "log_goals": FLAG,
    "tf32": FLAG,
    "tensorboard_log": (3, []),
    "verbose": (-1, 3, 1.5, "loud", None, []),
    "device": (3, "gpu", None, []),
    "policy": ("nonsense", 3, None, LineEnv),
    "learning_rate": RATE,
    "gamma": FRACTION,
    "max_grad_norm": POSITIVE,
    "stats_window_size": POSITIVE_INTEGER,
    "goal_selector": GOAL_SELECTOR,
    "seed": SEED,
}
EXPLORATION = {
    **dict.fromkeys(("exploration_fraction", "exploration_initial_eps", "exploration_final_eps"), FRACTION),
    "exploration_spread": NOT_NEGATIVE,
}
OFF_POLICY = {
    **COMMON,
    **EXPLORATION,
    "env": ENV,
    "buffer_size": POSITIVE_INTEGER,
    "learning_starts": NATURAL_NUMBER,
    "batch_size": POSITIVE_INTEGER,
    "tau": FRACTION,
    "train_freq": (0, -1, 1.5, "step", None, (1, "year"), (0, "step"), (1,), (1, "step", 2)),
    "gradient_steps": (-2, 1.5, nan, "many", [], {}, object()),
    "replay_ratio": (0, -0.5, nan, inf, True, "many", [], {}, object()),
    "n_steps": (*POSITIVE_INTEGER, 10**9),
    "loss": CHOICE,
    "goals_per_update": (0, -1, 99, 1.5, nan, True, "all"),
    "goal_reduction": CHOICE,
    "optimize_memory_usage": (True, 2, "yes"),
    "replay_buffer_class": (3, "x", dict),
    "replay_buffer_kwargs": (*NOT_DICTS, {"nonsense": 1}, {"n_steps": 0}),
    "amp": FLAG,
    "cuda_graph": CUDA_GRAPH,
}
CONTINUOUS = {
    **OFF_POLICY,
    "env": (*ENV, make_line()),
    "random_action_repeat": POSITIVE_INTEGER,
    "bc_weight": NOT_NEGATIVE,
    "expectile": EXPECTILE,
    "action_noise": (3, "normal", 0.1),
}
ROLLOUTS = {
    "n_steps": POSITIVE_INTEGER,
    "batch_size": POSITIVE_INTEGER,
}
ON_POLICY = {
    **COMMON,
    **EXPLORATION,
    **ROLLOUTS,
    "env": ENV,
    "n_epochs": tuple(value for value in POSITIVE_INTEGER if value is not None),
    "q_lambda": FRACTION,
    "loss": CHOICE,
    "amp": FLAG,
    "cuda_graph": CUDA_GRAPH,
    "paper_mode": FLAG,
}
for _name in ("exploration_initial_eps", "exploration_final_eps"):  # None is their default
    ON_POLICY[_name] = tuple(value for value in FRACTION if value is not None)
TEACHER_WEIGHT = (-0.1, 1.1, nan, lambda progress: 2.0)
DUAL = {
    "env": (*ENV, make_line()),
    "teacher": (3, "teacher", LineEnv()),
    "teacher_update_fraction": (0.0, *FRACTION),  # 0 needs a pretrained teacher
    "jump_start": (3, "x"),
    "teacher_kwargs": (
        *NOT_DICTS,
        {"nonsense": 1},
        {"learning_rate": -1.0},
        {"batch_size": 0},
        {"n_epochs": 1.5},
        {"q_lambda": 2.0},
        {"max_grad_norm": 0.0},
        {"loss": "nonsense"},
        {"head": "nonsense"},
    ),
    "goal_input": CHOICE,
    "descriptors": ([[1.0]], [1.0], [["a"]], [[nan]] * 5),
}
ALGORITHMS: Table = {
    LEODQN: (
        {"env": env(), "buffer_size": 1_000},
        {
            **OFF_POLICY,
            "target_update_freq": POSITIVE_INTEGER,
            "head": CHOICE,
            "double_q": FLAG,
            "cut_tolerance": FRACTION_OR_NONE,
            "conservative_weight": NOT_NEGATIVE,
            "expectile": EXPECTILE,
        },
    ),
    LEOTD3: (
        {"env": box_env(), "buffer_size": 1_000},
        {
            **CONTINUOUS,
            "policy_delay": POSITIVE_INTEGER,
            "target_policy_noise": NOT_NEGATIVE,
            "target_noise_clip": NOT_NEGATIVE,
        },
    ),
    LEOSAC: (
        {"env": box_env(), "buffer_size": 1_000},
        {
            **CONTINUOUS,
            "ent_coef": (-0.1, nan, inf, "nonsense", "auto_", "auto_0", "auto_-1", "auto_x", "auto_nan", None, []),
            "target_update_interval": POSITIVE_INTEGER,
            "entropy_per_goal": FLAG,
            "entropy_in_target": FLAG,
            "use_sde": FLAG,
            "target_entropy": (nan, inf, "nonsense", None, []),
        },
    ),
    LEOPQN: (
        {"env": envs()},
        {
            **ON_POLICY,
            "cut_tolerance": FRACTION_OR_NONE,
            "goals_per_update": (0, -1, 99, 1.5, nan, True, "all"),
            "goal_reduction": CHOICE,
            "head": CHOICE,
        },
    ),
    PQN: ({"env": envs()}, {**ON_POLICY, "her_ratio": FRACTION}),
    DualLEOPQN: (
        {"env": envs()},
        {
            **ON_POLICY,
            **DUAL,
            "teacher_weight": TEACHER_WEIGHT,
            "her_ratio": FRACTION,
            "combine": CHOICE,
        },
    ),
    DualLEOPPO: (
        {"env": envs()},
        {
            **COMMON,
            **ROLLOUTS,
            **DUAL,
            "batch_size": (1, *POSITIVE_INTEGER),
            "n_epochs": POSITIVE_INTEGER,
            "gae_lambda": FRACTION,
            "normalize_advantage": FLAG,
            "clip_range": POSITIVE,
            "clip_range_vf": (0.0, -1.0, nan, "wide"),
            "ent_coef": NOT_NEGATIVE,
            "vf_coef": NOT_NEGATIVE,
            "target_kl": (0.0, -1.0, nan, "small"),
            "teacher_coef": TEACHER_WEIGHT,
            "teacher_temperature": NOT_NEGATIVE,
            "teacher_value_coef": FRACTION,
        },
    ),
}


@cache
def trained(algorithm: Any) -> Any:
    """A model with random weights, for functions that take a model."""
    kwargs, _ = ALGORITHMS[algorithm]
    return algorithm("MultiGoalPolicy", **kwargs, seed=0)


def replay_buffer(**kwargs: Any) -> GoalReplayBuffer:
    venv = VecGoalSampler(DummyVecEnv([make_line]))
    arguments = {"buffer_size": 10, "n_envs": 1, "num_goals": 5, **kwargs}
    return GoalReplayBuffer(observation_space=venv.observation_space, action_space=venv.action_space, **arguments)


BASELINE = {"env": ENV, "goal_input": CHOICE, "descriptors": DUAL["descriptors"], "goal_selector": GOAL_SELECTOR}
FUNCTIONS: Table = {
    goal_conditioned_dqn: (
        {"env": make_line(), "buffer_size": 1_000},
        {**BASELINE, "buffer": (*CHOICE, None), "squash": FLAG, "policy": ("MlpPolicy",), "replay_buffer_class": (dict,)},
    ),
    goal_conditioned_bc: (
        {"env": make_line(), "buffer_size": 1_000},
        {
            **BASELINE,
            "goal_selection_strategy": CHOICE,
            "stitch_probability": FRACTION,
            "normalize": FLAG,
            "policy": ("MlpPolicy",),
        },
    ),
    goal_conditioned_iql: (
        {"env": make_line(), "buffer_size": 1_000},
        {**BASELINE, "expectile": (*EXPECTILE, None), "inverse_temperature": NOT_NEGATIVE, "normalize": FLAG},
    ),
    collect_dataset: (
        {"env": make_line(), "num_steps": 10},
        {"env": ENV, "num_steps": POSITIVE_INTEGER, "agent": (3, object()), "epsilon": FRACTION, "seed": SEED},
    ),
    GoalDataset: (
        {
            "observations": {"observation": np.zeros((1, 1))},
            "actions": np.zeros(1, dtype=int),
            "next_observations": {"observation": np.zeros((1, 1))},
            "terminated": np.array([False]),
            "truncated": np.array([True]),
            "packed_masks": np.zeros((1, 1), dtype=np.uint8),
            "goal_names": ("a", "b"),
        },
        {
            "observations": (
                3,
                None,
                {},
                {"observation": 3},
                {"observation": np.zeros(0)},
                {"observation": np.full(1, nan)},
            ),
            "actions": (3, None, [0], np.zeros(0), np.array(["left"]), np.full(1, nan)),
            "next_observations": (3, {}, {"other": np.zeros((1, 1))}),
            "terminated": (3, None, [True], np.zeros(1), np.zeros((1, 1), dtype=bool)),
            "truncated": (3, None, [True], np.zeros(1), np.array([False])),
            "packed_masks": (3, None, np.zeros((1, 2), dtype=np.uint8), np.zeros((1, 1))),
            "goal_names": (*NAMES[:-1], ["a"] * 9),
        },
    ),
    goal_conditioned_ppo: ({"env": envs(), "n_steps": 8, "batch_size": 16}, {**BASELINE, "policy": ("MlpPolicy",)}),
    goal_conditioned_actor_critic: (
        {"algorithm": TD3, "env": box_env(), "buffer_size": 1_000},
        {**BASELINE, "algorithm": (3, None, "TD3", dict, DQN), "env": ENV, "buffer": (*CHOICE, None)},
    ),
    replay_buffer: (
        {},
        {
            "buffer_size": POSITIVE_INTEGER,
            "n_envs": POSITIVE_INTEGER,
            "num_goals": POSITIVE_INTEGER,
            "n_steps": (*POSITIVE_INTEGER, 10**9),
            "gamma": FRACTION,
            "optimize_memory_usage": (True,),
            "with_windows": FLAG,
            "storage_device": ("disk", 3, []),
        },
    ),
    JumpStart: ({"steps": 3}, {"steps": NATURAL_NUMBER, "fraction": POSITIVE_FRACTION}),
    ExactCheckpoints: ({"folder": "never-written", "save_freq": 10}, {"save_freq": POSITIVE_INTEGER}),
    expected_steps: ({"values": np.ones(3)}, {"gamma": (0.0, 1.0, -0.1, 1.1, nan)}),
    goal_index: ({"goal_names": ("at/0", "at/1")}, {"goal": GOAL}),
    check_time_limit: ({}, {"time_limit": (0, -1, 1.5, nan, True, "long")}),
    check_num_envs: ({"space": spaces.Box(0, 1, (2,)), "num_goals": 3}, {"num_envs": (*POSITIVE_INTEGER, 10**15)}),
    check_action: ({"num_actions": 3}, {"action": (-1, 3, 1.5, nan, None, "left", [0])}),
    check_actions: (
        {"num_envs": 2, "num_actions": 3},
        {"actions": ([0], [0, 3], [-1, 0], [0.0, 1.0], [nan, 0], "ab", None, [[0, 1]])},
    ),
    row_seeds: ({"num_envs": 2}, {"seed": ([1], [1, 2, 3])}),
}


def cases(*tables: Table) -> Iterator[Any]:
    for table in tables:
        for function, (kwargs, bad) in table.items():
            for name, values in bad.items():
                yield pytest.param(function, kwargs, name, values, id=f"{function.__name__}-{name}")


@pytest.mark.parametrize(
    ("function", "kwargs", "name", "values"),
    cases(GOAL_SETS, ENVIRONMENTS, SELECTORS, WRAPPERS, FUNCTIONS),
)
def test_arguments(function, kwargs, name, values):
    for value in values:
        assert_rejected(partial(function, **{**kwargs, name: value}), f"{function.__name__}({name}={value!r})")


@pytest.mark.parametrize(("algorithm", "kwargs", "name", "values"), cases(ALGORITHMS))
def test_arguments_of_algorithms(algorithm, kwargs, name, values):
    for value in values:
        arguments = {"policy": "MultiGoalPolicy", **kwargs, name: value}
        assert_rejected(partial(algorithm, **arguments), f"{algorithm.__name__}({name}={value!r})")


class TestGoalSets:
    @pytest.mark.parametrize("goals", [PointGoals([[0.0, 1.0]], 0.1), GridGoals([0, 0], [1, 1], [2, 2])])
    def test_signals(self, goals):
        bad = (None, "abc", 1.0, [1.0], [[1.0]], [nan, 0.0], [[0.0, 0.0], [nan, 0.0]], np.array(["a", "b"]), [None, 1])
        for signal in bad:
            assert_rejected(partial(goals.achieved, signal), f"achieved({signal!r})")
        for out in (3, np.zeros(99, bool), np.zeros(len(goals))):
            assert_rejected(partial(goals.achieved, [0.0, 0.0], out=out), f"achieved(out={out!r})")

    @pytest.mark.parametrize("goals", [PointGoals([[0.0], [1.0]], 0.1), line_goals()])
    def test_subsets(self, goals):
        for subset in (3, None, "point/0", [], [0, 0], [99], [-1], [1.5], [None], ["nowhere"]):
            assert_rejected(partial(goals.subset, subset), f"subset({subset!r})")
        for goal in GOAL:
            assert_rejected(partial(goals.index, goal), f"index({goal!r})")

    def test_selectors_of_other_goals(self):
        selector = UniformGoals().bind(["a", "b"])
        for names in (*NAMES, ["a"], ["b", "a"]):
            assert_rejected(partial(selector.bind, names), f"bind({names!r})")
        assert_rejected(lambda: FixedGoal("c").bind(["a", "b"]), "bind")
        assert_rejected(lambda: selector.seed(-1), "seed")


class TestWrappers:
    def test_goals(self):
        wrapper, sampler = GoalConditionedWrapper(make_line()), VecGoalSampler(DummyVecEnv([make_line]))
        sampler.reset()
        for goal in GOAL:
            assert_rejected(partial(wrapper.set_goal, goal), f"set_goal({goal!r})")
            assert_rejected(partial(wrapper.reset, options={"goal": goal}), f"reset({goal!r})")
            assert_rejected(partial(sampler.set_goal, goal), f"set_goal({goal!r})")
        for spec in GOAL_SELECTOR:
            assert_rejected(partial(sampler.set_goal_selector, spec), f"set_goal_selector({spec!r})")

    def test_environments_with_other_goals(self):
        mixed = DummyVecEnv([make_line, lambda: make_line(length=9)])
        assert_rejected(lambda: VecGoalSampler(mixed), "two goal sets")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
class TestModels:
    def test_predict(self, algorithm):
        model = trained(algorithm)
        obs = {key: np.asarray(value) for key, value in model.observation_space.sample().items()}
        for goal in (-1, len(model.goal_names), 10**12, 1.5, nan, "at/0", None, [[0, 1, 99]]):
            bad = {**obs, "goal_id": np.asarray(goal)}
            assert_rejected(partial(model.predict, bad), f"goal_id={goal!r}")
        for bad in (None, 3, obs["observation"], {"observation": obs["observation"]}, {}):
            assert_rejected(partial(model.predict, bad), f"predict({bad!r})")

    def test_act(self, algorithm):
        model = trained(algorithm)
        state = model.observation_space.sample()["observation"]
        for bad in (state + nan, state + inf, state[:0], np.append(state, 0.0), state[None, None], np.stack([state] * 2)):
            assert_rejected(partial(model.act, bad, 0), f"act({bad!r})")
        for bad in (state + nan, state + inf):
            assert_rejected(partial(model.values, bad), f"values({bad!r})")
            observation = {**model.observation_space.sample(), "observation": bad}
            assert_rejected(partial(model.predict, observation), f"predict({observation!r})")
        for bad in (None, "abc", 1.0, {}, {"other": state}):
            assert_rejected(partial(model.act, bad, 0), f"act({bad!r})")
            assert_rejected(partial(model.values, bad), f"values({bad!r})")
        for goal in GOAL:
            assert_rejected(partial(model.act, state, goal), f"act(goal={goal!r})")

    def test_learn(self, algorithm):
        model = trained(algorithm)
        for steps in (-1, nan, inf, "many", None):
            assert_rejected(partial(model.learn, steps), f"learn({steps!r})")
        for interval in (0, -1, 1.5, nan, "often"):
            assert_rejected(partial(model.learn, 1, log_interval=interval), f"log_interval={interval!r}")

    def test_other_environments(self, algorithm):
        model = trained(algorithm)
        continuous = algorithm in (LEOTD3, LEOSAC)
        for bad in (*ENV, make_line(length=9), make_line() if continuous else box_env()):
            assert_rejected(partial(model.set_env, bad), f"set_env({bad!r})")

    def test_evaluation(self, algorithm):
        model, evaluation_env = trained(algorithm), box_env() if algorithm in (LEOTD3, LEOSAC) else make_line()
        bad: dict[str, tuple[Any, ...]] = {
            "episodes_per_goal": (0, -1, 1.5, nan, "many"),
            "max_steps": (0, -1, 1.5, nan, "many"),
            "epsilon": (-0.1, 1.0, nan, "some"),
            "seed": SEED,
            "goals": ([], [99], ["nowhere"], [1.5], np.ones(2, bool)),
        }
        for name, values in bad.items():
            for value in values:
                call = partial(evaluate_goals, model, evaluation_env, **{name: value})
                assert_rejected(call, f"evaluate_goals({name}={value!r})")
        for other in (*ENV, make_line(length=9), LineEnv()):
            assert_rejected(partial(evaluate_goals, model, other, max_steps=1), f"evaluate_goals({other!r})")


def test_callback() -> None:
    counts = dict.fromkeys(("eval_freq", "episodes_per_goal"), POSITIVE_INTEGER)
    bad = {**counts, "epsilon": (-0.1, 1.0, nan, "some"), "seed": SEED}
    for name, values in bad.items():
        for value in values:
            assert_rejected(partial(GoalEvalCallback, make_line(), **{name: value}), f"GoalEvalCallback({name}={value!r})")


def test_distillation() -> None:
    teacher = trained(LEOPQN)
    bad: dict[str, tuple[Any, ...]] = {
        "student_kind": CHOICE,
        "steps": POSITIVE_INTEGER,
        "batch_size": POSITIVE_INTEGER,
        "buffer_size": POSITIVE_INTEGER,
        "epsilon": FRACTION,
        "learning_rate": (-1.0, nan, inf, True, *NOT_NUMBERS),
        "goal_input": CHOICE,
        "seed": SEED,
        "dataset": (3, "data", []),
    }
    for name, values in bad.items():
        for value in values:
            arguments = {"student_kind": "pqn", "steps": 1, name: value}
            assert_rejected(partial(distill, teacher, **arguments), f"distill({name}={value!r})")
    for other in (None, 3, "teacher", trained(PQN)):
        assert_rejected(partial(distill, other, "pqn"), f"distill({other!r})")


def test_replay_buffers(tmp_path: Path) -> None:
    model = trained(LEODQN)
    other = LEODQN("MultiGoalPolicy", MultiGoalWrapper(LineEnv(), line_goals().subset([1, 0, 2, 3, 4])), buffer_size=1_000)
    for name in ("other.pkl", "two.pkl"):
        source = other if name == "other.pkl" else LEODQN("MultiGoalPolicy", envs(2), buffer_size=1_000)
        source.save_replay_buffer(tmp_path / name)
        before = model.replay_buffer
        assert_rejected(partial(model.load_replay_buffer, tmp_path / name), name)
        assert model.replay_buffer is before


@pytest.mark.parametrize("algorithm", [LEODQN, LEOPQN])
def test_a_dense_head_for_very_many_goals_warns(algorithm):
    goals = GridGoals([0.0, 0.0], [5.0, 5.0], [1, MANY_OUTPUTS // 2])
    line = MultiGoalWrapper(LineEnv(), goals, signal=lambda obs, info: np.repeat(obs, 2))
    arguments = {"policy_kwargs": {"net_arch": [2]}, **({"buffer_size": 1_000} if algorithm is LEODQN else {})}
    venv = DummyVecEnv([lambda: line])
    with pytest.warns(UserWarning, match='use head="factored", or update fewer goals with goals_per_update'):
        algorithm("MultiGoalPolicy", venv, **arguments)
