"""Goal descriptors: the commanded goal as an input of the network."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, CombinedExtractor
from stable_baselines3.common.type_aliases import TensorDict
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv

from leo_agents.networks.map_extractor import MapExtractor, has_maps
from leo_wrappers.keys import GOAL_KEY
from leo_wrappers.validation import check_choice, float_array, shorten

GoalInput = Literal["descriptor", "one_hot"]
Descriptors = npt.NDArray[np.float32]


def choose_descriptors(venv: VecEnv, goal_input: GoalInput, descriptors: npt.ArrayLike | None) -> npt.ArrayLike | None:
    """
    Return the goal descriptors that the network reads.

    :param venv: multi-goal environment
    :param goal_input: encode the goal as its ``"descriptor"`` or its id as ``"one_hot"``
    :param descriptors: a vector per goal ``[num_goals, d]``; taken from the environment's goal set when None
    :return: descriptors ``[num_goals, d]``, or None for one-hot
    """
    check_choice("goal_input", goal_input, get_args(GoalInput))
    if goal_input == "one_hot" and descriptors is not None:
        raise ValueError('expected no descriptors with goal_input="one_hot", got some; use goal_input="descriptor"')
    if goal_input == "one_hot":
        return None
    if descriptors is not None:
        float_array("descriptors", descriptors)
        return descriptors
    # Prefer the points: unlike a goal set, an array can always be sent from a subprocess.
    points = goal_points(venv)
    if points is not None:
        return points.astype(np.float32)
    if not venv.has_attr("goal_set"):
        raise ValueError(
            "expected an environment with a goal_set, which provides the descriptors, got one without; "
            'pass descriptors, or goal_input="one_hot"'
        )
    return np.asarray(venv.get_attr("goal_set", 0)[0].descriptors, dtype=np.float32)


def find_descriptors(venv: VecEnv) -> Descriptors | None:
    """
    Return the descriptors of an environment's goals, if they have any that say how the goals are related.

    :param venv: multi-goal environment
    :return: descriptors ``[num_goals, d]``; None if there are none, or only one-hot vectors
    """
    points = goal_points(venv)
    if points is not None:
        return points.astype(np.float32)
    # A goal set that cannot be pickled would end the worker process that is asked for it.
    if isinstance(venv.unwrapped, SubprocVecEnv) or not venv.has_attr("goal_set"):
        return None
    table = np.asarray(venv.get_attr("goal_set", 0)[0].descriptors, dtype=np.float32)
    return None if np.array_equal(table, np.eye(len(table))) else table


def check_descriptors(goals: Any, ndim: int, known: Descriptors) -> Descriptors:
    """
    Convert descriptors to an array; raise a ``ValueError`` for other shapes, NaN, infinity, and goals far from the known ones.

    :param goals: a descriptor, or several
    :param ndim: 1 for a descriptor ``[d]``, 2 for several ``[K, d]``
    :param known: descriptors of the model's own goals ``[G, d]``
    :return: float32 ``[d]`` or ``[K, d]``
    """
    array, size = float_array("goals", goals).astype(np.float32), known.shape[1]
    if array.ndim != ndim or array.shape[-1] != size:
        expected = f"a descriptor of {size} numbers" if ndim == 1 else f"descriptors of shape [K, {size}]"
        raise ValueError(f"expected {expected}, got an array of shape {array.shape}; pass goals like those of the goal set")
    # The goals of the training may be those of a part of the space; much farther away, the units are wrong.
    margin = 2.0 * (known.max(axis=0) - known.min(axis=0))
    low, high = known.min(axis=0) - margin, known.max(axis=0) + margin
    outside = ((array < low) | (array > high)).any(axis=-1)
    if outside.any():
        raise ValueError(
            f"expected goals between {shorten(low.tolist())} and {shorten(high.tolist())}, around those of the training, got "
            f"{shorten(array[outside].tolist() if ndim == 2 else array.tolist())}; use the units of the goal set"
        )
    return array


def descriptor_error(goals: Any, goal_names: Sequence[str], known: Descriptors | None) -> ValueError:
    """
    Return the error for descriptors that were given to a model whose goals are indices; it names the nearest of its goals.

    :param goals: a descriptor, or several
    :param goal_names: names of the model's goals
    :param known: their descriptors ``[G, d]``, None if they have none
    :return: the error
    """
    array = float_array("goals", goals)
    nearest = "see goal_names"
    if known is not None and array.shape[-1:] == known.shape[1:] and array.size:
        first = array.reshape(-1, known.shape[1])[0]
        nearest = f"the nearest to {first.tolist()} is {goal_names[int(((known - first) ** 2).sum(axis=1).argmin())]!r}"
    return ValueError(
        f"expected names or indices of the {len(goal_names)} goals of the model, got {shorten(goals)}; {nearest}. LEODQN and "
        'LEOPQN with head="factored" or "quasimetric" also take descriptors'
    )


def goal_points(venv: VecEnv) -> npt.NDArray[Any] | None:
    """
    Return the points of the goals.

    :param venv: multi-goal environment
    :return: points ``[num_goals, d]``, or None if the goals have none
    """
    points = venv.get_attr("goal_points", 0)[0] if venv.has_attr("goal_points") else None
    return None if points is None else np.asarray(points)


def num_discrete_goals(observation_space: spaces.Space[Any]) -> int:
    """
    Return the number of goals of a goal-conditioned observation space.

    :param observation_space: a flat Dict space with the commanded goal, ``Discrete``
    :return: number of goals
    """
    goal_space = observation_space.spaces.get(GOAL_KEY) if isinstance(observation_space, spaces.Dict) else None
    if not isinstance(goal_space, spaces.Discrete):
        raise ValueError(
            f"expected a Dict observation space with a Discrete {GOAL_KEY!r}, got {observation_space}; "
            "wrap the environment with VecGoalSampler or GoalConditionedWrapper"
        )
    return int(goal_space.n)


def check_table(name: str, table: npt.ArrayLike, num_goals: int) -> npt.NDArray[np.float64]:
    """
    Convert a table with one row per goal to an array; raise a ``ValueError`` for other shapes, NaN and infinity.

    :param name: name of the argument
    :param table: a vector per goal
    :param num_goals: number of goals, G
    :return: float64 ``[G, d]``
    """
    array = float_array(name, table)
    if array.ndim != 2 or len(array) != num_goals:
        raise ValueError(f"expected {name} of shape [{num_goals}, d], got {array.shape}; give one row per goal")
    return array


class GoalDescriptorExtractor(BaseFeaturesExtractor):
    """
    Features extractor that concatenates the features of the state and the descriptor of the commanded goal.

    The state is read by SB3's ``CombinedExtractor``, or by :class:`~leo_agents.networks.map_extractor.MapExtractor` if it
    contains maps of class ids.

    :param observation_space: a flat Dict space with the commanded goal, ``Discrete``
    :param descriptors: a vector per goal ``[num_goals, d]``; one-hot when None
    :param cnn_output_dim: number of features of each image
    :param normalized_image: whether images are already scaled to ``[0, 1]``, as in ``CombinedExtractor``

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
        cnn_output_dim: int = 256,
        normalized_image: bool = False,
    ) -> None:
        num_goals = num_discrete_goals(observation_space)
        state_space = spaces.Dict({key: space for key, space in observation_space.spaces.items() if key != GOAL_KEY})
        state: BaseFeaturesExtractor = (
            MapExtractor(state_space)
            if has_maps(state_space)
            else CombinedExtractor(state_space, cnn_output_dim, normalized_image)
        )
        if not state_space.spaces:
            raise ValueError(f"expected observations of more than the goal, got {observation_space}; add the state")
        table = None if descriptors is None else th.as_tensor(check_table("descriptors", descriptors, num_goals)).float()
        super().__init__(observation_space, state.features_dim + (num_goals if table is None else table.shape[1]))
        self.state_extractor = state
        self.register_buffer("descriptors", table)

    def forward(self, observations: TensorDict) -> th.Tensor:
        """
        Extract the features.

        :param observations: observations preprocessed by SB3, with the goal as one-hot
        :return: features ``[batch, features_dim]``
        """
        goal = observations[GOAL_KEY].flatten(start_dim=1)
        if self.descriptors is not None:
            goal = self.descriptors[goal.argmax(dim=1)]
        return th.cat([self.state_extractor(observations), goal], dim=1)
