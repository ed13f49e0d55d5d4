"""Craftax's own pixel renderers, with the textures of one size only."""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
from jax import Array


@cache
def pixel_renderer(game: str, block_pixel_size: int) -> Callable[[Any], Array]:
    """
    The game's own picture of a state. The first call for a size makes its textures, which takes some seconds.

    :param game: ``"classic"`` or ``"full"``
    :param block_pixel_size: width of a block in pixels
    :return: a function from one ``EnvState`` to floats from 0 to 255 ``[height, width, 3]``
    """
    if game == "classic":
        from craftax.craftax_classic import constants, renderer
    else:
        from craftax.craftax import constants, renderer
    # Left alone, the renderer makes the textures of all sizes, which takes a minute, and writes them among the installed
    # packages, which not everyone may do.
    load_all = renderer.load_all_textures
    renderer.load_all_textures = lambda: {block_pixel_size: constants.load_all_textures_given_size(block_pixel_size)}
    try:
        # The textures are to be arrays even where a caller is just being compiled.
        with jax.ensure_compile_time_eval():
            return renderer.make_craftax_pixel_renderer(block_pixel_size)  # type: ignore[no-any-return]
    finally:
        renderer.load_all_textures = load_all
