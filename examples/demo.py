"""
Train one agent for all cells of a maze, evaluate it and plot its values.

Run with ``make demo``. It writes the model, two tables, three figures and a video to ``runs/demo/``.
"""

import argparse
from pathlib import Path

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from matplotlib.figure import Figure

import leo_envs
from leo_agents import LEODQN
from leo_agents.evaluation import GoalEvalCallback, evaluate_goals, plot_learning_curve, plot_report
from leo_cli.agent_rollout import AgentRollout
from leo_cli.named_goals import NamedGoal
from leo_cli.video import record_frames, save_video

gym.register_envs(leo_envs)

FAR_GOAL = "cell/0,0"
TOUR = ["cell/0,0", "cell/15,14", "cell/15,0", "cell/8,8"]


def make_vector_env(num_envs: int) -> VectorEnv:
    """Vectorized environments with the paper's 16x16 map; the algorithm and the evaluation command the goals."""
    return gym.make_vec("leo/GridWorld-v0", num_envs=num_envs, autoreset_mode=AutoresetMode.SAME_STEP)


def train(steps: int, folder: Path, seed: int) -> LEODQN:
    """Train on all goals, with periodic evaluation of all reachable ones."""
    num_envs = 8
    evaluation = GoalEvalCallback(
        make_vector_env(180),
        eval_freq=max(steps // 12 // num_envs, 1),
        goals=reachable_goals(),
        csv_path=folder / "evaluations.csv",
    )
    model = LEODQN("MultiGoalPolicy", make_vector_env(num_envs), train_freq=1, seed=seed)
    return model.learn(steps, callback=evaluation, progress_bar=True)


def reachable_goals() -> np.ndarray:
    """Mask of the goals that are not enclosed by walls."""
    return gym.make("leo/GridWorld-v0").unwrapped.reachable()


def plot_values(model: LEODQN, goal: str, path: Path) -> None:
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


def animate(model: LEODQN, goals: list[str], path: Path) -> None:
    """Write a video of the agent reaching one goal after another."""
    walk = AgentRollout(model, gym.make("leo/GridWorld-v0", render_mode="rgb_array"))
    save_video(record_frames(walk, [NamedGoal(goal, goal) for goal in goals], max_steps=60), path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--steps", type=int, default=25_000, help="environment steps to train for")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("runs/demo"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)

    print(f"Training on all {len(reachable_goals())} cells of a maze ...")
    model = train(options.steps, options.folder, options.seed)
    model.save(options.folder / "model")

    report = evaluate_goals(model, make_vector_env(180), goals=reachable_goals(), seed=1)
    print(report)
    report.to_csv(options.folder / "goals.csv")
    plot_report(report, options.folder / "success_map.png")
    plot_learning_curve(options.folder / "evaluations.csv", options.folder / "learning_curve.png")
    plot_values(model, FAR_GOAL, options.folder / "value_map.png")
    animate(model, TOUR, options.folder / "tour.gif")
    names = "model.zip, goals.csv, success_map.png, learning_curve.png, value_map.png, tour.gif"
    print(f"\nWrote to {options.folder}/: {names}")


def interrupted() -> bool:
    """Run the demo; on Ctrl-C, returning from here closes the progress bar before Python exits."""
    try:
        main()
    except KeyboardInterrupt:
        return True
    return False


if __name__ == "__main__":
    if interrupted():
        print("\nInterrupted; run the demo again to restart it.")
        raise SystemExit(130)
