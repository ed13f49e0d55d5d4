"""
Train one agent that can be sent to any cell of a maze, and look at what it learned.

Run with ``make demo``. It writes the model, a table and four pictures to ``runs/demo/``.
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
from leo_cli.video import record_frames, save_video

gym.register_envs(leo_envs)

FAR_GOAL = "cell/0,0"
TOUR = ["cell/0,0", "cell/15,14", "cell/15,0", "cell/8,8"]


def make_vector_env(num_envs: int) -> VectorEnv:
    """The official 16x16 map, many at once; goals are commanded by the algorithm and the evaluation."""
    return gym.make_vec("leo/GridWorld-v0", num_envs=num_envs, autoreset_mode=AutoresetMode.SAME_STEP)


def train(steps: int, folder: Path, seed: int) -> LEODQN:
    """Learns every goal from every step, evaluated over all reachable goals now and then."""
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
    """Some free cells of the map are walled in."""
    return gym.make("leo/GridWorld-v0").unwrapped.reachable()


def plot_values(model: LEODQN, goal: str, path: Path) -> None:
    """The steps that the agent expects to a goal from everywhere, and how far that is from the truth."""
    env = gym.make("leo/GridWorld-v0").unwrapped
    goal_id = env.goal_set.index(goal)
    cells, shape = env.mdp.grid.cells, env.mdp.grid.shape
    q = model.q_values(env.all_observations())[:, goal_id]
    exact = env.optimal_q(model.gamma)[:, goal_id].max(axis=-1)
    known = env.reachable(start=tuple(cells[goal_id]))
    figure = Figure(figsize=(11.5, 5), layout="constrained")
    panels = (
        ("learned value of the best action", q.max(axis=-1), "viridis", 1.0),
        ("error against the exact value", abs(q.max(axis=-1) - exact), "magma", 0.2),
    )
    for axes, (title, values, colours, top) in zip(figure.subplots(1, 2), panels, strict=True):
        grid = np.full(shape, np.nan)
        grid[tuple(cells[known].T)] = values[known]
        figure.colorbar(axes.imshow(grid, cmap=colours, vmin=0, vmax=top), ax=axes, shrink=0.9)
        axes.set(title=f"{goal}: {title}", xlabel="column", ylabel="row")
        axes.set_facecolor("#3e4454")
        if top == 1.0:
            moves = cells[env.mdp.next_states(np.arange(len(cells)), q.argmax(axis=-1))] - cells
            axes.quiver(*cells[known].T[::-1], *moves[known].T[::-1], color="white", angles="xy", scale=28, width=0.004)
    figure.savefig(path, dpi=110)


def animate(model: LEODQN, goals: list[str], path: Path) -> None:
    """Sends the agent from goal to goal."""
    walk = AgentRollout(model, gym.make("leo/GridWorld-v0", render_mode="rgb_array"))
    save_video(record_frames(walk, goals, max_steps=60), path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--steps", type=int, default=25_000, help="environment steps to train for")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("runs/demo"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)

    print(f"Learning all {len(reachable_goals())} cells of a maze from every step ...")
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


def stopped_by_hand() -> bool:
    """Runs the demo; returning from here closes the progress bar before Python ends."""
    try:
        main()
    except KeyboardInterrupt:
        return True
    return False


if __name__ == "__main__":
    if stopped_by_hand():
        print("\nStopped before the end; run it again to start afresh.")
        raise SystemExit(130)
