"""Map and cells of grid world environments."""

from leo_envs.common.mdp_mixin import FiniteMDPMixin
from leo_envs.gridworld.maps import Cell, GridMap
from leo_envs.gridworld.mdp import GridWorld


class GridWorldMixin(FiniteMDPMixin):
    """Mixin with the map and the cells of a grid world, for the single and the vector environment."""

    mdp: GridWorld

    @property
    def grid(self) -> GridMap:
        """The map."""
        return self.mdp.grid

    def cell_of(self, goal: str | int) -> Cell:
        """
        Return the cell of a goal; that of the key or the door for their goals.

        :param goal: name or id of the goal
        :return: row and column
        """
        row, column = self.mdp.grid.cells[self.mdp.goal_cells[self.goal_set.index(goal)]]
        return int(row), int(column)
