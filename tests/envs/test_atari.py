"""Atari games: goals by what the screen shows and by a loop over their names, the original's states, the contract."""

import pickle
import re
from functools import cache

import gymnasium as gym
import numpy as np
import pytest

pytest.importorskip("ale_py")

import ale_py
from ale_py.env import AtariEnv as Original
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from stable_baselines3.common.env_checker import check_env as check_sb3_env

import leo_envs  # noqa: F401
from leo_envs.atari import AtariEnv, AtariGoals
from leo_envs.atari.games import GAMES, MAZE
from leo_wrappers import GoalConditionedWrapper, check_multigoal_env
from leo_wrappers.testing import run_state_machine

IDS = ["leo/MontezumaRevenge-v0", "leo/MsPacman-v0", "leo/Pitfall-v0"]
NOOP, RIGHT, LEFT = 0, 3, 4
RED, PINK = (200, 72, 72), (228, 111, 111)


class Console:
    """An emulator without sticky actions, whose memory can be changed."""

    def __init__(self, game):
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        self.ale, self.goals = ale_py.ALEInterface(), AtariGoals(game)
        self.ale.setFloat("repeat_action_probability", 0.0)
        self.ale.setInt("random_seed", 0)
        self.ale.loadROM(ale_py.roms.get_rom_path(game))

    def reset(self, frames=30):
        self.ale.reset_game()
        self.act(NOOP, frames)
        return self

    def act(self, action, frames=1):
        return sum(self.ale.act(action) for _ in range(frames))

    def set(self, **memory):
        for byte, value in memory.items():
            self.ale.setRAM(int(byte[1:]), value)

    def ram(self, byte):
        return int(self.ale.getRAM()[byte])

    def achieved(self, family=""):
        return {self.goals.names[goal] for goal in np.flatnonzero(self.goals.achieved(self.ale.getRAM()))} & {
            name for name in self.goals.names if name.startswith(family)
        }

    def screen(self):
        return self.ale.getScreenRGB()


def box(picture, color):
    """The first and last row and column of a color."""
    rows, columns = np.nonzero((picture == color).all(axis=-1))
    return rows.min(), rows.max(), columns.min(), columns.max()


@cache
def pitfall_rooms():
    """The labels of the rooms by their bytes, of which each is the one before, shifted, with the parity of four bits."""
    rooms, room = {}, "11000100"
    for number in range(255):
        rooms[int(room, 2)] = "0" if number == 0 else f"+{number}" if number < 128 else f"-{255 - number}"
        room = room[1:] + str((room[0] + room[2:5]).count("1") % 2)
    return rooms


def naive_goals(game, ram):
    """The names of the goals that a memory achieves, from the bytes' meanings."""
    if game == "montezuma_revenge":
        bits = {"hammer": [0], "key": [1, 2, 3, 4], "sword": [5, 6], "torch": [7]}
        found = {f"item/{item}" for item, positions in bits.items() if any(ram[65] >> bit & 1 for bit in positions)}
        found.add(f"room/{ram[3]}")
        if ram[4] == 0:
            found.add(f"cell/{ram[3]}/{min((255 - ram[43]) // 16, 7)},{min((ram[42] + 3) // 20, 7)}")
        return found
    if game == "pitfall":
        rooms = pitfall_rooms()
        found = {
            f"treasure/{label}"
            for room, label in rooms.items()
            if room & 0b111000 == 0b101000 and ram[109 + room // 64] & 128 >> room % 8
        }
        if ram[1]:
            here = rooms[ram[1]]
            level = "jungle" if ram[105] < 60 else "tunnel"
            found |= {f"room/{here}", f"cell/{here}/{level},{min((ram[97] + 4) // 20, 7)}"}
        return found
    cleared = ram[123] // 16 > 0
    found = {"maze/cleared"} if cleared else set()
    # The order of the bits of a row, from left to right.
    order = ["0:6", *(f"1:{bit}" for bit in (7, 5, 3, 1)), *(f"2:{bit}" for bit in (0, 2, 4, 6))]
    order += [*(f"1:{bit}" for bit in (6, 4, 2, 0)), *(f"2:{bit}" for bit in (1, 3, 5, 7)), "0:4"]
    positions = [17 + 8 * column if column < 9 else 21 + 8 * column for column in range(18)]
    here = min(max(ram[16] + 4, 0) // 12, 13), min(range(18), key=lambda column: abs(ram[10] - positions[column]))
    for row, line in enumerate(MAZE):
        for column, kind in enumerate(line):
            byte, bit = map(int, order[column].split(":"))
            pill = {(1, 0): 5, (1, 17): 3, (12, 0): 4, (12, 17): 2}.get((row, column))
            if kind == "." and (cleared or not ram[59 + 3 * row + byte] >> bit & 1):
                found.add(f"pellet/{row},{column}")
            if kind == "o" and (cleared or not ram[117] >> pill & 1):
                found.add(f"pill/{row},{column}")
            if kind != "#" and here == (row, column):
                found.add(f"cell/{row},{column}")
    return found


goals_of = cache(AtariGoals)


@pytest.mark.parametrize("game", GAMES)
@settings(max_examples=60, deadline=None)
@given(ram=arrays(np.uint8, (3, 128)), data=st.data())
def test_masks_of_any_memory_equal_a_loop(game, ram, data):
    # Most values of these bytes mean nothing.
    ram[:, 3] = data.draw(st.integers(0, 23))
    ram[0, 4] = 0
    goals = goals_of(game)
    for memory, mask in zip(ram, goals.achieved(ram.astype(np.float32)), strict=True):
        assert {goals.names[goal] for goal in np.flatnonzero(mask)} == naive_goals(game, memory.astype(int).tolist())
        np.testing.assert_array_equal(mask, goals.achieved(memory))


@pytest.mark.parametrize("game", GAMES)
def test_names_and_descriptors(game):
    goals = AtariGoals(game)
    assert len(goals) == {"montezuma_revenge": 24 * 65 + 4, "ms_pacman": 2 * 154 + 1, "pitfall": 255 * 17 + 32}[game]
    assert len(np.unique(goals.descriptors, axis=0)) == len(goals)
    parts = [len(re.split("[/,]", name)) for name in goals.names]
    np.testing.assert_array_equal(goals.descriptors.sum(axis=1), parts)
    assert pickle.loads(pickle.dumps(goals)).names == goals.names


def test_montezuma_items_are_those_in_the_picture():
    """Bits with the same goal are drawn equally, bits with different goals differently, and no bit shows nothing."""
    machine, drawn = Console("montezuma_revenge").reset(), {}
    assert machine.achieved("item/") == set()
    drawn[()] = {machine.screen()[25:44].tobytes()}
    for bit in range(8):
        machine.reset().set(_65=1 << bit)
        machine.act(NOOP, 4)
        drawn.setdefault(tuple(machine.achieved("item/")), set()).add(machine.screen()[25:44].tobytes())
    assert sorted(drawn) == [(), ("item/hammer",), ("item/key",), ("item/sword",), ("item/torch",)]
    assert all(len(pictures) == 1 for pictures in drawn.values()) and len(set.union(*drawn.values())) == 5


def test_montezuma_cells_contain_the_drawn_player():
    machine, generator, seen = Console("montezuma_revenge").reset(), np.random.default_rng(0), set()
    for _ in range(80):
        machine.reset(2).set(_42=int(generator.integers(2, 150)), _43=int(generator.integers(150, 250)))
        machine.act(NOOP)
        (name,) = machine.achieved("cell/")
        row, column = map(int, name.split("/")[2].split(","))
        top, bottom, left, right = box(machine.screen()[47:], RED)
        # The middle of the body, which is twice as high as the red part, and that of the cell, at most half a cell away.
        assert abs((top + bottom) / 2 + 47 - (16 * row + 70)) <= 12, name
        assert abs((left + right) / 2 - (20 * column + 9.5)) <= 12, name
        seen.add(name)
    assert len(seen) > 25


@pytest.mark.parametrize(("start", "action", "room"), [(120, RIGHT, "room/2"), (30, LEFT, "room/0")])
def test_montezuma_doors_need_a_key_and_lead_to_rooms(start, action, room):
    machine = Console("montezuma_revenge").reset()
    machine.set(_42=start)
    machine.act(action, 60)
    assert machine.achieved("room/") == {"room/1"}
    machine.reset().set(_42=start, _65=0b10)
    assert machine.achieved("item/") == {"item/key"}
    columns, rooms = [], []
    for _ in range(60):
        machine.act(action)
        rooms += machine.achieved("room/")
        columns += [int(name[-1]) for name in machine.achieved("cell/") if machine.achieved("room/") == {room}]
    assert sorted(set(rooms)) == sorted({"room/1", room}) and rooms[-1] == room
    assert machine.achieved("item/") == set()
    # While the screen is black, the memory has the new room with the old position: no cell of the far side is achieved.
    assert columns[0] == (0 if action == RIGHT else 7) and set(columns) <= ({0, 1, 2} if action == RIGHT else {5, 6, 7})


def walk_right(machine):
    """Go to the next room from the right edge of the jungle, with a new life."""
    machine.set(_97=146, _105=32, _0=160)
    room = machine.ram(1)
    while machine.ram(1) == room:
        machine.act(RIGHT)


def test_pitfall_rooms_are_a_ring():
    machine, seen = Console("pitfall").reset(), []
    for _ in range(255):
        seen += machine.achieved("room/")
        walk_right(machine)
    order = [f"room/{number:+d}" if number else "room/0" for number in (*range(128), *range(-127, 0))]
    assert seen == order and machine.achieved("room/") == {"room/0"}
    machine.reset().set(_97=8)
    machine.act(LEFT, 8)
    assert machine.achieved() == {"room/-1", "cell/-1/jungle,7"}
    machine.reset().set(_97=148, _105=86)
    machine.act(RIGHT, 8)
    assert machine.achieved() == {"room/+3", "cell/+3/tunnel,0"}


def test_pitfall_treasures():
    """All 32 of them, by walking over them."""
    machine, found = Console("pitfall").reset(), set()
    treasures = {name.split("/")[1] for name in machine.goals.names if name.startswith("treasure/")}
    assert len(treasures) == 32
    for _ in range(255):
        (room,) = (name.split("/")[1] for name in machine.achieved("room/"))
        before = machine.achieved("treasure/")
        for column in range(90, 146, 6) if room in treasures else ():
            machine.set(_97=column, _105=32, _0=160, _88=0x19)
            if machine.act(NOOP, 3) > 0:
                break
        new = machine.achieved("treasure/") - before
        assert new == ({f"treasure/{room}"} if room in treasures else set())
        found |= new
        if len(found) == 31:
            break  # the game ends with the last one
        walk_right(machine)
    assert len(found) == 31


def test_pitfall_cells_contain_the_drawn_player():
    machine, generator, seen = Console("pitfall").reset(), np.random.default_rng(0), set()
    for _ in range(60):
        machine.reset(2).set(_97=int(generator.integers(9, 148)), _105=int(generator.choice([20, 32, 86])))
        machine.act(NOOP)
        (name,) = machine.achieved("cell/")
        level, column = name.split("/")[2].split(",")
        top, _, left, right = box(machine.screen()[70:190, 8:], PINK)
        assert level == ("jungle" if top + 70 < 120 else "tunnel")
        assert int(column) == min(((left + right + 1) // 2 + 8) // 20, 7)
        seen.add(name)
    assert len(seen) == 16


def drawn_pellets(machine):
    """The pellets that a screen shows, and the places that a figure may cover."""
    picture = machine.screen()
    shown = set()
    for row, line in enumerate(MAZE):
        for column, kind in enumerate(line):
            left = 8 + 8 * column + 4 * (column > 8)
            spot = (picture[7 + 12 * row : 9 + 12 * row, left : left + 4] == PINK).all()
            # Below and above a pellet is a corridor; walls have the same color.
            if kind == "." and spot:
                shown.add(f"pellet/{row},{column}")
    return shown


def test_pacman_pellets_are_those_in_the_picture():
    machine, generator = Console("ms_pacman").reset(), np.random.default_rng(0)
    machine.act(NOOP, 260)
    pellets = {name for name in machine.goals.names if name.startswith("pellet/")}
    for _ in range(80):
        machine.act(int(generator.integers(1, 5)), 12)
        eaten, shown = machine.achieved("pellet/"), drawn_pellets(machine)
        # Ghosts and the player cover some of the others.
        assert not shown & eaten and len(pellets - eaten - shown) <= 10
    assert len(eaten) >= 10


def test_pacman_positions_are_where_pellets_vanish():
    machine, generator, places = Console("ms_pacman").reset(), np.random.default_rng(1), set()
    machine.act(NOOP, 260)
    before = machine.achieved("pellet/")
    for step in range(720):
        if step % 12 == 0:
            action = int(generator.integers(1, 5))
        machine.act(action)
        for name in machine.achieved("pellet/") - before:
            row, column = map(int, name.split("/")[1].split(","))
            # The middles of the figure and of the pellet, in pixels.
            figure, pellet = (machine.ram(10) - 7, machine.ram(16) + 6), (10 + 8 * column + 4 * (column > 8), 8 + 12 * row)
            assert np.abs(np.subtract(figure, pellet)).max() <= 6
            places.add((row, column))
        before |= machine.achieved("pellet/")
    assert len(places) >= 12 and len({row for row, _ in places}) >= 3


def test_pacman_pills():
    """Each pill vanishes from its corner of the picture."""
    machine = Console("ms_pacman").reset()
    machine.act(NOOP, 70)
    state = machine.ale.cloneState()

    def pictures():
        shots = []
        for _ in range(16):
            machine.act(NOOP)
            shots.append(machine.screen().copy())
        return np.stack(shots)

    usual = pictures()
    for bit in range(2, 6):
        machine.ale.restoreState(state)
        machine.set(_117=machine.ram(117) & ~(1 << bit))
        (name,) = machine.achieved("pill/")
        row, column = map(int, name.split("/")[1].split(","))
        rows, columns = np.nonzero((pictures() != usual).any(axis=(0, -1)))
        assert abs(rows.mean() - (8 + 12 * row)) <= 12 and abs(columns.mean() - (10 + 8 * column + 4 * (column > 8))) <= 4


def test_pacman_clears_the_maze():
    machine = Console("ms_pacman").reset()
    # All pills and all pellets but those of the player's row; a counter says that six more end the level.
    machine.set(**{f"_{byte}": 0 for byte in range(59, 101) if byte not in (83, 84, 85)}, _117=3, _119=148)
    assert len(machine.achieved("pellet/")) == "".join(MAZE).count(".") - MAZE[8].count(".")
    assert len(machine.achieved("pill/")) == 4 and not machine.achieved("maze/")
    for _ in range(500):
        machine.act(LEFT)
        if machine.achieved("maze/"):
            break
    machine.act(NOOP, 200)
    names = {name for name in machine.goals.names if not name.startswith("cell/")}
    assert machine.achieved() - machine.achieved("cell/") == names
    assert machine.ram(60) == 255  # the pellets of the next maze are there


@pytest.mark.parametrize("env_id", IDS)
def test_contract(env_id):
    env = gym.make(env_id)
    check_multigoal_env(env, steps=60, skip_gymnasium_check=True, skip_sb3_check=True)
    check_env(env.unwrapped, skip_render_check=True)
    check_sb3_env(env.unwrapped)
    check_multigoal_env(GoalConditionedWrapper(env), steps=20)


@pytest.mark.parametrize("env_id", IDS)
def test_contract_by_hypothesis(env_id):
    run_state_machine(lambda: gym.make(env_id), max_examples=3, reuse_env=True)


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("probability", [0.0, 0.25])
def test_the_states_are_those_of_the_original(game, probability):
    """With sticky actions, of the original that receives them frame by frame."""
    env, generator = AtariEnv(game, repeat_action_probability=probability), np.random.default_rng(1)
    original = Original(game, obs_type="ram", frameskip=1, repeat_action_probability=0.0)
    for seed in (5, 6):
        np.testing.assert_array_equal(env.reset(seed=seed)[0], original.reset()[0])
        draws, last = np.random.default_rng(np.random.PCG64(np.random.SeedSequence(seed))), 0
        for action in generator.integers(len(env.action_names), size=60).tolist():
            observation, reward, terminated, truncated, info = env.step(action)
            score = 0
            for _ in range(4):
                last = last if draws.random() < probability else action
                expected, points, over, *_, lives = original.step(last)
                score += points
            np.testing.assert_array_equal(observation, expected)
            assert (reward, terminated, truncated, info["lives"]) == (score, over, False, lives["lives"])


def test_the_defaults_are_those_of_ale_py():
    gym.register_envs(ale_py)
    for game, env_id in (("montezuma_revenge", "MontezumaRevenge"), ("ms_pacman", "MsPacman"), ("pitfall", "Pitfall")):
        theirs = gym.spec(f"ALE/{env_id}-v5").kwargs
        assert (theirs["game"], theirs["frameskip"], theirs["repeat_action_probability"]) == (game, 4, 0.25)
        assert (theirs["full_action_space"], theirs["max_num_frames_per_episode"]) == (False, 108_000)
        assert gym.spec(f"leo/{env_id}-v0").max_episode_steps == 2000


def rollout(env, seed, actions):
    observation, info = env.reset(seed=seed)
    steps = [(observation, np.zeros(len(info["goals_achieved"]) if np.ndim(info["lives"]) else ()), info["goals_achieved"])]
    for action in actions:
        observation, reward, *_, info = env.step(action)
        steps.append((observation, reward, info["goals_achieved"]))
    return [np.stack(part) for part in zip(*steps, strict=True)]


def test_vectorized_environments_are_equal_to_single_ones():
    actions = np.random.default_rng(0).integers(9, size=(80, 3))
    vector, env = gym.make_vec("leo/MsPacman-v0", 3, vectorization_mode="sync"), gym.make("leo/MsPacman-v0")
    together = rollout(vector, 7, actions)
    for row in range(3):
        for ours, theirs in zip(rollout(env, 7 + row, actions[:, row]), together, strict=True):
            np.testing.assert_array_equal(ours, theirs[:, row] if theirs.ndim > 1 else theirs)


def test_life_loss_ends_an_episode_only_on_demand():
    for ends in (False, True):
        env = AtariEnv("montezuma_revenge", life_loss_ends_episode=ends)
        lives = [env.reset(seed=0)[1]["lives"]]
        # Down the hole to the right.
        while lives[-1] == lives[0]:
            _, _, terminated, truncated, info = env.step(RIGHT)
            lives.append(info["lives"])
        assert (terminated, truncated, lives[-1]) == (ends, False, lives[0] - 1) and len(lives) < 200
        assert env.reset()[1]["lives"] == lives[0]


def test_goals_by_patterns_are_columns_of_the_whole_mask():
    whole, some = AtariEnv(), AtariEnv(goals=["item/*", "cell/1/?,4", "room/1"])
    assert some.goal_names[:5] == ("room/1", "item/hammer", "item/key", "item/sword", "item/torch")
    assert len(some.goal_names) == 13
    ids = [whole.goal_set.index(name) for name in some.goal_names]
    np.testing.assert_array_equal(some.goal_set.descriptors, whole.goal_set.descriptors[ids])
    actions = np.random.default_rng(0).integers(18, size=50)
    np.testing.assert_array_equal(rollout(whole, 0, actions)[2][:, ids], rollout(some, 0, actions)[2])


def test_rendering_shows_the_goal_and_changes_nothing():
    env = gym.make("leo/MontezumaRevenge-v0", render_mode="rgb_array")
    env.reset(seed=0)
    frame = env.render()
    env.unwrapped.set_commanded_goal("item/key")
    with_goal = env.render()
    assert frame.shape == (420, 480, 3) and with_goal.shape == (456, 480, 3)
    np.testing.assert_array_equal(with_goal[:420], frame)
    assert env.unwrapped.action_names[:3] == ("noop", "fire", "up")
    assert sorted(env.unwrapped.get_keys_to_action().values()) == list(range(18))


@pytest.mark.parametrize("env_id", IDS)
def test_pickle_and_spec_round_trip(env_id):
    env = gym.make(env_id, goals=["cell/*"])
    env.reset(seed=4)
    env.step(RIGHT)
    twin = pickle.loads(pickle.dumps(env))
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert again.unwrapped.goal_names == env.unwrapped.goal_names
    for action in np.random.default_rng(0).integers(9, size=40):
        np.testing.assert_array_equal(env.step(action)[0], twin.step(action)[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"game": "pong"}, "expected game to be one of"),
        ({"goals": ["room/*", "item/gun"]}, "got 'item/gun'"),
        ({"goals": []}, "expected at least one goal"),
        ({"frameskip": 0}, "frameskip"),
        ({"repeat_action_probability": 1.5}, "repeat_action_probability"),
    ],
)
def test_invalid_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        AtariEnv(**arguments)


def test_a_step_needs_a_reset():
    with pytest.raises(ResetNeeded, match="call reset"):
        AtariEnv().step(0)
