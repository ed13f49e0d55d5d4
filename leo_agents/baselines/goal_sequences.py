"""DQN that reads a sequence of goals to achieve in order, learned in hindsight."""

from typing import Any

import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3 import DQN
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import GymEnv, TensorDict

from leo_agents.algorithms.env_wrapping import wrap_env
from leo_agents.algorithms.normalization import NormalizingOffPolicyAlgorithm
from leo_agents.baselines.policies import BoundedDQNPolicy
from leo_agents.baselines.sequence_replay_buffer import SequenceReplayBuffer, num_sequence_goals
from leo_agents.networks.goal_descriptors import GoalInput, check_table, choose_descriptors
from leo_agents.networks.policy_arguments import check_dict
from leo_agents.networks.state_network import default_extractor
from leo_agents.replay.buffer_arguments import check_buffer_names
from leo_wrappers.keys import SEQUENCE_KEY
from leo_wrappers.validation import check_bool


class GoalSequenceExtractor(BaseFeaturesExtractor):
    """
    Features extractor that concatenates the features of the state and the descriptors of the goals that are left, each with a
    1 behind it; a goal that is missing is zeros.

    :param observation_space: of a :class:`~leo_wrappers.GoalSequenceWrapper`
    :param descriptors: a vector per goal ``[num_goals, d]``; one-hot when None
    """

    table: th.Tensor

    def __init__(self, observation_space: spaces.Dict, descriptors: npt.ArrayLike | None = None) -> None:
        num_goals = num_sequence_goals(observation_space)
        rest = {key: space for key, space in observation_space.spaces.items() if key != SEQUENCE_KEY}
        states = spaces.Dict(rest)
        state: Any = default_extractor(states)(states)  # type: ignore[call-arg]
        rows = th.eye(num_goals) if descriptors is None else th.as_tensor(check_table("descriptors", descriptors, num_goals))
        table = th.nn.functional.pad(th.cat([rows.float(), th.ones(num_goals, 1)], dim=1), (0, 0, 0, 1))
        length = len(observation_space.spaces[SEQUENCE_KEY].nvec)  # type: ignore[attr-defined]
        super().__init__(observation_space, state.features_dim + length * table.shape[1])
        self.state_extractor = state
        self.register_buffer("table", table)

    def forward(self, observations: TensorDict) -> th.Tensor:
        """
        Extract the features.

        :param observations: observations preprocessed by SB3, with the goals as one-hot
        :return: features ``[batch, features_dim]``
        """
        one_hot = observations[SEQUENCE_KEY]
        goals = one_hot.view(len(one_hot), -1, len(self.table)) @ self.table
        return th.cat([self.state_extractor(observations), goals.flatten(start_dim=1)], dim=1)


class GoalSequenceDQN(NormalizingOffPolicyAlgorithm, DQN):
    """Stable-Baselines3's DQN for sequences of goals. Create it by :func:`goal_sequence_dqn`."""


def goal_sequence_dqn(
    env: GymEnv,
    *,
    goal_input: GoalInput = "descriptor",
    descriptors: npt.ArrayLike | None = None,
    squash: bool = True,
    normalize: bool = True,
    **dqn_kwargs: Any,
) -> GoalSequenceDQN:
    """
    Create a DQN whose command is a sequence of goals to achieve in order, relabeled in hindsight by
    :class:`~leo_agents.baselines.SequenceReplayBuffer`.

    The Q-network reads the state and the goals that are left. Completing the sequence terminates the episode; time limits
    bootstrap. ``predict`` takes observations of the environment.

    :param env: an environment with :class:`~leo_wrappers.GoalSequenceWrapper`, or several of them in a vectorized one
    :param goal_input: encode a goal as its ``"descriptor"`` or its id as ``"one_hot"``
    :param descriptors: a vector per goal ``[num_goals, d]``; taken from the environment's goal set when None
    :param squash: keep the values in ``[0, 1]``, see :class:`~leo_agents.baselines.policies.SquashedValuesMixin`
    :param normalize: standardize observations by running statistics, see
        :class:`~leo_agents.networks.normalization.ObservationNormalizer`
    :param dqn_kwargs: arguments of ``stable_baselines3.DQN``; ``replay_buffer_kwargs`` are passed to the buffer
    :return: the untrained model

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from leo_wrappers import GoalSequenceWrapper
        >>> env = GoalSequenceWrapper(gym.make("leo/GridWorld-v0"), max_length=3)
        >>> model = goal_sequence_dqn(env, seed=0, learning_starts=50).learn(60)
        >>> type(model.replay_buffer).__name__
        'SequenceReplayBuffer'
    """
    for name, flag in (("squash", squash), ("normalize", normalize)):
        check_bool(name, flag)
    conflicts = {"policy", "replay_buffer_class"} & set(dqn_kwargs)
    if conflicts:
        raise ValueError(f"expected no {sorted(conflicts)}, got some; leave them out, or use DQN directly")
    venv = wrap_env(env)
    num_sequence_goals(venv.observation_space)
    check_buffer_names(SequenceReplayBuffer, dqn_kwargs.get("replay_buffer_kwargs") or {})
    own_kwargs = dqn_kwargs.pop("policy_kwargs", None) or {}
    check_dict("policy_kwargs", own_kwargs)
    policy_kwargs = {
        "squash": squash,
        "normalize_observations": normalize,
        "features_extractor_class": GoalSequenceExtractor,
        **own_kwargs,
    }
    extractor_kwargs = policy_kwargs.get("features_extractor_kwargs") or {}
    descriptors = choose_descriptors(venv, goal_input, descriptors)
    policy_kwargs["features_extractor_kwargs"] = {"descriptors": descriptors, **extractor_kwargs}
    return GoalSequenceDQN(
        BoundedDQNPolicy, venv, policy_kwargs=policy_kwargs, replay_buffer_class=SequenceReplayBuffer, **dqn_kwargs
    )
