"""Create, resume and load the models of a run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from leo_agents.learning.checkpoints import check_format, latest_checkpoint, resume
from leo_agents.learning.policy_data import load_policy, why_pickled
from leo_cli.algorithms import find_algorithm
from leo_cli.environments import Environment
from leo_cli.run_folder import RunFolder, SeedFolder
from leo_cli.trust import check_pickles_trusted


def load_agent(run: RunFolder, seed: SeedFolder) -> Any:
    """
    Load the policy of the newest checkpoint for evaluation. Only a policy with classes of the user's own is unpickled, and
    only if the run is trusted or the checkpoint was written by this user on this machine.

    :param run: the run
    :param seed: a seed with a checkpoint
    :return: a :class:`~leo_agents.learning.policy_data.PolicyAgent` on the CPU, or the unpickled model without an environment
    """
    checkpoint = latest_checkpoint(seed.checkpoints)
    check_format(checkpoint)
    model = checkpoint / "model.zip"
    with _damage_reported(checkpoint, run):
        reason = why_pickled(model)
        if reason is None:
            return load_policy(model, "cpu")
    check_pickles_trusted(run, checkpoint, f"the policy cannot be loaded as data, because {reason}")
    with _damage_reported(checkpoint, run):
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
    checkpoint = seed.checkpoint
    if checkpoint is None:
        return algorithm.build(environment.make_vec(settings.num_envs), seed.seed, device, settings.hyperparameters)
    check_format(checkpoint)
    check_pickles_trusted(run, checkpoint, "training resumes from the pickled model, replay buffer and environments")
    # Environments that could not be saved are created again and start with new episodes.
    env = None if (checkpoint / "env.pkl").exists() else environment.make_vec(settings.num_envs)
    with _damage_reported(checkpoint, run):
        return resume(algorithm.algorithm_class, seed.checkpoints, env, device)


@contextmanager
def _damage_reported(checkpoint: Path, run: RunFolder) -> Iterator[None]:
    """Convert any exception, as unpickling a damaged file may raise, to one that names the checkpoint and the remedy."""
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"expected a complete checkpoint at {checkpoint}, got a damaged one ({type(error).__name__}: {error}); nothing "
            f"was changed: restore it, or remove {checkpoint.parent.parent} and train that seed again: "
            f"leo train --resume {run.path}"
        ) from error
