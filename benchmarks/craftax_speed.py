"""
What masks, resets and the shells cost beside bare Craftax, how long compiling takes, and how much memory transitions need.

Run ``python benchmarks/craftax_speed.py``; the result goes to ``benchmarks/results/craftax_speed.json``.

- bare: Craftax's own step without auto-reset, over a batch by ``vmap``, its symbolic observation waited for. Nothing is ever
  reset: the dead go on being dead, which costs the same.
- core: ``BatchedEnv``: compact observations, all goals' masks, terminal observations, resets with fresh worlds, called as the
  shells do: ``step``, and ``reset`` when a game has ended.
- gymnasium: ``JaxVectorEnv``, which also copies everything to NumPy; Stable-Baselines3: ``JaxVecEnv``, with its infos.

All take the same random actions, in turns, and begin amid games played at random, so that deaths come at their rate.
Compiling is timed in fresh processes, first without and then with the persistent cache, in the environment with 256 games.
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

GAMES: dict[str, Any] = {"CraftaxClassic": CraftaxClassic, "Craftax": Craftax}
NUM_ACTION_SETS = 64
Step = Callable[[int], int]
"""Takes one step with the given set of actions and returns how many games ended."""


def contenders(env: Any, num_envs: int, random_play: int) -> dict[str, Step]:
    """
    What is to be compared, in the midst of the same games.

    :param env: the functional environment
    :param num_envs: the number of games
    :param random_play: steps that have been played at random
    :return: a function for each that takes one step
    """
    actions = np.random.default_rng(0).integers(env.action_space.n, size=(NUM_ACTION_SETS, num_envs))
    on_device = [jax.numpy.asarray(row, dtype=jax.numpy.int32) for row in actions]
    core = BatchedEnv(env, num_envs)
    batch, _ = core.reset(core.empty(core.keys(list(range(num_envs)))), np.ones(num_envs, dtype=bool))
    for number in range(random_play):
        batch, transition = core.step(batch, on_device[number % NUM_ACTION_SETS])
        batch, _ = core.reset(batch, transition.dones, transition.observed)
    bare_states, keys = _copy(batch.states), core.keys(list(range(num_envs)))
    rules, params = env._rules, env._params
    bare_step = jax.jit(jax.vmap(lambda key, state, action: rules.step_env(key, state, action, params)[:4]))
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
    """A step uses up the batch that it is given."""
    return jax.tree.map(jax.numpy.copy, tree)


def measure(env: FunctionalEnv, num_envs: int, runs: int, seconds: float, random_play: int) -> dict[str, Any]:
    """
    All contenders in turns.

    :param env: the functional environment
    :param num_envs: the number of games
    :param runs: how often each has its turn
    :param seconds: how long a turn takes about
    :param random_play: steps before the first turn
    :return: rates, ratios to the bare step, and how often games ended
    """
    steps = contenders(env, num_envs, random_play)
    for step in steps.values():
        for number in range(5):
            step(number)
    began = time.perf_counter()
    for number in range(5):
        steps["bare"](number)
    length = max(5, int(seconds / ((time.perf_counter() - began) / 5)))
    times: dict[str, list[float]] = {name: [] for name in steps}
    ended = 0
    for _ in range(runs):
        for name, step in steps.items():
            began = time.perf_counter()
            ended += sum(step(number % NUM_ACTION_SETS) for number in range(length))
            times[name].append((time.perf_counter() - began) / length)
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
began = time.perf_counter()
from leo_envs.craftax import Craftax, CraftaxClassic
from leo_wrappers.sb3 import JaxVecEnv
imported = time.perf_counter()
JaxVecEnv({game}(), {num_envs}).warmup()
print(imported - began, time.perf_counter() - imported)
"""


def compile_times(game: str, num_envs: int = 256) -> dict[str, float]:
    """
    Seconds to import and to compile, without and with the persistent cache.

    :param game: its name
    :param num_envs: the number of games
    :return: the seconds
    """
    result, path = {}, os.pathsep.join(sys.path)
    with tempfile.TemporaryDirectory() as folder:
        for state in ("cold", "warm"):
            output = subprocess.run(
                [sys.executable, "-c", COMPILE.format(game=game, num_envs=num_envs)],
                # JAX's own variable would win over ours.
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
    What LEODQN's buffer takes for each kind of observation.

    :param env: the functional environment
    :param transitions: how many
    :return: megabytes
    """
    result = {}
    for kind in ("compact", "symbolic"):
        venv = VecGoalSampler(JaxVecEnv(type(env)(observation=kind), 1))  # type: ignore[call-arg]
        # Room for few, and by proportion: the symbolic ones of the full game would not fit everywhere.
        buffer = GoalReplayBuffer(1_000, venv.observation_space, venv.action_space, "cpu", num_goals=len(env.goal_names))
        parts = [*buffer.observations.values(), *buffer.next_observations.values(), buffer.packed_masks, buffer.goal_ids]
        parts += [buffer.actions, buffer.rewards, buffer.dones, buffer.timeouts]
        result[kind] = round(sum(part.nbytes for part in parts) / 1_000 * transitions / 1e6, 1)
    return result


def main() -> None:
    """Measure everything and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--games", nargs="+", choices=list(GAMES), default=list(GAMES))
    parser.add_argument("--num-envs", nargs="+", type=int, default=[1, 64, 256, 1024])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a turn")
    parser.add_argument("--random-play", type=int, default=200, help="steps before measuring")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "craftax_speed.json")
    options = parser.parse_args()
    result: dict[str, Any] = {
        "what": __doc__.strip(),
        "machine": describe("craftax", "jax", "jaxlib", "numpy"),
        "games": {},
    }
    for game in options.games:
        env = GAMES[game]()
        rows = []
        for num_envs in options.num_envs:
            rows.append(measure(env, num_envs, options.runs, options.seconds, options.random_play))
            print(f"{game:15s} {num_envs:5d}  {rows[-1]['steps_per_second']}  {rows[-1]['time_by_bare']}", flush=True)
        result["games"][game] = {
            "goals": len(env.goal_names),
            "speed": rows,
            "seconds": compile_times(game),
            "megabytes_per_100k_transitions": memory(env),
        }
        print(game, result["games"][game]["seconds"], result["games"][game]["megabytes_per_100k_transitions"], flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
