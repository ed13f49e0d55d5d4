import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import leo_envs
from leo_envs.gridworld import GridMap, GridWorldEnv
from leo_envs.gridworld.key_door import KeyDoorWorld
from leo_wrappers import check_multigoal_env
from tests.envs.vector_equivalence import compare_rollouts, make_pair

gym.register_envs(leo_envs)

MAP = ["S.D.", "K###"]
UP, RIGHT, DOWN, LEFT = range(4)


def play(*actions):
    env = GridWorldEnv(MAP, render_mode="ansi")
    env.reset(seed=0)
    steps = [env.step(action) for action in actions]
    return env, [[env.goal_names[goal] for goal in np.flatnonzero(info["goals_achieved"])] for *_, info in steps], steps[-1][0]


def test_the_door_is_a_wall_without_the_key():
    env, achieved, observation = play(RIGHT, RIGHT, RIGHT)
    assert achieved[-1] == ["cell/0,1"] and observation[-2:].tolist() == [0, 0]
    assert env.render() == ".AD.\nK###"


def test_the_key_opens_the_door_for_the_rest_of_the_episode():
    env, achieved, observation = play(DOWN, UP, RIGHT, RIGHT, RIGHT, LEFT, LEFT, RIGHT)
    assert achieved == [
        ["cell/1,0", "has key"],
        ["cell/0,0", "has key"],
        ["cell/0,1", "has key"],
        ["cell/0,2", "has key", "door open"],
        ["cell/0,3", "has key", "door open"],
        ["cell/0,2", "has key", "door open"],
        ["cell/0,1", "has key", "door open"],
        ["cell/0,2", "has key", "door open"],
    ]
    assert observation[-2:].tolist() == [1, 1] and env.render() == "..A.\n.###"
    assert not env.reset()[1]["goals_achieved"][-2:].any()


def test_exact_distances_and_values():
    """Nobody gets behind the door without the detour to the key; from there, all counts anew by the state."""
    env = GridWorldEnv(MAP)
    start, with_key = env.mdp.starts[0], env.mdp.num_cells
    assert env.distances()[start].tolist() == [1, 1, 4, 5, 1, 1, 4]
    assert env.distances()[with_key].tolist() == [1, 1, 2, 3, 1, 1, 2]
    q_values = env.optimal_q(0.5)
    assert q_values[start, 3].tolist() == [2.0**-5, 2.0**-6, 2.0**-4, 2.0**-5]
    assert env.reachable().all()


def test_observations_are_inverted():
    for observation in ("row_column", "coordinates", "one_hot"):
        env = GridWorldEnv(MAP, observation=observation)
        assert env.states_of(env.all_observations()).tolist() == list(range(15))


def test_random_starts_are_neither_at_the_key_nor_in_the_door():
    mdp = KeyDoorWorld(GridMap(MAP), start="random")
    assert mdp.starts.tolist() == [0, 1, 3]
    assert not mdp.achieved(mdp.starts)[:, -2:].any()


def test_cells_and_descriptors_of_the_goals():
    env = GridWorldEnv(MAP)
    assert env.cell_of("has key") == (1, 0) and env.cell_of("door open") == (0, 2) and env.cell_of("cell/0,3") == (0, 3)
    assert len(np.unique(env.goal_set.descriptors, axis=0)) == len(env.goal_names) == 7


def test_contract():
    check_multigoal_env(GridWorldEnv(MAP, time_limit=20))


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
def test_the_vector_environment_equals_single_ones(mode):
    compare_rollouts(*make_pair("leo/GridWorld-v0", mode, map=MAP, max_episode_steps=12), steps=40, seed=0)


def test_rendering():
    env = GridWorldEnv(MAP, render_mode="rgb_array")
    env.reset()
    closed = env.render()
    for action in (DOWN, UP, RIGHT, RIGHT, LEFT, LEFT):
        env.step(action)
    changed = (env.render() != closed).any(axis=2)
    tile = len(closed) // 2
    tiles = [bool(changed[:tile, column * tile : (column + 1) * tile].any()) for column in range(4)]
    assert tiles == [False, False, True, False]
    assert changed[tile:, :tile].any()
    env.set_commanded_goal("has key")
    assert env.render()[tile:, :tile].any()


@pytest.mark.parametrize("text", ["SK.", "S.D", "SKKD", "SKDD"])
def test_a_map_has_one_key_and_one_door(text):
    with pytest.raises(ValueError, match="expected one key 'K' and one door 'D' on the map, or neither, got"):
        GridMap(text)


def test_the_text_of_a_map():
    assert str(GridMap(MAP)) == "\n".join(MAP)
