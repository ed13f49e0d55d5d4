"""
Cost of masks, resets and interfaces compared with plain Craftax, compile times, and memory of transitions.

Run ``python benchmarks/craftax_speed.py``; results are written to ``benchmarks/results/craftax_speed.json``.

- bare: Craftax's own step with ``vmap`` and symbolic observations, without auto-reset. States after the end of an episode are
  stepped further, which costs the same.
- core: ``BatchedEnv`` as the interfaces call it: compact observations, masks of all goals, terminal observations and resets to
  new maps; ``step``, and ``reset`` when an episode has ended.
- gymnasium: ``JaxVectorEnv``, which also copies everything to NumPy; stable_baselines3: ``JaxVecEnv``, with its infos.

All take the same random actions, alternate, and start from states after random actions, so that episodes end at their usual
rate. Compile times are measured in new processes, without and with the persistent cache, for 256 environments.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from machine import describe

from leo_agents.replay.goal_replay_buffer import GoalReplayBuffer
from leo_envs.craftax import Craftax, CraftaxClassic
from leo_wrappers.jax_envs import BatchedEnv, FunctionalEnv, JaxVectorEnv
from leo_wrappers.jax_envs.compilation import CACHE_ENV_VAR
from leo_wrappers.sb3 import JaxVecEnv, VecGoalSampler

ENVS: dict[str, Any] = {"CraftaxClassic": CraftaxClassic, "Craftax": Craftax}
NUM_ACTION_SETS = 64
Step = Callable[[int], int]
"""Takes one step with the given set of actions and returns the number of episodes that ended."""


def step_functions(env: Any, num_envs: int, random_steps: int) -> dict[str, Step]:
    """
    Create the step functions to compare, all with the same initial states.

    :param env: the functional environment
    :param num_envs: number of environments
    :param random_steps: random steps before the measurement
    :return: a function per method that takes one step
    """
    actions = np.random.default_rng(0).integers(env.action_space.n, size=(NUM_ACTION_SETS, num_envs))
    on_device = [jax.numpy.asarray(row, dtype=jax.numpy.int32) for row in actions]
    core = BatchedEnv(env, num_envs)
    batch, _ = core.reset(core.empty(core.keys(list(range(num_envs)))), np.ones(num_envs, dtype=bool))
    for number in range(random_steps):
        batch, transition = core.step(batch, on_device[number % NUM_ACTION_SETS])
        batch, _ = core.reset(batch, transition.dones, transition.observed)
    bare_states, keys = _copy(batch.states), core.keys(list(range(num_envs)))
    original, params = env._original, env._params
    bare_step = jax.jit(jax.vmap(lambda key, state, action: original.step_env(key, state, action, params)[:4]))
    vector_env = JaxVectorEnv(env, num_envs, autoreset_mode="SameStep")
    vector_env._batch = _copy(batch)
    venv = JaxVecEnv(env, num_envs)
    venv.vector_env._batch = _copy(batch)

    def bare(number: int) -> int:
        nonlocal bare_states
        obs, bare_states, _, _ = bare_step(keys, bare_states, on_device[number])
        jax.block_until_ready(obs)
        return 0

    def with_masks_and_resets(number: int) -> int:
        nonlocal batch
        batch, made = core.step(batch, on_device[number])
        ended, now = np.asarray(made.terminated) | np.asarray(made.truncated), made.observed
        if ended.any():
            batch, now = core.reset(batch, ended, now)
        jax.block_until_ready((now.obs, now.goals_achieved))
        return int(ended.sum())

    def gymnasium(number: int) -> int:
        _, _, terminated, truncated, _ = vector_env.step(actions[number])
        return int((terminated | truncated).sum())

    def stable_baselines3(number: int) -> int:
        return int(venv.step(actions[number])[2].sum())

    return {
        "bare": bare,
        "core": with_masks_and_resets,
        "gymnasium": gymnasium,
        "stable_baselines3": stable_baselines3,
    }


def _copy(tree: Any) -> Any:
    """Copy a batch, because steps donate their input buffers."""
    return jax.tree.map(jax.numpy.copy, tree)


def measure(env: FunctionalEnv, num_envs: int, runs: int, seconds: float, random_steps: int) -> dict[str, Any]:
    """
    Measure all step functions alternately.

    :param env: the functional environment
    :param num_envs: number of environments
    :param runs: number of measurements of each function
    :param seconds: approximate duration of a measurement
    :param random_steps: random steps before the measurement
    :return: steps per second, times divided by that of the bare step, and the rate of episode ends
    """
    steps = step_functions(env, num_envs, random_steps)
    for step in steps.values():
        for number in range(5):
            step(number)
    started = time.perf_counter()
    for number in range(5):
        steps["bare"](number)
    length = max(5, int(seconds / ((time.perf_counter() - started) / 5)))
    times: dict[str, list[float]] = {name: [] for name in steps}
    ended = 0
    for _ in range(runs):
        for name, step in steps.items():
            started = time.perf_counter()
            ended += sum(step(number % NUM_ACTION_SETS) for number in range(length))
            times[name].append((time.perf_counter() - started) / length)
    ratios = {
        name: statistics.median(mine / bare for mine, bare in zip(values, times["bare"], strict=True))
        for name, values in times.items()
    }
    return {
        "num_envs": num_envs,
        "steps_a_turn": length,
        "steps_per_second": {name: round(num_envs / statistics.median(values)) for name, values in times.items()},
        "time_by_bare": {name: round(ratio, 3) for name, ratio in ratios.items()},
        "ended_per_step": round(ended / ((len(steps) - 1) * runs * length * num_envs), 5),
    }


COMPILE = """
import time
started = time.perf_counter()
from leo_envs.craftax import Craftax, CraftaxClassic
from leo_wrappers.sb3 import JaxVecEnv
imported = time.perf_counter()
JaxVecEnv({env}(), {num_envs}).warmup()
print(imported - started, time.perf_counter() - imported)
"""


def compile_times(env: str, num_envs: int = 256) -> dict[str, float]:
    """
    Measure import and compile times without and with the persistent cache.

    :param env: one of :data:`ENVS`
    :param num_envs: number of environments
    :return: the seconds
    """
    result, path = {}, os.pathsep.join(sys.path)
    with tempfile.TemporaryDirectory() as folder:
        for state in ("cold", "warm"):
            output = subprocess.run(
                [sys.executable, "-c", COMPILE.format(env=env, num_envs=num_envs)],
                # JAX's own variable takes precedence over the library's.
                env={**os.environ, CACHE_ENV_VAR: folder, "JAX_COMPILATION_CACHE_DIR": folder, "PYTHONPATH": path},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            imported, compiled = (float(part) for part in output.split())
            result |= {f"import_{state}": round(imported, 1), f"compile_{state}": round(compiled, 1)}
    return result


def memory(env: FunctionalEnv, transitions: int = 100_000) -> dict[str, float]:
    """
    Compute the memory of LEODQN's replay buffer for each type of observation.

    :param env: the functional environment
    :param transitions: number of transitions
    :return: megabytes
    """
    result = {}
    for kind in ("compact", "symbolic"):
        venv = VecGoalSampler(JaxVecEnv(type(env)(observation=kind), 1))  # type: ignore[call-arg]
        # A small buffer, scaled: symbolic observations of full Craftax need several GB.
        buffer = GoalReplayBuffer(1_000, venv.observation_space, venv.action_space, "cpu", num_goals=len(env.goal_names))
        parts = [*buffer.observations.values(), *buffer.next_observations.values(), buffer.packed_masks, buffer.goal_ids]
        parts += [buffer.actions, buffer.rewards, buffer.dones, buffer.timeouts]
        result[kind] = round(sum(part.nbytes for part in parts) / 1_000 * transitions / 1e6, 1)
    return result


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envs", nargs="+", choices=list(ENVS), default=list(ENVS))
    parser.add_argument("--num-envs", nargs="+", type=int, default=[1, 64, 256, 1024])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="duration of a measurement")
    parser.add_argument("--random-steps", type=int, default=200, help="random steps before the measurement")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "craftax_speed.json")
    options = parser.parse_args()
    result: dict[str, Any] = {
        "what": __doc__.strip(),
        "machine": describe("craftax", "jax", "jaxlib", "numpy"),
        "games": {},
    }
    for name in options.envs:
        env = ENVS[name]()
        rows = []
        for num_envs in options.num_envs:
            rows.append(measure(env, num_envs, options.runs, options.seconds, options.random_steps))
            print(f"{name:15s} {num_envs:5d}  {rows[-1]['steps_per_second']}  {rows[-1]['time_by_bare']}", flush=True)
        result["games"][name] = {
            "goals": len(env.goal_names),
            "speed": rows,
            "seconds": compile_times(name),
            "megabytes_per_100k_transitions": memory(env),
        }
        print(name, result["games"][name]["seconds"], result["games"][name]["megabytes_per_100k_transitions"], flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
