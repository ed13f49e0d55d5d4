"""Stable-Baselines3's own algorithms with the goal among the inputs: the baselines, with or without relabelling."""

from typing import Any, Literal, TypeVar, get_args

import gymnasium as gym
import numpy.typing as npt
from gymnasium.vector import VectorEnv
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import DictReplayBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.vec_env import VecEnv

from leo_agents.algorithms.goal_algorithm import find_sampler
from leo_agents.baselines.all_goals_replay_buffer import AllGoalsReplayBuffer
from leo_agents.baselines.her_replay_buffer import MaskHerReplayBuffer
from leo_agents.baselines.policies import SquashedMultiInputPolicy
from leo_agents.baselines.relabelling import RelabellingReplayBuffer
from leo_agents.networks.goal_descriptors import GoalDescriptorExtractor, GoalInput, choose_descriptors, goal_points
from leo_wrappers.keys import DESIRED_GOAL_KEY, GOAL_KEY
from leo_wrappers.sb3 import GymVecEnv, VecGoalSampler
from leo_wrappers.selection import GoalSelectorLike

BufferName = Literal["plain", "her", "all_goals"]

ActorCritic = TypeVar("ActorCritic", bound=OffPolicyAlgorithm)

BUFFERS: dict[str, type[DictReplayBuffer]] = {
    "plain": DictReplayBuffer,
    "her": MaskHerReplayBuffer,
    "all_goals": AllGoalsReplayBuffer,
}


def goal_conditioned_dqn(
    env: GymEnv | str,
    *,
    goal_input: GoalInput = "descriptor",
    buffer: BufferName = "plain",
    descriptors: npt.ArrayLike | None = None,
    squash: bool = True,
    goal_selector: GoalSelectorLike | None = None,
    **dqn_kwargs: Any,
) -> DQN:
    """
    A universal value function approximator: DQN whose network reads the commanded goal beside the state.

    The result is an ordinary ``stable_baselines3.DQN``. Reaching the commanded goal ends its episode; time limits bootstrap.
    ``DQN.load`` restores it; to train on, give it ``env=goal_conditioned_venv(env)``.

    :param env: a multi-goal environment, a vector of them, or an id; or one that is goal-conditioned already, with
        ``on_success="terminate"``
    :param goal_input: give the network the goal's ``"descriptor"``, or its number ``"one_hot"``
    :param buffer: ``"plain"`` learns from each transition about the commanded goal, ``"her"`` relabels by hindsight
        (:class:`~leo_agents.baselines.MaskHerReplayBuffer`), ``"all_goals"`` with every goal
        (:class:`~leo_agents.baselines.AllGoalsReplayBuffer`); ``replay_buffer_kwargs`` goes to it
    :param descriptors: a vector per goal ``[num_goals, d]``; taken from the environment's goal set when None
    :param squash: keep the values in ``[0, 1]``, see :class:`~leo_agents.baselines.policies.SquashedMultiInputPolicy`; False
        leaves the network of Stable-Baselines3 as it is
    :param goal_selector: how goals are commanded in training, as in :class:`~leo_wrappers.sb3.VecGoalSampler`; ``"seen"`` when
        None
    :param dqn_kwargs: arguments of ``stable_baselines3.DQN``
    :return: the model, not trained yet

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> model = goal_conditioned_dqn(gym.make("leo/GridWorld-v0"), buffer="her", seed=0).learn(200)
        >>> type(model).__name__, type(model.replay_buffer).__name__
        ('DQN', 'MaskHerReplayBuffer')
    """
    venv = goal_conditioned_venv(env, goal_selector)
    kwargs = _goal_kwargs(venv, goal_input, buffer, descriptors, dqn_kwargs)
    return DQN(SquashedMultiInputPolicy if squash else "MultiInputPolicy", venv, **kwargs)


def goal_conditioned_actor_critic(
    algorithm: type[ActorCritic],
    env: GymEnv | str,
    *,
    goal_input: GoalInput = "descriptor",
    buffer: BufferName = "plain",
    descriptors: npt.ArrayLike | None = None,
    goal_selector: GoalSelectorLike | None = None,
    **kwargs: Any,
) -> ActorCritic:
    """
    The same for continuous actions: TD3, SAC or another of their kind whose networks read the commanded goal.

    :param algorithm: the class
    :param env: as in :func:`goal_conditioned_dqn`
    :param goal_input: as in :func:`goal_conditioned_dqn`
    :param buffer: as in :func:`goal_conditioned_dqn`
    :param descriptors: as in :func:`goal_conditioned_dqn`
    :param goal_selector: as in :func:`goal_conditioned_dqn`
    :param kwargs: arguments of the class
    :return: the model, not trained yet

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from stable_baselines3 import SAC
        >>> env = gym.make("leo/MountainCarContinuous-v0")
        >>> model = goal_conditioned_actor_critic(SAC, env, buffer="her", seed=0, learning_starts=50).learn(60)
        >>> type(model).__name__, type(model.replay_buffer).__name__
        ('SAC', 'MaskHerReplayBuffer')
    """
    venv = goal_conditioned_venv(env, goal_selector)
    return algorithm("MultiInputPolicy", venv, **_goal_kwargs(venv, goal_input, buffer, descriptors, kwargs))


def goal_conditioned_ppo(
    env: GymEnv | str,
    *,
    goal_input: GoalInput = "descriptor",
    descriptors: npt.ArrayLike | None = None,
    goal_selector: GoalSelectorLike | None = None,
    **ppo_kwargs: Any,
) -> PPO:
    """
    PPO whose policy and values read the commanded goal beside the state.

    The result is an ordinary ``stable_baselines3.PPO``. Reaching the commanded goal ends its episode; time limits bootstrap.
    ``PPO.load`` restores it; to train on, give it ``env=goal_conditioned_venv(env)``.

    :param env: multi-goal environments, best a vector of many; or some that are goal-conditioned already, with
        ``on_success="terminate"``
    :param goal_input: give the networks the goal's ``"descriptor"``, or its number ``"one_hot"``
    :param descriptors: a vector per goal ``[num_goals, d]``; taken from the environment's goal set when None
    :param goal_selector: how goals are commanded in training, as in :class:`~leo_wrappers.sb3.VecGoalSampler`; ``"seen"`` when
        None
    :param ppo_kwargs: arguments of ``stable_baselines3.PPO``
    :return: the model, not trained yet

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> envs = gym.make_vec("leo/GridWorld-v0", num_envs=8, autoreset_mode="SameStep")
        >>> type(goal_conditioned_ppo(envs, n_steps=16, batch_size=64, seed=0).learn(128)).__name__
        'PPO'
    """
    if "policy" in ppo_kwargs:
        raise ValueError("expected no policy, got one; choose by goal_input, or use PPO directly")
    venv = goal_conditioned_venv(env, goal_selector)
    policy_kwargs = _policy_kwargs(venv, goal_input, descriptors, ppo_kwargs.pop("policy_kwargs", None) or {})
    return PPO("MultiInputPolicy", venv, policy_kwargs=policy_kwargs, **ppo_kwargs)


def goal_conditioned_venv(env: GymEnv | str, goal_selector: GoalSelectorLike | None = None, seed: int | None = None) -> VecEnv:
    """
    The environment as DQN and PPO must see it: one commanded goal at a time, whose success ends the episode.

    :param env: a multi-goal environment, a vector of them, or an id; or one that is goal-conditioned already
    :param goal_selector: how goals are commanded; ``"seen"`` when None
    :param seed: seeds the selector
    :return: a vector environment with ``goal_id`` in its observation
    """
    if isinstance(env, VectorEnv):
        env = GymVecEnv(env)
    venv = BaseAlgorithm._wrap_env(gym.make(env) if isinstance(env, str) else env)
    if GOAL_KEY not in getattr(venv.observation_space, "spaces", {}):
        return VecGoalSampler(venv, "seen" if goal_selector is None else goal_selector, on_success="terminate", seed=seed)
    if goal_selector is not None:
        raise ValueError("expected a bare multi-goal environment with goal_selector, got one whose goals are chosen already")
    sampler = find_sampler(venv)
    on_success = sampler.on_success if sampler is not None else venv.get_attr("on_success", 0)[0]
    if on_success != "terminate":
        raise ValueError(
            f'expected on_success="terminate", got {on_success!r}: the values belong to one goal and must end with it; '
            "pass the bare environment, or wrap it that way"
        )
    return venv


def _goal_kwargs(
    venv: VecEnv, goal_input: GoalInput, buffer: BufferName, descriptors: npt.ArrayLike | None, kwargs: dict[str, Any]
) -> dict[str, Any]:
    """The user's arguments with the goals' descriptors and the buffer among them."""
    if buffer not in BUFFERS:
        raise ValueError(f"expected buffer to be one of {get_args(BufferName)}, got {buffer!r}")
    refused = {"policy", "replay_buffer_class"} & set(kwargs)
    if refused:
        raise ValueError(f"expected no {sorted(refused)}, got some; choose by goal_input and buffer, or use the class itself")
    buffer_kwargs = dict(kwargs.get("replay_buffer_kwargs") or {})
    if issubclass(BUFFERS[buffer], RelabellingReplayBuffer):
        buffer_kwargs.setdefault("goal_points", _shown_points(venv))
    return {
        **kwargs,
        "policy_kwargs": _policy_kwargs(venv, goal_input, descriptors, kwargs.get("policy_kwargs") or {}),
        "replay_buffer_class": BUFFERS[buffer],
        "replay_buffer_kwargs": buffer_kwargs,
    }


def _policy_kwargs(
    venv: VecEnv, goal_input: GoalInput, descriptors: npt.ArrayLike | None, policy_kwargs: dict[str, Any]
) -> dict[str, Any]:
    """The user's arguments of the policy with the goals' descriptors among them."""
    descriptors = choose_descriptors(venv, goal_input, descriptors)
    extractor_kwargs = {"descriptors": descriptors, **(policy_kwargs.get("features_extractor_kwargs") or {})}
    return {
        "features_extractor_class": GoalDescriptorExtractor,
        **policy_kwargs,
        "features_extractor_kwargs": extractor_kwargs,
    }


def _shown_points(venv: VecEnv) -> npt.NDArray[Any] | None:
    """The goals' points, if the observation shows the commanded one."""
    space, points = venv.observation_space.spaces.get(DESIRED_GOAL_KEY), goal_points(venv)  # type: ignore[attr-defined]
    return points if space is not None and points is not None and space.shape == points.shape[1:] else None
