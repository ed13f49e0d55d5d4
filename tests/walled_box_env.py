"""A point mass in a box with walls: one goal per free cell (100), with the exact number of steps to each."""

from collections import deque
from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

MAP = """
...#........
...#........
...#....####
...#....#...
...#..#.....
...#..#.....
........#...
........#...
....#####...
............
"""
STEP = 0.5
WALLS = np.array([[cell == "#" for cell in row] for row in MAP.split()]).T  # by x, then y
SIZE = np.array(WALLS.shape)
FREE = np.argwhere(~WALLS)
GOAL_IDS = np.full(WALLS.shape, -1)
GOAL_IDS[tuple(FREE.T)] = np.arange(len(FREE))
# Distance at which the point stops before a wall.
GAP = 1e-3
Points = npt.NDArray[np.float64]


def move(points: Points, actions: npt.NDArray[Any]) -> Points:
    """
    Move points along x, then along y, each up to the next wall.

    :param points: positions ``[..., 2]`` outside the walls, in cells
    :param actions: ``[..., 2]`` between -1 and 1
    :return: the new positions ``[..., 2]``
    """
    result = np.array(points)
    steps = STEP * np.clip(actions, -1.0, 1.0)
    walls = np.pad(WALLS, 1, constant_values=True)
    for axis in (0, 1):
        cells = result.astype(np.int64) + 1  # in the padded map
        cell, other = cells[..., axis], cells[..., 1 - axis]
        grid = walls if axis == 0 else walls.T
        target = result[..., axis] + steps[..., axis]
        target = np.where(grid[cell + 1, other], np.minimum(target, cell - GAP), target)
        result[..., axis] = np.where(grid[cell - 1, other], np.maximum(target, cell - 1 + GAP), target)
    return result


class WalledBoxEnv(gym.Env[np.ndarray, np.ndarray]):
    """
    Environment of a point in a box with inner walls; an action moves it by up to half a cell along each axis.

    :param start: initial position: ``"corner"`` in the cell at the corner, ``"random"`` in any free cell
    :param horizon: number of steps until truncation
    """

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, start: str = "corner", horizon: int = 100) -> None:
        self.start, self.horizon = start, horizon
        self.observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.goal_names = tuple(f"cell/{y},{x}" for x, y in FREE)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        cell = FREE[0 if self.start == "corner" else self.np_random.integers(len(FREE))]
        self.point = cell + self.np_random.uniform(0.1, 0.9, 2)
        return self._observation(), self._info()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.point = move(self.point, action)
        self.steps += 1
        return self._observation(), 0.0, False, self.steps >= self.horizon, self._info()

    def _observation(self) -> np.ndarray:
        return observe(self.point)

    def _info(self) -> dict[str, Any]:
        mask = np.zeros(len(FREE), dtype=bool)
        mask[goal_of(self.point)] = True
        return {"goals_achieved": mask}


def observe(points: Points) -> npt.NDArray[np.float32]:
    """
    Compute observations.

    :param points: positions ``[..., 2]``
    :return: observations ``[..., 2]`` in [-1, 1]
    """
    return (2.0 * points / SIZE - 1.0).astype(np.float32)


def goal_of(points: Points) -> npt.NDArray[np.int64]:
    """
    Compute the achieved goals.

    :param points: positions ``[..., 2]``
    :return: goal ids ``[...]``
    """
    cells = points.astype(np.int64)
    return GOAL_IDS[cells[..., 0], cells[..., 1]]


@cache
def optimal_steps() -> tuple[Points, npt.NDArray[np.float64]]:
    """
    Compute the number of steps (at least one) from the points of a lattice to every goal by breadth-first search.

    Moves are full and half steps along each axis.

    :return: the points ``[S, 2]`` and the steps ``[S, 100]``
    """
    fine = 0.125 + 0.25 * np.arange(4)
    points = (FREE[:, None, None] + np.stack(np.meshgrid(fine, fine, indexing="ij"), axis=-1).reshape(-1, 2)).reshape(-1, 2)
    moves = np.stack(np.meshgrid(*[[-1.0, -0.5, 0.0, 0.5, 1.0]] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    reached = move(np.repeat(points[:, None], len(moves), axis=1), moves)
    numbers = {point: number for number, point in enumerate(map(tuple, points.tolist()))}
    # A move stopped by a wall leaves the lattice and is ignored.
    successors = [[numbers.get(point, state) for point in map(tuple, row)] for state, row in enumerate(reached.tolist())]
    predecessors: list[list[int]] = [[] for _ in points]
    for state, following in enumerate(successors):
        for other in set(following):
            predecessors[other].append(state)
    goals = goal_of(points)
    steps = np.full((len(points), len(FREE)), np.inf)
    for goal in range(len(FREE)):
        first = {state for other in np.flatnonzero(goals == goal) for state in predecessors[other]}
        steps[list(first), goal] = 1.0
        queue = deque(first)
        while queue:
            state = queue.popleft()
            for other in predecessors[state]:
                if np.isinf(steps[other, goal]):
                    steps[other, goal] = steps[state, goal] + 1.0
                    queue.append(other)
    return points, steps
