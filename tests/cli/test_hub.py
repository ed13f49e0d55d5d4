"""Upload and download, with a folder instead of the Hub."""

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
from leo_cli.hub import pull_agent, pull_model, push_agent


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Replace the two calls that need a network by a folder."""
    folder = tmp_path / "hub"

    class FolderApi:
        def __init__(self, token=None):
            pass

        def create_repo(self, repo_id, exist_ok):
            (folder / repo_id).mkdir(parents=True, exist_ok=exist_ok)
            return SimpleNamespace(repo_id=repo_id)

        def upload_file(self, path_or_fileobj, path_in_repo, repo_id, commit_message):
            shutil.copy(path_or_fileobj, folder / repo_id / path_in_repo)

    # In the package, the name of the module is that of the function.
    monkeypatch.setattr(sys.modules[huggingface_sb3.push_to_hub.__module__], "HfApi", FolderApi)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda repo_id, filename, **_: str(folder / repo_id / filename))
    return folder


@pytest.fixture(scope="module")
def trained():
    env = gym.make("leo/GridWorld-v0", map="maze", size=5)
    model = LEODQN("MultiGoalPolicy", env, seed=0, learning_starts=50).learn(120)
    return model, evaluate_goals(model, env, seed=0, max_steps=20)


def test_a_downloaded_agent_equals_the_uploaded_one(hub, trained):
    model, report = trained
    assert set(push_agent(model, "me/maze", "leo/GridWorld-v0", report)) == {"README.md", "goals.csv", "model.zip"}
    with pytest.raises(ValueError, match="trust=True"):
        pull_model(LEODQN, "me/maze")
    loaded = pull_model(LEODQN, "me/maze", trust=True, device="cpu")
    for policy in (loaded.policy, pull_agent("me/maze", "cpu").policy):
        pairs = zip(model.policy.parameters(), policy.parameters(), strict=True)
        assert all(th.equal(one, other) for one, other in pairs)
    assert GoalReport.from_csv(hub / "me/maze/goals.csv") == report


def test_the_model_card_shows_how_to_load_the_agent(hub, trained):
    push_agent(trained[0], "me/maze", "leo/GridWorld-v0", trained[1])
    card = Path(hub / "me/maze/README.md").read_text()
    assert 'pull_agent("me/maze")' in card and str(trained[1]) in card


def test_pushing_an_agent_without_goals_fails(hub, trained):
    with pytest.raises(ValueError, match="expected an agent with goals, got DQN"):
        push_agent(DQN("MlpPolicy", "CartPole-v1"), "me/pole", "CartPole-v1", trained[1])
