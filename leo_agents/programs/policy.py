"""Policy that acts on a program without training."""

from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from leo_agents.networks.policies import Observation, expected_steps
from leo_agents.programs.planner import ProgramPlanner, Target
from leo_wrappers.keys import PROGRAM_KEY
from leo_wrappers.programs import Program, ProgramAutomaton, compile_program
from leo_wrappers.validation import check_at_least, check_integer


class ProgramPolicy:
    """
    Acts on a program with the values of a model that was trained on single goals.

    In every step a :class:`~leo_agents.programs.ProgramPlanner` chooses the goals to achieve next, with
    :meth:`expected_steps` of the model as distances. The action is that of the largest value, over the goals of which one must
    be achieved by the largest and over those that must hold together by the smallest Q-value. With discrete actions, those
    after which a goal to avoid is expected within ``avoid_steps`` are not taken, unless there is no other.

    It is a model for :class:`~leo_wrappers.programs.ProgramWrapper`: ``predict`` reads ``program_state``.

    :param model: a trained LEO agent, or a :class:`~leo_agents.learning.policy_data.PolicyAgent` of any policy with values of
        all goals
    :param program: the program, its text, or its automaton
    :param goal_observations: an observation in which each goal was achieved, a batch of G in the order of the goals. The
        distances between goals are the model's for these. If None, they are taken from the current observation
    :param avoid_steps: expected number of steps to a goal to avoid, up to which an action is not taken
    :param max_hop: number of steps up to which the distances between goals are relied on: longer paths lead over other goals

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from leo_agents import LEODQN
        >>> from leo_wrappers.programs import ProgramWrapper
        >>> env = gym.make("leo/GridWorld-v0")
        >>> policy = ProgramPolicy(LEODQN("MultiGoalPolicy", env, seed=0), "cell/0,0 then cell/3,2 avoiding cell/8,9")
        >>> obs, info = ProgramWrapper(env, "cell/0,0 then cell/3,2 avoiding cell/8,9").reset(seed=0)
        >>> policy.act(obs["observation"], state=0) in env.action_space
        True
    """

    def __init__(
        self,
        model: Any,
        program: Program | str | ProgramAutomaton,
        goal_observations: Observation | None = None,
        *,
        avoid_steps: float = 1.75,
        max_hop: float = 5.0,
    ) -> None:
        if not all(hasattr(model, name) for name in ("values", "act", "goal_names", "gamma")):
            raise TypeError(
                f"expected a trained LEO agent, got {type(model).__name__}; pass the model, or PolicyAgent(policy, gamma)"
            )
        check_at_least("avoid_steps", avoid_steps, 1.0)
        self.model, self.avoid_steps = model, avoid_steps
        names = tuple(model.goal_names)
        if not names:
            raise ValueError(
                "expected a model with a finite goal set, whose names a program can use, got one for which any point is a "
                "goal; wrap the environment with MultiGoalWrapper and train in it"
            )
        self.automaton = program if isinstance(program, ProgramAutomaton) else compile_program(program, names)
        if self.automaton.goal_names != names:
            raise ValueError(
                f"expected an automaton for the {len(names)} goals of the model, got one for {len(self.automaton.goal_names)} "
                "others; compile the program with model.goal_names"
            )
        distances = None if goal_observations is None else self._steps(model.values(goal_observations))
        self.planner = ProgramPlanner(self.automaton, distances, max_hop)

    def act(self, observation: Observation, state: int) -> Any:
        """
        Get the action for a state of the program.

        :param observation: a single observation
        :param state: the state of the automaton; 0 at the start of an episode, then ``automaton.step(state, mask)``
        :return: the action, an int for discrete actions
        """
        check_integer("state", state, 0, self.automaton.num_states - 1)
        batch = _map(lambda value: np.asarray(value)[None], observation)
        action = self._actions(batch, np.array([state]))[0]
        return int(action) if isinstance(self.model.action_space, spaces.Discrete) else action

    def predict(
        self,
        observation: Observation,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """
        Get the actions in an environment that runs the program, see Stable-Baselines3.

        :param observation: an observation with ``program_state``, or a batch of them
        :param state: returned as it is
        :param episode_start: not used
        :param deterministic: not used; the policy is deterministic
        :return: the actions and the state
        """
        if not isinstance(observation, dict) or PROGRAM_KEY not in observation:
            raise ValueError(
                f"expected an observation with {PROGRAM_KEY!r}, got one without; wrap the environment with ProgramWrapper"
            )
        states = np.asarray(observation[PROGRAM_KEY])
        rest = {key: value for key, value in observation.items() if key != PROGRAM_KEY}
        if states.ndim:
            return self._actions(rest, states), state
        return np.asarray(self._actions(_map(lambda value: np.asarray(value)[None], rest), states[None])[0]), state

    def _actions(self, observation: Observation, states: npt.NDArray[Any]) -> npt.NDArray[Any]:
        q_values = self.model.q_values(observation) if hasattr(self.model, "q_values") else None
        values = self.model.values(observation) if q_values is None else q_values.max(axis=2)
        # The ends of the program have nothing to plan; any action will do.
        running = np.where(states < self.automaton.accepted, states, 0)
        targets = [self.planner.plan(int(s), steps) for s, steps in zip(running, self._steps(values), strict=True)]
        if q_values is not None:
            return np.array([self._best(target, q) for target, q in zip(targets, q_values, strict=True)])
        rows = [_map(lambda value, row=row: np.asarray(value)[row], observation) for row in range(len(targets))]
        return np.array([self.model.act(o, _farthest(t, v)) for o, t, v in zip(rows, targets, values, strict=True)])

    def _best(self, target: Target, q_values: npt.NDArray[np.float32]) -> int:
        """Return the action of the largest value for a target, of Q-values ``[G, A]``."""
        value = np.min([q_values[goals].max(axis=0) for goals in target.goals], axis=0)
        meant = np.concatenate(target.goals)
        harmful = np.setdiff1d(target.harmful, meant)
        if len(harmful):
            near = self._steps(q_values[harmful]).min(axis=0) <= self.avoid_steps
            value = value - 2.0 * near  # below all values that are not near
        return int(np.argmax(value))

    def _steps(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return expected_steps(values, self.model.gamma)


def _farthest(target: Target, values: npt.NDArray[Any]) -> int:
    """Return the goal to command where several must hold in one state: the one that takes longest."""
    nearest = [int(goals[np.argmax(values[goals])]) for goals in target.goals]
    return min(nearest, key=lambda goal: float(values[goal]))


def _map(function: Any, observation: Observation) -> Any:
    """Apply a function to an observation, or to each entry of it."""
    if isinstance(observation, dict):
        return {key: function(value) for key, value in observation.items()}
    return function(observation)
