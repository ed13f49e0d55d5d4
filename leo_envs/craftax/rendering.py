"""Craftax's own rendering with the commanded goal as a caption."""

from functools import cached_property, partial
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from leo_envs.common.mdp import Frame
from leo_envs.craftax.pixels import pixel_renderer

# One of the sizes that Craftax has textures for; frames of Craftax-Classic are 576 pixels wide.
BLOCK_PIXELS = 64
_CAPTION_HEIGHT = 36
_CAPTION_SIZE = 22
_BACKGROUND = (24, 24, 27)
_PENDING_COLOR, _ACHIEVED_COLOR = (228, 228, 231), (74, 222, 128)


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
        text = f"goal: {self.goal_names[goal]}" + ("  (achieved)" if achieved[goal] else "")
        return np.concatenate([image, _caption(text, image.shape[1], _ACHIEVED_COLOR if achieved[goal] else _PENDING_COLOR)])

    @cached_property
    def _draw(self) -> Any:
        return jax.jit(partial(pixel_renderer(self.variant, BLOCK_PIXELS)))


def _caption(text: str, width: int, color: tuple[int, int, int]) -> Frame:
    from PIL import Image, ImageDraw, ImageFont

    strip = Image.new("RGB", (width, _CAPTION_HEIGHT), _BACKGROUND)
    draw = ImageDraw.Draw(strip)
    size = _CAPTION_SIZE
    # The font shrinks until long names fit.
    while size > 8 and draw.textlength(text, font=ImageFont.load_default(size)) > width - 16:
        size -= 1
    draw.text((8, _CAPTION_HEIGHT // 2), text, fill=color, font=ImageFont.load_default(size), anchor="lm")
    return np.asarray(strip)
