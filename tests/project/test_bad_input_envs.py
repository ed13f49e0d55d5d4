"""Bad input to environments that need optional libraries, and to vector environments; see ``test_bad_input``."""

from collections.abc import Callable
from functools import cache, partial
from math import inf, nan
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import leo_envs  # noqa: F401  (registers the ids)
from tests.project.test_bad_input import (
    GOAL,
    POSITIVE,
    POSITIVE_INTEGER,
    TIME_LIMIT,
    assert_rejected,
)

pytestmark = pytest.mark.timeout(60)

TEXTS = (3, "nonsense", None, [])
RENDER_MODE = (3, "nonsense", [], "ansi_art")
FLAG = (2, "yes", None, nan, [])
TOLERANCE = (*POSITIVE, inf)
RESOLUTION = (0, -1, 1.5, nan, True, "many", [], [2], [2, 2, 2, 2], [0, 2, 2], [nan, 2, 2], 10**4, 10**9)
POINTS = (3, "abc", [], [[]], [1.0, 2.0], [[nan] * 3], [[inf] * 3], [["a"] * 3], [[99.0] * 3], [[0.0]], [[0.0], [1.0, 2.0]])
VECTOR = (nan, inf, "abc", [], [0.1], [0.1] * 4, [nan, 0.1, 0.1], [inf, 0.1, 0.1], ["a", "b", "c"], 0.1, {}, object())
ROBOTS = {"resolution": RESOLUTION, "points": POINTS, "tolerance": TOLERANCE, "reward_type": TEXTS, "render_mode": RENDER_MODE}


MAZES = ([], [[]], [[0]], [[1, 1], [1, 1]], [[0, 0], [0]], [[0, 2]], [["x", 0]], [3], [None], [[None]], [[nan, 0]], 3, None)
CRAFTAX = {
    "variant": TEXTS,
    "observation": TEXTS,
    "goals": (3, "abc", [], [-1], [999], [1.5], [nan], [None], ["nowhere"], [0, 0], [[]], [True]),
    "time_limit": TIME_LIMIT,
    "render_mode": RENDER_MODE,
}
XLAND = {
    "level": (*TEXTS, "CartPole-v1", ""),
    "ruleset": (3, "abc", [], {}, {"objects": 3}, {"objects": [3]}, {"objects": ["red ball"], "rules": [3]}, {"mission": "x"}),
    "goals": (3, "abc", [], [-1], [nan], [None], ["nowhere"], [[]], [""], ["cell/9,9"], ["near/"]),
    "max_steps": TIME_LIMIT,
    "mission_ends_episode": FLAG,
    "render_mode": RENDER_MODE,
}
PANDA = {
    **dict.fromkeys(("start", "goal_center", "goal_range", "object_size"), VECTOR),
    **dict.fromkeys(("object_center", "object_range"), (nan, "ab", [], [0.1], [nan, 0.1], 0.1, {}, object())),
    **dict.fromkeys(("object_mass", "friction", "max_displacement"), TOLERANCE),
    "table": (*VECTOR, [0.9, -0.25, 0.5], [-0.25, 0.9, -0.5]),
    "air_share": (-0.1, 1.1, nan, "often", None),
    "object_distance": (-1.0, nan, inf, "far", 9.0),
    "object_shape": TEXTS,
    "has_object": FLAG,
    "helper_goals": (3, "yes", [], 0.5),
    "fingers_move": FLAG,
    "nonsense": (1,),
}
VECTOR_ENV = {
    "num_envs": (*POSITIVE_INTEGER, 10**12),
    "time_limit": TIME_LIMIT,
    "max_episode_steps": (0, -2, 1.5, nan, True, "long", []),
    "autoreset_mode": (3, "nonsense", None, []),
    "render_mode": RENDER_MODE,
}
ENVIRONMENTS: dict[str, dict[str, tuple[Any, ...]]] = {
    "leo/CraftaxClassic-v0": CRAFTAX,
    "leo/PandaPush-v0": {"task": TEXTS, **ROBOTS, **PANDA},
    "leo/PandaPickAndPlace-v0": {"object_size": ([0.02, 0.04, 0.02],), "goal_range": ([0.1, 0.1, 9.0],)},
    "leo/FetchReach-v0": {"task": TEXTS, **ROBOTS},
    "leo/PointMaze_UMaze-v0": {"robot": TEXTS, "maze": (*MAZES, "Nowhere"), "reset_target": FLAG, **ROBOTS},
    "leo/AntMaze_UMaze-v0": {"contact_forces": FLAG},
    "leo/HandReach-v0": ROBOTS,
    "leo/MiniGrid-v0": {
        "level": (*TEXTS, "CartPole-v1", ""),
        "goals": (3, "abc", [], [-1], [nan], [None], ["nowhere"], [[]], [""]),
        "mission_ends_episode": FLAG,
        "render_mode": RENDER_MODE,
    },
    "leo/XLand-v0": XLAND,
    "leo/Atari-v0": {
        "game": (*TEXTS, "Pong", "pong", ""),
        "goals": (3, "abc", [], [-1], [nan], [None], ["nowhere"], [[]], [""]),
        "frameskip": (0, -1, 1.5, nan, True, "4", (2, 5)),
        "repeat_action_probability": (-0.1, 1.1, nan, True, "0", None),
        "life_loss_ends_episode": FLAG,
        "render_mode": RENDER_MODE,
    },
    "leo/FrankaKitchen-v0": {
        "tasks": (3, "kettle", [], [""], [1], [None], ["kettle", "kettle"], ["nowhere"]),
        "tolerance": TOLERANCE,
        "reward_type": (*TEXTS, "dense"),
        "render_mode": RENDER_MODE,
    },
}
VECTOR_ENVIRONMENTS: dict[str, dict[str, tuple[Any, ...]]] = {
    **dict.fromkeys(("leo/GridWorld-v0", "leo/BitFlip-v0", "leo/MountainCar-v0"), VECTOR_ENV),
    "leo/CraftaxClassic-v0": {**CRAFTAX, **VECTOR_ENV},
    "leo/XLand-v0": {**XLAND, **{name: values for name, values in VECTOR_ENV.items() if name != "time_limit"}},
}


def library(env_id: str) -> str:
    """The optional library that an environment needs."""
    libraries = {"Atari": "ale_py", "Craftax": "craftax", "MiniGrid": "minigrid", "XLand": "xminigrid"}
    return next((library for family, library in libraries.items() if family in env_id), "mujoco")


@cache
def constructor(env_id: str, vectorized: bool) -> Callable[..., Any]:
    """The class of an environment, without ``gym.make``, which would reject some values first."""
    spec = gym.spec(env_id)
    cls = gym.envs.registration.load_env_creator(spec.vector_entry_point if vectorized else spec.entry_point)
    return lambda **kwargs: cls(**{**spec.kwargs, **kwargs})


CASES = [
    pytest.param(env_id, vectorized, name, values, id=f"{env_id}-{'vector-' if vectorized else ''}{name}")
    for vectorized, environments in enumerate((ENVIRONMENTS, VECTOR_ENVIRONMENTS))
    for env_id, bad in environments.items()
    for name, values in bad.items()
]


@pytest.mark.parametrize(("env_id", "vectorized", "name", "values"), CASES)
def test_arguments(env_id, vectorized, name, values):
    if env_id not in ("leo/GridWorld-v0", "leo/BitFlip-v0", "leo/MountainCar-v0"):
        pytest.importorskip(library(env_id))
    for value in values:
        call = partial(constructor(env_id, bool(vectorized)), **{name: value})
        assert_rejected(call, f"{env_id}({name}={value!r})")


@pytest.mark.parametrize(
    "env_id",
    [
        "leo/Atari-v0",
        "leo/CraftaxClassic-v0",
        "leo/MiniGrid-v0",
        "leo/XLand-v0",
        "leo/PandaReach-v0",
        "leo/PointMaze_UMaze-v0",
        "leo/MountainCarContinuous-v0",
    ],
)
def test_methods(env_id):
    pytest.importorskip(library(env_id))
    env = gym.make(env_id).unwrapped
    env.reset(seed=0)
    for goal in (*(goal for goal in GOAL if goal != 99), 10**6):
        assert_rejected(partial(env.set_commanded_goal, goal), f"set_commanded_goal({goal!r})")
    for action in (None, "left", nan, [nan], [[0.0]], 99, 1.5, [0.0] * 9, {}):
        assert_rejected(partial(env.step, action), f"step({action!r})")
    if not hasattr(env, "set_goal"):
        return
    for point in (*VECTOR, [nan] * 2, [0.0] * 9, None):
        assert_rejected(partial(env.set_goal, point), f"set_goal({point!r})")
        if point is not None:  # which samples a goal
            assert_rejected(partial(env.reset, options={"desired_goal": point}), f"reset(desired_goal={point!r})")
    if "Maze" in env_id:
        for cell in (3, "abc", [], [0, 0], [99, 1], [1.5, 1], [nan, 1], [-1, 1], {}, np.zeros(3)):
            for key in ("reset_cell", "goal_cell"):
                assert_rejected(partial(env.reset, options={key: cell}), f"reset({key}={cell!r})")
