"""A test class for multi-goal environments."""

import importlib.util
from typing import Any

from gymnasium.vector import AutoresetMode, SyncVectorEnv

from leo_wrappers.checks import check_multigoal_env, check_multigoal_vec_env
from leo_wrappers.checks.arguments import check_checker_arguments
from leo_wrappers.checks.episodes import Oracle
from leo_wrappers.testing.env_source import EnvLike, EnvSource
from leo_wrappers.testing.state_machine import run_state_machine

NUM_ENVS = 2


class MultiGoalEnvTests:
    """Tests of one environment; :func:`multigoal_env_tests` creates the subclass for it."""

    source: EnvSource
    observation_determines_mask: bool
    oracle: Oracle | None
    reuse_env: bool
    steps: int
    max_examples: int

    def test_contract(self) -> None:
        """Run :func:`~leo_wrappers.check_multigoal_env`."""
        env = self.source.make()
        try:
            check_multigoal_env(
                env,
                steps=self.steps,
                observation_determines_mask=self.observation_determines_mask,
                oracle=type(self).oracle,
                env_fn=self.source.make,
            )
        finally:
            env.close()

    def test_gymnasium_vector_env(self) -> None:
        """Run :func:`~leo_wrappers.check_multigoal_vec_env` on a ``SyncVectorEnv`` in both autoreset modes."""
        for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP):
            self._check_vector(SyncVectorEnv([self.source.make] * NUM_ENVS, autoreset_mode=mode))

    def test_sb3_vec_env(self) -> None:
        """Run :func:`~leo_wrappers.check_multigoal_vec_env` on a ``DummyVecEnv``, if it supports the environment."""
        import pytest

        if importlib.util.find_spec("stable_baselines3") is None:
            pytest.skip("Stable-Baselines3 is not installed")
        from stable_baselines3.common.vec_env import DummyVecEnv

        try:
            venv = DummyVecEnv([self.source.make] * NUM_ENVS)
        except NotImplementedError as error:
            pytest.skip(f"Stable-Baselines3 does not support this observation space: {error}")
        self._check_vector(venv)

    def test_state_machine(self) -> None:
        """Run :func:`run_state_machine`."""
        run_state_machine(
            self.source.env,
            max_examples=self.max_examples,
            observation_determines_mask=self.observation_determines_mask,
            oracle=type(self).oracle,
            reuse_env=self.reuse_env,
        )

    def _check_vector(self, venv: Any) -> None:
        try:
            check_multigoal_vec_env(
                venv,
                steps=self.steps,
                observation_determines_mask=self.observation_determines_mask,
                oracle=type(self).oracle,
                env_fn=self.source.make,
            )
        finally:
            venv.close()


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
    Create a test class for an environment; assign it in a test module to a name that begins with ``Test``.

    :param env: the environment's id for ``gymnasium.make``, or a function that creates it
    :param observation_determines_mask: see :func:`~leo_wrappers.check_multigoal_env`
    :param oracle: see :func:`~leo_wrappers.check_multigoal_env`
    :param reuse_env: create the environment once for all runs of the state machine, for environments that are slow to create
    :param steps: number of steps of each checker
    :param max_examples: number of runs of the state machine

    Example::

        >>> import gymnasium as gym
        >>> from leo_wrappers import MultiGoalWrapper, PredicateGoals
        >>> def make_env():
        ...     return MultiGoalWrapper(gym.make("CartPole-v1"), PredicateGoals({"left": lambda obs: obs[..., 2] < 0}))
        >>> TestCartPole = multigoal_env_tests(make_env, max_examples=5)
        >>> TestCartPole().test_contract()
    """
    check_checker_arguments(
        oracle=oracle,
        steps=steps,
        max_examples=max_examples,
        observation_determines_mask=observation_determines_mask,
        reuse_env=reuse_env,
    )
    source = EnvSource(env)
    members = {
        "source": source,
        "observation_determines_mask": observation_determines_mask,
        "oracle": None if oracle is None else staticmethod(oracle),
        "reuse_env": reuse_env,
        "steps": steps,
        "max_examples": max_examples,
        "__doc__": f"Tests of the multi-goal contract of {source.name}.",
    }
    return type("TestMultiGoalEnv", (MultiGoalEnvTests,), members)
