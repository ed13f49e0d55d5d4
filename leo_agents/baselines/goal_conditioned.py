"""Goal-conditioned baselines: algorithms of Stable-Baselines3 with the commanded goal as an input of the network."""

import inspect
from typing import Any, Literal, TypeVar, get_args

import gymnasium as gym
import numpy.typing as npt
from gymnasium import spaces
from sb3_contrib import TQC
from stable_baselines3 import DQN, PPO, SAC, TD3, HerReplayBuffer
from stable_baselines3.common.buffers import DictReplayBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.vec_env import VecEnv, unwrap_vec_wrapper

from leo_agents.algorithms.env_wrapping import wrap_env
from leo_agents.algorithms.goal_env import is_goal_env
from leo_agents.baselines.algorithms import NormalizedDQN, NormalizedPPO, with_normalization
from leo_agents.baselines.all_goals_replay_buffer import AllGoalsReplayBuffer
from leo_agents.baselines.her_replay_buffer import MaskHerReplayBuffer
from leo_agents.baselines.policies import (
    BoundedValuesMixin,
    GoalEnvSACPolicy,
    GoalEnvTD3Policy,
    GoalEnvTQCPolicy,
    GoalInputDQNPolicy,
    GoalInputPolicyMixin,
    GoalInputPPOPolicy,
    GoalInputSACPolicy,
    GoalInputTD3Policy,
    GoalInputTQCPolicy,
)
from leo_agents.baselines.relabeling import RelabelingReplayBuffer
from leo_agents.networks.goal_descriptors import GoalDescriptorExtractor, GoalInput, choose_descriptors, goal_points
from leo_agents.networks.policy_arguments import check_dict
from leo_agents.replay.buffer_arguments import check_buffer_names
from leo_wrappers.keys import ACHIEVED_GOAL_KEY, DESIRED_GOAL_KEY, GOAL_KEY
from leo_wrappers.sb3 import VecGoalSampler
from leo_wrappers.selection import GoalSelectorLike
from leo_wrappers.validation import check_bool, check_choice, check_fraction

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
GOAL_ENV_POLICIES: dict[type[OffPolicyAlgorithm], type[BoundedValuesMixin]] = {
    TD3: GoalEnvTD3Policy,
    SAC: GoalEnvSACPolicy,
    TQC: GoalEnvTQCPolicy,
}


def goal_conditioned_dqn(
    env: GymEnv | str,
    *,
    goal_input: GoalInput = "descriptor",
    buffer: BufferName = "plain",
    descriptors: npt.ArrayLike | None = None,
    squash: bool = True,
    normalize: bool = True,
    goal_selector: GoalSelectorLike | None = None,
    **dqn_kwargs: Any,
) -> DQN:
    """
    Create a goal-conditioned DQN (UVFA): the Q-network reads the commanded goal and the state.

    The model is a ``stable_baselines3.DQN`` whose policy normalizes its inputs and also has ``values`` and ``act``. Achieving
    the commanded goal terminates the episode; time limits bootstrap. Restore it with ``DQN.load``; to continue training, with
    ``NormalizedDQN.load(..., env=goal_conditioned_venv(env))``, which updates the statistics of the observations.

    :param env: a multi-goal environment, a vectorized one, or an id; or a goal-conditioned one with
        ``on_success="terminate"``
    :param goal_input: encode the goal as its ``"descriptor"`` or its id as ``"one_hot"``
    :param buffer: ``"plain"`` updates the commanded goal of each transition, ``"her"`` relabels in hindsight
        (:class:`~leo_agents.baselines.MaskHerReplayBuffer`), ``"all_goals"`` relabels with all goals
        (:class:`~leo_agents.baselines.AllGoalsReplayBuffer`); ``replay_buffer_kwargs`` are passed to the buffer
    :param descriptors: a vector per goal ``[num_goals, d]``; taken from the environment's goal set when None
    :param squash: keep the values in ``[0, 1]``, see :class:`~leo_agents.baselines.policies.GoalInputDQNPolicy`
    :param normalize: standardize observations and goals by running statistics, see
        :class:`~leo_agents.networks.normalization.ObservationNormalizer`
    :param goal_selector: selects the commanded goals in training, as in :class:`~leo_wrappers.sb3.VecGoalSampler`; ``"seen"``
        when None
    :param dqn_kwargs: arguments of ``stable_baselines3.DQN``
    :return: the untrained model

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> model = goal_conditioned_dqn(gym.make("leo/GridWorld-v0"), buffer="her", seed=0).learn(200)
        >>> type(model).__name__, type(model.replay_buffer).__name__
        ('NormalizedDQN', 'MaskHerReplayBuffer')
    """
    for name, flag in (("squash", squash), ("normalize", normalize)):
        check_bool(name, flag)
    venv = goal_conditioned_venv(env, goal_selector)
    options = {"squash": squash, "normalize_observations": normalize}
    return NormalizedDQN(GoalInputDQNPolicy, venv, **_goal_kwargs(venv, goal_input, buffer, descriptors, options, dqn_kwargs))


def goal_conditioned_actor_critic(
    algorithm: type[ActorCritic],
    env: GymEnv | str,
    *,
    goal_input: GoalInput = "descriptor",
    buffer: BufferName = "plain",
    descriptors: npt.ArrayLike | None = None,
    clip_targets: bool = False,
    normalize: bool = True,
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
    :param clip_targets: clip the values of the target critics to ``[0, 1]``, the range of possible returns
    :param normalize: as in :func:`goal_conditioned_dqn`
    :param goal_selector: as in :func:`goal_conditioned_dqn`
    :param kwargs: arguments of the class
    :return: the untrained model, an instance of a subclass of ``algorithm``

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from stable_baselines3 import SAC
        >>> env = gym.make("leo/MountainCarContinuous-v0")
        >>> model = goal_conditioned_actor_critic(SAC, env, buffer="her", seed=0, learning_starts=50).learn(60)
        >>> type(model).__name__, type(model.replay_buffer).__name__
        ('NormalizedSAC', 'MaskHerReplayBuffer')
    """
    policy = _policy_of(algorithm, ACTOR_CRITIC_POLICIES)
    for name, flag in (("clip_targets", clip_targets), ("normalize", normalize)):
        check_bool(name, flag)
    venv = goal_conditioned_venv(_continuous(wrap_env(gym.make(env) if isinstance(env, str) else env)), goal_selector)
    options = {"value_range": (0.0, 1.0) if clip_targets else None, "normalize_observations": normalize}
    kwargs = _goal_kwargs(venv, goal_input, buffer, descriptors, options, kwargs)
    return with_normalization(algorithm)(policy, venv, **kwargs)


def goal_env_actor_critic(
    algorithm: type[ActorCritic],
    env: GymEnv | str,
    *,
    clip_targets: bool = False,
    normalize: bool = True,
    **kwargs: Any,
) -> ActorCritic:
    """
    Create TD3, SAC or TQC with Stable-Baselines3's ``HerReplayBuffer`` for a goal environment and its own desired goals.

    The observation is a Dict of ``observation``, ``achieved_goal`` and ``desired_goal``; a set of goals is not needed.

    :param algorithm: the class of the algorithm, one of the three or a subclass
    :param env: a goal environment, a vectorized one, or an id
    :param clip_targets: clip the values of the target critics to ``[-1 / (1 - gamma), 0]``, the range of possible returns for
        rewards of -1 and 0, as in the HER paper
    :param normalize: as in :func:`goal_conditioned_dqn`
    :param kwargs: arguments of the class
    :return: the untrained model, an instance of a subclass of ``algorithm``

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from stable_baselines3 import TD3
        >>> model = goal_env_actor_critic(TD3, "leo/FetchReach-v0", seed=0, learning_starts=60).learn(60)
        >>> model.policy.normalizer.mean.shape
        torch.Size([13])
    """
    policy = _policy_of(algorithm, GOAL_ENV_POLICIES)
    for name, flag in (("clip_targets", clip_targets), ("normalize", normalize)):
        check_bool(name, flag)
    venv = _continuous(wrap_env(gym.make(env) if isinstance(env, str) else env))
    if not is_goal_env(venv):
        raise ValueError(
            f"expected observations with {ACHIEVED_GOAL_KEY!r} and {DESIRED_GOAL_KEY!r}, got {venv.observation_space}; use "
            "goal_conditioned_actor_critic for a finite goal set"
        )
    cls = with_normalization(algorithm)
    gamma = kwargs.get("gamma", inspect.signature(cls).parameters["gamma"].default)
    check_fraction("gamma", gamma)
    if kwargs.get("policy_kwargs") is not None:
        check_dict("policy_kwargs", kwargs["policy_kwargs"])
    value_range = (-1.0 / max(1.0 - gamma, 1e-6), 0.0) if clip_targets else None
    policy_kwargs = {
        "value_range": value_range,
        "normalize_observations": normalize,
        **(kwargs.pop("policy_kwargs", None) or {}),
    }
    return cls(policy, venv, policy_kwargs=policy_kwargs, **{"replay_buffer_class": HerReplayBuffer, **kwargs})


def goal_conditioned_ppo(
    env: GymEnv | str,
    *,
    goal_input: GoalInput = "descriptor",
    descriptors: npt.ArrayLike | None = None,
    normalize: bool = True,
    goal_selector: GoalSelectorLike | None = None,
    **ppo_kwargs: Any,
) -> PPO:
    """
    Create a goal-conditioned PPO: policy and value function read the commanded goal and the state.

    The model is a ``stable_baselines3.PPO`` whose policy normalizes its inputs and also has ``values`` and ``act``. Achieving
    the commanded goal terminates the episode; time limits bootstrap. Restore it with ``PPO.load``; to continue training, with
    ``NormalizedPPO.load(..., env=goal_conditioned_venv(env))``, which updates the statistics of the observations.

    :param env: a multi-goal environment, preferably a vectorized one, or an id; or a goal-conditioned one with
        ``on_success="terminate"``
    :param goal_input: encode the goal as its ``"descriptor"`` or its id as ``"one_hot"``
    :param descriptors: a vector per goal ``[num_goals, d]``; taken from the environment's goal set when None
    :param normalize: as in :func:`goal_conditioned_dqn`
    :param goal_selector: selects the commanded goals in training, as in :class:`~leo_wrappers.sb3.VecGoalSampler`; ``"seen"``
        when None
    :param ppo_kwargs: arguments of ``stable_baselines3.PPO``
    :return: the untrained model

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> envs = gym.make_vec("leo/GridWorld-v0", num_envs=8, autoreset_mode="SameStep")
        >>> type(goal_conditioned_ppo(envs, n_steps=16, batch_size=64, seed=0).learn(128)).__name__
        'NormalizedPPO'
    """
    if "policy" in ppo_kwargs:
        raise ValueError("expected no policy, got one; choose the input with goal_input, or use PPO directly")
    venv = goal_conditioned_venv(env, goal_selector)
    policy_kwargs = {"normalize_observations": normalize, **(ppo_kwargs.pop("policy_kwargs", None) or {})}
    policy_kwargs = _policy_kwargs(venv, goal_input, descriptors, policy_kwargs)
    return NormalizedPPO(GoalInputPPOPolicy, venv, policy_kwargs=policy_kwargs, **ppo_kwargs)


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


def _continuous(venv: VecEnv) -> VecEnv:
    """Raise a ValueError unless the actions are continuous, and return the environment."""
    if not isinstance(venv.action_space, spaces.Box):
        raise ValueError(f"expected continuous actions, a Box, got {venv.action_space}; use goal_conditioned_dqn or LEODQN")
    return venv


def _policy_of(algorithm: type[OffPolicyAlgorithm], policies: dict[type[OffPolicyAlgorithm], Any]) -> Any:
    """Return the policy class for an algorithm, by its base class."""
    for base, policy in policies.items():
        if isinstance(algorithm, type) and issubclass(algorithm, base):
            return policy
    raise ValueError(f"expected TD3, SAC, TQC or a subclass, got {algorithm!r}; use the class directly")


def _goal_kwargs(
    venv: VecEnv,
    goal_input: GoalInput,
    buffer: BufferName,
    descriptors: npt.ArrayLike | None,
    policy_options: dict[str, Any],
    kwargs: dict[str, Any],
) -> dict[str, Any]:
    check_choice("buffer", buffer, get_args(BufferName))
    return goal_input_kwargs(venv, goal_input, BUFFERS[buffer], descriptors, policy_options, kwargs)


def goal_input_kwargs(
    venv: VecEnv,
    goal_input: GoalInput,
    buffer_class: type[DictReplayBuffer],
    descriptors: npt.ArrayLike | None,
    policy_options: dict[str, Any],
    kwargs: dict[str, Any],
) -> dict[str, Any]:
    """
    Add options of the policy, the descriptors and the replay buffer to the user's arguments.

    :param venv: goal-conditioned environments
    :param goal_input: ``"descriptor"`` or ``"one_hot"``
    :param buffer_class: class of the replay buffer
    :param descriptors: a vector per goal; taken from the environment's goal set when None
    :param policy_options: arguments of the policy
    :param kwargs: the user's arguments of the algorithm
    :return: arguments of the algorithm
    """
    conflicts = {"policy", "replay_buffer_class"} & set(kwargs)
    if conflicts:
        raise ValueError(
            f"expected no {sorted(conflicts)}, got some; choose with goal_input and buffer, or use the class directly"
        )
    buffer_kwargs = dict(kwargs.get("replay_buffer_kwargs") or {})
    if issubclass(buffer_class, RelabelingReplayBuffer):
        buffer_kwargs.setdefault("goal_points", _observed_points(venv))
    check_buffer_names(buffer_class, buffer_kwargs)
    return {
        **kwargs,
        "policy_kwargs": _policy_kwargs(
            venv, goal_input, descriptors, {**policy_options, **(kwargs.get("policy_kwargs") or {})}
        ),
        "replay_buffer_class": buffer_class,
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
