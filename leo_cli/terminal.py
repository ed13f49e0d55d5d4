"""Pictures and keys in a terminal."""

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


def picture_text(picture: Any, columns: int) -> str:
    """
    A picture for a terminal.

    :param picture: text, which stays as it is, or RGB
    :param columns: how wide
    :return: lines; two pixels a character, the upper one as the foreground of a half block
    """
    if isinstance(picture, str):
        return picture
    height, width = picture.shape[:2]
    columns = min(columns, width)
    rows = max(round(columns * height / width / 2), 1)
    pixels = np.asarray(Image.fromarray(picture).resize((columns, 2 * rows), Image.Resampling.BOX))
    lines = []
    for upper, lower in zip(pixels[::2].tolist(), pixels[1::2].tolist(), strict=True):
        cells = [
            f"\x1b[38;2;{a[0]};{a[1]};{a[2]}m\x1b[48;2;{b[0]};{b[1]};{b[2]}m\u2580" for a, b in zip(upper, lower, strict=True)
        ]
        lines.append("".join(cells) + "\x1b[0m")
    return "\n".join(lines)


class Screen:
    """
    Shows one picture in place of the last; where the output is no terminal, below it.

    :param output: where to
    """

    def __init__(self, output: TextIO | None = None) -> None:
        self.output = sys.stdout if output is None else output
        self.is_terminal = self.output.isatty()

    def show(self, picture: Any, caption: str) -> None:
        """
        :param picture: text or RGB
        :param caption: a line below
        """
        columns, lines = os.get_terminal_size(self.output.fileno()) if self.is_terminal else (64, 40)
        if not isinstance(picture, str):
            # No higher than the terminal: two pixels a line.
            columns = min(columns, int(2 * (lines - 3) * picture.shape[1] / picture.shape[0]))
        text = f"{picture_text(picture, max(columns, 8))}\n{caption}\n"
        self.output.write(_HOME + _CLEAR_BELOW + text if self.is_terminal else text)
        self.output.flush()

    def clear(self) -> None:
        """Makes room for the first picture."""
        if self.is_terminal:
            self.output.write("\x1b[2J")


@contextmanager
def pressed_keys(source: TextIO | None = None) -> Iterator[Iterator[str]]:
    """
    Keys as they are pressed, until Escape, Ctrl-D or the input's end; arrows count as w, a, s and d.

    :param source: where from
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
        # What a key sends comes in one piece, several letters in the case of an arrow.
        yield _keys(iter(lambda: os.read(stream.fileno(), 16).decode(errors="ignore"), ""))
    finally:
        termios.tcsetattr(stream, termios.TCSADRAIN, before)


def _keys(pieces: Iterator[str]) -> Iterator[str]:
    for piece in pieces:
        if piece in _END:
            return
        yield from _ARROWS.get(piece, piece)
