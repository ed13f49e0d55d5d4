"""
RL Baselines3 Zoo's commands with our algorithms and environments.

``python -m leo_cli.zoo train --algo leodqn --env leo/GridWorld-v0``, and ``enjoy`` likewise; what follows is the zoo's own.
Where no ``-conf`` is given, the hyperparameters are those of ``leo train``.
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

# The zoo makes environments itself and evaluates by rewards, so each environment commands its goals: all alike, for one that
# is only evaluated in has seen none, and a new one where one is reached. The reward is then how many were reached in an
# episode. The zoo's own Monitor lies below and sees none of that, hence the second one.
ENV_WRAPPER: list[Any] = [
    {"leo_wrappers.GoalConditionedWrapper": {"selector": "uniform", "on_success": "switch"}},
    "stable_baselines3.common.monitor.Monitor",
]
COMMANDS = ("train", "enjoy")
LARGEST_BATCH = 2**10
"""That Optuna may try; the buffer must hold one."""


def register() -> "dict[str, type[BaseAlgorithm]]":
    """
    Makes our algorithms that replay and our environments known to the zoo, with what Optuna is to try.

    :return: the algorithms that were added, by name
    """
    try:
        import rl_zoo3
        from rl_zoo3.hyperparams_opt import HYPERPARAMS_CONVERTER, HYPERPARAMS_SAMPLER, convert_offpolicy_params
    except ImportError as error:
        raise ImportError('the zoo needs rl_zoo3; install it with: pip install "leo-rl[zoo]"') from error
    import leo_envs  # noqa: F401  (registers the environments)

    # Those that replay. The others learn from many environments at once, and the zoo steps one after the other.
    replaying = [name for name, one in ALGORITHMS.items() if one.maker is None and "train_freq" in one.hyperparameters]
    ours = {name: ALGORITHMS[name].kind for name in replaying}
    # One dictionary, which all of the zoo's commands share.
    rl_zoo3.ALGOS.update(ours)
    for name in ours:
        HYPERPARAMS_SAMPLER[name] = search_space
        HYPERPARAMS_CONVERTER[name] = convert_offpolicy_params
    return ours


def search_space(trial: "optuna.Trial", n_actions: int, n_envs: int, additional_args: dict[str, Any]) -> dict[str, Any]:
    """
    What Optuna is to try.

    :param trial: draws the values
    :param n_actions: not used
    :param n_envs: not used
    :param additional_args: not used
    :return: hyperparameters
    """
    from rl_zoo3.hyperparams_opt import convert_offpolicy_params

    train_freq = trial.suggest_int("train_freq", 1, 8)
    drawn = {
        "one_minus_gamma": trial.suggest_float("one_minus_gamma", 0.003, 0.1, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 5e-3, log=True),
        "batch_size_pow": trial.suggest_int("batch_size_pow", 6, LARGEST_BATCH.bit_length() - 1),
        "tau": trial.suggest_float("tau", 0.005, 0.1, log=True),
        "train_freq": train_freq,
        "subsample_steps": trial.suggest_int("subsample_steps", 1, train_freq),
        "net_arch": trial.suggest_categorical("net_arch", ["small", "medium", "large"]),
    }
    return convert_offpolicy_params(drawn)  # type: ignore[no-any-return]


def zoo_hyperparameters(algorithm: str, env_id: str, steps: int | None = None) -> dict[str, Any]:
    """
    The settings of ``leo train`` as the zoo wants them.

    :param algorithm: its name
    :param env_id: the environment's id
    :param steps: environment steps, where the command line says so
    :return: what stands below the environment's id in one of the zoo's files

    Example::

        >>> zoo_hyperparameters("leodqn", "leo/GridWorld-v0")["n_timesteps"]
        25000
    """
    settings = load_settings(algorithm, env_id, steps=steps)
    policy = next(iter(ALGORITHMS[algorithm].kind.policy_aliases))
    general = {"n_timesteps": settings.steps, "n_envs": settings.num_envs, "policy": policy, "env_wrapper": ENV_WRAPPER}
    own = dict(settings.hyperparameters)
    if "buffer_size" in own:
        own["buffer_size"] = max(own["buffer_size"], LARGEST_BATCH)
    return {**general, **own}


def main(arguments: Sequence[str] | None = None) -> None:
    """
    Runs one of the zoo's commands.

    :param arguments: those of the command line when None
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
    said, _ = parser.parse_known_args(others)
    with tempfile.TemporaryDirectory() as folder:
        if command == "train" and said.conf_file is None and said.env and ALGORITHMS.get(said.algo or "") is not None:
            path = Path(folder) / f"{said.algo}.yml"
            path.write_text(yaml.safe_dump({said.env: zoo_hyperparameters(said.algo, said.env, said.n_timesteps)}))
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
