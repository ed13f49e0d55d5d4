"""Playing an environment by hand: which keys there are, and what the player achieves."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from leo_cli.terminal import Screen, pressed_keys

# Where an environment does not say which keys it likes.
_KEYS = "1234567890abcdefghijklmnopqrstuvwxyz"
_KEY_NAMES = {" ": "space", "\t": "tab"}


class GoalNews:
    """
    Tells of every goal when it becomes true.

    :param goal_names: the names of the goals
    """

    def __init__(self, goal_names: tuple[str, ...]) -> None:
        self.goal_names = goal_names
        self._before = np.zeros(len(goal_names), dtype=bool)

    def __call__(
        self, obs: Any, next_obs: Any, action: Any, reward: float, terminated: bool, truncated: bool, info: dict[str, Any]
    ) -> None:
        """What ``gymnasium.utils.play`` calls after every step."""
        for goal in self.fresh(info["goals_achieved"]):
            print(f"  {goal}")
        if terminated or truncated:
            print("The episode is over; here is a new one.")

    def fresh(self, achieved: Any) -> list[str]:
        """
        :param achieved: a mask
        :return: the goals that were not true before
        """
        names = [self.goal_names[goal] for goal in np.flatnonzero(achieved & ~self._before)]
        self._before = achieved
        return names


def keys_of(env: gym.Env[Any, Any]) -> dict[str, int]:
    """
    :param env: an environment
    :return: which action each key takes
    """
    space = env.action_space
    if not isinstance(space, spaces.Discrete):
        raise ValueError(f"expected Discrete actions to play by keyboard, got {space}; train an agent and `leo play` its run")
    if env.has_wrapper_attr("get_keys_to_action"):
        return {str(keys[0]): int(action) for keys, action in env.get_wrapper_attr("get_keys_to_action")().items()}
    if space.n > len(_KEYS):
        raise ValueError(f"expected at most {len(_KEYS)} actions to play by keyboard, got {space.n}; add get_keys_to_action")
    return {_KEYS[number]: int(space.start) + number for number in range(int(space.n))}


def describe_keys(env: gym.Env[Any, Any], keys: dict[str, int]) -> str:
    """
    :param env: the environment
    :param keys: which action each key takes
    :return: a line a key
    """
    names = env.get_wrapper_attr("action_names") if env.has_wrapper_attr("action_names") else None
    lines = [
        f"{_KEY_NAMES.get(key, key):>6}  {names[action] if names else f'action {action}'}" for key, action in keys.items()
    ]
    return "\n".join(lines)


def play_in_window(env: gym.Env[Any, Any], seed: int | None) -> None:
    """
    Plays until the window is closed; the world waits for the player.

    :param env: the environment, which draws RGB
    :param seed: seeds it
    """
    from gymnasium.utils.play import play

    keys = keys_of(env)
    print(describe_keys(env, keys))
    news = GoalNews(env.get_wrapper_attr("goal_names"))
    mapping: Any = {(key,): action for key, action in keys.items()}
    play(env, callback=news, seed=seed, wait_on_player=True, keys_to_action=mapping)


def play_in_terminal(env: gym.Env[Any, Any], seed: int | None) -> None:
    """
    Plays until Escape; a step for every key.

    :param env: the environment, which draws text or RGB
    :param seed: seeds it
    """
    keys = keys_of(env)
    print(f"{describe_keys(env, keys)}\n   Esc  leave")
    screen, news = Screen(), GoalNews(env.get_wrapper_attr("goal_names"))
    _, info = env.reset(seed=seed)
    news.fresh(info["goals_achieved"])
    screen.show(env.render(), "Esc leaves")
    with pressed_keys() as pressed:
        for key in pressed:
            if key not in keys:
                continue
            _, _, terminated, truncated, info = env.step(keys[key])
            said = ", ".join(news.fresh(info["goals_achieved"]))
            screen.show(env.render(), f"achieved: {said}" if said else "")
            if terminated or truncated:
                print("The episode is over; here is a new one.")
                _, info = env.reset()
                news.fresh(info["goals_achieved"])
