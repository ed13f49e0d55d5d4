"""
Training speed of LEOPQN on Craftax, its parts, and the cost of all goals compared with one.

Run ``python benchmarks/pqn_speed.py``; results are written to ``benchmarks/results/pqn_speed.json``. All agents take rollouts
of 32 steps in 256 environments and train for 2 epochs of minibatches of 512, 32 gradient steps per rollout, with the paper's
network: a convolution of 32 channels, batch renormalization, 4 x 1024 with layer normalization, RAdam. "last 256": the last
layer has 256 units. "bfloat16": ``amp=True``, which is float32 on processors without bfloat16 products. "PQN": the same loop
for the commanded goal only.

The agents alternate, one iteration each (rollout and training), after a warm-up iteration; results are medians. Steps per
second are given by wall-clock time and by processor time (number of threads divided by processor seconds per step), which is
more reliable when other processes run. On a busy machine waiting threads count too: then use ``--threads 1``. The parts are
processor seconds per iteration; "rest" is shuffling, indexing and bookkeeping.

``--beside COMMAND`` compares with other code, of any language, which trains with the same environment, network and budget:
``--envs CraftaxClassic --agents LEOPQN --beside "python train.py --steps 100000"``. In every round the command runs once, in a
process of its own while the agents wait, and prints its steps per second, without the time to compile, as the last line of the
form ``steps_per_second: 123`` on its standard output. Each agent's ratio is the median over the rounds of its steps per second
divided by the command's, by wall-clock time. ``--threads`` is for the agents only: give the command as many.
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
from peer import Peer, PeerError

from leo_agents import LEOPQN, PQN
from leo_agents.algorithms import on_policy_algorithm
from leo_envs.craftax import Craftax, CraftaxClassic
from leo_wrappers.sb3 import JaxVecEnv

ENVS: dict[str, Any] = {"CraftaxClassic": CraftaxClassic, "Craftax": Craftax}
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
PARTS = ("environment", "acting", "targets", "forward", "backward", "clipping", "optimizer")


def make_model(env: str, agent: str) -> LEOPQN | PQN:
    """
    Create an agent with its environments.

    :param env: one of :data:`ENVS`
    :param agent: one of :data:`AGENTS`
    :return: the untrained model
    """
    options = dict(AGENTS[agent])
    single, net = options.pop("single", False), options.pop("net", PAPER)
    network = {"net_arch": net, "input_norm": True, "features_extractor_kwargs": {"channels": (32, 32)}}
    kwargs: dict[str, Any] = {"n_steps": NUM_STEPS, "batch_size": BATCH, "n_epochs": EPOCHS, "seed": 0, "device": "cpu"}
    venv = JaxVecEnv(ENVS[env](), NUM_ENVS)
    if not single:
        return LEOPQN("MultiGoalPolicy", venv, policy_kwargs=network, **options, **kwargs)
    descriptors = venv.get_attr("goal_set", 0)[0].descriptors
    return PQN("GoalInputPolicy", venv, policy_kwargs={**network, "descriptors": descriptors}, **options, **kwargs)


@contextmanager
def profile(model: LEOPQN | PQN) -> Iterator[dict[str, float]]:
    """
    Measure the processor time of the parts of an iteration inside the context.

    :param model: the agent
    :return: processor seconds by part, updated while the context is active
    """
    spent: dict[str, float] = defaultdict(float)

    def timed(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            started = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                spent[part] += time.process_time() - started

        return call

    if isinstance(model, LEOPQN):
        updates = [(model.learner, "rollout_targets", "targets"), (model.learner, "loss", "forward")]
    else:
        updates = [(model, "targets", "targets"), (model, "_loss", "forward")]
    timed_calls: list[tuple[Any, str, str]] = [
        (on_policy_algorithm, "step_arrays", "environment"),
        (model, "_acting_outputs", "acting"),
        *updates,
        (th.Tensor, "backward", "backward"),
        (th.nn.utils, "get_total_norm", "clipping"),
        (model.policy.optimizer, "step", "optimizer"),
    ]
    originals = [(owner, name, getattr(owner, name)) for owner, name, _ in timed_calls]
    for owner, name, part in timed_calls:
        setattr(owner, name, timed(part, getattr(owner, name)))
    try:
        yield spent
    finally:
        for owner, name, function in originals:
            setattr(owner, name, function)


def iteration(model: LEOPQN | PQN) -> dict[str, float]:
    """
    Measure one iteration: a rollout and its gradient steps.

    :param model: the agent
    :return: wall-clock and processor seconds, and processor seconds of each part
    """
    with profile(model) as spent:
        wall, processor = time.perf_counter(), time.process_time()
        model.learn(NUM_ENVS * NUM_STEPS, reset_num_timesteps=False)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
    parts = {part: spent[part] for part in PARTS}
    return {"wall": wall, "processor": processor, **parts, "rest": processor - sum(parts.values())}


def measure(env: str, agents: list[str], rounds: int, threads: int, peer: Peer | None = None) -> dict[str, Any]:
    """
    Measure all agents in one environment.

    :param env: one of :data:`ENVS`
    :param agents: names from :data:`AGENTS`
    :param rounds: number of measurements of each agent
    :param threads: number of PyTorch threads
    :param peer: other code to compare with
    :return: results by agent
    """
    models = {agent: make_model(env, agent) for agent in agents}
    for model in models.values():
        model.learn(NUM_ENVS * NUM_STEPS)
    runs: dict[str, list[dict[str, float]]] = {agent: [] for agent in agents}
    peer_speeds: list[float] = []
    for _ in range(rounds):
        if peer is not None:
            peer_speeds.append(peer.measure())
        for agent, model in models.items():
            runs[agent].append(iteration(model))
    result: dict[str, Any] = {}
    transitions = NUM_ENVS * NUM_STEPS
    for agent, iterations in runs.items():
        median = {key: statistics.median(times[key] for times in iterations) for key in iterations[0]}
        result[agent] = {
            "parameters": sum(parameter.numel() for parameter in models[agent].policy.parameters()),
            "steps_per_second": round(transitions / median["wall"]),
            "steps_per_second_by_processor": round(threads * transitions / median["processor"]),
            "processor_seconds": {key: round(value, 3) for key, value in median.items() if key != "wall"},
        }
        print(f"{env:15s} {agent:28s} {result[agent]}", flush=True)
    for agent, line in result.items():
        single = "PQN, bfloat16" if "bfloat16" in agent else "PQN"
        if single in result and agent != single:
            ratios = [mine["processor"] / other["processor"] for mine, other in zip(runs[agent], runs[single], strict=True)]
            line["time_by_single_goal"] = round(statistics.median(ratios), 3)
    if peer is not None:
        add_peer(result, peer, peer_speeds, runs)
    return result


def add_peer(result: dict[str, Any], peer: Peer, speeds: list[float], runs: dict[str, list[dict[str, float]]]) -> None:
    """
    Add the steps per second of a peer and each agent's ratio to the results, and print them.

    :param result: results by agent
    :param peer: the peer
    :param speeds: its steps per second in each round
    :param runs: measurements by agent
    """
    print(f"{peer.command}: {statistics.median(speeds):.1f} steps per second")
    for agent, iterations in runs.items():
        ratios = [NUM_ENVS * NUM_STEPS / times["wall"] / speed for times, speed in zip(iterations, speeds, strict=True)]
        result[agent]["speed_by_peer"] = round(statistics.median(ratios), 3)
        print(f"{agent}: {result[agent]['speed_by_peer']} times as many steps per second", flush=True)
    result["peer"] = {"command": peer.command, "steps_per_second": statistics.median(speeds)}


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envs", nargs="+", choices=list(ENVS), default=list(ENVS))
    parser.add_argument("--agents", nargs="+", choices=list(AGENTS), default=list(AGENTS), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="number of PyTorch threads")
    parser.add_argument("--beside", metavar="COMMAND", help="other code that prints a line such as steps_per_second: 123")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "pqn_speed.json")
    options = parser.parse_args()
    th.set_num_threads(options.threads)
    if options.beside is not None and len(options.envs) != 1:
        parser.error(f"expected one environment with --beside, got {len(options.envs)}; add --envs CraftaxClassic")
    try:
        peer = None if options.beside is None else Peer(options.beside)
        games = {env: measure(env, options.agents, options.rounds, options.threads, peer) for env in options.envs}
    except PeerError as error:
        parser.error(f"argument --beside: {error}")
    result: dict[str, Any] = {
        "what": (__doc__ or "").strip(),
        "machine": describe("craftax", "jax", "jaxlib", "numpy", "stable-baselines3", "torch"),
        "threads": options.threads,
        "games": games,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
