"""The checkers of Gymnasium and Stable-Baselines3, adapted to multi-goal environments."""

import copy
import importlib.util
import warnings
from typing import Any, SupportsFloat

import gymnasium as gym
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env as gymnasium_check_env

from leo_wrappers.checks.errors import ContractError
from leo_wrappers.checks.goal_conditioned import is_goal_conditioned
from leo_wrappers.keys import GOAL_INPUT_KEYS
from leo_wrappers.multi_goal import goal_env_method


def run_gymnasium_check(env: gym.Env[Any, Any]) -> None:
    """
    Run Gymnasium's ``check_env`` on an environment, including its wrappers.

    :param env: the environment
    """
    with warnings.catch_warnings():
        # Unwrapped, many environments would have no masks.
        warnings.filterwarnings("ignore", message=".*is different from the unwrapped version.*")
        try:
            gymnasium_check_env(_with_fixed_goal(env), skip_render_check=True, skip_close_check=True)
        except (AssertionError, gym.error.Error) as error:
            page = "https://gymnasium.farama.org/introduction/create_custom_env"
            raise _external_error("gymnasium.utils.env_checker.check_env", error, page) from error


def run_sb3_check(env: gym.Env[Any, Any]) -> None:
    """
    Run Stable-Baselines3's ``check_env`` on an environment, if Stable-Baselines3 is installed and supports its spaces.

    :param env: the environment
    """
    if importlib.util.find_spec("stable_baselines3") is None:
        return
    for name, space in (("observation space", env.observation_space), ("action space", env.action_space)):
        if not _is_supported_by_sb3(space):
            warnings.warn(
                f"Expected spaces that Stable-Baselines3 supports, got the {name} {space}: its checker was skipped.",
                UserWarning,
                stacklevel=3,
            )
            return
    if is_goal_conditioned(env.observation_space) and hasattr(env.unwrapped, "compute_reward") and not _has_points(env):
        warnings.warn(
            "Expected goals that are points, which compute_reward takes, got others: Stable-Baselines3's checker was skipped.",
            UserWarning,
            stacklevel=3,
        )
        return
    from stable_baselines3.common.env_checker import check_env as sb3_check_env

    try:
        sb3_check_env(_with_fixed_goal(env))
    except AssertionError as error:
        page = "https://stable-baselines3.readthedocs.io/en/master/guide/custom_env.html"
        raise _external_error("stable_baselines3.common.env_checker.check_env", error, page) from error


def _has_points(env: gym.Env[Any, Any]) -> bool:
    """Return whether the commanded goal is a point in ``desired_goal``, and not only ``goal_id``."""
    return env.has_wrapper_attr("goal_points") and env.get_wrapper_attr("goal_points") is not None


def _is_supported_by_sb3(space: gym.Space[Any]) -> bool:
    if isinstance(space, spaces.Dict):
        return all(_is_supported_by_sb3(inner) for inner in space.spaces.values())
    if isinstance(space, spaces.Box):
        return space.shape != ()
    return isinstance(space, spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary)


def _external_error(checker: str, error: Exception, page: str) -> ContractError:
    return ContractError(f"expected the environment to pass {checker}, got: {error}; see {page} for its requirements")


class _GoalEnvWrapper(gym.Wrapper[Any, Any, Any, Any]):
    """
    Exposes the methods of goal environments, such as ``compute_reward``.

    Gymnasium's wrappers hide them, among them the TimeLimit that ``gym.make`` adds, but Stable-Baselines3 reads them from the
    outermost wrapper.
    """

    def __getattr__(self, name: str) -> Any:
        return goal_env_method(self, name)


class _FixedGoalWrapper(_GoalEnvWrapper):
    """
    Always commands goal 0, and keeps it in the observation.

    The external checkers would report the choices of a goal selector as nondeterminism, and the reward of a goal that was
    switched as wrong.
    """

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options={**(options or {}), "goal": 0})
        self._goal_input = {key: observation[key] for key in GOAL_INPUT_KEYS if key in observation}
        return observation, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        return {**observation, **copy.deepcopy(self._goal_input)}, reward, terminated, truncated, info


def _with_fixed_goal(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    return (_FixedGoalWrapper if is_goal_conditioned(env.observation_space) else _GoalEnvWrapper)(env)
