"""A Hypothesis state machine that calls an environment in random valid orders and shrinks contract violations."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import gymnasium as gym

from leo_wrappers.checks.arguments import check_checker_arguments
from leo_wrappers.checks.checker import ContractChecker
from leo_wrappers.checks.declarations import read_goal_names
from leo_wrappers.checks.episodes import Oracle
from leo_wrappers.checks.errors import ContractError
from leo_wrappers.checks.goal_conditioned import goal_setter_name
from leo_wrappers.checks.recording import Call
from leo_wrappers.testing._hypothesis import hypothesis, st, stateful
from leo_wrappers.testing.env_source import EnvLike, EnvSource
from leo_wrappers.testing.shrinking import CheckerSetup, shrink_calls
from leo_wrappers.testing.strategies import action_sequences
from leo_wrappers.validation import check_integer

MAX_ACTIONS_PER_RULE = 10
SEEDS = st.integers(0, 2**31 - 1)


class MultiGoalMachine(stateful.RuleBasedStateMachine):
    """
    State machine that resets with and without seeds, acts, commands goals and replays, checked by a
    :class:`~leo_wrappers.checks.ContractChecker`.

    :func:`multigoal_state_machine` creates the subclass for an environment; subclass that one to add rules.
    """

    setup: ClassVar[CheckerSetup]
    reuse_env: ClassVar[bool] = False
    failing: ClassVar[list[Call]] = []
    """The calls of the last failing run."""
    _shared: ClassVar[gym.Env[Any, Any] | None] = None

    def __init__(self) -> None:
        super().__init__()
        self.env: ContractChecker | None = None
        with self._reproducible():
            env = self.acquire_env()
            self.can_command = goal_setter_name(env) is not None
            self.can_replay = not (env.spec is not None and env.spec.nondeterministic)
            self.env = self.setup.wrap(env)

    @classmethod
    def acquire_env(cls) -> gym.Env[Any, Any]:
        """Return the environment for a run: a new one, or with ``reuse_env`` always the same."""
        if not cls.reuse_env:
            return cls.setup.source.make()
        if cls._shared is None:
            cls._shared = cls.setup.source.make()
        return cls._shared

    @classmethod
    def release_env(cls, env: gym.Env[Any, Any]) -> None:
        """Close an environment, unless the next run reuses it."""
        if env is not cls._shared:
            env.close()

    @property
    def checker(self) -> ContractChecker:
        """The environment under test, in its checker."""
        assert self.env is not None
        return self.env

    def reset(self, seed: int | None) -> None:
        """Reset the environment."""
        with self._reproducible():
            self.checker.reset(seed=seed)

    def play(self, actions: list[Any]) -> None:
        """Step through the actions, with a reset after every episode."""
        with self._reproducible():
            for action in actions:
                if self.checker.needs_reset:
                    self.checker.reset()
                self.checker.step(action)

    def set_goal(self, goal: int) -> None:
        """Command a goal."""
        with self._reproducible():
            self.checker.command_goal(goal)

    def replay(self) -> None:
        """Replay all calls since the last seeded reset."""
        with self._reproducible():
            self.checker.replay()

    def teardown(self) -> None:
        """Release the environment."""
        if self.env is not None:
            self.release_env(self.env.env)

    @contextmanager
    def _reproducible(self) -> Iterator[None]:
        """Attach the calls so far to any error."""
        try:
            yield
        except Exception as error:
            calls = [] if self.env is None else self.env.calls
            type(self).failing = calls
            self.setup.attach_program(error, calls)
            raise


def multigoal_state_machine(
    env: EnvLike,
    *,
    observation_determines_mask: bool = True,
    oracle: Oracle | None = None,
    reuse_env: bool = False,
) -> type[MultiGoalMachine]:
    """
    Create the state machine for an environment. Its ``TestCase`` is a test; subclass it to add rules.

    :param env: the environment's id for ``gymnasium.make``, or a function that creates it
    :param observation_determines_mask: see :class:`~leo_wrappers.checks.ContractChecker`
    :param oracle: see :class:`~leo_wrappers.checks.ContractChecker`
    :param reuse_env: create the environment once and reset it for each run, for environments that are slow to create. A fault
        that depends on earlier runs may then not shrink.
    """
    check_checker_arguments(oracle=oracle, observation_determines_mask=observation_determines_mask, reuse_env=reuse_env)
    setup = CheckerSetup(EnvSource(env), observation_determines_mask, oracle)

    @functools.cache
    def spaces() -> tuple[gym.Space[Any], int]:
        env = setup.source.make()
        try:
            return env.action_space, len(read_goal_names(env))
        finally:
            env.close()

    actions = st.deferred(lambda: action_sequences(spaces()[0], max_size=MAX_ACTIONS_PER_RULE, min_size=1))
    goals = st.deferred(lambda: st.integers(0, spaces()[1] - 1))
    base = MultiGoalMachine
    can_command = stateful.precondition(lambda self: self.can_command)
    can_replay = stateful.precondition(lambda self: self.can_replay)
    rules = {
        "begin": stateful.initialize(seed=SEEDS)(_copy_method(base.reset)),
        "reset_env": stateful.rule(seed=st.none() | SEEDS)(_copy_method(base.reset)),
        # Twice, because most faults occur while acting.
        "act": stateful.rule(actions=actions)(_copy_method(base.play)),
        "act_again": stateful.rule(actions=actions)(_copy_method(base.play)),
        "command_goal": stateful.rule(goal=goals)(can_command(_copy_method(base.set_goal))),
        "replay_calls": stateful.rule()(can_replay(_copy_method(base.replay))),
    }
    return type("MultiGoalMachine", (base,), {"setup": setup, "reuse_env": reuse_env, **rules})


def _copy_method(method: Any) -> Any:
    """Copy a method, because Hypothesis modifies the functions that become rules."""

    @functools.wraps(method)
    def rule(self: MultiGoalMachine, **arguments: Any) -> None:
        method(self, **arguments)

    return rule


def run_state_machine(
    env: EnvLike,
    *,
    max_examples: int = 100,
    stateful_step_count: int = 20,
    observation_determines_mask: bool = True,
    oracle: Oracle | None = None,
    reuse_env: bool = False,
) -> None:
    """
    Call an environment in random valid orders; raise a contract violation after as few calls as possible.

    The message of the :class:`~leo_wrappers.checks.ContractError` ends with a program that reproduces it; ``error.calls``
    has its calls. All other settings, such as ``derandomize`` for CI, come from the current Hypothesis profile.

    :param env: the environment's id for ``gymnasium.make``, or a function that creates it
    :param max_examples: number of runs
    :param stateful_step_count: maximum number of rules in a run; a rule takes up to ten steps
    :param observation_determines_mask: see :class:`~leo_wrappers.checks.ContractChecker`
    :param oracle: see :class:`~leo_wrappers.checks.ContractChecker`
    :param reuse_env: create the environment once and reset it for each run, for environments that are slow to create

    Example::

        >>> import gymnasium as gym
        >>> from leo_wrappers import MultiGoalWrapper, PredicateGoals
        >>> goals = PredicateGoals({"pole/left": lambda obs: obs[..., 2] < 0, "cart/left": lambda obs: obs[..., 0] < 0})
        >>> run_state_machine(lambda: MultiGoalWrapper(gym.make("CartPole-v1"), goals), max_examples=5)
    """
    check_integer("stateful_step_count", stateful_step_count, 1)
    check_checker_arguments(oracle=oracle, max_examples=max_examples)
    machine = multigoal_state_machine(
        env, observation_determines_mask=observation_determines_mask, oracle=oracle, reuse_env=reuse_env
    )
    settings = hypothesis.settings(
        max_examples=max_examples,
        stateful_step_count=stateful_step_count,
        deadline=None,
        report_multiple_bugs=False,
        # The explain phase compares line coverage, which adds nothing to the message of a contract error.
        phases=[phase for phase in hypothesis.settings().phases if phase is not hypothesis.Phase.explain],
        suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large],
    )
    try:
        stateful.run_state_machine_as_test(machine, settings=settings)
    except hypothesis.errors.Flaky as flaky:
        found = [error for error in getattr(flaky, "exceptions", ()) if isinstance(error, ContractError)]
        if not found:
            raise
        found[0].add_note(
            "The same calls do not always raise this error: the environment is not deterministic, or depends on earlier runs "
            "that reuse_env keeps."
        )
        raise found[0] from None
    except Exception as error:
        raise _shrink(machine, error) from None
    finally:
        if machine._shared is not None:
            machine._shared.close()


def _shrink(machine: type[MultiGoalMachine], error: Exception) -> Exception:
    """Return the same error after as few calls as possible."""

    def play(calls: list[Call]) -> Exception | None:
        env = machine.acquire_env()
        try:
            return machine.setup.play(env, calls)
        finally:
            machine.release_env(env)

    calls, shortest = shrink_calls(machine.failing, error, play)
    if shortest is not error:
        machine.setup.attach_program(shortest, calls)
    return shortest
