"""One random generator per environment of a vector environment."""

import numpy as np
from gymnasium.utils import seeding


class RowGenerators:
    """
    The random generators of a vector environment, one per row. The generator of an unseeded row is created at its first use,
    so that a thousand rows with fixed start states cost nothing.

    :param num_rows: number of rows

    Example::

        >>> generators = RowGenerators(2)
        >>> generators.reseed(1, 7)
        >>> generators.seed_of(1)
        7
    """

    def __init__(self, num_rows: int) -> None:
        self._created: list[tuple[np.random.Generator, int] | None] = [None] * num_rows

    def reseed(self, row: int, seed: int | None) -> None:
        """
        Create a new generator for a row.

        :param row: the row
        :param seed: the seed; entropy from the system when None
        """
        self._created[row] = seeding.np_random(seed)

    def seed_of(self, row: int) -> int:
        """
        Return the seed of a row's generator.

        :param row: the row
        :return: the seed, as Gymnasium's ``np_random_seed`` reports it
        """
        return self._get(row)[1]

    def __getitem__(self, row: int) -> np.random.Generator:
        return self._get(row)[0]

    def _get(self, row: int) -> tuple[np.random.Generator, int]:
        pair = self._created[row]
        if pair is None:
            pair = self._created[row] = seeding.np_random(None)
        return pair
