"""Grid world as a Gymnasium environment."""

from collections.abc import Sequence

from leo_envs.common.env import FiniteMDPEnv
from leo_envs.gridworld.make_grid_world import make_grid_world
from leo_envs.gridworld.mixin import GridWorldMixin


class GridWorldEnv(GridWorldMixin, FiniteMDPEnv):
    """
    Grid world in which every free cell is a goal: ``info["goals_achieved"]`` is True for the agent's own cell.

    - **Actions**: ``Discrete(4)``: up, right, down, left. A move into a wall or off the map leaves the agent in its cell.
    - **Observation**, float32 in [0, 1], by ``observation``: "row_column" (one-hot row and one-hot column, concatenated),
      "coordinates" (row and column, scaled to [0, 1]), "one_hot" (one entry per free cell). With a key and a door, two more
      entries: whether the agent has the key, and whether the door is open.
    - **Goals**: "cell/ROW,COL" for each free cell in row-major order; state numbers equal goal ids. With a key and a door,
      also "has key" and "door open"; a state is then the cell with the progress, see
      :class:`~leo_envs.gridworld.key_door.KeyDoorWorld`.
    - **Reward**: always 0.0; a goal-conditioned wrapper computes the reward from the mask.
    - **Termination**: never. ``gym.make`` truncates after 200 steps (``max_episode_steps``); an instance of the class itself
      truncates after ``time_limit`` steps.

    ``gym.make_vec`` creates the natively vectorized :class:`GridWorldVectorEnv`.

    :param map: "paper" (the 16 x 16 map of the LEO paper), "random", "maze", or a map as text or rows: ``#`` wall, ``.`` free,
        ``S`` start (one of several is sampled uniformly), and either none or one each of ``K`` key and ``D`` door. The door is
        a wall until the agent enters it with the key, which it picks up by entering the key's cell
    :param size: rows and columns, or one number for both, of a random map or maze; 16 when None, at most 128
    :param map_seed: seed of a random map or maze; 0 when None
    :param start: start cell, or "random" for any free cell; the map's ``S``, or else its center, when None
    :param observation: "row_column", "coordinates" or "one_hot"
    :param time_limit: truncate after this many steps; no limit when None
    :param render_mode: "rgb_array", "human", "ansi" or None

    Example::

        >>> import gymnasium as gym
        >>> import leo_envs
        >>> env = gym.make("leo/GridWorld-v0", map="S.#", render_mode="ansi")
        >>> observation, info = env.reset(seed=0)
        >>> observation, reward, terminated, truncated, info = env.step(1)
        >>> env.unwrapped.goal_names, info["goals_achieved"]
        (('cell/0,0', 'cell/0,1'), array([False,  True]))
        >>> print(env.render())
        .A#
        >>> env.unwrapped.optimal_q(gamma=0.5)[:, 1]  # Q-values of goal cell/0,1: one row per cell, one column per action
        array([[0.5, 1. , 0.5, 0.5],
               [1. , 1. , 1. , 0.5]])
    """

    def __init__(
        self,
        map: str | Sequence[str] = "paper",
        *,
        size: int | Sequence[int] | None = None,
        map_seed: int | None = None,
        start: Sequence[int] | str | None = None,
        observation: str = "row_column",
        time_limit: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        mdp = make_grid_world(map, size, map_seed, start, observation)
        super().__init__(mdp, time_limit=time_limit, render_mode=render_mode)

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of the actions."""
        return ("up", "right", "down", "left")

    def get_keys_to_action(self) -> dict[tuple[str, ...], int]:
        """
        Return the key bindings for ``gymnasium.utils.play``.

        :return: mapping of keys to actions
        """
        return {(key,): action for action, key in enumerate("wdsa")}
