"""Moving the site that marks a goal in MuJoCo's renderings."""

from typing import Any

import numpy as np
import numpy.typing as npt


def move_site(model: Any, data: Any, name: str, position: npt.NDArray[np.float64]) -> None:
    """
    Move a site to a global position.

    Writes the position into both model and data, which leaves the dynamics unchanged. The usual forward pass would not: it
    changes the warm start of the constraint solver.

    :param model: the MuJoCo model
    :param data: the MuJoCo data
    :param name: name of a site on a fixed body
    :param position: x and y (the height is kept), or x, y and z
    """
    site = data.site(name)
    site.xpos[: len(position)] = position
    body = model.site_bodyid[site.id]
    model.site_pos[site.id] = data.xmat[body].reshape(3, 3).T @ (site.xpos - data.xpos[body])
