"""
Draw the figures of the README and the documentation with a new agent or a saved one:
``python docs/draw_figures.py [--model runs/quick_start/model.zip]``, or those of MiniGrid and XLand-MiniGrid: ``--levels``.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import gymnasium as gym
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import leo_envs
from leo_agents import LEODQN
from leo_cli.agent_rollout import AgentRollout
from leo_cli.named_goals import NamedGoal
from leo_cli.video import record_frames, save_video

gym.register_envs(leo_envs)

FOLDER = Path(__file__).parent / "figures"
TOUR = ["cell/0,0", "cell/15,14", "cell/15,0", "cell/3,15"]
DOOR_KEY = ["carrying/yellow key", "open/yellow door"]
CRAFTS = ["exists/pink hex", "exists/purple key", "exists/green star"]
BLUE, GREEN, ORANGE, PALE, WALL = "#0072B2", "#009E73", "#D55E00", "#d9d9d9", "#3e4454"


def draw_map(axes, mdp) -> None:
    """Draw the walls of a gridworld."""
    walls = np.where(mdp.grid.walls, 1.0, np.nan)
    axes.imshow(walls, cmap="gray", vmin=0, vmax=4)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color(PALE)


def random_trajectory(env: gym.Env, steps: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Take random actions; return the cell after each step ``[T + 1]`` and the masks ``[T + 1, G]``."""
    env.action_space.seed(seed)
    _, info = env.reset(seed=seed)
    masks = [info["goals_achieved"]]
    masks += [env.step(env.action_space.sample())[4]["goals_achieved"] for _ in range(steps)]
    return np.array([mask.argmax() for mask in masks]), np.array(masks)


def plot_masks(path: Path) -> None:
    """Plot a random trajectory that misses its goal, and the goals its steps achieve."""
    env = gym.make("leo/GridWorld-v0", map="maze", size=9, start=[0, 0])
    mdp = env.unwrapped.mdp
    cells, masks = random_trajectory(env, steps=40, seed=5)
    visited = list(dict.fromkeys(cells.tolist()))
    commanded = mdp.num_goals - 1
    figure = Figure(figsize=(10.5, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.9])
    draw_map(left, mdp)
    rows, columns = mdp.grid.cells[cells].T
    jitter = np.random.default_rng(0).uniform(-0.14, 0.14, (2, len(cells)))
    left.plot(columns + jitter[0], rows + jitter[1], color=BLUE, linewidth=1.6, marker="o", markersize=3)
    for cell in visited:
        row, column = mdp.grid.cells[cell]
        left.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, color=BLUE, alpha=0.14, linewidth=0))
    row, column = mdp.grid.cells[commanded]
    left.plot(column, row, marker="*", color=ORANGE, markersize=17)
    left.set_title("40 random steps; star: commanded goal", fontsize=11)
    listed = [*visited, commanded]
    right.axhspan(len(visited) - 0.5, len(visited) + 0.5, color=ORANGE, alpha=0.15, linewidth=0)
    times, goals = np.nonzero(masks[1:][:, visited])
    right.scatter(times + 1, goals, color=BLUE, s=20)
    names = [mdp.goal_names[goal] for goal in listed]
    right.set_yticks(range(len(listed)), [*names[:-1], f"{names[-1]} (commanded)"], fontsize=8)
    right.set(xlabel="step", xlim=(0, 41), ylim=(len(listed) - 0.4, -0.6))
    right.set_title("goals_achieved: dots mark the goals achieved by each step", fontsize=11)
    right.grid(axis="x", color=PALE, linewidth=0.6)
    right.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def plot_values(model: LEODQN, path: Path) -> None:
    """Plot the values of all cells for three goals, and the best actions, from one network."""
    env = gym.make("leo/GridWorld-v0").unwrapped
    mdp = env.mdp
    cells = mdp.grid.cells
    values = model.q_values(env.all_observations())
    figure = Figure(figsize=(11.5, 4.1), layout="constrained")
    panels = figure.subplots(1, 3)
    for axes, goal in zip(panels, TOUR[:3], strict=True):
        goal_id = env.goal_set.index(goal)
        known = env.reachable(start=tuple(cells[goal_id]))
        best = values[:, goal_id]
        grid = np.full(mdp.grid.shape, np.nan)
        grid[tuple(cells[known].T)] = best.max(axis=-1)[known]
        image = axes.imshow(grid, cmap="viridis", vmin=0.6, vmax=1)
        moves = cells[mdp.next_states(np.arange(len(cells)), best.argmax(axis=-1))] - cells
        axes.quiver(*cells[known].T[::-1], *moves[known].T[::-1], color="white", angles="xy", scale=26, width=0.005)
        axes.plot(*cells[goal_id][::-1], marker="*", color=ORANGE, markersize=15, markeredgecolor="white")
        axes.set(xticks=[], yticks=[], facecolor=WALL)
        axes.set_title(f"head of {goal}", fontsize=11)
    figure.colorbar(image, ax=panels, shrink=0.85, label="value of the best action")
    figure.savefig(path, dpi=110)


def find_episode(env_id: str, goals: Sequence[str], num_envs: int) -> tuple[int, list[int]]:
    """Take random actions until an episode has achieved all of some goals; return its seed and actions."""
    envs = gym.make_vec(env_id, num_envs=num_envs)
    names = gym.make(env_id).unwrapped.goal_names
    ids = [names.index(goal) for goal in goals]
    for seed in range(0, 100 * num_envs, num_envs):
        envs.action_space.seed(seed)
        _, infos = envs.reset(seed=seed)
        reached, running, actions = infos["goals_achieved"][:, ids], np.ones(num_envs, dtype=bool), []
        while running.any():
            actions.append(envs.action_space.sample())
            _, _, terminated, truncated, infos = envs.step(actions[-1])
            reached[running] |= infos["goals_achieved"][running][:, ids]
            if (running & reached.all(axis=1)).any():
                row = int(np.flatnonzero(running & reached.all(axis=1))[0])
                return seed + row, [int(step[row]) for step in actions]
            running &= ~(terminated | truncated)
    raise RuntimeError(f"no random episode of {env_id} achieved {goals}")


def plot_episode(env_id: str, goals: Sequence[str], path: Path, num_envs: int) -> None:
    """Plot the states of an episode in which each of some goals is first achieved, and all goals that they achieve."""
    env = gym.make(env_id, render_mode="rgb_array")
    names = env.unwrapped.goal_names
    labels = getattr(env.unwrapped.goal_set, "instructions", names)
    seed, actions = find_episode(env_id, goals, num_envs)
    _, info = env.reset(seed=seed)
    states = [(0, env.render(), info["goals_achieved"])]
    waiting = set(goals)
    for step, action in enumerate(actions, start=1):
        mask = env.step(action)[4]["goals_achieved"]
        new = {goal for goal in waiting if mask[names.index(goal)]}
        waiting -= new
        if new:
            states.append((step, env.render(), mask))
    most = max(int(mask.sum()) for _, _, mask in states)
    figure = Figure(figsize=(3.1 * len(states), 3.5 + 0.18 * most), layout="constrained")
    for axes, (step, frame, mask) in zip(np.atleast_1d(figure.subplots(1, len(states))), states, strict=True):
        axes.imshow(frame)
        axes.set(xticks=[], yticks=[], title=f"step {step}" if step else "reset")
        axes.set_xlabel("\n".join(labels[goal] for goal in np.flatnonzero(mask)), fontsize=9, loc="left")
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="saved LEODQN of leo/GridWorld-v0; a new one is trained by default")
    parser.add_argument("--steps", type=int, default=20_000, help="environment steps to train for")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--levels", action="store_true", help="draw the figures of MiniGrid and XLand-MiniGrid only")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.levels:
        doors, crafts = (
            ("carrying/yellow key", "open/yellow door"),
            ("exists/pink hex", "exists/purple key", "exists/green star"),
        )
        plot_episode("leo/MiniGrid-DoorKey-6x6-v0", doors, options.folder / "minigrid.png", num_envs=8)
        plot_episode("leo/XLand-v0", crafts, options.folder / "xland.png", num_envs=256)
        return
    if options.model is None:
        model = LEODQN("MultiGoalPolicy", gym.make("leo/GridWorld-v0"), seed=0).learn(options.steps, progress_bar=True)
    else:
        model = LEODQN.load(options.model, device="cpu")
    plot_masks(options.folder / "masks.png")
    plot_values(model, options.folder / "values.png")
    walk = AgentRollout(model, gym.make("leo/GridWorld-v0", render_mode="rgb_array"))
    frames = record_frames(walk, [NamedGoal(goal, goal) for goal in TOUR], max_steps=60, width=256)
    save_video(frames, options.folder / "tour.gif")


if __name__ == "__main__":
    main()
