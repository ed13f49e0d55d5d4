"""Stable-Baselines3's vector environments, read as the transitions of N single environments."""

from typing import Any

import numpy as np

from leo_wrappers.checks.errors import Clock, ContractError, quote, select_names
from leo_wrappers.checks.mask_consistency import fingerprint
from leo_wrappers.checks.masks import MaskJudge
from leo_wrappers.checks.vector_views import Start, Transition, common_goal_names


class SB3View:
    """
    :param venv: a Stable-Baselines3 ``VecEnv``
    """

    action_hint = "[venv.action_space.sample() for each environment] after venv.action_space.seed({seed})"

    def __init__(self, venv: Any) -> None:
        self.venv = venv
        self.num_envs: int = venv.num_envs
        self.space = venv.observation_space
        # Asked first: in a worker process, an attribute that is not there ends the whole vector environment.
        if not venv.has_attr("goal_names"):
            raise ContractError(
                f"expected the environments in {type(venv).__name__} to have goal_names, got none; "
                "wrap each with MultiGoalWrapper before vectorising"
            )
        self.names = common_goal_names(venv.get_attr("goal_names"))
        self.on_success = _on_success(venv)
        self._steps = [MaskJudge(self.names) for _ in range(self.num_envs)]
        self._starts = [MaskJudge(self.names) for _ in range(self.num_envs)]

    def sample_actions(self, seed: int, steps: int) -> list[Any]:
        """The batches of actions that ``action_hint`` describes."""
        from leo_wrappers.checks.env import sample_actions

        actions = sample_actions(self.venv.action_space, seed, steps * self.num_envs)
        return [np.array(actions[i : i + self.num_envs]) for i in range(0, len(actions), self.num_envs)]

    def split_actions(self, actions: Any) -> list[Any]:
        """A batch of actions, one by one."""
        return list(actions)

    def reset(self, seed: int, clock: Clock) -> list[Start]:
        """Resets every environment."""
        self.venv.seed(seed)
        observations = self.venv.reset()
        starts = [self._start(observations, row, clock) for row in range(self.num_envs)]
        self._check_rows([start.mask for start in starts], "reset_infos", clock)
        return starts

    def step(self, actions: Any, clock: Clock) -> list[Transition | Start]:
        """Steps every environment."""
        observations, rewards, dones, infos = self.venv.step(actions)
        if not isinstance(infos, list | tuple) or len(infos) != self.num_envs:
            raise clock.error(f"a list of {self.num_envs} infos", repr(infos)[:200], "return one dict an environment")
        masks = [judge.judge(infos[row], clock, f"infos[{row}]") for row, judge in enumerate(self._steps)]
        self._check_rows(masks, "infos", clock)
        self._check_batch(infos, masks, clock)
        result: list[Transition | Start] = []
        for row, info in enumerate(infos):
            done = bool(dones[row])
            last = self._terminal_observation(info, row, clock) if done else self._row(observations, row)
            start = self._start_after(observations, row, last, clock) if done else None
            result.append(Transition(last, masks[row], float(rewards[row]), done, None, info, start))
        return result

    def _start_after(self, observations: Any, row: int, last: Any, clock: Clock) -> Start:
        observation = self._row(observations, row)
        if fingerprint(self.space, observation) == fingerprint(self.space, last):
            # A goal sampler may report an end where it only switches goals: the state, and so the mask, goes on.
            return Start(observation, self._steps[row].latest)
        return self._start(observations, row, clock)

    def _start(self, observations: Any, row: int, clock: Clock) -> Start:
        # The innermost VecEnv: wrappers own a reset_infos of their own, which nobody fills.
        info = self.venv.unwrapped.reset_infos[row]
        mask = self._starts[row].judge(info, clock, f"venv.unwrapped.reset_infos[{row}]")
        return Start(self._row(observations, row), mask)

    def _terminal_observation(self, info: dict[str, Any], row: int, clock: Clock) -> Any:
        if "terminal_observation" not in info:
            raise clock.error(
                f'infos[{row}]["terminal_observation"] where dones[{row}] is True',
                f"only the keys {sorted(map(str, info))}",
                "keep the last observation there before resetting",
            )
        return info["terminal_observation"]

    def _check_rows(self, masks: list[Any], source: str, clock: Clock) -> None:
        for row, mask in enumerate(masks):
            for other in range(row):
                if np.shares_memory(mask, masks[other]):
                    raise clock.error(
                        f"a mask of its own in every info, and {source}[{other}] and {source}[{row}] not to overlap",
                        "two masks that share memory",
                        "hand out different rows of one [N, G] array, or copies",
                        self.names,
                    )

    def _check_batch(self, infos: Any, masks: list[Any], clock: Clock) -> None:
        batch = getattr(infos, "goals_achieved", None)
        if batch is not None and not np.array_equal(batch, np.stack(masks)):
            differ = (np.asarray(batch) != np.stack(masks)).any(axis=0)
            raise clock.error(
                "infos.goals_achieved to be the [N, G] array of the same masks that the infos hold",
                f"other values for {quote(select_names(self.names, differ))}",
                "build the InfoList from the rows of that array",
                select_names(self.names, differ),
            )

    def _row(self, observations: Any, row: int) -> Any:
        if isinstance(observations, dict):
            return {key: value[row] for key, value in observations.items()}
        if isinstance(observations, tuple):
            return tuple(value[row] for value in observations)
        return observations[row]


def _on_success(venv: Any) -> str | None:
    """Of a goal sampler among the wrappers of the vector environment, else of the environments."""
    mode: str | None = getattr(venv, "on_success", None)
    if mode is None and venv.has_attr("on_success"):
        mode = venv.get_attr("on_success")[0]
    return mode
