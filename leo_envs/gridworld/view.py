"""What grid world environments offer besides stepping."""

from leo_envs.common.mdp_env import FiniteMDPView
from leo_envs.gridworld.maps import Cell, GridMap
from leo_envs.gridworld.mdp import GridWorld


class GridView(FiniteMDPView):
    """The map and the cells of a grid world; a base of the single and the vector environment."""

    world: GridWorld

    @property
    def grid(self) -> GridMap:
        """The map."""
        return self.world.grid

    def cell_of(self, goal: str | int) -> Cell:
        """
        The cell of a goal. State numbers are goal ids, so it serves for states too.

        :param goal: its name or id
        :return: row and column
        """
        row, column = self.world.grid.cells[self.goal_set.index(goal)]
        return int(row), int(column)
