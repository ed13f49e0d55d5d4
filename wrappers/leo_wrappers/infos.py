"""Masks in step infos, in the formats of Gymnasium's vector environments and of Stable-Baselines3."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.error import ResetNeeded

from leo_wrappers.goal_set import BoolArray
from leo_wrappers.keys import MASK_KEY, TASK_REWARDS_KEY
from leo_wrappers.validation import check_instance, check_integer, shorten


class InfoList(list[dict[str, Any]]):
    """
    List of one info dictionary per environment, with all masks as one array to avoid stacking them again.

    :param infos: the dictionaries
    :param goals_achieved: the masks of the dictionaries, bool ``[N, G]``
    """

    def __init__(self, infos: Sequence[dict[str, Any]], goals_achieved: BoolArray) -> None:
        check_instance("infos", infos, Sequence, "pass a list with the info of each environment")
        super().__init__(infos)
        if not isinstance(goals_achieved, np.ndarray) or goals_achieved.dtype != np.bool_ or goals_achieved.ndim != 2:
            raise _wrong_mask("goals_achieved", f"({len(self)}, G)", goals_achieved)
        if len(goals_achieved) != len(self):
            raise ValueError(
                f"expected one mask per info, got {len(goals_achieved)} for {len(self)} infos; pass those of one step"
            )
        self.goals_achieved = goals_achieved


def read_mask(info: Mapping[str, Any], where: str) -> BoolArray:
    """
    Return the mask of one environment's info.

    :param info: the info of a reset or a step
    :param where: description of the info for error messages, e.g. "at reset"
    :return: bool ``[G]``
    """
    try:
        mask = info[MASK_KEY]
    except TypeError:
        raise TypeError(f"expected the info {where} to be a dict, got {shorten(info)}; pass those that step returns") from None
    except KeyError:
        raise ValueError(
            f"expected info[{MASK_KEY!r}] {where}, got {sorted(map(str, info))}; wrap the environment with MultiGoalWrapper"
        ) from None
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.ndim != 1:
        raise _wrong_mask(f"info[{MASK_KEY!r}] {where}", "(G,)", mask)
    return mask


def achieved_from_infos(infos: Sequence[dict[str, Any]] | Mapping[str, Any], num_envs: int) -> BoolArray:
    """
    Return the masks of the last transitions: for episodes that ended, of the terminal state and not of the reset state.

    :param infos: the infos of ``step``: a list of dictionaries (Stable-Baselines3) or a dictionary of arrays (Gymnasium)
    :param num_envs: number of environments, N
    :return: bool ``[N, G]``

    Example::

        >>> import numpy as np
        >>> infos = [{"goals_achieved": np.array([True, False])}, {"goals_achieved": np.array([False, False])}]
        >>> achieved_from_infos(infos, num_envs=2)
        array([[ True, False],
               [False, False]])
    """
    if isinstance(infos, Mapping):
        return _from_arrays(infos, num_envs)
    check_instance("infos", infos, Sequence, "pass those that step returns")
    if len(infos) != num_envs:
        raise ValueError(
            f"expected one info per environment, got {len(infos)} infos for {num_envs} environments; pass those of one step"
        )
    if isinstance(infos, InfoList):
        return infos.goals_achieved
    masks = [read_mask(info, f"of environment {number}") for number, info in enumerate(infos)]
    lengths = {len(mask) for mask in masks}
    if len(lengths) > 1:
        raise ValueError(
            f"expected the same goals in every environment, got masks of lengths {sorted(lengths)}; use one goal set for all"
        )
    return np.stack(masks)


def task_rewards_from_infos(infos: Sequence[dict[str, Any]], num_tasks: int) -> npt.NDArray[np.float32]:
    """
    Return the rewards of all tasks in the last transitions.

    :param infos: the infos of ``step``, one per environment
    :param num_tasks: number of tasks, K
    :return: float32 ``[N, K]``
    """
    rewards = [info.get(TASK_REWARDS_KEY) for info in infos]
    for number, row in enumerate(rewards):
        if not isinstance(row, np.ndarray) or row.dtype != np.float32 or row.shape != (num_tasks,):
            got = f"{row.dtype} of shape {row.shape}" if isinstance(row, np.ndarray) else type(row).__name__
            raise ValueError(
                f"expected info[{TASK_REWARDS_KEY!r}] of environment {number} to be a float32 array of shape ({num_tasks},), "
                f"got {got}; wrap the environment with TaskWrapper"
            )
    return np.stack(rewards)  # type: ignore[arg-type]


def final_infos(dones: BoolArray, observations: Iterable[Any], achieved: BoolArray) -> dict[str, Any]:
    """
    Build the info entries of terminal states for autoreset mode SAME_STEP, in the layout of SyncVectorEnv.

    :param dones: which episodes ended, ``[N]``
    :param observations: the terminal observation of each of them, in order
    :param achieved: their masks, bool ``[dones.sum(), G]``
    :return: the entries ``final_obs`` and ``final_info``, with their ``_key`` masks
    """
    final_obs = np.full(len(dones), None, dtype=object)
    for row, observation in zip(np.flatnonzero(dones), observations, strict=True):
        final_obs[row] = observation
    masks = np.zeros((len(dones), achieved.shape[1]), dtype=np.bool_)
    masks[dones] = achieved
    return {
        "final_obs": final_obs,
        "_final_obs": dones.copy(),
        "final_info": {MASK_KEY: masks, f"_{MASK_KEY}": dones.copy()},
        "_final_info": dones.copy(),
    }


def reset_needed(dones: BoolArray) -> ResetNeeded:
    """
    Build the error for stepping a vector environment in autoreset mode DISABLED after episodes have ended.

    :param dones: which episodes ended, ``[N]``
    :return: the error to raise
    """
    return ResetNeeded(
        f"expected no finished environments in autoreset mode Disabled, got {np.flatnonzero(dones)[:10].tolist()}; "
        'call reset(options={"reset_mask": terminations | truncations}) before the next step'
    )


def _from_arrays(infos: Mapping[str, Any], num_envs: int) -> BoolArray:
    check_integer("num_envs", num_envs, 1)
    finished = infos.get("_final_info", np.zeros(num_envs, dtype=bool))
    if np.shape(finished) != (num_envs,) or ("_final_info" in infos) != ("final_info" in infos):
        raise ValueError(
            f'expected infos["final_info"], and infos["_final_info"] of shape ({num_envs},), got {shorten(finished)} for the '
            "latter; pass the infos of one step in autoreset mode SAME_STEP"
        )
    final_rows = np.flatnonzero(finished)
    masks = _batched_mask(infos, "in infos", num_envs) if MASK_KEY in infos or len(final_rows) < num_envs else None
    if len(final_rows) == 0:
        assert masks is not None
        return masks
    final = _batched_mask(infos["final_info"], 'in infos["final_info"]', num_envs)
    # The top-level rows of finished environments belong to the reset of the next episode.
    result = np.zeros_like(final) if masks is None else masks.copy()
    result[final_rows] = final[final_rows]
    return result


def _batched_mask(infos: Mapping[str, Any], where: str, num_envs: int) -> BoolArray:
    if MASK_KEY not in infos:
        raise ValueError(
            f"expected {MASK_KEY!r} {where}, got only {sorted(map(str, infos))}; wrap the environments with MultiGoalWrapper"
        )
    masks = infos[MASK_KEY]
    if not isinstance(masks, np.ndarray) or masks.dtype != np.bool_ or masks.ndim != 2 or len(masks) != num_envs:
        raise _wrong_mask(f"{MASK_KEY!r} {where}", f"({num_envs}, G)", masks)
    return masks


def _wrong_mask(name: str, shape: str, mask: Any) -> ValueError:
    got = f"{mask.dtype} of shape {mask.shape}" if isinstance(mask, np.ndarray) else type(mask).__name__
    return ValueError(f"expected {name} to be a bool array of shape {shape}, got {got}; convert it")
