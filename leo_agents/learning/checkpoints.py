"""Checkpoints to go on from exactly: networks, optimisers, replay, environments and every source of randomness."""

import inspect
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
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from leo_wrappers.sb3 import VecGoalSampler
from leo_wrappers.selection import GoalSelector

Algorithm = TypeVar("Algorithm", bound=BaseAlgorithm)

PREFIX = "step-"
PARTIAL_PREFIX = ".partial-"


class ExactCheckpoints(BaseCallback):
    """
    Saves a checkpoint every so many steps, between two rollouts: the one moment from which training can go on bit for bit.

    :param folder: where to save; the newest checkpoint replaces the one before
    :param save_freq: environment steps between checkpoints, at least
    :param verbose: 1 tells of each checkpoint
    """

    def __init__(self, folder: str | os.PathLike[str], save_freq: int, verbose: int = 0) -> None:
        super().__init__(verbose)
        if save_freq < 1:
            raise ValueError(f"expected save_freq of at least 1, got {save_freq}")
        self.folder = Path(folder)
        self.save_freq = save_freq
        self._next = 0

    def _on_training_start(self) -> None:
        self._next = (self.model.num_timesteps // self.save_freq + 1) * self.save_freq

    def _on_rollout_start(self) -> None:
        if self.model.num_timesteps >= self._next:
            path = save_checkpoint(self.model, self.folder)
            self._next = (self.model.num_timesteps // self.save_freq + 1) * self.save_freq
            if self.verbose >= 1:
                print(f"Saved checkpoint {path}")

    def _on_step(self) -> bool:
        return True


def save_checkpoint(model: BaseAlgorithm, folder: str | os.PathLike[str]) -> Path:
    """
    Writes a checkpoint beside the others, and only when it is whole gives it its name and removes the older ones.

    :param model: the algorithm, one of ours or of Stable-Baselines3's own
    :param folder: the folder of its checkpoints
    :return: the new checkpoint
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{PARTIAL_PREFIX}{os.getpid()}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    model.save(partial / "model.zip")
    _dump(_training_state(model), partial / "state.pkl")
    _dump(getattr(model, "replay_buffer", None), partial / "replay.pkl")
    reason = why_not_exact(model.env)
    if reason is None:
        _dump(_take_apart(model.env), partial / "env.pkl")
    else:
        warnings.warn(
            f"The checkpoint leaves out the environment, {reason}: resume with env=..., which then starts with a new episode.",
            stacklevel=2,
        )
    for path in partial.iterdir():
        _flush(path)
    final = folder / f"{PREFIX}{model.num_timesteps:012d}"
    older = [path for path in _complete(folder) if path != final]
    if final.exists():  # saved twice at the same step
        final.rename(folder / f"{PARTIAL_PREFIX}old-{os.getpid()}")
    partial.rename(final)
    _flush(folder)
    for path in [*older, *folder.glob(f"{PARTIAL_PREFIX}*")]:
        shutil.rmtree(path, ignore_errors=True)
    return final


def latest_checkpoint(folder: str | os.PathLike[str]) -> Path:
    """
    :param folder: a folder of checkpoints
    :return: the newest whole one
    """
    checkpoints = _complete(Path(folder))
    if not checkpoints:
        raise FileNotFoundError(f"expected a checkpoint ({PREFIX}...) in {folder}, found none; was one ever saved there?")
    return checkpoints[-1]


def resume(
    algorithm: type[Algorithm],
    folder: str | os.PathLike[str],
    env: GymEnv | None = None,
    device: th.device | str = "auto",
) -> Algorithm:
    """
    Goes on from the newest checkpoint, see :meth:`~leo_agents.algorithms.goal_algorithm.GoalAlgorithm.resume`.

    :param algorithm: the class of the saved model, one of ours or of Stable-Baselines3's own
    :param folder: the folder of a training's checkpoints
    :param env: the environment, where it could not be saved, or another one, which starts with a new episode
    :param device: where to compute
    :return: the algorithm
    """
    checkpoint = latest_checkpoint(folder)
    saved = load_environment(checkpoint) if env is None else None
    if env is None and saved is None:
        raise ValueError(f"expected an environment, as {checkpoint} holds none; pass env=...")
    model = algorithm.load(checkpoint / "model.zip", env=saved or env, device=device, force_reset=saved is None)
    load_training_state(model, checkpoint)
    return model


def load_training_state(model: BaseAlgorithm, checkpoint: Path) -> None:
    """
    Everything that a saved model does not hold, the randomness last.

    :param model: the model loaded from the checkpoint
    :param checkpoint: its folder
    """
    if hasattr(model, "replay_buffer"):
        model.load_replay_buffer(checkpoint / "replay.pkl")  # type: ignore[attr-defined]
    state = _load(checkpoint / "state.pkl")
    for name, value in state["attributes"].items():
        setattr(model, name, value)
    selector = _selector(model.env)
    if selector is not None and state["selector"] is not None:
        selector.load_state_dict(state["selector"])
    random.setstate(state["python_rng"])
    np.random.set_state(state["numpy_rng"])
    th.set_rng_state(state["torch_rng"])
    if state["cuda_rng"] is not None and th.cuda.is_available():
        th.cuda.set_rng_state_all(state["cuda_rng"])


def load_environment(checkpoint: Path) -> VecEnv | None:
    """
    :param checkpoint: the checkpoint's folder
    :return: the environment as it was, if it could be saved
    """
    path = checkpoint / "env.pkl"
    return _put_together(_load(path)) if path.exists() else None


def why_not_exact(env: VecEnv | None) -> str | None:
    """
    Why an environment cannot be saved in the midst of an episode; None if it can.

    :param env: a vector of environments
    :return: the reason, to be read after "the environment, "
    """
    for inner in _inner_environments(env):
        if isinstance(inner, gym.utils.EzPickle):
            return f"whose {type(inner).__name__} is saved as its constructor's arguments only"
    try:
        cloudpickle.dumps(_take_apart(env))
    except Exception as error:  # whatever an environment's own pickling may raise
        return f"which cannot be pickled ({type(error).__name__}: {error})"
    return None


def _take_apart(env: VecEnv | None) -> list[Any]:
    """The innermost VecEnv, and each wrapper's state from the inside out: the wrappers themselves refuse to be pickled."""
    wrappers: list[Any] = []
    while isinstance(env, VecEnvWrapper):
        state = {name: value for name, value in env.__dict__.items() if name not in ("venv", "class_attributes")}
        wrappers.insert(0, (type(env), state))
        env = env.venv
    return [env, *wrappers]


def _put_together(parts: list[Any]) -> VecEnv:
    env: VecEnv = parts[0]
    for kind, state in parts[1:]:
        wrapper: VecEnvWrapper = kind.__new__(kind)
        # As VecEnvWrapper's own constructor leaves it.
        wrapper.__dict__.update(state, venv=env, class_attributes=dict(inspect.getmembers(kind)))
        env = wrapper
    return env


def _inner_environments(env: Any) -> list[Any]:
    """Every layer of every environment that lives in this process."""
    layers, waiting = [], [env]
    while waiting:
        layer = waiting.pop()
        layers.append(layer)
        inner = [layer.__dict__.get(name) for name in ("venv", "env", "vector_env")] if hasattr(layer, "__dict__") else []
        waiting.extend(child for child in [*inner, *getattr(layer, "__dict__", {}).get("envs", [])] if child is not None)
    return layers


def _selector(env: VecEnv | None) -> GoalSelector | None:
    """The statistics of the goals, if they are commanded by a sampler around the environments."""
    return next((layer.goal_selector for layer in _inner_environments(env) if isinstance(layer, VecGoalSampler)), None)


def _training_state(model: BaseAlgorithm) -> dict[str, Any]:
    selector = _selector(model.env)
    return {
        # What Stable-Baselines3's own algorithms need is in their save().
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
    """To the disk itself: a rename must never become visible before the content it names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
