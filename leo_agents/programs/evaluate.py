"""Evaluation of policies on programs."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from stable_baselines3.common.type_aliases import PolicyPredictor
from stable_baselines3.common.vec_env import DummyVecEnv

from leo_agents.evaluation.evaluate import check_epsilon, goal_positions
from leo_agents.evaluation.goal_report import FloatArray
from leo_agents.networks.policies import Observation
from leo_agents.programs.policy import ProgramPolicy
from leo_wrappers.goal_set import BoolArray
from leo_wrappers.keys import MASK_KEY
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


@dataclass(frozen=True, eq=False)
class ProgramRun:
    """
    A recorded episode of a program, made by :func:`~leo_agents.programs.run_program`.

    :param automaton: the program
    :param states: its state before the first step and after each one
    :param masks: the masks of the same states, bool ``[T + 1, G]``
    :param positions: 2D positions of the goals ``[G, 2]``, if they have any
    :param axes: names of the two coordinates; an axis named "row" points downwards
    """

    automaton: ProgramAutomaton
    states: tuple[int, ...]
    masks: BoolArray
    positions: FloatArray | None = None
    axes: tuple[str, str] = ("x", "y")

    @property
    def num_steps(self) -> int:
        """Number of steps, T."""
        return len(self.states) - 1

    @property
    def completed(self) -> bool:
        """Whether the program was completed."""
        return self.states[-1] == self.automaton.accepted

    @property
    def violated(self) -> bool:
        """Whether the program was violated."""
        return self.states[-1] == self.automaton.violated


def evaluate_programs(
    model: Any,
    env: gym.Env[Any, Any],
    programs: Iterable[Program | str],
    episodes: int = 1,
    seed: int | None = None,
    *,
    goal_observations: Observation | None = None,
    max_steps: int = 1_000,
    epsilon: float = 0.0,
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
    :param epsilon: probability of a uniformly random action
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
    check_epsilon(epsilon)
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
        seeds = [None if seed is None else seed + number for number in range(episodes)]
        runs = [_run_episode(policy, wrapped, episode_seed, max_steps, epsilon)[0] for episode_seed in seeds]
        steps = tuple(len(states) - 1 for states in runs if states[-1] == wrapped.automaton.accepted)
        violated = sum(states[-1] == wrapped.automaton.violated for states in runs)
        results.append(ProgramResult(wrapped.automaton.program, episodes, steps, violated))
    return results


def run_program(
    model: Any,
    env: gym.Env[Any, Any],
    program: Program | str,
    seed: int | None = None,
    *,
    goal_observations: Observation | None = None,
    max_steps: int = 1_000,
    epsilon: float = 0.0,
) -> ProgramRun:
    """
    Run one episode of a program and record it, for :func:`~leo_agents.programs.plot_programs`.

    :param model: a trained LEO agent
    :param env: a multi-goal environment with the goals of the model
    :param program: the program, or its text
    :param seed: seed of the episode
    :param goal_observations: see :class:`~leo_agents.programs.ProgramPolicy`
    :param max_steps: number of steps after which the episode ends
    :param epsilon: probability of a uniformly random action
    :return: states of the program and masks

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from leo_agents import LEODQN
        >>> env = gym.make("leo/GridWorld-v0", map="S..")
        >>> run_program(LEODQN("MultiGoalPolicy", env, seed=0), env, "cell/0,2 then cell/0,0", max_steps=4).states[0]
        0
    """
    check_env(env)
    check_integer("max_steps", max_steps, 1)
    check_epsilon(epsilon)
    check_seed(seed)
    wrapped = ProgramWrapper(env, program)
    policy = ProgramPolicy(model, wrapped.automaton, goal_observations)
    states, masks = _run_episode(policy, wrapped, seed, max_steps, epsilon)
    positions, axes = goal_positions(DummyVecEnv([lambda: env]), wrapped.automaton.goal_names) or (None, ("x", "y"))
    return ProgramRun(wrapped.automaton, tuple(states), np.stack(masks), positions, axes)


def _run_episode(
    policy: PolicyPredictor, env: ProgramWrapper, seed: int | None, max_steps: int, epsilon: float
) -> tuple[list[int], list[BoolArray]]:
    """Run an episode; return states of the program and masks, from those of the reset on."""
    actions = copy.deepcopy(env.action_space)
    actions.seed(seed)
    obs, info = env.reset(seed=seed)
    states, masks, done = [env.program_state], [info[MASK_KEY]], False
    while not done and len(states) <= max_steps:
        is_random = actions.np_random.random() < epsilon
        action = actions.sample() if is_random else policy.predict(obs, deterministic=True)[0]
        obs, _, terminated, truncated, info = env.step(np.asarray(action)[()])
        states.append(env.program_state)
        masks.append(info[MASK_KEY].copy())
        done = terminated or truncated
    return states, masks
