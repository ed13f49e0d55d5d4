"""The mark that shows a goal in MuJoCo's pictures."""

from typing import Any

import numpy as np
import numpy.typing as npt


def move_site(model: Any, data: Any, name: str, place: npt.NDArray[np.float64]) -> None:
    """
    Puts a site at a place of the world, at once and until it is moved again.

    Sites touch nothing, so the simulation goes on as it would have: unlike after a forward pass, which other ways of moving
    a site need, and which leaves its traces in the solver.

    :param model: the MuJoCo model
    :param data: the simulation's state
    :param name: the site, on a body that does not move
    :param place: where to, in two coordinates (the height stays) or three
    """
    site = data.site(name)
    site.xpos[: len(place)] = place
    body = model.site_bodyid[site.id]
    model.site_pos[site.id] = data.xmat[body].reshape(3, 3).T @ (site.xpos - data.xpos[body])
