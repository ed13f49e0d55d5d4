"""Draw the pictures of environments in the documentation: ``python docs/draw_environments.py``."""

from pathlib import Path

import gymnasium as gym
import numpy as np
from matplotlib.figure import Figure

import leo_envs

gym.register_envs(leo_envs)

FOLDER = Path(__file__).parent / "figures"
# For each picture: ids, goals that are commanded, and numbers of steps with random actions.
PICTURES = {
    "atari": (
        ("leo/MontezumaRevenge-v0", "item/key", 90),
        ("leo/MsPacman-v0", "pill/12,0", 160),
        ("leo/Pitfall-v0", "room/+1", 60),
    )
}


def draw(panels: tuple[tuple[str, str, int], ...], path: Path) -> None:
    """Draw a frame of each environment, with some of the goals that it achieves."""
    figure = Figure(figsize=(4.2 * len(panels), 4.4), layout="constrained")
    for axes, (env_id, goal, steps) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        env = gym.make(env_id, render_mode="rgb_array")
        env.action_space.seed(0)
        _, info = env.reset(seed=0)
        for _ in range(steps):
            info = env.step(env.action_space.sample())[4]
        env.unwrapped.set_commanded_goal(goal)
        names = [env.unwrapped.goal_names[index] for index in np.flatnonzero(info["goals_achieved"])]
        axes.imshow(env.render())
        axes.set_axis_off()
        axes.set_title(env_id, fontsize=11)
        axes.text(
            0.5,
            -0.04,
            "achieved: " + "   ".join(names[:3]) + ("   ..." if len(names) > 3 else ""),
            transform=axes.transAxes,
            ha="center",
            va="top",
            fontsize=9,
        )
        env.close()
    figure.savefig(path, dpi=90, bbox_inches="tight")


if __name__ == "__main__":
    for name, panels in PICTURES.items():
        draw(panels, FOLDER / f"{name}.png")
