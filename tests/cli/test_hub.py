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
from leo_cli.hub import export_run, pull_agent, pull_model, pull_run, push_agent, push_run
from leo_cli.run_folder import RunFolder


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Replace the calls that need a network by a folder."""
    folder = tmp_path / "hub"

    class FolderApi:
        def __init__(self, token=None):
            pass

        def create_repo(self, repo_id, exist_ok):
            (folder / repo_id).mkdir(parents=True, exist_ok=exist_ok)
            return SimpleNamespace(repo_id=repo_id)

        def upload_file(self, path_or_fileobj, path_in_repo, repo_id, commit_message):
            shutil.copy(path_or_fileobj, folder / repo_id / path_in_repo)

        def upload_folder(self, repo_id, folder_path, commit_message, delete_patterns):
            for old in (folder / repo_id).glob(delete_patterns):
                shutil.rmtree(old)
            return shutil.copytree(folder_path, folder / repo_id, dirs_exist_ok=True)

    def snapshot_download(repo_id, allow_patterns):
        """Return a folder of links named after the commit, as the real function does."""
        snapshot = tmp_path / "snapshots" / "0a1b2c"
        if not (folder / repo_id).is_dir():
            raise ConnectionError("no such repository")
        shutil.copytree(folder / repo_id, snapshot, copy_function=lambda source, link: Path(link).symlink_to(source))
        return str(snapshot)

    # In the package, the name of the module is that of the function.
    monkeypatch.setattr(sys.modules[huggingface_sb3.push_to_hub.__module__], "HfApi", FolderApi)
    monkeypatch.setattr(huggingface_hub, "HfApi", FolderApi)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
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


def test_a_run_is_played_from_the_hub(hub, run, leo):
    push_run(run, "me/maze", seed=1)
    card = (hub / "me/maze/README.md").read_text()
    assert "leo play hub:me/maze" in card and str(RunFolder(run).seeds[1].report()) in card
    assert {path.suffix for path in hub.rglob("*") if path.is_file()} == {".md", ".yml", ".csv", ".json", ".zip"}
    code, output, error = leo("play", "hub:me/maze", *"--view terminal --goal 0 --fps 10000 --max-steps 3".split())
    assert code == 0, error
    assert "reached after" in output


def test_a_downloaded_run_equals_the_uploaded_one(hub, run, tmp_path):
    push_run(run, "me/maze", seed=1)
    push_run(run, "me/maze")
    assert [path.name for path in (hub / "me/maze").iterdir() if path.is_dir()] == ["seed-0"]
    local, original = RunFolder("hub:me/maze"), RunFolder(run)
    assert local.path == tmp_path / "cache/leo/hub/me/maze/0a1b2c"
    assert [seed.seed for seed in local.started_seeds] == local.config.seeds == [original.seeds[0].seed]
    assert local.seeds[0].report() == original.seeds[0].report()
    assert local.config.settings == original.config.settings and local.config.goals == original.config.goals
    assert local.seeds[0].loadable_steps == original.seeds[0].loadable_steps > 0
    assert not [path for path in local.path.rglob("*") if path.is_symlink()]


@pytest.mark.parametrize("name", ["", "maze", "me/maze/seed-0", "../maze", "me/..", "/me/maze", "me/ma ze"])
def test_names_of_repositories_are_checked(hub, leo, name):
    assert "expected a repository of the Hub as user/name" in leo("play", f"hub:{name}")[2]


def test_a_run_is_exported_by_the_command(run, leo, tmp_path):
    code, output, _ = leo("export", run, "--hub", tmp_path / "agent", "--repo", "me/maze")
    assert code == 0 and "leo play" in output
    assert "leo play hub:me/maze" in (tmp_path / "agent" / "README.md").read_text()
    assert RunFolder(tmp_path / "agent").config.goals == RunFolder(run).config.goals
    assert "expected an empty folder" in leo("export", run, "--hub", tmp_path / "agent")[2]
    assert "as user/name, got maze" in leo("export", run, "--hub", tmp_path / "other", "--repo", "maze")[2]
    assert not (tmp_path / "other").exists()
    assert "expected --web FOLDER or --hub FOLDER, got neither" in leo("export", run)[2]


def test_errors_of_downloads_name_the_repository(hub, leo, trained):
    assert (
        "expected to download me/maze from the Hub, got ConnectionError: no such repository" in leo("play", "hub:me/maze")[2]
    )
    push_agent(trained[0], "me/maze", "leo/GridWorld-v0", trained[1])
    with pytest.raises(ValueError, match=r"expected a run in me/maze, got one without run\.yml"):
        pull_run("me/maze")


def test_a_run_is_not_exported_into_a_folder_with_files(run, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="expected an empty folder or nothing"):
        export_run(run, tmp_path, "me/maze")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
