"""Checkpoints for exact resumption: networks, optimizers, replay buffer, environments and all random number generators."""

import inspect
import io
import os
import random
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

import cloudpickle
import gymnasium as gym
import numpy as np
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, unwrap_vec_wrapper

from leo_agents.learning.checkpoint_files import (
    ALL_FILES,
    ENV_FILE,
    MODEL_FILE,
    REPLAY_FILE,
    STATE_FILE,
    includes_environment,
    latest_checkpoint,
    write_checkpoint,
)
from leo_agents.learning.policy_data import attach_policy_data
from leo_wrappers.goal_selector import GoalSelector
from leo_wrappers.sb3 import VecGoalSampler
from leo_wrappers.validation import check_instance, check_integer, check_path, shorten

Algorithm = TypeVar("Algorithm", bound=BaseAlgorithm)


class ExactCheckpoints(BaseCallback):
    """
    Callback that saves a checkpoint at the start of a rollout, where training can be resumed bit for bit.

    :param folder: folder of the checkpoints
    :param save_freq: minimum number of environment steps between checkpoints
    :param keep: number of checkpoints to keep. With 2, training can resume from the previous one if the newest is damaged.
        Each needs the disk space of a replay buffer, and one more is needed while saving
    :param verbose: 1 to print a message for each checkpoint
    """

    def __init__(self, folder: str | os.PathLike[str], save_freq: int, keep: int = 2, verbose: int = 0) -> None:
        super().__init__(verbose)
        check_integer("save_freq", save_freq, 1)
        check_integer("keep", keep, 1)
        check_integer("verbose", verbose, 0, 2)
        check_path("folder", folder)
        self.folder = Path(folder)
        self.save_freq, self.keep = save_freq, keep
        self._next_save = 0

    def _on_training_start(self) -> None:
        self._schedule_next()

    def _on_rollout_start(self) -> None:
        if self.model.num_timesteps >= self._next_save:
            path = save_checkpoint(self.model, self.folder, self.keep)
            self._schedule_next()
            if self.verbose >= 1:
                print(f"Saved checkpoint {path}")

    def _on_step(self) -> bool:
        return True

    def _schedule_next(self) -> None:
        self._next_save = (self.model.num_timesteps // self.save_freq + 1) * self.save_freq


def save_checkpoint(model: BaseAlgorithm, folder: str | os.PathLike[str], keep: int = 2) -> Path:
    """
    Write a checkpoint and remove older ones once it is complete.

    :param model: an algorithm of this library or of Stable-Baselines3
    :param folder: folder of its checkpoints
    :param keep: number of checkpoints to keep, see :class:`ExactCheckpoints`
    :return: path of the new checkpoint
    """
    check_instance("model", model, BaseAlgorithm, "pass a model of this library or of Stable-Baselines3")
    check_path("folder", folder)
    check_integer("keep", keep, 1)
    writers: dict[str, Callable[[IO[bytes]], object]] = {
        MODEL_FILE: partial(_dump_model, model),
        STATE_FILE: partial(_dump, _training_state(model)),
        REPLAY_FILE: partial(_dump, getattr(model, "replay_buffer", None)),
    }
    reason = why_not_exact(model.env)
    if reason is None:
        writers[ENV_FILE] = partial(_dump, _split_wrappers(model.env))
    else:
        warnings.warn(
            f"The checkpoint leaves out the environment, {reason}: resume with env=..., which starts a new episode.",
            stacklevel=2,
        )
    return write_checkpoint(Path(folder), model.num_timesteps, writers, keep)


def resume(
    algorithm: type[Algorithm],
    folder: str | os.PathLike[str],
    env: GymEnv | None = None,
    device: th.device | str = "auto",
) -> Algorithm:
    """
    Load the newest complete checkpoint, see :meth:`~leo_agents.algorithms.goal_algorithm.GoalAlgorithm.resume`.

    :param algorithm: class of the saved model, of this library or of Stable-Baselines3
    :param folder: folder of the checkpoints of a training run
    :param env: environment to use instead of the saved one, or if none was saved; it starts a new episode
    :param device: PyTorch device
    :return: the model, ready for ``learn(..., reset_num_timesteps=False)``
    """
    if not (isinstance(algorithm, type) and issubclass(algorithm, BaseAlgorithm)):
        raise TypeError(f"expected the class of an algorithm, got {shorten(algorithm)}; pass e.g. LEODQN")
    check_path("folder", folder)
    checkpoint = latest_checkpoint(folder, ALL_FILES if env is None else (MODEL_FILE, STATE_FILE, REPLAY_FILE))
    return load_checkpoint(algorithm, checkpoint, env, device)


def load_checkpoint(
    algorithm: type[Algorithm], checkpoint: Path, env: GymEnv | None = None, device: th.device | str = "auto"
) -> Algorithm:
    """
    Load a checkpoint whose files have been verified by :func:`~leo_agents.learning.checkpoint_files.latest_checkpoint`.

    :param algorithm: class of the saved model, of this library or of Stable-Baselines3
    :param checkpoint: path of the checkpoint
    :param env: environment to use instead of the saved one, or if none was saved; it starts a new episode
    :param device: PyTorch device
    :return: the model, ready for ``learn(..., reset_num_timesteps=False)``
    """
    saved: VecEnv | None = None
    if env is None:
        if not includes_environment(checkpoint):
            raise ValueError(f"expected an environment, got None, and {checkpoint} contains none; pass env=...")
        saved = _rewrap(_load(checkpoint / ENV_FILE))
    model = algorithm.load(checkpoint / MODEL_FILE, env=saved or env, device=device, force_reset=saved is None)
    _load_training_state(model, checkpoint)
    return model


def _load_training_state(model: BaseAlgorithm, checkpoint: Path) -> None:
    """Restore what ``model.zip`` does not contain, with the random number generators last."""
    if hasattr(model, "replay_buffer"):
        model.load_replay_buffer(checkpoint / REPLAY_FILE)  # type: ignore[attr-defined]
    state = _load(checkpoint / STATE_FILE)
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


def _dump_model(model: BaseAlgorithm, file: IO[bytes]) -> None:
    attach_policy_data(model)
    # Through memory, as PyTorch does not pass on an OSError of the file.
    buffer = io.BytesIO()
    model.save(buffer)
    file.write(buffer.getbuffer())


def _dump(value: Any, file: IO[bytes]) -> None:
    cloudpickle.dump(value, file, protocol=5)


def _load(path: Path) -> Any:
    with open(path, "rb") as file:
        return cloudpickle.load(file)
