"""Craftax as a Gymnasium environment."""

from collections.abc import Sequence
from typing import Any

from leo_envs.common.jax_env import RenderedJaxEnv
from leo_envs.craftax.functional import TIME_LIMIT, CraftaxBase, make_craftax
from leo_envs.craftax.keys import action_names, keys_to_action
from leo_envs.craftax.rendering import Painter
from leo_wrappers.goal_set import Goal


class CraftaxEnv(RenderedJaxEnv):
    """
    Craftax (``leo/Craftax-v0``) or Craftax-Classic (``leo/CraftaxClassic-v0``).

    :param variant: ``"full"`` or ``"classic"``
    :param observation: ``"compact"``, ``"symbolic"`` or ``"pixels"``
    :param goals: names or ids of some goals; all 512 or 136 goals when None
    :param time_limit: truncate after this many steps; no limit when None
    :param render_mode: "rgb_array", "human" or None

    Example::

        >>> import gymnasium as gym
        >>> import leo_envs
        >>> env = gym.make("leo/CraftaxClassic-v0")
        >>> obs, info = env.reset(seed=0)
        >>> obs["blocks"].shape, info["goals_achieved"].shape
        ((7, 9), (136,))
    """

    functional_env: CraftaxBase

    def __init__(
        self,
        variant: str = "full",
        *,
        observation: str = "compact",
        goals: Sequence[Goal] | None = None,
        time_limit: int | None = TIME_LIMIT,
        render_mode: str | None = None,
    ) -> None:
        env = make_craftax(variant, observation, goals, time_limit)
        super().__init__(env, Painter(variant, env.goal_names), f"Craftax ({variant})", render_mode)

    def goal_signal(self, observation: Any, info: dict[str, Any]) -> Any:
        """
        Return the signal of ``goal_set``, from which the checkers compute the mask again.

        :param observation: unused
        :param info: unused
        :return: the current state, an ``EnvState``
        """
        return self.state

    def get_keys_to_action(self) -> dict[tuple[str, ...], int]:
        """
        Return the key bindings for ``gymnasium.utils.play``.

        :return: mapping of keys to actions
        """
        return keys_to_action(self.functional_env.variant)

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of the actions."""
        return action_names(self.functional_env.variant)
