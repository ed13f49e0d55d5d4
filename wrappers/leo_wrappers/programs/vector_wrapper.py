"""Wrapper that runs a program on a vector environment."""

from copy import deepcopy
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space, iterate

from leo_wrappers.goal_conditioned import GoalView
from leo_wrappers.goal_set import BoolArray, check_goal_names
from leo_wrappers.infos import achieved_from_infos, final_infos
from leo_wrappers.keys import ENDED_BY_GOAL_KEY, PROGRAM_KEY
from leo_wrappers.programs.automaton import INITIAL, IntArray
from leo_wrappers.programs.compiler import compile_program
from leo_wrappers.programs.expressions import Program
from leo_wrappers.validation import check_env

Step = tuple[dict[str, Any], npt.NDArray[np.float64], BoolArray, BoolArray, dict[str, Any]]


class ProgramVectorWrapper(VectorWrapper):
    """
    Wrapper that rewards each of N multi-goal environments for completing a program.

    Observations, rewards and infos are those of :class:`~leo_wrappers.programs.ProgramWrapper`, in autoreset mode SAME_STEP:
    an environment whose program is complete or violated is reset in the same step.

    :param env: a multi-goal vector environment with autoreset mode DISABLED, which the wrapper resets itself
    :param program: the program, or its text

    Example::

        >>> import gymnasium as gym, leo_envs, numpy as np
        >>> from gymnasium.vector import AutoresetMode
        >>> env = gym.make_vec("leo/GridWorld-v0", num_envs=2, map="S..", autoreset_mode=AutoresetMode.DISABLED)
        >>> env = ProgramVectorWrapper(env, "cell/0,1 then cell/0,2")
        >>> obs, infos = env.reset()
        >>> env.step(np.array([1, 3]))[0]["program_state"]
        array([1, 0])
        >>> env.step(np.array([1, 3]))[1]
        array([1., 0.])
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], program: Program | str) -> None:
        check_env(env, (VectorEnv,))
        super().__init__(env)
        mode = env.metadata.get("autoreset_mode")
        if mode != AutoresetMode.DISABLED:
            raise ValueError(
                f"expected a vector environment with autoreset_mode DISABLED, which this wrapper resets itself, got {mode}; "
                "make it with autoreset_mode=gymnasium.vector.AutoresetMode.DISABLED"
            )
        self.metadata = {**env.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}
        self.goal_names = _goal_names(env)
        self.automaton = compile_program(program, self.goal_names)
        self._view = GoalView(env.single_observation_space, self.automaton.num_states, key=PROGRAM_KEY)
        self.single_observation_space = self._view.space
        self.observation_space = batch_space(self._view.space, env.num_envs)
        self._states: IntArray = np.full(env.num_envs, INITIAL, dtype=np.int64)

    @property
    def program_states(self) -> IntArray:
        """The current state of each environment's program, ``[N]``."""
        return self._states.copy()

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """
        Start an episode and the program in all environments.

        :param seed: seed of the environments
        :param options: options of the environments, without ``reset_mask``
        :return: observations with ``program_state``, and infos
        """
        if options and "reset_mask" in options:
            raise ValueError(
                "expected a reset of all environments, got a reset_mask; leave it out: step resets those that are done"
            )
        obs, infos = self.env.reset(seed=seed, options=options)
        self._states[:] = INITIAL
        return self._view.add(obs, self._states), {**infos, **self._program_infos(self._states)}

    def step(self, actions: Any) -> Step:
        """
        Step the environments and the programs, and reset those that are done.

        :param actions: one action per environment
        :return: observations, rewards, terminations, truncations and infos; ``final_obs`` and ``final_info`` of those reset
        """
        obs, _, terminated, truncated, infos = self.env.step(actions)
        masks = achieved_from_infos(infos, self.num_envs)
        states = self.automaton.step(self._states, masks)
        rewards = (states == self.automaton.accepted).astype(np.float64)
        ended = (states >= self.automaton.accepted) & ~terminated
        terminated = terminated | ended
        dones = terminated | truncated
        infos = {**infos, **self._program_infos(states)}
        self._states = np.where(dones, INITIAL, states)
        if dones.any():
            observations = iterate(self.observation_space, deepcopy(self._view.add(obs, states)))
            final = final_infos(dones, compress(observations, dones), masks[dones])
            by_goal = {ENDED_BY_GOAL_KEY: ended, f"_{ENDED_BY_GOAL_KEY}": ended}
            final["final_info"] = {**infos, **by_goal, **final["final_info"]}
            obs, reset_infos = self.env.reset(options={"reset_mask": dones})
            infos = {**_of_next_episodes(infos, reset_infos, dones), **self._program_infos(self._states), **final}
        return self._view.add(obs, self._states), rewards, terminated, truncated, infos

    def _program_infos(self, states: IntArray) -> dict[str, Any]:
        infos = {
            PROGRAM_KEY: states.copy(),
            "program_progress": self.automaton.progress[states],
            "is_success": states == self.automaton.accepted,
        }
        return infos | {f"_{key}": np.ones(self.num_envs, dtype=np.bool_) for key in infos}


def _of_next_episodes(infos: dict[str, Any], reset_infos: dict[str, Any], dones: BoolArray) -> dict[str, Any]:
    """Replace the rows of environments that were reset; an entry that a reset does not report is flagged as missing there."""
    result = dict(infos)
    for key, values in infos.items():
        if isinstance(values, np.ndarray) and f"_{key}" in infos:
            reported = reset_infos.get(f"_{key}", np.zeros_like(dones))
            result[f"_{key}"] = np.where(dones, reported, infos[f"_{key}"])
            result[key] = values.copy()
            if reported.any():
                result[key][dones & reported] = reset_infos[key][dones & reported]
    return result


def _goal_names(env: VectorEnv[Any, Any, Any]) -> tuple[str, ...]:
    """Return the goals that all environments have."""
    try:
        inner: Any = env.unwrapped
        # Gymnasium's own vector environments ask each environment; batched ones have the attribute themselves.
        names = set(inner.get_attr("goal_names")) if hasattr(inner, "get_attr") else {inner.goal_names}
    except AttributeError:
        names = set()
    if len(names) != 1:
        raise ValueError(
            f"expected environments with the same goals in the same order, got {len(names)} kinds of goal_names; wrap each "
            "with MultiGoalWrapper and one goal set"
        )
    return check_goal_names(names.pop())
