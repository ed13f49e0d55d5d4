"""Policies stored as data: classes by name, spaces and settings as JSON, weights as tensors. Loading runs no saved code."""

import base64
import importlib
import io
import json
import pickle
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.utils import get_device
from torch.utils._python_dispatch import TorchDispatchMode

from leo_agents.learning.archive_size import check_archive_size
from leo_agents.networks.policies import GoalPolicyMixin, Observation, expected_steps
from leo_wrappers.goal_set import Goal
from leo_wrappers.validation import check_fraction, check_instance, check_path

FORMAT = 1
"""Version of the description, increased whenever descriptions written before can no longer be read."""

_ATTRIBUTE = "policy_json"
_SB3_LAYERS = "stable_baselines3.common.torch_layers"
# Only these classes are looked up by name.
_POLICIES = {
    "LEODQNPolicy": "leo_agents.leo_dqn.policies",
    "LEOPQNPolicy": "leo_agents.leo_pqn.policies",
    **dict.fromkeys(("LEOTD3Policy", "LEOTD3PointPolicy"), "leo_agents.leo_td3.policies"),
    **dict.fromkeys(("LEOSACPolicy", "LEOSACPointPolicy"), "leo_agents.leo_sac.policies"),
    "PQNPolicy": "leo_agents.baselines.pqn.policies",
    "DualLEOPQNPolicy": "leo_agents.dual_leo.policies",
    "DualLEOPPOPolicy": "leo_agents.dual_leo.policies",
    **{f"GoalInput{name}Policy": "leo_agents.baselines.policies" for name in ("DQN", "PPO", "TD3", "SAC", "TQC")},
}
_COMPONENTS = {
    **dict.fromkeys(("FlattenExtractor", "NatureCNN", "CombinedExtractor"), _SB3_LAYERS),
    "MapExtractor": "leo_agents.networks.map_extractor",
    "GoalDescriptorExtractor": "leo_agents.networks.goal_descriptors",
    **dict.fromkeys(
        ("ReLU", "LeakyReLU", "ELU", "SELU", "GELU", "SiLU", "Mish", "Tanh", "Sigmoid", "Softplus", "Identity"), "torch.nn"
    ),
}
# New tensors while a policy is created, as a multiple of its weights.
_MAX_ALLOCATED, _MIN_LIMIT = 4, 64 * 2**20
# Errors of reading an archive and its content that is damaged, or none.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    json.JSONDecodeError,
    UnicodeDecodeError,
    pickle.UnpicklingError,
    EOFError,
    KeyError,
    TypeError,
    AttributeError,
    NotImplementedError,
    RuntimeError,
)
# Arguments that only training needs.
_TRAINING_ARGUMENTS = ("lr_schedule", "optimizer_class", "optimizer_kwargs")


class PickledPolicyError(ValueError):
    """A policy cannot be loaded as data, because its file only contains it as a pickle."""


class PolicyAgent:
    """
    A trained policy with its discount factor: everything that evaluation needs, without training.

    :param policy: the policy
    :param gamma: discount factor of its values

    Example::

        >>> import gymnasium as gym, leo_envs, tempfile
        >>> from leo_agents import LEODQN
        >>> env = gym.make("leo/GridWorld-v0")
        >>> path = tempfile.mkdtemp() + "/model.zip"
        >>> LEODQN("MultiGoalPolicy", env, seed=0).save(path)
        >>> agent = load_policy(path)
        >>> agent.values(env.reset(seed=0)[0]).shape
        (1, 180)
    """

    def __init__(self, policy: GoalPolicyMixin, gamma: float) -> None:
        check_instance("policy", policy, GoalPolicyMixin, "pass model.policy")
        check_fraction("gamma", gamma)
        self.policy, self.gamma = policy, gamma
        self.goal_names = policy.goal_names
        self.observation_space, self.action_space = policy.observation_space, policy.action_space

    @property
    def device(self) -> th.device:
        """Device of the networks."""
        return self.policy.device

    @property
    def q_values(self) -> Any:
        """The policy's ``q_values``, a function of the observation; an ``AttributeError`` if it has none."""
        return self.policy.q_values

    def predict(
        self, observation: Observation, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[npt.NDArray[Any], Any]:
        """
        Get the actions for the commanded goals, see Stable-Baselines3.

        :param observation: observations with ``goal_id``
        :param state: returned as it is
        :param episode_start: not used
        :param deterministic: whether to return deterministic actions
        :return: the actions and the state
        """
        return self.policy.predict(observation, state, episode_start, deterministic)

    def act(self, observation: Observation, goal: Goal | npt.ArrayLike) -> Any:
        """
        Get the deterministic action for a goal.

        :param observation: a single observation; a commanded goal in it is ignored
        :param goal: name or index; or the descriptor of any goal, such as its point, if the policy takes descriptors
        :return: the action, an int for discrete actions
        """
        return self.policy.act(observation, goal)

    def values(self, observation: Observation, goals: npt.ArrayLike | None = None) -> npt.NDArray[np.float32]:
        """
        Compute V_g(s) of all goals, or of any goals by descriptor.

        :param observation: an observation, or a batch of them
        :param goals: descriptors ``[K, d]``, such as points, if the policy takes them
        :return: ``[B, G]`` or ``[B, K]``
        """
        return self.policy.values(observation, goals)

    def expected_steps(self, observation: Observation, goals: npt.ArrayLike | None = None) -> npt.NDArray[np.float32]:
        """
        Convert the values to numbers of steps.

        :param observation: an observation, or a batch of them
        :param goals: see :meth:`values`
        :return: ``[B, G]`` or ``[B, K]``, infinite where the value is 0
        """
        return expected_steps(self.values(observation, goals), self.gamma)


def attach_policy_data(model: BaseAlgorithm) -> None:
    """
    Let ``model.save`` also write a description of the policy, from which :func:`load_policy` creates it again.

    :param model: a model of this library or of :mod:`leo_agents.baselines`
    """
    policy = model.policy
    try:
        arguments = policy._get_constructor_parameters()
        described = {name: _encode(value, name) for name, value in arguments.items() if name not in _TRAINING_ARGUMENTS}
        name = _class_name(type(policy), _POLICIES, "policy")
        description = {"policy": name, "arguments": described, "gamma": float(getattr(model, "gamma", 1.0))}
    except PickledPolicyError as error:
        description = {"pickled": str(error)}
    # Text: Stable-Baselines3 saves attributes as indented JSON.
    setattr(model, _ATTRIBUTE, json.dumps({"format": FORMAT, **description}))


def why_pickled(path: str | PathLike[str]) -> str | None:
    """
    Return why a policy cannot be loaded as data, None if it can.

    :param path: file written by ``save``
    :return: the reason, such as ``"features_extractor_class is my_module.MyExtractor"``
    """
    check_path("path", path)
    with _named_errors(path), open(path, "rb") as file, zipfile.ZipFile(file) as archive:
        check_archive_size(archive, path)
        try:
            _read_description(archive)
        except PickledPolicyError as error:
            return str(error)
    return None


def load_policy(path: str | PathLike[str], device: th.device | str = "auto") -> PolicyAgent:
    """
    Load the policy of a saved model without unpickling anything.

    Only classes of this library, of Stable-Baselines3 and of PyTorch that are in a fixed list are created.

    :param path: file written by ``save``
    :param device: device of the networks
    :return: the agent
    :raises PickledPolicyError: if the policy has classes or settings that are not in the list
    """
    check_path("path", path)
    with _named_errors(path):
        return _load_policy(path, device)


def _load_policy(path: str | PathLike[str], device: th.device | str) -> PolicyAgent:
    with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
        check_archive_size(archive, path)
        description = _read_description(archive)
        weights = _read_weights(archive, path)
    policy_class = _find_class(description["policy"], _POLICIES)
    arguments = {name: _decode(value) for name, value in description["arguments"].items()}
    arguments["lr_schedule"] = lambda progress: 0.0
    with _MemoryLimit(_MAX_ALLOCATED * sum(tensor.nbytes for tensor in weights.values()) + _MIN_LIMIT, path):
        policy = policy_class(**arguments)
    policy.load_state_dict(weights)
    policy.set_training_mode(False)
    return PolicyAgent(policy.to(get_device(device)), float(description["gamma"]))


@contextmanager
def _named_errors(path: str | PathLike[str]) -> Iterator[None]:
    """Name the file in the errors of reading a damaged archive, which are of many types."""
    try:
        yield
    except _DAMAGE as error:
        raise ValueError(f"expected a saved model, got {path}, which is none ({error}); check the path") from error


def _read_description(archive: zipfile.ZipFile) -> dict[str, Any]:
    data = json.loads(archive.read("data"))
    if not isinstance(data.get(_ATTRIBUTE), str):
        raise PickledPolicyError("it has no description of its policy as data")
    description: dict[str, Any] = json.loads(data[_ATTRIBUTE])
    if description["format"] != FORMAT:
        raise PickledPolicyError(f"the description of its policy has format {description['format']} instead of {FORMAT}")
    if "pickled" in description:
        raise PickledPolicyError(str(description["pickled"]))
    return description


def _read_weights(archive: zipfile.ZipFile, path: str | PathLike[str]) -> dict[str, th.Tensor]:
    content = io.BytesIO(archive.read("policy.pth"))
    with zipfile.ZipFile(content) as inner:
        check_archive_size(inner, path)
    content.seek(0)
    weights: dict[str, th.Tensor] = th.load(content, map_location="cpu", weights_only=True)
    # A view can have more elements than its storage. Statistics of observations are shared by up to five parts of a policy.
    if sum(tensor.nbytes for tensor in weights.values()) > 5 * len(content.getbuffer()):
        raise ValueError(f"expected weights as large as their file, got larger ones in {path}; do not use the file")
    return weights


class _MemoryLimit(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Context that limits the size of new tensors: settings could ask for networks much larger than the saved weights."""

    def __init__(self, limit: int, path: str | PathLike[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.left, self.path = limit, path

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, th.Tensor) and not any(isinstance(one, th.Tensor) for one in args):
            # Memory that was not written to yet takes no space.
            self.left -= result.nbytes
            if self.left < 0:
                raise ValueError(
                    f"expected settings of a policy no larger than its weights, got larger ones in {self.path}; do not use it"
                )
        return result


def _encode(value: Any, name: str) -> Any:
    """Convert an argument to JSON. Everything but numbers, texts and lists becomes a dictionary with one key, its type."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case np.generic():
            return value.item()
        case list():
            return [_encode(one, name) for one in value]
        case tuple():
            return {"tuple": [_encode(one, name) for one in value]}
        case spaces.Dict():
            return {"Dict": {key: _encode(space, name) for key, space in value.spaces.items()}}
        case Mapping() if all(isinstance(key, str) for key in value):
            return {"dict": {key: _encode(one, key) for key, one in value.items() if key not in _TRAINING_ARGUMENTS}}
        case np.ndarray() if value.dtype.kind in "biuf":
            content = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
            return {"array": [value.dtype.str, list(value.shape), content]}
        case type():
            return {"class": _class_name(value, _COMPONENTS, name)}
    return _encode_space(value, name)


def _encode_space(value: Any, name: str) -> dict[str, Any]:
    if type(value) is spaces.Box:
        return {"Box": [_encode(value.low, name), _encode(value.high, name), np.dtype(value.dtype).str]}
    if type(value) is spaces.Discrete:
        return {"Discrete": [int(value.n), int(value.start), np.dtype(value.dtype).str]}
    if type(value) is spaces.MultiDiscrete:
        return {"MultiDiscrete": [_encode(value.nvec, name), _encode(value.start, name), np.dtype(value.dtype).str]}
    if type(value) is spaces.MultiBinary:
        return {"MultiBinary": _encode(value.n, name)}
    raise PickledPolicyError(f"{name} is of {type(value).__module__}.{type(value).__qualname__}")


def _decode(value: Any) -> Any:
    """Undo :func:`_encode`."""
    if isinstance(value, list):
        return [_decode(one) for one in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    match kind:
        case "tuple":
            return tuple(_decode(one) for one in content)
        case "dict":
            return {key: _decode(one) for key, one in content.items()}
        case "Dict":
            return spaces.Dict({key: _decode(space) for key, space in content.items()})
        case "array":
            dtype, shape, text = content
            return np.frombuffer(base64.b64decode(text), np.dtype(dtype)).reshape(shape).copy()
        case "class":
            return _find_class(content, _COMPONENTS)
        case "Box":
            return spaces.Box(_decode(content[0]), _decode(content[1]), dtype=np.dtype(content[2]).type)
        case "Discrete":
            return spaces.Discrete(content[0], start=content[1], dtype=np.dtype(content[2]).type)
        case "MultiDiscrete":
            return spaces.MultiDiscrete(_decode(content[0]), np.dtype(content[2]).type, start=_decode(content[1]))
        case "MultiBinary":
            return spaces.MultiBinary(_decode(content))
    raise ValueError(f"expected a known type in the description of a policy, got {kind!r}; restore the file")


def _class_name(cls: type, classes: Mapping[str, str], name: str) -> str:
    if cls.__name__ not in classes or _find_class(cls.__name__, classes) is not cls:
        raise PickledPolicyError(f"{name} is {cls.__module__}.{cls.__qualname__}")
    return cls.__name__


def _find_class(name: str, classes: Mapping[str, str]) -> Any:
    if name not in classes:
        raise ValueError(f"expected one of the classes {', '.join(classes)}, got {name!r}; restore the file")
    return getattr(importlib.import_module(classes[name]), name)
