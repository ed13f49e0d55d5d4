"""Datasets in the format of Minari (https://minari.farama.org)."""

import json
import warnings
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from leo_agents.replay.goal_dataset import Array, GoalDataset, Signal, compute_masks
from leo_wrappers.goal_set import GoalSet
from leo_wrappers.keys import ACHIEVED_GOAL_KEY, GOAL_INPUT_KEYS, MASK_KEY
from leo_wrappers.validation import check_env, check_instance, shorten

_NAMES_KEY = "goal_names"


def from_minari(dataset: Any, goals: GoalSet | None = None, signal: Signal | None = None) -> GoalDataset:
    """
    Convert a Minari dataset.

    :param dataset: a ``minari.MinariDataset``, or the id of a local one
    :param goals: goals to test on the stored observations; if None, the masks are read from the infos, where
        :func:`to_minari` and Minari's ``DataCollector`` around a multi-goal environment write them. In goal environments
        without masks the goals are points
    :param signal: what the goals are tested on, see :meth:`~leo_agents.GoalDataset.from_arrays`
    :return: the dataset
    """
    if isinstance(dataset, str):
        dataset = import_minari().load_dataset(dataset)
    if not hasattr(dataset, "iterate_episodes"):
        raise TypeError(f"expected a MinariDataset or the id of one, got {shorten(dataset)}; use minari.load_dataset")
    episodes = [_episode(one, goals, signal) for one in dataset.iterate_episodes()]
    if not episodes:
        raise ValueError(f"expected at least one episode, got an empty dataset {dataset.id!r}; collect some")
    keys = episodes[0]["observations"].keys()
    before = {key: np.concatenate([one["observations"][key][:-1] for one in episodes]) for key in keys}
    after = {key: np.concatenate([one["observations"][key][1:] for one in episodes]) for key in keys}
    actions, terminated, truncated, masks = (
        np.concatenate([one[name] for one in episodes]) for name in ("actions", "terminated", "truncated", "masks")
    )
    names = _goal_names(dataset, masks.shape[1]) if goals is None else goals.names
    return GoalDataset.from_arrays(before, actions, after, terminated, truncated, goals_achieved=masks, goal_names=names)


def to_minari(dataset: GoalDataset, dataset_id: str, env: gym.Env[Any, Any]) -> Any:
    """
    Write a dataset as a local Minari dataset, with the masks in the infos and rewards of 0.

    :param dataset: the dataset
    :param dataset_id: id of the new one, such as ``"gridworld/random-v0"``
    :param env: environment in which it was collected, registered by a string entry point, as Minari needs
    :return: the ``minari.MinariDataset``
    """
    minari = import_minari()
    check_instance("dataset", dataset, GoalDataset, "create one with GoalDataset.from_arrays")
    check_env(env)
    if dataset_id in minari.list_local_datasets():
        raise ValueError(f"expected the id of a new dataset, got {dataset_id!r}, which exists; choose another version")
    space: spaces.Space[Any] = env.observation_space
    if isinstance(space, spaces.Dict):
        space = spaces.Dict({key: one for key, one in space.spaces.items() if key not in GOAL_INPUT_KEYS})
    ends = np.flatnonzero(dataset.ended) + 1
    starts = np.concatenate([[0], ends[:-1]])
    episodes = [slice(start, end) for start, end in zip(starts, ends, strict=True)]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="minari")  # of missing authors, links and scores
        result = minari.create_dataset_from_buffers(
            dataset_id,
            [_buffer(dataset, rows, number) for number, rows in enumerate(episodes)],
            env=env.spec,
            observation_space=space,
            action_space=env.action_space,
            # JPEG would change observations that are images.
            jpeg_encoding=False,
        )
    result.storage.update_metadata({_NAMES_KEY: json.dumps(dataset.goal_names)})
    return result


def _episode(episode: Any, goals: GoalSet | None, signal: Signal | None) -> dict[str, Any]:
    """Return observations ``[T + 1, ...]`` by key, actions, flags and masks ``[T, ...]`` of an episode."""
    count, stored = len(episode), episode.observations
    observations = dict(stored) if isinstance(stored, Mapping) else {"observation": stored}
    arrays = [*observations.values(), episode.actions]
    if not all(isinstance(array, np.ndarray) for array in arrays):
        raise ValueError(
            f"expected observations and actions that are arrays, or a flat dictionary of them, got {episode}; flatten them"
        )
    lengths = [*(len(array) - 1 for array in observations.values()), len(episode.actions), len(episode.terminations)]
    if set(lengths) != {count}:
        raise ValueError(
            f"expected {count} steps and one observation more in episode {episode.id}, got {lengths} steps; the dataset is "
            "truncated, collect or download it again"
        )
    truncated = np.array(episode.truncations, dtype=bool)
    # Minari does not require a flag at the end of the last episode of a recording.
    truncated[-1] |= not episode.terminations[-1]
    if goals is not None:
        after: Any = {key: array[1:] for key, array in observations.items()}
        masks = compute_masks(goals, signal, after if isinstance(stored, Mapping) else after["observation"])
    else:
        masks = _stored_masks(episode, count)
    flags = {"terminated": np.asarray(episode.terminations, dtype=bool), "truncated": truncated}
    return {"observations": observations, "actions": episode.actions, **flags, "masks": masks}


def _stored_masks(episode: Any, count: int) -> Array:
    infos = episode.infos or {}
    if MASK_KEY not in infos and isinstance(episode.observations, Mapping) and ACHIEVED_GOAL_KEY in episode.observations:
        return np.zeros((count, 0), dtype=bool)
    if MASK_KEY not in infos or len(infos[MASK_KEY]) < count:
        raise ValueError(
            f"expected {MASK_KEY!r} of every step in the infos, got {sorted(infos)}; pass goals to compute the masks from the "
            "observations"
        )
    # The first one of T + 1 infos is that of the reset.
    return np.asarray(infos[MASK_KEY], dtype=bool)[-count:]


def _goal_names(dataset: Any, num_goals: int) -> tuple[str, ...]:
    text = dataset.storage.metadata.get(_NAMES_KEY)
    names = tuple(json.loads(text)) if text else ()
    if len(names) != num_goals:
        raise ValueError(
            f"expected {num_goals} {_NAMES_KEY} in the metadata of {dataset.id!r}, got {len(names)}; pass goals, or write the "
            "dataset with to_minari"
        )
    return names


def _buffer(dataset: GoalDataset, rows: slice, number: int) -> Any:
    count = rows.stop - rows.start
    observations: Any = {
        key: np.concatenate([array[rows], dataset.next_observations[key][rows.stop - 1 : rows.stop]])
        for key, array in dataset.observations.items()
    }
    if list(observations) == ["observation"]:
        observations = observations["observation"]
    masks = np.unpackbits(dataset.packed_masks[rows], axis=1, count=len(dataset.goal_names)).astype(bool)
    return import_minari().data_collector.EpisodeBuffer(
        id=number,
        observations=observations,
        actions=np.asarray(dataset.actions[rows]),
        rewards=[0.0] * count,
        terminations=dataset.terminated[rows].tolist(),
        truncations=dataset.truncated[rows].tolist(),
        # There is no mask of the reset.
        infos={MASK_KEY: np.concatenate([np.zeros_like(masks[:1]), masks])} if dataset.goal_names else {},
    )


def import_minari() -> ModuleType:
    """Import Minari; an ``ImportError`` says how to install it."""
    try:
        import minari
        import minari.data_collector
    except ImportError as error:
        raise ImportError('Minari is not installed; install it with: pip install "leo-rl[minari]"') from error
    return minari
