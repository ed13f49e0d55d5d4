"""Collect datasets by random actions, or by a policy that pursues the commanded goals."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.common.type_aliases import GymEnv, PolicyPredictor
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecEnv

from leo_agents.algorithms.env_wrapping import check_same_goals, wrap_env
from leo_agents.algorithms.exploration import RepeatedRandomActions
from leo_agents.algorithms.goal_env import check_goal_env, has_point_goals
from leo_agents.replay.action_scaling import scale_actions, unscale_actions
from leo_agents.replay.goal_dataset import GoalDataset
from leo_agents.replay.goal_replay_buffer import GoalReplayBuffer
from leo_agents.replay.point_goal_buffer import PointGoalReplayBuffer
from leo_wrappers.sb3 import VecGoalSampler
from leo_wrappers.validation import check_fraction, check_integer, check_seed

# As LEOTD3 and LEOSAC explore: independent noise at every step barely moves a point mass.
_RANDOM_ACTION_REPEAT = 4


def collect_dataset(
    env: GymEnv, num_steps: int, agent: PolicyPredictor | None = None, *, epsilon: float = 0.1, seed: int = 0
) -> GoalDataset:
    """
    Step environments and return the transitions.

    :param env: multi-goal environment without commanded goals, single or vectorized; or a goal environment without a finite
        goal set
    :param num_steps: number of transitions, rounded up to a multiple of the number of environments
    :param agent: model or policy that chooses the actions, for uniformly drawn goals, or the desired goals of a goal
        environment; random actions if None
    :param epsilon: probability of a random action of the agent. Random actions of a Box are repeated, 4 steps on average
    :param seed: seed of environments, goals and random actions
    :return: the dataset

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> collect_dataset(gym.make("leo/GridWorld-v0"), 300)
        GoalDataset(300 transitions, 2 episodes, 180 goals)
    """
    check_integer("num_steps", num_steps, 1)
    check_fraction("epsilon", epsilon)
    check_seed(seed)
    venv, goal_names = _with_goals(wrap_env(env), seed)
    if agent is not None:
        check_same_goals(tuple(getattr(agent, "goal_names", ())), goal_names, "an environment")
    set_random_seed(seed)
    venv.seed(seed)
    num_rows = -(-num_steps // venv.num_envs)
    arguments = (num_rows * venv.num_envs, venv.observation_space, venv.action_space, "cpu", venv.num_envs)
    buffer: GoalReplayBuffer | PointGoalReplayBuffer
    if goal_names:
        buffer = GoalReplayBuffer(*arguments, num_goals=len(goal_names))
    else:
        buffer = PointGoalReplayBuffer(*arguments)
    buffer.goal_names = goal_names
    actions = _random_actions(venv, 1.0 if agent is None else epsilon)
    obs: Any = venv.reset()
    for _ in range(num_rows):
        is_random, action = next(actions)
        if agent is not None:
            chosen, _ = agent.predict(obs, deterministic=True)
            action = np.where(is_random.reshape(-1, *[1] * (chosen.ndim - 1)), action, chosen)
        next_obs: Any
        next_obs, rewards, dones, infos = venv.step(action)
        buffer.add(
            obs, _before_resets(next_obs, dones, infos), scale_actions(action, venv.action_space), rewards, dones, infos
        )
        obs = next_obs
    return GoalDataset.from_replay_buffer(buffer)


def _with_goals(venv: VecEnv, seed: int) -> tuple[VecEnv, tuple[str, ...]]:
    """Return environments that command goals, and the names of the goals, none if they are points."""
    if has_point_goals(venv):
        return check_goal_env(venv), ()
    sampler = VecGoalSampler(venv, "uniform", on_success="switch", seed=seed)
    return sampler, tuple(sampler.goal_names)


def _random_actions(venv: VecEnv, epsilon: float) -> Iterator[tuple[npt.NDArray[np.bool_], npt.NDArray[Any]]]:
    """Yield in which environments to act randomly ``[N]``, and random actions."""
    space, num_envs = venv.action_space, venv.num_envs
    if isinstance(space, spaces.Discrete):
        while True:
            yield np.random.random(num_envs) < epsilon, space.start + np.random.randint(space.n, size=num_envs)
    if not isinstance(space, spaces.Box):
        raise ValueError(f"expected actions in Discrete or Box, got {space}; flatten them")
    repeated = RepeatedRandomActions(get_action_dim(space), _RANDOM_ACTION_REPEAT)
    while True:
        is_random = repeated.sample(num_envs, epsilon)
        yield is_random, unscale_actions(repeated.actions, space)


def _before_resets(next_obs: Any, dones: npt.NDArray[np.bool_], infos: Any) -> dict[str, npt.NDArray[Any]]:
    """Return the observations after the step, with those of finished episodes in place of the following reset's."""
    result = {key: np.array(array) for key, array in next_obs.items()}
    for row in np.flatnonzero(dones):
        for key, array in infos[row]["terminal_observation"].items():
            result[key][row] = array
    return result
