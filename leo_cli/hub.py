"""
Share agents on the Hugging Face Hub: uploads through ``huggingface_sb3`` (the package sb3-team-hf-integration), downloads
without running code of the repository.
"""

import tempfile
from pathlib import Path
from typing import Any, TypeVar

from stable_baselines3.common.base_class import BaseAlgorithm

from leo_agents.evaluation import GoalReport
from leo_agents.learning.policy_data import PickledPolicyError, PolicyAgent, attach_policy_data, load_policy, why_pickled

Algorithm = TypeVar("Algorithm", bound=BaseAlgorithm)

MODEL = "model.zip"
TABLE = "goals.csv"

_CARD = """---
library_name: stable-baselines3
tags: [reinforcement-learning, goal-conditioned, leo-rl, {env_id}]
---

# {algorithm} on {env_id}

A goal-conditioned agent for {num_goals} goals, trained with `leo-rl`, an implementation of
[LEO](https://arxiv.org/abs/2605.23551).

```python
import gymnasium as gym
import leo_envs
from leo_cli.hub import pull_agent

agent = pull_agent("{repo_id}")
env = gym.make("{env_id}")
obs, info = env.reset()
action = agent.act(obs, goal="{goal}")
```

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
        model.save(Path(folder) / MODEL)
        report.to_csv(Path(folder) / TABLE)
        algorithm = type(model).__name__
        values = {"algorithm": algorithm, "env_id": env_id, "repo_id": repo_id, "report": str(report)}
        card = _CARD.format(**values, num_goals=len(names), goal=names[0])
        (Path(folder) / "README.md").write_text(card, encoding="utf-8")
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


def _download(repo_id: str) -> str:
    _hub()
    import huggingface_hub  # installed with huggingface_sb3

    return str(huggingface_hub.hf_hub_download(repo_id, MODEL))


def _hub() -> Any:
    try:
        import huggingface_sb3
    except ImportError as error:
        raise ImportError('the Hub needs huggingface_sb3; install it with: pip install "leo-rl[hub]"') from error
    return huggingface_sb3
