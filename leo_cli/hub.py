"""Agents on the Hugging Face Hub, by way of ``huggingface_sb3`` (the package sb3-team-hf-integration)."""

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

An agent for {num_goals} goals. It was trained with [LEO](https://arxiv.org/abs/2605.23551) as implemented by `leo-rl`.

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

## Success by family of goals

```
{report}
```
"""


def push_agent(
    model: BaseAlgorithm, repo_id: str, env_id: str, report: GoalReport, *, token: str | None = None
) -> dict[str, str]:
    """
    Uploads an agent, how well it reaches each goal (``goals.csv``) and a page that says so and how to load it.

    :param model: one of ours
    :param repo_id: where to, ``"user/name"``
    :param env_id: the environment it was trained in
    :param report: what an evaluation found
    :param token: of the Hub; None for the one that ``hf auth login`` left
    :return: for each file what the Hub calls it

    Example::

        >>> push_agent(model, "me/leodqn-gridworld", "leo/GridWorld-v0", report)  # doctest: +SKIP
    """
    push_to_hub = _hub().push_to_hub
    names = tuple(getattr(model, "goal_names", ()))
    if not names:
        raise ValueError(f"expected an agent with goals, got {type(model).__name__} without goal_names; push one of ours")
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
    Downloads an agent and loads it.

    A saved model holds pickles, which may run any code when loaded: ``huggingface_sb3`` therefore downloads nothing unless the
    environment variable ``TRUST_REMOTE_CODE`` is ``True``. Set it for repositories that you trust.

    :param algorithm: its class
    :param repo_id: where from, ``"user/name"``
    :param load_kwargs: further arguments of ``algorithm.load``, for example ``env`` or ``device``
    :return: the agent
    """
    return algorithm.load(_hub().load_from_hub(repo_id, MODEL), **load_kwargs)


def _hub() -> Any:
    try:
        import huggingface_sb3
    except ImportError as error:
        raise ImportError('the Hub needs huggingface_sb3; install it with: pip install "leo-rl[hub]"') from error
    return huggingface_sb3
