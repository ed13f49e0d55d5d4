"""
How fast LEOPQN trains on Craftax, where its time goes, and what all goals cost beside a single one.

Run ``python benchmarks/pqn_speed.py``; the result goes to ``benchmarks/results/pqn_speed.json``. All agents play 256 games for
32 steps and learn from them in 2 epochs of minibatches of 512, 32 gradient steps a rollout, with the paper's network: a
convolution of 32 channels, batch renormalisation, 4 x 1024 with layer normalisation, RAdam. "last 256": the last of these
layers is only that wide. "bfloat16": ``amp``. "PQN": the same harness about the commanded goal alone.

They take turns, a whole iteration each (acting and learning), after one that is not counted; the median counts. Steps per
second are by the clock and, where other processes are about, better read by the processor: the threads' number over the
processor's seconds a step, which is the clock's where they all run all the time. (On a busy machine waiting threads count too:
then ``--threads 1`` is the figure to read, and twice its steps what two idle cores can do at best.) The parts are processor
seconds of an iteration; "rest" is shuffling, gathering rows and bookkeeping.
"""

import argparse
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch as th
from machine import describe

from leo_agents import LEOPQN, PQN
from leo_agents.algorithms import on_policy_algorithm as on_policy
from leo_agents.learning import grouped_adam
from leo_envs.craftax import Craftax, CraftaxClassic
from leo_wrappers.sb3 import JaxVecEnv

GAMES: dict[str, Any] = {"CraftaxClassic": CraftaxClassic, "Craftax": Craftax}
NUM_ENVS, NUM_STEPS, BATCH, EPOCHS = 256, 32, 512, 2
PAPER, NARROW = [1024] * 4, [1024, 1024, 1024, 256]
AGENTS: dict[str, dict[str, Any]] = {
    "LEOPQN": {},
    "LEOPQN, bfloat16": {"amp": True},
    "LEOPQN last 256": {"net": NARROW},
    "LEOPQN last 256, bfloat16": {"net": NARROW, "amp": True},
    "LEOPQN factored, bfloat16": {"head": "factored", "amp": True},
    "PQN": {"single": True},
    "PQN, bfloat16": {"single": True, "amp": True},
}
PARTS = ("environment", "acting", "targets", "forward", "backward", "clipping", "optimiser")


def make_model(game: str, agent: str) -> LEOPQN | PQN:
    """
    An agent with its games.

    :param game: one of :data:`GAMES`
    :param agent: one of :data:`AGENTS`
    :return: the model
    """
    options = dict(AGENTS[agent])
    single, net = options.pop("single", False), options.pop("net", PAPER)
    network = {"net_arch": net, "input_norm": True, "features_extractor_kwargs": {"channels": (32, 32)}}
    kwargs: dict[str, Any] = {"n_steps": NUM_STEPS, "batch_size": BATCH, "n_epochs": EPOCHS, "seed": 0, "device": "cpu"}
    venv = JaxVecEnv(GAMES[game](), NUM_ENVS)
    if not single:
        return LEOPQN("MultiGoalPolicy", venv, policy_kwargs=network, **options, **kwargs)
    descriptors = venv.get_attr("goal_set", 0)[0].descriptors
    return PQN("GoalInputPolicy", venv, policy_kwargs={**network, "descriptors": descriptors}, **options, **kwargs)


@contextmanager
def clocks(model: LEOPQN | PQN) -> Iterator[dict[str, float]]:
    """
    Measures the parts of everything that happens inside.

    :param model: whose
    :return: processor seconds by part, filled in as they are spent
    """
    spent: dict[str, float] = defaultdict(float)

    def timed(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            began = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                spent[part] += time.process_time() - began

        return call

    places: list[tuple[Any, str, str]] = [
        (on_policy, "step_arrays", "environment"),
        (model, "_scores", "acting"),
        (model, "_lesson", "targets"),
        (model, "_loss", "forward"),
        (th.Tensor, "backward", "backward"),
        (grouped_adam, "clip_grad_norm", "clipping"),
        (model.policy.optimizer, "step", "optimiser"),
    ]
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in places]
    for owner, name, part in places:
        setattr(owner, name, timed(part, getattr(owner, name)))
    try:
        yield spent
    finally:
        for owner, name, function in before:
            setattr(owner, name, function)


def iteration(model: LEOPQN | PQN) -> dict[str, float]:
    """
    One rollout and what is learned from it.

    :param model: the agent
    :return: seconds by the clock and of the processor, and those of each part
    """
    with clocks(model) as spent:
        wall, processor = time.perf_counter(), time.process_time()
        model.learn(NUM_ENVS * NUM_STEPS, reset_num_timesteps=False)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
    parts = {part: spent[part] for part in PARTS}
    return {"wall": wall, "processor": processor, **parts, "rest": processor - sum(parts.values())}


def measure(game: str, agents: list[str], rounds: int, threads: int) -> dict[str, Any]:
    """
    All agents in one game.

    :param game: one of :data:`GAMES`
    :param agents: names
    :param rounds: how often each has its turn
    :param threads: PyTorch's
    :return: by agent
    """
    models = {agent: make_model(game, agent) for agent in agents}
    for model in models.values():
        model.learn(NUM_ENVS * NUM_STEPS)
    runs: dict[str, list[dict[str, float]]] = {agent: [] for agent in agents}
    for _ in range(rounds):
        for agent, model in models.items():
            runs[agent].append(iteration(model))
    result: dict[str, Any] = {}
    transitions = NUM_ENVS * NUM_STEPS
    for agent, turns in runs.items():
        median = {key: statistics.median(turn[key] for turn in turns) for key in turns[0]}
        result[agent] = {
            "parameters": sum(parameter.numel() for parameter in models[agent].policy.parameters()),
            "steps_per_second": round(transitions / median["wall"]),
            "steps_per_second_by_processor": round(threads * transitions / median["processor"]),
            "processor_seconds": {key: round(value, 3) for key, value in median.items() if key != "wall"},
        }
        print(f"{game:15s} {agent:28s} {result[agent]}", flush=True)
    for agent, line in result.items():
        single = "PQN, bfloat16" if "bfloat16" in agent else "PQN"
        if single in result and agent != single:
            ratios = [mine["processor"] / other["processor"] for mine, other in zip(runs[agent], runs[single], strict=True)]
            line["time_by_single_goal"] = round(statistics.median(ratios), 3)
    return result


def main() -> None:
    """Measure everything and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--games", nargs="+", choices=list(GAMES), default=list(GAMES))
    parser.add_argument("--agents", nargs="+", choices=list(AGENTS), default=list(AGENTS), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="of PyTorch")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "pqn_speed.json")
    options = parser.parse_args()
    th.set_num_threads(options.threads)
    result: dict[str, Any] = {
        "what": (__doc__ or "").strip(),
        "machine": describe("craftax", "jax", "jaxlib", "numpy", "stable-baselines3", "torch"),
        "threads": options.threads,
        "games": {game: measure(game, options.agents, options.rounds, options.threads) for game in options.games},
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
