"""The tests that every multi-goal environment should pass, as one class."""

import importlib.util
from typing import Any

from gymnasium.vector import AutoresetMode, SyncVectorEnv

from leo_wrappers.checks import check_multigoal_env, check_multigoal_vec_env
from leo_wrappers.checks.checker import Oracle
from leo_wrappers.testing.env_source import EnvLike, EnvSource
from leo_wrappers.testing.state_machine import run_state_machine

NUM_ENVS = 2


class MultiGoalEnvTests:
    """The tests; :func:`multigoal_env_tests` makes the subclass for an environment."""

    source: EnvSource
    options: dict[str, Any]
    oracle: Oracle | None
    steps: int
    max_examples: int

    def test_contract(self) -> None:
        """The environment passes the checkers."""
        env = self.source.make()
        try:
            check_multigoal_env(
                env, steps=self.steps, oracle=type(self).oracle, env_fn=self.source.make, **self._without("reuse_env")
            )
        finally:
            env.close()

    def test_gymnasium_vector_env(self) -> None:
        """Vectorised by Gymnasium, the masks are those of the environments alone."""
        for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP):
            self._check_vector(SyncVectorEnv([self.source.make] * NUM_ENVS, autoreset_mode=mode))

    def test_sb3_vec_env(self) -> None:
        """Vectorised by Stable-Baselines3, where that is installed and takes such observations, likewise."""
        import pytest

        if importlib.util.find_spec("stable_baselines3") is None:
            pytest.skip("Stable-Baselines3 is not installed")
        from stable_baselines3.common.vec_env import DummyVecEnv

        try:
            venv = DummyVecEnv([self.source.make] * NUM_ENVS)
        except NotImplementedError as error:
            pytest.skip(f"Stable-Baselines3 does not take this observation space: {error}")
        self._check_vector(venv)

    def test_state_machine(self) -> None:
        """No sequence of calls breaks the contract."""
        run_state_machine(self.source.env, max_examples=self.max_examples, oracle=type(self).oracle, **self.options)

    def _check_vector(self, venv: Any) -> None:
        try:
            check_multigoal_vec_env(venv, steps=self.steps, env_fn=self.source.make, **self._without("reuse_env"))
        finally:
            venv.close()

    def _without(self, key: str) -> dict[str, Any]:
        return {name: value for name, value in self.options.items() if name != key}


def multigoal_env_tests(
    env: EnvLike,
    *,
    observation_determines_mask: bool = True,
    oracle: Oracle | None = None,
    reuse_env: bool = False,
    steps: int = 200,
    max_examples: int = 100,
) -> type[MultiGoalEnvTests]:
    """
    A test class for an environment: one line in a test module, under a name that begins with ``Test``.

    :param env: the environment's id, as ``gymnasium.make`` takes it, or a function that makes it
    :param observation_determines_mask: see :func:`~leo_wrappers.check_multigoal_env`
    :param oracle: see :func:`~leo_wrappers.check_multigoal_env`
    :param reuse_env: make the environment once for all runs of the state machine, where making one takes long
    :param steps: how many steps each checker plays
    :param max_examples: how many runs the state machine makes

    Example::

        >>> import gymnasium as gym
        >>> from leo_wrappers import MultiGoalWrapper, PredicateGoals
        >>> def make_env():
        ...     return MultiGoalWrapper(gym.make("CartPole-v1"), PredicateGoals({"left": lambda obs: obs[..., 2] < 0}))
        >>> TestCartPole = multigoal_env_tests(make_env, max_examples=5)
        >>> TestCartPole().test_contract()
    """
    source = EnvSource(env)
    members = {
        "source": source,
        "options": {"observation_determines_mask": observation_determines_mask, "reuse_env": reuse_env},
        "oracle": None if oracle is None else staticmethod(oracle),
        "steps": steps,
        "max_examples": max_examples,
        "__doc__": f"The multi-goal contract of {source.name}.",
    }
    return type("TestMultiGoalEnv", (MultiGoalEnvTests,), members)
