"""Goal programs on the command line."""

from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from leo_agents.programs import ProgramPolicy, ProgramResult, ProgramRun, evaluate_programs, run_program
from leo_cli.agent_rollout import AgentRollout, RolloutStep
from leo_cli.named_goals import NamedGoal
from leo_cli.run_config import RunConfig
from leo_envs.common.mdp_mixin import FiniteMDPMixin
from leo_wrappers.programs import ProgramWrapper, compile_program


class ProgramRollout(AgentRollout):
    """
    Rollout of an agent on one program after another, each in a new episode. :meth:`run` takes the text of a program.

    :param agent: a LEO agent
    :param env: a multi-goal environment
    :param seed: seed of the first episode and of the random actions
    :param epsilon: probability of a random action
    """

    def __init__(self, agent: Any, env: gym.Env[Any, Any], seed: int | None = 0, epsilon: float = 0.0) -> None:
        self._model, self._plain_env = agent, env
        self._next_seed = seed
        super().__init__(agent, env, seed, epsilon)

    def run(self, goal: Any, max_steps: int | None = None) -> Iterator[RolloutStep]:
        """
        Run a program until it is complete or violated, the episode is done or ``max_steps`` is reached.

        :param goal: text of the program
        :param max_steps: maximum number of steps
        :return: iterator over the steps; ``achieved`` is whether the program is complete
        """
        self.env = ProgramWrapper(self._plain_env, goal)
        self.agent = ProgramPolicy(self._model, self.env.automaton, goal_observations(self.env))
        seed, self._next_seed = self._next_seed, None
        self.reset(seed)
        return super().run(goal, max_steps)

    def _wrap(self, env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
        return env

    def _command(self, goal: Any) -> None:
        pass  # the environment has the program

    def _achieved(self) -> bool:
        return bool(self._info["is_success"])


def check_programs(config: RunConfig, texts: Sequence[str]) -> list[NamedGoal]:
    """
    Check programs given on the command line.

    :param config: the run
    :param texts: the programs
    :return: the programs as :class:`ProgramRollout` takes them
    """
    if config.points is not None and texts:
        raise ValueError("expected a finite goal set for --program, got a run for which any point is a goal; use --goal")
    names = [compile_program(text, config.goals).program for text in texts]
    return [NamedGoal(name, name) for name in names]


def goal_observations(env: gym.Env[Any, Any]) -> npt.NDArray[Any] | None:
    """
    Return an observation in which each goal is achieved, if the environment can tell.

    :param env: a multi-goal environment
    :return: ``[G, *observation_space.shape]``; None if the states of the environment are not known
    """
    unwrapped = env.unwrapped
    if not isinstance(unwrapped, FiniteMDPMixin):
        return None
    states, goals = unwrapped.mdp.states_achieving(np.arange(unwrapped.mdp.num_goals))
    found, first = np.unique(goals, return_index=True)
    return unwrapped.mdp.observe(states[first]) if len(found) == unwrapped.mdp.num_goals else None


def evaluate_agent(
    config: RunConfig, agent: Any, programs: Sequence[NamedGoal], episodes: int, seed: int, max_steps: int | None = None
) -> list[ProgramResult]:
    """
    Evaluate the agent of a run on programs.

    :param config: the run
    :param agent: the agent
    :param programs: from :func:`check_programs`
    :param episodes: number of episodes per program
    :param seed: seed of the first episode
    :param max_steps: maximum number of steps per episode; that of the settings, or 1,000, if None
    :return: a result per program
    """
    env, limit = config.find_environment().make(), _max_steps(config, max_steps)
    names, observations = [program.name for program in programs], goal_observations(env)
    options: dict[str, Any] = {"max_steps": limit, "epsilon": config.settings.evaluation.epsilon}
    return evaluate_programs(agent, env, names, episodes, seed, goal_observations=observations, **options)


def record_programs(
    config: RunConfig, agent: Any, programs: Sequence[NamedGoal], seed: int, max_steps: int | None = None
) -> list[ProgramRun]:
    """
    Record an episode of each program.

    :param config: the run
    :param agent: the agent
    :param programs: from :func:`check_programs`
    :param seed: seed of the episodes
    :param max_steps: as in :func:`evaluate_agent`
    :return: an episode per program
    """
    env, limit = config.find_environment().make(), _max_steps(config, max_steps)
    options: dict[str, Any] = {
        "max_steps": limit,
        "epsilon": config.settings.evaluation.epsilon,
        "goal_observations": goal_observations(env),
    }
    return [run_program(agent, env, program.name, seed, **options) for program in programs]


def _max_steps(config: RunConfig, max_steps: int | None) -> int:
    limit = config.settings.evaluation.max_steps if max_steps is None else max_steps
    return 1_000 if limit is None else limit
