"""Stable-Baselines3's vector environments, as the transitions of N single environments."""

from typing import Any

import numpy as np

from leo_wrappers.checks.errors import ContractError, RunPosition, quote, select_names
from leo_wrappers.checks.mask_consistency import observation_key
from leo_wrappers.checks.masks import MaskChecker
from leo_wrappers.checks.recording import sample_actions
from leo_wrappers.checks.results import ResetResult, Result, StepResult
from leo_wrappers.checks.vector_adapter import common_goal_names
from leo_wrappers.keys import ENDED_BY_GOAL_KEY


class SB3Adapter:
    """
    Implements :class:`~leo_wrappers.checks.vector_adapter.VectorAdapter` for Stable-Baselines3.

    :param venv: a Stable-Baselines3 ``VecEnv``
    """

    action_source = "[venv.action_space.sample() for each environment] after venv.action_space.seed({seed})"

    def __init__(self, venv: Any) -> None:
        self.venv = venv
        self.num_envs: int = venv.num_envs
        self.space = venv.observation_space
        # Checked first, because a missing attribute in a worker process closes the whole vector environment.
        if not venv.has_attr("goal_names"):
            raise ContractError(
                f"expected the environments in {type(venv).__name__} to have goal_names, got none; "
                "wrap each environment with MultiGoalWrapper before vectorizing"
            )
        self.names = common_goal_names(venv.get_attr("goal_names"))
        self.on_success = _on_success(venv)
        self._step_masks = [MaskChecker(self.names) for _ in range(self.num_envs)]
        self._reset_masks = [MaskChecker(self.names) for _ in range(self.num_envs)]

    def sample_actions(self, seed: int, steps: int) -> list[Any]:
        """Return the batches of actions that ``action_source`` generates."""
        actions = sample_actions(self.venv.action_space, seed, steps * self.num_envs)
        return [np.array(actions[i : i + self.num_envs]) for i in range(0, len(actions), self.num_envs)]

    def split_actions(self, actions: Any) -> list[Any]:
        """Split a batch of actions into one action per environment."""
        return list(actions)

    def reset(self, seed: int, position: RunPosition) -> list[ResetResult]:
        """Reset every environment and check the batched result."""
        self.venv.seed(seed)
        observations = self.venv.reset()
        resets = [self._check_reset(observations, row, position) for row in range(self.num_envs)]
        self._check_separate_memory([reset.mask for reset in resets], "reset_infos", position)
        return resets

    def step(self, actions: Any, position: RunPosition) -> list[Result]:
        """Step every environment and check the batched result."""
        observations, rewards, dones, infos = self.venv.step(actions)
        if not isinstance(infos, list | tuple) or len(infos) != self.num_envs:
            raise position.error(f"a list of {self.num_envs} infos", repr(infos)[:200], "return one dict per environment")
        masks = [checker.check(infos[row], position, f"infos[{row}]") for row, checker in enumerate(self._step_masks)]
        self._check_separate_memory(masks, "infos", position)
        self._check_batch(infos, masks, position)
        rows: list[Result] = []
        for row, info in enumerate(infos):
            done = bool(dones[row])
            last = self._terminal_observation(info, row, position) if done else self._observation(observations, row)
            reset = self._reset_after(observations, row, last, info, position) if done else None
            rows.append(StepResult(last, masks[row], float(rewards[row]), done, None, None, info, reset))
        return rows

    def _reset_after(self, observations: Any, row: int, last: Any, info: dict[str, Any], position: RunPosition) -> ResetResult:
        observation, mask = self._observation(observations, row), self._step_masks[row].latest
        same_state = observation_key(self.space, observation) == observation_key(self.space, last)
        if same_state and info.get(ENDED_BY_GOAL_KEY, False):
            # VecGoalSampler may report done where it only switches goals: the episode continues from the same state.
            return ResetResult(observation, mask)
        reset = self._check_reset(observations, row, position)
        if same_state and not np.array_equal(mask, reset.mask):
            raise position.error(
                f'infos[{row}]["terminal_observation"] and the mask to describe the same last state of the episode',
                "the first observation of the next episode with another mask",
                "store a copy of the last observation, and compute the mask, before the reset",
                select_names(self.names, mask != reset.mask),
            )
        return reset

    def _check_reset(self, observations: Any, row: int, position: RunPosition) -> ResetResult:
        # The innermost VecEnv: the wrappers' own reset_infos stay empty.
        info = self.venv.unwrapped.reset_infos[row]
        mask = self._reset_masks[row].check(info, position, f"venv.unwrapped.reset_infos[{row}]")
        return ResetResult(self._observation(observations, row), mask, info)

    def _terminal_observation(self, info: dict[str, Any], row: int, position: RunPosition) -> Any:
        if "terminal_observation" not in info:
            raise position.error(
                f'infos[{row}]["terminal_observation"] where dones[{row}] is True',
                f"only the keys {sorted(map(str, info))}",
                "store the last observation there before the reset",
            )
        return info["terminal_observation"]

    def _check_separate_memory(self, masks: list[Any], source: str, position: RunPosition) -> None:
        for row, mask in enumerate(masks):
            for other in range(row):
                if np.shares_memory(mask, masks[other]):
                    raise position.error(
                        f"the masks of {source}[{other}] and {source}[{row}] not to overlap",
                        "two masks that share memory",
                        "return different rows of one [N, G] array, or copies",
                        self.names,
                    )

    def _check_batch(self, infos: Any, masks: list[Any], position: RunPosition) -> None:
        batch = getattr(infos, "goals_achieved", None)
        if batch is not None and not np.array_equal(batch, np.stack(masks)):
            changed = select_names(self.names, (np.asarray(batch) != np.stack(masks)).any(axis=0))
            raise position.error(
                "infos.goals_achieved to be the [N, G] array of the masks in the infos",
                f"other values for {quote(changed)}",
                "build the InfoList from the rows of that array",
                changed,
            )

    def _observation(self, observations: Any, row: int) -> Any:
        if isinstance(observations, dict):
            return {key: value[row] for key, value in observations.items()}
        if isinstance(observations, tuple):
            return tuple(value[row] for value in observations)
        return observations[row]


def _on_success(venv: Any) -> str | None:
    """Return the mode of a VecGoalSampler around the environments, else that of the environments."""
    mode: str | None = getattr(venv, "on_success", None)
    if mode is None and venv.has_attr("on_success"):
        mode = venv.get_attr("on_success")[0]
    return mode
