"""The goal as an input of the network, by a vector that describes it."""

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, CombinedExtractor
from stable_baselines3.common.type_aliases import TensorDict
from stable_baselines3.common.vec_env import VecEnv

from leo_agents.networks.map_extractor import MapExtractor, has_maps

GoalInput = Literal["descriptor", "one_hot"]


def choose_descriptors(venv: VecEnv, goal_input: GoalInput, descriptors: npt.ArrayLike | None) -> npt.ArrayLike | None:
    """
    What a network is to read of a goal.

    :param venv: multi-goal environments
    :param goal_input: the goal's ``"descriptor"``, or its number ``"one_hot"``
    :param descriptors: a vector per goal ``[num_goals, d]``; taken from the environment's goal set when None
    :return: the vectors; None for one-hot
    """
    if goal_input not in get_args(GoalInput):
        raise ValueError(f"expected goal_input to be one of {get_args(GoalInput)}, got {goal_input!r}")
    if goal_input == "one_hot" and descriptors is not None:
        raise ValueError('expected no descriptors beside goal_input="one_hot", got some; use goal_input="descriptor"')
    if goal_input == "one_hot" or descriptors is not None:
        return descriptors
    # The points first: unlike a goal set they can always be sent from another process.
    points = goal_points(venv)
    if points is not None:
        return points.astype(np.float32)
    if not venv.has_attr("goal_set"):
        raise ValueError(
            "expected an environment with a goal_set to describe its goals, got one without; "
            'pass descriptors, or goal_input="one_hot"'
        )
    return np.asarray(venv.get_attr("goal_set", 0)[0].descriptors, dtype=np.float32)


def goal_points(venv: VecEnv) -> npt.NDArray[Any] | None:
    """
    :param venv: multi-goal environments
    :return: the goals' points, where they have some
    """
    points = venv.get_attr("goal_points", 0)[0] if venv.has_attr("goal_points") else None
    return None if points is None else np.asarray(points)


class GoalDescriptorExtractor(BaseFeaturesExtractor):
    """
    SB3's ``CombinedExtractor`` for everything but the goal, beside the commanded goal's descriptor.

    Where the state has maps of class ids, a :class:`~leo_agents.networks.map_extractor.MapExtractor` reads it instead.

    :param observation_space: a flat Dict space with the commanded goal, ``Discrete``
    :param descriptors: a vector per goal ``[num_goals, d]``; one-hot when None
    :param goal_key: the observation's key of the commanded goal
    :param cnn_output_dim: number of features of each image
    :param normalized_image: whether images are scaled already, as in ``CombinedExtractor``

    Example::

        >>> import torch as th
        >>> from gymnasium import spaces
        >>> space = spaces.Dict({"observation": spaces.Box(0, 1, (2,)), "goal_id": spaces.Discrete(3)})
        >>> extractor = GoalDescriptorExtractor(space, descriptors=[[0.0], [0.5], [1.0]])
        >>> extractor({"observation": th.tensor([[0.1, 0.2]]), "goal_id": th.tensor([[0.0, 1.0, 0.0]])})
        tensor([[0.1000, 0.2000, 0.5000]])
    """

    descriptors: th.Tensor | None

    def __init__(
        self,
        observation_space: spaces.Dict,
        descriptors: npt.ArrayLike | None = None,
        goal_key: str = "goal_id",
        cnn_output_dim: int = 256,
        normalized_image: bool = False,
    ) -> None:
        goal_space = observation_space.spaces.get(goal_key) if isinstance(observation_space, spaces.Dict) else None
        if not isinstance(goal_space, spaces.Discrete):
            raise ValueError(
                f"expected a Dict observation space with a Discrete {goal_key!r}, got {observation_space}; "
                "wrap the environment with VecGoalSampler or GoalConditionedWrapper"
            )
        state_space = spaces.Dict({key: space for key, space in observation_space.spaces.items() if key != goal_key})
        state: BaseFeaturesExtractor = (
            MapExtractor(state_space)
            if has_maps(state_space)
            else CombinedExtractor(state_space, cnn_output_dim, normalized_image)
        )
        num_goals = int(goal_space.n)
        table = None if descriptors is None else th.as_tensor(descriptors, dtype=th.float32)
        if table is not None and (table.ndim != 2 or len(table) != num_goals):
            raise ValueError(
                f"expected descriptors of shape [{num_goals}, d], got {tuple(table.shape)}; give one row per goal"
            )
        super().__init__(observation_space, state.features_dim + (num_goals if table is None else table.shape[1]))
        self.goal_key = goal_key
        self.state_extractor = state
        self.register_buffer("descriptors", table)

    def forward(self, observations: TensorDict) -> th.Tensor:
        """
        :param observations: preprocessed by SB3, which makes the goal one-hot
        :return: features ``[batch, features_dim]``
        """
        goal = observations[self.goal_key].flatten(start_dim=1)
        if self.descriptors is not None:
            goal = self.descriptors[goal.argmax(dim=1)]
        return th.cat([self.state_extractor(observations), goal], dim=1)
