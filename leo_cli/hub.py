"""Share agents on the Hugging Face Hub through ``huggingface_sb3`` (the package sb3-team-hf-integration)."""

import tempfile
from pathlib import Path
from typing import Any, TypeVar

from stable_baselines3.common.base_class import BaseAlgorithm

from leo_agents.evaluation import GoalReport

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
from {module} import {algorithm}
from leo_cli.hub import pull_agent

model = pull_agent({algorithm}, "{repo_id}")
env = gym.make("{env_id}")
obs, info = env.reset()
action = model.act(obs, goal="{goal}")
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
        model.save(Path(folder) / MODEL)
        report.to_csv(Path(folder) / TABLE)
        algorithm, module = type(model).__name__, type(model).__module__.partition(".")[0]
        values = {"algorithm": algorithm, "module": module, "env_id": env_id, "repo_id": repo_id, "report": str(report)}
        card = _CARD.format(**values, num_goals=len(names), goal=names[0])
        (Path(folder) / "README.md").write_text(card, encoding="utf-8")
        message = f"{algorithm} on {env_id}"
        files = sorted(Path(folder).iterdir())
        return {path.name: str(push_to_hub(repo_id, str(path), message, token)) for path in files}


def pull_agent(algorithm: type[Algorithm], repo_id: str, **load_kwargs: Any) -> Algorithm:
    """
    Download and load an agent.

    A saved model contains pickles, which can run arbitrary code when loaded, so ``huggingface_sb3`` downloads nothing unless
    the environment variable ``TRUST_REMOTE_CODE`` is ``True``. Set it only for repositories that you trust.

    :param algorithm: the model's class
    :param repo_id: the repository, ``"user/name"``
    :param load_kwargs: further arguments of ``algorithm.load``, such as ``env`` or ``device``
    :return: the loaded model
    """
    return algorithm.load(_hub().load_from_hub(repo_id, MODEL), **load_kwargs)


def _hub() -> Any:
    try:
        import huggingface_sb3
    except ImportError as error:
        raise ImportError('the Hub needs huggingface_sb3; install it with: pip install "leo-rl[hub]"') from error
    return huggingface_sb3
