import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from leo_wrappers import InfoList, achieved_from_infos
from tests.line_env import make_line


def positions(infos, num_envs):
    return achieved_from_infos(infos, num_envs).argmax(axis=-1).tolist()


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
def test_terminal_masks_of_gymnasium_vector_environments(mode):
    venv = SyncVectorEnv([lambda: make_line(horizon=2), lambda: make_line(horizon=3)], autoreset_mode=mode)
    _, infos = venv.reset()
    assert positions(infos, 2) == [0, 0]
    seen = []
    for _ in range(3):
        _, _, _, _, infos = venv.step(np.array([1, 1]))
        seen.append(positions(infos, 2))
    assert seen == [[1, 1], [2, 2], [1, 3] if mode == AutoresetMode.SAME_STEP else [0, 3]]


def test_all_episodes_end_in_one_step():
    venv = SyncVectorEnv([lambda: make_line(horizon=1)] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    venv.reset()
    infos = venv.step(np.array([1, 1]))[4]
    assert positions(infos, 2) == [1, 1]
    assert infos["goals_achieved"].argmax(axis=-1).tolist() == [0, 0], "top-level masks are of the reset"
    del infos["goals_achieved"]
    assert positions(infos, 2) == [1, 1]


def test_lists_of_infos():
    masks = np.eye(3, dtype=bool)
    rows = [{"goals_achieved": mask} for mask in masks]
    np.testing.assert_array_equal(achieved_from_infos(rows, 3), masks)
    assert achieved_from_infos(InfoList(rows, masks), 3) is masks


@pytest.mark.parametrize(
    ("infos", "message"),
    [
        ([{"goals_achieved": np.array([True])}, {"steps": 3}], r"of environment 1, got \['steps'\]; wrap"),
        ([{"goals_achieved": [True]}, {}], "bool array of shape .*, got list"),
        ([{"goals_achieved": np.array([1])}, {}], "got int64 of shape"),
        ([{"goals_achieved": np.array([True])}], "got 1 infos for 2 environments"),
        ([{"goals_achieved": np.array([True])}, {"goals_achieved": np.array([True, False])}], r"lengths \[1, 2\]"),
        ({"other": np.zeros(2)}, r"'goals_achieved' in infos, got only \['other'\]"),
        ({"goals_achieved": np.zeros((2, 3))}, r"shape \(2, G\), got float64"),
        ({"goals_achieved": np.zeros((3, 3), dtype=bool)}, r"shape \(2, G\), got bool of shape \(3, 3\)"),
        (
            {"goals_achieved": np.zeros((2, 3), dtype=bool), "_final_info": np.array([True, False]), "final_info": {}},
            r'in infos\["final_info"\]',
        ),
    ],
)
def test_bad_infos(infos, message):
    with pytest.raises(ValueError, match=message):
        achieved_from_infos(infos, 2)


def test_gymnasium_batches_masks_as_bool():
    venv = gym.vector.SyncVectorEnv([make_line] * 2)
    assert venv.reset()[1]["goals_achieved"].dtype == np.bool_
