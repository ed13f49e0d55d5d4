"""Files of other users run no code: malicious models, checkpoints, run folders and repositories, which write a marker file."""

import base64
import hashlib
import io
import json
import os
import pickle
import shutil
import stat
import sys
import zipfile
from pathlib import Path

import gymnasium as gym
import huggingface_hub
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import FlattenExtractor

import leo_envs  # noqa: F401
from leo_agents import LEODQN, LEOPQN
from leo_agents.evaluation import GoalReport
from leo_agents.evaluation.csv_text import quote_text, unquote_text
from leo_agents.evaluation.curves import append_to_curve, read_curve, start_curve
from leo_agents.learning import ownership, policy_data
from leo_agents.learning.checkpoint_files import ALL_FILES, MANIFEST
from leo_agents.learning.policy_data import PickledPolicyError, attach_policy_data, load_policy, why_pickled
from leo_cli.algorithms import ALGORITHMS
from leo_cli.environments import find_environment
from leo_cli.hub import pull_agent, pull_model
from leo_cli.models import load_agent
from leo_cli.run_folder import RunFolder
from tests.cli.conftest import fingerprint, train

PICKLES = ("state.pkl", "replay.pkl", "env.pkl")
OPENING = [
    ("report", "--videos", "1"),
    ("eval", "--episodes", "1"),
    ("video", "--goal", "cell/0,0", "--max-steps", "3"),
    ("play", "--goal", "cell/0,0", "--view", "terminal", "--fps", "1000", "--max-steps", "3"),
    ("plot",),
]

BOX = spaces.Box(-1, 1, (3,), np.float32)
SPACES = [
    BOX,
    spaces.Box(0, 255, (36, 36, 3), np.uint8),
    spaces.Dict({"map": spaces.Box(0, 9, (7, 5), np.uint8), "x": BOX}),
    spaces.Dict({"x": BOX, "kind": spaces.Discrete(4), "tags": spaces.MultiBinary(3), "parts": spaces.MultiDiscrete([2, 3])}),
]
OTHER_SPACES = [
    spaces.Discrete(3, start=2),
    spaces.MultiDiscrete([2, 3], start=[1, 4]),
    spaces.Box(-1, 1, (2,), np.float64),
    spaces.Box(0, 9, (2,), np.int16),
    spaces.MultiBinary([2, 3]),
]


class Exploit:
    """Writes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


class OwnExtractor(FlattenExtractor):
    """A features extractor that is not in the list of known classes."""


@pytest.fixture
def marker(tmp_path) -> Path:
    return tmp_path / "code-was-run"


@pytest.fixture
def stranger(monkeypatch, tmp_path):
    """Be another user from now on."""
    return lambda: monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "other-user"))


def rewrite(archive: Path, **entries: bytes) -> None:
    """Replace entries of an archive; the names are those of ``entries``, with "_" for a dot."""
    with zipfile.ZipFile(archive) as file:
        content = {name: file.read(name) for name in file.namelist()}
    content |= {name.replace("_pth", ".pth"): value for name, value in entries.items()}
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name, value in content.items():
            file.writestr(name, value)


def saved_data(archive: Path) -> dict:
    with zipfile.ZipFile(archive) as file:
        return json.loads(file.read("data"))


def change_description(archive: Path, **changes) -> None:
    data = saved_data(archive)
    description = json.loads(data["policy_json"])
    description["arguments"] |= changes
    rewrite(archive, data=json.dumps({**data, "policy_json": json.dumps(description)}).encode())


def poison_model(archive: Path, marker: Path, described: bool = True) -> None:
    """Put pickles that write the marker wherever a model can contain one."""
    data, exploit = saved_data(archive), pickle.dumps(Exploit(marker))
    pickled = {":type:": "x", ":serialized:": base64.b64encode(exploit).decode()}
    data |= {"policy_class": pickled, "policy_kwargs": pickled, "observation_space": pickled, "harmless": pickled}
    if not described:
        del data["policy_json"]
    rewrite(archive, data=json.dumps(data).encode(), pytorch_variables_pth=exploit)


def forge_manifest(checkpoint: Path) -> None:
    """Make the checksums of a checkpoint match its changed files, as anyone can; only the mark needs the user's key."""
    manifest = json.loads((checkpoint / MANIFEST).read_text())
    del manifest["sha256"]
    manifest["files"] = {name: hashlib.sha256((checkpoint / name).read_bytes()).hexdigest() for name in manifest["files"]}
    checksum = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    (checkpoint / MANIFEST).write_text(json.dumps({**manifest, "sha256": checksum}))


def checkpoints(run: Path) -> list[Path]:
    return sorted(run.glob("seed-*/checkpoints/step-*"))


@pytest.fixture
def poisoned(run, tmp_path, marker) -> Path:
    """The run of a stranger whose pickles all write the marker, without results, so that everything is evaluated."""
    folder = shutil.copytree(run, tmp_path / "stranger" / "run")
    for checkpoint in checkpoints(folder):
        poison_model(checkpoint / "model.zip", marker)
        for name in PICKLES:
            (checkpoint / name).write_bytes(pickle.dumps(Exploit(marker)))
        forge_manifest(checkpoint)
    for table in folder.glob("seed-*/goals.csv"):
        table.unlink()
    return folder


class TestForeignRuns:
    @pytest.mark.parametrize("command", OPENING, ids=lambda command: command[0])
    def test_opening_runs_no_pickle(self, poisoned, marker, leo, command):
        code, _, error = leo(command[0], poisoned, *command[1:])
        assert code == 0 and not marker.exists(), error

    @pytest.mark.parametrize("command", OPENING, ids=lambda command: command[0])
    def test_a_policy_that_is_only_pickled_is_not_loaded(self, poisoned, marker, leo, command):
        for checkpoint in checkpoints(poisoned):
            poison_model(checkpoint / "model.zip", marker, described=False)
            forge_manifest(checkpoint)
        code, _, error = leo(command[0], poisoned, *command[1:])
        assert code == 2 and "no description of its policy" in error and "--trust" in error and not marker.exists()

    def test_resuming_needs_trust(self, poisoned, marker, leo):
        before = (poisoned / "run.yml").read_bytes()
        code, _, error = leo("train", "--resume", poisoned, "--steps", 500)
        assert code == 2 and "code in its pickles" in error and "--trust" in error and not marker.exists()
        assert (poisoned / "run.yml").read_bytes() == before
        leo("train", "--resume", poisoned, "--steps", 500, "--trust")
        assert marker.exists()  # the exploit works

    @pytest.mark.parametrize("name", ALL_FILES)
    def test_a_mark_covers_every_file_of_a_checkpoint(self, run, tmp_path, leo, name):
        folder = shutil.copytree(run, tmp_path / "run")
        for checkpoint in checkpoints(folder):
            with open(checkpoint / name, "ab") as file:
                file.write(b" ")
            forge_manifest(checkpoint)
        code, _, error = leo("train", "--resume", folder, "--steps", 500)
        assert code == 2 and "--trust" in error

    @pytest.mark.parametrize("command", [*OPENING, ("train", "--resume")], ids=lambda command: command[0])
    def test_the_module_of_an_environment_is_not_imported(self, poisoned, marker, monkeypatch, leo, command):
        monkeypatch.chdir(poisoned.parent)
        (poisoned.parent / "evilmod.py").write_text(f"open({str(marker)!r}, 'w')")
        text = (poisoned / "run.yml").read_text()
        (poisoned / "run.yml").write_text(text.replace("leo/GridWorld-v0", "evilmod:leo/GridWorld-v0"))
        arguments = (poisoned, *command[1:]) if command[0] != "train" else (*command[1:], poisoned)
        code, _, error = leo(command[0], *arguments)
        assert code == 2 and "evilmod" in error and "--trust" in error and not marker.exists()
        assert "evilmod" not in sys.modules

    @pytest.mark.parametrize("command", ["goals", "check"])
    def test_no_module_of_the_current_folder_is_imported(self, tmp_path, marker, monkeypatch, leo, command):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", os.getcwd())])
        for name in ("evilmod", "moviepy", "evil"):
            (tmp_path / f"{name}.py").write_text(f"open({str(marker)!r}, 'w')")
        assert leo(command, "GridWorld", *(["--steps", "20"] if command == "check" else []))[0] == 0
        assert str(tmp_path) not in sys.path and not marker.exists()

    def test_seeds_stay_in_the_folder(self, poisoned, leo):
        text = (poisoned / "run.yml").read_text()
        (poisoned / "run.yml").write_text(text.replace("seeds: [0, 1]", "seeds: [../../x]"))
        code, _, error = leo("eval", poisoned)
        assert code == 2 and "seeds must be integers" in error

    def test_links_are_not_written_through(self, poisoned, tmp_path, leo):
        (tmp_path / "mine").write_text("mine")
        (poisoned / "report.html").symlink_to(tmp_path / "mine")
        code, _, error = leo("report", poisoned, "--videos", "0")
        assert code == 2 and "a link to" in error and (tmp_path / "mine").read_text() == "mine"

    @pytest.mark.parametrize("name", ["curves.png", "final.png", "families.png", "goals_over_time.png", ""])
    def test_figures_are_not_written_through_links(self, poisoned, tmp_path, leo, name):
        (tmp_path / "others").mkdir()
        (tmp_path / "others" / "curves.png").write_text("mine")
        if name:
            (poisoned / "plots").mkdir()
            (poisoned / "plots" / name).symlink_to(tmp_path / "others" / "curves.png")
        else:
            (poisoned / "plots").symlink_to(tmp_path / "others")
        code, _, error = leo("plot", poisoned)
        assert code == 2 and "a link to" in error
        assert [path.read_text() for path in (tmp_path / "others").iterdir()] == ["mine"]
        assert leo("plot", poisoned, "--out", tmp_path / "figures")[0] == 0

    def test_results_are_not_written_through_the_folder_of_a_seed(self, poisoned, tmp_path, leo):
        others = shutil.move(poisoned / "seed-0", tmp_path / "others")
        (poisoned / "seed-0").symlink_to(others)
        before = fingerprint(others)
        for command in ("eval", "plot", "report"):
            code, _, error = leo(command, poisoned)
            assert code == 2 and "a link to" in error
        assert fingerprint(others) == before

    @pytest.mark.parametrize("name", ["commands.txt", "run.yml.partial"])
    def test_resuming_writes_through_no_link(self, run, tmp_path, leo, name):
        folder = shutil.copytree(run, tmp_path / "run")
        (tmp_path / "mine").write_text("mine")
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(tmp_path / "mine")
        code, _, error = leo("train", "--resume", folder, "--steps", 500)
        assert code == 2 and "a link to" in error and (tmp_path / "mine").read_text() == "mine"


class TestOwnRuns:
    def test_no_flag_is_needed(self, run, tmp_path, leo):
        folder = shutil.copytree(run, tmp_path / "copy")
        assert leo("train", "--resume", folder, "--steps", 500)[0] == 0
        assert leo("eval", folder, "--episodes", "1")[0] == 0

    def test_an_own_module_is_trusted_until_another_user_opens_the_run(self, tmp_path, monkeypatch, stranger, leo):
        (tmp_path / "own_module.py").write_text("import leo_envs")
        monkeypatch.chdir(tmp_path)
        small = ["--env-set", "map=maze", "size=5", "--set", "policy_kwargs.net_arch=[8]", "--steps", "60", "--folder", "run"]
        assert leo("train", "leodqn", "own_module:leo/GridWorld-v0", *small)[0] == 0
        text = Path("run/run.yml").read_text()
        Path("run/run.yml").write_text(text.replace("num_envs: 1", "num_envs: 2"))  # other settings may be edited
        assert leo("eval", "run", "--episodes", "1")[0] == 0
        marked = Path("run/run.yml").read_text()
        Path("run/run.yml").write_text(marked.replace("size: 5", "size: 7"))  # its arguments may not
        code, _, error = leo("eval", "run")
        assert code == 2 and "own_module:leo/GridWorld-v0" in error and "--trust" in error
        Path("run/run.yml").write_text(marked)
        stranger()
        code, _, error = leo("eval", "run")
        assert code == 2 and "own_module:leo/GridWorld-v0" in error
        assert leo("eval", "run", "--episodes", "1", "--trust")[0] == 0
        # With more steps, the environment is marked, too.
        assert leo("train", "--resume", "run", "--steps", "80", "--trust")[0] == 0
        assert leo("eval", "run", "--episodes", "1")[0] == 0

    def test_an_own_extractor_is_loaded_by_its_user_alone(self, run, tmp_path, stranger):
        folder = shutil.copytree(run, tmp_path / "run")
        env = find_environment("GridWorld", {"map": "maze", "size": 5, "time_limit": 30}).make()
        model = LEODQN("MlpPolicy", env, policy_kwargs={"features_extractor_class": OwnExtractor, "net_arch": [8]}, seed=0)
        for checkpoint in checkpoints(folder):
            shutil.rmtree(checkpoint)
        model.save_checkpoint(folder / "seed-0/checkpoints")
        opened = RunFolder(folder)
        assert isinstance(load_agent(opened, opened.seeds[0]), LEODQN)
        stranger()
        with pytest.raises(ValueError, match=r"features_extractor_class is .*OwnExtractor.*--trust"):
            load_agent(opened, opened.seeds[0])
        assert isinstance(load_agent(RunFolder(folder, trust=True), opened.seeds[0]), LEODQN)

    def test_the_key_is_readable_by_its_user_alone(self, tmp_path, stranger):
        stranger()
        mark = ownership.sign(b"content")
        assert ownership.is_signed(b"content", mark) and not ownership.is_signed(b"other", mark)
        assert not ownership.is_signed(b"content", None) and not ownership.is_signed(b"content", "ü")
        if os.name == "posix":
            assert stat.S_IMODE(ownership.key_path().stat().st_mode) == 0o600

    def test_without_its_key_a_run_needs_trust_again(self, run, tmp_path, monkeypatch, leo):
        folder = shutil.copytree(run, tmp_path / "run")
        key = shutil.copytree(ownership.key_path().parent, tmp_path / "home" / "leo-rl") / "key"
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
        assert leo("train", "--resume", folder, "--steps", 450)[0] == 0
        key.unlink()
        code, _, error = leo("train", "--resume", folder, "--steps", 500)
        assert code == 2 and "--trust" in error

    def test_the_folder_of_the_key(self, tmp_path, monkeypatch):
        monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert ownership.key_path() == tmp_path / ".config" / "leo-rl" / "key"
        monkeypatch.setattr(sys, "platform", "win32")
        monkeypatch.setenv("APPDATA", str(tmp_path / "Roaming"))
        assert ownership.key_path() == tmp_path / "Roaming" / "leo-rl" / "key"

    def test_nothing_is_trusted_without_a_key(self, tmp_path, monkeypatch):
        (tmp_path / "file").touch()
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
        assert ownership.sign(b"content") is None and not ownership.is_signed(b"content", None)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / "model.zip"
    LEODQN("MlpPolicy", gym.make("leo/GridWorld-v0"), policy_kwargs={"net_arch": [16]}, seed=0).save(path)
    return path


@pytest.fixture
def model_file(saved, tmp_path) -> Path:
    return Path(shutil.copy(saved, tmp_path / "model.zip"))


class TestPolicyData:
    @pytest.mark.parametrize("name", ALGORITHMS)
    def test_a_loaded_policy_equals_the_saved_one(self, name, tmp_path):
        spec = ALGORITHMS[name]
        environment = find_environment("GridWorld" if spec.discrete else "MountainCarContinuous")
        model = spec.build(environment.make_vec(2), 0, "cpu", {"policy_kwargs": {"net_arch": [16]}, "gamma": 0.9})
        attach_policy_data(model)
        model.save(tmp_path / "model.zip")
        agent, (obs, _) = load_policy(tmp_path / "model.zip", "cpu"), environment.make().reset(seed=0)
        assert type(agent.policy) is type(model.policy) and agent.gamma == 0.9
        assert agent.goal_names == model.policy.goal_names
        assert (agent.observation_space, agent.action_space) == (model.observation_space, model.action_space)
        np.testing.assert_array_equal(agent.values(obs), model.policy.values(obs))
        for goal in (0, 5, agent.goal_names[-1]):
            np.testing.assert_array_equal(agent.act(obs, goal), model.policy.act(obs, goal))
        assert hasattr(agent, "q_values") == hasattr(model.policy, "q_values")
        batch = model.env.reset()
        np.testing.assert_array_equal(*(one.predict(batch, deterministic=True)[0] for one in (agent, model)))

    @pytest.mark.parametrize("space", SPACES, ids=str)
    def test_extractors_and_settings(self, space, tmp_path):
        env = gym.make("leo/GridWorld-v0", map="maze", size=5)
        space.seed(0)
        env = gym.wrappers.TransformObservation(env, lambda _: space.sample(), space)
        kwargs = {"activation_fn": th.nn.Tanh, "net_arch": [16], "input_norm": True, "optimizer_class": th.optim.SGD}
        model = LEOPQN("MlpPolicy", env, policy_kwargs=kwargs, seed=0)
        model.save(tmp_path / "model")
        agent = load_policy(tmp_path / "model.zip", "cpu")
        assert agent.observation_space == model.observation_space
        obs = env.reset(seed=0)[0]
        np.testing.assert_array_equal(agent.q_values(obs), model.q_values(obs))
        np.testing.assert_array_equal(agent.expected_steps(obs), model.expected_steps(obs))

    @pytest.mark.parametrize("space", OTHER_SPACES, ids=str)
    def test_spaces(self, space):
        assert policy_data._decode(json.loads(json.dumps(policy_data._encode(space, "observation_space")))) == space

    def test_nothing_is_unpickled(self, model_file, marker):
        poison_model(model_file, marker)
        load_policy(model_file)
        rewrite(model_file, policy_pth=pickle.dumps(Exploit(marker)))
        with pytest.raises(Exception, match="zip"):
            load_policy(model_file)
        buffer = io.BytesIO()
        th.save(Exploit(marker), buffer)
        rewrite(model_file, policy_pth=buffer.getvalue())
        with pytest.raises(Exception, match=r"(?i)weights"):
            load_policy(model_file)
        assert not marker.exists()
        with pytest.raises(Exception):  # noqa: B017 - the same file is harmful to who unpickles it
            LEODQN.load(model_file)
        assert marker.exists()

    @pytest.mark.parametrize(
        "changes",
        [
            {"features_extractor_class": {"class": "Popen"}},
            {"activation_fn": {"class": "os.system"}},
            {"activation_fn": {"eval": "1"}},
            {"goal_names": {"array": ["O", [1], ""]}},
            {"unknown": 1},
        ],
    )
    def test_other_classes_and_types_are_rejected(self, model_file, changes):
        change_description(model_file, **changes)
        with pytest.raises((ValueError, TypeError)):
            load_policy(model_file)

    def test_a_policy_of_another_class_is_only_pickled(self, tmp_path):
        kwargs = {"features_extractor_class": OwnExtractor}
        LEODQN("MlpPolicy", gym.make("leo/GridWorld-v0"), policy_kwargs=kwargs).save(tmp_path / "model.zip")
        assert "OwnExtractor" in why_pickled(tmp_path / "model.zip")
        with pytest.raises(PickledPolicyError, match="OwnExtractor"):
            load_policy(tmp_path / "model.zip")


class TestSizes:
    @pytest.mark.parametrize("load", [load_policy, why_pickled, LEODQN.load])
    def test_an_archive_is_not_unpacked_to_many_times_its_size(self, model_file, load):
        rewrite(model_file, data=b" " * 50_000_000 + json.dumps(saved_data(model_file)).encode())
        with pytest.raises(ValueError, match=r"to unpack to at most 17 MB, got 5\d MB"):
            load(model_file)

    def test_weights_in_an_archive_of_their_own(self, model_file):
        bomb = io.BytesIO()
        with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("archive/data/0", bytes(50_000_000))
        rewrite(model_file, policy_pth=bomb.getvalue())
        with pytest.raises(ValueError, match="to unpack to at most"):
            load_policy(model_file)

    def test_views_larger_than_their_storage(self, model_file):
        buffer = io.BytesIO()
        th.save({"q_net.head.weight": th.zeros(1).expand(10**6, 10**6)}, buffer)
        rewrite(model_file, policy_pth=buffer.getvalue())
        with pytest.raises(ValueError, match="as large as their file"):
            load_policy(model_file)

    def test_networks_may_share_the_statistics_of_many_observations(self, tmp_path):
        space = spaces.Box(-100.0, 100.0, (3000,))
        env = gym.wrappers.TransformObservation(gym.make("leo/GridWorld-v0"), lambda obs: np.resize(obs, 3000), space)
        model = LEODQN("MultiGoalPolicy", env, policy_kwargs={"net_arch": [1]})
        model.save(tmp_path / "model.zip")
        shared = load_policy(tmp_path / "model.zip").policy.state_dict()
        for name, tensor in model.policy.state_dict().items():
            np.testing.assert_array_equal(shared[name], tensor)

    @pytest.mark.parametrize("net_arch", [[30_000, 30_000], [2_000] * 200])
    def test_settings_of_huge_networks(self, model_file, net_arch):
        change_description(model_file, net_arch=net_arch)
        with pytest.raises(ValueError, match="no larger than its weights"):
            load_policy(model_file)


class TestHub:
    @pytest.fixture
    def repository(self, model_file, marker, monkeypatch) -> Path:
        poison_model(model_file, marker)
        monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda repo_id, filename, **_: str(model_file))
        return model_file

    def test_a_downloaded_agent_runs_no_code(self, repository, marker):
        assert pull_agent("evil/agent").act(gym.make("leo/GridWorld-v0").reset(seed=0)[0], 0) in range(8)
        poison_model(repository, marker, described=False)
        with pytest.raises(PickledPolicyError, match="pull_model"):
            pull_agent("evil/agent")
        with pytest.raises(ValueError, match="expected trust=True"):
            pull_model(LEODQN, "evil/agent")
        assert not marker.exists()


class TestSpreadsheets:
    @pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "'=1", "''-1", "\t=1"])
    def test_formulas_are_quoted(self, name):
        assert quote_text(name)[0] == "'" and unquote_text(quote_text(name)) == name

    @pytest.mark.parametrize("name", ["cell/0,0", "'a", "a=1", "", "'"])
    def test_other_text_stays(self, name):
        assert quote_text(name) == name and unquote_text(name) == name

    def test_tables_of_goals(self, tmp_path):
        report = GoalReport(("=cmd()", "cell/1"), [0, 1], attempts=[2, 2], already_true=[0, 0], steps=([3, 5], []))
        report.to_csv(tmp_path / "goals.csv")
        assert "0,'=cmd(),'=cmd(),2" in (tmp_path / "goals.csv").read_text()
        assert GoalReport.from_csv(tmp_path / "goals.csv") == report
        start_curve(tmp_path / "evaluations.csv", 0)
        append_to_curve(tmp_path / "evaluations.csv", 10, report)
        assert ",'=cmd(),'=cmd()," in (tmp_path / "evaluations.csv").read_text()
        assert read_curve(tmp_path / "evaluations.csv").timesteps.tolist() == [10]


def test_training_of_a_stranger_is_not_marked_as_ones_own(tmp_path, stranger, leo):
    assert train(tmp_path / "run", steps=60) == 0
    stranger()
    code, _, error = leo("train", "--resume", tmp_path / "run", "--steps", 120)
    assert code == 2 and "--trust" in error
    assert leo("train", "--resume", tmp_path / "run", "--steps", 120, "--trust")[0] == 0
    assert leo("train", "--resume", tmp_path / "run", "--steps", 180)[0] == 0  # the new checkpoint is the user's own
