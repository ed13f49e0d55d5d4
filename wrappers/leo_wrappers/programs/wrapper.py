"""Wrapper that runs a program on a multi-goal environment."""

from typing import Any, SupportsFloat

import gymnasium as gym

from leo_wrappers.goal_conditioned import GoalView
from leo_wrappers.infos import read_mask
from leo_wrappers.keys import ENDED_BY_GOAL_KEY, PROGRAM_KEY
from leo_wrappers.multi_goal import goal_env_method
from leo_wrappers.programs.automaton import INITIAL
from leo_wrappers.programs.compiler import compile_program
from leo_wrappers.programs.expressions import Program
from leo_wrappers.validation import check_env


class ProgramWrapper(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """
    Wrapper that rewards a multi-goal environment for completing a program.

    The observation becomes a flat dictionary with ``program_state``, the state of the program's automaton, so that the task is
    Markov. The reward is 1.0 in the step that completes the program and 0.0 in all others; the episode terminates when the
    program is complete or violated. ``info["is_success"]`` is whether it is complete, ``info["program_progress"]`` how much of
    it is done, from 0 to 1. The masks stay as they are. Goals achieved at reset do not count.

    :param env: a multi-goal environment
    :param program: the program, or its text

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> env = ProgramWrapper(gym.make("leo/GridWorld-v0", map="S.."), "cell/0,2 then cell/0,0")
        >>> obs, info = env.reset()
        >>> [env.step(action)[1] for action in (1, 1, 3, 3)]
        [0.0, 0.0, 0.0, 1.0]
    """

    def __init__(self, env: gym.Env[Any, Any], program: Program | str) -> None:
        check_env(env)
        gym.utils.RecordConstructorArgs.__init__(self, _disable_deepcopy=True, program=program)
        gym.Wrapper.__init__(self, env)
        if not env.has_wrapper_attr("goal_names"):
            raise ValueError(
                "expected a multi-goal environment, got one without goal_names; wrap it with MultiGoalWrapper first"
            )
        self.automaton = compile_program(program, env.get_wrapper_attr("goal_names"))
        self._view = GoalView(env.observation_space, self.automaton.num_states, key=PROGRAM_KEY)
        self.observation_space = self._view.space
        self.program_state = INITIAL

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """
        Start an episode and the program.

        :param seed: seed of the environment
        :param options: options of the environment
        """
        obs, info = self.env.reset(seed=seed, options=options)
        read_mask(info, "at reset")
        self.program_state = INITIAL
        return self._view.add(obs, INITIAL), {**info, **self._program_info()}

    def step(self, action: Any) -> tuple[dict[str, Any], SupportsFloat, bool, bool, dict[str, Any]]:
        """Step the environment and the program."""
        obs, _, terminated, truncated, info = self.env.step(action)
        before = self.program_state
        self.program_state = int(self.automaton.step(before, read_mask(info, "at a step")))
        reward = float(self.program_state == self.automaton.accepted != before)
        info = {**info, **self._program_info()}
        if self.program_state >= self.automaton.accepted and not terminated:
            terminated = info[ENDED_BY_GOAL_KEY] = True
        return self._view.add(obs, self.program_state), reward, bool(terminated), bool(truncated), info

    def __getattr__(self, name: str) -> Any:
        return goal_env_method(self, name)

    def _program_info(self) -> dict[str, Any]:
        return {
            PROGRAM_KEY: self.program_state,
            "program_progress": float(self.automaton.progress[self.program_state]),
            "is_success": self.program_state == self.automaton.accepted,
        }
