"""A window that shows pictures, for the render mode "human"."""

from typing import Any

import numpy as np
from gymnasium.error import DependencyNotInstalled

from leo_envs.common.mdp import Frame


class Window:
    """
    Opens at the first picture and shows each for one tick of the clock. pygame is imported only then.

    :param title: the window's title
    :param fps: pictures per second
    """

    def __init__(self, title: str, fps: int) -> None:
        self.title = title
        self.fps = fps
        self._surface: Any = None
        self._clock: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        # An open window stays where it is: a copy or a pickle of the environment opens its own.
        return type(self), (self.title, self.fps)

    def show(self, frame: Frame) -> None:
        """
        Show a picture.

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
        # pygame counts columns first.
        pygame.surfarray.blit_array(self._surface, np.swapaxes(frame, 0, 1))
        pygame.event.pump()
        pygame.display.flip()
        self._clock.tick(self.fps)

    def close(self) -> None:
        """Close the window, if it is open."""
        if self._surface is not None:
            import pygame

            pygame.display.quit()
            self._surface = self._clock = None
