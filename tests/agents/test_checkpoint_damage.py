"""Checkpoints after kills, full disks and damaged files: training resumes bit for bit, or the error names the damage."""

import errno
import hashlib
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

from leo_agents import LEODQN, ExactCheckpoints
from leo_agents.learning.checkpoint_files import (
    ALL_FILES,
    MANIFEST,
    CheckpointNotSavedError,
    DamagedCheckpointError,
    latest_checkpoint,
)
from leo_agents.learning.checkpoints import load_checkpoint, save_checkpoint
from tests.agents.test_checkpoints import make_model, training_state
from tests.line_env import make_line

FORK = multiprocessing.get_context("fork")
FILES = (*ALL_FILES, MANIFEST)


def digest(model) -> str:
    """Hash weights, optimizer, replay buffer and random number generators."""
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in training_state(model))).hexdigest()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with checkpoints of two steps, and the digests of the model by step."""
    folder, digests = tmp_path_factory.mktemp("checkpoints"), {}
    model = make_model(make_line()).learn(60)
    for _ in range(2):
        model.save_checkpoint(folder, keep=2)
        resumed = LEODQN.resume(folder)
        digests[resumed.num_timesteps] = digest(resumed)
        model.learn(20, reset_num_timesteps=False)
    return folder, digests


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved[0], tmp_path / "copy")


def damage(path, kind, rng):
    content = bytearray(path.read_bytes())
    if kind == "deleted":
        path.unlink()
    elif kind == "cut":
        path.write_bytes(content[: rng.integers(len(content))])
    else:
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        path.write_bytes(content)


def check_damaged(folder, path, digests, keep):
    """Resume a folder with one damaged file: from the older checkpoint if there is one, else not at all."""
    if keep == 2:
        with pytest.warns(UserWarning, match=rf"older checkpoint .*; not used: {path.parent.name} \({path.name} "):
            model = LEODQN.resume(folder)
        assert model.num_timesteps == min(digests) and digest(model) == digests[model.num_timesteps]
        return "resumed from the older checkpoint"
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    expected = rf"expected a complete checkpoint in .*{path.parent.name} \({path.name} .*restore the files, or delete {folder}"
    with pytest.raises(DamagedCheckpointError, match=expected):
        LEODQN.resume(folder)
    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before
    return "error"


def damage_files(saved, folder, trials, seed=0):
    """Damage one file of the newest checkpoint in each trial; return how often training resumed or raised an error."""
    rng, (source, digests), outcomes = np.random.default_rng(seed), saved, Counter()
    for trial in range(trials):
        copy = shutil.copytree(source, folder / "copy")
        keep, kind, name = 1 + trial % 2, ("flipped", "cut", "deleted")[trial // 2 % 3], FILES[trial // 6 % len(FILES)]
        if keep == 1:
            shutil.rmtree(copy / f"step-{min(digests):012d}")
        path = copy / f"step-{max(digests):012d}" / name
        damage(path, kind, rng)
        outcomes[kind, check_damaged(copy, path, digests, keep)] += 1
        shutil.rmtree(copy)
    return outcomes


def test_damaged_files(saved, tmp_path):
    """Each kind of damage to each file, with and without an older checkpoint."""
    assert damage_files(saved, tmp_path, 30).total() == 30


@pytest.mark.expensive
def test_many_damaged_files(saved, tmp_path):
    outcomes = damage_files(saved, tmp_path, 300, seed=1)
    print(outcomes)
    assert outcomes.total() == 300


def test_nothing_is_unpickled_before_verification(copy, tmp_path):
    class Malicious:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "marker"),))

    for checkpoint in copy.iterdir():
        for name in ("state.pkl", "replay.pkl", "env.pkl"):
            (checkpoint / name).write_bytes(cloudpickle.dumps(Malicious()))
    with pytest.raises(DamagedCheckpointError, match=r"state.pkl differs from its checksum, replay.pkl differs"):
        LEODQN.resume(copy)
    assert not (tmp_path / "marker").exists()


def test_files_that_are_not_loaded_need_not_be_complete(copy, saved):
    (latest_checkpoint(copy) / "env.pkl").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert LEODQN.resume(copy, env=make_line()).num_timesteps == max(saved[1])


@pytest.mark.parametrize("make", ["empty folder", "file", "copy of a checkpoint", "checkpoint without manifest"])
def test_folders_named_like_checkpoints_are_not_used(make, copy, saved):
    other, newest = copy / "step-999999999999", latest_checkpoint(copy)
    if make == "empty folder":
        other.mkdir()
    elif make == "file":
        other.write_text("")
    else:
        shutil.copytree(newest, other)
        if make == "checkpoint without manifest":
            (other / MANIFEST).unlink()
    (copy / "step-latest").symlink_to(newest.name)
    problem = f"renamed, contains step {max(saved[1])}" if make == "copy of a checkpoint" else "checkpoint.json is missing"
    for get in (latest_checkpoint, LEODQN.resume):
        with pytest.warns(UserWarning, match=rf"not used: step-999999999999 \({problem}\)\."):
            found = get(copy)
    assert digest(found) == saved[1][found.num_timesteps]
    shutil.rmtree(newest)
    shutil.rmtree(copy / f"step-{min(saved[1]):012d}")
    with pytest.raises(DamagedCheckpointError, match=rf"step-999999999999 \({problem}\); restore"):
        latest_checkpoint(copy)


def test_checkpoints_that_are_kept(tmp_path):
    def steps():
        return sorted(int(path.name.removeprefix("step-")) for path in tmp_path.iterdir())

    make_model(make_line()).learn(200, callback=ExactCheckpoints(tmp_path, save_freq=40, keep=3))
    first, second, third = steps()
    assert 80 <= first < second < third < 200
    (tmp_path / f"step-{third:012d}" / "replay.pkl").unlink()
    with pytest.warns(UserWarning, match=f"older checkpoint .*{second}"):
        model = LEODQN.resume(tmp_path)
    model.save_checkpoint(tmp_path, keep=2)
    assert steps() == [first, second]  # the damaged one, of a later step, has been removed
    with pytest.raises(ValueError, match="expected keep of at least 1, got 0"):
        model.save_checkpoint(tmp_path, keep=0)
    with pytest.raises(ValueError, match="expected keep"):
        ExactCheckpoints(tmp_path, save_freq=40, keep=0)


def test_files_and_folder_are_flushed_before_the_checkpoint_appears(tmp_path, monkeypatch):
    """Otherwise a power failure could leave a complete manifest and incomplete files."""
    flushed, flushed_before, fsync, rename = [], [], os.fsync, os.rename
    monkeypatch.setattr(os, "fsync", lambda descriptor: (flushed.append(os.fstat(descriptor).st_ino), fsync(descriptor)))
    monkeypatch.setattr(os, "rename", lambda source, target: (flushed_before.extend(flushed), rename(source, target)))
    checkpoint = save_checkpoint(make_model(make_line()), tmp_path)
    expected = [path.stat().st_ino for path in (*(checkpoint / name for name in FILES), checkpoint)]
    assert [number for number in flushed_before if number in expected] == expected
    assert flushed[-1] == tmp_path.stat().st_ino, "the rename itself"


@pytest.mark.parametrize("call", range(7))
def test_a_full_disk_leaves_the_previous_checkpoint(call, saved, copy, monkeypatch):
    """Fail each of the flushes: of four files, the manifest, the new checkpoint's folder and the folder of all checkpoints."""
    fsync, calls = os.fsync, iter(range(100))

    def fail(descriptor):
        if next(calls) == call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    model = LEODQN.resume(copy)
    model.learn(20, reset_num_timesteps=False)
    step = model.num_timesteps if call == 6 else max(saved[1])
    monkeypatch.setattr(os, "fsync", fail)
    expected = rf"expected to write a checkpoint to {copy}, got: No space left.* resume from .*{step}, which is complete"
    with pytest.raises(CheckpointNotSavedError, match=expected):
        model.save_checkpoint(copy)
    assert not list(copy.glob(".*")) and LEODQN.resume(copy).num_timesteps == step


@pytest.mark.parametrize("file", ["model.zip", "replay.pkl"])
def test_a_write_that_fails(file, saved, copy, tmp_path):
    """A limit on the size of files stands in for a full disk: it fails in the middle of a write."""
    model = LEODQN.resume(copy)
    model.learn(20, reset_num_timesteps=False)
    sizes = {path.name: path.stat().st_size for path in latest_checkpoint(copy).iterdir()}
    limit = sizes[file] // 2
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(CheckpointNotSavedError, match=f"got: File too large; .*resume from .*{max(saved[1])}"):
            model.save_checkpoint(copy)
        with pytest.raises(CheckpointNotSavedError, match="train again: no earlier checkpoint exists"):
            model.save_checkpoint(tmp_path / "new")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(copy.glob(".*")) and LEODQN.resume(copy).num_timesteps == max(saved[1])


def save_and_die(folder, operation, same_step):
    """Kill this process before the given file operation of saving a checkpoint."""
    model = LEODQN.resume(folder)
    if not same_step:
        model.learn(20, reset_num_timesteps=False)
    count = iter(range(10**6))

    def hook(event, arguments):
        written = event == "open" and str(folder) in str(arguments[0])
        if (written or event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir")) and next(count) == operation:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    model.save_checkpoint(folder)


def run_in_new_process(function, *arguments):
    """Call a function of this module, which forks, in a process in which JAX has not started threads."""
    script = "import sys; from tests.agents import test_checkpoint_damage as m; getattr(m, sys.argv[1])(*sys.argv[2:])"
    subprocess.run([sys.executable, "-c", script, function.__name__, *map(str, arguments)], check=True)


def kill_before_any_file_operation(source, copy, same_step):
    digests = {}
    for path in Path(source).iterdir():
        model = load_checkpoint(LEODQN, path)
        digests[model.num_timesteps] = digest(model)
    later = LEODQN.resume(source).learn(20, reset_num_timesteps=False)
    digests[later.num_timesteps] = digest(later)
    operation, exit_code = 0, -signal.SIGKILL
    while exit_code == -signal.SIGKILL:
        shutil.copytree(source, copy)
        process = FORK.Process(target=save_and_die, args=(copy, operation, same_step == "True"))
        process.start()
        process.join()
        exit_code = process.exitcode
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model = LEODQN.resume(copy)
        assert model.num_timesteps > min(digests) and digest(model) == digests[model.num_timesteps]
        shutil.rmtree(copy)
        operation += 1
    assert exit_code == 0 and operation > 15


@pytest.mark.parametrize("same_step", [True, False])
def test_a_kill_before_any_file_operation_of_saving(same_step, saved, tmp_path):
    run_in_new_process(kill_before_any_file_operation, saved[0], tmp_path / "copy", same_step)


def train(folder, saving=None):
    """Train to the end, from the newest checkpoint if there is one; ``saving`` is 1 while a checkpoint is written."""

    class Flagged(ExactCheckpoints):
        def _on_rollout_start(self):
            due = self.model.num_timesteps >= self._next_save
            if saving is not None:
                saving.value = due
            super()._on_rollout_start()
            if saving is not None:
                saving.value = False

    try:
        model = LEODQN.resume(folder)
    except FileNotFoundError:
        model = make_model(make_line(start=None), buffer_size=20_000, policy_kwargs={"net_arch": [128, 128]})
    callback = Flagged(folder, save_freq=40, keep=1000 if saving is None else 1)
    model.learn(2_000 - model.num_timesteps, callback, reset_num_timesteps=False)


def kill_at_random_times(tmp_path):
    tmp_path = Path(tmp_path)
    rng, kills, saving = np.random.default_rng(0), Counter(), FORK.Value("b", 0, lock=False)
    train(tmp_path / "uninterrupted")
    expected, resumed_at = {}, set()
    for path in (tmp_path / "uninterrupted").iterdir():
        model = load_checkpoint(LEODQN, path)
        expected[model.num_timesteps] = digest(model)
    folder = tmp_path / "killed"
    while min(kills["saving"], kills["training"]) < 100:
        saving.value = False
        process = FORK.Process(target=train, args=(folder, saving))
        process.start()
        time.sleep(rng.uniform(0.05, 0.6))
        if kills["saving"] < 100:
            while not saving.value and process.is_alive():
                time.sleep(0.0005)
            time.sleep(rng.uniform(0, 0.05))
        process.kill()
        process.join()
        kills["saving" if saving.value else "training"] += process.exitcode == -signal.SIGKILL
        if process.exitcode == 0 or not folder.exists():
            shutil.rmtree(folder, ignore_errors=True)
            continue
        try:
            model = LEODQN.resume(folder)
        except FileNotFoundError:
            kills["before the first checkpoint"] += 1
            continue
        assert digest(model) == expected[model.num_timesteps]
        resumed_at.add(model.num_timesteps)
    print(dict(kills), f"resumed at {len(resumed_at)} different steps")


@pytest.mark.expensive
@pytest.mark.timeout(1_200)
def test_many_kills(tmp_path):
    """After each of 200 kills, half of them while saving, the checkpoint equals that of an uninterrupted training."""
    run_in_new_process(kill_at_random_times, tmp_path)
