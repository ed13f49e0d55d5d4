"""Memory that a replay buffer needs, before it is allocated."""

import numpy as np
import torch as th
from gymnasium import spaces

from leo_agents.replay.memory import check_fits_in_memory, check_fits_on_device, format_bytes


def check_replay_memory(buffer_size: int, sizes: dict[str, int], verbose: int, storage_device: th.device | None) -> None:
    """
    Raise a ``MemoryError`` before allocating a buffer that does not fit into memory, of the host and of the device.

    :param buffer_size: number of transitions
    :param sizes: from :func:`replay_nbytes`
    :param verbose: print the sizes if at least 1
    :param storage_device: where observations and masks are stored; the memory of the host if None
    """
    if verbose >= 1:
        parts = ", ".join(f"{name} {format_bytes(size)}" for name, size in sizes.items())
        print(f"Replay buffer of {buffer_size} transitions: {format_bytes(sum(sizes.values()))} ({parts})")
    advice = "use a smaller buffer_size or smaller observations"
    if storage_device is not None:
        on_device = {name: sizes.pop(name) for name in ("observations", "goal masks")}
        check_fits_on_device("the replay buffer", on_device, storage_device, f"{advice}, or leave out storage_device")
    check_fits_in_memory("the replay buffer", sizes, advice)


def packed_width(num_goals: int) -> int:
    """
    Return the number of bytes of a packed mask.

    :param num_goals: number of goals
    :return: number of bytes, one for eight goals
    """
    return (num_goals + 7) // 8


def replay_nbytes(
    num_steps: int,
    observation_space: spaces.Dict,
    action_space: spaces.Space,
    n_envs: int,
    num_goals: int,
    has_tasks: bool = False,
) -> dict[str, int]:
    """
    Return the memory usage of a :class:`~leo_agents.replay.goal_replay_buffer.GoalReplayBuffer` without allocating it.

    :param num_steps: stored steps per environment
    :param observation_space: of the stored observations, without the goal
    :param action_space: the action space
    :param n_envs: number of parallel environments
    :param num_goals: number of goals
    :param has_tasks: whether the goals are tasks, with rewards
    :return: number of bytes by part of the buffer
    """
    num_transitions = num_steps * n_envs
    obs_nbytes = sum(
        int(np.prod(space.shape or (1,))) * np.dtype(space.dtype).itemsize for space in observation_space.values()
    )
    action_nbytes = int(np.prod(action_space.shape or (1,))) * np.dtype(action_space.dtype).itemsize
    # Rewards, dones and timeouts are float32, goal ids int32.
    return {
        "observations": 2 * obs_nbytes * num_transitions,
        "goal masks": packed_width(num_goals) * num_transitions,
        "actions, rewards and flags": (action_nbytes + 4 * 4 + 4 * num_goals * has_tasks) * num_transitions,
    }
