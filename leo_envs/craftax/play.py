"""Play Craftax with the keyboard: ``python -m leo_envs.craftax.play [classic|full]``."""

import argparse
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils.play import play

import leo_envs  # noqa: F401  (registers the games)
from leo_envs.craftax.keys import key_names


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
        now = info["goals_achieved"]
        for goal in np.flatnonzero(now & ~self._before):
            print(f"  {self.goal_names[goal]}")
        self._before = now
        if terminated or truncated:
            print("The game is over; here is a new one.")


def main(arguments: list[str] | None = None) -> None:
    """
    Play until the window is closed.

    :param arguments: the command line
    """
    parser = argparse.ArgumentParser(description="Play Craftax with the keyboard and see which goals you achieve.")
    parser.add_argument("game", nargs="?", choices=("classic", "full"), default="classic")
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args(arguments)
    for key, action in key_names(options.game).items():
        print(f"{ {' ': 'space', chr(9): 'tab'}.get(key, key):>6}  {action.lower().replace('_', ' ')}")
    env = gym.make({"classic": "leo/CraftaxClassic-v0", "full": "leo/Craftax-v0"}[options.game], render_mode="rgb_array")
    # The game waits for the player: a step for every key.
    play(env, callback=GoalNews(env.get_wrapper_attr("goal_names")), seed=options.seed, wait_on_player=True)


if __name__ == "__main__":
    main()
