"""A state machine that drives an environment every allowed way, and shrinks what breaks the contract to the fewest calls."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import gymnasium as gym

from leo_wrappers.checks.checker import ContractChecker, Oracle
from leo_wrappers.checks.declarations import read_goal_names
from leo_wrappers.checks.errors import ContractError
from leo_wrappers.checks.goal_judge import commander
from leo_wrappers.checks.recording import Call
from leo_wrappers.testing._hypothesis import hypothesis, st, stateful
from leo_wrappers.testing.env_source import EnvLike, EnvSource
from leo_wrappers.testing.shrinking import Setup, cut_down
from leo_wrappers.testing.strategies import action_sequences

WALK = 10
SEEDS = st.integers(0, 2**31 - 1)


class MultiGoalMachine(stateful.RuleBasedStateMachine):
    """
    Resets with and without seeds, acts, commands goals and replays; a :class:`~leo_wrappers.checks.ContractChecker` judges.

    :func:`multigoal_state_machine` makes the subclass for an environment, whose own rules may be added in a further subclass.
    """

    setup: ClassVar[Setup]
    reuse_env: ClassVar[bool] = False
    failing: ClassVar[list[Call]] = []
    """The calls of the last run that went wrong."""
    _shared: ClassVar[gym.Env[Any, Any] | None] = None

    def __init__(self) -> None:
        super().__init__()
        self.env: ContractChecker | None = None
        with self._reproducible():
            bare = self.borrow()
            self.can_command = commander(bare) is not None
            self.can_replay = not (bare.spec is not None and bare.spec.nondeterministic)
            self.env = self.setup.watch(bare)

    @classmethod
    def borrow(cls) -> gym.Env[Any, Any]:
        """An environment for one run: a new one, or with ``reuse_env`` always the same."""
        if not cls.reuse_env:
            return cls.setup.source.make()
        if cls._shared is None:
            cls._shared = cls.setup.source.make()
        return cls._shared

    @classmethod
    def give_back(cls, env: gym.Env[Any, Any]) -> None:
        """Closes an environment, unless the next run needs it."""
        if env is not cls._shared:
            env.close()

    @property
    def checker(self) -> ContractChecker:
        """The environment under test, judged at every call."""
        assert self.env is not None
        return self.env

    def reset(self, seed: int | None) -> None:
        """Begins an episode."""
        with self._reproducible():
            self.checker.reset(seed=seed)

    def walk(self, actions: list[Any]) -> None:
        """Acts, and resets where an episode ends."""
        with self._reproducible():
            for action in actions:
                if self.checker.needs_reset:
                    self.checker.reset()
                self.checker.step(action)

    def command(self, goal: int) -> None:
        """Commands a goal."""
        with self._reproducible():
            self.checker.command_goal(goal)

    def replay(self) -> None:
        """Repeats all calls since the last seeded reset."""
        with self._reproducible():
            self.checker.replay()

    def teardown(self) -> None:
        """Ends the run."""
        if self.env is not None:
            self.give_back(self.env.env)

    @contextmanager
    def _reproducible(self) -> Iterator[None]:
        """Puts the calls so far into whatever goes wrong."""
        try:
            yield
        except Exception as error:
            calls = [] if self.env is None else self.env.calls
            type(self).failing = calls
            self.setup.explain(error, calls)
            raise


def multigoal_state_machine(
    env: EnvLike,
    *,
    observation_determines_mask: bool = True,
    oracle: Oracle | None = None,
    reuse_env: bool = False,
) -> type[MultiGoalMachine]:
    """
    The state machine for an environment. Its ``TestCase`` is a test; subclass it to add rules.

    :param env: the environment's id, as ``gymnasium.make`` takes it, or a function that makes it
    :param observation_determines_mask: see :class:`~leo_wrappers.checks.ContractChecker`
    :param oracle: see :class:`~leo_wrappers.checks.ContractChecker`
    :param reuse_env: make the environment once and reset it for each run, where making one takes long. A fault that depends on
        the environment's whole life may then not shrink.
    """

    setup = Setup(EnvSource(env), observation_determines_mask, oracle)

    @functools.cache
    def probe() -> tuple[gym.Space[Any], int]:
        made = setup.source.make()
        try:
            return made.action_space, len(read_goal_names(made))
        finally:
            made.close()

    actions = st.deferred(lambda: action_sequences(probe()[0], max_size=WALK, min_size=1))
    goals = st.deferred(lambda: st.integers(0, probe()[1] - 1))
    base = MultiGoalMachine
    can_command = stateful.precondition(lambda self: self.can_command)
    can_replay = stateful.precondition(lambda self: self.can_replay)
    rules = {
        "begin": stateful.initialize(seed=SEEDS)(_renamed(base.reset)),
        "reset_env": stateful.rule(seed=st.none() | SEEDS)(_renamed(base.reset)),
        # Twice, because most of what goes wrong does so while acting.
        "act": stateful.rule(actions=actions)(_renamed(base.walk)),
        "act_on": stateful.rule(actions=actions)(_renamed(base.walk)),
        "command_goal": stateful.rule(goal=goals)(can_command(_renamed(base.command))),
        "replay_calls": stateful.rule()(can_replay(_renamed(base.replay))),
    }
    return type("MultiGoalMachine", (base,), {"setup": setup, "reuse_env": reuse_env, **rules})


def _renamed(method: Any) -> Any:
    """A copy of a method: Hypothesis marks the functions that it makes rules of, and the machine's own must stay plain."""

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
    Drives an environment in random ways and raises the contract violation that takes the fewest calls to reach.

    The error, a :class:`~leo_wrappers.checks.ContractError`, ends with a program that reproduces it; ``error.calls`` are the
    calls alone. All other settings, such as derandomised runs in CI, come from the current Hypothesis profile.

    :param env: the environment's id, as ``gymnasium.make`` takes it, or a function that makes it
    :param max_examples: how many runs
    :param stateful_step_count: the most rules in a run; a rule takes up to ten steps
    :param observation_determines_mask: see :class:`~leo_wrappers.checks.ContractChecker`
    :param oracle: see :class:`~leo_wrappers.checks.ContractChecker`
    :param reuse_env: make the environment once and reset it for each run, where making one takes long

    Example::

        >>> import gymnasium as gym
        >>> from leo_wrappers import MultiGoalWrapper, PredicateGoals
        >>> goals = PredicateGoals({"pole/left": lambda obs: obs[..., 2] < 0, "cart/left": lambda obs: obs[..., 0] < 0})
        >>> run_state_machine(lambda: MultiGoalWrapper(gym.make("CartPole-v1"), goals), max_examples=5)
    """
    machine = multigoal_state_machine(
        env, observation_determines_mask=observation_determines_mask, oracle=oracle, reuse_env=reuse_env
    )
    settings = hypothesis.settings(
        max_examples=max_examples,
        stateful_step_count=stateful_step_count,
        deadline=None,
        report_multiple_bugs=False,
        # The contract error explains itself, and better than line coverage could.
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
            "The same calls do not always lead here: the environment is not deterministic, or reuse_env hides why."
        )
        raise found[0] from None
    except Exception as error:
        raise _cut_down(machine, error) from None
    finally:
        if machine._shared is not None:
            machine._shared.close()


def _cut_down(machine: type[MultiGoalMachine], error: Exception) -> Exception:
    """The same error after as few calls as possible."""

    def play(calls: list[Call]) -> Exception | None:
        env = machine.borrow()
        try:
            return machine.setup.play(env, calls)
        finally:
            machine.give_back(env)

    calls, shortest = cut_down(machine.failing, error, play)
    if shortest is not error:
        machine.setup.explain(shortest, calls)
    return shortest
