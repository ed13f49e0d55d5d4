"""
Sequences of goals in a gridworld: a DQN that reads the whole sequence and learns in hindsight, and LEODQN, which was trained
on single goals, on the same sequences.

Run ``python benchmarks/gridworld_sequences.py``; table and rows are written to ``benchmarks/results/gridworld_sequences.*``.

The map is an 8 x 8 random one, with a fixed start. All agents have two hidden layers of 256, the same number of environment
steps and of gradient steps on 256 transitions, and the same optimizer settings; DQN reads a goal as the observation at its
cell.

- sequences in hindsight: DQN with ``SequenceReplayBuffer``. Its episodes have uniformly drawn sequences of one to five goals;
  four of five rows are relabeled with goals that the rest of the episode achieved in this order.
- sequences, not relabeled: the same without relabeling.
- LEODQN, chained: LEODQN is commanded the first goal that is left.
- LEODQN, composed: ``ProgramPolicy`` on the program "a then b then ...".

Success is the fraction of 50 sequences of each length that the greedy policy completes within 100 steps; "prompt" is the
fraction completed within 1.2 times the smallest number of steps. No two goals that follow each other are equal.
"""

import os

# Set before NumPy and PyTorch are imported.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse  # noqa: E402
import operator  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Sequence  # noqa: E402
from functools import reduce  # noqa: E402
from itertools import pairwise  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import gymnasium as gym  # noqa: E402
import numpy as np  # noqa: E402
import torch as th  # noqa: E402
from stable_baselines3.common.vec_env import DummyVecEnv  # noqa: E402
from training_runs import (  # noqa: E402
    PeriodicEval,
    Row,
    add_options,
    curves_by_seed,
    format_quantity,
    mean_and_half_width,
    train_all,
    write_results,
)

import leo_envs  # noqa: E402
from leo_agents import LEODQN  # noqa: E402
from leo_agents.baselines import goal_sequence_dqn  # noqa: E402
from leo_agents.programs import ProgramPolicy  # noqa: E402
from leo_wrappers import GoalSequenceWrapper  # noqa: E402
from leo_wrappers.programs import goal  # noqa: E402

gym.register_envs(leo_envs)

NUM_ENVS, MAX_LENGTH, MAX_STEPS, SEQUENCES = 8, 5, 100, 50
AGENTS = ("sequences in hindsight", "sequences, not relabeled", "LEODQN, chained", "LEODQN, composed")
Actor = Callable[[dict[str, np.ndarray], list[int]], Sequence[int]]
LENGTHS = range(1, MAX_LENGTH + 1)
SHARED: dict[str, Any] = {
    "learning_rate": 2e-3,
    "learning_starts": 1_000,
    "batch_size": 256,
    "gamma": 0.99,
    "train_freq": 1,
    "gradient_steps": 1,
    "tau": 0.02,
    "exploration_fraction": 0.2,
    "exploration_initial_eps": 1.0,
    "exploration_final_eps": 0.1,
    "max_grad_norm": 10.0,
    "policy_kwargs": {"net_arch": [256, 256]},
    "device": "cpu",
}


def make_env() -> Any:
    """Create the gridworld."""
    return gym.make("leo/GridWorld-v0", map="random", size=8, map_seed=0, max_episode_steps=MAX_STEPS)


def draw_sequences(env: Any) -> list[tuple[list[int], int]]:
    """
    Draw sequences of reachable goals.

    :param env: the gridworld
    :return: each sequence with the smallest number of steps
    """
    rng, mdp = np.random.default_rng(0), env.unwrapped.mdp
    start, reachable = int(mdp.starts[0]), np.flatnonzero(env.unwrapped.reachable())
    # With this discount the optimal value of a goal is 0.5 to the power of the number of steps but one.
    steps = np.round(1.0 - np.log2(np.maximum(env.unwrapped.optimal_q(0.5).max(axis=2), 1e-300))).astype(int)
    found = []
    for length in LENGTHS:
        for _ in range(SEQUENCES):
            path = [start]
            while len(path) <= length:
                path.append(int(rng.choice(reachable[reachable != path[-1]])))
            found.append((path[1:], int(sum(steps[one, other] for one, other in pairwise(path)))))
    return found


def make_model(agent: str, seed: int, steps: int) -> Any:
    """
    Create an agent with its environments.

    :param agent: one of :data:`AGENTS`
    :param seed: seed of the agent
    :param steps: size of the replay buffer
    :return: the untrained model
    """
    kwargs: dict[str, Any] = {**SHARED, "seed": seed, "buffer_size": steps}
    if agent.startswith("LEODQN"):
        return LEODQN("MultiGoalPolicy", DummyVecEnv([make_env] * NUM_ENVS), **kwargs)
    envs = DummyVecEnv([lambda: GoalSequenceWrapper(make_env(), MAX_LENGTH)] * NUM_ENVS)
    kwargs["replay_buffer_kwargs"] = {"n_sampled_goal": 4 if agent == "sequences in hindsight" else 0}
    descriptors = make_env().unwrapped.all_observations()
    return goal_sequence_dqn(envs, descriptors=descriptors, target_update_interval=NUM_ENVS, **kwargs)


def make_actor(agent: str, model: Any, sequences: list[tuple[list[int], int]]) -> Actor:
    """
    Return a function from the observations of some sequences, and their numbers, to greedy actions.

    :param agent: one of :data:`AGENTS`
    :param model: the agent
    :param sequences: from :func:`draw_sequences`
    :return: the function
    """
    if agent == "LEODQN, chained":
        return lambda obs, _: model.predict(
            {"observation": obs["observation"], "goal_id": obs["goal_sequence"][:, 0]}, deterministic=True
        )[0]
    if agent != "LEODQN, composed":
        return lambda obs, _: model.predict(obs, deterministic=True)[0]
    names, observations = model.goal_names, make_env().unwrapped.all_observations()
    programs = [reduce(operator.rshift, (goal(names[number]) for number in goals)) for goals, _ in sequences]
    policies = [ProgramPolicy(model, program, observations) for program in programs]

    def act(obs: dict[str, np.ndarray], numbers: list[int]) -> list[int]:
        # The state of the automaton is the number of goals that are done.
        left = (obs["goal_sequence"] < len(names)).sum(axis=1)
        done = [len(sequences[n][0]) - count for n, count in zip(numbers, left, strict=True)]
        return [policies[n].act(one, state) for n, one, state in zip(numbers, obs["observation"], done, strict=True)]

    return act


def run_sequences(act: Actor, sequences: list[tuple[list[int], int]]) -> list[int | None]:
    """
    Run an episode of each sequence.

    :param act: from :func:`make_actor`
    :param sequences: from :func:`draw_sequences`
    :return: the number of steps of each; None if it was not completed
    """
    envs = [GoalSequenceWrapper(make_env(), MAX_LENGTH) for _ in sequences]
    obs = {n: env.reset(options={"goals": sequences[n][0]})[0] for n, env in enumerate(envs)}
    taken: list[int | None] = [None] * len(envs)
    for step in range(1, MAX_STEPS + 1):
        numbers = list(obs)
        batch = {key: np.stack([obs[n][key] for n in numbers]) for key in ("observation", "goal_sequence")}
        for n, action in zip(numbers, act(batch, numbers), strict=True):
            obs[n], _, terminated, truncated, info = envs[n].step(int(action))
            if terminated or truncated:
                taken[n] = step if info["is_success"] else None
                del obs[n]
        if not obs:
            break
    return taken


def run(agent: str, seed: int, steps: int, every: int) -> list[Row]:
    """
    Train one agent.

    :param agent: one of :data:`AGENTS`
    :param seed: seed of the agent
    :param steps: environment steps
    :param every: environment steps between evaluations
    :return: a row per evaluation
    """
    th.set_num_threads(1)
    sequences = draw_sequences(make_env())

    def evaluate(model: Any) -> Row:
        taken = run_sequences(make_actor(agent, model, sequences), sequences)
        row: Row = {"gradient_steps": model._n_updates}
        for length in LENGTHS:
            own = [(t, best) for t, (goals, best) in zip(taken, sequences, strict=True) if len(goals) == length]
            row[f"success_{length}"] = float(np.mean([t is not None for t, _ in own]))
            row[f"prompt_{length}"] = float(np.mean([t is not None and t <= 1.2 * best for t, best in own]))
        return row

    callback = PeriodicEval(evaluate, every, clock=time.process_time)
    make_model(agent, seed, steps).learn(steps, callback)
    return [{"algorithm": agent, "seed": seed, **row} for row in callback.rows]


def summarize(rows: list[Row]) -> list[Row]:
    """
    Summarize the final evaluations.

    :param rows: rows of all runs
    :return: a line per agent
    """
    table = []
    for agent, curves in curves_by_seed(rows).items():
        last = [curve[-1] for curve in curves.values()]
        line: Row = {"algorithm": agent, "seeds": len(curves), "steps": last[0]["steps"]}
        for key in [*(f"success_{n}" for n in LENGTHS), *(f"prompt_{n}" for n in LENGTHS), "seconds"]:
            line |= mean_and_half_width(key, [row[key] for row in last])
        table.append(line)
    return table


def format_table(table: list[Row]) -> str:
    """
    Format the table for the terminal.

    :param table: from :func:`summarize`
    :return: text
    """
    lines = [f"{'success with goals:':25s}" + "".join(f"{n:>16d}" for n in LENGTHS) + f"{'seconds':>16s}"]
    for line in table:
        cells = [format_quantity(line, f"success_{n}", "{:.3f}".format) for n in LENGTHS]
        cells.append(format_quantity(line, "seconds", "{:.0f}".format))
        lines.append(f"{line['algorithm']:25s}" + "".join(f"{cell:>16s}" for cell in cells))
    return "\n".join(lines)


def write(rows: list[Row], options: argparse.Namespace) -> list[Row]:
    """
    Write table and rows.

    :param rows: rows of all runs so far
    :param options: command line options
    :return: the table
    """
    table = summarize(rows)
    about = {"what": (__doc__ or "").strip(), "settings": SHARED, "table": table}
    write_results(options, about, rows, "gymnasium", "numpy", "stable-baselines3", "torch")
    return table


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20_000, help="environment steps of each run")
    add_options(parser, "--algorithms", AGENTS, default=AGENTS, seeds=3)
    options = parser.parse_args()
    options.every = options.every or options.steps
    options.out = options.out or Path(__file__).parent / "results" / "gridworld_sequences"
    print(format_table(train_all(run, (options.steps, options.every), options, AGENTS, write)))
    print(f"wrote {options.out}.json and .csv")


if __name__ == "__main__":
    main()
