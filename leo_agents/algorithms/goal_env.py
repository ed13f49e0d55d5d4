"""Goal environments, whose goals are points that ``compute_reward`` compares: detection and the test of achieved goals."""

from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv

from leo_wrappers.keys import ACHIEVED_GOAL_KEY, DESIRED_GOAL_KEY, GOAL_KEY
from leo_wrappers.validation import check_instance, shorten

Points = npt.NDArray[Any]


def is_goal_env(venv: VecEnv) -> bool:
    """
    Return whether an environment observes achieved and desired goals.

    :param venv: vectorized environment
    :return: whether the observation is a Dict with both
    """
    return {ACHIEVED_GOAL_KEY, DESIRED_GOAL_KEY} <= getattr(venv.observation_space, "spaces", {}).keys()


def has_point_goals(venv: VecEnv) -> bool:
    """
    Return whether the goals of an environment are points, and not a finite set.

    :param venv: vectorized environment
    :return: True for goal environments without ``goal_names``
    """
    return is_goal_env(venv) and GOAL_KEY not in venv.observation_space.spaces and not venv.has_attr("goal_names")  # type: ignore[attr-defined]


def check_goal_env(venv: VecEnv) -> VecEnv:
    """
    Raise a ``ValueError`` unless an environment is a goal environment with points as goals.

    :param venv: vectorized environment
    :return: the environment
    """
    parts = venv.observation_space.spaces  # type: ignore[attr-defined]
    achieved, desired = parts[ACHIEVED_GOAL_KEY], parts[DESIRED_GOAL_KEY]
    for key, space in ((ACHIEVED_GOAL_KEY, achieved), (DESIRED_GOAL_KEY, desired)):
        if not (isinstance(space, spaces.Box) and len(space.shape) == 1 and np.dtype(space.dtype).kind == "f"):
            raise ValueError(f"expected {key!r} to be a Box of points [d] with floats, got {space}; flatten it and use floats")
    if achieved.shape != desired.shape:
        raise ValueError(
            f"expected {ACHIEVED_GOAL_KEY!r} and {DESIRED_GOAL_KEY!r} of the same shape, got {achieved.shape} and "
            f"{desired.shape}; achieved and commanded goals must be comparable"
        )
    if not venv.has_attr("compute_reward"):
        raise ValueError(
            "expected a goal environment with compute_reward(achieved_goal, desired_goal, info), got one without; add it, or "
            "wrap the environment with MultiGoalWrapper and a goal set"
        )
    return venv


class RewardGoalTest:
    """
    Test of which points achieve which goals, by the sparse reward of a goal environment.

    A point achieves a goal if its reward is that of a point that equals the goal; all other rewards must be the same.

    :param venv: environments with ``compute_reward``; the first one is asked

    Example::

        >>> import gymnasium as gym, gymnasium_robotics, numpy as np
        >>> from stable_baselines3.common.env_util import make_vec_env
        >>> gym.register_envs(gymnasium_robotics)
        >>> test = RewardGoalTest(make_vec_env("FetchReach-v4"))
        >>> test(np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]), np.array([[1.0, 0.0, 0.04], [1.0, 0.0, 0.06]])).tolist()
        [True, False]
    """

    def __init__(self, venv: VecEnv) -> None:
        check_instance("venv", venv, VecEnv, "wrap it with DummyVecEnv")
        self.venv = venv
        self._success: float | None = None
        self._failure: float | None = None

    def __call__(self, achieved: Points, goals: Points) -> npt.NDArray[np.bool_]:
        """
        Test pairs of points and goals.

        :param achieved: points ``[M, d]``
        :param goals: one goal per point ``[M, d]``
        :return: bool ``[M]``
        """
        if len(goals) == 0:
            return np.zeros(0, dtype=bool)
        if self._success is None:
            self._success = float(self._rewards(goals[:2], goals[:2])[0])
        rewards = self._rewards(achieved, goals)
        result = np.asarray(rewards == self._success)
        failures = rewards[~result]
        if len(failures):
            self._check_two_values(failures)
        return result

    def _check_two_values(self, failures: Points) -> None:
        if self._failure is None:
            self._failure = float(failures[0])
        if self._failure > self._success or (failures != self._failure).any():  # type: ignore[operator]
            others = np.unique(failures)[:3].tolist()
            raise ValueError(
                f"expected two rewards, one for success and a lower one for failure, got {self._success} for a goal that is "
                f'reached and {others} otherwise; use a sparse reward, e.g. reward_type="sparse"'
            )

    def _rewards(self, achieved: Points, goals: Points) -> npt.NDArray[np.float64]:
        # The rewards of pairs have no info of a step; the same empty dict stands for all of them.
        infos: list[dict[str, Any]] = [{}] * len(goals)
        try:
            (rewards,) = self.venv.env_method("compute_reward", achieved, goals, infos, indices=[0])
        except Exception as error:  # of the user's function
            raise ValueError(
                "expected compute_reward to take batches of points and their infos, which are empty, got "
                f"{type(error).__name__}: {error}; compute the reward from achieved_goal and desired_goal alone"
            ) from error
        if np.shape(rewards) != (len(goals),):
            raise ValueError(
                f"expected compute_reward to return {len(goals)} rewards for {len(goals)} pairs of points [{len(goals)}, d], "
                f"got shape {np.shape(rewards)}; vectorize it, e.g. np.linalg.norm(achieved_goal - desired_goal, axis=-1)"
            )
        if np.asarray(rewards).dtype.kind not in "biuf" or not np.isfinite(rewards).all():
            raise ValueError(f"expected compute_reward to return finite numbers, got {shorten(rewards)}; return e.g. -1 and 0")
        return np.asarray(rewards, dtype=np.float64)
