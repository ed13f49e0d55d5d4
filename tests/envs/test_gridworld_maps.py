"""Tests of maps: parsing, random generation, invalid maps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leo_envs.gridworld import GridMap, GridWorldEnv, maze_map, paper_map, random_map

SIZES = st.tuples(st.integers(1, 24), st.integers(1, 24))


def adjacent_cells(grid: GridMap) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return all pairs of adjacent free cells, each once."""
    free = {(int(row), int(column)) for row, column in grid.cells}
    return [(cell, other) for cell in free for other in ((cell[0] + 1, cell[1]), (cell[0], cell[1] + 1)) if other in free]


def test_cells_are_in_row_major_order() -> None:
    grid = GridMap(["S.#", "#.."])
    assert grid.shape == (2, 3)
    assert grid.cells.tolist() == [[0, 0], [0, 1], [1, 1], [1, 2]]
    assert grid.numbers.tolist() == [[0, 1, -1], [-1, 2, 3]]
    assert grid.starts == [(0, 0)]


@pytest.mark.parametrize("text", ["S.#\n#..", "\n  S.#\n  #..\n\n", "S.#\r\n#..\r\n"])
def test_map_ignores_surrounding_white_space(text: str) -> None:
    assert str(GridMap(text)) == "S.#\n#.."


def test_paper_map() -> None:
    grid = paper_map()
    assert (grid.shape, grid.starts, grid.walls[8, 8]) == ((16, 16), [], False)
    assert str(grid).splitlines()[0] == ".....#...#.#...."
    assert len(grid.cells) == 180


@given(shape=SIZES, data=st.data())
@settings(max_examples=50, deadline=None)
def test_text_round_trip(shape: tuple[int, int], data: st.DataObject) -> None:
    rows = [data.draw(st.text("#.S", min_size=shape[1], max_size=shape[1])) for _ in range(shape[0])]
    rows[-1] = "." + rows[-1][1:]
    assert str(GridMap(rows)).splitlines() == rows


@given(size=SIZES, seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_maze_is_spanning_tree(size: tuple[int, int], seed: int) -> None:
    env = GridWorldEnv(maze_map(size, seed))
    grid = env.grid
    assert grid.shape == size
    assert not grid.walls[::2, ::2].any()
    # A connected graph with one edge fewer than nodes is a tree.
    assert len(adjacent_cells(grid)) == len(grid.cells) - 1
    assert (env.distances() > 0).all()
    assert (grid.starts[0][0] % 2, grid.starts[0][1] % 2) == (0, 0)


@given(size=SIZES, seed=st.integers(0, 2**32 - 1), density=st.floats(0.0, 1.0))
@settings(max_examples=50, deadline=None)
def test_random_map_size_and_start(size: tuple[int, int], seed: int, density: float) -> None:
    grid = GridMap(random_map(size, seed, density))
    assert grid.shape == size
    assert grid.starts == [grid.center]


@pytest.mark.parametrize("density", [0.0, 0.25, 0.6, 1.0])
def test_random_map_density(density: float) -> None:
    walls = GridMap(random_map(128, 5, density)).walls
    # Ten standard deviations of the mean; at densities 0 and 1, only the start may differ.
    assert abs(walls.mean() - density) <= 10 * np.sqrt(density * (1 - density) / walls.size) + 1 / walls.size


@pytest.mark.parametrize("make", [random_map, maze_map])
def test_map_depends_on_seed(make: type[random_map]) -> None:
    assert make(20, 3) == make(20, 3) == make((20, 20), 3)
    assert make(20, 3) != make(20, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at least one free cell, got empty text"),
        ([], "at least one free cell, got empty text"),
        ("##\n##", "at least one free cell, got 2 rows of walls"),
        ("..\n...", "rows of equal length, got 2 cells in row 0 and 3 in row 1"),
        ("..\n.x", r"only '#', '.', 'S', 'K', 'D' on the map, got \['x'\] in row 1"),
        ("." * 129, "at most 128 x 128 cells, got 1 x 129"),
        (["."] * 129, "at most 128 x 128 cells, got 129 x 1"),
    ],
)
def test_invalid_maps_raise(text: str | list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GridMap(text)


@pytest.mark.parametrize("make", [random_map, maze_map])
@pytest.mark.parametrize("size", [0, -1, 129, (3, 129), (3,), 2.5, "4", None])
def test_invalid_sizes_raise(make: type[random_map], size: object) -> None:
    with pytest.raises(ValueError, match="expected a size from 1 to 128"):
        make(size)


@pytest.mark.parametrize("density", [-0.1, 1.1, float("nan")])
def test_invalid_density_raises(density: float) -> None:
    with pytest.raises(ValueError, match="expected wall_density between 0 and 1"):
        random_map(4, wall_density=density)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ((0, 2), r"expected a free cell, got the wall at \(0, 2\)"),
        ((2, 0), r"expected a cell of the 2 x 3 map, got \(2, 0\)"),
        ((0, -1), r"expected a cell of the 2 x 3 map, got \(0, -1\)"),
        ((0,), r"expected a cell as \(row, column\)"),
        (5, r"expected a cell as \(row, column\)"),
        ((0.5, 0), r"expected a cell as \(row, column\)"),
    ],
)
def test_invalid_cells_raise(cell: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GridMap("S.#\n#..").number_of(cell)  # type: ignore[arg-type]
