"""Images and key presses in a terminal."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import numpy as np
from PIL import Image

_HOME, _CLEAR_BELOW = "\x1b[H", "\x1b[J"
_END = ("\x1b", "\x04", "\x03")
_ARROWS = {f"\x1b{kind}{letter}": key for kind in "[O" for letter, key in zip("ABCD", "wsda", strict=True)}


def image_text(image: Any, columns: int) -> str:
    """
    Convert an image to colored characters, each a half block that shows two pixels, one above the other.

    :param image: RGB image ``[height, width, 3]``; text is returned unchanged
    :param columns: maximum width in characters
    :return: lines with ANSI escape codes
    """
    if isinstance(image, str):
        return image
    height, width = image.shape[:2]
    columns = min(columns, width)
    rows = max(round(columns * height / width / 2), 1)
    pixels = np.asarray(Image.fromarray(image).resize((columns, 2 * rows), Image.Resampling.BOX))
    lines = []
    for upper, lower in zip(pixels[::2].tolist(), pixels[1::2].tolist(), strict=True):
        cells = [
            f"\x1b[38;2;{a[0]};{a[1]};{a[2]}m\x1b[48;2;{b[0]};{b[1]};{b[2]}m\u2580" for a, b in zip(upper, lower, strict=True)
        ]
        lines.append("".join(cells) + "\x1b[0m")
    return "\n".join(lines)


class Screen:
    """
    Screen that replaces the previous image in a terminal, or appends to any other output.

    :param output: stream to write to; standard output by default
    """

    def __init__(self, output: TextIO | None = None) -> None:
        self.output = sys.stdout if output is None else output
        self.is_terminal = self.output.isatty()

    def show(self, image: Any, caption: str) -> None:
        """
        Show an image.

        :param image: RGB image or text
        :param caption: line below it
        """
        columns, lines = os.get_terminal_size(self.output.fileno()) if self.is_terminal else (64, 40)
        if not isinstance(image, str):
            # A line shows two rows of pixels; the image must not be higher than the terminal.
            columns = min(columns, int(2 * (lines - 3) * image.shape[1] / image.shape[0]))
        text = f"{image_text(image, max(columns, 8))}\n{caption}\n"
        self.output.write(_HOME + _CLEAR_BELOW + text if self.is_terminal else text)
        self.output.flush()

    def clear(self) -> None:
        """Clear the terminal before the first image."""
        if self.is_terminal:
            self.output.write("\x1b[2J")


@contextmanager
def pressed_keys(source: TextIO | None = None) -> Iterator[Iterator[str]]:
    """
    Iterate over pressed keys until Escape, Ctrl-D or the end of the input; arrow keys become w, a, s and d.

    :param source: stream to read from; standard input by default
    """
    stream = sys.stdin if source is None else source
    if not stream.isatty():
        yield _keys(iter(lambda: stream.read(1), ""))
        return
    import termios
    import tty

    before = termios.tcgetattr(stream)
    try:
        tty.setcbreak(stream)
        # A single read returns the whole escape sequence of an arrow key.
        yield _keys(iter(lambda: os.read(stream.fileno(), 16).decode(errors="ignore"), ""))
    finally:
        termios.tcsetattr(stream, termios.TCSADRAIN, before)


def _keys(inputs: Iterator[str]) -> Iterator[str]:
    for keys in inputs:
        if keys in _END:
            return
        yield from _ARROWS.get(keys, keys)
