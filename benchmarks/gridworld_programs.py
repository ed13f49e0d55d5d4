"""
Programs of goals in the 16 x 16 gridworld, with an agent that was trained on single goals: the one of ``make demo``.

Run ``python benchmarks/gridworld_programs.py --seed 0``; results of several seeds are collected in
``benchmarks/results/gridworld_programs.*``. The programs are random, of depth 2 to 5, over the cells of the map: two parts
joined by "then" (half of them), "or", "plus", or a part that avoids up to three cells. Each can be completed. The optimum is
that of dynamic programming over pairs of a cell and a state of the automaton.

- planned: ProgramPolicy, with the values at each cell as distances between goals.
- no limit of paths: the same with paths of any length between two goals (``max_hop=inf``).
- current values only: ProgramPolicy without distances between goals.
- chained: the nearest goal that shortens the rest of the program, one after the other; what is to be avoided is ignored.
- exact values: planned, with the exact values of the map in place of the agent's.
"""

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import matplotlib
import numpy as np
from machine import describe

import leo_envs
from leo_agents import LEODQN
from leo_agents.programs import ProgramPolicy, evaluate_programs
from leo_wrappers.programs import Program, ProgramAutomaton, ProgramWrapper, compile_program, goal

matplotlib.use("Agg")
gym.register_envs(leo_envs)

METHODS = ("planned", "no limit of paths", "current values only", "chained", "exact values")
MAX_STEPS = 300
EXAMPLE = "(cell/0,0 plus cell/15,14) then cell/15,0 avoiding cell/7,9 or cell/14,6"


class ExactAgent:
    """
    Stands for a model whose values are exact.

    :param env: an environment on a finite MDP, such as GridWorld
    :param gamma: discount factor
    """

    def __init__(self, env: Any, gamma: float = 0.99) -> None:
        self.env, self.gamma = env, gamma
        self.goal_names, self.action_space = env.goal_names, env.action_space
        self._table = env.optimal_q(gamma)

    def q_values(self, observation: Any) -> np.ndarray:
        """Return the exact Q-values ``[B, G, A]``."""
        return self._table[self.env.states_of(observation["observation"] if isinstance(observation, dict) else observation)]

    def values(self, observation: Any) -> np.ndarray:
        """Return the exact values ``[B, G]``."""
        return self.q_values(observation).max(axis=2)

    def act(self, observation: Any, goal_id: int) -> int:
        """Return an optimal action for a goal."""
        return int(self.q_values(observation)[..., goal_id, :].argmax())


class Chained:
    """
    Goes to the nearest goal that shortens the rest of the program.

    :param model: the agent
    :param automaton: the automaton
    """

    def __init__(self, model: Any, automaton: ProgramAutomaton) -> None:
        self.model, self.automaton = model, automaton

    def predict(self, observation: Any, deterministic: bool = True) -> tuple[Any, None]:
        """Return the action for the nearest goal."""
        state = int(observation["program_state"])
        left = self.automaton.steps_left[self.automaton.after_goal[state]]
        values = self.model.values(observation["observation"][None])[0]
        shorter = (left >= 0) & (left < self.automaton.steps_left[state])
        return self.model.act(observation["observation"], int(np.where(shorter, values, -1.0).argmax())), None


def random_program(rng: np.random.Generator, names: list[str], depth: int) -> Program:
    """
    Draw a random program.

    :param rng: random generator
    :param names: the goals
    :param depth: 1 for a goal; otherwise, one of two parts has a depth of one less
    :return: the program
    """
    if depth == 1:
        return goal(names[rng.integers(len(names))])
    one, other = random_program(rng, names, depth - 1), random_program(rng, names, int(rng.integers(1, depth)))
    one, other = (one, other) if rng.random() < 0.5 else (other, one)
    kind = rng.choice(["then", "or", "plus", "avoiding"], p=[0.5, 0.2, 0.15, 0.15])
    if kind == "avoiding":
        avoided = goal(names[rng.integers(len(names))])
        for _ in range(rng.integers(3)):
            avoided |= goal(names[rng.integers(len(names))])
        return one & ~avoided
    return {"then": one >> other, "or": one | other, "plus": one + other}[str(kind)]


def optimum(mdp: Any, automaton: ProgramAutomaton, start: int) -> int | None:
    """
    Compute the smallest number of steps in which a program can be completed, by search over states and automaton states.

    :param mdp: an MDP in which state g achieves goal g, and no other one
    :param automaton: the program
    :param start: the first state
    :return: the number of steps; None if the program cannot be completed in this MDP
    """
    seen = np.zeros((mdp.num_states, automaton.num_states), dtype=bool)
    seen[:, automaton.violated] = True
    states, program_states = np.array([start]), np.array([0])
    for steps in range(1, seen.size):
        following = mdp.successors[states]
        program = automaton.after_goal[program_states[:, None], following]
        if (program == automaton.accepted).any():
            return steps
        new = np.unique(np.stack([following.ravel(), program.ravel()]), axis=1)
        states, program_states = new[:, ~seen[tuple(new)]]
        seen[states, program_states] = True
    return None


def draw_programs(env: Any, count: int, seed: int) -> list[tuple[Program, int, int]]:
    """
    Draw programs that can be completed.

    :param env: the gridworld
    :param count: number of programs
    :param seed: seed of the programs
    :return: each program with its depth and the smallest number of steps
    """
    rng, names = np.random.default_rng(seed), [env.goal_names[g] for g in np.flatnonzero(env.reachable())]
    found: list[tuple[Program, int, int]] = []
    while len(found) < count:
        depth = 2 + len(found) % 4
        program = random_program(rng, names, depth)
        try:
            automaton = compile_program(program, env.goal_names)
        except ValueError:  # it contradicts itself
            continue
        steps = optimum(env.mdp, automaton, int(env.mdp.starts[0]))
        if steps is not None:
            found.append((program, depth, steps))
    return found


def make_policy(method: str, model: LEODQN, env: Any, automaton: ProgramAutomaton) -> Any:
    """
    Create the policy of a method.

    :param method: one of :data:`METHODS`
    :param model: the agent
    :param env: the gridworld
    :param automaton: the program
    :return: the policy
    """
    if method == "chained":
        return Chained(model, automaton)
    agent = ExactAgent(env, model.gamma) if method == "exact values" else model
    if method == "current values only":
        return ProgramPolicy(agent, automaton)
    limit = {"max_hop": np.inf} if method == "no limit of paths" else {}
    return ProgramPolicy(agent, automaton, env.all_observations(), **limit)


def run(seed: int, model: LEODQN, programs: list[tuple[Program, int, int]], methods: list[str]) -> list[dict[str, Any]]:
    """
    Evaluate an agent.

    :param seed: the seed of the agent
    :param model: the agent
    :param programs: from :func:`draw_programs`
    :param methods: some of :data:`METHODS`
    :return: a row per method and program
    """
    env: Any = gym.make("leo/GridWorld-v0")
    rows = []
    for method in methods:
        results = evaluate_programs(
            model,
            env,
            [program for program, _, _ in programs],
            seed=0,
            max_steps=MAX_STEPS,
            make_policy=lambda automaton, method=method: make_policy(method, model, env.unwrapped, automaton),
        )
        for number, (result, (_, depth, steps)) in enumerate(zip(results, programs, strict=True)):
            taken = result.steps[0] if result.steps else ""
            row = {"seed": seed, "method": method, "program": number, "depth": depth, "optimum": steps, "steps": taken}
            rows.append({**row, "violated": result.violated})
    return rows


def summarize(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """
    Summarize the rows of all seeds.

    :param rows: from :func:`run`
    :return: a line per method, with a number per seed
    """
    table = []
    for method in METHODS:
        line: dict[str, Any] = {
            "method": method,
            "seeds": sorted({int(row["seed"]) for row in rows if row["method"] == method}),
        }
        for seed in line["seeds"]:
            own = [row for row in rows if row["method"] == method and int(row["seed"]) == seed]
            ratios = np.array([int(row["steps"]) / int(row["optimum"]) if row["steps"] != "" else np.inf for row in own])
            numbers = {
                "completed": np.isfinite(ratios).mean(),
                "violated": np.mean([int(row["violated"]) for row in own]),
                "within_1.2": (ratios <= 1.2).mean(),
                "optimal": (ratios == 1.0).mean(),
                "mean_ratio": ratios[np.isfinite(ratios)].mean(),
            }
            for key, value in numbers.items():
                line.setdefault(key, []).append(round(float(value), 4))
        if line["seeds"]:
            table.append(line)
    return table


def draw(rows: list[dict[str, Any]], model: LEODQN, path: Path) -> None:
    """
    Plot the programs completed within 1.2 times the optimum by depth, and the path of an example.

    :param rows: rows of all seeds
    :param model: the agent of the example
    :param path: the figure to write
    """
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11.5, 4.6), width_ratios=[1.5, 1], layout="constrained")
    depths, width = sorted({int(row["depth"]) for row in rows}), 0.8 / len(METHODS)
    for number, (method, color) in enumerate(
        zip(METHODS, ("#0072B2", "#56B4E9", "#009E73", "#D55E00", "#999999"), strict=True)
    ):
        own = [row for row in rows if row["method"] == method]
        good = [
            np.mean(
                [
                    row["steps"] != "" and int(row["steps"]) <= 1.2 * int(row["optimum"])
                    for row in own
                    if int(row["depth"]) == d
                ]
            )
            for d in depths
        ]
        left.bar(np.array(depths) + (number - (len(METHODS) - 1) / 2) * width, good, width, label=method, color=color)
    left.set(xlabel="depth of the program", xticks=depths, title="completed within 1.2 times the optimum", ylim=(0, 1))
    left.spines[["top", "right"]].set_visible(False)
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3, frameon=False)
    draw_example(model, right)
    figure.savefig(path, dpi=110)


def draw_example(model: LEODQN, axes: Any) -> None:
    """
    Plot the path of the planned policy on :data:`EXAMPLE`.

    :param model: the agent
    :param axes: where to plot
    """
    env = ProgramWrapper(gym.make("leo/GridWorld-v0"), EXAMPLE)
    grid: Any = env.unwrapped
    policy = ProgramPolicy(model, env.automaton, grid.all_observations())
    obs, _ = env.reset(seed=0)
    path, terminated = [grid.state], False
    while not terminated and len(path) < MAX_STEPS:
        obs, _, terminated, _, _ = env.step(int(policy.predict(obs)[0]))
        path.append(grid.state)
    cells = grid.mdp.grid.cells
    axes.imshow(np.where(grid.mdp.grid.walls, 1.0, np.nan), cmap="gray", vmin=0, vmax=4)
    jitter = np.linspace(-0.25, 0.25, len(path))
    axes.plot(cells[path][:, 1] + jitter, cells[path][:, 0] + jitter, color="#0072B2", linewidth=1.6)
    for name in ("cell/0,0", "cell/15,14", "cell/15,0"):
        axes.plot(*cells[grid.goal_set.index(name)][::-1], marker="*", color="#009E73", markersize=14)
    for name in ("cell/7,9", "cell/14,6"):
        axes.plot(*cells[grid.goal_set.index(name)][::-1], marker="X", color="#D55E00", markersize=11)
    axes.set(xticks=[], yticks=[])
    axes.set_title(EXAMPLE.replace(" avoiding", "\navoiding"), fontsize=9)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="saved LEODQN of leo/GridWorld-v0; a new one is trained by default")
    parser.add_argument("--steps", type=int, default=25_000, help="environment steps to train for")
    parser.add_argument("--seed", type=int, default=0, help="seed of the agent; rows of other seeds are kept")
    parser.add_argument("--programs", type=int, default=200, help="number of programs")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="NAME")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "gridworld_programs")
    options = parser.parse_args()
    if options.model is None:
        envs = gym.make_vec("leo/GridWorld-v0", num_envs=8, autoreset_mode="SameStep")
        model = LEODQN("MultiGoalPolicy", envs, train_freq=1, seed=options.seed, device="cpu").learn(options.steps)
    else:
        model = LEODQN.load(options.model, device="cpu")
    programs = draw_programs(gym.make("leo/GridWorld-v0").unwrapped, options.programs, seed=0)
    rows = run(options.seed, model, programs, options.methods)
    table_path = options.out.with_suffix(".csv")
    if table_path.exists():
        with table_path.open() as file:
            rows = [row for row in csv.DictReader(file) if int(row["seed"]) != options.seed] + rows
    with table_path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    table = summarize(rows)
    about = {
        "what": (__doc__ or "").strip(),
        "machine": describe("gymnasium", "numpy", "stable-baselines3", "torch"),
        "table": table,
    }
    options.out.with_suffix(".json").write_text(json.dumps(about, indent=1) + "\n")
    draw(rows, model, options.out.with_suffix(".png"))
    for line in table:
        print({key: value for key, value in line.items()})


if __name__ == "__main__":
    main()
