"""Play an environment by keyboard."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from leo_cli.terminal import Screen, pressed_keys

# For environments without get_keys_to_action().
_KEYS = "1234567890abcdefghijklmnopqrstuvwxyz"
_KEY_NAMES = {" ": "space", "\t": "tab"}
_NEW_EPISODE = "The episode is over; a new one starts."


class AchievementTracker:
    """
    Track which goals have become true since the previous step.

    :param goal_names: names of all goals
    """

    def __init__(self, goal_names: tuple[str, ...]) -> None:
        self.goal_names = goal_names
        self._previous = np.zeros(len(goal_names), dtype=bool)

    def __call__(
        self, obs: Any, next_obs: Any, action: Any, reward: float, terminated: bool, truncated: bool, info: dict[str, Any]
    ) -> None:
        """Print newly achieved goals; callback of ``gymnasium.utils.play``."""
        for goal in self.update(info["goals_achieved"]):
            print(f"  {goal}")
        if terminated or truncated:
            print(_NEW_EPISODE)

    def update(self, achieved: Any) -> list[str]:
        """
        Process the mask of a step.

        :param achieved: bool ``[G]``
        :return: names of the goals that were not achieved in the previous step
        """
        names = [self.goal_names[goal] for goal in np.flatnonzero(achieved & ~self._previous)]
        self._previous = achieved
        return names


def key_bindings(env: gym.Env[Any, Any]) -> dict[str, int]:
    """
    Assign a key to each action.

    :param env: an environment with ``Discrete`` actions
    :return: action of each key
    """
    space = env.action_space
    if not isinstance(space, spaces.Discrete):
        raise ValueError(f"expected Discrete actions to play by keyboard, got {space}; train an agent and `leo play` its run")
    if env.has_wrapper_attr("get_keys_to_action"):
        return {str(keys[0]): int(action) for keys, action in env.get_wrapper_attr("get_keys_to_action")().items()}
    if space.n > len(_KEYS):
        raise ValueError(f"expected at most {len(_KEYS)} actions to play by keyboard, got {space.n}; add get_keys_to_action")
    return {_KEYS[index]: int(space.start) + index for index in range(int(space.n))}


def describe_keys(env: gym.Env[Any, Any], keys: dict[str, int]) -> str:
    """
    Describe the key bindings.

    :param env: the environment
    :param keys: action of each key
    :return: one line per key
    """
    names = env.get_wrapper_attr("action_names") if env.has_wrapper_attr("action_names") else None
    lines = [
        f"{_KEY_NAMES.get(key, key):>6}  {names[action] if names else f'action {action}'}" for key, action in keys.items()
    ]
    return "\n".join(lines)


def play_in_window(env: gym.Env[Any, Any], seed: int | None) -> None:
    """
    Play until the window is closed. The environment steps only when a key is pressed.

    :param env: environment with render mode ``"rgb_array"``
    :param seed: seed of the environment
    """
    from gymnasium.utils.play import play

    keys = key_bindings(env)
    print(describe_keys(env, keys))
    tracker = AchievementTracker(env.get_wrapper_attr("goal_names"))
    mapping: Any = {(key,): action for key, action in keys.items()}
    play(env, callback=tracker, seed=seed, wait_on_player=True, keys_to_action=mapping)


def play_in_terminal(env: gym.Env[Any, Any], seed: int | None) -> None:
    """
    Play until Escape is pressed. The environment steps only when a key is pressed.

    :param env: environment with render mode ``"ansi"`` or ``"rgb_array"``
    :param seed: seed of the environment
    """
    keys = key_bindings(env)
    print(f"{describe_keys(env, keys)}\n   Esc  quit")
    screen, tracker = Screen(), AchievementTracker(env.get_wrapper_attr("goal_names"))
    _, info = env.reset(seed=seed)
    tracker.update(info["goals_achieved"])
    screen.show(env.render(), "Esc quits")
    with pressed_keys() as pressed:
        for key in pressed:
            if key not in keys:
                continue
            _, _, terminated, truncated, info = env.step(keys[key])
            achieved = ", ".join(tracker.update(info["goals_achieved"]))
            screen.show(env.render(), f"achieved: {achieved}" if achieved else "")
            if terminated or truncated:
                print(_NEW_EPISODE)
                _, info = env.reset()
                tracker.update(info["goals_achieved"])
