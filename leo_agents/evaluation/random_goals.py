"""Evaluation in goal environments, on random goals or on given points."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.vector import VectorEnv
from stable_baselines3.common.type_aliases import PolicyPredictor
from stable_baselines3.common.vec_env import VecEnv

from leo_agents.algorithms.goal_env import RewardGoalTest, check_goal_env, is_goal_env
from leo_agents.evaluation.evaluate import (
    EpsilonGreedy,
    as_vec_env,
    check_epsilon,
    check_predictor,
    frozen_statistics,
    show_progress,
)
from leo_agents.evaluation.goal_report import GoalReport
from leo_wrappers.keys import ACHIEVED_GOAL_KEY, DESIRED_GOAL_KEY
from leo_wrappers.validation import check_bool, check_integer, check_seed, float_array

Points = npt.NDArray[Any]
Steps = npt.NDArray[np.int64]


def evaluate_random_goals(
    model: PolicyPredictor,
    env: gym.Env[Any, Any] | VectorEnv[Any, Any, Any] | VecEnv,
    n_eval_episodes: int = 100,
    seed: int | None = None,
    *,
    goals: npt.ArrayLike | None = None,
    episodes_per_goal: int = 1,
    deterministic: bool = True,
    max_steps: int | None = None,
    epsilon: float = 0.0,
    progress_bar: bool = False,
) -> GoalReport:
    """
    Evaluate a model in a goal environment on many goals.

    The goals are those that the environment draws as ``desired_goal`` at its resets, or given points. Success is decided by
    the environment's sparse reward; the first success ends an attempt. A goal already achieved at the reset is no attempt. Any
    model that reads ``desired_goal`` can be evaluated, also one of Stable-Baselines3 with ``HerReplayBuffer``.

    :param model: model or policy with Stable-Baselines3's ``predict``
    :param env: a goal environment, single or vectorized
    :param n_eval_episodes: number of goals that the environment draws; not used with ``goals``
    :param seed: seed of the environments; episode j (over all goals, then over all again) is seeded with ``seed + j``
    :param goals: points ``[M, d]`` to evaluate instead
    :param episodes_per_goal: number of episodes per goal
    :param deterministic: whether to use deterministic actions
    :param max_steps: maximum number of steps per attempt; required if episodes do not end on their own
    :param epsilon: probability of a random action, see :func:`~leo_agents.evaluation.evaluate.evaluate_goals`
    :param progress_bar: show a progress bar
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
    check_integer("episodes_per_goal", episodes_per_goal, 1)
    if max_steps is not None:
        check_integer("max_steps", max_steps, 1)
    check_epsilon(epsilon)
    check_seed(seed)
    for name, flag in (("deterministic", deterministic), ("progress_bar", progress_bar)):
        check_bool(name, flag)
    check_predictor(model)
    venv = point_goal_env(env)
    check_observations(model, venv)
    points = None if goals is None else checked_points(goals, venv)
    count = n_eval_episodes if points is None else len(points)
    if epsilon:
        model = EpsilonGreedy(model, venv.action_space, epsilon, seed)
    outcomes = []
    with frozen_statistics(venv), show_progress(count * episodes_per_goal, progress_bar) as advance:
        run = _Episodes(model, venv, deterministic, max_steps, advance)
        for episode in range(episodes_per_goal):
            # Goals that the environment draws for the first episodes stay the goals of the later ones.
            points, steps = run(points, count, None if seed is None else seed + episode * count)
            outcomes.append(steps)
    assert points is not None
    return _report(points, np.stack(outcomes, axis=1))


def point_names(points: Points) -> list[str]:
    """
    Name goals by their coordinates.

    :param points: the goals ``[M, d]``
    :return: unique names such as "goal/1.3,0.7"
    """
    names = ["goal/" + ",".join(f"{coordinate:.4g}" for coordinate in point) for point in points.tolist()]
    # Goals may be closer to each other than their names show.
    return [name if names.count(name) == 1 else f"{name} ({number})" for number, name in enumerate(names)]


def point_goal_env(env: gym.Env[Any, Any] | VectorEnv[Any, Any, Any] | VecEnv) -> VecEnv:
    """Convert a single or vectorized goal environment to a ``VecEnv``."""
    venv = as_vec_env(env)
    if not is_goal_env(venv):
        raise ValueError(
            f"expected a goal environment with {ACHIEVED_GOAL_KEY!r} and {DESIRED_GOAL_KEY!r}, got {venv.observation_space}; "
            "use evaluate_goals for a finite goal set"
        )
    return check_goal_env(venv)


def check_observations(model: PolicyPredictor, venv: VecEnv) -> None:
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


def checked_points(goals: npt.ArrayLike, venv: VecEnv) -> Points:
    """Convert goals to points ``[M, d]``, or raise a ValueError unless they are points like ``desired_goal``."""
    space = venv.observation_space[DESIRED_GOAL_KEY]  # type: ignore[index]
    points = float_array("goals", goals).astype(space.dtype)
    if points.ndim != 2 or points.shape[1:] != space.shape or len(points) == 0 or not np.isfinite(points).all():
        raise ValueError(
            f"expected finite goals of shape [M, {space.shape[0]}], got an array of shape {points.shape}; pass points like "
            "desired_goal"
        )
    return points


class _Episodes:
    """Runs one episode for each of many goals, as many in parallel as there are environments."""

    def __init__(
        self,
        model: PolicyPredictor,
        venv: VecEnv,
        deterministic: bool,
        max_steps: int | None,
        advance: Callable[[int], object],
    ) -> None:
        self.model, self.venv, self.advance = model, venv, advance
        self.deterministic, self.max_steps = deterministic, max_steps
        self.test = RewardGoalTest(venv)

    def __call__(self, points: Points | None, count: int, seed: int | None) -> tuple[Points, Steps]:
        """Return the goals ``[count, d]`` and the steps to success ``[count]``: 0 if a goal was true, -1 without success."""
        found, outcomes = [], []
        for first in range(0, count, self.venv.num_envs):
            if seed is not None:
                self.venv.seed(seed + first)
            desired, steps = self._run(None if points is None else points[first : first + self.venv.num_envs])
            found.append(desired[: count - first])
            outcomes.append(steps[: count - first])
            self.advance(len(outcomes[-1]))
        return np.concatenate(found), np.concatenate(outcomes)

    def _run(self, points: Points | None) -> tuple[Points, Steps]:
        """Run one episode per environment."""
        obs: Any = self.venv.reset()
        desired = obs[DESIRED_GOAL_KEY].copy()
        if points is not None:
            # In the last batch, surplus environments keep their goals and are ignored.
            desired[: len(points)] = points
        steps = np.where(self.test(obs[ACHIEVED_GOAL_KEY], desired), 0, -1)
        running, step = steps < 0, 0
        while running.any():
            step += 1
            actions, _ = self.model.predict({**obs, DESIRED_GOAL_KEY: desired}, deterministic=self.deterministic)
            obs, _, dones, infos = self.venv.step(actions)
            achieved = obs[ACHIEVED_GOAL_KEY].copy()
            for row in np.flatnonzero(dones):
                achieved[row] = infos[row]["terminal_observation"][ACHIEVED_GOAL_KEY]
            success = running & self.test(achieved, desired)
            steps[success] = step
            running &= ~(success | dones)
            if step == self.max_steps:
                break
        return desired, steps


def _report(goals: Points, steps: Steps) -> GoalReport:
    """Report the steps of each goal and episode, ``[M, E]``."""
    return GoalReport(
        tuple(point_names(goals)),
        np.arange(len(goals)),
        attempts=(steps != 0).sum(axis=1),
        already_true=(steps == 0).sum(axis=1),
        steps=tuple(row[row > 0] for row in steps),
        positions=goals[:, :2].astype(np.float64) if goals.shape[1] in (2, 3) else None,
    )
