"""Craftax's own rendering with the commanded goal as a caption."""

from functools import cached_property, partial
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from leo_envs.common.caption import with_caption
from leo_envs.common.mdp import Frame
from leo_envs.craftax.pixels import pixel_renderer

# One of the sizes that Craftax has textures for; frames of Craftax-Classic are 576 pixels wide.
BLOCK_PIXELS = 64


class Painter:
    """
    Renderer of states and commanded goals.

    :param variant: ``"classic"`` or ``"full"``
    :param goal_names: names of the goals
    """

    def __init__(self, variant: str, goal_names: tuple[str, ...]) -> None:
        self.variant = variant
        self.goal_names = goal_names

    def __reduce__(self) -> tuple[Any, ...]:
        # Compiled functions cannot be pickled.
        return type(self), (self.variant, self.goal_names)

    def frame(self, state: Any, goal: int | None, achieved: npt.NDArray[np.bool_]) -> Frame:
        """
        Render a state.

        :param state: a single ``EnvState``
        :param goal: the commanded goal, written below the state, or None
        :param achieved: mask of the state, bool ``[G]``
        :return: RGB ``[height, width, 3]``
        """
        image = np.asarray(self._draw(state)).clip(0, 255).astype(np.uint8)
        if goal is None:
            return image
        return with_caption(image, self.goal_names[goal], bool(achieved[goal]))

    @cached_property
    def _draw(self) -> Any:
        return jax.jit(partial(pixel_renderer(self.variant, BLOCK_PIXELS)))
