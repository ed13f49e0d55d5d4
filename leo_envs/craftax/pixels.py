"""Craftax's pixel renderers with the textures of a single size."""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
from jax import Array


@cache
def pixel_renderer(variant: str, block_pixel_size: int) -> Callable[[Any], Array]:
    """
    Return Craftax's renderer for a block size. The first call for a size takes some seconds to load the textures.

    :param variant: ``"classic"`` or ``"full"``
    :param block_pixel_size: width of a block in pixels
    :return: function from a single ``EnvState`` to floats from 0 to 255, ``[height, width, 3]``
    """
    if variant == "classic":
        from craftax.craftax_classic import constants, renderer
    else:
        from craftax.craftax import constants, renderer
    # By default, the renderer creates the textures of all sizes, which takes a minute, and writes them into the package's
    # installation directory, which may be read-only.
    load_all = renderer.load_all_textures
    renderer.load_all_textures = lambda: {block_pixel_size: constants.load_all_textures_given_size(block_pixel_size)}
    try:
        # Makes the cached textures concrete arrays even if the caller is being traced.
        with jax.ensure_compile_time_eval():
            return renderer.make_craftax_pixel_renderer(block_pixel_size)  # type: ignore[no-any-return]
    finally:
        renderer.load_all_textures = load_all
