"""Datasets of transitions with the masks of achieved goals, for offline learning."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from leo_agents.algorithms.env_wrapping import check_same_goals
from leo_agents.replay.action_scaling import unscale_actions
from leo_agents.replay.array_files import read_arrays, write_arrays
from leo_agents.replay.device_storage import DeviceArray
from leo_agents.replay.goal_replay_buffer import GoalReplayBuffer
from leo_agents.replay.point_goal_buffer import PointGoalReplayBuffer
from leo_agents.replay.replay_size import packed_width
from leo_wrappers.goal_set import GoalSet, check_goal_names
from leo_wrappers.keys import ACHIEVED_GOAL_KEY, GOAL_INPUT_KEYS
from leo_wrappers.validation import check_instance, check_path

Array = npt.NDArray[Any]
Signal = Callable[[Any, dict[str, Any]], Any]
"""``(observations, info) -> signals`` for batches, see :class:`~leo_wrappers.MultiGoalWrapper`; ``info`` is empty."""

_OBSERVATION_PARTS = ("observations", "next_observations")
_OTHER_PARTS = ("actions", "terminated", "truncated", "packed_masks")
_OBSERVATION = "observation"
# Rows that are checked at once: memory-mapped datasets may be larger than the memory.
_CHUNK = 65_536


@dataclass(frozen=True, eq=False, repr=False)
class GoalDataset:
    """
    Transitions with the mask of achieved goals of each, one episode after the other, in the order of time.

    Rewards are not part of it: the reward of a goal is its entry of the mask. Neither are commanded goals: every transition
    updates all goals. In a goal environment whose goals are points there are neither masks nor names: the goals are drawn from
    the points under ``"achieved_goal"``. Create one by :meth:`from_arrays`, :meth:`from_replay_buffer`, :meth:`load` or
    :func:`~leo_agents.replay.minari_datasets.from_minari`.

    :param observations: by key ``[T, ...]``, before the steps; the key is ``"observation"`` in environments without Dict
        observations. Without the commanded goal
    :param actions: ``[T, ...]``, as the environment takes them
    :param next_observations: by key ``[T, ...]``, after the steps and before any reset
    :param terminated: whether the episode terminated, bool ``[T]``
    :param truncated: whether the episode ended otherwise, bool ``[T]``; such steps bootstrap
    :param packed_masks: masks packed by ``numpy.packbits``, uint8 ``[T, ceil(G / 8)]``
    :param goal_names: names of the goals, in order; none if the goals are points

    Example::

        >>> import numpy as np
        >>> from leo_wrappers import GridGoals
        >>> x, actions = np.arange(4.0)[:, None], np.ones(4, dtype=int)
        >>> terminated, truncated = np.zeros(4, dtype=bool), np.arange(4) == 3
        >>> goals = GridGoals([-0.5], [5.5], [6])
        >>> dataset = GoalDataset.from_arrays(x, actions, x + 1, terminated, truncated, goals=goals)
        >>> dataset, dataset.never_achieved()
        (GoalDataset(4 transitions, 1 episodes, 6 goals), ['cell/0', 'cell/5'])
    """

    observations: Mapping[str, Array]
    actions: Array
    next_observations: Mapping[str, Array]
    terminated: Array
    truncated: Array
    packed_masks: Array
    goal_names: tuple[str, ...]

    def __post_init__(self) -> None:
        for part in _OBSERVATION_PARTS:
            check_instance(part, getattr(self, part), Mapping, "pass arrays by key")
        if self.goal_names or ACHIEVED_GOAL_KEY not in self.observations:
            check_goal_names(self.goal_names)
        if not self.observations or self.observations.keys() != self.next_observations.keys():
            raise ValueError(
                f"expected observations and next_observations with the same keys, got {sorted(self.observations)} and "
                f"{sorted(self.next_observations)}; pass what the environment returned before and after each step"
            )
        if np.shape(self.actions)[:1] in ((), (0,)):
            raise ValueError("expected at least one transition, got an empty dataset; collect some")
        for name, array in self.arrays().items():
            check_instance(name, array, np.ndarray, "use GoalDataset.from_arrays")
            if array.dtype.kind not in "biuf" or array.shape[:1] != (len(self),):
                raise ValueError(
                    f"expected {name} to be numbers [{len(self)}, ...], a row per action, got {array.dtype} of shape "
                    f"{array.shape}; pass whole episodes"
                )
        for key, array in self.observations.items():
            if array.shape != self.next_observations[key].shape:
                shapes = f"{array.shape} and {self.next_observations[key].shape}"
                raise ValueError(
                    f"expected {key!r} of the same shape before and after the steps, got {shapes}; pass both of a step"
                )
        masks, width = self.packed_masks, (len(self), packed_width(len(self.goal_names)))
        if masks.dtype != np.uint8 or masks.shape != width:
            raise ValueError(
                f"expected packed masks, uint8 of shape {width}, got {masks.dtype} of shape {masks.shape}; pack goals"
            )
        self._check_values()

    def __len__(self) -> int:
        return len(self.actions)

    def __repr__(self) -> str:
        goals = f"{len(self.goal_names)} goals" if self.goal_names else "points as goals"
        return f"GoalDataset({len(self)} transitions, {int(self.ended.sum())} episodes, {goals})"

    @property
    def ended(self) -> npt.NDArray[np.bool_]:
        """Whether each transition is the last one of its episode, ``[T]``."""
        return np.asarray(self.terminated | self.truncated)

    def arrays(self) -> dict[str, Array]:
        """Return all arrays by name."""
        result = {f"{part}/{key}": array for part in _OBSERVATION_PARTS for key, array in getattr(self, part).items()}
        return result | {name: getattr(self, name) for name in _OTHER_PARTS}

    def achieved_counts(self) -> npt.NDArray[np.int64]:
        """Return how many transitions achieved each goal, ``[G]``."""
        num_goals = len(self.goal_names)
        chunks = (np.unpackbits(self.packed_masks[rows], axis=1, count=num_goals) for rows in _chunks(len(self)))
        return sum((chunk.sum(axis=0, dtype=np.int64) for chunk in chunks), np.zeros(num_goals, dtype=np.int64))

    def never_achieved(self) -> list[str]:
        """Return the names of the goals that no transition achieved."""
        return [self.goal_names[goal_id] for goal_id in np.flatnonzero(self.achieved_counts() == 0)]

    @classmethod
    def from_arrays(
        cls,
        observations: Array | Mapping[str, Array],
        actions: npt.ArrayLike,
        next_observations: Array | Mapping[str, Array],
        terminated: npt.ArrayLike,
        truncated: npt.ArrayLike,
        *,
        goals: GoalSet | None = None,
        signal: Signal | None = None,
        goals_achieved: npt.ArrayLike | None = None,
        goal_names: Sequence[str] | None = None,
    ) -> Self:
        """
        Create a dataset from arrays, with the masks, with a goal set that is tested on the next observations, or with neither
        if there are points under ``"achieved_goal"``, of which any can be a goal.

        :param observations: ``[T, ...]``, or a dictionary of arrays; a commanded goal in it is left out
        :param actions: ``[T, ...]``
        :param next_observations: as ``observations``, after the steps and before any reset
        :param terminated: bool ``[T]``
        :param truncated: bool ``[T]``, True at the last step of each episode that did not terminate
        :param goals: the goals to test
        :param signal: what the goals are tested on, as in :class:`~leo_wrappers.MultiGoalWrapper`, for a batch of observations
        :param goals_achieved: the masks instead, bool ``[T, G]``
        :param goal_names: names of the goals of these masks
        :return: the dataset
        """
        before, after = _state(observations), _state(next_observations)
        if goals is None and goals_achieved is None and goal_names is None and ACHIEVED_GOAL_KEY in after:
            goals_achieved, goal_names = np.zeros((len(after[ACHIEVED_GOAL_KEY]), 0), dtype=bool), ()
        if (goals is None) == (goals_achieved is None) or (goals_achieved is None) != (goal_names is None):
            raise ValueError("expected either goals, or goals_achieved with goal_names, got neither or both; pass one of them")
        if goals is not None:
            count = len(next(iter(after.values()), ()))
            parts = ({key: array[rows] for key, array in after.items()} for rows in _chunks(count))
            packed = [np.packbits(compute_masks(goals, signal, part), axis=1) for part in parts]
            masks, goal_names = np.concatenate(packed or [np.zeros((0, 1), np.uint8)]), goals.names
        else:
            masks = np.asarray(goals_achieved)
            if masks.dtype != np.bool_ or masks.ndim != 2 or masks.shape[1] != len(goal_names or ()):
                raise ValueError(
                    f"expected goals_achieved to be bool [T, {len(goal_names or ())}], one column per goal name, got "
                    f"{masks.dtype} of shape {masks.shape}; pass the masks of the steps"
                )
            masks = np.packbits(masks, axis=1)
        ends = np.asarray(terminated), np.asarray(truncated)
        return cls(before, np.asarray(actions), after, *ends, masks, tuple(goal_names or ()))

    @classmethod
    def from_replay_buffer(cls, buffer: GoalReplayBuffer | PointGoalReplayBuffer) -> Self:
        """
        Copy the transitions of a replay buffer. Running episodes are truncated at their newest step.

        :param buffer: the replay buffer of a LEODQN, LEOTD3 or LEOSAC
        :return: the dataset
        """
        if not isinstance(buffer, PointGoalReplayBuffer):
            check_instance("buffer", buffer, GoalReplayBuffer, "pass model.replay_buffer of a LEODQN, LEOTD3 or LEOSAC")
            if buffer.task_discounts is not None:
                raise ValueError(
                    "expected a replay buffer of goals, got one of tasks, whose rewards a dataset has not; use goals"
                )
        if buffer.size() == 0:
            raise ValueError("expected at least one transition, got an empty replay buffer; train the model first")
        start, size = (buffer.pos, buffer.buffer_size) if buffer.full else (0, buffer.pos)
        steps = (np.arange(size) + start) % buffer.buffer_size

        def flat(stored: Any) -> Array:
            array = stored.values.cpu().numpy() if isinstance(stored, DeviceArray) else stored
            rows: Array = array[steps].swapaxes(0, 1)
            return rows.reshape(-1, *rows.shape[2:])

        keys = [key for key in buffer.observations if key not in GOAL_INPUT_KEYS]
        before, after = ({key: flat(part[key]) for key in keys} for part in (buffer.observations, buffer.next_observations))
        ended, timeouts = flat(buffer.dones) > 0, flat(buffer.timeouts) > 0
        terminated = ended & ~timeouts
        # A reset without an end of the episode, such as that of another call of ``learn``, and the newest step of each
        # environment.
        cut = ~_continues(before, after)
        cut[size - 1 :: size] = True
        actions = unscale_actions(flat(buffer.actions), buffer.action_space)
        masks = flat(buffer.packed_masks) if isinstance(buffer, GoalReplayBuffer) else np.zeros((len(actions), 0), np.uint8)
        return cls(before, actions, after, terminated, (ended | cut) & ~terminated, masks, buffer.goal_names)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """
        Write the dataset to a new folder, one ``.npy`` file per array.

        :param folder: the folder, which must not exist
        """
        check_path("folder", folder)
        write_arrays(Path(folder), self.arrays(), {"goal_names": self.goal_names})

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """
        Read a dataset that :meth:`save` has written. The arrays stay on the disk and are memory-mapped.

        :param folder: the folder
        :return: the dataset
        """
        check_path("folder", folder)
        arrays, about = read_arrays(Path(folder))
        keys = [name.removeprefix("observations/") for name in arrays if name.startswith("observations/")]
        try:
            before, after = ({key: arrays[f"{part}/{key}"] for key in keys} for part in _OBSERVATION_PARTS)
            others = {name: arrays[name] for name in _OTHER_PARTS}
            names = tuple(about["goal_names"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"expected {error} in {folder}, got {sorted(arrays)}; restore the files") from error
        return cls(observations=before, next_observations=after, goal_names=names, **others)

    def check_matches(
        self, observation_space: spaces.Dict, action_space: spaces.Space[Any], goal_names: tuple[str, ...]
    ) -> None:
        """
        Raise a ``ValueError`` unless a model with these spaces and goals can learn from the dataset.

        :param observation_space: of the model, a Dict
        :param action_space: of the model
        :param goal_names: names of the goals of the model; none if its goals are points, for which the masks do not matter
        """
        if goal_names:
            check_same_goals(goal_names, self.goal_names, "a dataset")
        expected = {key: space for key, space in observation_space.spaces.items() if key not in GOAL_INPUT_KEYS}
        if expected.keys() != self.observations.keys():
            raise ValueError(
                f"expected a dataset with the observations {sorted(expected)} of the model, got {sorted(self.observations)}; "
                "collect it in the same environment"
            )
        for key, space in expected.items():
            array = self.observations[key]
            same_shape = array.shape[1:] == space.shape or array[0].size == np.prod(space.shape or (), dtype=int) == 1
            if not (same_shape and np.can_cast(array.dtype, space.dtype or array.dtype, "same_kind")):
                raise ValueError(
                    f"expected {key!r} of a dataset in {space}, got {array.dtype} of shape {array.shape[1:]}; collect it in "
                    "the same environment"
                )
        self._check_actions(action_space)

    def _check_actions(self, space: spaces.Space[Any]) -> None:
        remedy = "collect the dataset with the actions of the model's environment"
        if isinstance(space, spaces.Discrete):
            low, high = space.start, space.start + space.n - 1
            valid = self.actions.dtype.kind in "iu" and self.actions.size == len(self)
        else:
            assert isinstance(space, spaces.Box)
            low, high = space.low, space.high
            valid = self.actions.dtype.kind in "fiu" and self.actions.shape[1:] == space.shape
        if not valid or (self.actions < low).any() or (self.actions > high).any():
            got = f"{self.actions.dtype} of shape {self.actions.shape[1:]} from {self.actions.min()} to {self.actions.max()}"
            raise ValueError(f"expected actions of a dataset in {space}, got {got}; {remedy}")

    def _check_values(self) -> None:
        """Check numbers and ends of episodes, in one pass."""
        for name in ("terminated", "truncated"):
            array = getattr(self, name)
            if array.dtype != np.bool_ or array.ndim != 1:
                raise ValueError(f"expected {name} to be bool [T], got {array.dtype} of shape {array.shape}; convert it")
        ended = self.ended
        if not ended[-1]:
            raise ValueError("expected the last transition to end its episode, got neither flag; set truncated[-1] to True")
        for rows in _chunks(len(self)):
            for name, array in self.arrays().items():
                chunk = array[rows]
                if chunk.dtype.kind == "f" and not np.isfinite(chunk).all():
                    row = rows.start + int(np.argwhere(~np.isfinite(chunk))[0, 0])
                    raise ValueError(f"expected finite numbers, got others in {name}, row {row}; leave out that episode")
            # One row more, because each row is compared with the following one.
            pairs = slice(rows.start, rows.stop + 1)
            before, after = ({k: v[pairs] for k, v in part.items()} for part in (self.observations, self.next_observations))
            open_ends = ~_continues(before, after) & ~ended[pairs]
            if open_ends[: rows.stop - rows.start].any():
                row = rows.start + int(open_ends.argmax())
                raise ValueError(
                    f"expected an end of the episode at row {row}, because its next observation is not the observation of row "
                    f"{row + 1}, got neither terminated nor truncated; set truncated where episodes end, everywhere if the "
                    "transitions are shuffled"
                )


def compute_masks(goals: GoalSet, signal: Signal | None, observations: Array | Mapping[str, Array]) -> npt.NDArray[np.bool_]:
    """
    Test goals on stored observations.

    :param goals: the goals
    :param signal: ``(observations, info) -> signals`` for a batch; ``achieved_goal`` or the whole observations if None
    :param observations: ``[T, ...]``, or a dictionary of arrays
    :return: bool ``[T, G]``
    """
    check_instance("goals", goals, GoalSet, "build one with PointGoals, GridGoals or PredicateGoals")
    if isinstance(observations, Mapping) and observations.keys() - set(GOAL_INPUT_KEYS) == {_OBSERVATION}:
        observations = observations[_OBSERVATION]  # as the environment returned them, without the commanded goal
    if signal is not None:
        signals = signal(observations, {})
    elif isinstance(observations, Mapping) and ACHIEVED_GOAL_KEY in observations:
        signals = observations[ACHIEVED_GOAL_KEY]
    else:
        signals = observations
    masks = goals.achieved(signals)
    count = len(next(iter(_state(observations).values())))
    if masks.shape != (count, len(goals)):
        raise ValueError(
            f"expected one signal per observation, {count}, got masks of shape {masks.shape}; pass a signal for batches"
        )
    return masks


def _state(observations: Array | Mapping[str, Array]) -> dict[str, Array]:
    """Return observations by key, without the commanded goal."""
    if not isinstance(observations, Mapping):
        return {_OBSERVATION: np.asarray(observations)}
    return {key: np.asarray(array) for key, array in observations.items() if key not in GOAL_INPUT_KEYS}


def _chunks(count: int) -> Iterator[slice]:
    return (slice(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK))


def _continues(before: Mapping[str, Array], after: Mapping[str, Array]) -> npt.NDArray[np.bool_]:
    """Return whether each row ends in the observation in which the following one starts; False for the last one."""
    same = np.zeros(len(next(iter(before.values()))), dtype=bool)
    same[:-1] = True
    for key, array in before.items():
        same[:-1] &= (after[key][:-1] == array[1:]).all(axis=tuple(range(1, array.ndim)))
    return same
