"""The point and ant mazes of Gymnasium-Robotics."""

import os
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.utils import EzPickle

from leo_envs.common.goal_box import Points, Resolution, check_points, check_resolution, point_goals
from leo_envs.common.point_goal_env import Array
from leo_envs.common.robotics_extra import import_robotics
from leo_envs.robotics.base import RoboticsEnv
from leo_wrappers import PointGoals
from leo_wrappers.goal_set import check_goal_count
from leo_wrappers.validation import check_bool, check_choice, check_iterable

MAZES = {
    "UMaze": "U_MAZE",
    "Open": "OPEN",
    "Open_Diverse_G": "OPEN_DIVERSE_G",
    "Open_Diverse_GR": "OPEN_DIVERSE_GR",
    "Medium": "MEDIUM_MAZE",
    "Medium_Diverse_G": "MEDIUM_MAZE_DIVERSE_G",
    "Medium_Diverse_GR": "MEDIUM_MAZE_DIVERSE_GR",
    "Large": "LARGE_MAZE",
    "Large_Diverse_G": "LARGE_MAZE_DIVERSE_G",
    "Large_Diverse_GR": "LARGE_MAZE_DIVERSE_GR",
}
"""Names of the maps, as in the environment ids, and their names in Gymnasium-Robotics."""

ROBOTS = ("point", "ant")
WALL = 1
FLOOR = (0.22, 0.24, 0.30, 1.0)
ANT = (0.25, 0.75, 0.95, 1.0)

# Maximum number of samples of a new target: with a large tolerance, all targets may be achieved already.
_MAX_SAMPLES = 100


class MazeEnv(RoboticsEnv, EzPickle):
    """
    Gymnasium-Robotics' mazes (``PointMaze_*-v3``, ``AntMaze_*-v5``) with one goal per free cell, or a finer grid of goals.

    - **Actions**: "point": ``Box(-1, 1, (2,))``, force in x and y; "ant": ``Box(-1, 1, (8,))``, torques of the joints.
    - **Observation**: see :class:`~leo_envs.common.point_goal_env.PointGoalEnv`; ``achieved_goal`` is x and y.
    - **Goals**: "cell/ROW,COLUMN" at the cell centers; "cell/1.25,2.75" between them with a finer grid.
    - **Reward**: "sparse", or "dense" (``exp(-distance)``).
    - **Reset options**: ``{"reset_cell": (row, column), "goal_cell": (row, column)}`` sets the cells of start and goal.

    :param robot: "point" or "ant"
    :param maze: name of a map, or its rows: 1 is a wall, 0 a free cell, "r" a start, "g" a goal, "c" either
    :param resolution: number of goals per cell along rows and columns, one number or two
    :param points: goals at these points ``[G, 2]`` (x and y, on free cells) instead of a grid
    :param tolerance: largest distance at which a goal counts as achieved; cells are 1 wide for the point, 4 for the ant
    :param reset_target: sample a new desired goal, from the next observation on, when the desired goal is achieved; does not
        apply to commanded goals
    :param contact_forces: include the contact forces on the ant's limbs in the observation (78 entries)
    :param reward_type: "sparse" or "dense"
    :param render_mode: "rgb_array", "human" or None

    Example::

        >>> import gymnasium as gym
        >>> import leo_envs
        >>> env = gym.make("leo/PointMaze_UMaze-v0")
        >>> env.unwrapped.goal_names
        ('cell/1,1', 'cell/1,2', 'cell/1,3', 'cell/2,3', 'cell/3,1', 'cell/3,2', 'cell/3,3')
        >>> observation, info = env.reset(seed=0, options={"reset_cell": (2, 3)})
        >>> info["goals_achieved"]
        array([False, False, False,  True, False, False, False])
    """

    target_sites = ("target",)

    def __init__(
        self,
        robot: str = "point",
        maze: str | Sequence[Sequence[int | str]] = "UMaze",
        *,
        resolution: Resolution = 1,
        points: npt.ArrayLike | None = None,
        tolerance: float = 0.45,
        reset_target: bool = False,
        contact_forces: bool = False,
        reward_type: str = "sparse",
        render_mode: str | None = None,
    ) -> None:
        EzPickle.__init__(
            self,
            robot,
            maze,
            resolution=resolution,
            points=points,
            tolerance=tolerance,
            reset_target=reset_target,
            contact_forces=contact_forces,
            reward_type=reward_type,
            render_mode=render_mode,
        )
        check_choice("robot", robot, ROBOTS)
        check_bool("reset_target", reset_target)
        check_bool("contact_forces", contact_forces)
        simulation = _make_simulation(robot, _maze_map(maze), contact_forces)
        goals = maze_goals(simulation.maze, resolution, tolerance, points)
        fps = round(1.0 / _body(simulation).dt)
        super().__init__(simulation, goals, fps=fps, reward_type=reward_type, render_mode=render_mode)
        self.reset_target = reset_target
        _set_top_view(self._renderer, simulation.maze)
        if robot == "ant":
            _paint_ant(simulation.model)

    @property
    def _renderer(self) -> Any:
        return _body(self.simulation).mujoco_renderer

    def _reset_simulation(self, seed: int | None, options: dict[str, Any]) -> npt.ArrayLike:
        maze_map = self.simulation.maze.maze_map
        for key in ("goal_cell", "reset_cell"):
            if options.get(key) is not None:
                options[key] = _checked_cell(maze_map, key, options[key])
        return super()._reset_simulation(seed, options)

    def _dense_reward(self, distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.exp(-distance)

    def _after_step(self, achieved: Array) -> None:
        if not self.reset_target or self.commanded_goal is not None:
            return
        for _ in range(_MAX_SAMPLES):
            if not self.goal_set.reaches(achieved, self.desired_goal):
                return
            cell_center = self.simulation.generate_target_goal()
            self._set_desired_goal(np.asarray(self.simulation.add_xy_position_noise(cell_center), dtype=np.float32))


def maze_goals(
    maze: Any, resolution: Resolution = 1, tolerance: float = 0.45, points: npt.ArrayLike | None = None
) -> PointGoals:
    """
    Create goals on the free cells of a maze, or at given points.

    :param maze: maze of a Gymnasium-Robotics environment
    :param resolution: number of goals per cell along rows and columns
    :param tolerance: largest distance at which a goal counts as achieved
    :param points: points ``[G, 2]`` to use instead of a grid
    :return: the goals, named by row and column
    """
    if points is not None:
        chosen = _checked_points(maze, points)
    else:
        steps = [(np.arange(count) + 0.5) / count - 0.5 for count in check_resolution(resolution, 2)]
        free = [(row, column) for row, column in product(range(maze.map_length), range(maze.map_width))]
        free = [(row, column) for row, column in free if maze.maze_map[row][column] != WALL]
        check_goal_count(len(free) * len(steps[0]) * len(steps[1]))
        cells = [(row + down, column + right) for row, column in free for down, right in product(*steps)]
        chosen = np.array([maze.cell_rowcol_to_xy(cell) for cell in cells])
    # Adding zero turns -0 into 0.
    names = [f"cell/{row:g},{column:g}" for row, column in np.round(_rows_and_columns(maze, chosen), 3) + 0.0]
    return point_goals(chosen, tolerance, names)


def _make_simulation(robot: str, maze_map: list[list[Any]], contact_forces: bool) -> Any:
    if robot == "point":
        simulation = import_robotics("gymnasium_robotics.envs.maze.point_maze").PointMazeEnv(maze_map=maze_map)
    else:
        simulation = import_robotics("gymnasium_robotics.envs.maze.ant_maze_v5").AntMazeEnv(
            maze_map=maze_map, include_cfrc_ext_in_observation=contact_forces
        )
    # The file has been read, and Gymnasium-Robotics does not delete it.
    os.unlink(simulation.tmp_xml_file_path)
    return simulation


def _body(simulation: Any) -> Any:
    """Return the robot's environment inside the maze environment."""
    return simulation.point_env if hasattr(simulation, "point_env") else simulation.ant_env


def _set_top_view(renderer: Any, maze: Any) -> None:
    """Set a camera that shows the whole maze: those of Gymnasium-Robotics crop large mazes or are inside a wall."""
    width = max(maze.map_length, maze.map_width) * maze.maze_size_scaling
    renderer.camera_id = -1
    renderer.default_cam_config = {"distance": 1.35 * width, "azimuth": 90.0, "elevation": -75.0, "lookat": np.zeros(3)}


def _paint_ant(model: Any) -> None:
    """Color the ant blue and the floor plain: an ant is hardly visible on the original checkered floor."""
    floor = model.geom("floor").id
    model.geom_matid[floor] = -1
    model.geom_rgba[floor] = FLOOR
    model.geom_rgba[model.geom_bodyid > 0] = ANT


def _maze_map(maze: str | Sequence[Sequence[int | str]]) -> list[list[Any]]:
    if isinstance(maze, str):
        check_choice("maze", maze, tuple(MAZES))
        maze = getattr(import_robotics("gymnasium_robotics.envs.maze.maps"), MAZES[maze])
    check_iterable("rows", maze)
    for row in maze:
        check_iterable("cells", row)
    rows = [list(row) for row in maze]
    cells = [cell for row in rows for cell in row]
    even = len({len(row) for row in rows}) == 1
    if not even or sum(cell != WALL for cell in cells) < 2 or any(cell not in (0, 1, "r", "g", "c") for cell in cells):
        raise ValueError(
            f"expected rows of equal length of 0, 1, 'r', 'g' and 'c' with at least two free cells, got {maze!r}; "
            f"or pass one of {sorted(MAZES)}"
        )
    return rows


def _checked_cell(maze_map: list[list[Any]], key: str, cell: Any) -> npt.NDArray[np.intp]:
    array = np.asarray(cell)
    inside = array.shape == (2,) and array.dtype.kind in "iu"
    inside = inside and 0 <= array[0] < len(maze_map) and 0 <= array[1] < len(maze_map[0])
    if not inside or maze_map[array[0]][array[1]] == WALL:
        raise ValueError(f"expected {key} to be the (row, column) of a free cell, got {cell!r}; choose a free cell")
    return array.astype(np.intp)


def _checked_points(maze: Any, points: npt.ArrayLike) -> Points:
    result = check_points(points, 2)
    for point, (row, column) in zip(result, _rows_and_columns(maze, result), strict=True):
        cell = (round(row), round(column))
        inside = 0 <= cell[0] < maze.map_length and 0 <= cell[1] < maze.map_width
        if not inside or maze.maze_map[cell[0]][cell[1]] == WALL:
            raise ValueError(
                f"expected goals on free cells of the maze, got {point.tolist()}, which is in a wall or outside; move it to "
                "a free cell (maze.cell_rowcol_to_xy returns the center of a cell)"
            )
    return result


def _rows_and_columns(maze: Any, points: Points) -> Points:
    """Return rows and columns of points ``[n, 2]``, integers at cell centers."""
    scale = maze.maze_size_scaling
    rows = (maze.y_map_center - points[:, 1]) / scale - 0.5
    columns = (points[:, 0] + maze.x_map_center) / scale - 0.5
    return np.stack([rows, columns], axis=1)
