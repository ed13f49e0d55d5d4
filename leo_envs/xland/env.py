"""XLand-MiniGrid as a Gymnasium environment."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from xminigrid.rendering.rgb_render import render

from leo_envs.common.caption import with_caption
from leo_envs.common.jax_env import RenderedJaxEnv
from leo_envs.common.mdp import BoolArray, Frame
from leo_envs.xland.functional import XLand
from leo_envs.xland.ruleset import Ruleset


class XLandEnv(RenderedJaxEnv):
    """
    Any level of XLand-MiniGrid as a multi-goal environment. With the same key and actions, states are those of the original.

    - **Actions**: ``Discrete(6)``: forward, turn right, turn left, pick up, put down, toggle.
    - **Observation**: maps of the whole grid (kinds of tiles, colors, the agent with its direction) and the carried tile. The
      original's view of some cells in front of the agent is not used.
    - **Goals**: see :class:`XLandGoals`.
    - **Reward**: that of the original, above 0 if the mission is complete.
    - **Termination**: only by failures of levels that have them. The mission's success does not end an episode, so that all
      other goals stay within reach, unless ``mission_ends_episode``. Truncation after ``max_steps`` steps.

    :param level: id of one of ``xminigrid.registered_environments()``
    :param ruleset: objects, rules and mission of the levels ``XLand-MiniGrid-...``, a :class:`Ruleset` or its arguments; a
        default one when None
    :param goals: names of goals, or patterns of the default goals such as ``"cell/*"``; those when None
    :param max_steps: truncate after this many steps; the number of the level when None
    :param mission_ends_episode: whether the mission's success terminates the episode, as in the original
    :param render_mode: "rgb_array", "human" or None

    Example::

        >>> import gymnasium as gym
        >>> import leo_envs
        >>> env = gym.make("leo/XLand-v0")
        >>> obs, info = env.reset(seed=0)
        >>> obs["tiles"].shape, info["goals_achieved"].shape
        ((9, 9), (83,))
    """

    functional_env: XLand

    def __init__(
        self,
        level: str = "XLand-MiniGrid-R1-9x9",
        *,
        ruleset: Ruleset | Mapping[str, Any] | None = None,
        goals: Iterable[str] | None = None,
        max_steps: int | None = None,
        mission_ends_episode: bool = False,
        render_mode: str | None = None,
    ) -> None:
        env = XLand(level, ruleset, goals, max_steps, mission_ends_episode)
        super().__init__(env, Painter(env.goal_names), level, render_mode)

    def goal_signal(self, observation: Any, info: dict[str, Any]) -> Any:
        """
        Return the signal of ``goal_set``.

        :param observation: an observation, or a batch
        :param info: unused
        :return: the observation
        """
        return observation

    def get_keys_to_action(self) -> dict[tuple[str, ...], int]:
        """
        Return the key bindings for ``gymnasium.utils.play``.

        :return: mapping of keys to actions
        """
        return {("w",): 0, ("d",): 1, ("a",): 2, ("e",): 3, ("q",): 4, (" ",): 5}

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of the actions."""
        return ("forward", "turn right", "turn left", "pick up", "put down", "toggle")


class Painter:
    """
    The original's rendering with the commanded goal as a caption.

    :param goal_names: names of the goals
    """

    def __init__(self, goal_names: tuple[str, ...]) -> None:
        self.goal_names = goal_names

    def frame(self, state: Any, goal: int | None, achieved: BoolArray) -> Frame:
        """
        Render a state.

        :param state: a single state of XLand-MiniGrid
        :param goal: the commanded goal, written below the grid, or None
        :param achieved: mask of the state, bool ``[G]``
        :return: RGB ``[height, width, 3]``
        """
        # A view of size 1 highlights the agent's cell only.
        agent = state.agent.replace(position=np.asarray(state.agent.position), direction=int(state.agent.direction))
        image = render(np.asarray(state.grid), agent, view_size=1)
        if goal is None:
            return image
        return with_caption(image, self.goal_names[goal], bool(achieved[goal]))
