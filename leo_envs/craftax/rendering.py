"""Pictures of Craftax for people: the game's own, and the commanded goal written below."""

from functools import cached_property, partial
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from leo_envs.common.mdp import Frame
from leo_envs.craftax.pixels import pixel_renderer

# The game ships textures for blocks of this size; a picture of Craftax-Classic is then 576 pixels wide.
BLOCK_PIXELS = 64
_CAPTION_HEIGHT = 36
_CAPTION_SIZE = 22
_BACKGROUND = (24, 24, 27)
_ASKED, _REACHED = (228, 228, 231), (74, 222, 128)


class Painter:
    """
    Draws states.

    :param game: ``"classic"`` or ``"full"``
    :param goal_names: the names of the goals
    """

    def __init__(self, game: str, goal_names: tuple[str, ...]) -> None:
        self.game = game
        self.goal_names = goal_names

    def __reduce__(self) -> tuple[Any, ...]:
        # Compiled functions stay behind.
        return type(self), (self.game, self.goal_names)

    def frame(self, state: Any, goal: int | None, achieved: npt.NDArray[np.bool_]) -> Frame:
        """
        Draw a state.

        :param state: one ``EnvState``
        :param goal: the commanded goal, written below the picture; None for none
        :param achieved: the goals that the state achieves, bool ``[G]``
        :return: RGB ``[height, width, 3]``
        """
        picture = np.asarray(self._draw(state)).clip(0, 255).astype(np.uint8)
        if goal is None:
            return picture
        text = f"goal: {self.goal_names[goal]}" + ("  (achieved)" if achieved[goal] else "")
        return np.concatenate([picture, _caption(text, picture.shape[1], _REACHED if achieved[goal] else _ASKED)])

    @cached_property
    def _draw(self) -> Any:
        return jax.jit(partial(pixel_renderer(self.game, BLOCK_PIXELS)))


def _caption(text: str, width: int, color: tuple[int, int, int]) -> Frame:
    from PIL import Image, ImageDraw, ImageFont

    strip = Image.new("RGB", (width, _CAPTION_HEIGHT), _BACKGROUND)
    draw = ImageDraw.Draw(strip)
    size = _CAPTION_SIZE
    # Long names get smaller letters rather than lose their end.
    while size > 8 and draw.textlength(text, font=ImageFont.load_default(size)) > width - 16:
        size -= 1
    draw.text((8, _CAPTION_HEIGHT // 2), text, fill=color, font=ImageFont.load_default(size), anchor="lm")
    return np.asarray(strip)
