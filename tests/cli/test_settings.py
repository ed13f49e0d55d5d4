"""Algorithms, environments and hyperparameters by name."""

import gymnasium as gym
import pytest

from leo_cli.algorithms import ALGORITHMS, check_hyperparameters
from leo_cli.environments import builtin_environments, find_environment
from leo_cli.hyperparameters import load_settings
from leo_cli.hyperparameters.settings import FOLDER
from leo_cli.overrides import read_yaml
from leo_cli.suggestions import nearest

FILES = sorted(FOLDER.rglob("*.yml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_shipped_file_matches_an_environment_and_its_algorithms(path):
    env_id = str(path.relative_to(FOLDER).with_suffix(""))
    assert env_id in builtin_environments()
    names = set(read_yaml(path)) & set(ALGORITHMS)
    assert names
    discrete = not any(robot in env_id for robot in ("Fetch", "Panda", "Point"))
    for name in names:
        assert ALGORITHMS[name].discrete == discrete
        settings = load_settings(name, env_id)
        check_hyperparameters(name, settings.hyperparameters, str(path))
        assert settings.hyperparameters.get("buffer_size", 0) <= settings.steps


def test_the_command_line_overrides_the_file_and_the_file_the_defaults(tmp_path):
    file = tmp_path / "my.yml"
    file.write_text("num_envs: 3\nsteps: 500\nleodqn:\n  gamma: 0.5\n  tau: 1e-2\n  steps: 700\n")
    settings = load_settings("leodqn", "leo/GridWorld-v0", file, ["gamma=0.25"], num_envs=None)
    assert (settings.num_envs, settings.steps) == (3, 700)
    assert settings.hyperparameters == {"gamma": 0.25, "tau": 0.01, "buffer_size": 700}
    assert load_settings("leodqn", "leo/GridWorld-v0", file, steps=90).steps == 90
    assert load_settings("dqn", "leo/GridWorld-v0", file).steps == 500
    evaluation = load_settings("leodqn", "leo/GridWorld-v0", evaluations=7, final_episodes=2).evaluation
    assert (evaluation.count, evaluation.episodes, evaluation.final_episodes) == (7, 1, 2)
    assert load_settings("leodqn", "nobodys/Env-v0").num_envs == 1
    assert load_settings("leopqn", "nobodys/Env-v0").num_envs == 64
    # Arguments that a class passes to its base class can be set too.
    assert load_settings("dualleoppo", "nobodys/Env-v0", None, ["clip_range=0.3"]).hyperparameters == {"clip_range": 0.3}


def test_a_file_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected a YAML file, got .*my\.yml, which does not exist"):
        load_settings("leodqn", "leo/GridWorld-v0", tmp_path / "my.yml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("leodnq: {}", "nearest: leodqn"),
        ("leodqn: {gama: 0.5}", "nearest: gamma"),
        ("leodqn: 3", "key: value"),
        ("evaluation: {epsodes: 3}", "nearest: episodes"),
        ("steps: many", "at least 1"),
        ("evaluation: {epsilon: 2}", "epsilon"),
        ("- 1", "mapping"),
        ("a: [", "fix the file"),
    ],
)
def test_errors_in_a_file(tmp_path, content, message):
    file = tmp_path / "my.yml"
    file.write_text(content)
    with pytest.raises(ValueError, match="expected") as caught:
        load_settings("leodqn", "leo/GridWorld-v0", file)
    assert message in str(caught.value)


def test_environments_by_short_name():
    for name in ("GridWorld", "gridworld", "GridWorld-v0", "leo/GridWorld-v0", "leo/gridworld-v0"):
        assert find_environment(name).id == "leo/GridWorld-v0"
    assert find_environment("CraftaxClassic").id == "leo/CraftaxClassic-v0"


@pytest.mark.parametrize(
    ("name", "hint"), [("GridWordl", "leo/GridWorld-v0"), ("leo/Craftx-v0", "leo/Craftax-v0"), ("AntMaze_Umaze-v1", "UMaze")]
)
def test_misspelt_environments(name, hint):
    with pytest.raises(ValueError, match="nearest") as caught:
        find_environment(name)
    assert hint in str(caught.value)


def test_nearest():
    assert nearest("LEODQN+", ["leodqn", "sac"]) == ["leodqn"]
    assert nearest("her", ["dqn+her", "td3+her", "dqn"]) == ["dqn+her", "td3+her"]
    assert nearest("xyz", ["dqn"]) == []


def test_keys_of_the_gridworld():
    env = gym.make("leo/GridWorld-v0", map="...\n.S.\n...").unwrapped
    reached = {}
    for (key,), action in env.get_keys_to_action().items():
        env.reset(seed=0)
        _, _, _, _, info = env.step(action)
        reached[key] = env.action_names[action], env.goal_names[info["goals_achieved"].argmax()]
    assert reached == {
        "w": ("up", "cell/0,1"), "d": ("right", "cell/1,2"), "s": ("down", "cell/2,1"), "a": ("left", "cell/1,0"),
    }  # fmt: skip
