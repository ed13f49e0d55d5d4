"""Tests of the single grid world: moves, observations, rendering, invalid input."""

import pickle
import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import DependencyNotInstalled, ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.utils.env_checker import data_equivalence as equal
from stable_baselines3.common.env_checker import check_env as check_sb3_env

import leo_envs  # noqa: F401
from leo_envs.gridworld import GridMap, GridWorldEnv
from leo_wrappers import GoalConditionedWrapper

UP, RIGHT, DOWN, LEFT = range(4)
OBSERVATIONS = ["row_column", "coordinates", "one_hot"]
ROOM = """
..#
.S.
#..
"""


def trajectory(env: gym.Env, seed: int, actions: list[int]) -> list[object]:
    return [env.reset(seed=seed), *(env.step(action) for action in actions)]


@pytest.mark.parametrize(
    ("moves", "cell"),
    [
        ([UP], (0, 1)),
        ([RIGHT], (1, 2)),
        ([DOWN], (2, 1)),
        ([LEFT], (1, 0)),
        ([UP, RIGHT], (0, 1)),  # a wall
        ([UP, UP], (0, 1)),  # the edge
        ([LEFT, LEFT], (1, 0)),
        ([LEFT, DOWN], (1, 0)),
        ([DOWN, DOWN], (2, 1)),
        ([RIGHT, RIGHT], (1, 2)),
        ([DOWN, RIGHT, UP, UP], (1, 2)),
    ],
)
def test_moves(moves: list[int], cell: tuple[int, int]) -> None:
    env = GridWorldEnv(ROOM)
    env.reset()
    for move in moves:
        _, reward, terminated, truncated, info = env.step(move)
        assert (reward, terminated, truncated) == (0.0, False, False)
        assert (type(reward), type(terminated), type(truncated)) == (float, bool, bool)
    assert env.cell_of(env.state) == cell
    assert [env.goal_names[goal] for goal in np.flatnonzero(info["goals_achieved"])] == [f"cell/{cell[0]},{cell[1]}"]


def test_reset_mask_contains_start_cell() -> None:
    env = GridWorldEnv(ROOM)
    mask = env.reset()[1]["goals_achieved"]
    assert (mask.dtype, mask.shape) == (np.bool_, (7,))
    assert np.flatnonzero(mask).tolist() == [env.goal_set.index("cell/1,1")]


def test_goals() -> None:
    env = GridWorldEnv(ROOM)
    assert env.goal_names == ("cell/0,0", "cell/0,1", "cell/1,0", "cell/1,1", "cell/1,2", "cell/2,1", "cell/2,2")
    assert env.goal_set.names == env.goal_names
    assert list(env.goal_set.families) == ["cell"]
    assert env.goal_set.descriptors.dtype == np.float32
    assert env.goal_set.descriptors.tolist() == [[0, 0], [0, 0.5], [0.5, 0], [0.5, 0.5], [0.5, 1], [1, 0.5], [1, 1]]
    assert env.cell_of("cell/1,2") == env.cell_of(4) == (1, 2)
    assert np.array_equal(env.goal_set.achieved(np.array([[3], [0]])), np.eye(7, dtype=bool)[[[3], [0]]])


@pytest.mark.parametrize(
    ("observation", "expected"),
    [
        ("row_column", [0, 1, 0, 0, 0, 1]),
        ("coordinates", [0.5, 1.0]),
        ("one_hot", [0, 0, 0, 0, 1, 0, 0]),
    ],
)
def test_observations_by_hand(observation: str, expected: list[float]) -> None:
    env = GridWorldEnv(ROOM, observation=observation)
    env.reset()
    obs = env.step(RIGHT)[0]
    assert obs.dtype == np.float32
    assert obs.tolist() == expected
    assert env.observation_space.contains(obs)


@pytest.mark.parametrize("observation", OBSERVATIONS)
@pytest.mark.parametrize("arguments", [{}, {"map": "maze", "size": (7, 30)}, {"map": "S"}, {"map": "...S"}])
def test_states_of_inverts_every_observation(observation: str, arguments: dict) -> None:
    env = GridWorldEnv(**arguments, observation=observation)
    observations = env.all_observations()
    assert np.array_equal(env.states_of(observations), np.arange(len(env.goal_names)))
    assert all(env.observation_space.contains(row) for row in observations)
    observation_at_reset, _ = env.reset()
    assert env.states_of(observation_at_reset) == env.state


@pytest.mark.parametrize("observation", OBSERVATIONS)
@pytest.mark.parametrize("start", [None, "random", (1, 0)])
def test_checkers(observation: str, start: object) -> None:
    env = gym.make("leo/GridWorld-v0", observation=observation, start=start, render_mode="rgb_array")
    # The render check opens a window.
    check_env(env.unwrapped, skip_render_check=True)
    check_sb3_env(env)
    check_sb3_env(GridWorldEnv(observation=observation, start=start, time_limit=5))


@pytest.mark.parametrize("limit", [1, 3])
@pytest.mark.parametrize("own", [False, True], ids=["TimeLimit", "own limit"])
def test_time_limits(limit: int, own: bool) -> None:
    env = GridWorldEnv(time_limit=limit) if own else gym.make("leo/GridWorld-v0", max_episode_steps=limit)
    for _ in range(2):
        env.reset()
        flags = [env.step(0)[2:4] for _ in range(limit)]
        assert flags == [(False, False)] * (limit - 1) + [(False, True)]


def test_default_time_limit() -> None:
    env = gym.make("leo/GridWorld-v0")
    env.reset()
    assert [env.step(0)[3] for _ in range(200)].index(True) == 199


def test_start_option_applies_to_one_episode() -> None:
    env = GridWorldEnv(ROOM)
    env.reset(options={"start": (2, 2)})
    assert env.cell_of(env.state) == (2, 2)
    env.reset(options={})
    assert env.cell_of(env.state) == (1, 1)


def test_random_and_marked_starts() -> None:
    anywhere, marked = GridWorldEnv(ROOM, start="random"), GridWorldEnv("S..S#S")
    for env, expected in ((anywhere, set(range(7))), (marked, {0, 3, 4})):
        env.reset(seed=0)
        assert {env.states_of(env.reset()[0]).item() for _ in range(200)} == expected


def test_fixed_start_does_not_use_random_generator() -> None:
    env = GridWorldEnv(ROOM)
    env.reset(seed=3)
    before = env.np_random.bit_generator.state
    env.reset()
    assert env.np_random.bit_generator.state == before


def test_commanded_goal_only_changes_rendering() -> None:
    plain, commanded = (GridWorldEnv(ROOM, start="random", render_mode="rgb_array") for _ in range(2))
    commanded.set_commanded_goal(0)
    actions = [0, 1, 2, 3, 0, 2]
    assert equal(trajectory(plain, 1, actions), trajectory(commanded, 1, actions), exact=True)
    assert not np.array_equal(plain.render(), commanded.render())
    commanded.set_commanded_goal(None)
    assert np.array_equal(plain.render(), commanded.render())


def test_reward_of_goal_conditioned_wrapper() -> None:
    env = GoalConditionedWrapper(gym.make("leo/GridWorld-v0", map="S..."), goal="cell/0,2")
    observation, _ = env.reset(seed=0)
    assert observation["goal_id"] == 2 == env.unwrapped.commanded_goal
    assert [env.step(RIGHT)[1:3] for _ in range(2)] == [(0.0, False), (1.0, True)]


def test_returned_arrays_are_new() -> None:
    env = GridWorldEnv(ROOM)
    observation, info = env.reset()
    observation[:] = 7.0
    info["goals_achieved"][:] = True
    again, info_again = env.reset()
    assert again.max() == 1.0
    assert info_again["goals_achieved"].sum() == 1


def test_pickled_environment_continues_identically() -> None:
    env = GridWorldEnv(start="random", time_limit=9)
    env.reset(seed=4)
    env.step(1)
    twin = pickle.loads(pickle.dumps(env))
    assert twin.goal_set.names == env.goal_set.names
    for act in (lambda e: e.step(2), lambda e: e.reset(), lambda e: e.step(0)):
        assert equal(act(env), act(twin), exact=True)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"map": ROOM, "start": (0, 0), "observation": "one_hot", "time_limit": 5},
        {"map": "maze", "size": [9, 7], "map_seed": 2, "start": "random", "max_episode_steps": 4},
    ],
)
def test_spec_round_trip(arguments: dict) -> None:
    env = gym.make("leo/GridWorld-v0", **arguments)
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    actions = [0, 1, 2, 3, 1]
    assert again.unwrapped.goal_names == env.unwrapped.goal_names
    assert equal(trajectory(env, 5, actions), trajectory(again, 5, actions), exact=True)


def test_make_with_module_name() -> None:
    assert gym.make("leo_envs:leo/GridWorld-v0").spec.id == "leo/GridWorld-v0"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"map": ROOM, "start": (0, 2)}, r"expected a free cell, got the wall at \(0, 2\)"),
        ({"map": ROOM, "start": (9, 9)}, r"expected a cell of the 3 x 3 map"),
        ({"map": ROOM, "start": "anywhere"}, "expected start to be one of"),
        ({"map": "...\n.#.\n..."}, r"without 'S' whose center \(1, 1\) is a wall"),
        ({"map": "labyrinth"}, "expected map to be 'paper', 'random', 'maze' or a map's text, got 'labyrinth'"),
        ({"map": ROOM, "size": 5}, "expected size and map_seed only with"),
        ({"map_seed": 5}, "expected size and map_seed only with"),
        ({"map": "random", "size": 129}, "expected a size from 1 to 128"),
        ({"observation": "pixels"}, "expected observation to be one of"),
        ({"render_mode": "rgb"}, "expected render_mode to be one of"),
        ({"time_limit": 0}, "expected time_limit to be a positive number of steps or None, got 0"),
        ({"time_limit": 1.5}, "expected time_limit"),
        ({"time_limit": True}, "expected time_limit"),
    ],
)
def test_invalid_arguments_raise(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GridWorldEnv(**arguments)


@pytest.mark.parametrize("action", [4, -1, 1.0, None, "up", [1], np.array([1])])
def test_invalid_actions_raise(action: object) -> None:
    env = GridWorldEnv(ROOM)
    env.reset()
    with pytest.raises(ValueError, match="action from 0 to 3, got"):
        env.step(action)
    assert env.cell_of(env.state) == (1, 1)


@pytest.mark.parametrize("action", [1, np.int64(1), np.uint8(1), np.array(1)])
def test_integer_types_of_actions(action: object) -> None:
    env = GridWorldEnv(ROOM)
    env.reset()
    env.step(action)
    assert env.cell_of(env.state) == (1, 2)


@pytest.mark.parametrize(
    "act", [lambda e: e.step(0), lambda e: e.render(), lambda e: e.state], ids=["step", "render", "state"]
)
def test_use_before_reset_raises(act) -> None:
    with pytest.raises(ResetNeeded, match=r"call reset\(\) first"):
        act(GridWorldEnv(ROOM, render_mode="ansi"))


def test_invalid_options_and_goals_raise() -> None:
    env = GridWorldEnv(ROOM)
    with pytest.raises(ValueError, match=r"expected a free cell, got the wall at \(2, 0\)"):
        env.reset(options={"start": (2, 0)})
    with pytest.raises(ValueError, match="expected a goal id from 0 to 6, got 7"):
        env.set_commanded_goal(7)
    with pytest.raises(ValueError, match="nearest"):
        env.cell_of("cell/0,9")
    with pytest.raises(ValueError, match=r"expected observations of shape \(..., 6\), got \(5,\)"):
        env.states_of(np.zeros(5))
    with pytest.raises(ValueError, match="got that of a wall"):
        env.states_of([1, 0, 0, 0, 0, 1])


def test_text_rendering() -> None:
    env = GridWorldEnv(ROOM, render_mode="ansi")
    env.reset()
    assert env.render() == "..#\n.A.\n#.."
    env.set_commanded_goal("cell/0,1")
    assert env.render() == ".G#\n.A.\n#.."
    env.step(UP)
    assert env.render() == ".*#\n...\n#.."


def test_frame_shows_agent_walls_and_goal() -> None:
    env = GridWorldEnv(ROOM, render_mode="rgb_array")
    env.reset()
    env.set_commanded_goal("cell/2,2")
    frame = env.render()
    assert (frame.dtype, frame.shape) == (np.uint8, (144, 144, 3))
    colors = {(row, column): tuple(frame[48 * row + 24, 48 * column + 24].tolist()) for row in range(3) for column in range(3)}
    free = {colors[cell] for cell in ((0, 0), (0, 1), (1, 0), (1, 2), (2, 1))}
    assert len(free) == 1
    assert colors[0, 2] == colors[2, 0]
    assert len({colors[0, 0], colors[0, 2], colors[1, 1], colors[2, 2]}) == 4


@pytest.mark.parametrize("state", [(0, 0), (127, 127), (64, 64)])
def test_agent_is_visible_on_largest_map(state: tuple[int, int]) -> None:
    env = GridWorldEnv("\n".join(["." * 128] * 128), render_mode="rgb_array")
    env.reset(options={"start": state})
    frame = env.render()
    env.reset(options={"start": (32, 96)})
    changed = (frame != env.render()).any(axis=-1)
    row, column = (4 * axis for axis in state)
    assert changed[row : row + 4, column : column + 4].all()
    neighborhood = changed[max(row - 8, 0) : row + 12, max(column - 8, 0) : column + 12]
    assert neighborhood.sum() > 2 * 16


def test_rendering_without_a_mode_warns() -> None:
    env = GridWorldEnv(ROOM)
    env.reset()
    with pytest.warns(UserWarning, match="without a render mode"):
        assert env.render() is None


def test_window_needs_pygame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(DependencyNotInstalled, match=r"leo-rl\[human\]"):
        GridWorldEnv(ROOM, render_mode="human").reset()


def test_window_shows_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    import pygame

    env = GridWorldEnv(ROOM, render_mode="human")
    env.reset()
    env.step(RIGHT)
    twin = GridWorldEnv(ROOM, render_mode="rgb_array")
    twin.reset(options={"start": (1, 2)})
    frame = pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)
    assert np.array_equal(frame, twin.render())
    assert pickle.loads(pickle.dumps(env)).state == env.state
    env.close()
    env.close()
    assert not pygame.display.get_init()


def test_grid_property() -> None:
    assert isinstance(GridWorldEnv(ROOM).grid, GridMap)
    assert str(GridWorldEnv(ROOM).grid) == ROOM.strip()
