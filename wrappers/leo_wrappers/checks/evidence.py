"""What a run shows about its masks as a whole, collected over all episodes and environments."""

import warnings
from typing import Any

import gymnasium as gym

from leo_wrappers.checks.mask_consistency import EpisodeBoundaryChecker, MaskConsistencyChecker
from leo_wrappers.checks.mask_delay import MaskDelayChecker
from leo_wrappers.checks.time_limits import EpisodeLengthChecker


class RunEvidence:
    """
    The checks that need many steps: repeated observations, late masks, first and last masks, and episode lengths.

    :param space: the observation space of a single environment
    :param names: the goal names
    :param observation_determines_mask: whether equal observations must have equal masks
    :param time_limits: the declared time limits
    """

    def __init__(
        self, space: gym.Space[Any], names: tuple[str, ...], observation_determines_mask: bool, time_limits: set[int]
    ) -> None:
        self.consistency = MaskConsistencyChecker(space, names) if observation_determines_mask else None
        self.delay = MaskDelayChecker(space, names) if observation_determines_mask else None
        self.boundaries = EpisodeBoundaryChecker(space)
        self.lengths = EpisodeLengthChecker(time_limits)

    def warn(self, masks_are_verified: bool, stacklevel: int) -> None:
        """
        Warn about what is probably, but not certainly, wrong, and about masks that could not be checked.

        :param masks_are_verified: whether every mask was compared with one that was computed independently
        :param stacklevel: as in ``warnings.warn``, from the caller of this method
        """
        checks = [self.lengths] if masks_are_verified else [self.lengths, self.boundaries, self.delay, self.consistency]
        for check in checks:
            message = None if check is None else check.warning()
            if message is not None:
                warnings.warn(message, UserWarning, stacklevel=stacklevel + 1)
