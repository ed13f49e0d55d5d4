"""
Run RL Baselines3 Zoo with the algorithms and environments of this package.

``python -m leo_cli.zoo train --algo leodqn --env leo/GridWorld-v0``; likewise ``enjoy``. All options of the zoo are available.
Without ``-conf``, the hyperparameters are those of ``leo train``.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leo_cli.algorithms import ALGORITHMS
from leo_cli.hyperparameters import load_settings
from leo_cli.suggestions import unknown

if TYPE_CHECKING:
    import optuna
    from stable_baselines3.common.base_class import BaseAlgorithm

# The zoo creates its own environments and evaluates by reward, so each environment samples its goals: uniformly, because an
# evaluation environment has seen no goals, and a new one whenever one is achieved. The return of an episode is then the number
# of goals achieved. The second Monitor records that reward; the zoo's own one is below the wrapper.
ENV_WRAPPER: list[Any] = [
    {"leo_wrappers.GoalConditionedWrapper": {"goal_selector": "uniform", "on_success": "switch"}},
    "stable_baselines3.common.monitor.Monitor",
]
COMMANDS = ("train", "enjoy")
MAX_BATCH_SIZE = 2**10
"""Largest batch size in the search space; the replay buffer must hold one batch."""


def register() -> "dict[str, type[BaseAlgorithm]]":
    """
    Register the environments, the off-policy algorithms, and their search space with the zoo.

    :return: the registered algorithm classes by name
    """
    try:
        import rl_zoo3
        from rl_zoo3.hyperparams_opt import HYPERPARAMS_CONVERTER, HYPERPARAMS_SAMPLER, convert_offpolicy_params
    except ImportError as error:
        raise ImportError('the zoo needs rl_zoo3; install it with: pip install "leo-rl[zoo]"') from error
    import leo_envs  # noqa: F401  (registers the environments)

    # The on-policy algorithms need many parallel environments, which the zoo steps one by one.
    off_policy = {
        name: spec.algorithm_class
        for name, spec in ALGORITHMS.items()
        if spec.factory is None and "train_freq" in spec.hyperparameters
    }
    rl_zoo3.ALGOS.update(off_policy)  # all commands of the zoo share this dictionary
    for name in off_policy:
        HYPERPARAMS_SAMPLER[name] = search_space
        HYPERPARAMS_CONVERTER[name] = convert_offpolicy_params
    return off_policy


def search_space(trial: "optuna.Trial", n_actions: int, n_envs: int, additional_args: dict[str, Any]) -> dict[str, Any]:
    """
    Sample hyperparameters for a trial of Optuna.

    :param trial: the trial
    :param n_actions: unused
    :param n_envs: unused
    :param additional_args: unused
    :return: arguments of the algorithm
    """
    from rl_zoo3.hyperparams_opt import convert_offpolicy_params

    train_freq = trial.suggest_int("train_freq", 1, 8)
    sampled = {
        "one_minus_gamma": trial.suggest_float("one_minus_gamma", 0.003, 0.1, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 5e-3, log=True),
        "batch_size_pow": trial.suggest_int("batch_size_pow", 6, MAX_BATCH_SIZE.bit_length() - 1),
        "tau": trial.suggest_float("tau", 0.005, 0.1, log=True),
        "train_freq": train_freq,
        "subsample_steps": trial.suggest_int("subsample_steps", 1, train_freq),
        "net_arch": trial.suggest_categorical("net_arch", ["small", "medium", "large"]),
    }
    return convert_offpolicy_params(sampled)  # type: ignore[no-any-return]


def zoo_hyperparameters(algorithm: str, env_id: str, steps: int | None = None) -> dict[str, Any]:
    """
    Convert the settings of ``leo train`` to the zoo's format.

    :param algorithm: name of the algorithm
    :param env_id: environment id
    :param steps: environment steps; from the settings by default
    :return: the entry of the environment in a hyperparameter file of the zoo

    Example::

        >>> zoo_hyperparameters("leodqn", "leo/GridWorld-v0")["n_timesteps"]
        25000
    """
    settings = load_settings(algorithm, env_id, steps=steps)
    policy = next(iter(ALGORITHMS[algorithm].algorithm_class.policy_aliases))
    general = {"n_timesteps": settings.steps, "n_envs": settings.num_envs, "policy": policy, "env_wrapper": ENV_WRAPPER}
    hyperparameters = dict(settings.hyperparameters)
    if "buffer_size" in hyperparameters:
        hyperparameters["buffer_size"] = max(hyperparameters["buffer_size"], MAX_BATCH_SIZE)
    return {**general, **hyperparameters}


def main(arguments: Sequence[str] | None = None) -> None:
    """
    Run a command of the zoo.

    :param arguments: command-line arguments; those of the process by default
    """
    import yaml

    command, *others = sys.argv[1:] if arguments is None else arguments
    if command not in COMMANDS:
        raise unknown("a command of the zoo", command, COMMANDS)
    register()
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for flags in (("--algo",), ("--env",), ("-conf", "--conf-file")):
        parser.add_argument(*flags)
    parser.add_argument("-n", "--n-timesteps", type=int)
    options, _ = parser.parse_known_args(others)
    with tempfile.TemporaryDirectory() as folder:
        if command == "train" and options.conf_file is None and options.env and ALGORITHMS.get(options.algo or "") is not None:
            path = Path(folder) / f"{options.algo}.yml"
            path.write_text(yaml.safe_dump({options.env: zoo_hyperparameters(options.algo, options.env, options.n_timesteps)}))
            others = [*others, "-conf", str(path)]
        sys.argv = [f"rl_zoo3 {command}", *others]
        if command == "train":
            from rl_zoo3.train import train

            train()
        else:
            from rl_zoo3.enjoy import enjoy

            enjoy()


if __name__ == "__main__":
    main()
