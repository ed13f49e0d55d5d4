"""What the vector tests share: random walks through two vector environments that must agree in everything."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv


def make_pair(env_id: str, mode: AutoresetMode, num_envs: int = 5, **arguments: Any) -> tuple[VectorEnv, VectorEnv]:
    """The native vector environment and Gymnasium's own over the same single environment."""
    native = gym.make_vec(env_id, num_envs=num_envs, autoreset_mode=mode.value, **arguments)
    sync = gym.make_vec(
        env_id, num_envs=num_envs, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}, **arguments
    )
    return native, sync


def assert_same(ours: Any, theirs: Any, where: str = "result") -> None:
    """Same structure, same types, same values, all the way down."""
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


def walk(ours: VectorEnv, theirs: VectorEnv, steps: int, seed: int, resets: dict[int, np.ndarray] | None = None) -> int:
    """
    Steps both with the same random actions, compares everything, and resets the rows of a mask where told to.

    :return: how many episodes ended
    """
    generator = np.random.default_rng(seed)
    disabled = ours.metadata["autoreset_mode"] is AutoresetMode.DISABLED
    assert_same(ours.reset(seed=seed), theirs.reset(seed=seed))
    ended = 0
    for number in range(steps):
        if resets and number in resets:
            assert_same(*(envs.reset(options={"reset_mask": resets[number].copy()}) for envs in (ours, theirs)))
        actions = generator.integers(ours.single_action_space.n, size=ours.num_envs)
        our_step, their_step = ours.step(actions), theirs.step(actions)
        assert_same(our_step, their_step)
        done = our_step[2] | our_step[3]
        ended += int(done.sum())
        if disabled and done.any():
            assert_same(*(envs.reset(options={"reset_mask": done.copy()}) for envs in (ours, theirs)))
    return ended
