"""The grid world as a Gymnasium environment."""

from collections.abc import Sequence

from leo_envs.common.env import WorldEnv
from leo_envs.gridworld.mdp import make_world
from leo_envs.gridworld.view import GridView


class GridWorldEnv(GridView, WorldEnv):
    """
    A walk on a map where every free cell is a goal: ``info["goals_achieved"]`` is True at the agent's own cell.

    - **Actions**: ``Discrete(4)``: up, right, down, left. A move into a wall or over the edge stays in place.
    - **Observation**, float32 in [0, 1], by ``observation``: "row_column" (two one-hot vectors in one, length rows + columns),
      "coordinates" (row and column, each divided by the last one's number), "one_hot" (one number per free cell).
    - **Goals**: "cell/ROW,COL" for each free cell in row-major order; state numbers and goal ids are the same numbers.
    - **Reward**: 0.0 always; a goal-conditioned wrapper makes the reward from the mask.
    - **Ends**: nothing terminates. ``gym.make`` truncates after 200 steps (``max_episode_steps``), the bare class after
      ``time_limit``.

    The native vector version is :class:`GridWorldVectorEnv`, made by ``gym.make_vec``.

    :param map: "paper" (the 16 x 16 map of the LEO paper), "random", "maze", or a map as text or rows: ``#`` wall, ``.`` free,
        ``S`` start (several are drawn from uniformly)
    :param size: rows and columns, or one number for both, of a random map or maze; 16 when None, 128 at most
    :param map_seed: the seed of a random map or maze; 0 when None
    :param start: the cell where episodes begin, or "random" for any free cell; the map's ``S`` or else the centre when None
    :param observation: "row_column", "coordinates" or "one_hot"
    :param time_limit: truncate after this many steps; None leaves it to ``gym.make``
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
        >>> env.unwrapped.optimal_q(gamma=0.5)[:, 1]  # to reach cell 0,1 from each cell, by action
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
        super().__init__(make_world(map, size, map_seed, start, observation), time_limit=time_limit, render_mode=render_mode)

    @property
    def action_names(self) -> tuple[str, ...]:
        """What each action is called."""
        return ("up", "right", "down", "left")

    def get_keys_to_action(self) -> dict[tuple[str, ...], int]:
        """
        The keyboard, as ``gymnasium.utils.play`` wants to know it.

        :return: which action each key takes
        """
        return {(key,): action for action, key in enumerate("wdsa")}
