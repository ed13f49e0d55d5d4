"""Evaluation in goal environments, on random goals or on given points."""

from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.vector import VectorEnv
from stable_baselines3.common.type_aliases import PolicyPredictor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from leo_agents.algorithms.goal_env import RewardGoalTest, check_goal_env, is_goal_env
from leo_agents.evaluation.evaluate import check_predictor, frozen_statistics
from leo_agents.evaluation.goal_report import GoalReport
from leo_wrappers.keys import ACHIEVED_GOAL_KEY, DESIRED_GOAL_KEY
from leo_wrappers.sb3 import GymVecEnv
from leo_wrappers.validation import check_bool, check_env, check_integer, check_seed, float_array

Points = npt.NDArray[Any]


def evaluate_random_goals(
    model: PolicyPredictor,
    env: gym.Env[Any, Any] | VectorEnv[Any, Any, Any] | VecEnv,
    n_eval_episodes: int = 100,
    seed: int | None = None,
    *,
    goals: npt.ArrayLike | None = None,
    deterministic: bool = True,
    max_steps: int | None = None,
) -> GoalReport:
    """
    Evaluate a model in a goal environment: one episode for each of many goals.

    The goals are those that the environment draws as ``desired_goal`` at its resets, or given points. Success is decided by
    the environment's sparse reward; the first success ends an attempt. A goal already achieved at the reset is no attempt. Any
    model that reads ``desired_goal`` can be evaluated, also one of Stable-Baselines3 with ``HerReplayBuffer``.

    :param model: model or policy with Stable-Baselines3's ``predict``
    :param env: a goal environment, single or vectorized
    :param n_eval_episodes: number of goals that the environment draws; not used with ``goals``
    :param seed: seed of the environments; episode j is seeded with ``seed + j``
    :param goals: points ``[M, d]`` to evaluate instead
    :param deterministic: whether to use deterministic actions
    :param max_steps: maximum number of steps per attempt; required if episodes do not end on their own
    :return: attempts, successes and steps of each goal, named by its coordinates

    Example::

        >>> import gymnasium as gym, gymnasium_robotics
        >>> from leo_agents import LEOSAC
        >>> gym.register_envs(gymnasium_robotics)
        >>> env = gym.make("FetchReach-v4")
        >>> report = evaluate_random_goals(LEOSAC("MultiGoalPolicy", env, seed=0), env, n_eval_episodes=3, seed=0)
        >>> report.attempts + report.already_true
        array([1, 1, 1])
    """
    check_integer("n_eval_episodes", n_eval_episodes, 1)
    if max_steps is not None:
        check_integer("max_steps", max_steps, 1)
    check_seed(seed)
    check_bool("deterministic", deterministic)
    check_predictor(model)
    venv = _goal_env(env)
    _check_observations(model, venv)
    points = None if goals is None else _checked_points(goals, venv)
    count = n_eval_episodes if points is None else len(points)
    test, found, outcomes = RewardGoalTest(venv), [], []
    with frozen_statistics(venv):
        for first in range(0, count, venv.num_envs):
            if seed is not None:
                venv.seed(seed + first)
            batch = None if points is None else points[first : first + venv.num_envs]
            desired, steps = _run_episodes(model, venv, test, batch, deterministic, max_steps)
            found.append(desired[: count - first])
            outcomes.append(steps[: count - first])
    return _report(np.concatenate(found), np.concatenate(outcomes))


def _goal_env(env: gym.Env[Any, Any] | VectorEnv[Any, Any, Any] | VecEnv) -> VecEnv:
    check_env(env, (gym.Env, VectorEnv, VecEnv))
    if isinstance(env, VectorEnv):
        env = GymVecEnv(env)
    venv = env if isinstance(env, VecEnv) else DummyVecEnv([lambda: env])
    if not is_goal_env(venv):
        raise ValueError(
            f"expected a goal environment with {ACHIEVED_GOAL_KEY!r} and {DESIRED_GOAL_KEY!r}, got {venv.observation_space}; "
            "use evaluate_goals for a finite goal set"
        )
    return check_goal_env(venv)


def _check_observations(model: PolicyPredictor, venv: VecEnv) -> None:
    """Raise a ValueError if a model reads other observations than those of the environment."""
    model_space = getattr(model, "observation_space", venv.observation_space)
    expected, found = (
        {key: part.shape for key, part in getattr(space, "spaces", {}).items()}
        for space in (model_space, venv.observation_space)
    )
    if expected.get(DESIRED_GOAL_KEY) is None or expected.keys() != found.keys():
        raise ValueError(
            f"expected a model that reads {sorted(found)}, got one for {model_space}; train it in this environment"
        )
    if expected[DESIRED_GOAL_KEY] != found[DESIRED_GOAL_KEY]:
        raise ValueError(
            f"expected a model for goals of shape {found[DESIRED_GOAL_KEY]}, got one for {expected[DESIRED_GOAL_KEY]}; use "
            "the environment of the training"
        )


def _checked_points(goals: npt.ArrayLike, venv: VecEnv) -> Points:
    space = venv.observation_space[DESIRED_GOAL_KEY]  # type: ignore[index]
    points = float_array("goals", goals).astype(space.dtype)
    if points.ndim != 2 or points.shape[1:] != space.shape or len(points) == 0 or not np.isfinite(points).all():
        raise ValueError(
            f"expected finite goals of shape [M, {space.shape[0]}], got an array of shape {points.shape}; pass points like "
            "desired_goal"
        )
    return points


def _run_episodes(
    model: PolicyPredictor,
    venv: VecEnv,
    test: RewardGoalTest,
    points: Points | None,
    deterministic: bool,
    max_steps: int | None,
) -> tuple[Points, npt.NDArray[np.int64]]:
    """Run one episode per environment; return its goal and the number of steps to success, 0 if it was true, else -1."""
    obs: Any = venv.reset()
    desired = obs[DESIRED_GOAL_KEY].copy()
    if points is not None:
        # In the last batch, surplus environments keep their goals and are ignored.
        desired[: len(points)] = points
    steps = np.where(test(obs[ACHIEVED_GOAL_KEY], desired), 0, -1)
    running, step = steps < 0, 0
    while running.any():
        step += 1
        actions, _ = model.predict({**obs, DESIRED_GOAL_KEY: desired}, deterministic=deterministic)
        obs, _, dones, infos = venv.step(actions)
        achieved = obs[ACHIEVED_GOAL_KEY].copy()
        for row in np.flatnonzero(dones):
            achieved[row] = infos[row]["terminal_observation"][ACHIEVED_GOAL_KEY]
        success = running & test(achieved, desired)
        steps[success] = step
        running &= ~(success | dones)
        if step == max_steps:
            break
    return desired, steps


def _report(goals: Points, steps: npt.NDArray[np.int64]) -> GoalReport:
    names = ["goal/" + ",".join(f"{coordinate:.4g}" for coordinate in goal) for goal in goals.tolist()]
    # Goals may be closer to each other than their names show.
    names = [name if names.count(name) == 1 else f"{name} ({number})" for number, name in enumerate(names)]
    return GoalReport(
        tuple(names),
        np.arange(len(goals)),
        attempts=(steps != 0).astype(np.int64),
        already_true=(steps == 0).astype(np.int64),
        steps=tuple(steps[row : row + 1][steps[row : row + 1] > 0] for row in range(len(steps))),
        positions=goals[:, :2].astype(np.float64) if goals.shape[1] in (2, 3) else None,
    )
