"""Observations in which goals are achieved, collected by the agent itself."""

import copy
from typing import Any

import gymnasium as gym
import numpy as np

from leo_agents.networks.policies import Observation
from leo_wrappers.goal_set import BoolArray
from leo_wrappers.infos import read_mask
from leo_wrappers.validation import check_env, check_integer, check_seed


def collect_goal_observations(
    model: Any, env: gym.Env[Any, Any], steps: int, seed: int | None = None, *, max_attempt: int = 100
) -> tuple[Observation, BoolArray]:
    """
    Let an agent go to all goals and keep the first observation in which each one is achieved, for
    :class:`~leo_agents.programs.ProgramPolicy`.

    :param model: a trained LEO agent
    :param env: a multi-goal environment with the goals of the model
    :param steps: largest number of steps; fewer are taken if all goals were achieved
    :param seed: seed of the environment and of the order of the goals
    :param max_attempt: number of steps after which another goal is commanded
    :return: an observation per goal, a batch of G, and which goals were achieved, bool ``[G]``. The observation of the others
        is the first one of all

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from leo_agents import LEODQN
        >>> env = gym.make("leo/GridWorld-v0", map="S..")
        >>> observations, achieved = collect_goal_observations(LEODQN("MultiGoalPolicy", env, seed=0), env, steps=20, seed=0)
        >>> observations.shape
        (3, 4)
    """
    check_env(env)
    check_integer("steps", steps, 1)
    check_integer("max_attempt", max_attempt, 1)
    check_seed(seed)
    rng, names = np.random.default_rng(seed), tuple(model.goal_names)
    found: dict[int, Any] = {}
    observation, info = env.reset(seed=seed)
    first, goal, left = observation, -1, 0
    for _ in range(steps):
        _keep(found, observation, info)
        missing = [number for number in range(len(names)) if number not in found]
        if not missing:
            break
        if left == 0 or goal in found:
            goal, left = int(rng.choice(missing)), max_attempt
        observation, _, terminated, truncated, info = env.step(model.act(observation, goal))
        left -= 1
        if terminated or truncated:
            _keep(found, observation, info)
            observation, info = env.reset()
    _keep(found, observation, info)
    rows = [found.get(number, first) for number in range(len(names))]
    achieved = np.isin(np.arange(len(rows)), list(found))
    if isinstance(first, dict):
        return {key: np.stack([row[key] for row in rows]) for key in first}, achieved
    return np.stack(rows), achieved


def _keep(found: dict[int, Any], observation: Any, info: dict[str, Any]) -> None:
    """Add the observation of the goals that are achieved for the first time."""
    for goal in np.flatnonzero(read_mask(info, "at a step")).tolist():
        found.setdefault(goal, copy.deepcopy(observation))
