"""The commanded goal, written below a frame."""

import numpy as np

from leo_envs.common.mdp import Frame

_HEIGHT = 36
_SIZE = 22
_BACKGROUND = (24, 24, 27)
_PENDING_COLOR, _ACHIEVED_COLOR = (228, 228, 231), (74, 222, 128)


def with_caption(frame: Frame, goal: str, achieved: bool) -> Frame:
    """
    Return a frame with the commanded goal below it.

    :param frame: RGB ``[height, width, 3]``
    :param goal: name or instruction of the goal
    :param achieved: whether the state achieves it
    :return: RGB ``[height + 36, width, 3]``
    """
    from PIL import Image, ImageDraw, ImageFont

    text = f"goal: {goal}" + ("  (achieved)" if achieved else "")
    width = frame.shape[1]
    strip = Image.new("RGB", (width, _HEIGHT), _BACKGROUND)
    draw = ImageDraw.Draw(strip)
    size = _SIZE
    # The font shrinks until long names fit.
    while size > 8 and draw.textlength(text, font=ImageFont.load_default(size)) > width - 16:
        size -= 1
    color = _ACHIEVED_COLOR if achieved else _PENDING_COLOR
    draw.text((8, _HEIGHT // 2), text, fill=color, font=ImageFont.load_default(size), anchor="lm")
    return np.concatenate([frame, np.asarray(strip)])
