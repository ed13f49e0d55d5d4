"""Create, resume and load the models of a run."""

import errno
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from leo_agents.learning.checkpoint_files import (
    ALL_FILES,
    MODEL_FILE,
    CheckpointNotSavedError,
    DamagedCheckpointError,
    includes_environment,
    latest_checkpoint,
)
from leo_agents.learning.checkpoints import load_checkpoint
from leo_agents.learning.policy_data import load_policy, why_pickled
from leo_cli.algorithms import find_algorithm
from leo_cli.environments import Environment
from leo_cli.run_config import PROVENANCE_FILE
from leo_cli.run_folder import RunFolder, SeedFolder
from leo_cli.trust import check_pickles_trusted

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def load_agent(run: RunFolder, seed: SeedFolder) -> Any:
    """
    Load the policy of the newest checkpoint for evaluation. Only a policy with classes of the user's own is unpickled, and
    only if the run is trusted or the checkpoint was written by this user on this machine.

    :param run: the run
    :param seed: a seed with a checkpoint
    :return: a :class:`~leo_agents.learning.policy_data.PolicyAgent` on the CPU, or the unpickled model without an environment
    """
    checkpoint = _find_checkpoint(run, seed, (MODEL_FILE,))
    model = checkpoint / MODEL_FILE
    with _load_errors_explained(run, checkpoint):
        reason = why_pickled(model)
        if reason is None:
            return load_policy(model, "cpu")
    check_pickles_trusted(run, checkpoint, f"the policy cannot be loaded as data, because {reason}")
    with _load_errors_explained(run, checkpoint):
        return find_algorithm(run.config.algorithm).algorithm_class.load(model, device="cpu")


def make_model(run: RunFolder, seed: SeedFolder, environment: Environment, device: str) -> BaseAlgorithm:
    """
    Resume training from the newest checkpoint, or create a new model without one.

    :param run: the run
    :param seed: the seed
    :param environment: the environment to train in
    :param device: PyTorch device
    :return: the model with its training environments
    """
    algorithm, settings = find_algorithm(run.config.algorithm), run.config.settings
    if seed.checkpoint is None:
        return algorithm.build(environment.make_vec(settings.num_envs), seed.seed, device, settings.hyperparameters)
    checkpoint = _find_checkpoint(run, seed, ALL_FILES)
    check_pickles_trusted(run, checkpoint, "training resumes from the pickled model, replay buffer and environments")
    # Environments that could not be saved are created again and start with new episodes.
    env = None if includes_environment(checkpoint) else environment.make_vec(settings.num_envs)
    with _load_errors_explained(run, checkpoint):
        return load_checkpoint(algorithm.algorithm_class, checkpoint, env, device)


@contextmanager
def explain_full_disk(run: RunFolder, seed: SeedFolder) -> Iterator[None]:
    """
    Add to errors of a full disk during training how to continue.

    :param run: the run
    :param seed: the seed that is trained
    """
    try:
        yield
    except CheckpointNotSavedError as error:
        raise OSError(f"{error}: leo train --resume {run.path}") from error
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise
        raise OSError(
            f"expected to write to {seed.path}, got: {error.strerror}; free some space, then continue from "
            f"{seed.checkpoint or 'the start'}: leo train --resume {run.path}"
        ) from error


def _find_checkpoint(run: RunFolder, seed: SeedFolder, files: Container[str]) -> Path:
    try:
        return latest_checkpoint(seed.checkpoints, files)
    except DamagedCheckpointError as error:
        raise ValueError(f"{error}: leo train --resume {run.path}") from error


@contextmanager
def _load_errors_explained(run: RunFolder, checkpoint: Path) -> Iterator[None]:
    """Convert any exception, as unpickling may raise, to one that names the checkpoint and the remedy."""
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"expected to load {checkpoint}, whose files are undamaged, got {type(error).__name__}: {error}; install the "
            f"versions listed in {run.path / PROVENANCE_FILE}, or delete {checkpoint.parent} and train that seed again: "
            f"leo train --resume {run.path}"
        ) from error
