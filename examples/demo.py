"""
Train one agent for all cells of a maze, evaluate it and plot its values.

Run with ``make demo``. It writes a run to ``runs/demo/``, which ``leo serve``, ``leo play`` and ``leo report`` open, with
three figures and a video.
"""

import argparse
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from matplotlib.figure import Figure

import leo_envs
from leo_agents.evaluation import plot_learning_curve, plot_report
from leo_cli.agent_rollout import AgentRollout
from leo_cli.main import main as leo
from leo_cli.models import load_agent
from leo_cli.named_goals import NamedGoal
from leo_cli.run_config import RUN_FILE
from leo_cli.run_folder import RunFolder, SeedFolder
from leo_cli.video import record_frames, save_video

gym.register_envs(leo_envs)

FAR_GOAL = "cell/0,0"
TOUR = ["cell/0,0", "cell/15,14", "cell/15,0", "cell/8,8"]


def train(steps: int, folder: Path, seed: int) -> tuple[Any, SeedFolder]:
    """Train on all goals with the command line, or continue an interrupted training; return the agent and its folder."""
    options = ["--steps", str(steps), "--evaluations", "12", "--first-seed", str(seed), "--folder", str(folder)]
    is_new = not (folder / RUN_FILE).exists()
    code = leo(["train", "leodqn", "GridWorld", *options] if is_new else ["train", "--resume", str(folder)])
    if code != 0:
        raise SystemExit(code)
    run = RunFolder(folder)
    return load_agent(run, run.seeds[0]), run.seeds[0]


def plot_values(model: Any, goal: str, path: Path) -> None:
    """Plot the learned values of one goal over all cells, and their error."""
    env = gym.make("leo/GridWorld-v0").unwrapped
    goal_id = env.goal_set.index(goal)
    cells, shape = env.mdp.grid.cells, env.mdp.grid.shape
    q = model.q_values(env.all_observations())[:, goal_id]
    exact = env.optimal_q(model.gamma)[:, goal_id].max(axis=-1)
    known = env.reachable(start=tuple(cells[goal_id]))
    figure = Figure(figsize=(11.5, 5), layout="constrained")
    panels = (
        ("learned value of the best action", q.max(axis=-1), "viridis", 1.0),
        ("error of the value", abs(q.max(axis=-1) - exact), "magma", 0.2),
    )
    for axes, (title, values, colormap, top) in zip(figure.subplots(1, 2), panels, strict=True):
        grid = np.full(shape, np.nan)
        grid[tuple(cells[known].T)] = values[known]
        figure.colorbar(axes.imshow(grid, cmap=colormap, vmin=0, vmax=top), ax=axes, shrink=0.9)
        axes.set(title=f"{goal}: {title}", xlabel="column", ylabel="row")
        axes.set_facecolor("#3e4454")
        if top == 1.0:
            moves = cells[env.mdp.next_states(np.arange(len(cells)), q.argmax(axis=-1))] - cells
            axes.quiver(*cells[known].T[::-1], *moves[known].T[::-1], color="white", angles="xy", scale=28, width=0.004)
    figure.savefig(path, dpi=110)


def animate(model: Any, goals: list[str], path: Path) -> None:
    """Write a video of the agent reaching one goal after another."""
    walk = AgentRollout(model, gym.make("leo/GridWorld-v0", render_mode="rgb_array"))
    save_video(record_frames(walk, [NamedGoal(goal, goal) for goal in goals], max_steps=60), path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--steps", type=int, default=25_000, help="environment steps to train for")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("runs/demo"))
    options = parser.parse_args()
    model, seed = train(options.steps, options.folder, options.seed)
    plot_report(seed.report(), options.folder / "success_map.png")
    plot_learning_curve(seed.evaluations, options.folder / "learning_curve.png")
    plot_values(model, FAR_GOAL, options.folder / "value_map.png")
    animate(model, TOUR, options.folder / "tour.gif")
    print(f"Figures and video in {options.folder}/. Send the agent to goals in a browser: leo serve {options.folder}")


if __name__ == "__main__":
    main()
