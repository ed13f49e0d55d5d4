"""XLand-MiniGrid: masks by its own goal predicates, states and rewards of the original, equal interfaces, the contract."""

import pickle
from itertools import product

import gymnasium as gym
import numpy as np
import pytest

pytest.importorskip("xminigrid")

import jax
import jax.numpy as jnp
import xminigrid
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.env_checker import check_env as check_sb3_env
from xminigrid.core import constants, goals, rules
from xminigrid.types import AgentState, RuleSet

import leo_envs  # noqa: F401
from leo_envs.xland import Ruleset, XLand, XLandEnv, XLandGoals
from leo_envs.xland.functional import _observe
from leo_envs.xland.ruleset import DEFAULT_RULESET
from leo_envs.xland.tiles import ANY_COLOR, COLORS, KINDS, parse_tile
from leo_wrappers import GoalConditionedWrapper, achieved_from_infos, check_multigoal_env
from leo_wrappers.jax_envs import BatchedEnv
from leo_wrappers.sb3 import JaxVecEnv
from leo_wrappers.testing import multigoal_env_tests
from tests.envs.vector_equivalence import assert_same, compare_rollouts

# Most of the time is compilation, which is slow on a busy machine.
pytestmark = pytest.mark.timeout(1200)

IDS = ["XLand", "XLand-R4-13x13", "XMiniGrid-FourRooms", "XMiniGrid-DoorKey-8x8", "XMiniGrid-Unlock"]
SIZE = 5
# Few tiles, so that random states achieve all goals, and random actions of which more change something.
TILES = ("green goal", "yellow open door", "red open door", "red ball", "blue ball", "red key", "grey wall", "black floor")
ACTIONS = np.array([4, 2, 1, 3, 2, 1]) / 13
FORWARD, RIGHT, LEFT, PICK_UP, PUT_DOWN, TOGGLE = range(6)
NUM_ENVS, SHORT = 3, 6


def number_of(name):
    """The encoding of a tile, also of walls, floors and of tiles of any color."""
    color, _, kind = name.partition(" ")
    if name in KINDS:
        color, kind = None, name
    return KINDS.index(kind), ANY_COLOR if color is None else COLORS.index(color)


def random_states(count, seed=0):
    """Grids, agents and carried tiles; any cell inside the walls may have any tile, and the agent may be on any of them."""
    generator = np.random.default_rng(seed)
    tiles = np.array([number_of(name) for name in TILES], dtype=np.uint8)
    grids = tiles[generator.choice(len(tiles), size=(count, SIZE, SIZE), p=[0.05] * 3 + [0.08] * 3 + [0.1, 0.51])]
    for wall in (np.s_[:, [0, -1]], np.s_[:, :, [0, -1]]):
        grids[wall] = number_of("grey wall")
    pockets = np.array([(0, 0), *tiles[3:6]], dtype=np.uint8)[generator.integers(4, size=count)]
    agent = AgentState(
        position=jnp.asarray(generator.integers(1, SIZE - 1, size=(count, 2))),
        direction=jnp.asarray(generator.integers(4, size=count)),
        pocket=jnp.asarray(pockets),
    )
    return jnp.asarray(grids), agent


def all_goal_names():
    things = [*TILES[:6], "ball", "key", "open door"]
    names = [f"cell/{row},{column}" for row, column in product(range(1, SIZE - 1), repeat=2)]
    names += [f"{family}/{thing}" for family in ("on", "near", "carrying", "exists") for thing in things]
    return [*names, *(f"adjacent/{a}, {b}" for a, b in product(things[3:8], repeat=2))]


def original_goals(name):
    """The original's goals of which one is achieved if a goal is; any color means one goal per color."""
    family, _, detail = name.partition("/")
    if family == "cell":
        return [goals.AgentOnPositionGoal(position=jnp.array(list(map(int, detail.split(",")))))]
    tiles = [number_of(tile) for tile in detail.split(", ")]
    choices = [range(1, 12) if color == ANY_COLOR else [color] for _, color in tiles]
    colored = [
        [jnp.array([kind, color]) for (kind, _), color in zip(tiles, chosen, strict=True)] for chosen in product(*choices)
    ]
    if family == "adjacent":
        return [goals.TileNearGoal(tile_a=a, tile_b=b) for a, b in colored]
    one = {"on": goals.AgentOnTileGoal, "near": goals.AgentNearGoal, "carrying": goals.AgentHoldGoal}
    if family in one:
        return [one[family](tile=tile) for (tile,) in colored]
    everywhere = [
        goals.TileOnPositionGoal(tile=tile, position=jnp.array(position))
        for (tile,) in colored
        for position in product(range(SIZE), repeat=2)
    ]
    return [*(goals.AgentHoldGoal(tile=tile) for (tile,) in colored), *everywhere]


# The original's goals are events, each tested after the action that can achieve it only.
EVENTS = {goals.AgentHoldGoal: PICK_UP, goals.TileNearGoal: PUT_DOWN}


def original_masks(theirs, grids, agents):
    """
    The original's own tests of its goals, one by one, bool ``[N, goals]``.

    Two tiles are adjacent if the original's test, which is for the cell where something was just put down, holds at any cell.
    """
    masks = np.zeros((len(grids), len(theirs)), dtype=bool)
    for cls in {type(goal) for goal in theirs}:
        ids = [number for number, goal in enumerate(theirs) if type(goal) is cls]
        positions = jnp.array(list(product(range(SIZE), repeat=2)) if cls is goals.TileNearGoal else [(0, 0)])

        def holds(encoding, grid, agent, cls=cls, positions=positions):
            test = cls.decode(encoding)
            return jax.vmap(lambda position: test(grid, agent, EVENTS.get(cls, FORWARD), position))(positions).any()

        every = jax.vmap(jax.vmap(holds, in_axes=(0, None, None)), in_axes=(None, 0, 0))
        masks[:, ids] = jax.jit(every)(jnp.stack([theirs[number].encode() for number in ids]), grids, agents)
    return masks


def test_masks_of_random_states_are_those_of_the_original_goals():
    names = all_goal_names()
    theirs = [original_goals(name) for name in names]
    grids, agents = random_states(200)
    single = original_masks([goal for group in theirs for goal in group], grids, agents)
    # A goal of any color is one of the original's, and one that a tile exists is one at any cell, or that it is carried.
    expected = np.logical_or.reduceat(single, np.cumsum([0, *map(len, theirs[:-1])]), axis=1)
    goal_set = XLandGoals(SIZE, SIZE, names)
    observations = jax.vmap(observe)(grids, agents)
    masks = goal_set.achieved(observations)
    np.testing.assert_array_equal(masks, expected)
    never = {name for name, column in zip(names, masks.T, strict=True) if not column.any()}
    assert never == {f"carrying/{tile}" for tile in (*TILES[:3], "open door")}
    one = jax.tree.map(lambda leaf: leaf[7], observations)
    np.testing.assert_array_equal(goal_set.achieved(one), masks[7])
    some = goal_set.subset([names[-1], 3, "near/ball"])
    np.testing.assert_array_equal(some.achieved(observations), masks[:, [len(names) - 1, 3, names.index("near/ball")]])


class State:
    """A state with what observations need."""

    def __init__(self, grid, agent):
        self.grid, self.agent = grid, agent


def observe(grid, agent):
    return _observe(State(grid, agent))


@pytest.mark.parametrize(
    ("level", "mission"),
    [("XLand-MiniGrid-R1-9x9", "near/red ball"), ("MiniGrid-DoorKey-5x5", "on/green goal"), ("MiniGrid-MemoryS8", None)],
)
def test_states_and_rewards_are_those_of_the_original(level, mission):
    """Both under the same random actions, also in a scan; the mask has the mission's goal when the original rewards it."""
    ruleset = Ruleset(DEFAULT_RULESET.objects, DEFAULT_RULESET.rules, mission) if "XLand" in level else None
    env = XLand(level, ruleset, goals=["cell/*", "near/red ball", "on/green goal"], max_steps=60)
    original, params = xminigrid.make(level, max_steps=60)
    params = params.replace(ruleset=ruleset.encode()) if ruleset else params
    key = jax.random.PRNGKey(4)
    actions = jnp.asarray(np.random.default_rng(0).choice(6, size=60, p=ACTIONS), dtype=jnp.int32)

    def ours(state, action):
        obs, state, *rest = env.step(key, state, action)
        return state, (state, *rest, obs)

    obs, start, mask = jax.jit(env.reset)(key)
    timestep = jax.jit(original.reset)(params, key)
    assert_same(*(jax.device_get((state.grid, state.agent.position)) for state in (start, timestep.state)))
    scanned = jax.device_get(jax.jit(lambda: jax.lax.scan(ours, start, actions))()[1])
    states, rewards, terminated, truncated, masks, all_obs = scanned
    step = jax.jit(original.step)
    for number, action in enumerate(actions):
        timestep = step(params, timestep, action)
        for leaves, theirs in zip(jax.tree.leaves(states), jax.tree.leaves(timestep.state), strict=True):
            np.testing.assert_array_equal(leaves[number], theirs)
        assert rewards[number] == timestep.reward
        assert bool(truncated[number]) == (number == 59)
        # Success does not end an episode; failures, which Memory has, do.
        assert bool(terminated[number]) == (timestep.discount == 0 and timestep.reward == 0)
        if mission and timestep.reward > 0:
            assert masks[number][env.goal_names.index(mission)]
    np.testing.assert_array_equal(env.goal_set.achieved(all_obs), masks)
    assert len(jax.tree.leaves(obs)) == 4 and mask.shape == (len(env.goal_names),)


def state_with(start, env, layout, carried=None):
    """
    A state of the 9x9 room with tiles at cells, and the agent in the middle, looking up.

    :param layout: names of tiles by their row and column relative to the agent
    """
    grid = jnp.asarray(start.grid).at[1:-1, 1:-1].set(jnp.array(number_of("black floor"), dtype=jnp.uint8))
    for (row, column), name in layout.items():
        grid = grid.at[4 + row, 4 + column].set(jnp.array(number_of(name), dtype=jnp.uint8))
    pocket = jnp.array(number_of(carried) if carried else (0, 0), dtype=jnp.uint8)
    agent = start.agent.replace(position=jnp.array([4, 4]), direction=jnp.array(0), pocket=pocket)
    return start.replace(grid=grid, agent=agent)


def test_rules_and_mission():
    env = XLand(goals=["near/*", "carrying/*", "exists/*", "adjacent/red ball, blue square"], mission_ends_episode=True)
    key = jax.random.PRNGKey(0)
    start, step = jax.jit(env.reset)(key)[1], jax.jit(env.step)
    up, up_right = (-1, 0), (-1, 1)
    cases = [
        # Two objects become one, which the agent is near.
        ({up_right: "red ball"}, "blue square", PUT_DOWN, {"exists/green star"}, False),
        ({up_right: "yellow pyramid"}, "blue square", PUT_DOWN, {"near/blue square"}, False),
        ({up: "yellow pyramid"}, None, PICK_UP, {"exists/purple key", "carrying/purple key"}, False),
        ({up: "red ball"}, None, PICK_UP, {"carrying/red ball"}, False),
        ({(-2, 0): "brown hex"}, None, FORWARD, {"exists/pink hex", "near/pink hex"}, False),
        ({up_right: "green star"}, "purple key", PUT_DOWN, {"exists/orange ball"}, False),
        ({up: "orange ball"}, None, PICK_UP, {"exists/orange ball", "carrying/orange ball"}, True),
        ({up: "orange ball"}, None, LEFT, {"exists/orange ball", "near/orange ball"}, False),
        ({up_right: "red ball", (-2, 1): "blue square"}, None, LEFT, {"adjacent/red ball, blue square"}, False),
    ]
    for layout, carried, action, expected, complete in cases:
        _, _, reward, terminated, _, mask = step(key, state_with(start, env, layout, carried), action)
        assert {env.goal_names[goal] for goal in np.flatnonzero(mask)} == expected, (layout, action)
        assert (reward > 0) == terminated == complete


def test_rulesets_are_those_of_the_original():
    tile = {name: jnp.array(number_of(name), dtype=jnp.uint8) for name in ("red ball", "blue square", "green star")}
    ball, square, star = tile.values()
    theirs = RuleSet(
        goal=goals.TileNearGoal(tile_a=star, tile_b=ball).encode(),
        rules=jnp.stack(
            [
                rules.TileNearRule(tile_a=ball, tile_b=square, prod_tile=star).encode(),
                rules.AgentNearRule(tile=ball, prod_tile=square).encode(),
                rules.AgentHoldRule(tile=square, prod_tile=ball).encode(),
                rules.EmptyRule().encode(),
            ]
        ),
        init_tiles=jnp.stack([ball, square, jnp.zeros(2, dtype=jnp.uint8)]),
    )
    ruleset = Ruleset(
        ["red ball", "blue square"],
        [
            "adjacent/red ball, blue square -> green star",
            "near/red ball -> blue square",
            "carrying/blue square -> red ball",
        ],
        "adjacent/green star, red ball",
    )
    assert Ruleset.from_xminigrid(theirs) == ruleset
    encoded = ruleset.encode()
    np.testing.assert_array_equal(encoded.goal, theirs.goal)
    np.testing.assert_array_equal(encoded.rules, theirs.rules[:3])
    np.testing.assert_array_equal(encoded.init_tiles, theirs.init_tiles[:2])
    for mission in ("cell/3,4", "on/green goal", "near/red ball", "carrying/red ball", None):
        again = Ruleset(["red ball"], mission=mission)
        assert Ruleset.from_xminigrid(again.encode()) == again
        assert [str(goal) for goal in again.goals()] == ["near/red ball", "carrying/red ball"]
    directed = theirs.replace(goal=goals.AgentNearUpGoal(tile=ball).encode())
    with pytest.raises(ValueError, match="got number 11"):
        Ruleset.from_xminigrid(directed)


def test_goals_of_the_default_ruleset_leave_out_what_cannot_be():
    names = {str(goal) for goal in DEFAULT_RULESET.goals()}
    assert len(names) == 83 - 49
    # The first becomes another at once, the second cannot be reached, in the third one is made of the other.
    assert not names & {"near/brown hex", "carrying/brown hex", "adjacent/red ball, green star", "exists/red ball"}
    assert {"exists/green star", "adjacent/green star, pink hex", "carrying/orange ball", "near/red ball"} <= names


def test_the_encoding_is_that_of_the_installed_version():
    def numbers(names):
        return {name.upper().replace(" ", "_"): number for number, name in enumerate(names)}

    ours, theirs = numbers(KINDS), vars(constants.Tiles())
    for kind in ("locked", "closed", "open"):
        ours[f"DOOR_{kind.upper()}"] = ours.pop(f"{kind.upper()}_DOOR")
    assert ours == theirs and numbers(COLORS) == vars(constants.Colors())
    pickable = {KINDS[kind] for kind in np.asarray(constants.PICKABLE)}
    assert pickable == {kind for kind in KINDS[3:] if parse_tile(f"red {kind}").is_pickable}


def test_interfaces_agree():
    """Batches, Gymnasium's and Stable-Baselines3's vector environments, and single environments."""
    arguments = {"max_steps": SHORT}
    envs = gym.make_vec("leo/XLand-v0", NUM_ENVS, autoreset_mode="SameStep", **arguments)
    functional = envs.unwrapped.functional_env
    core, venv = BatchedEnv(functional, NUM_ENVS), JaxVecEnv(XLand(max_steps=SHORT), NUM_ENVS)
    batch, first = core.reset(core.empty(core.keys([4, 5, 6])), np.ones(NUM_ENVS, dtype=bool))
    obs, infos = envs.reset(seed=4)
    venv.seed(4)
    for ours in (obs, dict(venv.reset())):
        assert_same(ours, jax.device_get(first.obs))
    np.testing.assert_array_equal(infos["goals_achieved"], first.goals_achieved)
    generator, episodes = np.random.default_rng(0), 0
    for _ in range(2 * SHORT + 1):
        actions = generator.integers(6, size=NUM_ENVS)
        batch, made, now, _ = core.step_and_reset(batch, actions)
        obs, rewards, terminated, truncated, infos = envs.step(actions)
        sb3_obs, sb3_rewards, dones, sb3_infos = venv.step(actions)
        for ours in (obs, dict(sb3_obs)):
            assert_same(ours, jax.device_get(now.obs))
        np.testing.assert_array_equal(rewards, made.rewards)
        np.testing.assert_array_equal(sb3_rewards, made.rewards)
        np.testing.assert_array_equal(dones, terminated | truncated)
        for each in (infos, sb3_infos):
            np.testing.assert_array_equal(achieved_from_infos(each, NUM_ENVS), made.goals_achieved)
        episodes += dones.sum()
    assert episodes == 2 * NUM_ENVS
    native = gym.make_vec("leo/XLand-v0", NUM_ENVS, max_steps=50, max_episode_steps=SHORT)
    sync = gym.make_vec("leo/XLand-v0", NUM_ENVS, vectorization_mode="sync", **arguments)
    assert compare_rollouts(native, sync, steps=2 * SHORT + 3, seed=1) >= NUM_ENVS


@pytest.mark.parametrize("env_id", [IDS[0], *(pytest.param(env_id, marks=pytest.mark.expensive) for env_id in IDS[1:])])
def test_contract(env_id):
    env = gym.make(f"leo/{env_id}-v0")
    check_multigoal_env(env, steps=60, skip_gymnasium_check=True, skip_sb3_check=True)
    assert len(np.unique(env.unwrapped.goal_set.descriptors, axis=0)) == len(env.unwrapped.goal_names)
    if env_id == "XLand":
        check_env(env.unwrapped, skip_render_check=True)
        check_sb3_env(env.unwrapped)
        check_multigoal_env(GoalConditionedWrapper(env), steps=20)


TestContractByHypothesis = multigoal_env_tests(
    lambda: gym.make("leo/XLand-v0", max_steps=SHORT), steps=15, max_examples=2, reuse_env=True
)

tile_names = st.builds(lambda color, kind: f"{color} {kind}", st.sampled_from(COLORS[1:]), st.sampled_from(KINDS[3:]))


@given(st.lists(tile_names, min_size=1, max_size=4), st.lists(st.tuples(st.integers(0, 2), *[tile_names] * 3), max_size=4))
@settings(deadline=None, max_examples=30)
def test_any_ruleset_is_encoded_and_has_valid_goals(objects, conditions):
    texts = [(f"carrying/{a}", f"near/{a}", f"adjacent/{a}, {b}")[kind] + f" -> {c}" for kind, a, b, c in conditions]
    ruleset = Ruleset(objects, texts)
    assert Ruleset.from_xminigrid(ruleset.encode()) == ruleset
    names = [str(goal) for goal in ruleset.goals()]
    assert len(set(names)) == len(names)
    if names:
        assert len(XLandGoals(9, 9, names)) == len(names)


def test_rendering_writes_the_goal_and_changes_nothing():
    env = gym.make("leo/XLand-v0", render_mode="rgb_array", max_steps=SHORT)
    env.reset(seed=1)
    frame = env.render()
    env.unwrapped.set_commanded_goal("near/red ball")
    with_goal = env.render()
    assert frame.shape == (288, 288, 3) and with_goal.shape == (324, 288, 3)
    np.testing.assert_array_equal(with_goal[:288], frame)
    envs = gym.make_vec("leo/XLand-v0", NUM_ENVS, render_mode="rgb_array", max_steps=SHORT)
    envs.reset(seed=0)
    envs.unwrapped.set_commanded_goals([0, env.unwrapped.goal_set.index("near/red ball"), 2])
    np.testing.assert_array_equal(envs.render()[1], with_goal)
    assert env.unwrapped.action_names[:2] == ("forward", "turn right")
    assert sorted(env.unwrapped.get_keys_to_action().values()) == list(range(6))


def test_pickle_and_spec_round_trip():
    ruleset = {"objects": ["red ball"], "rules": ["near/red ball -> blue ball"], "mission": "near/blue ball"}
    env = gym.make("leo/XLand-v0", goals=["near/*", "cell/3,4"], ruleset=ruleset)
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert (
        again.unwrapped.functional_env
        == env.unwrapped.functional_env
        == pickle.loads(pickle.dumps(env.unwrapped.functional_env))
    )
    assert hash(again.unwrapped.functional_env) == hash(env.unwrapped.functional_env)
    assert again.unwrapped.goal_names == ("near/blue ball", "cell/3,4")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"level": "MiniGrid-Nowhere"}, "expected the id of a level"),
        ({"goals": ["cell/*", "carrying/turquoise *"]}, r"expected a pattern of goals .* got 'carrying/turquoise \*'"),
        ({"goals": ["near/red bal"]}, "got 'red bal'; colors are red, "),
        ({"goals": ["touching/red ball"]}, "families are cell, on, "),
        ({"goals": ["cell/9,1"]}, "cells of a grid of 9x9"),
        ({"goals": []}, "at least one goal"),
        ({"level": "MiniGrid-Empty-5x5", "ruleset": {"objects": ["red ball"]}}, "expected no ruleset"),
        ({"ruleset": {"objects": []}}, "at least one object"),
        ({"ruleset": {"objects": ["ball"]}}, "expected a tile such as 'red ball', got 'ball'"),
        ({"ruleset": {"objects": ["red ball"] * 25}}, "at most 24 objects"),
        ({"ruleset": {"objects": ["red ball"], "rules": ["red ball -> blue ball"]}}, "expected a rule such as"),
        ({"ruleset": {"objects": ["red ball"], "mission": "exists/red ball"}}, "expected a mission of the families"),
        ({"ruleset": {"objects": ["red ball"], "mission": "cell/9,9"}}, "mission's cell within 9x9"),
        ({"ruleset": {"things": ["red ball"]}}, "got the keys"),
    ],
)
def test_invalid_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        XLandEnv(**arguments)
