"""Goal-conditioned baselines: algorithms of Stable-Baselines3 with the commanded goal as an input of the network."""

from typing import Any, Literal, TypeVar, get_args

import gymnasium as gym
import numpy.typing as npt
from sb3_contrib import TQC
from stable_baselines3 import DQN, PPO, SAC, TD3
from stable_baselines3.common.buffers import DictReplayBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.vec_env import VecEnv, unwrap_vec_wrapper

from leo_agents.algorithms.env_wrapping import wrap_env
from leo_agents.baselines.all_goals_replay_buffer import AllGoalsReplayBuffer
from leo_agents.baselines.her_replay_buffer import MaskHerReplayBuffer
from leo_agents.baselines.policies import (
    GoalInputDQNPolicy,
    GoalInputPolicyMixin,
    GoalInputPPOPolicy,
    GoalInputSACPolicy,
    GoalInputTD3Policy,
    GoalInputTQCPolicy,
)
from leo_agents.baselines.relabeling import RelabelingReplayBuffer
from leo_agents.networks.goal_descriptors import GoalDescriptorExtractor, GoalInput, choose_descriptors, goal_points
from leo_wrappers.keys import DESIRED_GOAL_KEY, GOAL_KEY
from leo_wrappers.sb3 import VecGoalSampler
from leo_wrappers.selection import GoalSelectorLike
from leo_wrappers.validation import check_bool, check_choice

BufferName = Literal["plain", "her", "all_goals"]

ActorCritic = TypeVar("ActorCritic", bound=OffPolicyAlgorithm)

BUFFERS: dict[str, type[DictReplayBuffer]] = {
    "plain": DictReplayBuffer,
    "her": MaskHerReplayBuffer,
    "all_goals": AllGoalsReplayBuffer,
}
ACTOR_CRITIC_POLICIES: dict[type[OffPolicyAlgorithm], type[GoalInputPolicyMixin]] = {
    TD3: GoalInputTD3Policy,
    SAC: GoalInputSACPolicy,
    TQC: GoalInputTQCPolicy,
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
    Create a goal-conditioned DQN (UVFA): the Q-network reads the commanded goal and the state.

    The model is a plain ``stable_baselines3.DQN`` whose policy also has ``values`` and ``act``. Achieving the commanded goal
    terminates the episode; time limits bootstrap. Restore it with ``DQN.load``; pass ``env=goal_conditioned_venv(env)`` to
    continue training.

    :param env: a multi-goal environment, a vectorized one, or an id; or a goal-conditioned one with
        ``on_success="terminate"``
    :param goal_input: encode the goal as its ``"descriptor"`` or its id as ``"one_hot"``
    :param buffer: ``"plain"`` updates the commanded goal of each transition, ``"her"`` relabels in hindsight
        (:class:`~leo_agents.baselines.MaskHerReplayBuffer`), ``"all_goals"`` relabels with all goals
        (:class:`~leo_agents.baselines.AllGoalsReplayBuffer`); ``replay_buffer_kwargs`` are passed to the buffer
    :param descriptors: a vector per goal ``[num_goals, d]``; taken from the environment's goal set when None
    :param squash: keep the values in ``[0, 1]``, see :class:`~leo_agents.baselines.policies.GoalInputDQNPolicy`
    :param goal_selector: selects the commanded goals in training, as in :class:`~leo_wrappers.sb3.VecGoalSampler`; ``"seen"``
        when None
    :param dqn_kwargs: arguments of ``stable_baselines3.DQN``
    :return: the untrained model

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> model = goal_conditioned_dqn(gym.make("leo/GridWorld-v0"), buffer="her", seed=0).learn(200)
        >>> type(model).__name__, type(model.replay_buffer).__name__
        ('DQN', 'MaskHerReplayBuffer')
    """
    check_bool("squash", squash)
    venv = goal_conditioned_venv(env, goal_selector)
    kwargs = _goal_kwargs(venv, goal_input, buffer, descriptors, dqn_kwargs)
    kwargs["policy_kwargs"]["squash"] = squash
    return DQN(GoalInputDQNPolicy, venv, **kwargs)


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
    Create a goal-conditioned off-policy actor-critic for continuous actions: TD3, SAC or TQC.

    :param algorithm: the class of the algorithm, one of the three or a subclass
    :param env: as in :func:`goal_conditioned_dqn`
    :param goal_input: as in :func:`goal_conditioned_dqn`
    :param buffer: as in :func:`goal_conditioned_dqn`
    :param descriptors: as in :func:`goal_conditioned_dqn`
    :param goal_selector: as in :func:`goal_conditioned_dqn`
    :param kwargs: arguments of the class
    :return: the untrained model

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from stable_baselines3 import SAC
        >>> env = gym.make("leo/MountainCarContinuous-v0")
        >>> model = goal_conditioned_actor_critic(SAC, env, buffer="her", seed=0, learning_starts=50).learn(60)
        >>> type(model).__name__, type(model.replay_buffer).__name__
        ('SAC', 'MaskHerReplayBuffer')
    """
    bases = ACTOR_CRITIC_POLICIES.items()
    policies = [policy for base, policy in bases if isinstance(algorithm, type) and issubclass(algorithm, base)]
    if not policies:
        raise ValueError(f"expected TD3, SAC, TQC or a subclass, got {algorithm!r}; use the class directly")
    venv = goal_conditioned_venv(env, goal_selector)
    policy: Any = policies[0]
    return algorithm(policy, venv, **_goal_kwargs(venv, goal_input, buffer, descriptors, kwargs))


def goal_conditioned_ppo(
    env: GymEnv | str,
    *,
    goal_input: GoalInput = "descriptor",
    descriptors: npt.ArrayLike | None = None,
    goal_selector: GoalSelectorLike | None = None,
    **ppo_kwargs: Any,
) -> PPO:
    """
    Create a goal-conditioned PPO: policy and value function read the commanded goal and the state.

    The model is a plain ``stable_baselines3.PPO`` whose policy also has ``values`` and ``act``. Achieving the commanded goal
    terminates the episode; time limits bootstrap. Restore it with ``PPO.load``; pass ``env=goal_conditioned_venv(env)`` to
    continue training.

    :param env: a multi-goal environment, preferably a vectorized one, or an id; or a goal-conditioned one with
        ``on_success="terminate"``
    :param goal_input: encode the goal as its ``"descriptor"`` or its id as ``"one_hot"``
    :param descriptors: a vector per goal ``[num_goals, d]``; taken from the environment's goal set when None
    :param goal_selector: selects the commanded goals in training, as in :class:`~leo_wrappers.sb3.VecGoalSampler`; ``"seen"``
        when None
    :param ppo_kwargs: arguments of ``stable_baselines3.PPO``
    :return: the untrained model

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> envs = gym.make_vec("leo/GridWorld-v0", num_envs=8, autoreset_mode="SameStep")
        >>> type(goal_conditioned_ppo(envs, n_steps=16, batch_size=64, seed=0).learn(128)).__name__
        'PPO'
    """
    if "policy" in ppo_kwargs:
        raise ValueError("expected no policy, got one; choose the input with goal_input, or use PPO directly")
    venv = goal_conditioned_venv(env, goal_selector)
    policy_kwargs = _policy_kwargs(venv, goal_input, descriptors, ppo_kwargs.pop("policy_kwargs", None) or {})
    return PPO(GoalInputPPOPolicy, venv, policy_kwargs=policy_kwargs, **ppo_kwargs)


def goal_conditioned_venv(env: GymEnv | str, goal_selector: GoalSelectorLike | None = None, seed: int | None = None) -> VecEnv:
    """
    Wrap an environment for goal-conditioned baselines: achieving the commanded goal terminates the episode.

    :param env: a multi-goal environment, a vectorized one, or an id; or a goal-conditioned one with
        ``on_success="terminate"``
    :param goal_selector: selects the commanded goals; ``"seen"`` when None
    :param seed: seed of the goal selector
    :return: a vectorized environment with ``goal_id`` in its observation
    """
    venv = wrap_env(gym.make(env) if isinstance(env, str) else env)
    if GOAL_KEY not in getattr(venv.observation_space, "spaces", {}):
        return VecGoalSampler(venv, "seen" if goal_selector is None else goal_selector, on_success="terminate", seed=seed)
    if goal_selector is not None:
        raise ValueError(
            "expected an environment that is not goal-conditioned with goal_selector, got one with a selector of its own; "
            "leave out goal_selector or the wrapper"
        )
    sampler = unwrap_vec_wrapper(venv, VecGoalSampler)
    on_success = sampler.on_success if sampler is not None else venv.get_attr("on_success", 0)[0]
    if on_success != "terminate":
        raise ValueError(
            f'expected on_success="terminate", got {on_success!r}, which bootstraps the commanded goal after its success; '
            "pass the environment without the wrapper, or set on_success"
        )
    return venv


def _goal_kwargs(
    venv: VecEnv, goal_input: GoalInput, buffer: BufferName, descriptors: npt.ArrayLike | None, kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Add the descriptors and the replay buffer to the user's arguments."""
    check_choice("buffer", buffer, get_args(BufferName))
    conflicts = {"policy", "replay_buffer_class"} & set(kwargs)
    if conflicts:
        raise ValueError(
            f"expected no {sorted(conflicts)}, got some; choose with goal_input and buffer, or use the class directly"
        )
    buffer_kwargs = dict(kwargs.get("replay_buffer_kwargs") or {})
    if issubclass(BUFFERS[buffer], RelabelingReplayBuffer):
        buffer_kwargs.setdefault("goal_points", _observed_points(venv))
    return {
        **kwargs,
        "policy_kwargs": _policy_kwargs(venv, goal_input, descriptors, kwargs.get("policy_kwargs") or {}),
        "replay_buffer_class": BUFFERS[buffer],
        "replay_buffer_kwargs": buffer_kwargs,
    }


def _policy_kwargs(
    venv: VecEnv, goal_input: GoalInput, descriptors: npt.ArrayLike | None, policy_kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Add the descriptors to the user's policy arguments."""
    descriptors = choose_descriptors(venv, goal_input, descriptors)
    extractor_kwargs = {"descriptors": descriptors, **(policy_kwargs.get("features_extractor_kwargs") or {})}
    points = _observed_points(venv)
    return {
        "features_extractor_class": GoalDescriptorExtractor,
        **policy_kwargs,
        "features_extractor_kwargs": extractor_kwargs,
        "goal_names": tuple(venv.get_attr("goal_names", 0)[0]),
        "goal_points": None if points is None else points.tolist(),
    }


def _observed_points(venv: VecEnv) -> npt.NDArray[Any] | None:
    """Return the points of the goals if the observation contains the commanded one as ``desired_goal``, else None."""
    space, points = venv.observation_space.spaces.get(DESIRED_GOAL_KEY), goal_points(venv)  # type: ignore[attr-defined]
    return points if space is not None and points is not None and space.shape == points.shape[1:] else None
