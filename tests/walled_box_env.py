"""A walled box to steer a point through: a goal for each of its 100 cells, and the exact number of steps to each of them."""

from collections import deque
from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

SIZE = 10
STEP = 0.5
# Where a wall stands: VERTICAL[i, j] between the cells (i, j) and (i + 1, j), HORIZONTAL[i, j] between (i, j) and (i, j + 1).
VERTICAL = np.zeros((SIZE, SIZE), dtype=bool)
VERTICAL[2, :7] = VERTICAL[6, 3:] = VERTICAL[-1] = True
HORIZONTAL = np.zeros((SIZE, SIZE), dtype=bool)
HORIZONTAL[3:6, 4] = HORIZONTAL[:, -1] = True
# A point stops this far from a wall.
GAP = 1e-3
Points = npt.NDArray[np.float64]


def move(points: Points, actions: npt.NDArray[Any]) -> Points:
    """
    Where actions lead: first along x, then along y, each up to the next wall.

    :param points: ``[..., 2]`` in the box from 0 to 10
    :param actions: ``[..., 2]`` between -1 and 1
    :return: ``[..., 2]``
    """
    result = np.array(points)
    steps = STEP * np.clip(actions, -1.0, 1.0)
    for axis, walls in ((0, VERTICAL), (1, HORIZONTAL)):
        cells = result.astype(np.int64)
        here, across = cells[..., axis], cells[..., 1 - axis]
        target = result[..., axis] + steps[..., axis]
        below = here - 1  # the line at the lower face belongs to the cell before; -1 is the last line, where a wall stands
        after, before = (
            (walls[here, across], walls[below, across]) if axis == 0 else (walls[across, here], walls[across, below])
        )
        target = np.where(after, np.minimum(target, here + 1 - GAP), target)
        result[..., axis] = np.where(before, np.maximum(target, here + GAP), target)
    return result


class WalledBoxEnv(gym.Env[np.ndarray, np.ndarray]):
    """
    A point in a box with inner walls; an action moves it by up to half a cell along each axis.

    :param start: ``"corner"`` begins every episode in the corner's cell, ``"random"`` anywhere
    :param horizon: truncates after so many steps
    """

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, start: str = "corner", horizon: int = 100) -> None:
        self.start, self.horizon = start, horizon
        self.observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.goal_names = tuple(f"cell/{row},{column}" for row in range(SIZE) for column in range(SIZE))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        self.point = self.np_random.uniform(0.1, 0.9 if self.start == "corner" else SIZE - 0.1, 2)
        return self._observation(), self._info()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.point = move(self.point, action)
        self.steps += 1
        return self._observation(), 0.0, False, self.steps >= self.horizon, self._info()

    def _observation(self) -> np.ndarray:
        return observe(self.point)

    def _info(self) -> dict[str, Any]:
        mask = np.zeros(SIZE * SIZE, dtype=bool)
        mask[goal_of(self.point)] = True
        return {"goals_achieved": mask}


def observe(points: Points) -> npt.NDArray[np.float32]:
    """
    :param points: ``[..., 2]``
    :return: what the agent sees there
    """
    return (2.0 * points / SIZE - 1.0).astype(np.float32)


def goal_of(points: Points) -> npt.NDArray[np.int64]:
    """
    :param points: ``[..., 2]``
    :return: the ids of the goals achieved there
    """
    cells = points.astype(np.int64)
    return cells[..., 1] * SIZE + cells[..., 0]


@cache
def optimal_steps() -> tuple[Points, npt.NDArray[np.float64]]:
    """
    The number of steps from points of a lattice to every goal, at least one, by breadth-first search over full and half steps.

    :return: the points ``[S, 2]`` and the steps ``[S, 100]``
    """
    axis = np.arange(0.125, SIZE, 0.25)
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    moves = np.stack(np.meshgrid(*[[-1.0, -0.5, 0.0, 0.5, 1.0]] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    reached = move(np.repeat(points[:, None], len(moves), axis=1), moves)
    after = np.rint((reached - 0.125) / 0.25).astype(np.int64) @ np.array([len(axis), 1])
    off_lattice = np.abs(points[after] - reached).max(axis=-1) > 1e-9
    after[off_lattice] = np.broadcast_to(np.arange(len(points))[:, None], after.shape)[off_lattice]
    before: list[list[int]] = [[] for _ in points]
    for state, following in enumerate(after.tolist()):
        for other in set(following):
            before[other].append(state)
    goals = goal_of(points)
    steps = np.full((len(points), SIZE * SIZE), np.inf)
    for goal in range(SIZE * SIZE):
        first = {state for other in np.flatnonzero(goals == goal) for state in before[other]}
        steps[list(first), goal] = 1.0
        waiting = deque(first)
        while waiting:
            state = waiting.popleft()
            for other in before[state]:
                if np.isinf(steps[other, goal]):
                    steps[other, goal] = steps[state, goal] + 1.0
                    waiting.append(other)
    return points, steps
