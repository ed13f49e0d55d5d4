"""Upload and download, with a folder in place of the Hub."""

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import gymnasium as gym
import huggingface_hub
import huggingface_sb3
import pytest
import torch as th
from stable_baselines3 import DQN

import leo_envs  # noqa: F401
from leo_agents import LEODQN
from leo_agents.evaluation import GoalReport, evaluate_goals
from leo_cli.hub import pull_agent, push_agent


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The two calls that would need a network read and write a folder instead."""
    folder = tmp_path / "hub"

    class FolderApi:
        def __init__(self, token=None):
            pass

        def create_repo(self, repo_id, exist_ok):
            (folder / repo_id).mkdir(parents=True, exist_ok=exist_ok)
            return SimpleNamespace(repo_id=repo_id)

        def upload_file(self, path_or_fileobj, path_in_repo, repo_id, commit_message):
            shutil.copy(path_or_fileobj, folder / repo_id / path_in_repo)

    # The module, whose name in the package is the function's.
    monkeypatch.setattr(sys.modules[huggingface_sb3.push_to_hub.__module__], "HfApi", FolderApi)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda repo_id, filename, **_: str(folder / repo_id / filename))
    return folder


@pytest.fixture(scope="module")
def trained():
    env = gym.make("leo/GridWorld-v0", map="maze", size=5)
    model = LEODQN("MultiGoalPolicy", env, seed=0, learning_starts=50).learn(120)
    return model, evaluate_goals(model, env, seed=0, max_steps=20)


def test_an_agent_comes_back_as_it_went(hub, trained, monkeypatch):
    model, report = trained
    assert set(push_agent(model, "me/maze", "leo/GridWorld-v0", report)) == {"README.md", "goals.csv", "model.zip"}
    with pytest.raises(ValueError, match="TRUST_REMOTE_CODE"):
        pull_agent(LEODQN, "me/maze")
    monkeypatch.setenv("TRUST_REMOTE_CODE", "True")
    back = pull_agent(LEODQN, "me/maze", device="cpu")
    pairs = zip(model.policy.parameters(), back.policy.parameters(), strict=True)
    assert all(th.equal(one, other) for one, other in pairs)
    assert GoalReport.from_csv(hub / "me/maze/goals.csv") == report


def test_the_card_says_how_to_load_it(hub, trained):
    push_agent(trained[0], "me/maze", "leo/GridWorld-v0", trained[1])
    card = Path(hub / "me/maze/README.md").read_text()
    assert 'pull_agent(LEODQN, "me/maze")' in card and str(trained[1]) in card


def test_an_agent_without_goals_is_refused(hub, trained):
    with pytest.raises(ValueError, match="expected an agent with goals, got DQN"):
        push_agent(DQN("MlpPolicy", "CartPole-v1"), "me/pole", "CartPole-v1", trained[1])
