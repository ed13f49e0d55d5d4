"""
Share agents and runs on the Hugging Face Hub: uploads of models through ``huggingface_sb3`` (the package
sb3-team-hf-integration), downloads without running code of the repository.
"""

import os
import re
import shlex
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from stable_baselines3.common.base_class import BaseAlgorithm

from leo_agents.evaluation import GoalReport
from leo_agents.learning.checkpoint_files import MANIFEST, MODEL_FILE
from leo_agents.learning.policy_data import PickledPolicyError, PolicyAgent, attach_policy_data, load_policy, why_pickled
from leo_cli.outputs import check_output, make_output_folder
from leo_cli.run_config import RUN_FILE, write_config
from leo_cli.run_folder import RunFolder, pick_seed

Algorithm = TypeVar("Algorithm", bound=BaseAlgorithm)

TABLE = "goals.csv"
CARD = "README.md"

_HEADER = """---
library_name: stable-baselines3
tags: [reinforcement-learning, goal-conditioned, leo-rl, {env_id}]
---

# {algorithm} on {env_id}

A goal-conditioned agent for {num_goals} goals, trained with `leo-rl`, an implementation of
[LEO](https://arxiv.org/abs/2605.23551).
"""

_AGENT_USE = """
```python
import gymnasium as gym
import leo_envs
from leo_cli.hub import pull_agent

agent = pull_agent("{repo_id}")
env = gym.make("{env_id}")
obs, info = env.reset()
action = agent.act(obs, goal="{goal}")
```
"""

_RUN_USE = """
```console
leo play hub:{repo_id} --goal {goal}
leo report hub:{repo_id} --out report.html
```

Trained with seed {seed} for {steps} steps by:

```console
{command}
```
"""

_RESULTS = """
## Success rate by goal family

```
{report}
```
"""


def push_agent(
    model: BaseAlgorithm, repo_id: str, env_id: str, report: GoalReport, *, token: str | None = None
) -> dict[str, str]:
    """
    Upload an agent, its success rate for each goal (``goals.csv``), and a model card that shows how to load it.

    :param model: a trained algorithm of ``leo_agents``
    :param repo_id: the repository, ``"user/name"``
    :param env_id: id of the environment it was trained in
    :param report: result of an evaluation
    :param token: access token of the Hub; by default the one stored by ``hf auth login``
    :return: URL of each uploaded file, by file name

    Example::

        >>> push_agent(model, "me/leodqn-gridworld", "leo/GridWorld-v0", report)  # doctest: +SKIP
    """
    push_to_hub = _hub().push_to_hub
    names = tuple(getattr(model, "goal_names", ()))
    if not names:
        raise ValueError(
            f"expected an agent with goals, got {type(model).__name__} without goal_names; push an algorithm of leo_agents"
        )
    with tempfile.TemporaryDirectory() as folder:
        attach_policy_data(model)
        model.save(Path(folder) / MODEL_FILE)
        report.to_csv(Path(folder) / TABLE)
        algorithm = type(model).__name__
        values = {"algorithm": algorithm, "env_id": env_id, "repo_id": repo_id, "report": str(report)}
        card = (_HEADER + _AGENT_USE + _RESULTS).format(**values, num_goals=len(names), goal=names[0])
        (Path(folder) / CARD).write_text(card, encoding="utf-8")
        message = f"{algorithm} on {env_id}"
        files = sorted(Path(folder).iterdir())
        return {path.name: str(push_to_hub(repo_id, str(path), message, token)) for path in files}


def pull_agent(repo_id: str, device: str = "auto") -> PolicyAgent:
    """
    Download an agent and load it as data, without unpickling anything.

    :param repo_id: the repository, ``"user/name"``
    :param device: device of the networks
    :return: the agent
    """
    path = _download(repo_id)
    reason = why_pickled(path)
    if reason is not None:
        raise PickledPolicyError(
            f"expected an agent that is loaded as data, got {repo_id}: {reason}. Loading it runs the code in its pickles; "
            "if you trust whoever wrote it, use pull_model(Algorithm, repo_id, trust=True)"
        )
    return load_policy(path, device)


def pull_model(algorithm: type[Algorithm], repo_id: str, *, trust: bool = False, **load_kwargs: Any) -> Algorithm:
    """
    Download a model that can be trained further. Its pickles can run any code.

    :param algorithm: the model's class
    :param repo_id: the repository, ``"user/name"``
    :param trust: must be True; nothing is downloaded otherwise
    :param load_kwargs: further arguments of ``algorithm.load``, such as ``env`` or ``device``
    :return: the loaded model
    """
    if not trust:
        raise ValueError(
            f"expected trust=True to unpickle {repo_id}, which can run any code of whoever wrote it, got {trust}; pass it if "
            "you trust them, or use pull_agent to load the policy alone"
        )
    return algorithm.load(_download(repo_id), **load_kwargs)


def export_run(
    run_folder: str | os.PathLike[str], folder: str | os.PathLike[str], repo_id: str, seed: int | None = None
) -> Path:
    """
    Write a finished run as a repository of the Hub: its settings, the newest model and the success rate for each goal of one
    seed, and a model card. Replay buffers and the state of the training are left out. The folder is a run too.

    :param run_folder: the run
    :param folder: the folder to write, which must not exist or be empty
    :param repo_id: the repository that the model card names, ``"user/name"``
    :param seed: the seed; by default the first
    :return: ``folder``
    """
    _check_repository(repo_id)
    run, target = RunFolder(run_folder), Path(folder)
    source = pick_seed(run, seed)
    checkpoint, report = source.checkpoint, source.report()
    assert checkpoint is not None and source.steps_done is not None  # pick_seed returns only seeds with a checkpoint
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f"expected an empty folder or nothing at {target}, got something else; choose another one")
    for path in (source.goals, checkpoint / MANIFEST, checkpoint / MODEL_FILE):
        copy = target / path.relative_to(run.path)
        make_output_folder(copy.parent)
        shutil.copyfile(path, check_output(copy))
    config = replace(run.config, seeds=[source.seed])
    write_config(target, config)
    card = (_HEADER + _RUN_USE + _RESULTS).format(
        algorithm=config.algorithm,
        env_id=config.environment,
        num_goals=len(config.goals),
        repo_id=repo_id,
        goal=shlex.quote(config.goals[config.eval_goal_ids[0]]),
        seed=source.seed,
        steps=source.steps_done,
        command=run.command,
        report=report,
    )
    check_output(target / CARD).write_text(card, encoding="utf-8")
    return target


def push_run(run_folder: str | os.PathLike[str], repo_id: str, *, seed: int | None = None, token: str | None = None) -> str:
    """
    Upload a finished run, which ``leo play hub:user/name`` and the other commands for runs then download.

    :param run_folder: the run
    :param repo_id: the repository, ``"user/name"``
    :param seed: the seed; by default the first
    :param token: access token of the Hub; by default the one stored by ``hf auth login``
    :return: URL of the commit

    Example::

        >>> push_run("runs/leodqn-GridWorld-v0", "me/leodqn-gridworld")  # doctest: +SKIP
    """
    api = _client().HfApi(token=token)
    with tempfile.TemporaryDirectory() as folder:
        export_run(run_folder, folder, repo_id, seed)
        api.create_repo(repo_id, exist_ok=True)
        message = f"Run {Path(run_folder).name}"
        # Deletes models uploaded before: commands use the one with the most steps.
        return str(api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=message, delete_patterns="seed-*"))


def pull_run(repo_id: str) -> Path:
    """
    Download a run of the Hub. Like every run of somebody else, it is opened without running code that came with it.

    :param repo_id: the repository, ``"user/name"``
    :return: the run folder, in the user's cache folder; a folder per version of the repository
    """
    _check_repository(repo_id)
    client = _client()
    try:
        snapshot = Path(client.snapshot_download(repo_id, allow_patterns=[CARD, RUN_FILE, "seed-*"]))
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise OSError(f"expected to download {repo_id} from the Hub, got {what}; check the name and the connection") from error
    if not (snapshot / RUN_FILE).is_file():
        raise ValueError(
            f"expected a run in {repo_id}, got one without {RUN_FILE}; load a single agent with leo_cli.hub.pull_agent"
        )
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(root) / "leo" / "hub" / repo_id / snapshot.name
    # Files of a snapshot are links, through which commands do not write.
    shutil.copytree(snapshot, folder, dirs_exist_ok=True)
    return folder


def _check_repository(repo_id: str) -> None:
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", repo_id):
        raise ValueError(f"expected a repository of the Hub as user/name, got {repo_id}; correct the name")


def _client() -> Any:
    _hub()
    import huggingface_hub  # installed with huggingface_sb3

    return huggingface_hub


def _download(repo_id: str) -> str:
    return str(_client().hf_hub_download(repo_id, MODEL_FILE))


def _hub() -> Any:
    try:
        import huggingface_sb3
    except ImportError as error:
        raise ImportError('the Hub needs huggingface_sb3; install it with: pip install "leo-rl[hub]"') from error
    return huggingface_sb3
