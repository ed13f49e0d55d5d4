"""One random generator for each row of a vector environment."""

import numpy as np
from gymnasium.utils import seeding


class RowGenerators:
    """
    The generators of a vector environment's rows. A row nobody seeded gets a generator only when it first draws, as a single
    environment does, so that a thousand rows with fixed starts cost nothing.

    :param num_rows: the number of rows

    Example::

        >>> generators = RowGenerators(2)
        >>> generators.reseed(1, 7)
        >>> generators.seed_of(1)
        7
    """

    def __init__(self, num_rows: int) -> None:
        self._made: list[tuple[np.random.Generator, int] | None] = [None] * num_rows

    def reseed(self, row: int, seed: int | None) -> None:
        """
        Give a row a new generator.

        :param row: the row
        :param seed: its seed; entropy from the system when None
        """
        self._made[row] = seeding.np_random(seed)

    def seed_of(self, row: int) -> int:
        """
        The seed of a row's generator.

        :param row: the row
        :return: the seed
        """
        return self._pair(row)[1]

    def __getitem__(self, row: int) -> np.random.Generator:
        return self._pair(row)[0]

    def _pair(self, row: int) -> tuple[np.random.Generator, int]:
        pair = self._made[row]
        if pair is None:
            pair = self._made[row] = seeding.np_random(None)
        return pair
