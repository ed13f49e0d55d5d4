"""Evaluation of policies on programs."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from stable_baselines3.common.type_aliases import PolicyPredictor

from leo_agents.networks.policies import Observation
from leo_agents.programs.policy import ProgramPolicy
from leo_wrappers.programs import Program, ProgramAutomaton, ProgramWrapper
from leo_wrappers.validation import check_callable, check_env, check_integer, check_iterable, check_seed

MakePolicy = Callable[[ProgramAutomaton], PolicyPredictor]


class ProgramResult(NamedTuple):
    """Result of the episodes of one program."""

    program: str
    """The program as text."""
    episodes: int
    """Number of episodes."""
    steps: tuple[int, ...]
    """Number of steps of each episode that completed the program."""
    violated: int
    """Number of episodes that violated it; the others ran out of time."""

    @property
    def completed(self) -> float:
        """Fraction of the episodes that completed the program."""
        return len(self.steps) / self.episodes


def evaluate_programs(
    model: Any,
    env: gym.Env[Any, Any],
    programs: Iterable[Program | str],
    episodes: int = 1,
    seed: int | None = None,
    *,
    goal_observations: Observation | None = None,
    max_steps: int = 1_000,
    make_policy: MakePolicy | None = None,
) -> list[ProgramResult]:
    """
    Evaluate a model on programs, one after the other.

    :param model: a trained LEO agent
    :param env: a multi-goal environment with the goals of the model
    :param programs: the programs, or their texts
    :param episodes: number of episodes per program
    :param seed: seed of the first episode of each program; episode i has ``seed + i``. None leaves them unseeded
    :param goal_observations: see :class:`~leo_agents.programs.ProgramPolicy`
    :param max_steps: number of steps after which an episode ends without success
    :param make_policy: creates another policy for the automaton of a program, to compare it; a
        :class:`~leo_agents.programs.ProgramPolicy` of the model if None
    :return: a result per program

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from leo_agents import LEODQN
        >>> env = gym.make("leo/GridWorld-v0", map="S..")
        >>> model = LEODQN("MultiGoalPolicy", env, seed=0)
        >>> evaluate_programs(model, env, ["cell/0,2 then cell/0,0"], max_steps=10)[0].episodes
        1
    """
    check_env(env)
    check_iterable("programs", programs)
    check_integer("episodes", episodes, 1)
    check_integer("max_steps", max_steps, 1)
    check_seed(seed)
    if make_policy is not None:
        check_callable("make_policy", make_policy)
    results = []
    for program in programs:
        wrapped = ProgramWrapper(env, program)
        if make_policy is None:
            policy: PolicyPredictor = ProgramPolicy(model, wrapped.automaton, goal_observations)
        else:
            policy = make_policy(wrapped.automaton)
        outcomes = [
            _run_episode(policy, wrapped, None if seed is None else seed + number, max_steps) for number in range(episodes)
        ]
        steps = tuple(count for count, state in outcomes if state == wrapped.automaton.accepted)
        violated = sum(state == wrapped.automaton.violated for _, state in outcomes)
        results.append(ProgramResult(wrapped.automaton.program, episodes, steps, violated))
    return results


def _run_episode(policy: PolicyPredictor, env: ProgramWrapper, seed: int | None, max_steps: int) -> tuple[int, int]:
    """Run an episode; return its number of steps and the last state of the program."""
    obs, _ = env.reset(seed=seed)
    count, done = 0, False
    while not done and count < max_steps:
        count += 1
        action, _ = policy.predict(obs, deterministic=True)
        obs, _, terminated, truncated, _ = env.step(np.asarray(action)[()])
        done = terminated or truncated
    return count, env.program_state
