"""MiniGrid and BabyAI: masks by a loop over the objects, missions by the level's own success, the contract."""

import contextlib
import io
import pickle
from itertools import product

import gymnasium as gym
import numpy as np
import pytest

pytest.importorskip("minigrid")

from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st
from minigrid.core import constants, world_object
from stable_baselines3.common.env_checker import check_env as check_sb3_env

import leo_envs  # noqa: F401
from leo_envs.minigrid import MiniGridEnv, MiniGridGoals, instruction_descriptors
from leo_envs.minigrid.observations import COLORS, observe
from leo_wrappers import GoalConditionedWrapper, check_multigoal_env
from leo_wrappers.testing import multigoal_env_tests

IDS = ["MiniGrid", "MiniGrid-Empty-8x8", "MiniGrid-DoorKey-6x6", "BabyAI-GoToLocal", "BabyAI-PickupDist", "BabyAI-UnlockLocal"]
LEVELS = sorted(
    name
    for name, spec in gym.registry.items()
    # The levels by wave function collapse need another library.
    if str(spec.entry_point).startswith("minigrid.") and "WFC" not in name
)
SINGLE_MISSIONS = [
    *(
        f"BabyAI-{name}-v0"
        for name in ("GoToObjS4", "GoToRedBall", "GoToLocal", "GoToDoor", "GoTo", "OpenDoor", "OpenRedDoor")
    ),
    *(f"BabyAI-{name}-v0" for name in ("UnlockLocalDist", "KeyInBox", "PickupDist", "Pickup", "PickupAbove", "UnlockPickup")),
    *(f"MiniGrid-{name}-v0" for name in ("Empty-5x5", "DoorKey-5x5", "LavaGapS5", "Fetch-5x5-N2", "Unlock", "UnlockPickup")),
]
# More of what changes something.
ACTION_WEIGHTS = np.array([2, 2, 5, 3, 0.5, 3, 0.5]) / 16


def naive_goals(simulation):
    """The names of the goals that a state achieves, by a loop over the objects."""
    column, row = map(int, simulation.agent_pos)
    names = {f"cell/{row},{column}"}
    step_x, step_y = map(int, constants.DIR_TO_VEC[simulation.agent_dir])

    def describe(family, thing):
        if thing is not None and thing.type in ("door", "key", "ball", "box"):
            names.update({f"{family}/{thing.color} {thing.type}", f"{family}/{thing.type}", f"{family}/{thing.color}"})

    for y, x in product(range(simulation.height), range(simulation.width)):
        thing = simulation.grid.get(x, y)
        if (x, y) == (column, row) and thing is not None and thing.type == "goal":
            names.add("at/goal")
        if (x, y) == (column + step_x, row + step_y):
            describe("facing", thing)
        if thing is not None and thing.type == "door" and thing.is_open:
            names.update({f"open/{thing.color} door", "open/door"})
    describe("carrying", simulation.carrying)
    return names


def achieved_names(env, mask):
    return {env.goal_names[goal] for goal in np.flatnonzero(mask)}


def random_thing(generator):
    color = COLORS[generator.integers(6)]
    return [
        None,
        None,
        world_object.Wall(),
        world_object.Floor(color),
        world_object.Door(color, is_open=True),
        world_object.Door(color),
        world_object.Door(color, is_locked=True),
        world_object.Key(color),
        world_object.Ball(color),
        world_object.Box(color),
        world_object.Goal(),
        world_object.Lava(),
    ][generator.integers(12)]


def test_masks_of_random_states_equal_a_loop_over_the_objects():
    env = MiniGridEnv("MiniGrid-SimpleCrossingS9N1-v0")
    simulation, generator = env.simulation, np.random.default_rng(0)
    env.reset(seed=0)
    observations, expected = [], []
    for _ in range(1000):
        for x, y in product(range(1, 8), range(1, 8)):
            simulation.grid.set(x, y, random_thing(generator))
        simulation.agent_pos, simulation.agent_dir = tuple(generator.integers(1, 8, size=2)), int(generator.integers(4))
        thing = random_thing(generator)
        simulation.carrying = thing if thing is not None and thing.can_pickup() else None
        observations.append(observe(simulation))
        expected.append(naive_goals(simulation))
    masks = env.goal_set.achieved(np.stack(observations))
    assert [achieved_names(env, mask) for mask in masks] == expected
    assert masks.any(axis=0).all()
    np.testing.assert_array_equal(masks[7], env.goal_set.achieved(observations[7]))
    np.testing.assert_array_equal(masks, env.goal_set.achieved(np.stack(observations).reshape(100, 10, -1)).reshape(1000, -1))


@pytest.mark.parametrize("level", LEVELS[::9])
def test_masks_of_random_actions_equal_a_loop_over_the_objects(level):
    env, generator = MiniGridEnv(level), np.random.default_rng(0)
    _, info = env.reset(seed=3)
    for _ in range(60):
        assert achieved_names(env, info["goals_achieved"]) == {
            name for name in naive_goals(env.simulation) if name in env.goal_names
        }
        _, _, terminated, truncated, info = env.step(generator.integers(env.action_space.n))
        if terminated or truncated:
            _, info = env.reset()


def test_the_states_are_those_of_the_original():
    env, original = MiniGridEnv("BabyAI-GoToLocal-v0"), gym.make("BabyAI-GoToLocal-v0").unwrapped
    generator = np.random.default_rng(1)
    for seed in (5, None, None):
        env.reset(seed=seed)
        with contextlib.redirect_stdout(io.StringIO()):
            original.reset(seed=seed)
        for action in generator.choice(7, size=30, p=ACTION_WEIGHTS):
            observation, reward, _, truncated, info = env.step(action)
            expected = original.step(int(action))
            assert (reward, truncated, info["instruction"]) == (expected[1], expected[3], original.mission)
            np.testing.assert_array_equal(observation, observe(original))


def expected_goal(instruction):
    """The name of the goal of BabyAI's own representation of a mission; None for sequences, places and the like."""
    family = {"GoToInstr": "facing", "PickupInstr": "carrying", "OpenInstr": "open"}.get(type(instruction).__name__)
    if family is None or instruction.desc.loc is not None:
        return None
    detail = " ".join(part for part in (instruction.desc.color, instruction.desc.type) if part)
    return f"{family}/{detail}"


def test_missions_of_all_levels_of_babyai_are_understood():
    families = set()
    for level in LEVELS:
        if not level.startswith("BabyAI"):
            continue
        env = MiniGridEnv(level)
        _, info = env.reset(seed=0)
        goal = env.goal_set.index_of_instruction(info["instruction"])
        name = None if goal is None else env.goal_names[goal]
        assert name == expected_goal(env.simulation.instrs), info["instruction"]
        families.add(name and name.split("/")[0])
    assert families == {None, "facing", "carrying", "open"}


@pytest.mark.parametrize(
    ("level", "goal"),
    [
        ("MiniGrid-Empty-8x8-v0", "at/goal"),
        ("MiniGrid-DoorKey-6x6-v0", "at/goal"),
        ("MiniGrid-FourRooms-v0", "at/goal"),
        ("MiniGrid-MultiRoom-N2-S4-v0", "at/goal"),
        ("MiniGrid-LavaGapS5-v0", "at/goal"),
        ("MiniGrid-Unlock-v0", "open/door"),
        ("MiniGrid-RedBlueDoors-6x6-v0", None),
        ("MiniGrid-MemoryS7-v0", None),
        ("MiniGrid-PutNear-6x6-N2-v0", None),
    ],
)
def test_missions_of_minigrid(level, goal):
    env = MiniGridEnv(level)
    found = env.goal_set.index_of_instruction(env.reset(seed=0)[1]["instruction"])
    assert goal == (None if found is None else env.goal_names[found])


def move_near(simulation, goal_name, generator):
    """Move the agent beside an object of the mission or the goal square, with the key of a locked door in its hand."""
    kinds = goal_name.split("/")[1].split(" ")
    cells = [
        (x, y)
        for y, x in product(range(1, simulation.height - 1), range(1, simulation.width - 1))
        if (thing := simulation.grid.get(x, y)) is not None and {thing.type, thing.color} >= set(kinds)
    ]
    if not cells:
        return
    x, y = cells[generator.integers(len(cells))]
    thing = simulation.grid.get(x, y)
    free = [
        position for position in ((x - 1, y), (x + 1, y), (x, y - 1), (x, y + 1)) if simulation.grid.get(*position) is None
    ]
    if free:
        simulation.agent_pos, simulation.agent_dir = free[generator.integers(len(free))], int(generator.integers(4))
    if thing.type == "door" and thing.is_locked:
        simulation.carrying = world_object.Key(thing.color)


@pytest.mark.parametrize("level", SINGLE_MISSIONS)
def test_the_success_of_a_mission_is_its_goal(level):
    """At every step up to the first success, under random actions, which start near the object in half of the episodes."""
    env, generator = MiniGridEnv(level, mission_ends_episode=True), np.random.default_rng(0)
    successes = 0
    for seed in range(24):
        _, info = env.reset(seed=seed)
        goal = env.goal_set.index_of_instruction(info["instruction"])
        if goal is None:
            continue  # a place, such as "on your left"
        if seed % 2:
            move_near(env.simulation, env.goal_names[goal], generator)
        if env.goal_set.achieved(observe(env.simulation))[goal]:
            continue  # the level reports success at the first step only
        for action in generator.choice(7, size=40, p=ACTION_WEIGHTS):
            _, reward, terminated, truncated, info = env.step(action)
            assert info["goals_achieved"][goal] == (reward > 0)
            successes += reward > 0
            if terminated or truncated:
                break
    assert successes


def test_success_ends_an_episode_only_on_demand_and_lava_always():
    for ends in (False, True):
        env = MiniGridEnv("MiniGrid-Empty-5x5-v0", mission_ends_episode=ends)
        env.reset(seed=0)
        *_, (_, reward, terminated, truncated, _) = [env.step(action) for action in (2, 2, 1, 2, 2)]
        assert (reward > 0, terminated, truncated) == (True, ends, False)
    env = MiniGridEnv("MiniGrid-LavaGapS5-v0")
    env.reset(seed=0)
    env.simulation.grid.set(2, 1, world_object.Lava())
    assert env.step(2)[1:4] == (0.0, True, False)
    env = gym.make("leo/MiniGrid-v0", level="MiniGrid-Empty-5x5-v0")
    env.reset(seed=0)
    assert [env.step(0)[3] for _ in range(100)] == [False] * 99 + [True]


@pytest.mark.parametrize("env_id", IDS)
def test_contract(env_id):
    env = gym.make(f"leo/{env_id}-v0")
    check_multigoal_env(env, steps=60, skip_gymnasium_check=True, skip_sb3_check=True)
    check_env(env.unwrapped, skip_render_check=True)
    check_sb3_env(env.unwrapped)
    check_multigoal_env(GoalConditionedWrapper(env), steps=20)


TestContractByHypothesis = multigoal_env_tests("leo/BabyAI-UnlockLocal-v0", steps=60, max_examples=5)


@given(st.lists(st.sampled_from(MiniGridGoals(6, 6).instructions), max_size=8), st.text(max_size=8))
@settings(deadline=None, max_examples=50)
def test_any_text_has_a_descriptor(instructions, text):
    """A descriptor depends on its own text only; a text that is no instruction names no goal."""
    together = instruction_descriptors([*instructions, text])
    alone = [instruction_descriptors([one])[0] for one in (*instructions, text)]
    np.testing.assert_array_equal(together, np.reshape(alone, (-1, 128)))
    goals = MiniGridGoals(6, 6)
    assert [goals.instructions[goals.index_of_instruction(one)] for one in instructions] == instructions
    assert goals.index_of_instruction(text) is None


def test_instructions_are_understood_again():
    goals = MiniGridGoals(6, 5)
    assert [goals.index_of_instruction(text) for text in goals.instructions] == list(range(len(goals)))
    assert len(np.unique(goals.descriptors, axis=0)) == len(goals) == 12 + 69
    for text in ("", "go", "go to the moon", "go to row 9, column 1", "pick up the red door", "open a box", "GO TO A BALL"):
        assert goals.index_of_instruction(text) is None
    few = goals.matching(["*/yellow key", "cell/1,*"])
    assert few.names == ("cell/1,1", "cell/1,2", "cell/1,3", "cell/1,4", "facing/yellow key", "carrying/yellow key")
    assert few.instructions[-1] == "pick up the yellow key" and few.index_of_instruction("open a door") is None
    again = goals.subset(["at/goal", 0])
    assert again.names == ("at/goal", "cell/1,1")
    np.testing.assert_array_equal(again.descriptors, goals.descriptors[[12, 0]])


def test_goals_of_some_names_are_columns_of_the_whole_mask():
    whole, some = MiniGridEnv("BabyAI-GoToLocal-v0"), MiniGridEnv("BabyAI-GoToLocal-v0", goals=["facing/*", "cell/3,*"])
    ids = [whole.goal_set.index(name) for name in some.goal_names]
    for seed in range(20):
        np.testing.assert_array_equal(
            whole.reset(seed=seed)[1]["goals_achieved"][ids], some.reset(seed=seed)[1]["goals_achieved"]
        )


def test_descriptors_of_unseen_sentences():
    """A sentence that is no goal, of words that goals have, is nearest to those with most of its words."""
    goals = MiniGridGoals(8, 8)
    texts = ["please go to the red ball now", "pick up that purple key", "a yellow door: open it"]
    vectors = instruction_descriptors(texts)
    assert not set(texts) & set(goals.instructions) and vectors.shape == (3, goals.descriptors.shape[1])
    nearest = [goals.instructions[goal] for goal in (vectors @ goals.descriptors.T).argmax(axis=1)]
    assert nearest[:2] == ["go to the red ball", "pick up the purple key"] and "yellow door" in nearest[2]
    np.testing.assert_allclose(np.linalg.norm(goals.descriptors, axis=1), 1.0, rtol=1e-5)
    assert not instruction_descriptors(["", "?!"]).any() and instruction_descriptors([]).shape == (0, 128)


def test_the_encoding_is_that_of_the_installed_version():
    assert [constants.IDX_TO_COLOR[index] for index in range(6)] == list(COLORS)
    assert {name: constants.OBJECT_TO_IDX[name] for name in ("empty", "wall", "door", "lava", "agent")} == {
        "empty": 1,
        "wall": 2,
        "door": 4,
        "lava": 9,
        "agent": 10,
    }


def test_rendering_shows_the_goal_and_changes_nothing():
    env = gym.make("leo/MiniGrid-DoorKey-6x6-v0", render_mode="rgb_array")
    env.reset(seed=0)
    frame = env.render()
    env.unwrapped.set_commanded_goal("carrying/yellow key")
    with_goal = env.render()
    assert frame.shape == (192, 192, 3) and with_goal.shape == (228, 192, 3)
    np.testing.assert_array_equal(with_goal[:192], frame)
    assert env.unwrapped.action_names[:3] == ("left", "right", "forward")
    assert sorted(env.unwrapped.get_keys_to_action().values()) == list(range(7))


def test_pickle_and_spec_round_trip():
    env = gym.make("leo/BabyAI-GoToLocal-v0", goals=["facing/*"])
    env.reset(seed=4)
    twin = pickle.loads(pickle.dumps(env))
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert again.unwrapped.goal_names == env.unwrapped.goal_names
    for action in (2, 2, 1, 3, 2):
        np.testing.assert_array_equal(env.step(action)[0], twin.step(action)[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"level": "MiniGrid-Nowhere-v0"}, "expected the id of a registered MiniGrid or BabyAI environment"),
        ({"level": "CartPole-v1"}, "another kind of environment"),
        ({"goals": ["cell/*", "carrying/pink *"]}, r"got 'carrying/pink \*'"),
        ({"goals": []}, "expected at least one goal"),
    ],
)
def test_invalid_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        MiniGridEnv(**arguments)


def test_a_step_needs_a_reset():
    with pytest.raises(ResetNeeded, match="call reset"):
        MiniGridEnv().step(0)
