"""Checkpoints for exact resumption: networks, optimizers, replay buffer, environments and all random number generators."""

import inspect
import json
import os
import random
import shutil
import warnings
from pathlib import Path
from typing import Any, TypeVar

import cloudpickle
import gymnasium as gym
import numpy as np
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, unwrap_vec_wrapper

import leo_wrappers
from leo_agents.learning.ownership import sign_folder
from leo_agents.learning.policy_data import attach_policy_data
from leo_wrappers.sb3 import VecGoalSampler
from leo_wrappers.selection import GoalSelector
from leo_wrappers.validation import check_at_least

Algorithm = TypeVar("Algorithm", bound=BaseAlgorithm)

PREFIX = "step-"
PARTIAL_PREFIX = ".partial-"
# Version of the layout of a checkpoint. Increase it whenever checkpoints written before can no longer be resumed.
FORMAT = 2
_FORMAT_FILE = "checkpoint.json"


class ExactCheckpoints(BaseCallback):
    """
    Callback that saves a checkpoint at the start of a rollout, where training can be resumed bit for bit.

    :param folder: folder of the checkpoints; each one replaces the one before
    :param save_freq: minimum number of environment steps between checkpoints
    :param verbose: 1 to print a message for each checkpoint
    """

    def __init__(self, folder: str | os.PathLike[str], save_freq: int, verbose: int = 0) -> None:
        super().__init__(verbose)
        check_at_least("save_freq", save_freq, 1)
        self.folder = Path(folder)
        self.save_freq = save_freq
        self._next_save = 0

    def _on_training_start(self) -> None:
        self._schedule_next()

    def _on_rollout_start(self) -> None:
        if self.model.num_timesteps >= self._next_save:
            path = save_checkpoint(self.model, self.folder)
            self._schedule_next()
            if self.verbose >= 1:
                print(f"Saved checkpoint {path}")

    def _on_step(self) -> bool:
        return True

    def _schedule_next(self) -> None:
        self._next_save = (self.model.num_timesteps // self.save_freq + 1) * self.save_freq


def save_checkpoint(model: BaseAlgorithm, folder: str | os.PathLike[str]) -> Path:
    """
    Write a checkpoint and remove the older ones.

    The checkpoint is written under a temporary name and renamed when it is complete, so a process killed while saving leaves
    the previous checkpoint intact.

    :param model: an algorithm of this library or of Stable-Baselines3
    :param folder: folder of its checkpoints
    :return: path of the new checkpoint
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{PARTIAL_PREFIX}{os.getpid()}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    (partial / _FORMAT_FILE).write_text(json.dumps({"format": FORMAT, "leo-rl": leo_wrappers.__version__}))
    attach_policy_data(model)
    model.save(partial / "model.zip")
    _dump(_training_state(model), partial / "state.pkl")
    _dump(getattr(model, "replay_buffer", None), partial / "replay.pkl")
    reason = why_not_exact(model.env)
    if reason is None:
        _dump(_split_wrappers(model.env), partial / "env.pkl")
    else:
        warnings.warn(
            f"The checkpoint leaves out the environment, {reason}: resume with env=..., which starts a new episode.",
            stacklevel=2,
        )
    sign_folder(partial)
    for path in partial.iterdir():
        _flush(path)
    final = folder / f"{PREFIX}{model.num_timesteps:012d}"
    older = [path for path in _complete(folder) if path != final]
    if final.exists():  # a second checkpoint of the same step
        final.rename(folder / f"{PARTIAL_PREFIX}old-{os.getpid()}")
    partial.rename(final)
    _flush(folder)
    for path in [*older, *folder.glob(f"{PARTIAL_PREFIX}*")]:
        shutil.rmtree(path, ignore_errors=True)
    return final


def latest_checkpoint(folder: str | os.PathLike[str]) -> Path:
    """
    Return the newest complete checkpoint.

    :param folder: folder of the checkpoints of a training run
    :return: path of the checkpoint
    """
    checkpoints = _complete(Path(folder))
    if not checkpoints:
        raise FileNotFoundError(f"expected a checkpoint ({PREFIX}...) in {folder}, found none; check the path")
    return checkpoints[-1]


def resume(
    algorithm: type[Algorithm],
    folder: str | os.PathLike[str],
    env: GymEnv | None = None,
    device: th.device | str = "auto",
) -> Algorithm:
    """
    Load the newest checkpoint, see :meth:`~leo_agents.algorithms.goal_algorithm.GoalAlgorithm.resume`.

    :param algorithm: class of the saved model, of this library or of Stable-Baselines3
    :param folder: folder of the checkpoints of a training run
    :param env: environment to use instead of the saved one, or if none was saved; it starts a new episode
    :param device: PyTorch device
    :return: the model, ready for ``learn(..., reset_num_timesteps=False)``
    """
    checkpoint = latest_checkpoint(folder)
    check_format(checkpoint)
    saved = _load_environment(checkpoint) if env is None else None
    if env is None and saved is None:
        raise ValueError(f"expected an environment, got None, and {checkpoint} contains none; pass env=...")
    model = algorithm.load(checkpoint / "model.zip", env=saved or env, device=device, force_reset=saved is None)
    _load_training_state(model, checkpoint)
    return model


def check_format(checkpoint: Path) -> None:
    """
    Raise ``ValueError`` if a checkpoint was written by an incompatible version. Nothing is unpickled.

    :param checkpoint: path of the checkpoint
    """
    file = checkpoint / _FORMAT_FILE
    try:
        written = json.loads(file.read_text())
        found, writer = written["format"], f"leo-rl {written['leo-rl']}"
    except FileNotFoundError:
        found, writer = f"1 (no {_FORMAT_FILE})", "an earlier version of leo-rl"
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"expected format and version in {file}, got {error!r}; restore the file, or train again") from error
    if found != FORMAT:
        raise ValueError(
            f"expected a checkpoint of format {FORMAT}, as written by leo-rl {leo_wrappers.__version__}, in {checkpoint}, "
            f"got format {found}, written by {writer}; resume it with the version that wrote it, or train again"
        )


def _load_training_state(model: BaseAlgorithm, checkpoint: Path) -> None:
    """Restore what ``model.zip`` does not contain, with the random number generators last."""
    if hasattr(model, "replay_buffer"):
        model.load_replay_buffer(checkpoint / "replay.pkl")  # type: ignore[attr-defined]
    state = _load(checkpoint / "state.pkl")
    for name, value in state["attributes"].items():
        setattr(model, name, value)
    selector = _goal_selector(model.env)
    if selector is not None and state["selector"] is not None:
        selector.load_state_dict(state["selector"])
    random.setstate(state["python_rng"])
    np.random.set_state(state["numpy_rng"])
    th.set_rng_state(state["torch_rng"])
    if state["cuda_rng"] is not None and th.cuda.is_available():
        th.cuda.set_rng_state_all(state["cuda_rng"])


def _load_environment(checkpoint: Path) -> VecEnv | None:
    """Return the environment in its saved state, or None if it could not be saved."""
    path = checkpoint / "env.pkl"
    return _rewrap(_load(path)) if path.exists() else None


def why_not_exact(env: VecEnv | None) -> str | None:
    """
    Return why an environment cannot be saved during an episode, None if it can.

    :param env: a vectorized environment
    :return: the reason as a relative clause ("which cannot be pickled ...")
    """
    for inner in _inner_environments(env):
        if isinstance(inner, gym.utils.EzPickle):
            return f"whose {type(inner).__name__} pickles its constructor arguments only"
    try:
        cloudpickle.dumps(_split_wrappers(env))
    except Exception as error:  # an environment's __reduce__ or __getstate__ can raise anything
        return f"which cannot be pickled ({type(error).__name__}: {error})"
    return None


def _split_wrappers(env: VecEnv | None) -> list[Any]:
    """Return the innermost VecEnv, then class and state of each wrapper: a VecEnvWrapper cannot be pickled itself."""
    wrappers: list[Any] = []
    while isinstance(env, VecEnvWrapper):
        state = {name: value for name, value in env.__dict__.items() if name not in ("venv", "class_attributes")}
        wrappers.insert(0, (type(env), state))
        env = env.venv
    return [env, *wrappers]


def _rewrap(parts: list[Any]) -> VecEnv:
    """Undo :func:`_split_wrappers`."""
    env: VecEnv = parts[0]
    for kind, state in parts[1:]:
        wrapper: VecEnvWrapper = kind.__new__(kind)
        # The attributes that VecEnvWrapper's constructor sets.
        wrapper.__dict__.update(state, venv=env, class_attributes=dict(inspect.getmembers(kind)))
        env = wrapper
    return env


def _inner_environments(env: Any) -> list[Any]:
    """Return the environment, everything it wraps, and the sub-environments that live in this process."""
    layers, queue = [], [env]
    while queue:
        layer = queue.pop()
        layers.append(layer)
        attributes = getattr(layer, "__dict__", {})
        inner = [attributes.get(name) for name in ("venv", "env", "vector_env")]
        queue.extend(child for child in [*inner, *attributes.get("envs", [])] if child is not None)
    return layers


def _goal_selector(env: VecEnv | None) -> GoalSelector | None:
    """Return the selector of the VecGoalSampler, None without one."""
    sampler = None if env is None else unwrap_vec_wrapper(env, VecGoalSampler)
    return None if sampler is None else sampler.goal_selector


def _training_state(model: BaseAlgorithm) -> dict[str, Any]:
    selector = _goal_selector(model.env)
    return {
        # SB3's own algorithms need no further attributes than those in model.zip.
        "attributes": {name: getattr(model, name) for name in getattr(model, "checkpointed", ())},
        "selector": None if selector is None else selector.state_dict(),
        "python_rng": random.getstate(),
        "numpy_rng": np.random.get_state(),
        "torch_rng": th.get_rng_state(),
        "cuda_rng": th.cuda.get_rng_state_all() if th.cuda.is_available() else None,
    }


def _complete(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{PREFIX}*"))


def _dump(value: Any, path: Path) -> None:
    with open(path, "wb") as file:
        cloudpickle.dump(value, file, protocol=5)


def _load(path: Path) -> Any:
    with open(path, "rb") as file:
        return cloudpickle.load(file)


def _flush(path: Path) -> None:
    """Flush to disk, so that a rename never becomes visible before the content of the files."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
