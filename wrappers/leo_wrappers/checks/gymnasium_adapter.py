"""Gymnasium's vector environments, as the transitions of N single environments."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import iterate

from leo_wrappers.checks.errors import ContractError, RunPosition
from leo_wrappers.checks.masks import MaskChecker
from leo_wrappers.checks.recording import sample_actions
from leo_wrappers.checks.results import ResetResult, Result, StepResult
from leo_wrappers.checks.vector_adapter import common_goal_names
from leo_wrappers.goal_set import BoolArray
from leo_wrappers.keys import MASK_KEY


class GymnasiumAdapter:
    """
    Implements :class:`~leo_wrappers.checks.vector_adapter.VectorAdapter` for Gymnasium.

    :param venv: a Gymnasium vector environment
    """

    action_source = "venv.action_space.sample() after venv.action_space.seed({seed})"

    def __init__(self, venv: VectorEnv[Any, Any, Any]) -> None:
        self.venv = venv
        self.num_envs = venv.num_envs
        self.space = venv.single_observation_space
        modes = _values_per_env(venv, "on_success")
        self.on_success: str | None = None if modes is None else modes[0]
        self.names = self._read_names()
        self.mode = venv.metadata.get("autoreset_mode")
        if not isinstance(self.mode, AutoresetMode):
            raise ContractError(
                f'expected metadata["autoreset_mode"] to be a gymnasium.vector.AutoresetMode, got {self.mode!r}; '
                "declare the mode that the vector environment follows"
            )
        self._masks = MaskChecker(self.names, (self.num_envs,))
        self._final_masks = MaskChecker(self.names, (self.num_envs,))
        self._was_done = np.zeros(self.num_envs, dtype=bool)

    def sample_actions(self, seed: int, steps: int) -> list[Any]:
        """Return the batches of actions that ``action_source`` generates."""
        return sample_actions(self.venv.action_space, seed, steps)

    def split_actions(self, actions: Any) -> list[Any]:
        """Split a batch of actions into one action per environment."""
        return list(iterate(self.venv.action_space, actions))

    def reset(self, seed: int, position: RunPosition) -> list[ResetResult]:
        """Reset every environment and check the batched result."""
        observations, infos = self.venv.reset(seed=seed)
        self._was_done = np.zeros(self.num_envs, dtype=bool)
        masks = self._check_masks(infos, position, np.ones(self.num_envs, dtype=bool))
        rows = iterate(self.venv.observation_space, observations)
        return [ResetResult(observation, masks[i], unbatch(infos, i)) for i, observation in enumerate(rows)]

    def step(self, actions: Any, position: RunPosition) -> list[Result]:
        """Step every environment and check the batched result."""
        observations, rewards, terminated, truncated, infos = self.venv.step(actions)
        self._check_arrays(rewards, terminated, truncated, position)
        done = np.asarray(terminated | truncated)
        masks = self._check_masks(infos, position, np.ones(self.num_envs, dtype=bool))
        rows: list[Result] = [
            StepResult(obs, masks[i], float(rewards[i]), done_i, bool(terminated[i]), bool(truncated[i]), unbatch(infos, i))
            for i, (obs, done_i) in enumerate(
                zip(iterate(self.venv.observation_space, observations), done.tolist(), strict=True)
            )
        ]
        if self.mode == AutoresetMode.SAME_STEP:
            self._insert_final_rows(rows, done, infos, position)
        elif self.mode == AutoresetMode.NEXT_STEP:
            self._mark_resets(rows, position)
        self._was_done = done
        if self.mode == AutoresetMode.DISABLED and done.any():
            self._reset_done(rows, done, position)
        return rows

    def _insert_final_rows(self, rows: list[Result], done: BoolArray, infos: Any, position: RunPosition) -> None:
        """SAME_STEP: the last state of a finished episode is in the final info, its row has the next episode's first state."""
        has_final = np.asarray(infos.get("_final_info", np.zeros(self.num_envs, dtype=bool)))
        if not np.array_equal(has_final, done):
            raise position.error(
                f'infos["_final_info"] to mark the finished environments, {done.tolist()} (SAME_STEP)',
                str(has_final.tolist()) if "_final_info" in infos else "no such key",
                'put the info of the last step of finished environments into infos["final_info"], and its observation into '
                'infos["final_obs"], because the top level already belongs to the next episode',
                self.names,
            )
        if not done.any():
            return
        masks = self._check_masks(infos["final_info"], position, done, 'infos["final_info"]', self._final_masks)
        self._check_final_obs(infos, done, position)
        for i in np.flatnonzero(done).tolist():
            row = rows[i]
            assert isinstance(row, StepResult)
            row.reset = ResetResult(row.observation, row.mask, row.info)
            row.observation, row.mask, row.info = infos["final_obs"][i], masks[i], unbatch(infos["final_info"], i)

    def _mark_resets(self, rows: list[Result], position: RunPosition) -> None:
        """NEXT_STEP: the step after the last one of an episode is a reset."""
        for i in np.flatnonzero(self._was_done).tolist():
            row = rows[i]
            assert isinstance(row, StepResult)
            if row.reward != 0 or row.done:
                raise position.error(
                    f"the step after environment {i}'s last one to be its reset, with reward 0 and not done (NEXT_STEP)",
                    f"reward {row.reward}, terminated={row.terminated}, truncated={row.truncated}",
                    "ignore the action there and return the observation and mask of the reset, or declare another mode",
                )
            rows[i] = ResetResult(row.observation, row.mask, row.info)

    def _reset_done(self, rows: list[Result], done: BoolArray, position: RunPosition) -> None:
        """DISABLED: the caller resets finished environments."""
        observations, infos = self.venv.reset(options={"reset_mask": done.copy()})
        masks = self._check_masks(infos, position, done)
        first = list(iterate(self.venv.observation_space, observations))
        for i in np.flatnonzero(done).tolist():
            row = rows[i]
            assert isinstance(row, StepResult)
            row.reset = ResetResult(first[i], masks[i], unbatch(infos, i))
        self._was_done = np.zeros(self.num_envs, dtype=bool)

    def _check_masks(
        self,
        infos: Any,
        position: RunPosition,
        present: BoolArray,
        source: str = "infos",
        checker: MaskChecker | None = None,
    ) -> BoolArray:
        masks = (checker or self._masks).check(infos, position, source)
        got = infos.get(f"_{MASK_KEY}")
        if not isinstance(got, np.ndarray) or got.dtype != np.bool_ or got.shape != (self.num_envs,) or (got != present).any():
            raise position.error(
                f'{source}["_{MASK_KEY}"] to be the bool array {present.tolist()} of the environments that have a mask',
                repr(got),
                "return a mask for every environment that was stepped or reset",
                self.names,
            )
        return masks

    def _check_final_obs(self, infos: Any, done: BoolArray, position: RunPosition) -> None:
        observations = infos.get("final_obs")
        if observations is None or [obs is not None for obs in observations] != done.tolist():
            raise position.error(
                f'infos["final_obs"] to hold the last observation of each finished environment, {done.tolist()}, else None',
                "no such key" if observations is None else repr(observations)[:200],
                "store the observation of the last step there before the reset",
            )

    def _check_arrays(self, rewards: Any, terminated: Any, truncated: Any, position: RunPosition) -> None:
        arrays = {"rewards": (rewards, "f"), "terminated": (terminated, "b"), "truncated": (truncated, "b")}
        for name, (value, kind) in arrays.items():
            if not isinstance(value, np.ndarray) or value.shape != (self.num_envs,) or value.dtype.kind != kind:
                raise position.error(
                    f"{name} to be a {'float' if kind == 'f' else 'bool'} array of shape ({self.num_envs},)",
                    repr(value)[:200],
                    "return one value per environment",
                )

    def _read_names(self) -> tuple[str, ...]:
        names = _values_per_env(self.venv, "goal_names")
        if names is None:
            raise ContractError(
                f"expected {type(self.venv).__name__} or the environments in it to have goal_names, got none; "
                "set self.goal_names = (...), or wrap each environment with MultiGoalWrapper"
            )
        return common_goal_names(names)


def _values_per_env(venv: VectorEnv[Any, Any, Any], name: str) -> Any:
    """Return an attribute of the vector environment as the only item, else that of each environment, else None."""
    wrapped: Any = venv
    while wrapped is not None:
        if name in vars(wrapped) or hasattr(type(wrapped), name):
            return [getattr(wrapped, name)]
        wrapped = vars(wrapped).get("env")
    envs: Any = venv.unwrapped
    # Checked first, because a missing attribute in a worker process closes the whole vector environment.
    if not hasattr(envs, "call") or not all(envs.call("has_wrapper_attr", name)):
        return None
    return envs.get_attr(name)


def unbatch(infos: Mapping[str, Any], row: int) -> dict[str, Any]:
    """
    Return the info of one environment from the infos of a vector environment.

    :param infos: arrays, with bool arrays ``_key`` that mark the environments that have the key
    :param row: the index of the environment

    Example::

        >>> unbatch({"x": np.array([1, 2]), "_x": np.array([True, False])}, 0), unbatch({"_x": np.array([True, False])}, 1)
        ({'x': 1}, {})
    """
    result: dict[str, Any] = {}
    for key, values in infos.items():
        present = infos.get(f"_{key}")
        if key.startswith("_") or key in ("final_obs", "final_info") or (present is not None and not present[row]):
            continue
        if isinstance(values, Mapping):
            result[key] = unbatch(values, row)
        elif isinstance(values, np.ndarray):
            result[key] = values[row].item() if isinstance(values[row], np.generic) else values[row]
    return result
