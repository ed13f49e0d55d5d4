"""The masks inside step infos, in the formats of Gymnasium's vector environments and of Stable-Baselines3's."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.error import ResetNeeded

from leo_wrappers.goal_set import BoolArray
from leo_wrappers.keys import MASK_KEY


class InfoList(list[dict[str, Any]]):
    """
    A list with one info dictionary an environment that also keeps their masks as the one array they are rows of.

    :param infos: the dictionaries
    :param goals_achieved: bool ``[N, G]``, the same masks
    """

    def __init__(self, infos: Iterable[dict[str, Any]], goals_achieved: BoolArray) -> None:
        super().__init__(infos)
        self.goals_achieved = goals_achieved


def read_mask(info: Mapping[str, Any], where: str) -> BoolArray:
    """
    The mask in one environment's info, with an error that says what to do when there is none.

    :param info: the info of a reset or a step
    :param where: what the info belongs to, for the error
    :return: bool ``[G]``
    """
    try:
        mask = info[MASK_KEY]
    except KeyError:
        raise ValueError(
            f"expected info[{MASK_KEY!r}] {where}, got {sorted(map(str, info))}; wrap the environment with MultiGoalWrapper"
        ) from None
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.ndim != 1:
        got = f"{mask.dtype} of shape {mask.shape}" if isinstance(mask, np.ndarray) else type(mask).__name__
        raise ValueError(f"expected info[{MASK_KEY!r}] {where} to be a bool array of shape (G,), got {got}")
    return mask


def achieved_from_infos(infos: Sequence[dict[str, Any]] | Mapping[str, Any], num_envs: int) -> BoolArray:
    """
    The masks of the transitions just made, terminal ones included, whatever the auto-reset did since.

    :param infos: what ``step`` returned: a list of dictionaries (Stable-Baselines3) or a dictionary of arrays (Gymnasium)
    :param num_envs: the number of environments, N
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
    if len(infos) != num_envs:
        raise ValueError(f"expected one info an environment, got {len(infos)} infos for {num_envs} environments")
    if isinstance(infos, InfoList):
        return infos.goals_achieved
    masks = [read_mask(info, f"of environment {number}") for number, info in enumerate(infos)]
    lengths = {len(mask) for mask in masks}
    if len(lengths) > 1:
        raise ValueError(f"expected every environment to have the same goals, got masks of lengths {sorted(lengths)}")
    return np.stack(masks)


def final_infos(ended: BoolArray, observations: Iterable[Any], achieved: BoolArray) -> dict[str, Any]:
    """
    The last observations and masks of environments that ended and begin anew in the same step, laid out as SyncVectorEnv does.

    :param ended: which environments ended, ``[N]``
    :param observations: the last observation of each environment that ended, in order
    :param achieved: their masks, bool ``[number ended, G]``
    :return: what the step's infos hold besides
    """
    final_obs = np.full(len(ended), None, dtype=object)
    for row, observation in zip(np.flatnonzero(ended), observations, strict=True):
        final_obs[row] = observation
    masks = np.zeros((len(ended), achieved.shape[1]), dtype=np.bool_)
    masks[ended] = achieved
    return {
        "final_obs": final_obs,
        "_final_obs": ended.copy(),
        "final_info": {MASK_KEY: masks, f"_{MASK_KEY}": ended.copy()},
        "_final_info": ended.copy(),
    }


def reset_needed(ended: BoolArray) -> ResetNeeded:
    """
    The error for a step of a vector environment that resets nothing by itself, while some of its environments have ended.

    :param ended: which ones, ``[N]``
    :return: the error, to be raised
    """
    return ResetNeeded(
        f"expected no finished environments in autoreset mode Disabled, got {np.flatnonzero(ended)[:10].tolist()}; "
        'call reset(options={"reset_mask": terminations | truncations}) before the next step'
    )


def _from_arrays(infos: Mapping[str, Any], num_envs: int) -> BoolArray:
    final_rows = np.flatnonzero(infos.get("_final_info", np.zeros(num_envs, dtype=bool)))
    masks = _batch(infos, "in infos", num_envs) if MASK_KEY in infos or len(final_rows) < num_envs else None
    if len(final_rows) == 0:
        assert masks is not None
        return masks
    final = _batch(infos["final_info"], 'in infos["final_info"]', num_envs)
    # Top-level rows of finished environments already belong to the next episode's reset.
    result = np.zeros_like(final) if masks is None else masks.copy()
    result[final_rows] = final[final_rows]
    return result


def _batch(infos: Mapping[str, Any], where: str, num_envs: int) -> BoolArray:
    if MASK_KEY not in infos:
        raise ValueError(
            f"expected {MASK_KEY!r} {where}, got only {sorted(map(str, infos))}; wrap the environments with MultiGoalWrapper"
        )
    masks = infos[MASK_KEY]
    if not isinstance(masks, np.ndarray) or masks.dtype != np.bool_ or masks.ndim != 2 or len(masks) != num_envs:
        got = f"{masks.dtype} of shape {masks.shape}" if isinstance(masks, np.ndarray) else type(masks).__name__
        raise ValueError(f"expected {MASK_KEY!r} {where} to be a bool array of shape ({num_envs}, G), got {got}")
    return masks
