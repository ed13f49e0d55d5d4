"""Comparison of two vector environments by random rollouts."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv


def make_pair(env_id: str, mode: AutoresetMode, num_envs: int = 5, **arguments: Any) -> tuple[VectorEnv, VectorEnv]:
    """Return the native vector environment and Gymnasium's SyncVectorEnv of the single environment."""
    native = gym.make_vec(env_id, num_envs=num_envs, autoreset_mode=mode.value, **arguments)
    sync = gym.make_vec(
        env_id, num_envs=num_envs, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}, **arguments
    )
    return native, sync


def assert_same(ours: Any, theirs: Any, where: str = "result") -> None:
    """Assert that nested structures have equal keys, dtypes, shapes and values."""
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys(), where
        for key, value in theirs.items():
            assert_same(ours[key], value, f"{where}[{key!r}]")
    elif isinstance(theirs, tuple):
        assert len(ours) == len(theirs), where
        for number, (our_item, their_item) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(our_item, their_item, f"{where}[{number}]")
    elif theirs is None:
        assert ours is None, where
    else:
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), where
        if theirs.dtype == object:
            for row, (our_item, their_item) in enumerate(zip(ours, theirs, strict=True)):
                assert_same(our_item, their_item, f"{where}[{row}]")
        else:
            np.testing.assert_array_equal(ours, theirs, err_msg=where)


def compare_rollouts(
    ours: VectorEnv, theirs: VectorEnv, steps: int, seed: int, resets: dict[int, np.ndarray] | None = None
) -> int:
    """
    Step both environments with the same random actions and assert that all results are equal.

    :param ours: the native vector environment
    :param theirs: the reference
    :param steps: number of steps
    :param seed: seed of the environments and of the actions
    :param resets: masks of additional resets, by step
    :return: number of completed episodes, over all environments
    """
    generator = np.random.default_rng(seed)
    disabled = ours.metadata["autoreset_mode"] is AutoresetMode.DISABLED
    assert_same(ours.reset(seed=seed), theirs.reset(seed=seed))
    episodes = 0
    for step in range(steps):
        if resets and step in resets:
            assert_same(*(envs.reset(options={"reset_mask": resets[step].copy()}) for envs in (ours, theirs)))
        actions = generator.integers(ours.single_action_space.n, size=ours.num_envs)
        our_step, their_step = ours.step(actions), theirs.step(actions)
        assert_same(our_step, their_step)
        done = our_step[2] | our_step[3]
        episodes += int(done.sum())
        if disabled and done.any():
            assert_same(*(envs.reset(options={"reset_mask": done.copy()}) for envs in (ours, theirs)))
    return episodes
