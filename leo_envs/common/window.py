"""The pygame window of render mode "human", and the warning of environments made without a render mode."""

from typing import Any

import numpy as np
from gymnasium import logger
from gymnasium.error import DependencyNotInstalled

from leo_envs.common.mdp import Frame


def warn_no_render_mode() -> None:
    """Warn that ``render`` does nothing, as Gymnasium's environments do."""
    logger.warn('render() returns None without a render mode; make the environment with render_mode="rgb_array".')


class Window:
    """
    Window that opens with the first frame; pygame is imported only then.

    :param title: title of the window
    :param fps: frames per second
    """

    def __init__(self, title: str, fps: int) -> None:
        self.title = title
        self.fps = fps
        self._surface: Any = None
        self._clock: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        # An open window cannot be pickled: a copy of the environment opens its own.
        return type(self), (self.title, self.fps)

    def show(self, frame: Frame) -> None:
        """
        Show a frame and wait until the next one is due.

        :param frame: RGB ``[height, width, 3]``
        """
        try:
            import pygame
        except ImportError as error:
            raise DependencyNotInstalled(
                'expected pygame for render_mode="human", got no such module; run `pip install "leo-rl[human]"`'
            ) from error
        if self._surface is None:
            pygame.display.init()
            pygame.display.set_caption(self.title)
            self._surface = pygame.display.set_mode((frame.shape[1], frame.shape[0]))
            self._clock = pygame.time.Clock()
        # pygame's first axis is x.
        pygame.surfarray.blit_array(self._surface, np.swapaxes(frame, 0, 1))
        pygame.event.pump()
        pygame.display.flip()
        self._clock.tick(self.fps)

    def close(self) -> None:
        """Close the window, if one is open."""
        if self._surface is not None:
            import pygame

            pygame.display.quit()
            self._surface = self._clock = None
