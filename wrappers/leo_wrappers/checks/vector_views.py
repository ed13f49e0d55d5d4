"""Gymnasium's and Stable-Baselines3's vector environments, read as the transitions of N single environments."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import iterate

from leo_wrappers.checks.declarations import validate_goal_names
from leo_wrappers.checks.errors import Clock, ContractError, quote
from leo_wrappers.checks.masks import MaskJudge
from leo_wrappers.goal_set import BoolArray
from leo_wrappers.keys import MASK_KEY


@dataclass
class Start:
    """The first state of an episode."""

    observation: Any
    mask: BoolArray
    info: dict[str, Any] = field(default_factory=dict)


@dataclass
class Transition:
    """What one step did in one environment: its last state is the one before any reset."""

    observation: Any
    mask: BoolArray
    reward: float
    done: bool
    terminated: bool | None
    info: dict[str, Any]
    start: Start | None = None
    """The state after the reset, where one followed in the same step."""


class VectorView(Protocol):
    """What the checker needs of a vector environment."""

    num_envs: int
    names: tuple[str, ...]
    space: gym.Space[Any]
    on_success: str | None
    action_hint: str

    def sample_actions(self, seed: int, steps: int) -> list[Any]:
        """The batches of actions that ``action_hint`` describes."""

    def split_actions(self, actions: Any) -> list[Any]:
        """A batch of actions, one by one."""

    def reset(self, seed: int, clock: Clock) -> list[Start]:
        """Resets every environment."""

    def step(self, actions: Any, clock: Clock) -> list[Transition | Start]:
        """Steps every environment; a ``Start`` where the step was spent on a reset."""


def common_goal_names(per_env: Any) -> tuple[str, ...]:
    """
    The goal names that all environments have.

    :param per_env: the goal names of each
    """
    first, *others = (validate_goal_names(names) for names in per_env)
    for number, names in enumerate(others, start=1):
        if names != first:
            changed = [name for name in names if name not in first]
            raise ContractError(
                f"expected the same goal_names in every environment, got others in environment {number} than in environment 0 "
                f"(new: {quote(changed)}); build all of them with the same goals in the same order",
                goals=changed,
            )
    return first


class GymnasiumView:
    """
    :param venv: a Gymnasium vector environment
    """

    action_hint = "venv.action_space.sample() after venv.action_space.seed({seed})"

    def __init__(self, venv: VectorEnv[Any, Any, Any]) -> None:
        self.venv = venv
        self.num_envs = venv.num_envs
        self.space = venv.single_observation_space
        self.on_success = _per_env(venv, "on_success")
        self.names = self._read_names()
        self.mode = venv.metadata.get("autoreset_mode")
        if not isinstance(self.mode, AutoresetMode):
            raise ContractError(
                f'expected metadata["autoreset_mode"] to be a gymnasium.vector.AutoresetMode, got {self.mode!r}; '
                "declare which one the vector environment follows"
            )
        self._top = MaskJudge(self.names, (self.num_envs,))
        self._final = MaskJudge(self.names, (self.num_envs,))
        self._was_done = np.zeros(self.num_envs, dtype=bool)

    def sample_actions(self, seed: int, steps: int) -> list[Any]:
        """The batches of actions that ``action_hint`` describes."""
        from leo_wrappers.checks.env import sample_actions

        return sample_actions(self.venv.action_space, seed, steps)

    def split_actions(self, actions: Any) -> list[Any]:
        """A batch of actions, one by one."""
        return list(iterate(self.venv.action_space, actions))

    def reset(self, seed: int, clock: Clock) -> list[Start]:
        """Resets every environment."""
        observations, infos = self.venv.reset(seed=seed)
        self._was_done = np.zeros(self.num_envs, dtype=bool)
        masks = self._judge_batch(infos, clock, np.ones(self.num_envs, dtype=bool))
        return [
            Start(obs, masks[row], unbatch(infos, row))
            for row, obs in enumerate(iterate(self.venv.observation_space, observations))
        ]

    def step(self, actions: Any, clock: Clock) -> list[Transition | Start]:
        """Steps every environment; a ``Start`` where the step was spent on a reset."""
        observations, rewards, terminated, truncated, infos = self.venv.step(actions)
        self._check_arrays(rewards, terminated, truncated, clock)
        done = np.asarray(terminated | truncated)
        rows = list(iterate(self.venv.observation_space, observations))
        masks = self._judge_batch(infos, clock, np.ones(self.num_envs, dtype=bool))
        if self.mode == AutoresetMode.SAME_STEP:
            result = self._same_step(rows, masks, rewards, done, terminated, infos, clock)
        else:
            result = [
                Transition(obs, masks[i], float(rewards[i]), bool(done[i]), bool(terminated[i]), unbatch(infos, i))
                for i, obs in enumerate(rows)
            ]
        if self.mode == AutoresetMode.NEXT_STEP:
            for i in np.flatnonzero(self._was_done).tolist():
                if rewards[i] != 0 or done[i]:
                    raise clock.error(
                        f"the step after environment {i}'s last one to be its reset, with reward 0 and no end (NEXT_STEP)",
                        f"reward {rewards[i]}, terminated={terminated[i]}, truncated={truncated[i]}",
                        "ignore the action there and return the reset's observation and mask, or declare another mode",
                    )
                result[i] = Start(rows[i], masks[i], unbatch(infos, i))
        self._was_done = done
        if self.mode == AutoresetMode.DISABLED and done.any():
            self._reset_done(result, done, clock)
        return result

    def _same_step(
        self, rows: list[Any], masks: BoolArray, rewards: Any, done: BoolArray, terminated: Any, infos: Any, clock: Clock
    ) -> list[Transition | Start]:
        has_final = np.asarray(infos.get("_final_info", np.zeros(self.num_envs, dtype=bool)))
        if not np.array_equal(has_final, done):
            raise clock.error(
                f'infos["_final_info"] to tell which environments finished, {done.tolist()} (SAME_STEP)',
                str(has_final.tolist()) if "_final_info" in infos else "no such key",
                'put the last step\'s info of finished environments into infos["final_info"], and its observation into '
                'infos["final_obs"], because the top level belongs to the next episode already',
                self.names,
            )
        result: list[Transition | Start] = []
        finals = masks
        if done.any():
            finals = self._judge_batch(infos["final_info"], clock, done, 'infos["final_info"]', self._final)
            self._check_final_obs(infos, done, clock)
        for i, obs in enumerate(rows):
            reward, ended = float(rewards[i]), bool(terminated[i])
            if done[i]:
                start = Start(obs, masks[i], unbatch(infos, i))
                info = unbatch(infos["final_info"], i)
                result.append(Transition(infos["final_obs"][i], finals[i], reward, True, ended, info, start))
            else:
                result.append(Transition(obs, masks[i], reward, False, ended, unbatch(infos, i)))
        return result

    def _reset_done(self, result: list[Transition | Start], done: BoolArray, clock: Clock) -> None:
        """DISABLED: the caller resets what has finished."""
        observations, infos = self.venv.reset(options={"reset_mask": done.copy()})
        masks = self._judge_batch(infos, clock, done)
        rows = list(iterate(self.venv.observation_space, observations))
        for i in np.flatnonzero(done).tolist():
            transition = result[i]
            assert isinstance(transition, Transition)
            transition.start = Start(rows[i], masks[i], unbatch(infos, i))
        self._was_done = np.zeros(self.num_envs, dtype=bool)

    def _judge_batch(
        self, infos: Any, clock: Clock, present: BoolArray, source: str = "infos", judge: MaskJudge | None = None
    ) -> BoolArray:
        masks = (judge or self._top).judge(infos, clock, source)
        got = infos.get(f"_{MASK_KEY}")
        if not isinstance(got, np.ndarray) or got.dtype != np.bool_ or got.shape != (self.num_envs,) or (got != present).any():
            raise clock.error(
                f'{source}["_{MASK_KEY}"] to be the bool array {present.tolist()}, which environments have a mask',
                repr(got),
                "report a mask for every environment that was stepped or reset",
                self.names,
            )
        return masks

    def _check_final_obs(self, infos: Any, done: BoolArray, clock: Clock) -> None:
        observations = infos.get("final_obs")
        if observations is None or [obs is not None for obs in observations] != done.tolist():
            raise clock.error(
                f'infos["final_obs"] to hold the last observation of each finished environment, {done.tolist()}, else None',
                "no such key" if observations is None else repr(observations)[:200],
                "keep the observation of the last step there before resetting",
            )

    def _check_arrays(self, rewards: Any, terminated: Any, truncated: Any, clock: Clock) -> None:
        wanted = {"rewards": (rewards, "f"), "terminated": (terminated, "b"), "truncated": (truncated, "b")}
        for name, (value, kind) in wanted.items():
            if not isinstance(value, np.ndarray) or value.shape != (self.num_envs,) or value.dtype.kind != kind:
                raise clock.error(
                    f"{name} to be a {'float' if kind == 'f' else 'bool'} array of shape ({self.num_envs},)",
                    repr(value)[:200],
                    "return one value an environment",
                )

    def _read_names(self) -> tuple[str, ...]:
        per_env = _per_env(self.venv, "goal_names", common=False)
        if per_env is None:
            raise ContractError(
                f"expected {type(self.venv).__name__} or the environments in it to have goal_names, got none; "
                "set self.goal_names = (...), or wrap each environment with MultiGoalWrapper"
            )
        return common_goal_names(per_env)


def _per_env(venv: VectorEnv[Any, Any, Any], name: str, common: bool = True) -> Any:
    """An attribute of the vector environment, or of the environments in it."""
    inner: Any = venv
    while inner is not None:
        if name in vars(inner) or hasattr(type(inner), name):
            value = getattr(inner, name)
            return value if common else [value]
        inner = vars(inner).get("env")
    envs: Any = venv.unwrapped
    # Asked first: in a worker process, an attribute that is not there ends the whole vector environment.
    if not hasattr(envs, "call") or not all(envs.call("has_wrapper_attr", name)):
        return None
    values = envs.get_attr(name)
    return values[0] if common else values


def unbatch(infos: Mapping[str, Any], row: int) -> dict[str, Any]:
    """
    The info of one environment out of a vector environment's infos.

    :param infos: arrays, and bool arrays ``_key`` that tell which environments have the key
    :param row: the environment

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
