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
- trained on the program: a DQN for each of the first ``--trained`` programs, in ``ProgramVectorWrapper``, which adds the state
  of the program to its observation, and for each as many environment steps and gradient steps as LEODQN has for all programs.
  It has LEODQN's settings; its values pass through a sigmoid, too.
"""

import argparse
import csv
import inspect
import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import matplotlib
import numpy as np
from gymnasium.vector import AutoresetMode
from machine import describe
from stable_baselines3 import DQN

import leo_envs
from leo_agents import LEODQN
from leo_agents.baselines import BoundedDQNPolicy, NormalizedDQN
from leo_agents.programs import ProgramPolicy, evaluate_programs, plot_programs, run_program
from leo_wrappers.programs import Program, ProgramAutomaton, ProgramVectorWrapper, compile_program, goal
from leo_wrappers.sb3 import GymVecEnv

matplotlib.use("Agg")
gym.register_envs(leo_envs)

TRAINED = "trained on the program"
METHODS = ("planned", "no limit of paths", "current values only", "chained", "exact values", TRAINED)
COLORS = ("#0072B2", "#56B4E9", "#009E73", "#D55E00", "#999999")
MAX_STEPS, NUM_ENVS = 300, 8
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
        observation = dict(observation)
        state = int(observation.pop("program_state"))
        left = self.automaton.steps_left[self.automaton.after_goal[state]]
        values = self.model.values({key: np.asarray(value)[None] for key, value in observation.items()})[0]
        shorter = (left >= 0) & (left < self.automaton.steps_left[state])
        return self.model.act(observation, int(np.where(shorter, values, -1.0).argmax())), None


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


def train_on(program: Program, seed: int, steps: int) -> DQN:
    """
    Train a DQN on a program, with the settings of LEODQN.

    :param program: the program
    :param seed: seed of the agent
    :param steps: environment steps
    :return: the agent
    """
    envs = gym.make_vec("leo/GridWorld-v0", num_envs=NUM_ENVS, autoreset_mode=AutoresetMode.DISABLED)
    names = ("learning_rate", "learning_starts", "batch_size", "tau", "gamma", "gradient_steps", "max_grad_norm")
    names += ("exploration_fraction", "exploration_initial_eps", "exploration_final_eps")
    model = NormalizedDQN(
        BoundedDQNPolicy,
        GymVecEnv(ProgramVectorWrapper(envs, program)),
        buffer_size=steps,
        train_freq=1,
        target_update_interval=NUM_ENVS,
        policy_kwargs={"net_arch": [256, 256]},
        seed=seed,
        device="cpu",
        **{name: inspect.signature(LEODQN).parameters[name].default for name in names},
    )
    return model.learn(steps)


def make_policy(method: str, model: LEODQN, env: Any, automaton: ProgramAutomaton) -> Any:
    """
    Create the policy of a method that does not train.

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


def run(method: str, seed: int, model: LEODQN, programs: list[tuple[Program, int, int]], steps: int) -> list[dict[str, Any]]:
    """
    Evaluate a method.

    :param method: one of :data:`METHODS`
    :param seed: the seed of the agent
    :param model: the agent
    :param programs: from :func:`draw_programs`
    :param steps: environment steps of agents that are trained on a program
    :return: a row per program
    """
    env: Any = gym.make("leo/GridWorld-v0")
    rows = []
    for number, (program, depth, best) in enumerate(programs):

        def policy(automaton: ProgramAutomaton, program: Program = program) -> Any:
            if method == TRAINED:
                return train_on(program, seed, steps)
            return make_policy(method, model, env.unwrapped, automaton)

        result = evaluate_programs(model, env, [program], seed=0, max_steps=MAX_STEPS, make_policy=policy)[0]
        taken = result.steps[0] if result.steps else ""
        row = {"seed": seed, "method": method, "program": number, "depth": depth, "optimum": best, "steps": taken}
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
                "programs": len(own),
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


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """
    Plot the programs completed within 1.2 times the optimum by depth, of the methods that do not train.

    :param rows: rows of all seeds
    :param path: the figure to write
    """
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7.5, 4.6), layout="constrained")
    depths, width = sorted({int(row["depth"]) for row in rows}), 0.8 / len(COLORS)
    for number, (method, color) in enumerate(zip(METHODS[: len(COLORS)], COLORS, strict=True)):
        own: dict[int, list[bool]] = {depth: [] for depth in depths}
        for row in rows:
            if row["method"] == method:
                own[int(row["depth"])].append(row["steps"] != "" and int(row["steps"]) <= 1.2 * int(row["optimum"]))
        good = [np.mean(own[depth]) if own[depth] else 0.0 for depth in depths]
        axes.bar(np.array(depths) + (number - (len(COLORS) - 1) / 2) * width, good, width, label=method, color=color)
    axes.set(xlabel="depth of the program", xticks=depths, title="completed within 1.2 times the optimum", ylim=(0, 1))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3, frameon=False)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="saved LEODQN of leo/GridWorld-v0; a new one is trained by default")
    parser.add_argument("--steps", type=int, default=25_000, help="environment steps to train for")
    parser.add_argument("--seed", type=int, default=0, help="seed of the agent; rows of other seeds and methods are kept")
    parser.add_argument("--programs", type=int, default=200, help="number of programs")
    parser.add_argument("--trained", type=int, default=4, help="number of programs that an agent each is trained on")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="NAME")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "gridworld_programs")
    options = parser.parse_args()
    if options.model is None:
        envs = gym.make_vec("leo/GridWorld-v0", num_envs=NUM_ENVS, autoreset_mode="SameStep")
        model = LEODQN("MultiGoalPolicy", envs, train_freq=1, seed=options.seed, device="cpu").learn(options.steps)
    else:
        model = LEODQN.load(options.model, device="cpu")
    programs = draw_programs(gym.make("leo/GridWorld-v0").unwrapped, options.programs, seed=0)
    rows: list[dict[str, Any]] = []
    for method in options.methods:
        chosen = programs[: options.trained] if method == TRAINED else programs
        rows += run(method, options.seed, model, chosen, options.steps)
    table_path = options.out.with_suffix(".csv")
    if table_path.exists():
        new = {(row["seed"], row["method"]) for row in rows}
        with table_path.open() as file:
            rows = [row for row in csv.DictReader(file) if (int(row["seed"]), row["method"]) not in new] + rows
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
    draw(rows, options.out.with_suffix(".png"))
    env: Any = gym.make("leo/GridWorld-v0")
    example = run_program(model, env, EXAMPLE, 0, goal_observations=env.unwrapped.all_observations(), max_steps=MAX_STEPS)
    plot_programs([example], options.out.with_name(f"{options.out.name}_example.png"))
    for line in table:
        print({key: value for key, value in line.items()})


if __name__ == "__main__":
    main()
